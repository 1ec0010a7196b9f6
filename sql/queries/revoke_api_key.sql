-- Removes an API key of an app.
-- $1 app integer   $2 key_id
-- Returns the key, if it was there.
delete from api_keys where app = $1 and key_id = $2 returning key_id
