-- Lets a user in no more, or again; the function says how.
-- $1 user_no   $2 whether it is deactivated
-- Returns the sessions that are in still and those that were until now; one row without a platform if there are none.
select user_no, login_no, platform, device, device_name, device_login_no, online, ended_by from set_deactivated($1, $2)
