-- A page of the groups that a user is a member of, by number, in the form of group_info.
-- $1 user_no   $2 after: conversation_no   $3 rows at most
select g.conversation_no, g.id, g.kind, g.name, u.id as owner, g.members, g.dissolved_seq, h.seq as head,
       (extract(epoch from g.created_at) * 1000)::bigint as created_at_ms, m.role, m.join_seq, m.left_seq, m.min_seq
from group_members m
join groups g on g.conversation_no = m.conversation_no
join group_heads h on h.conversation_no = m.conversation_no
left join users u on u.user_no = g.owner_no
where m.user_no = $1 and m.left_seq is null and m.conversation_no > $2
order by m.conversation_no
limit $3
