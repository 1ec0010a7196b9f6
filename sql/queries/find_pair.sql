-- Finds a user of an app, and the pair with them if there is one.
-- $1 app integer   $2 user_no bigint, one side   $3 the other side's id
-- Returns the other side's number and the pair's or null; no row when there is no such user.
select u.user_no, p.conversation_no
from users u
left join pairs p on p.low_no = least($2, u.user_no) and p.high_no = greatest($2, u.user_no)
where u.app = $1 and u.id = $3
