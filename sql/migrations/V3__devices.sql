-- Who may be logged in together, what ended a session, and how an app's own backend takes part.

-- `session_caps` holds sessions for each platform: web, ios, android, windows, macos, linux, api. `policy_no` rises with each
-- change of these three. `read_receipts`: null is as the node's settings say. `system_no` is the app's own user, which
-- cannot log in; it is there from the transaction on that makes the app.
alter table apps
  add column login_mode    text not null default 'per_class',
  add column on_conflict   text not null default 'newest_wins',
  add column session_caps  smallint[] not null default '{10,3,3,3,3,3,3}' check (cardinality(session_caps) = 7),
  add column policy_no     bigint not null default 0,
  add column read_receipts boolean,
  add column system_no     bigint references users;

-- A key that was rotated away signs until then; the newest has no end.
alter table app_keys add column expires_at timestamptz;

alter table users add column deactivated_at timestamptz;

-- `token_s` is the second at which the session's token was signed. `ended_by` says which decision ended the session, or
-- forbids to go on with one that was over; null: it lasts, or ended by itself.
alter table user_sessions
  add column token_s  bigint not null default 0,
  add column ended_by text;
-- Who is online, and who is so at a node, by number.
create index user_sessions_online on user_sessions (user_no) where online;
drop index user_sessions_of_a_node;
create index user_sessions_of_a_node on user_sessions (node, user_no) where online;

-- A user's list of devices has an end; of more, those that were ended first are forgotten.
delete from user_sessions s using (
  select user_no, platform, device,
         row_number() over (partition by user_no order by online desc, ended_at desc nulls first, login_no desc) as place
  from user_sessions
) placed
where placed.place > 100
  and s.user_no = placed.user_no and s.platform = placed.platform and s.device = placed.device and not s.online;

-- Keys of an app's backend. What is stored of the secret is its SHA-256. `key_id` is 16 hexadecimal digits.
create table api_keys (
  key_id      text collate "C" primary key,
  app         integer not null references apps,
  name        text not null,
  secret_hash bytea not null,
  scopes      text[] not null,
  created_at  timestamptz not null default now(),
  expires_at  timestamptz not null
);
create index api_keys_of_an_app on api_keys (app);

-- What was asked under an Idempotency-Key. A send has a client_msg_id, which makes it the same message again; any other
-- request runs under `claim` until it has a status and a body.
create table idempotency_keys (
  app           integer not null,
  key           text collate "C" not null,
  request_hash  bytea not null,
  client_msg_id uuid,
  claim         uuid,
  begun_at      timestamptz not null default now(),
  status        smallint,
  body          bytea,
  primary key (app, key)
);
create index idempotency_keys_by_age on idempotency_keys (begun_at);

-- Makes a user with all that belongs to one, or finds it.
create function make_user(p_app integer, p_id text, out user_no bigint, out made boolean) language plpgsql as $$
#variable_conflict use_column
declare
  n bigint;
begin
  made := false;
  select u.user_no into n from users u where u.app = p_app and u.id = p_id;
  if not found then
    insert into users (app, id) values (p_app, p_id) on conflict (app, id) do nothing returning user_no into n;
    made := found;
    if made then
      insert into inbox_heads (owner_no) values (n);
    else
      -- Somebody else made it since: their transaction has ended, or the insert would still wait for it.
      select u.user_no into n from users u where u.app = p_app and u.id = p_id;
    end if;
  end if;
  user_no := n;
end $$;

create or replace function open_user(p_app integer, p_id text) returns bigint language sql volatile as $$
  select user_no from make_user(p_app, p_id);
$$;

-- Makes an app with its first key and its system user, unless it is there.
create function make_app(p_app integer, p_name text, p_secret text) returns void language plpgsql as $$
begin
  insert into apps (app, name) values (p_app, p_name) on conflict (app) do nothing;
  if not found then return; end if;
  insert into app_keys (app, key_no, secret) values (p_app, 1, p_secret);
  update apps set system_no = open_user(p_app, 'system') where app = p_app;
end $$;

update apps set system_no = open_user(app, 'system');

-- Adds a key that signs tokens. The one that was the newest stays valid for a while, older ones go. Twice is once.
-- Returns whether there is such an app.
create function rotate_key(p_app integer, p_secret text, p_keep_old_s double precision) returns boolean
language plpgsql as $$
declare
  newest integer;
begin
  perform 1 from apps where app = p_app for no key update;
  if not found then return false; end if;
  if exists (select from app_keys where app = p_app and secret = p_secret) then return true; end if;
  select max(key_no) into newest from app_keys where app = p_app;
  delete from app_keys where app = p_app and key_no < newest;
  update app_keys set expires_at = now() + make_interval(secs => p_keep_old_s) where app = p_app;
  insert into app_keys (app, key_no, secret) values (p_app, coalesce(newest, 0) + 1, p_secret);
  return true;
end $$;

-- Adds an API key, unless the app has as many as it may. Twice is once. Returns whether the key is there.
create function create_api_key(
  p_app integer, p_key_id text, p_name text, p_hash bytea, p_scopes text[], p_valid_s double precision, p_most bigint
) returns boolean language plpgsql as $$
begin
  -- Two that are made at once take turns, so that both count.
  perform 1 from apps where app = p_app for no key update;
  if exists (select from api_keys where key_id = p_key_id) then return true; end if;
  if (select count(*) from api_keys where app = p_app) >= p_most then return false; end if;
  insert into api_keys (key_id, app, name, secret_hash, scopes, expires_at)
    values (p_key_id, p_app, p_name, p_hash, p_scopes, now() + make_interval(secs => p_valid_s));
  return true;
end $$;

-- Logins are decided between two statements from now on.
drop function log_in(integer, text, bigint, text, text, text, bigint, bigint);

-- What logins are decided by. Users that are not there are made; no row for one of an unknown app.
--
-- Two statements in one function: the second sees whom the first has made. Users are made in one order, so that two waves
-- with the same newcomers do not wait for each other in a circle.
--   p_app, p_id: one entry a login; p_devices: devices at most, those that are in first, then the last ones
-- Returns a row for each device, in the order of the logins (i: from 1); one without a platform for a user without any.
create function login_facts(p_app integer[], p_id text[], p_devices bigint) returns table (
  i bigint, user_no bigint, login_no bigint, not_before_s bigint, is_deactivated boolean, is_system boolean,
  login_mode text, on_conflict text, session_caps smallint[], policy_no bigint,
  platform text, device text, device_name text, device_login_no bigint, online boolean, ended_by text
) language plpgsql volatile set enable_seqscan = off set jit = off as $$
#variable_conflict use_column
declare
  newcomer record;
begin
  for newcomer in
    select distinct t.app, t.id from unnest(p_app, p_id) as t (app, id)
    where exists (select from apps a where a.app = t.app)
      and not exists (select from users u where u.app = t.app and u.id = t.id)
    order by t.app, t.id
  loop
    perform open_user(newcomer.app, newcomer.id);
  end loop;
  return query
    select t.i, u.user_no, u.login_no, u.not_before_s, u.deactivated_at is not null, u.user_no is not distinct from a.system_no,
           a.login_mode, a.on_conflict, a.session_caps, a.policy_no,
           s.platform, s.device, s.device_name, s.login_no, s.online, s.ended_by
    from unnest(p_app, p_id) with ordinality as t (app, id, i)
    cross join lateral (select a.* from apps a where a.app = t.app offset 0) a
    cross join lateral (select u.* from users u where u.app = t.app and u.id = t.id offset 0) u
    left join lateral (
      select s.* from user_sessions s where s.user_no = u.user_no order by s.online desc, s.login_no desc limit p_devices
    ) s on true
    order by t.i;
end $$;

-- Enters logins that were decided by facts that still hold: nobody has logged in or was ended since, the policy is the same,
-- and the token and the user may come in. Others are left out, and the rest goes on.
--
-- The order of locks: apps, then users by rising number. Whoever decides about sessions raises login_no under the lock of
-- the user's row; VOLATILE on purpose, so that what is compared behind the locks is not older than they are.
--   p_*: one entry a login; of several that fit for one user the first wins
--   e_*: one entry a session that ends for a login (e_login: its index from 1)
--   p_devices_kept: rows of a user that stay
-- Returns those that came in (i: from 1), with the user's sessions that are in now.
create function enter_logins(
  p_node bigint, p_incarnation bigint,
  p_user bigint[], p_expected bigint[], p_policy bigint[], p_token_s bigint[],
  p_platform text[], p_device text[], p_device_name text[],
  e_login bigint[], e_platform text[], e_device text[],
  p_devices_kept bigint
) returns table (i bigint, login_no bigint, standing bigint[])
language plpgsql volatile set enable_seqscan = off set jit = off as $$
#variable_conflict use_column
declare
  won bigint[];
  users_in bigint[];
begin
  perform 1 from apps a
    where a.app in (select u.app from users u where u.user_no = any (p_user)) order by a.app for share;
  perform 1 from users u where u.user_no = any (p_user) order by u.user_no for no key update;
  select array_agg(w.i), array_agg(w.user_no) into won, users_in from (
    select distinct on (l.user_no) l.i, l.user_no
    from unnest(p_user, p_expected, p_policy, p_token_s) with ordinality as l (user_no, expected, policy, token_s, i)
    cross join lateral (select u.* from users u where u.user_no = l.user_no offset 0) u
    cross join lateral (select a.* from apps a where a.app = u.app offset 0) a
    where u.login_no = l.expected and a.policy_no = l.policy and u.not_before_s <= l.token_s
      and u.deactivated_at is null and u.user_no is distinct from a.system_no
    order by l.user_no, l.i
  ) w;
  if won is null then return; end if;

  update users u set login_no = u.login_no + 1 where u.user_no = any (users_in);
  update user_sessions s set online = false, ended_by = 'policy', ended_at = coalesce(s.ended_at, now())
    from unnest(e_login, e_platform, e_device) as e (i, platform, device)
    where e.i = any (won) and s.user_no = p_user[e.i] and s.platform = e.platform and s.device = e.device;
  insert into user_sessions as s
    (user_no, platform, device, device_name, login_no, token_s, node, incarnation, online)
    select l.user_no, l.platform, l.device, l.device_name, l.expected + 1, l.token_s, p_node, p_incarnation, true
    from unnest(p_user, p_expected, p_token_s, p_platform, p_device, p_device_name) with ordinality
      as l (user_no, expected, token_s, platform, device, device_name, i)
    where l.i = any (won)
    order by l.user_no
    on conflict (user_no, platform, device) do update set
      device_name = excluded.device_name, login_no = excluded.login_no, token_s = excluded.token_s, node = excluded.node,
      incarnation = excluded.incarnation, online = true, logged_in_at = now(), ended_at = null, ended_by = null;
  delete from user_sessions s
    using unnest(users_in) as l (user_no)
    cross join lateral (
      select o.platform, o.device from user_sessions o where o.user_no = l.user_no
      order by o.online desc, o.ended_at desc nulls first, o.login_no desc offset p_devices_kept
    ) old
    where s.user_no = l.user_no and s.platform = old.platform and s.device = old.device and not s.online;

  return query
    select l.i, p_expected[l.i] + 1,
           array(select s.login_no from user_sessions s where s.user_no = p_user[l.i] and s.online order by 1)
    from unnest(won) as l (i);
end $$;

-- Ends sessions of a user whose row is locked and was raised to p_at. Those that were over are marked, too, so that nobody
-- goes on with them.
--   p_doomed: their login numbers
-- Returns a row for each session that is in still (ended_by: null) and for each that was in until now (ended_by: why); one
-- without a platform if there are none.
create function end_doomed(p_user bigint, p_at bigint, p_doomed bigint[], p_why text) returns table (
  user_no bigint, login_no bigint, platform text, device text, device_name text, device_login_no bigint, online boolean,
  ended_by text
) language plpgsql volatile as $$
#variable_conflict use_column
declare
  were_in bigint[];
begin
  select array_agg(s.login_no) into were_in
    from user_sessions s where s.user_no = p_user and s.online and s.login_no = any (p_doomed);
  update user_sessions s
    set online = false, ended_by = coalesce(s.ended_by, p_why), ended_at = coalesce(s.ended_at, now())
    where s.user_no = p_user and s.login_no = any (p_doomed);
  return query
    select p_user, p_at, s.platform, s.device, s.device_name, s.login_no, s.online, s.ended_by
    from (select) as always
    left join user_sessions s on s.user_no = p_user and (s.online or s.login_no = any (were_in));
end $$;

-- Ends a user's sessions, those that a filter names.
--   p_platform, p_device: of these devices; null: of any   p_but: all but this session, or null
--   p_before_s: those whose token was signed before this second; null: whenever
-- Returns what end_doomed does; nothing when there is no such user.
create function end_sessions(
  p_user bigint, p_platform text, p_device text, p_but bigint, p_before_s bigint, p_why text
) returns table (
  user_no bigint, login_no bigint, platform text, device text, device_name text, device_login_no bigint, online boolean,
  ended_by text
) language plpgsql volatile as $$
#variable_conflict use_column
declare
  raised bigint;
begin
  -- Also when no session fits: a login that was decided by what was before has to look again.
  update users u set login_no = u.login_no + 1 where u.user_no = p_user returning u.login_no into raised;
  if not found then return; end if;
  return query select * from end_doomed(p_user, raised, array(
    select s.login_no from user_sessions s
    where s.user_no = p_user
      and (p_platform is null or s.platform = p_platform)
      and (p_device is null or s.device = p_device)
      and (p_but is null or s.login_no <> p_but)
      and (p_before_s is null or s.token_s < p_before_s)
  ), p_why);
end $$;

-- Ends all tokens of a user that were signed before a second, with the sessions that stand on them. The second only rises.
drop function revoke_tokens(integer, text, bigint);
create function revoke_tokens(p_user bigint, p_before_s bigint) returns table (
  user_no bigint, login_no bigint, platform text, device text, device_name text, device_login_no bigint, online boolean,
  ended_by text
) language plpgsql volatile as $$
#variable_conflict use_column
begin
  update users u set not_before_s = greatest(u.not_before_s, p_before_s) where u.user_no = p_user;
  return query select * from end_sessions(p_user, null, null, null, p_before_s, 'revoked');
end $$;

-- Lets a user in no more, and ends all of its sessions; or lets it in again.
create function set_deactivated(p_user bigint, p_deactivated boolean) returns table (
  user_no bigint, login_no bigint, platform text, device text, device_name text, device_login_no bigint, online boolean,
  ended_by text
) language plpgsql volatile as $$
#variable_conflict use_column
declare
  raised bigint;
begin
  update users u set deactivated_at = case when p_deactivated then coalesce(u.deactivated_at, now()) end
    where u.user_no = p_user returning u.login_no into raised;
  if not found then return; end if;
  if p_deactivated then
    return query select * from end_sessions(p_user, null, null, null, null, 'deactivated');
  else
    return query select * from end_doomed(p_user, raised, '{}', 'deactivated');
  end if;
end $$;

-- Ends sessions that a changed policy does not allow, of users who have not logged in and were not ended since.
--   p_*: one entry a user, rising, and the login_no by which it was decided
--   d_*: one entry a session (d_user: the number of its user)
-- Returns what end_doomed does, for each user that was as expected.
create function end_misfits(
  p_user bigint[], p_expected bigint[], d_user bigint[], d_platform text[], d_device text[]
) returns table (
  user_no bigint, login_no bigint, platform text, device text, device_name text, device_login_no bigint, online boolean,
  ended_by text
) language plpgsql volatile as $$
#variable_conflict use_column
declare
  one record;
  raised bigint;
begin
  for one in select * from unnest(p_user, p_expected) as t (no, expected) order by t.no loop
    update users u set login_no = u.login_no + 1
      where u.user_no = one.no and u.login_no = one.expected returning u.login_no into raised;
    continue when not found;
    return query select * from end_doomed(one.no, raised, array(
      select s.login_no
      from unnest(d_user, d_platform, d_device) as d (no, platform, device)
      join user_sessions s on s.user_no = d.no and s.platform = d.platform and s.device = d.device
      where d.no = one.no
    ), 'policy');
  end loop;
end $$;

-- Begins a request under an Idempotency-Key, and forgets some keys that are older than they are kept.
--
--   p_client_msg_id: for a send, else null   p_claim: for any other request, else null
--   p_kept_s: how long keys are kept   p_runs_s: how long a request may run before it may be begun again
--   p_swept: keys that are forgotten, at most
-- Returns the row as it stands, and whether it was begun by this call; a call that is repeated with its claim begins it again.
create function begin_request(
  p_app integer, p_key text, p_hash bytea, p_client_msg_id uuid, p_claim uuid,
  p_kept_s double precision, p_runs_s double precision, p_swept bigint
) returns table (begun boolean, request_hash bytea, client_msg_id uuid, status smallint, body bytea)
language plpgsql volatile as $$
#variable_conflict use_column
declare
  kept_since timestamptz := now() - make_interval(secs => p_kept_s);
begin
  delete from idempotency_keys k using (
    select o.app, o.key from idempotency_keys o where o.begun_at < kept_since
    order by o.begun_at limit p_swept for update skip locked
  ) old where k.app = old.app and k.key = old.key;
  return query
    insert into idempotency_keys as k (app, key, request_hash, client_msg_id, claim)
    values (p_app, p_key, p_hash, p_client_msg_id, p_claim)
    on conflict (app, key) do update set
      request_hash = excluded.request_hash, client_msg_id = excluded.client_msg_id, claim = excluded.claim,
      begun_at = now(), status = null, body = null
      where k.begun_at < kept_since
        or k.status is null and k.request_hash = excluded.request_hash
          and (k.claim = excluded.claim or k.claim is not null and k.begun_at < now() - make_interval(secs => p_runs_s))
    returning true, k.request_hash, k.client_msg_id, k.status, k.body;
  -- The insert has locked the row, so it is there and as it was compared.
  if not found then
    return query select false, k.request_hash, k.client_msg_id, k.status, k.body
      from idempotency_keys k where k.app = p_app and k.key = p_key;
  end if;
end $$;
