-- What others do for a node that is gone.

-- The incarnation for which that was done last; null once the node is there again.
alter table nodes add column buried bigint;
-- Whether the node is about to go: it keeps its lease until its sessions have left, and is given no shard.
alter table nodes add column is_leaving boolean not null default false;

-- Does for one node whose lease is over what it can no longer do: fences its writers, so that nothing which it still has in
-- hand is stored, notes when its users were last seen, and ends their sessions, some users at a time. None while the
-- caller's own lease has not been held without a break for so long, since the database was started too: then all leases
-- look as if over.
--
-- The order of locks: the node, its writers, then users by rising number.
--   p_held_s: how long, in seconds   p_minute_ms: what a time of leaving is rounded down to   p_users: users at most
-- Returns the node, how many sessions were ended, and whether that was all.
create function bury_dead_node(
  p_node bigint, p_incarnation bigint, p_held_s double precision, p_minute_ms bigint, p_users bigint
) returns table (node bigint, ended bigint, is_done boolean)
language plpgsql volatile set enable_seqscan = off set jit = off as $$
#variable_conflict use_column
declare
  dead record;
  doomed bigint[];
  ended_now bigint;
begin
  select n.node, n.incarnation, n.lease_until into dead
  from nodes n
  where n.node <> p_node and n.lease_until < clock_timestamp() and n.buried is distinct from n.incarnation
    and exists (
      select from nodes own
      where own.node = p_node and own.incarnation = p_incarnation and own.lease_until > clock_timestamp()
        and greatest(own.held_since, pg_postmaster_start_time()) <= clock_timestamp() - make_interval(secs => p_held_s)
    )
  order by n.node limit 1
  for update skip locked;
  if not found then return; end if;

  update writers w set fence = w.fence + 1 where w.node = dead.node;
  select array_agg(u.user_no) into doomed from (
    select u.user_no from users u
    where u.user_no in (
      select distinct s.user_no from user_sessions s
      where s.node = dead.node and s.incarnation <= dead.incarnation and s.online
      order by s.user_no limit p_users
    )
    order by u.user_no
    for no key update
  ) u;
  insert into presences as p (user_no, last_seen_ms)
    select d.user_no, m.ms - m.ms % p_minute_ms
    from unnest(doomed) as d (user_no)
    cross join (select (extract(epoch from dead.lease_until) * 1000)::bigint as ms) m
    where not exists (
      select 1 from presences q
      where q.user_no = d.user_no and q.status = 'invisible' and (q.until_ms is null or q.until_ms > m.ms)
    )
    order by d.user_no
  on conflict (user_no) do update set last_seen_ms = greatest(p.last_seen_ms, excluded.last_seen_ms);
  update user_sessions s set online = false, ended_at = now()
    where s.user_no = any (doomed) and s.node = dead.node and s.incarnation <= dead.incarnation and s.online;
  get diagnostics ended_now = row_count;
  if coalesce(cardinality(doomed), 0) < p_users then
    update nodes n set buried = n.incarnation where n.node = dead.node;
    return query select dead.node, ended_now, true;
  else
    return query select dead.node, ended_now, false;
  end if;
end $$;
