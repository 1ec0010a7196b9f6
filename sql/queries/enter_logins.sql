-- Enters logins, as far as they were decided by what still holds; the function says what that is.
-- $1 node   $2 incarnation
-- One entry a login: $3 users bigint[]   $4 their login_no bigint[]   $5 policies' numbers bigint[]
-- $6 seconds at which the tokens were signed bigint[]   $7 platforms text[]   $8 devices text[]   $9 their names text[]
-- One entry a session that ends: $10 its login, from 1, bigint[]   $11 platforms text[]   $12 devices text[]
-- $13 devices of a user that are kept
-- Returns those that came in: i from 1, login_no, and the sessions of the user that are in.
select i, login_no, standing from enter_logins($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
