-- A page of a pair's log after a seq, in rising order, ended early where the bodies grow too large.
-- $1 conversation_no bigint   $2 after: seq   $3 entries at most   $4 bytes of bodies at most; one entry always fits
select seq, sender_no, message_id, client_msg_id, inbox_low, inbox_high, body
from (
  select m.*, sum(length(m.body)) over (order by m.seq) - length(m.body) as bytes_before
  from (
    select * from pair_messages where conversation_no = $1 and seq > $2 order by seq limit $3
  ) m
) page
where bytes_before < $4
order by seq
