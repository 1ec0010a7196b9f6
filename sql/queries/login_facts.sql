-- What logins are decided by; the function says how, and makes users who are not there.
-- $1 apps integer[]   $2 user ids text[], one a login   $3 devices of each at most
-- Returns a row for each device, in the order of the logins (i: from 1); no row for a login to an unknown app.
select i, user_no, login_no, not_before_s, is_deactivated, is_system, login_mode, on_conflict, session_caps, policy_no,
       platform, device, device_name, device_login_no, online, ended_by
from login_facts($1, $2, $3)
