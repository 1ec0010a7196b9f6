-- Sets what a connection of the bus has besides. Nothing on it has to be on disk before the answer; plans made while the table
-- is empty must not keep sequential scans.
set synchronous_commit = off;
set enable_seqscan = off;
set jit = off;
