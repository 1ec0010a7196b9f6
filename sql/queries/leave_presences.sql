-- Notes when users were last seen. It only rises.
-- $1 user_no bigint[], no user twice   $2 last_seen_ms bigint[]
insert into presences as p (user_no, last_seen_ms)
select * from (
  select * from unnest($1::bigint[], $2::bigint[]) as l (user_no, last_seen_ms) order by l.user_no
) l
on conflict (user_no) do update set last_seen_ms = greatest(p.last_seen_ms, excluded.last_seen_ms)
