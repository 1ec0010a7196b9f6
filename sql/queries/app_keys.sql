-- The keys that sign an app's tokens, newest first; none when there is no such app.
-- $1 app integer
select secret from app_keys where app = $1 and (expires_at is null or expires_at > now()) order by key_no desc
