-- Notes that the sessions of a node's former incarnations are over.
-- $1 node bigint   $2 incarnation bigint, the present one
update user_sessions set online = false, ended_at = now() where node = $1 and incarnation < $2 and online
