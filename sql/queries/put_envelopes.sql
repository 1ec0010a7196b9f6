-- Puts envelopes where their readers look, in this order.
-- $1 to_node bigint[]   $2 to_incarnation bigint[]   $3 envelope bytea[]
insert into bus_envelopes (to_node, to_incarnation, envelope)
select e.to_node, e.to_incarnation, e.envelope
from unnest($1::bigint[], $2::bigint[], $3::bytea[]) with ordinality as e (to_node, to_incarnation, envelope, place)
order by e.place
