-- A page of the pairs in which a user has messages, newest first, with all that a list shows of each.
-- $1 owner_no bigint   $2 before: last message id   $3 before: conversation_no   $4 rows at most
-- Unread is a difference of running counts at the head and at the read cursor, less the owner's own messages.
with page as materialized (
  select c.*, h.seq as head, h.counted, h.counted_low, h.last_message_id, p.low_no
  from pair_cursors c
  join pair_heads h on h.conversation_no = c.conversation_no
  join pairs p on p.conversation_no = c.conversation_no
  where c.owner_no = $1 and h.seq > 0 and (h.last_message_id, c.conversation_no) < ($2, $3)
  order by h.last_message_id desc, c.conversation_no desc
  limit $4
)
select page.conversation_no, page.head, page.last_message_id, peer.id as peer, sender.id as sender,
       m.message_id, m.client_msg_id, case when page.low_no = $1 then m.inbox_low else m.inbox_high end as inbox_seq, m.body,
       page.read, greatest(page.by_device, page.by_server) as delivered,
       case
         when page.peer_no = page.owner_no then 0
         when page.low_no = $1 then
           (page.counted - page.counted_low) - (coalesce(f.counted, 0) - coalesce(f.counted_low, 0))
         else page.counted_low - coalesce(f.counted_low, 0)
       end as unread,
       pc.by_device as peer_by_device, pc.by_server as peer_by_server, pc.read as peer_read
from page
join pair_messages m on m.conversation_no = page.conversation_no and m.seq = page.head
join users peer on peer.user_no = page.peer_no
join users sender on sender.user_no = m.sender_no
left join pair_messages f on f.conversation_no = page.conversation_no and f.seq = page.read
left join pair_cursors pc
  on pc.owner_no = page.peer_no and pc.conversation_no = page.conversation_no and page.peer_no <> page.owner_no
order by page.last_message_id desc, page.conversation_no desc
