-- Why sessions have ended.
-- $1 users bigint[]   $2 their logins bigint[], one entry a session
-- Returns a row for each, in their order: whether its login is its device's last one, and by which decision it ended.
select s.user_no is not null as is_known, s.ended_by
from unnest($1::bigint[], $2::bigint[]) with ordinality as l (user_no, login_no, i)
left join user_sessions s on s.user_no = l.user_no and s.login_no = l.login_no
order by l.i
