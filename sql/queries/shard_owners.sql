-- Who owns the shards.
select shard, epoch, node, incarnation from shard_owner
