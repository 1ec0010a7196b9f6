-- Fills the tables until reading one from end to end is dearer than any index: 20,000 users, each with one message to the
-- next. $1 is the day of their keys.
with made as (
  insert into users (app, id) select 1, 'many' || n from generate_series(1, 20000) as n returning user_no
), opened as (
  insert into pairs (low_no, high_no)
  select user_no, lead(user_no) over (order by user_no) from made order by user_no limit 19999
  returning conversation_no, low_no, high_no
), inboxes as (
  insert into inbox_heads (owner_no, seq) select user_no, 1 from made
), heads as (
  insert into pair_heads (conversation_no, seq, counted, counted_low, last_message_id)
  select conversation_no, 1, 1, 1, conversation_no from opened
), cursors as (
  insert into pair_cursors (owner_no, conversation_no, peer_no)
  select low_no, conversation_no, high_no from opened union all select high_no, conversation_no, low_no from opened
), bodies as (
  insert into pair_messages
    (conversation_no, seq, sender_no, message_id, client_msg_id, entry_type, counted, counted_low, inbox_low, inbox_high, body)
  select conversation_no, 1, low_no, conversation_no, gen_random_uuid(), 1, 1, 1, 1, 1, 'body' from opened
  returning conversation_no, sender_no, client_msg_id, message_id
), keys as (
  insert into dedup (day, key, conversation_no, sender_no, seq, message_id, send_hash)
  select $1, client_msg_id, conversation_no, sender_no, 1, message_id, 'hash' from bodies
)
insert into inbox (owner_no, inbox_seq, conversation_no, seq) select low_no, 1, conversation_no, 1 from opened
