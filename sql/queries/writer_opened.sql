-- Sets what a connection that writes all the time has besides. Its plans are made while the tables are empty and must not
-- keep sequential scans while they grow; compiling them would cost more than running them.
set enable_seqscan = off;
set jit = off;
