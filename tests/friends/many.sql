-- alice has 2,999 friends, who have nobody else.
do $$
declare
  alice bigint;
begin
  select user_no into alice from users where id = 'alice';
  insert into users (app, id) select 1, 'friend' || n from generate_series(1, 2999) as n;
  insert into inbox_heads (owner_no) select user_no from users where id like 'friend%';
  insert into friends (user_no, friend_id, friend_no)
    select alice, id, user_no from users where id like 'friend%'
    union all
    select user_no, 'alice', alice from users where id like 'friend%';
end $$;
