-- The heads of inboxes.
-- $1 owners bigint[]
select owner_no, seq from inbox_heads where owner_no = any ($1)
