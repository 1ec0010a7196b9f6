-- Fills the tables until reading one from end to end is dearer than any index: 20,000 users, each with two devices, one of
-- them online, with one message to the next, and with one in a group of its own. $1 is the day of their keys.
with made as (
  insert into users (app, id) select 1, 'many' || n from generate_series(1, 20000) as n returning user_no
), opened as (
  insert into pairs (low_no, high_no)
  select user_no, lead(user_no) over (order by user_no) from made order by user_no limit 19999
  returning conversation_no, low_no, high_no
), devices as (
  insert into user_sessions (user_no, platform, device, login_no, node, incarnation, online)
  select user_no, 'web', 'tab' || n, n, 8, 1, n = 2 from made, generate_series(1, 2) as n
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
), founded as (
  insert into groups (conversation_no, app, id, kind, name, owner_no, members, version)
  select nextval('conversation_numbers'), 1, 'many' || user_no, 'work', 'many', user_no, 1, 1 from made
  returning conversation_no, owner_no
), group_heads_made as (
  insert into group_heads (conversation_no, seq, counted, last_message_id)
  select conversation_no, 1, 1, conversation_no from founded
), joined as (
  insert into group_members (conversation_no, user_no, role, join_seq, min_seq)
  select conversation_no, owner_no, 20, 1, 1 from founded
), group_cursors_made as (
  insert into group_cursors (conversation_no, user_no) select conversation_no, owner_no from founded
), said as (
  insert into group_messages (conversation_no, seq, sender_no, message_id, client_msg_id, entry_type, counted, body)
  select conversation_no, 1, owner_no, conversation_no, gen_random_uuid(), 1, 1, 'body' from founded
)
insert into inbox (owner_no, inbox_seq, conversation_no, seq) select low_no, 1, conversation_no, 1 from opened
