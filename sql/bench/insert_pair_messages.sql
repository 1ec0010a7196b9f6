-- The raw limit of one-to-one messages: body, key and the entries of two inboxes, and nothing that is asked or locked.
-- $1..$7 one entry a message: conversation_no, seq, sender_no, day, key, hash, message_id; $8 body
-- $9, $10 one entry a message: the owners of the two inboxes, both of whose entries have the message's seq as their number
with placed as materialized (
  select * from unnest(
      $1::bigint[], $2::bigint[], $3::bigint[], $4::integer[], $5::uuid[], $6::bytea[], $7::bigint[], $8::bytea[], $9::bigint[],
      $10::bigint[])
    as p (pair, seq, sender, day, key, hash, id, body, low, high)
), bodies as (
  insert into pair_messages
    (conversation_no, seq, sender_no, message_id, client_msg_id, entry_type, counted, counted_low, inbox_low, inbox_high, body)
  select pair, seq, sender, id, key, 1, seq, seq, seq, seq, body from placed
), remembered as (
  insert into dedup (day, key, conversation_no, sender_no, seq, message_id, send_hash)
  select day, key, pair, sender, seq, id, hash from placed
  on conflict do nothing
)
insert into inbox (owner_no, inbox_seq, conversation_no, seq)
select low, seq, pair, seq from placed
union all
select high, seq, pair, seq from placed
