-- Renews a node's lease. No row: another incarnation has taken the node's place.
-- $1 node bigint   $2 incarnation bigint   $3 lease in seconds   $4 whether it was held without a break, as far as the node knows
-- Returns the database's time and the WAL position up to which everything is on disk.
update nodes set
  held_since = case when $4 and lease_until > clock_timestamp() then held_since else clock_timestamp() end,
  lease_until = clock_timestamp() + make_interval(secs => $3)
where node = $1 and incarnation = $2
returning (extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms, (pg_current_wal_flush_lsn() - '0/0')::bigint as flushed
