-- Ends all tokens of a user that were signed before a second; one who never logged in is made for it. It only rises.
-- $1 app integer   $2 user id   $3 second since 1970
insert into users as old (app, id, not_before_s) values ($1, $2, $3)
on conflict (app, id) do update set not_before_s = greatest(old.not_before_s, excluded.not_before_s)
