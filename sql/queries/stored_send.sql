-- One stored entry of a pair, and what its receiver has acknowledged: what a repeat of it is answered from.
-- $1 conversation_no bigint   $2 seq bigint   $3 receiver's user_no bigint
select m.sender_no, m.message_id, m.client_msg_id, m.inbox_low, m.inbox_high, m.body, c.by_device, c.by_server
from pair_messages m
join pair_cursors c on c.owner_no = $3 and c.conversation_no = m.conversation_no
where m.conversation_no = $1 and m.seq = $2
