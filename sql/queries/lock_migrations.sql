-- Waits until no other node migrates, and keeps others out until this session ends or unlocks.
-- The number is ours alone: "rookery" read as an integer. Waiting and long steps are not cut short here.
set lock_timeout = 0;
set statement_timeout = 0;
set idle_in_transaction_session_timeout = 0;
select pg_advisory_lock(32210671678878329)
