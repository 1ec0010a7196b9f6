-- The head of a user's inbox.
-- $1 owner_no bigint
select seq from inbox_heads where owner_no = $1
