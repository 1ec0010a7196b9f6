-- A page of a user's groups by number, of which a client lacks something: those that moved or that it did not name, and
-- those that it named and the user has left. To a former member the head is the notice of the leaving.
-- $1 user_no   $2 app integer   $3 ids text[] and $4 seqs bigint[]: what the client named, no id twice
-- $5 after: conversation_no   $6 rows at most
with named as materialized (
  select * from unnest($3::text[], $4::bigint[]) as n (id, seq)
)
select m.conversation_no, g.id, coalesce(m.left_seq, h.seq) as head, m.min_seq, m.left_seq is not null as is_former
from (
  select conversation_no, min_seq, left_seq from group_members
  where user_no = $1 and left_seq is null and conversation_no > $5
  union all
  select m.conversation_no, m.min_seq, m.left_seq
  from groups g
  join group_members m on m.conversation_no = g.conversation_no and m.user_no = $1
  where g.app = $2 and g.id = any ($3) and m.left_seq is not null and g.conversation_no > $5
) m
join groups g on g.conversation_no = m.conversation_no
join group_heads h on h.conversation_no = m.conversation_no
left join named n on n.id = g.id
where m.left_seq is not null or n.seq is distinct from h.seq
order by m.conversation_no
limit $6
