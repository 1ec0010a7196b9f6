-- A page of a user's one-to-one entries, in inbox order, ended early where the bodies grow too large.
-- $1 owner_no bigint   $2 after: inbox number   $3 entries at most   $4 bytes of bodies at most; one entry always fits
select inbox_seq, conversation_no, seq, peer, sender, message_id, client_msg_id, body
from (
  select i.inbox_seq, i.conversation_no, i.seq, peer.id as peer, sender.id as sender, m.message_id, m.client_msg_id, m.body,
         sum(length(m.body)) over (order by i.inbox_seq) - length(m.body) as bytes_before
  from (
    select * from inbox where owner_no = $1 and inbox_seq > $2 order by inbox_seq limit $3
  ) i
  join pair_messages m on m.conversation_no = i.conversation_no and m.seq = i.seq
  join pairs p on p.conversation_no = i.conversation_no
  join users peer on peer.user_no = case when p.low_no = $1 then p.high_no else p.low_no end
  join users sender on sender.user_no = m.sender_no
) page
where bytes_before < $4
order by inbox_seq
