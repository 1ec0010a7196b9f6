-- A page of a user's devices, the last login first.
-- $1 user_no   $2 before: login_no   $3 rows at most
select platform, device, device_name, login_no as device_login_no, online, ended_by,
       floor(extract(epoch from logged_in_at) * 1000)::bigint as logged_in_at_ms,
       floor(extract(epoch from ended_at) * 1000)::bigint as ended_at_ms
from user_sessions
where user_no = $1 and login_no < $2
order by login_no desc
limit $3
