-- Has this connection told when something waits for a run.
-- $1 node   $2 incarnation
select bus_listen($1, $2)
