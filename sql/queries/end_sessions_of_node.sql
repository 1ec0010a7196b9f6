-- Notes that the sessions of a node's former incarnations are over.
-- $1 node bigint   $2 incarnation bigint, the present one
-- The users come first, by rising number, as for whoever else writes more than one of these rows.
with locked as materialized (
  select u.user_no from users u
  where u.user_no in (select s.user_no from user_sessions s where s.node = $1 and s.incarnation < $2 and s.online)
  order by u.user_no
  for no key update
)
update user_sessions s set online = false, ended_at = now()
from locked l where s.user_no = l.user_no and s.node = $1 and s.incarnation < $2 and s.online
