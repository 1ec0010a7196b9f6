-- Gives shards to other nodes that hold a lease and are not about to go themselves, in turn, under a new epoch.
-- $1 node   $2 incarnation   $3 shards that stay at least   $4 shards at most
-- FOR UPDATE waits for the appends in flight, in the order in which they lock. What is below its share gets more.
with others as materialized (
  select n.node, n.incarnation, row_number() over (order by n.node) - 1 as place, count(*) over () as others
  from nodes n
  where n.node <> $1 and n.lease_until > clock_timestamp() + interval '3 seconds' and not n.is_leaving
), given as materialized (
  select shard from shard_owner
  where node = $1 and incarnation = $2
  order by shard
  limit greatest(least($4::bigint, (select count(*) from shard_owner where node = $1 and incarnation = $2) - $3::bigint), 0)
  for update
), dealt as materialized (
  select shard, row_number() over (order by shard) - 1 as turn from given
)
update shard_owner o set epoch = o.epoch + 1, node = t.node, incarnation = t.incarnation
from dealt d join others t on t.place = d.turn % t.others
where o.shard = d.shard
