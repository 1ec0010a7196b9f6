-- What is known of a sender in a group, and of what was sent under a key: a repeat is answered before rights are asked.
-- $1 conversation_no   $2 user_no   $3 day integer   $4 key uuid
-- Returns one row with the head at that time, or none when there is no such group; null columns where nothing is known.
select h.seq as head, m.role, m.join_seq, m.left_seq, m.min_seq, d.seq, d.message_id, d.send_hash
from group_heads h
left join group_members m on m.conversation_no = h.conversation_no and m.user_no = $2
left join dedup d on d.day = $3 and d.key = $4 and d.conversation_no = h.conversation_no and d.sender_no = $2
where h.conversation_no = $1
