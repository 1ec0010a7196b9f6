-- Whether a session is in.
-- $1 user_no   $2 login_no
select exists (select from user_sessions where user_no = $1 and login_no = $2 and online) as stands
