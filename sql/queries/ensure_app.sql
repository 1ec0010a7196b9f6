-- Makes an app with its first key and its system user, unless it is there; the function says how.
-- $1 app integer   $2 name text   $3 secret text
select make_app($1, $2, $3)
