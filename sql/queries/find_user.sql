-- Finds a user of an app.
-- $1 app integer   $2 user id
select u.user_no, floor(extract(epoch from u.created_at) * 1000)::bigint as created_at_ms,
       u.deactivated_at is not null as is_deactivated, u.not_before_s, u.user_no is not distinct from a.system_no as is_system,
       exists (select from user_sessions s where s.user_no = u.user_no and s.online) as is_online
from users u join apps a on a.app = u.app
where u.app = $1 and u.id = $2
