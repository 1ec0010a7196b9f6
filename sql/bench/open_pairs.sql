-- Opens pairs of users who exist, many in one commit. $1 app   $2 text[], ids of one side   $3 text[], those of the other
select count(open_pair(one.user_no, other.user_no))
from unnest($2::text[], $3::text[]) as p (one_id, other_id)
join users one on one.app = $1 and one.id = p.one_id
join users other on other.app = $1 and other.id = p.other_id
