-- Looks up which entries of broken statements were stored. Only after the writer was fenced is the answer final.
-- $1 day int[]   $2 key uuid[]   $3 conversation_no bigint[]   $4 sender_no bigint[], one entry each
-- Returns a row for each that was stored: its index from 1, its seq, id and hash.
select w.i, d.seq, d.message_id, d.send_hash
from unnest($1::integer[], $2::uuid[], $3::bigint[], $4::bigint[]) with ordinality as w (day, key, conversation_no, sender_no, i)
cross join lateral (
  select d.seq, d.message_id, d.send_hash from dedup d
  where d.day = w.day and d.key = w.key and d.conversation_no = w.conversation_no and d.sender_no = w.sender_no
  offset 0
) d
