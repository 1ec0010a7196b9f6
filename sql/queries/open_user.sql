-- Makes a user of an app, unless it is there.
-- $1 app integer   $2 user id
-- Returns its number.
select open_user($1, $2) as user_no
