-- The sessions that are in at one run of a node, by user; all of a user or none.
-- $1 node   $2 incarnation   $3 users after this number   $4 about how many
select s.user_no, s.login_no
from user_sessions s
where s.node = $1 and s.incarnation = $2 and s.online and s.user_no > $3
order by s.user_no
fetch first $4 rows with ties
