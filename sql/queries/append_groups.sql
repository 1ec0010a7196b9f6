-- Appends a batch of messages to groups whose owner has given them their seqs. For each group all or nothing: the shard
-- must be held at that epoch, the head must be where the owner believes it, and none of the keys may be stored.
-- $1 node   $2 journal   $3 fence
-- $4..$10 one entry a group: conversation_no, shard, epoch, head before, head after, counted after, id of the last message
-- $11..$19 one entry a message: conversation_no, seq, counted, sender_no, day, key, hash, message_id, body
-- Returns kind 'writer' (not fenced; without it nothing was written), 'stored' (no: a group, all of it), and 'known' (no:
-- index in $11..$19 from 1, of a key that is stored; seq, message_id, send_hash of the first). A group that has neither
-- was moved by another owner.
--
-- FOR SHARE makes a claim, of the journal or of a shard, wait for this statement, and makes this statement see a claim that
-- it waited for. The look-up of keys is older than these locks, and safe all the same: whoever adds a key moves the head.
with writer as materialized (
  select w.fence from writers w where w.node = $1 and w.journal = $2 and w.fence = $3 for share
), batch as materialized (
  select * from unnest($4::bigint[], $5::integer[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[])
    as b (conversation_no, shard, epoch, base, head, counted, last_message_id)
), posts as materialized (
  select * from unnest(
      $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::integer[], $16::uuid[], $17::bytea[], $18::bigint[],
      $19::bytea[])
    with ordinality as p (conversation_no, seq, counted, sender_no, day, key, send_hash, message_id, body, i)
), known as materialized (
  select p.i, p.conversation_no, d.seq, d.message_id, d.send_hash
  from posts p
  cross join lateral (
    select d.seq, d.message_id, d.send_hash from dedup d
    where d.day = p.day and d.key = p.key and d.conversation_no = p.conversation_no and d.sender_no = p.sender_no
    offset 0
  ) d
), held as materialized (
  select o.shard from shard_owner o
  where exists (select from writer) and o.shard = any ($5) and (o.shard, o.epoch) in (select shard, epoch from batch)
  order by o.shard
  for share of o
), moved as (
  update group_heads h set seq = b.head, counted = b.counted, last_message_id = b.last_message_id
  from batch b
  where h.conversation_no = b.conversation_no and h.seq = b.base
    and b.shard in (select shard from held)
    and b.conversation_no not in (select conversation_no from known)
  returning h.conversation_no
), stored as (
  insert into group_messages
    (conversation_no, seq, sender_no, message_id, client_msg_id, entry_type, counted, body)
  select conversation_no, seq, sender_no, message_id, key, 1, counted, body
  from posts where conversation_no in (select conversation_no from moved)
), remembered as (
  insert into dedup (day, key, conversation_no, sender_no, seq, message_id, send_hash)
  select day, key, conversation_no, sender_no, seq, message_id, send_hash
  from posts where conversation_no in (select conversation_no from moved)
)
select 'writer' as kind, null::bigint as no, null::bigint as seq, null::bigint as message_id, null::bytea as send_hash
from writer
union all
select 'stored', conversation_no, null, null, null from moved
union all
select 'known', i, seq, message_id, send_hash from known
