-- The shards that a node owns, with their epochs.
-- $1 node   $2 incarnation
select shard, epoch from shard_owner where node = $1 and incarnation = $2
