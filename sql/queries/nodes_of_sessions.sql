-- At which nodes sessions are or were last, those of one run of one node left out, and of runs whose lease is over. Those
-- that decisions ended lately come along: whoever decided it may never have heard that it was written, and told nobody.
-- $1 users bigint[]   $2 platforms text[]   $3 devices text[], one entry a session   $4 node   $5 incarnation
select s.user_no, s.node, s.incarnation
from user_sessions s
join nodes n on n.node = s.node and n.incarnation = s.incarnation and n.lease_until > clock_timestamp()
where s.user_no = any ($1::bigint[])
  and (s.node, s.incarnation) <> ($4::bigint, $5::bigint)
  and ((s.user_no, s.platform, s.device) in (select * from unnest($1::bigint[], $2::text[], $3::text[]))
       or (s.ended_by is not null and s.ended_at > now() - interval '1 minute'))
group by s.user_no, s.node, s.incarnation
