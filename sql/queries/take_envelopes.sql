-- Takes the oldest envelopes for a run, in the order in which they were put.
-- $1 to_node   $2 to_incarnation   $3 so many at most   $4 so many bytes at most; one always fits
-- By the number of the last one and not by a join, for which the planner would look through all of them once for each.
with oldest as (
  select w.no, sum(w.bytes) over (order by w.no) - w.bytes as bytes_before
  from (
    select e.no, octet_length(e.envelope) as bytes from bus_envelopes e
    where e.to_node = $1 and e.to_incarnation = $2
    order by e.no limit $3
  ) w
), taken as (
  delete from bus_envelopes e
  where e.to_node = $1 and e.to_incarnation = $2
    and e.no <= (select max(o.no) from oldest o where o.bytes_before < $4)
  returning e.no, e.envelope
)
select envelope from taken order by no
