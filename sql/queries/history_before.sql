-- A page of a pair's log before a seq, the nearest to it first, ended early where the bodies grow too large.
-- $1 conversation_no bigint   $2 before: seq   $3 entries at most   $4 bytes of bodies at most; one entry always fits
select seq, sender_no, message_id, client_msg_id, inbox_low, inbox_high, body
from (
  select m.*, sum(length(m.body)) over (order by m.seq desc) - length(m.body) as bytes_before
  from (
    select * from pair_messages where conversation_no = $1 and seq < $2 order by seq desc limit $3
  ) m
) page
where bytes_before < $4
order by seq desc
