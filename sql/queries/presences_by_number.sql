-- What the store knows of the presence of users, by their numbers.
-- $1 user_no bigint[], no user twice
-- Returns a row for each who ever said something or was seen to leave.
select user_no, status, status_text, until_ms, last_seen_to, last_seen_ms, version
from presences
where user_no = any ($1::bigint[])
