-- Changes an app's login policy. Logins that were decided by the former one are decided again.
-- $1 app integer   $2 mode   $3 conflict rule   $4 sessions for each platform smallint[]
-- Returns the app, if it is there.
update apps set login_mode = $2, on_conflict = $3, session_caps = $4, policy_no = policy_no + 1 where app = $1 returning app
