-- Ends a friendship; the function says what it does.
-- $1 user_no bigint   $2 the other's id
select friend_no from remove_friend($1, $2)
