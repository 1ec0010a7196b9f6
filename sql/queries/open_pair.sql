-- Finds a user of an app and opens the pair with them.
-- $1 app integer   $2 user_no bigint, one side   $3 the other side's id
-- Returns the other side's number and the pair's; no row when there is no such user.
select u.user_no, open_pair($2, u.user_no) as conversation_no from users u where u.app = $1 and u.id = $3
