-- Renews a node's lease. No row: another incarnation has taken the node's place.
-- $1 node bigint   $2 incarnation bigint   $3 lease in seconds
-- $4 whether it was held without a break, as far as the node knows
-- Returns the database's time, until when the lease runs in microseconds, the WAL position up to which everything is
-- on disk, and whether the lease had run out: then others may have taken the node for gone.
with former as materialized (
  select node, lease_until <= clock_timestamp() as has_lapsed from nodes where node = $1 and incarnation = $2 for update
)
update nodes n set
  held_since = case when $4 and not f.has_lapsed then n.held_since else clock_timestamp() end,
  buried = case when f.has_lapsed then null else n.buried end,
  lease_until = clock_timestamp() + make_interval(secs => $3)
from former f where n.node = f.node
returning (extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms,
  (extract(epoch from n.lease_until) * 1000000)::bigint as lease_until_us,
  (pg_current_wal_flush_lsn() - '0/0')::bigint as flushed, f.has_lapsed
