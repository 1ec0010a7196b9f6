-- At which nodes sessions are or were last, those of one run of one node left out.
-- $1 users bigint[]   $2 platforms text[]   $3 devices text[], one entry a session   $4 node   $5 incarnation
select s.user_no, s.node, s.incarnation
from unnest($1::bigint[], $2::text[], $3::text[]) as d (user_no, platform, device)
join user_sessions s on s.user_no = d.user_no and s.platform = d.platform and s.device = d.device
where (s.node, s.incarnation) <> ($4::bigint, $5::bigint)
group by s.user_no, s.node, s.incarnation
