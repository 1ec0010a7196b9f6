-- Fills the tables of presence until reading one from end to end is dearer than any index: 20,000 users, each with a status,
-- and a friend of the next.
with made as (
  insert into users (app, id) select 1, 'friend' || n from generate_series(1, 20000) as n returning user_no, id
), said as (
  insert into presences (user_no, status, version) select user_no, 'busy', 1 from made
), met as (
  select user_no, id, lead(user_no) over (order by user_no) as other_no, lead(id) over (order by user_no) as other_id
  from made
)
insert into friends (user_no, friend_id, friend_no)
select user_no, other_id, other_no from met where other_no is not null
union all
select other_no, id, user_no from met where other_no is not null
