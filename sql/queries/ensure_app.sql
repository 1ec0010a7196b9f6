-- Makes the app with its first key, unless it is there.
-- $1 app integer   $2 name text   $3 secret text
with made as (
  insert into apps (app, name) values ($1, $2) on conflict (app) do nothing
)
insert into app_keys (app, key_no, secret)
select $1, 1, $3 where not exists (select 1 from app_keys where app = $1)
on conflict (app, key_no) do nothing
