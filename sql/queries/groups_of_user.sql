-- The groups that a user is a member of, by number.
-- $1 user_no   $2 at most
select g.id, g.conversation_no, h.seq as head
from group_members m
join groups g on g.conversation_no = m.conversation_no
join group_heads h on h.conversation_no = m.conversation_no
where m.user_no = $1 and m.left_seq is null
order by m.conversation_no
limit $2
