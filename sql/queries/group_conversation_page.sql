-- A page of the groups that a user is or was a member of, newest first, with all that a list shows of each.
-- $1 user_no   $2 before: last message id   $3 before: conversation_no   $4 rows at most   $5 kinds that count unread, text[]
-- To a former member a group ends with the notice of the leaving. Unread is a difference of running counts at the head and
-- at the floor, which is the read cursor or what lies before the joining, less the user's own messages in between.
with page as materialized (
  select * from (
    (
      select m.conversation_no, m.join_seq, m.min_seq, false as is_former, h.seq as head, h.last_message_id
      from group_members m
      join group_heads h on h.conversation_no = m.conversation_no
      where m.user_no = $1 and m.left_seq is null and (h.last_message_id, m.conversation_no) < ($2, $3)
      order by h.last_message_id desc, m.conversation_no desc
      limit $4
    )
    union all
    (
      select m.conversation_no, m.join_seq, m.min_seq, true, m.left_seq, m.left_message_id
      from group_members m
      where m.user_no = $1 and m.left_seq is not null and (m.left_message_id, m.conversation_no) < ($2, $3)
      order by m.left_message_id desc, m.conversation_no desc
      limit $4
    )
  ) both_kinds
  order by last_message_id desc, conversation_no desc
  limit $4
), placed as materialized (
  select page.*, c.read, greatest(c.read, page.join_seq - 1) as floor
  from page
  join group_cursors c on c.conversation_no = page.conversation_no and c.user_no = $1
)
select page.conversation_no, page.last_message_id, page.min_seq, page.is_former, page.read,
       g.id, g.kind, g.name, g.members,
       m.seq, m.entry_type, m.sender_no, sender.id as sender, m.message_id, m.client_msg_id, m.body,
       case when g.kind = any ($5::text[]) then
         m.counted - coalesce(f.counted, 0) - (
           select count(*) from group_messages own
           where own.conversation_no = page.conversation_no and own.sender_no = $1 and own.entry_type = 1
             and own.seq > page.floor and own.seq <= page.head
         )
       else 0 end as unread
from placed page
join groups g on g.conversation_no = page.conversation_no
join group_messages m on m.conversation_no = page.conversation_no and m.seq = page.head
join users sender on sender.user_no = m.sender_no
left join group_messages f on f.conversation_no = page.conversation_no and f.seq = page.floor
order by page.last_message_id desc, page.conversation_no desc
