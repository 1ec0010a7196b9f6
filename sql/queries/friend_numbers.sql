-- The friends of many users; one without any has no row.
-- $1 user_no bigint[], no user twice
select user_no, array_agg(friend_no) as friends
from friends
where user_no = any ($1::bigint[])
group by user_no
