-- What a change of a group is judged by: who asks, whom it is about, and who would follow an owner that leaves.
-- $1 conversation_no   $2 caller user_no   $3 app integer   $4 ids text[]
-- Returns kind 'caller' (always), 'target' (one for each id, i: index from 1; user_no null: no such user) and 'senior' (the
-- member other than the caller who joined first), each with members and head of the group; nothing when it is not there.
-- OFFSET 0 keeps the look-ups one index probe each, whatever the planner knows.
select r.kind, r.i, r.id, r.user_no, r.role, r.join_seq, r.left_seq, r.min_seq, g.members, h.seq as head
from groups g
join group_heads h on h.conversation_no = g.conversation_no
cross join lateral (
  select 'caller' as kind, null::bigint as i, null::text as id, c.user_no, m.role, m.join_seq, m.left_seq, m.min_seq
  from (values ($2::bigint)) as c (user_no)
  left join group_members m on m.conversation_no = g.conversation_no and m.user_no = c.user_no
  union all
  select 'target', t.i, t.id, u.user_no, m.role, m.join_seq, m.left_seq, m.min_seq
  from unnest($4::text[]) with ordinality as t (id, i)
  left join lateral (select u.user_no from users u where u.app = $3 and u.id = t.id offset 0) u on true
  left join lateral (
    select m.role, m.join_seq, m.left_seq, m.min_seq from group_members m
    where m.conversation_no = g.conversation_no and m.user_no = u.user_no
    offset 0
  ) m on true
  union all
  select * from (
    select 'senior', null::bigint, u.id, m.user_no, m.role, m.join_seq, m.left_seq, m.min_seq
    from group_members m
    join users u on u.user_no = m.user_no
    where m.conversation_no = g.conversation_no and m.left_seq is null and m.user_no <> $2
    order by m.join_seq, m.user_no
    limit 1
  ) senior
) r
where g.conversation_no = $1
order by r.i
