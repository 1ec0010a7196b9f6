-- Commits one notice of a group together with what it tells of; the function says what each parameter is.
-- $1 node   $2 journal   $3 fence   $4..$8 where   $9..$14 the notice   $15..$25 what it tells of
select kind, user_no
from change_group(
  $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25)
