-- Notes that a session stands on another token, unless that is revoked or the session has ended.
-- $1 user_no   $2 login_no   $3 second at which the token was signed
-- FOR SHARE takes turns with a revocation: it sees the new token, or is seen.
-- Returns the session, if it is in.
with may as (
  select user_no from users where user_no = $1 and not_before_s <= $3 and deactivated_at is null for share
)
update user_sessions s set token_s = $3
from may where s.user_no = may.user_no and s.login_no = $2 and s.online
returning s.login_no
