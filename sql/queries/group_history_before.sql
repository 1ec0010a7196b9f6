-- A page of a group's log before a seq, the nearest to it first, ended early where the bodies grow too large.
-- $1 conversation_no   $2 before: seq   $3 from and $4 up to: the seqs that the reader may see
-- $5 entries at most   $6 bytes of bodies at most; one entry always fits
select page.seq, page.sender_no, u.id as sender, page.message_id, page.client_msg_id, page.entry_type, page.body
from (
  select m.*, sum(length(m.body)) over (order by m.seq desc) - length(m.body) as bytes_before
  from (
    select * from group_messages
    where conversation_no = $1 and seq < $2 and seq between $3 and $4 order by seq desc limit $5
  ) m
) page
join users u on u.user_no = page.sender_no
where page.bytes_before < $6
order by page.seq desc
