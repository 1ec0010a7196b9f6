-- Notes what users say of themselves; null leaves it as it is. A status takes the place of the former one, with its words and
-- its end.
-- $1 user_no bigint[], no user twice   $2 status text[]   $3 words beside it text[]   $4 until_ms bigint[]
-- $5 who sees the last seen text[]
-- Returns for each all of it as it stands, with a version that is higher than all before.
with said as materialized (
  select * from unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::text[])
    as s (user_no, status, status_text, until_ms, last_seen_to)
), held as materialized (
  select p.* from presences p where p.user_no = any ($1::bigint[]) order by p.user_no for update
)
insert into presences as p (user_no, status, status_text, until_ms, last_seen_to, version)
select s.user_no, coalesce(s.status, h.status, 'available'),
       case when s.status is null then h.status_text else s.status_text end,
       case when s.status is null then h.until_ms else s.until_ms end,
       coalesce(s.last_seen_to, h.last_seen_to, 'everyone'), coalesce(h.version, 0) + 1
from said s
left join held h on h.user_no = s.user_no
order by s.user_no
on conflict (user_no) do update set
  status = excluded.status, status_text = excluded.status_text, until_ms = excluded.until_ms,
  last_seen_to = excluded.last_seen_to, version = greatest(p.version + 1, excluded.version)
returning user_no, status, status_text, until_ms, last_seen_to, last_seen_ms, version
