-- One-to-one messages: who there is, who is logged in, what was said, and what was heard of it.
-- Every hot table's key begins with the number by which it could be distributed.

-- The store's own identity. The epoch changes only when the database itself lost committed data.
create table store_identity (
  only_row          boolean primary key default true check (only_row),
  epoch             text not null,
  system_identifier bigint not null,
  timeline          integer not null
);

-- One row a node, for as long as it is known. `number` stands inside message ids.
create table nodes (
  node        bigint primary key,
  incarnation bigint not null,
  number      smallint unique,
  lease_until timestamptz not null
);

-- One row a journal. Raising `fence` waits for the statement in flight and shuts out every later one.
create table writers (
  node    bigint not null,
  journal integer not null,
  fence   bigint not null,
  primary key (node, journal)
);

create table apps (
  app        integer primary key check (app >= 1),
  name       text not null,
  created_at timestamptz not null default now()
);

-- Keys that the app's backend signs tokens with; two may be valid at once, for rotation.
create table app_keys (
  app        integer not null references apps,
  key_no     integer not null,
  secret     text not null,
  created_at timestamptz not null default now(),
  primary key (app, key_no)
);

create table users (
  user_no      bigint generated always as identity primary key,
  app          integer not null references apps,
  id           text collate "C" not null,
  login_no     bigint not null default 0,
  -- Tokens signed before this second (since 1970) are revoked.
  not_before_s bigint not null default 0,
  created_at   timestamptz not null default now(),
  unique (app, id)
);

-- One row a device: its last login, and where it is while it is online.
create table user_sessions (
  user_no      bigint not null references users,
  platform     text not null,
  device       text collate "C" not null,
  device_name  text,
  login_no     bigint not null,
  node         bigint not null,
  incarnation  bigint not null,
  online       boolean not null,
  logged_in_at timestamptz not null default now(),
  ended_at     timestamptz,
  primary key (user_no, platform, device)
);
create index user_sessions_of_a_node on user_sessions (node) where online;

-- Pairs and groups are numbered from one sequence, so that a conversation is one number everywhere.
create sequence conversation_numbers;

-- A pair with oneself has the same number twice.
create table pairs (
  conversation_no bigint primary key default nextval('conversation_numbers'),
  low_no          bigint not null references users,
  high_no         bigint not null references users,
  unique (low_no, high_no),
  check (low_no <= high_no)
);

-- Small and hot: half of each page is left free, and nothing that changes is indexed, so that updates stay in the page.
-- `counted` is the number of entries so far that count as unread, `counted_low` those of them that low_no sent.
create table pair_heads (
  conversation_no bigint primary key,
  seq             bigint not null default 0,
  counted         bigint not null default 0,
  counted_low     bigint not null default 0,
  last_message_id bigint not null default 0
) with (fillfactor = 50);

create table inbox_heads (
  owner_no bigint primary key,
  seq      bigint not null default 0
) with (fillfactor = 50);

-- One row an entry. `inbox_low` and `inbox_high` are its places in the two inboxes (high: null in a pair with oneself).
create table pair_messages (
  conversation_no bigint not null,
  seq             bigint not null,
  sender_no       bigint not null,
  message_id      bigint not null,
  client_msg_id   uuid not null,
  entry_type      smallint not null,
  target_seq      bigint,
  counted         bigint not null,
  counted_low     bigint not null,
  inbox_low       bigint not null,
  inbox_high      bigint,
  body            bytea not null,
  primary key (conversation_no, seq)
);

create table inbox (
  owner_no        bigint not null,
  inbox_seq       bigint not null,
  conversation_no bigint not null,
  seq             bigint not null,
  primary key (owner_no, inbox_seq)
);

-- What was sent under a client message id, for the dedup window. One partition for each UTC day inside the UUIDv7.
create table dedup (
  day             integer not null,
  key             uuid not null,
  conversation_no bigint not null,
  sender_no       bigint not null,
  seq             bigint not null,
  message_id      bigint not null,
  send_hash       bytea not null,
  primary key (day, key, conversation_no, sender_no)
) partition by list (day);

-- What the owner's devices have acknowledged, what the server answered in their place, and what the owner has read.
create table pair_cursors (
  owner_no        bigint not null,
  conversation_no bigint not null,
  peer_no         bigint not null,
  by_device       bigint not null default 0,
  by_server       bigint not null default 0,
  read            bigint not null default 0,
  primary key (owner_no, conversation_no)
) with (fillfactor = 70);

-- Makes the partitions of dedup for the days p_first to p_last, and drops those before p_drop_before.
-- Made apart and then attached: CREATE TABLE … PARTITION OF would lock out every append while it waits.
create function keep_dedup_days(p_first integer, p_last integer, p_drop_before integer) returns void
language plpgsql as $$
declare
  d integer;
  old record;
begin
  -- Two nodes that start at once take turns; appends are not held up by this.
  lock table dedup in share update exclusive mode;
  for d in p_first .. p_last loop
    if to_regclass('dedup_' || d) is null then
      execute format('create table %I (like dedup including defaults including constraints including indexes)', 'dedup_' || d);
      execute format('alter table dedup attach partition %I for values in (%s)', 'dedup_' || d, d);
    end if;
  end loop;
  for old in
    select c.oid::regclass::text as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'dedup'::regclass and substr(c.relname, 7)::integer < p_drop_before
  loop
    execute format('drop table %s', old.name);
  end loop;
end $$;

-- Makes a user with all that belongs to one, or finds it. Returns its number.
create function open_user(p_app integer, p_id text) returns bigint language plpgsql as $$
declare
  n bigint;
begin
  select u.user_no into n from users u where u.app = p_app and u.id = p_id;
  if found then return n; end if;
  insert into users (app, id) values (p_app, p_id) on conflict (app, id) do nothing returning user_no into n;
  if n is null then
    -- Somebody else made it since: their transaction has ended, or the insert would still wait for it.
    select u.user_no into n from users u where u.app = p_app and u.id = p_id;
    return n;
  end if;
  insert into inbox_heads (owner_no) values (n);
  return n;
end $$;

-- Ends all tokens of a user that were signed before a second. It only rises. One who never logged in is made for it, with
-- all that belongs to a user: one without an inbox could be written to by nobody.
create function revoke_tokens(p_app integer, p_id text, p_before_s bigint) returns void language plpgsql as $$
declare
  n bigint := open_user(p_app, p_id);
begin
  update users u set not_before_s = greatest(u.not_before_s, p_before_s) where u.user_no = n;
end $$;

-- Makes the pair of two users with all that belongs to one, or finds it. Returns its number.
create function open_pair(p_one bigint, p_other bigint) returns bigint language plpgsql as $$
declare
  n bigint;
  lo bigint := least(p_one, p_other);
  hi bigint := greatest(p_one, p_other);
begin
  select p.conversation_no into n from pairs p where p.low_no = lo and p.high_no = hi;
  if found then return n; end if;
  insert into pairs (low_no, high_no) values (lo, hi)
    on conflict (low_no, high_no) do nothing returning conversation_no into n;
  if n is null then
    select p.conversation_no into n from pairs p where p.low_no = lo and p.high_no = hi;
    return n;
  end if;
  insert into pair_heads (conversation_no) values (n);
  insert into pair_cursors (owner_no, conversation_no, peer_no) values (lo, n, hi);
  if hi <> lo then
    insert into pair_cursors (owner_no, conversation_no, peer_no) values (hi, n, lo);
  end if;
  return n;
end $$;

-- One login: raises the user's login number and notes where the device is. Both under the lock of the user's row, so that
-- the store orders the logins. `revoked` is true, and nothing is written, when the token was signed before not_before_s.
create function log_in(
  p_app integer, p_id text, p_token_s bigint, p_platform text, p_device text, p_device_name text,
  p_node bigint, p_incarnation bigint
) returns table (user_no bigint, login_no bigint, revoked boolean) language plpgsql as $$
#variable_conflict use_column
declare
  n bigint := open_user(p_app, p_id);
  l bigint;
  not_before bigint;
begin
  select u.login_no + 1, u.not_before_s into l, not_before from users u where u.user_no = n for update;
  if p_token_s < not_before then
    return query select n, l, true;
    return;
  end if;
  update users u set login_no = l where u.user_no = n;
  insert into user_sessions as s
    (user_no, platform, device, device_name, login_no, node, incarnation, online)
    values (n, p_platform, p_device, p_device_name, l, p_node, p_incarnation, true)
    on conflict (user_no, platform, device) do update set
      device_name = excluded.device_name, login_no = excluded.login_no, node = excluded.node,
      incarnation = excluded.incarnation, online = true, logged_in_at = now(), ended_at = null;
  return query select n, l, false;
end $$;

-- Appends a batch of one-to-one messages: one body each, one inbox row for each of the two owners.
--
-- Two nodes may write to one pair at once, so nobody owns its head. The order of locks is fixed: this journal's row in
-- writers, pair heads by rising number, inbox heads by rising number; no other statement locks two of these rows.
-- VOLATILE on purpose: each statement inside has a snapshot of its own, so the look-up of keys sees what was committed
-- while we waited for the heads. As one SQL statement the look-up would be older than the lock.
--
-- The caller has counted the ordinals. A batch that holds a stored key does nothing but say so ('known'); the caller
-- answers those and sends the rest again. No row at all: the writer was fenced.
--   h_*: one entry a pair, rising: number, messages, messages by its low user, id of the last message
--   o_*: one entry an inbox, rising: owner, messages
--   m_*: one entry a message: pair, its ordinal there, how many up to it are by the low user, sender, day, key, hash, id,
--        entry type, body, then both owners and its ordinals in their inboxes (high: null in a pair with oneself)
-- Returns kind 'known' (no: index in m_* from 1, seq, message_id, send_hash), or 'pair' and 'inbox' (no: pair or owner,
-- seq: the head before the batch).
create function append_pairs(
  p_node bigint, p_journal integer, p_fence bigint,
  h_pair bigint[], h_count bigint[], h_low bigint[], h_last bigint[],
  o_owner bigint[], o_count bigint[],
  m_pair bigint[], m_n bigint[], m_low_n bigint[], m_sender bigint[], m_day integer[], m_key uuid[], m_hash bytea[],
  m_id bigint[], m_type smallint[], m_body bytea[],
  m_low bigint[], m_low_k bigint[], m_high bigint[], m_high_k bigint[]
) returns table (kind text, no bigint, seq bigint, message_id bigint, send_hash bytea) language plpgsql volatile as $$
#variable_conflict use_column
declare
  bases bigint[];
  counted_bases bigint[];
  low_bases bigint[];
  inbox_bases bigint[];
begin
  perform 1 from writers w where w.node = p_node and w.journal = p_journal and w.fence = p_fence for update;
  if not found then return; end if;

  select array_agg(l.seq order by l.conversation_no), array_agg(l.counted order by l.conversation_no),
         array_agg(l.counted_low order by l.conversation_no)
    into bases, counted_bases, low_bases
    from (select h.* from pair_heads h where h.conversation_no = any (h_pair) order by h.conversation_no for update) l;
  -- A head that is missing would shift the others: seqs would go to the wrong pair.
  if cardinality(bases) is distinct from cardinality(h_pair) then
    raise exception 'a pair of the batch has no head';
  end if;

  return query
    select 'known', m.i, d.seq, d.message_id, d.send_hash
    from unnest(m_pair, m_sender, m_day, m_key) with ordinality as m (pair, sender, day, key, i)
    cross join lateral (
      select d.seq, d.message_id, d.send_hash from dedup d
      where d.day = m.day and d.key = m.key and d.conversation_no = m.pair and d.sender_no = m.sender
      offset 0
    ) d;
  if found then return; end if;

  select array_agg(l.seq order by l.owner_no) into inbox_bases
    from (select h.* from inbox_heads h where h.owner_no = any (o_owner) order by h.owner_no for update) l;
  if cardinality(inbox_bases) is distinct from cardinality(o_owner) then
    raise exception 'an owner of the batch has no inbox';
  end if;

  update pair_heads h
    set seq = h.seq + b.count, counted = h.counted + b.count, counted_low = h.counted_low + b.low, last_message_id = b.last
    from unnest(h_pair, h_count, h_low, h_last) as b (pair, count, low, last) where h.conversation_no = b.pair;
  update inbox_heads h set seq = h.seq + b.count
    from unnest(o_owner, o_count) as b (owner, count) where h.owner_no = b.owner;

  with base as materialized (
    select * from unnest(h_pair, bases, counted_bases, low_bases) as b (pair, seq, counted, counted_low)
  ), inbox_base as materialized (
    select * from unnest(o_owner, inbox_bases) as b (owner, seq)
  ), placed as materialized (
    select m.*, b.seq + m.n as seq, b.counted + m.n as counted, b.counted_low + m.low_n as counted_low,
           lo.seq + m.low_k as inbox_low, hi.seq + m.high_k as inbox_high
    from unnest(m_pair, m_n, m_low_n, m_sender, m_day, m_key, m_hash, m_id, m_type, m_body, m_low, m_low_k, m_high, m_high_k)
      as m (pair, n, low_n, sender, day, key, hash, id, type, body, low, low_k, high, high_k)
    join base b on b.pair = m.pair
    join inbox_base lo on lo.owner = m.low
    left join inbox_base hi on hi.owner = m.high
  ), bodies as (
    insert into pair_messages
      (conversation_no, seq, sender_no, message_id, client_msg_id, entry_type, counted, counted_low, inbox_low, inbox_high, body)
    select pair, seq, sender, id, key, type, counted, counted_low, inbox_low, inbox_high, body from placed
  ), remembered as (
    insert into dedup (day, key, conversation_no, sender_no, seq, message_id, send_hash)
    select day, key, pair, sender, seq, id, hash from placed
  )
  insert into inbox (owner_no, inbox_seq, conversation_no, seq)
  select low, inbox_low, pair, seq from placed
  union all
  select high, inbox_high, pair, seq from placed where high is not null;

  return query select 'pair', b.pair, b.seq, null::bigint, null::bytea from unnest(h_pair, bases) as b (pair, seq);
  return query select 'inbox', b.owner, b.seq, null::bigint, null::bytea from unnest(o_owner, inbox_bases) as b (owner, seq);
end $$;
