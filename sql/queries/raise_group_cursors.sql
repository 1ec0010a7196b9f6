-- Raises the read cursors of groups, each only upwards and at most to the head; for a former member to the last entry seen.
-- $1 user_no bigint[]   $2 conversation_no bigint[], one entry a pair of both, no pair twice   $3 read bigint[]
-- Returns for each the cursor before and after; one without a membership is left out.
with wanted as materialized (
  select * from unnest($1::bigint[], $2::bigint[], $3::bigint[]) as w (user_no, conversation_no, read)
), held as materialized (
  select c.user_no, c.conversation_no, c.read, coalesce(m.left_seq, h.seq) as head
  from group_cursors c
  join group_members m on m.conversation_no = c.conversation_no and m.user_no = c.user_no
  join group_heads h on h.conversation_no = c.conversation_no
  where (c.user_no, c.conversation_no) in (select user_no, conversation_no from wanted)
  order by c.user_no, c.conversation_no
  for update of c
), raised as materialized (
  select h.user_no, h.conversation_no, h.read, greatest(h.read, least(w.read, h.head)) as new_read
  from held h
  join wanted w on w.user_no = h.user_no and w.conversation_no = h.conversation_no
), written as (
  update group_cursors c set read = r.new_read
  from raised r
  where c.user_no = r.user_no and c.conversation_no = r.conversation_no and r.new_read <> r.read
)
select user_no, conversation_no, read, new_read from raised
