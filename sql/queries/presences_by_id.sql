-- What the store knows of the presence of users, by their ids, for one who asks.
-- $1 app integer   $2 ids text[]   $3 who asks: user_no bigint, or null for the app itself
-- Returns a row for each id, rising by its index from 1: of one who is not there all else is null or false.
select t.i, u.user_no, p.status, p.status_text, p.until_ms, p.last_seen_to, p.last_seen_ms, p.version,
       exists (select 1 from friends f where f.user_no = $3::bigint and f.friend_id = t.id) as is_friend
from unnest($2::text[]) with ordinality as t (id, i)
left join lateral (select u.user_no from users u where u.app = $1 and u.id = t.id offset 0) u on true
left join lateral (select p.* from presences p where p.user_no = u.user_no offset 0) p on true
order by t.i
