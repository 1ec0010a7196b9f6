-- Forgets a request under an Idempotency-Key that came to nothing, so that it may be begun again.
-- $1 app integer   $2 key   $3 claim
delete from idempotency_keys where app = $1 and key = $2 and claim = $3 and status is null
