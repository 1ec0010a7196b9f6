-- Which database this is, and how far its log is on disk: a copy that was restored or promoted shows here.
-- The timeline is the first part of the WAL file's name; pg_control_checkpoint lags behind a promotion.
select system_identifier,
       ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer as timeline,
       (pg_current_wal_flush_lsn() - '0/0')::bigint as flushed,
       (extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms
from pg_control_system()
