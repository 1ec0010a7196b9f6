-- Fills the present file of the write-ahead log and goes on to the next. The message gives it something to be full of.
select pg_logical_emit_message(false, 'rookery bench', 'next'), pg_switch_wal()
