-- The keys that sign an app's tokens, newest first; none when there is no such app.
-- $1 app integer
select secret from app_keys where app = $1 order by key_no desc
