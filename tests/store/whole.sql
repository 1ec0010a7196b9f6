-- How many rows break each thing that must always hold.
with group_log as (
  select m.*, row_number() over log as place, sum((entry_type = 1)::integer) over log as messages
  from group_messages m
  window log as (partition by conversation_no order by seq)
), numbered as (
  select m.*, p.low_no, p.high_no,
         row_number() over log as place,
         sum((m.sender_no = p.low_no)::integer) over log as by_low
  from pair_messages m join pairs p using (conversation_no)
  window log as (partition by m.conversation_no order by m.seq)
), placed as (
  select low_no as owner_no, inbox_low as inbox_seq, conversation_no, seq from numbered
  union all
  select high_no, inbox_high, conversation_no, seq from numbered where high_no <> low_no
)
select 'a log has a hole', count(*) from numbered where seq <> place
union all
select 'running counts differ', count(*) from numbered where counted <> place or counted_low <> by_low
union all
select 'a head differs from its log', count(*) from pair_heads h
  left join (
    select conversation_no, max(seq) as seq, max(by_low) as by_low, count(*) as n from numbered group by conversation_no
  ) l using (conversation_no)
  where h.seq <> coalesce(l.seq, 0) or h.seq <> coalesce(l.n, 0) or h.counted <> h.seq or h.counted_low <> coalesce(l.by_low, 0)
union all
select 'a head has another last message', count(*) from pair_heads h
  join numbered m on m.conversation_no = h.conversation_no and m.seq = h.seq
  where m.message_id <> h.last_message_id
union all
select 'an inbox differs from the logs', count(*) from inbox i full join placed p using (owner_no, inbox_seq)
  where i.seq is distinct from p.seq or i.conversation_no is distinct from p.conversation_no
union all
select 'an inbox has a hole', count(*) from (
    select inbox_seq, row_number() over (partition by owner_no order by inbox_seq) as place from inbox
  ) i where inbox_seq <> place
union all
select 'an inbox head differs', count(*) from inbox_heads h
  where h.seq <> (select count(*) from inbox i where i.owner_no = h.owner_no)
union all
select 'a pair with oneself has two places', count(*) from numbered where (low_no = high_no) <> (inbox_high is null)
union all
select 'a key differs from its message', count(*) from (
    select conversation_no, seq, sender_no, message_id, client_msg_id from pair_messages
    union all
    select conversation_no, seq, sender_no, message_id, client_msg_id from group_messages
  ) m
  full join dedup d on d.conversation_no = m.conversation_no and d.seq = m.seq
  where d.key is distinct from m.client_msg_id or d.sender_no is distinct from m.sender_no
     or d.message_id is distinct from m.message_id
union all
select 'a cursor passes its head', count(*) from pair_cursors c join pair_heads h using (conversation_no)
  where greatest(c.by_device, c.by_server, c.read) > h.seq or c.read > c.by_device
union all
select 'a log of a group has a hole', count(*) from group_log where seq <> place
union all
select 'running counts of a group differ', count(*) from group_log where counted <> messages
union all
select 'a head of a group differs from its log', count(*) from groups g
  left join group_heads h using (conversation_no)
  left join (
    select conversation_no, max(seq) as seq, max(messages) as messages from group_log group by conversation_no
  ) l using (conversation_no)
  left join group_log m on m.conversation_no = g.conversation_no and m.seq = l.seq
  where (h.seq, h.counted, h.last_message_id) is distinct from (l.seq, l.messages, m.message_id)
union all
select 'a head or log without a group', count(*) from group_heads h full join group_log l using (conversation_no)
  left join groups g using (conversation_no) where g.conversation_no is null
union all
select 'a number of members differs', count(*) from groups g
  where g.members <> (
    select count(*) from group_members m where m.conversation_no = g.conversation_no and m.left_seq is null)
union all
select 'a group has not one owner', count(*) from groups g
  where coalesce(array[g.owner_no], '{}') is distinct from (
      select array_agg(m.user_no) from group_members m
      where m.conversation_no = g.conversation_no and m.left_seq is null and m.role = 20)
    and (g.dissolved_seq is null or g.owner_no is not null)
union all
select 'a dissolved group has members', count(*) from groups where dissolved_seq is not null and members > 0
union all
select 'a membership tells of no notice', count(*) from group_members m
  left join group_messages j on j.conversation_no = m.conversation_no and j.seq = m.join_seq and j.entry_type = 2
  left join group_messages l on l.conversation_no = m.conversation_no and l.seq = m.left_seq and l.entry_type = 2
  where j.seq is null or l.message_id is distinct from m.left_message_id or m.left_seq <= m.join_seq or m.min_seq > m.join_seq
union all
select 'a member has no cursor, or one beyond the head', count(*) from group_members m
  left join group_cursors c using (conversation_no, user_no)
  left join group_heads h using (conversation_no)
  where c.read is null or c.read > h.seq
