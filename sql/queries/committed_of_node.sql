-- Whether what a node was told is committed is there.
-- $1 node bigint   $2 incarnation bigint   $3 until when its lease was renewed last, in microseconds, bigint or null
-- $4 conversation_no bigint[]   $5 seq bigint[]   $6 message_id bigint[], an entry of a log each
-- Returns whether another incarnation took the node's place, whether its lease is there, and how many entries are not.
select coalesce(n.incarnation > $2, false) as is_replaced,
  $3::bigint is null
    or coalesce(n.incarnation = $2 and (extract(epoch from n.lease_until) * 1000000)::bigint >= $3, false) as has_lease,
  (
    select count(*) from unnest($4::bigint[], $5::bigint[], $6::bigint[]) as w (conversation_no, seq, message_id)
    where not exists (
      select from pair_messages m
      where m.conversation_no = w.conversation_no and m.seq = w.seq and m.message_id = w.message_id
    ) and not exists (
      select from group_messages m
      where m.conversation_no = w.conversation_no and m.seq = w.seq and m.message_id = w.message_id
    )
  ) as missing
from (select) one
left join nodes n on n.node = $1
