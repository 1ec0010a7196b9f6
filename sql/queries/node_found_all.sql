-- Says for a node that the database of this timeline has all that the node was told is committed.
-- $1 node bigint   $2 incarnation bigint   $3 timeline integer
-- To be run under the lock of store_identity. Returns how many other nodes have not said so that may have acked
-- something: all but those that were fenced before.
with said as (
  update nodes set found_all = $3 where node = $1 and incarnation = $2 and found_all is distinct from $3
)
select count(*) as others from nodes
where node <> $1 and buried is distinct from incarnation and found_all is distinct from $3
