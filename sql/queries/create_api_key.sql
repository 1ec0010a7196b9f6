-- Adds an API key; the function says when not.
-- $1 app integer   $2 key_id   $3 name   $4 hash of the secret   $5 scopes text[]   $6 for how many seconds it is valid
-- $7 keys of an app at most
-- Returns whether it is there.
select create_api_key($1, $2, $3, $4, $5, $6, $7) as is_there
