-- A page of a group's members by number.
-- $1 conversation_no   $2 after: user_no   $3 rows at most
select m.user_no, u.id, m.role, (extract(epoch from m.joined_at) * 1000)::bigint as joined_at_ms, c.read
from group_members m
join users u on u.user_no = m.user_no
join group_cursors c on c.conversation_no = m.conversation_no and c.user_no = m.user_no
where m.conversation_no = $1 and m.left_seq is null and m.user_no > $2
order by m.user_no
limit $3
