-- Takes a node's row: a new incarnation, its old number if it still has it, else the lowest free one.
-- $1 node bigint   $2 numbers there are   $3 lease in seconds
-- To be run under an exclusive lock of nodes. Returns incarnation, number (null: none is free) and the database's time.
insert into nodes as old (node, incarnation, number, lease_until, held_since)
select $1, 1, coalesce(
    (select number from nodes where node = $1),
    (select min(n)::smallint from generate_series(0, $2::integer - 1) as n
     where n not in (select number from nodes where number is not null))
  ), clock_timestamp() + make_interval(secs => $3), clock_timestamp()
on conflict (node) do update set
  incarnation = old.incarnation + 1, number = excluded.number, lease_until = excluded.lease_until,
  held_since = excluded.held_since, is_leaving = false, found_all = null
returning incarnation, number, (extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms
