-- How many rows break each thing that must always hold.
with numbered as (
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
select 'a key differs from its message', count(*) from pair_messages m
  full join dedup d on d.conversation_no = m.conversation_no and d.seq = m.seq
  where d.key is distinct from m.client_msg_id or d.sender_no is distinct from m.sender_no
     or d.message_id is distinct from m.message_id
union all
select 'a cursor passes its head', count(*) from pair_cursors c join pair_heads h using (conversation_no)
  where greatest(c.by_device, c.by_server, c.read) > h.seq or c.read > c.by_device
