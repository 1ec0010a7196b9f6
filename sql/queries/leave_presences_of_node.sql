-- Notes when those were last seen whom a former incarnation of a node left online: when its lease ended, or now. One who was
-- invisible was not seen.
-- $1 node bigint   $2 what the time is rounded down to, in milliseconds, bigint
-- To be run before the node joins again, which begins a new lease.
insert into presences as p (user_no, last_seen_ms)
select distinct s.user_no, m.ms - m.ms % $2::bigint
from nodes n
cross join lateral (
  select (extract(epoch from least(n.lease_until, clock_timestamp())) * 1000)::bigint as ms
) m
join user_sessions s on s.node = n.node and s.online
where n.node = $1 and not exists (
  select 1 from presences q
  where q.user_no = s.user_no and q.status = 'invisible' and (q.until_ms is null or q.until_ms > m.ms)
)
order by s.user_no
on conflict (user_no) do update set last_seen_ms = greatest(p.last_seen_ms, excluded.last_seen_ms)
