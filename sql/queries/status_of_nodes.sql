-- The nodes that are there, or of which something is left: a number, sessions or shards.
-- Returns how much of the lease is left (less than nothing: for how long it is over), the sessions that are in, and the shards
-- with the range of their epochs.
with s as (
  select node, count(*) as sessions from user_sessions where online group by node
), o as (
  select node, count(*) as shards, min(epoch) as lowest, max(epoch) as highest from shard_owner group by node
)
select n.node, n.incarnation, n.number,
       (extract(epoch from n.lease_until - clock_timestamp()))::double precision as lease_left_s,
       n.buried is not distinct from n.incarnation as is_buried, n.is_leaving,
       coalesce(s.sessions, 0) as sessions, coalesce(o.shards, 0) as shards, o.lowest, o.highest
from nodes n
left join s on s.node = n.node
left join o on o.node = n.node
where n.number is not null or s.node is not null or o.node is not null
order by n.node
