-- What users say of themselves, when they were last there, and who is whose friend.

-- One row for each user who ever said something, or was seen to leave. `version` rises with each change that the user makes,
-- and decides between two devices. `until_ms`: when the status ends, in milliseconds since 1970.
create table presences (
  user_no      bigint primary key references users,
  status       text not null default 'available',
  status_text  text,
  until_ms     bigint,
  -- Who sees `last_seen_ms`, which is kept to the minute.
  last_seen_to text not null default 'everyone',
  last_seen_ms bigint,
  version      bigint not null default 0
) with (fillfactor = 70);

-- Two rows a friendship, one for each side. A user's id never changes, so that a list goes by id without a look elsewhere.
create table friends (
  user_no   bigint not null references users,
  friend_id text collate "C" not null,
  friend_no bigint not null references users,
  since     timestamptz not null default now(),
  primary key (user_no, friend_id),
  check (user_no <> friend_no)
);

-- Makes two users friends. Both their rows are locked, by rising number, so that two who are added at once are both counted.
-- Returns the outcome ('nobody', 'oneself', 'full', 'known' or 'made') and, where there is one, the friend.
create function add_friend(p_app integer, p_user bigint, p_friend text, p_most bigint)
returns table (outcome text, friend_no bigint) language plpgsql volatile as $$
#variable_conflict use_column
declare
  f bigint;
begin
  select u.user_no into f from users u
    where u.app = p_app and u.id = p_friend and u.deactivated_at is null
      and not exists (select 1 from apps a where a.app = p_app and a.system_no = u.user_no);
  if f is null then
    return query select 'nobody', null::bigint;
    return;
  end if;
  if f = p_user then
    return query select 'oneself', f;
    return;
  end if;
  perform 1 from users u where u.user_no in (p_user, f) order by u.user_no for no key update;
  if exists (select 1 from friends r where r.user_no = p_user and r.friend_id = p_friend) then
    return query select 'known', f;
    return;
  end if;
  if (select count(*) from friends r where r.user_no = p_user) >= p_most
     or (select count(*) from friends r where r.user_no = f) >= p_most then
    return query select 'full', f;
    return;
  end if;
  insert into friends (user_no, friend_id, friend_no)
    select p_user, p_friend, f
    union all
    select f, u.id, p_user from users u where u.user_no = p_user;
  return query select 'made', f;
end $$;

-- Ends a friendship. Returns who was a friend until then, or nobody.
create function remove_friend(p_user bigint, p_friend text) returns table (friend_no bigint)
language plpgsql volatile as $$
#variable_conflict use_column
declare
  f bigint;
begin
  select r.friend_no into f from friends r where r.user_no = p_user and r.friend_id = p_friend;
  if f is null then return; end if;
  perform 1 from users u where u.user_no in (p_user, f) order by u.user_no for no key update;
  delete from friends r where r.user_no = p_user and r.friend_id = p_friend;
  if not found then return; end if;
  delete from friends r using users u
    where u.user_no = p_user and r.user_no = f and r.friend_id = u.id;
  return query select f;
end $$;
