-- Ends all tokens of a user that were signed before a second. It only rises.
-- $1 app integer   $2 user id   $3 second since 1970
update users set not_before_s = greatest(not_before_s, $3) where app = $1 and id = $2
