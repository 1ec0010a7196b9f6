-- Sets what every session of ours has, and reads whether this server may be trusted with messages.
-- Several statements, so by the simple protocol. Rights on no table are needed, and nothing is written.
-- Returns one row: version number, fsync, full_page_writes, synchronous_commit, data_checksums.
set lock_timeout = '2s';
set statement_timeout = '5s';
set idle_in_transaction_session_timeout = '30s';
select
    current_setting('server_version_num'),
    current_setting('fsync'),
    current_setting('full_page_writes'),
    current_setting('synchronous_commit'),
    current_setting('data_checksums')
