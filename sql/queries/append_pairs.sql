-- Appends a batch of one-to-one messages under the writer's fence; the function says what each array holds.
-- $1 node   $2 journal   $3 fence   $4..$7 a pair each   $8 $9 an inbox each   $10..$23 a message each
select kind, no, seq, message_id, send_hash
from append_pairs($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)
