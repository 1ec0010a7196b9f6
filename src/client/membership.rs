//! What the notices in a group's log say about the reader's own membership.

use crate::ids::UserId;
use crate::protocol::{Content, Message, NoticeAction};

/// What an entry does to the membership of its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// It begins.
    Begins,
    /// It ends.
    Ends,
}

/// What `message` does to the membership of `user`.
pub fn change(message: &Message, user: &UserId) -> Change {
    let Content::Notice(notice) = &message.content else { return Change::None };
    let is_meant = || notice.users.contains(user);
    match notice.action {
        NoticeAction::Created | NoticeAction::Joined if message.from == *user => Change::Begins,
        NoticeAction::Created | NoticeAction::Added if is_meant() => Change::Begins,
        NoticeAction::Left if message.from == *user => Change::Ends,
        NoticeAction::Removed if is_meant() => Change::Ends,
        NoticeAction::Dissolved => Change::Ends,
        NoticeAction::Created
        | NoticeAction::Added
        | NoticeAction::Joined
        | NoticeAction::Left
        | NoticeAction::Removed
        | NoticeAction::Renamed => Change::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ClientMsgId, Conversation, MessageId, Seq, UnixMs};
    use crate::protocol::Notice;

    fn user(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    fn by_bob(action: NoticeAction, users: &[&str]) -> Change {
        let users = users.iter().copied().map(user).collect();
        let message = Message {
            conversation: Conversation::parse("group:eng").unwrap(),
            seq: Seq::new(1),
            inbox: None,
            message_id: MessageId::from_store(1),
            client_msg_id: ClientMsgId::mint(UnixMs::new(0), [0; 10]),
            from: user("bob"),
            sent_at_ms: UnixMs::new(0),
            content: Content::Notice(Notice { action, users, name: None, owner: None }),
            mentions: None,
            reply_to: None,
        };
        change(&message, &user("alice"))
    }

    #[test]
    fn only_what_is_meant_for_the_reader_changes_anything() {
        assert_eq!(by_bob(NoticeAction::Created, &["bob", "alice"]), Change::Begins);
        assert_eq!(by_bob(NoticeAction::Added, &["alice"]), Change::Begins);
        assert_eq!(by_bob(NoticeAction::Removed, &["alice"]), Change::Ends);
        assert_eq!(by_bob(NoticeAction::Dissolved, &[]), Change::Ends);
        for (action, users) in [
            (NoticeAction::Created, ["carol"]),
            (NoticeAction::Added, ["carol"]),
            (NoticeAction::Joined, ["bob"]),
            (NoticeAction::Left, ["bob"]),
            (NoticeAction::Removed, ["carol"]),
            (NoticeAction::Renamed, ["alice"]),
        ] {
            assert_eq!(by_bob(action, &users), Change::None, "{action:?}");
        }
    }
}
