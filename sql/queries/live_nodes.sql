-- The other nodes that hold a lease.
-- $1 node bigint, which is left out
select node, incarnation from nodes where node <> $1 and lease_until > clock_timestamp() order by node
