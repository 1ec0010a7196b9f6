-- Notes that a node is about to go.
-- $1 node bigint   $2 incarnation bigint
update nodes set is_leaving = true where node = $1 and incarnation = $2
