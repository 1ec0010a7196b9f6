-- Ends a node's lease.
-- $1 node bigint   $2 incarnation bigint
update nodes set lease_until = clock_timestamp() where node = $1 and incarnation = $2
