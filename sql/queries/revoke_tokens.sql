-- Ends all tokens of a user that were signed before a second; the function says how.
-- $1 app integer   $2 user id   $3 second since 1970
select revoke_tokens($1, $2, $3)
