-- Ends all tokens of a user that were signed before a second, with their sessions; the function says how.
-- $1 user_no   $2 second since 1970
-- Returns the sessions that are in still and those that were until now; one row without a platform if there are none.
select user_no, login_no, platform, device, device_name, device_login_no, online, ended_by from revoke_tokens($1, $2)
