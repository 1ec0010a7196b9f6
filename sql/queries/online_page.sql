-- A page of an app's users who are online, by number, with their sessions that are in.
-- $1 app integer   $2 after: user_no   $3 users at most
-- Returns a row for each session; all of a user have the same login_no.
with page as materialized (
  select distinct s.user_no
  from user_sessions s
  join users u on u.user_no = s.user_no
  where s.online and s.user_no > $2 and u.app = $1
  order by s.user_no
  limit $3
)
select u.user_no, u.login_no, s.platform, s.device, s.device_name, s.login_no as device_login_no, s.online, s.ended_by
from page
cross join lateral (select u.* from users u where u.user_no = page.user_no offset 0) u
cross join lateral (select s.* from user_sessions s where s.user_no = page.user_no and s.online offset 0) s
order by u.user_no, s.login_no
