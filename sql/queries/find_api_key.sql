-- Finds an API key.
-- $1 key_id
select key_id, app, name, secret_hash, scopes,
       floor(extract(epoch from created_at) * 1000)::bigint as created_at_ms,
       floor(extract(epoch from expires_at) * 1000)::bigint as expires_at_ms
from api_keys where key_id = $1
