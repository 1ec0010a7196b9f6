-- Tells runs that something waits for them. Never in a statement that writes: it takes a lock for the whole server.
-- $1 node bigint[]   $2 incarnation bigint[]
select pg_notify(bus_channel(w.node, w.incarnation), '') from unnest($1::bigint[], $2::bigint[]) as w (node, incarnation)
