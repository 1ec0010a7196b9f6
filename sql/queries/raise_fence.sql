-- Claims a journal's row: waits for the statement of its former holder, and shuts out all later ones.
-- $1 node bigint   $2 journal integer
-- Returns the fence to append under.
insert into writers as w (node, journal, fence) values ($1, $2, 1)
on conflict (node, journal) do update set fence = w.fence + 1
returning fence
