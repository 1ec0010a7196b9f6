-- The heads of groups.
-- $1 conversation_no bigint[]
select conversation_no, seq from group_heads where conversation_no = any ($1)
