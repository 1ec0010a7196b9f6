-- Makes a user of an app, unless it is there.
-- $1 app integer   $2 user id
-- Returns its number, and whether it was made.
select user_no, made from make_user($1, $2)
