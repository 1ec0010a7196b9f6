-- The head of a pair, and how far the two sides are.
-- $1 conversation_no bigint   $2 owner_no bigint, who looks
-- The peer's columns are null in a pair with oneself.
select h.seq as head, peer.by_device as peer_by_device, peer.by_server as peer_by_server, peer.read as peer_read
from pair_heads h
join pair_cursors own on own.owner_no = $2 and own.conversation_no = h.conversation_no
left join pair_cursors peer
  on peer.owner_no = own.peer_no and peer.conversation_no = h.conversation_no and own.peer_no <> own.owner_no
where h.conversation_no = $1
