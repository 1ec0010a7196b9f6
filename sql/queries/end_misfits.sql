-- Ends sessions that a changed policy does not allow; the function says of whom.
-- One entry a user, rising: $1 users bigint[]   $2 the login_no by which it was decided bigint[]
-- One entry a session: $3 users bigint[]   $4 platforms text[]   $5 devices text[]
-- Returns, for each user of whom that still holds, the sessions that are in still and those that were until now.
select user_no, login_no, platform, device, device_name, device_login_no, online, ended_by
from end_misfits($1, $2, $3, $4, $5)
