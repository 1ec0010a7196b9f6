-- Notes what a user says of themselves; null leaves it as it is. A status takes the place of the former one, with its words
-- and its end.
-- $1 user_no bigint   $2 status text or null   $3 words beside it, or null   $4 until_ms bigint or null
-- $5 who sees the last seen, or null
-- Returns all of it as it stands, with a version that is higher than all before.
insert into presences as p (user_no, status, status_text, until_ms, last_seen_to, version)
values ($1, coalesce($2::text, 'available'), $3::text, $4::bigint, coalesce($5::text, 'everyone'), 1)
on conflict (user_no) do update set
  status = coalesce($2, p.status),
  status_text = case when $2 is null then p.status_text else $3 end,
  until_ms = case when $2 is null then p.until_ms else $4 end,
  last_seen_to = coalesce($5, p.last_seen_to),
  version = p.version + 1
returning user_no, status, status_text, until_ms, last_seen_to, last_seen_ms, version
