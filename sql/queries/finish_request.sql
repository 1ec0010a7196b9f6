-- Keeps the answer to a request under an Idempotency-Key, if it is still this one's to answer.
-- $1 app integer   $2 key   $3 claim   $4 status smallint   $5 body
update idempotency_keys set status = $4, body = $5 where app = $1 and key = $2 and claim = $3 and status is null
