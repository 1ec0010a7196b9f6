-- What a server of the second version leaves behind beside that: somebody called system, and one whose every browser tab was
-- a device for ever. The first of them is still in.
select open_user(1, 'system');
insert into user_sessions (user_no, platform, device, login_no, node, incarnation, online, ended_at)
select 1, 'web', 'tab' || n, n, 7, 3, n = 1, case when n > 1 then now() - make_interval(hours => 200 - n) end
from generate_series(1, 130) as n;
update users set login_no = 130 where user_no = 1;
