-- Gives some shards to the node that has the fewest, if that is below its share and we are above ours, under a new epoch. A node
-- that is about to go has no share.
-- $1 node   $2 incarnation   $3 for how long the other has to have held its lease, in seconds   $4 shards at most
-- FOR UPDATE waits for the appends in flight, in the order in which they lock. Which ones is as if drawn by lot (619 has no
-- divisor in common with 1024): groups are numbered one after the other, and each node finds a number of its own soon.
with live as materialized (
  select n.node, n.incarnation, n.held_since,
         (select count(*) from shard_owner s where s.node = n.node and s.incarnation = n.incarnation) as shards
  from nodes n where n.lease_until > clock_timestamp() + interval '3 seconds' and not n.is_leaving or n.node = $1
), fair as materialized (
  select ceil(1024.0 / count(*))::bigint as most, floor(1024.0 / count(*))::bigint as least from live
), poorest as materialized (
  select l.* from live l, fair f
  where l.node <> $1 and l.shards < f.least and l.held_since <= clock_timestamp() - make_interval(secs => $3)
  order by l.shards, l.node limit 1
), given as materialized (
  select shard from shard_owner
  where node = $1 and incarnation = $2 and shard in (
    select shard from shard_owner
    where node = $1 and incarnation = $2
    order by shard * 619 % 1024
    limit greatest(least($4::bigint,
      (select l.shards - f.most from live l, fair f where l.node = $1),
      coalesce((select f.least - p.shards from poorest p, fair f), 0)), 0)
  )
  order by shard
  for update
)
update shard_owner o set epoch = o.epoch + 1, node = p.node, incarnation = p.incarnation
from given g cross join poorest p
where o.shard = g.shard
