-- What the owner of a group has to know of it when it wakes up: a few rows by their keys, however many members there are.
-- $1 app integer   $2 id
-- Returns one row or none; epoch, node and incarnation are null while nobody has ever owned the shard, of which there are 1024.
select g.conversation_no, g.kind, g.name, g.owner_no, g.members, g.dissolved_seq, h.seq as head, h.counted,
       o.epoch, o.node, o.incarnation
from groups g
join group_heads h on h.conversation_no = g.conversation_no
left join shard_owner o on o.shard = (g.conversation_no % 1024)::integer
where g.app = $1 and g.id = $2
