-- A page of a group's log: what stands where. $1 app   $2 id   $3 seq, after which   $4 entries, at most
select m.seq, m.client_msg_id
from groups g
join group_messages m on m.conversation_no = g.conversation_no
where g.app = $1 and g.id = $2 and m.seq > $3
order by m.seq
limit $4
