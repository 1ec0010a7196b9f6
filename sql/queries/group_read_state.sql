-- How far each member of a group has read, and the newest messages in a range of its log: what readers are counted from.
-- $1 conversation_no   $2 above: seq   $3 up to: seq   $4 messages at most   $5 members at most
-- Returns kind 'reader' (user_no, seq: read, min_seq: the first entry that they may see) and 'message' (seq, user_no: sender).
select * from (
  select 'reader' as kind, m.user_no, c.read as seq, m.min_seq
  from group_members m
  join group_cursors c on c.conversation_no = m.conversation_no and c.user_no = m.user_no
  where m.conversation_no = $1 and m.left_seq is null
  order by m.user_no
  limit $5
) r
union all
select * from (
  select 'message', sender_no, seq, null::bigint
  from group_messages
  where conversation_no = $1 and seq > $2 and seq <= $3 and entry_type = 1
  order by seq desc
  limit $4
) m
