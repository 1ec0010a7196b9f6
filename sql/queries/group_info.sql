-- A group as one who asks for it sees it.
-- $1 app integer   $2 id   $3 reader user_no
-- Returns one row or none; the columns of the membership are null for one who never was a member.
select g.conversation_no, g.id, g.kind, g.name, u.id as owner, g.members, g.dissolved_seq, h.seq as head,
       (extract(epoch from g.created_at) * 1000)::bigint as created_at_ms, m.role, m.join_seq, m.left_seq, m.min_seq
from groups g
join group_heads h on h.conversation_no = g.conversation_no
left join users u on u.user_no = g.owner_no
left join group_members m on m.conversation_no = g.conversation_no and m.user_no = $3
where g.app = $1 and g.id = $2
