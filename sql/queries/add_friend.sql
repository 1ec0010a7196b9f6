-- Makes two users friends; the function says what it does.
-- $1 app integer   $2 user_no bigint   $3 the other's id   $4 friends that a user may have, bigint
select outcome, friend_no from add_friend($1, $2, $3, $4)
