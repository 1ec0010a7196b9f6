-- Takes shards of other nodes whose lease is over, a few at a time, under a new epoch; none while our own lease has not been
-- held without a break for so long, since the database was started too: then all leases look as if over.
-- $1 node   $2 incarnation   $3 how long, in seconds   $4 shards at most
-- FOR UPDATE waits for the appends in flight, in the order in which they lock; FOR SHARE looks at the lease again, should
-- it be renewed at this very moment.
with dead as materialized (
  select o.shard
  from shard_owner o
  join nodes n on n.node = o.node
  where o.node <> $1 and n.lease_until < clock_timestamp()
    and exists (
      select from nodes own
      where own.node = $1 and own.incarnation = $2 and own.lease_until > clock_timestamp()
        and greatest(own.held_since, pg_postmaster_start_time()) <= clock_timestamp() - make_interval(secs => $3)
    )
  order by o.shard
  limit $4
  for update of o for share of n
)
update shard_owner o set epoch = o.epoch + 1, node = $1, incarnation = $2 from dead d where o.shard = d.shard
