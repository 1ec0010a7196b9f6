-- The raw limit of appends to groups: the rows of a batch and their keys, and nothing that is asked or locked.
-- $1..$9 one entry a message: conversation_no, seq, counted, sender_no, day, key, hash, message_id, body
with posts as materialized (
  select * from unnest(
      $1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::integer[], $6::uuid[], $7::bytea[], $8::bigint[], $9::bytea[])
    as p (conversation_no, seq, counted, sender_no, day, key, send_hash, message_id, body)
), stored as (
  insert into group_messages
    (conversation_no, seq, sender_no, message_id, client_msg_id, entry_type, counted, body)
  select conversation_no, seq, sender_no, message_id, key, 1, counted, body from posts
)
insert into dedup (day, key, conversation_no, sender_no, seq, message_id, send_hash)
select day, key, conversation_no, sender_no, seq, message_id, send_hash from posts
on conflict do nothing
