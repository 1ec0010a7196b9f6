-- One login; the function says what it does.
-- $1 app integer   $2 user id   $3 second at which the token was signed   $4 platform   $5 device   $6 its name
-- $7 node bigint   $8 incarnation bigint
select user_no, login_no, revoked from log_in($1, $2, $3, $4, $5, $6, $7, $8)
