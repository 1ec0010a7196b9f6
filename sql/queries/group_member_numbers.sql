-- The members of a group.
-- $1 conversation_no bigint
select user_no from group_members where conversation_no = $1 and left_seq is null
