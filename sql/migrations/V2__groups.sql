-- Groups: who owns which of them, their logs, who is in them, and how far each has read.

-- Since when a node's lease has been held without a break. Only who held on for a while may take others' shards.
alter table nodes add column held_since timestamptz not null default clock_timestamp();

-- Which node may append to the groups of a shard, under which epoch: the fence of all appends to groups. Rows are never
-- deleted: an epoch that started anew would make owners of long ago valid.
create table shard_owner (
  shard       integer primary key,
  epoch       bigint not null,
  node        bigint not null,
  incarnation bigint not null
);

-- `version` rises with each change. Dissolved at `dissolved_seq`, a group keeps its log and its name.
create table groups (
  conversation_no bigint primary key,
  app             integer not null references apps,
  id              text collate "C" not null,
  kind            text not null,
  name            text not null,
  owner_no        bigint references users,
  members         integer not null,
  version         bigint not null,
  created_at      timestamptz not null default now(),
  dissolved_seq   bigint,
  unique (app, id)
);

-- Small and hot, as pair_heads. `counted` is the number of entries so far that count as unread.
create table group_heads (
  conversation_no bigint primary key,
  seq             bigint not null,
  counted         bigint not null,
  last_message_id bigint not null
) with (fillfactor = 50);

-- One row an entry. entry_type: 1 a message, which counts as unread; 2 a notice, which does not. Under sender_no of a
-- notice stands who did what it tells of.
create table group_messages (
  conversation_no bigint not null,
  seq             bigint not null,
  sender_no       bigint not null,
  message_id      bigint not null,
  client_msg_id   uuid not null,
  entry_type      smallint not null,
  target_seq      bigint,
  counted         bigint not null,
  body            bytea not null,
  primary key (conversation_no, seq)
);
-- How many messages of one's own lie above the read cursor: they are not unread.
create index group_messages_of_a_sender on group_messages (conversation_no, sender_no, seq) where entry_type = 1;

-- One row for each who ever was a member, kept after leaving; who joins again has a new join_seq. role: 0 member, 20 owner.
-- The member sees the entries from min_seq on, a former one those up to left_seq, the notice of the leaving, whose
-- message id is left_message_id.
create table group_members (
  conversation_no bigint not null references groups,
  user_no         bigint not null references users,
  role            smallint not null,
  join_seq        bigint not null,
  left_seq        bigint,
  left_message_id bigint,
  min_seq         bigint not null,
  joined_at       timestamptz not null default now(),
  primary key (conversation_no, user_no),
  check ((left_seq is null) = (left_message_id is null))
);
-- However many have come and gone: who is there, where somebody is, and where somebody was, last left first.
create index group_members_present on group_members (conversation_no, user_no) where left_seq is null;
create index group_members_of_a_user on group_members (user_no, conversation_no) where left_seq is null;
create index group_members_former on group_members (user_no, left_message_id, conversation_no) where left_seq is not null;

-- Up to where each member has read; made with the membership, and kept over leaving and joining again.
create table group_cursors (
  conversation_no bigint not null,
  user_no         bigint not null,
  read            bigint not null default 0,
  primary key (conversation_no, user_no)
) with (fillfactor = 70);

-- Commits one notice together with what it tells of, under the same fences as an append: this journal's row in writers, the
-- shard at the epoch of its owner, and the head where the owner believes it. All of it or nothing.
--
-- The order of locks: writers, shard, head, then users by rising number. VOLATILE on purpose: each statement inside has a
-- snapshot of its own, so what is looked at behind a lock is not older than the lock.
--
--   p_app: the app of a group that this makes (else null), with p_id and p_kind; its sender becomes a member and the owner
--   p_name: the new name, or null
--   p_owner_moves: whether p_owner, a member or null, is the owner from now on
--   p_add, p_remove: user numbers, none twice; those added see the entries from p_min_seq on
--   p_dissolve: everyone's membership ends
--   p_groups_most: groups that one user may be in
-- Returns one kind: 'stored'; 'moved', when the epoch, the head or the members are not what was believed; 'taken', when the
-- app has a group of this id; or 'full', a row for each user who would be in too many groups. No row: the writer was fenced.
create function change_group(
  p_node bigint, p_journal integer, p_fence bigint,
  p_group bigint, p_shard integer, p_epoch bigint, p_seq bigint, p_counted bigint,
  p_sender bigint, p_day integer, p_key uuid, p_hash bytea, p_message_id bigint, p_body bytea,
  p_app integer, p_id text, p_kind text, p_name text, p_owner_moves boolean, p_owner bigint,
  p_add bigint[], p_min_seq bigint, p_remove bigint[], p_dissolve boolean, p_groups_most integer
) returns table (kind text, user_no bigint) language plpgsql volatile as $$
#variable_conflict use_column
declare
  full_users bigint[];
  gone integer;
begin
  perform 1 from writers w where w.node = p_node and w.journal = p_journal and w.fence = p_fence for share;
  if not found then return; end if;
  perform 1 from shard_owner o where o.shard = p_shard and o.epoch = p_epoch for share;
  if not found then return query select 'moved', null::bigint; return; end if;

  if p_app is null then
    perform 1 from group_heads h where h.conversation_no = p_group and h.seq = p_seq - 1 for update;
    if not found then return query select 'moved', null::bigint; return; end if;
    -- Rows that say otherwise than the notice would are worse than a change that is asked for again.
    if exists (
         select from group_members m
         where m.conversation_no = p_group and m.user_no = any (p_add) and m.left_seq is null)
       or cardinality(p_remove) <> (
         select count(*) from group_members m
         where m.conversation_no = p_group and m.user_no = any (p_remove) and m.left_seq is null)
       or p_owner_moves and p_owner is not null and p_owner <> all (p_add) and not exists (
         select from group_members m
         where m.conversation_no = p_group and m.user_no = p_owner and m.left_seq is null)
       or exists (select from groups g where g.conversation_no = p_group and g.dissolved_seq is not null) then
      return query select 'moved', null::bigint;
      return;
    end if;
  end if;

  -- Two groups that take in one user at once take turns, so that both count.
  perform 1 from users u where u.user_no = any (p_add) order by u.user_no for no key update;
  select array_agg(a.no) into full_users
    from unnest(p_add) as a (no)
    where (select count(*) from group_members m where m.user_no = a.no and m.left_seq is null) >= p_groups_most;
  if p_app is not null then
    if exists (select from groups g where g.app = p_app and g.id = p_id and g.conversation_no <> p_group) then
      return query select 'taken', null::bigint;
      return;
    end if;
    if full_users is null then
      insert into groups (conversation_no, app, id, kind, name, owner_no, members, version)
        values (p_group, p_app, p_id, p_kind, p_name, p_sender, 0, 0)
        on conflict do nothing;
      if not found then
        -- Made since by somebody else, or before by this very change.
        return query
          select case when exists (select from groups g where g.conversation_no = p_group) then 'moved' else 'taken' end,
                 null::bigint;
        return;
      end if;
      insert into group_heads (conversation_no, seq, counted, last_message_id) values (p_group, p_seq - 1, p_counted, 0);
    end if;
  end if;
  if full_users is not null then
    return query select 'full', f.no from unnest(full_users) as f (no) order by 2;
    return;
  end if;

  update group_heads h set seq = p_seq, counted = p_counted, last_message_id = p_message_id
    where h.conversation_no = p_group;
  insert into group_messages
    (conversation_no, seq, sender_no, message_id, client_msg_id, entry_type, counted, body)
    values (p_group, p_seq, p_sender, p_message_id, p_key, 2, p_counted, p_body);
  insert into dedup (day, key, conversation_no, sender_no, seq, message_id, send_hash)
    values (p_day, p_key, p_group, p_sender, p_seq, p_message_id, p_hash);

  update group_members m set left_seq = p_seq, left_message_id = p_message_id, role = 0
    where m.conversation_no = p_group and m.left_seq is null and (p_dissolve or m.user_no = any (p_remove));
  get diagnostics gone = row_count;
  insert into group_members as m (conversation_no, user_no, role, join_seq, min_seq)
    select p_group, a.no, 0, p_seq, p_min_seq from unnest(p_add) as a (no)
    on conflict (conversation_no, user_no) do update set
      role = 0, join_seq = excluded.join_seq, left_seq = null, left_message_id = null, min_seq = excluded.min_seq,
      joined_at = excluded.joined_at;
  insert into group_cursors (conversation_no, user_no)
    select p_group, a.no from unnest(p_add) as a (no)
    on conflict (conversation_no, user_no) do nothing;
  if p_owner_moves then
    update group_members m set role = 0 from groups g
      where g.conversation_no = p_group and m.conversation_no = p_group and m.user_no = g.owner_no and m.role <> 0;
    update group_members m set role = 20
      where m.conversation_no = p_group and m.user_no = p_owner and m.left_seq is null;
  end if;
  update groups g set
      members = g.members + cardinality(p_add) - gone,
      version = g.version + 1,
      name = coalesce(p_name, g.name),
      owner_no = case when p_owner_moves then p_owner else g.owner_no end,
      dissolved_seq = case when p_dissolve then p_seq end
    where g.conversation_no = p_group;
  return query select 'stored', null::bigint;
end $$;
