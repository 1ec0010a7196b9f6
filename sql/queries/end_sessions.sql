-- Ends sessions of a user; the function says how.
-- $1 user_no   $2 platform, null: any   $3 device, null: any   $4 login_no of the one that stays, or null   $5 why
-- Returns the sessions that are in still and those that were until now; one row without a platform if there are none.
select user_no, login_no, platform, device, device_name, device_login_no, online, ended_by
from end_sessions($1, $2, $3, $4, null, $5)
