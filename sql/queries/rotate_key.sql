-- Adds a key that signs an app's tokens; the function says what becomes of the others.
-- $1 app integer   $2 secret text   $3 how long the newest of the others stays valid, in seconds
-- Returns whether there is such an app.
select rotate_key($1, $2, $3) as is_there
