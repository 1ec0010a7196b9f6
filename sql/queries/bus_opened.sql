-- Sets what a connection of the bus has besides. Nothing on it has to be on disk before the answer; plans made while the table
-- is empty must not keep scans of all of it: its index is in order, and only the oldest rows are asked for.
set synchronous_commit = off;
set enable_seqscan = off;
set enable_bitmapscan = off;
set jit = off;
