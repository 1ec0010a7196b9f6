-- Raises delivered and read cursors, each only upwards and at most to the head. Read implies delivered by a device.
-- $1 owner_no bigint[]   $2 conversation_no bigint[], one entry a pair of both, no pair twice
-- $3 by_device bigint[]   $4 by_server bigint[]   $5 read bigint[], 0 where nothing is asked
-- Returns for each the cursors before and after.
with wanted as materialized (
  select * from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
    as w (owner_no, conversation_no, by_device, by_server, read)
), held as materialized (
  select c.owner_no, c.conversation_no, c.peer_no, c.by_device, c.by_server, c.read, h.seq as head
  from pair_cursors c
  join pair_heads h on h.conversation_no = c.conversation_no
  where (c.owner_no, c.conversation_no) in (select owner_no, conversation_no from wanted)
  order by c.owner_no, c.conversation_no
  for update of c
), raised as materialized (
  select h.*, greatest(h.by_device, least(greatest(w.by_device, w.read), h.head)) as new_by_device,
         greatest(h.by_server, least(w.by_server, h.head)) as new_by_server,
         greatest(h.read, least(w.read, h.head)) as new_read
  from held h
  join wanted w on w.owner_no = h.owner_no and w.conversation_no = h.conversation_no
), written as (
  update pair_cursors c set by_device = r.new_by_device, by_server = r.new_by_server, read = r.new_read
  from raised r
  where c.owner_no = r.owner_no and c.conversation_no = r.conversation_no
    and (r.by_device, r.by_server, r.read) is distinct from (r.new_by_device, r.new_by_server, r.new_read)
)
select owner_no, conversation_no, peer_no, by_device, by_server, read, new_by_device, new_by_server, new_read from raised
