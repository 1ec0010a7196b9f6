-- A page of a user's friends by id.
-- $1 user_no bigint   $2 after: friend_id   $3 rows at most
select friend_id as id, (extract(epoch from since) * 1000)::bigint as since_ms
from friends
where user_no = $1 and friend_id > $2
order by friend_id
limit $3
