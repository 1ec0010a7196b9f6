-- Notes that a device went offline, unless it has logged in again since.
-- $1 user_no bigint   $2 platform text   $3 device text   $4 login_no bigint
update user_sessions set online = false, ended_at = now()
where user_no = $1 and platform = $2 and device = $3 and login_no = $4 and online
