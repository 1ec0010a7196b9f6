-- Sessions that are in at a node for longer than a login takes, by user; all of a user or none. Those of a former
-- incarnation were written when the next one had already begun.
-- $1 node bigint   $2 incarnation bigint   $3 users after this number   $4 about how many
select s.user_no, s.platform, s.device, s.login_no
from user_sessions s
where s.node = $1 and s.incarnation <= $2 and s.online and s.user_no > $3
  and s.logged_in_at < clock_timestamp() - interval '1 minute'
order by s.user_no
fetch first $4 rows with ties
