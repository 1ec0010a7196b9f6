-- What a server of the first version leaves behind: two users with a message each way, read by one, and a node.
insert into apps (app, name) values (1, 'default');
insert into app_keys (app, key_no, secret) values (1, 1, 'secret');
insert into nodes (node, incarnation, number, lease_until) values (7, 3, 0, clock_timestamp());
insert into writers (node, journal, fence) values (7, 0, 1);
select open_user(1, 'alice'), open_user(1, 'bob');
select open_pair(1, 2);
select append_pairs(
  7, 0, 1, array[1], array[2], array[1], array[101], array[1, 2], array[2, 2],
  array[1, 1], array[1, 2], array[1, 1], array[1, 2], array[day, day],
  array['018c0000-0000-7000-8000-000000000001', '018c0000-0000-7000-8000-000000000002']::uuid[],
  array['hash', 'hash']::bytea[], array[100, 101], array[1, 1]::smallint[], array['one', 'two']::bytea[],
  array[1, 1], array[1, 2], array[2, 2], array[1, 2]
) from (select extract(epoch from now())::integer / 86400 as day) today;
update pair_cursors set by_device = 2, read = 1 where owner_no = 2;
