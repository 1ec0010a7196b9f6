-- Takes their number from nodes that have been gone for an hour. To be run under an exclusive lock of nodes.
-- $1 node bigint, which keeps its own
update nodes set number = null
where node <> $1 and number is not null and lease_until < clock_timestamp() - interval '1 hour'
