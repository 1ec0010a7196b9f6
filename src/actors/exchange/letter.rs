//! What nodes write to each other, and the form in which it travels: MessagePack with maps by name, so that nodes of two
//! versions that run beside each other for a while understand what both know.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::actors::asker::{ChangeOutcome, SendVerdict};
use crate::actors::group::Caller;
use crate::actors::relay::{GroupEntry, GroupKey, MemberRead};
use crate::actors::user::{CursorsMoved, Decided, Entry};
use crate::cluster::presence::Whereabouts;
use crate::domain::group::Change;
use crate::domain::intake::Waiter;
use crate::ids::{ClientMsgId, ConversationNo, UserNo};
use crate::protocol::Event;

/// Names what a node waits for, until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Ticket(pub(super) u64);

/// A letter.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Letter {
    /// Something is asked of a group that the receiver owns, as far as the sender knows; of one without a number, which is to
    /// be made, because the sender has no shards.
    Ask { ticket: Ticket, key: GroupKey, no: Option<ConversationNo>, asked: Asked },
    /// The receiver's send came to this.
    Verdict { ticket: Ticket, verdict: SendVerdict },
    /// The receiver's change came to this.
    Changed { ticket: Ticket, outcome: ChangeOutcome },
    /// The sender does not own the group.
    NotOwner { ticket: Ticket },
    /// What was asked for with this ticket has been done.
    Done { ticket: Ticket },
    /// The sender has members of these groups with it and wants what comes in them.
    Register { ticket: Ticket, groups: Vec<ConversationNo> },
    /// It has none any more.
    Unregister { groups: Vec<ConversationNo> },
    /// The receiver's registrations may have been lost.
    RegisterAgain,
    /// Committed in groups, in the order of their logs.
    Entries { entries: Vec<GroupEntry> },
    /// New in the inboxes of users who are with the receiver, in the order of the log.
    Inboxes { entries: Vec<(UserNo, Entry)> },
    /// A user's own cursors moved.
    OwnCursors { user: UserNo, moved: CursorsMoved },
    /// The cursors of the other side of one of a user's pairs moved.
    PeerCursors { user: UserNo, moved: CursorsMoved },
    /// A member has read. The owner of the group passes it on to those who registered.
    MemberRead { read: MemberRead },
    /// The same, passed on.
    MemberReadAt { read: MemberRead },
    /// It was decided which sessions of a user stand.
    Decided { ticket: Option<Ticket>, user: UserNo, decided: Decided },
    /// Who is with the sender now, of those who are named.
    Here { ticket: Ticket, users: Vec<Whereabouts> },
    /// Everyone who is with the sender, in parts.
    Everyone { is_first: bool, users: Vec<Whereabouts>, is_last: bool },
    /// The receiver's word of who is there may have been lost.
    TellEveryone,
    /// These two are friends now, or are not any more; each is told so.
    Friends { users: [UserNo; 2], events: Box<[Event; 2]> },
    /// Shards have moved.
    OwnersMoved,
    /// The sender goes: it owns nothing, nobody is there, and it answers nothing any more.
    Farewell,
}

/// What is asked of a group.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Asked {
    /// To store a message.
    Send { waiter: Waiter, by: Caller, key: ClientMsgId, stored: Bytes },
    /// To change.
    Change { by: Caller, change: Change },
}

impl Letter {
    /// The form in which it travels; none for what has none, which is a fault of ours.
    pub(super) fn encode(&self) -> Option<Bytes> {
        rmp_serde::to_vec_named(self)
            .map(Bytes::from)
            .inspect_err(|error| tracing::error!(%error, "a letter of ours has no form"))
            .ok()
    }

    /// Reads that form.
    pub(super) fn decode(raw: &[u8]) -> Result<Self, rmp_serde::decode::Error> {
        rmp_serde::from_slice(raw)
    }
}
