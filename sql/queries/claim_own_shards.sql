-- Takes the shards that nobody ever owned, and those of this node's former incarnations, all under a new epoch.
-- $1 node   $2 incarnation, the present one   $3 how many shards there are
-- FOR UPDATE waits for the appends in flight, in the order in which they lock. A shard that is taken stays taken until its
-- owner's lease is over, whoever comes first here.
with former as materialized (
  select shard from shard_owner where node = $1 and incarnation < $2 order by shard for update
), raised as (
  update shard_owner o set epoch = o.epoch + 1, incarnation = $2 from former f where o.shard = f.shard
)
insert into shard_owner (shard, epoch, node, incarnation)
select shard, 1, $1, $2 from generate_series(0, $3::integer - 1) as shard order by shard
on conflict (shard) do nothing
