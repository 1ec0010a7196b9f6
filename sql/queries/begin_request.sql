-- Begins a request under an Idempotency-Key; the function says what of.
-- $1 app integer   $2 key   $3 hash of the request   $4 client_msg_id of a send, or null   $5 claim of another, or null
-- $6 for how many seconds keys are kept   $7 for how many seconds a request may run   $8 old keys that are forgotten at most
select begun, request_hash, client_msg_id, status, body from begin_request($1, $2, $3, $4, $5, $6, $7, $8)
