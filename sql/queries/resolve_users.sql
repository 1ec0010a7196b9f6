-- Finds users of an app by their ids.
-- $1 app integer   $2 ids text[]
-- Returns a row for each that is there: its index from 1 and its number.
select t.i, u.user_no
from unnest($2::text[]) with ordinality as t (id, i)
cross join lateral (select u.user_no from users u where u.app = $1 and u.id = t.id offset 0) u
