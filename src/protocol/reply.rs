//! What the server answers to a command that it carried out.

use serde::{Deserialize, Serialize};

use super::account::{DevicesEnded, DevicesPage, FriendReply, FriendsPage, TokenRenewed};
use super::command::{After, GroupSeqs};
use super::event::{DeliveredBy, Message};
use super::group::{
    GroupChanged, GroupCreated, GroupHead, GroupInfo, GroupSummary, GroupsPage, MembersPage,
};
use super::presence::{Presences, Watching};
use crate::ids::{Conversation, Epoch, InboxSeq, LoginNo, MessageId, Seq, UnixMs};

/// The `ok` of a reply.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Reply {
    /// To `login`.
    LoggedIn(Box<LoggedIn>),
    /// To `logout` and `presence.unwatch`.
    Empty(Empty),
    /// To `ping`.
    Pong(Pong),
    /// To `sync`.
    Synced(Synced),
    /// To `message.send`.
    Sent(Sent),
    /// To `message.received` and `message.read`.
    Cursor(CursorReply),
    /// To `message.inbox`.
    Inbox(InboxPage),
    /// To `message.history`.
    History(HistoryPage),
    /// To `conversation.list`.
    Conversations(ConversationsPage),
    /// To `group.create`.
    GroupCreated(GroupCreated),
    /// To `group.get`.
    Group(GroupInfo),
    /// To `group.list`.
    Groups(GroupsPage),
    /// To `group.members`.
    Members(MembersPage),
    /// To the commands that change a group.
    GroupChanged(GroupChanged),
    /// To `token.renew`.
    TokenRenewed(TokenRenewed),
    /// To `device.list`.
    Devices(DevicesPage),
    /// To `device.kick`.
    DevicesEnded(DevicesEnded),
    /// To `friend.add` and `friend.remove`.
    Friend(FriendReply),
    /// To `friend.list`.
    Friends(FriendsPage),
    /// To `presence.set` and `presence.get`.
    Presences(Presences),
    /// To `presence.watch`.
    Watching(Watching),
}

/// An `ok` that says no more than that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Empty {}

/// The bounds that a client must keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Limits {
    /// The largest frame that a client may send, in bytes.
    pub frame_bytes: u32,
    /// The largest content of a message: bytes of its text or data, in UTF-8.
    pub content_bytes: u32,
    /// Commands in flight; beyond it the socket is not read.
    pub in_flight: u32,
    /// Entries a page at most.
    pub page: u32,
}

/// The reply to `login`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct LoggedIn {
    /// Names the session in logs; opaque.
    pub session: String,
    /// This session's login number; a client that comes back names it in `resume`.
    #[cfg_attr(test, ts(type = "string"))]
    pub login_no: LoginNo,
    /// The epoch of the store.
    #[cfg_attr(test, ts(type = "string"))]
    pub epoch: Epoch,
    /// The server's time, for client message ids.
    #[cfg_attr(test, ts(type = "number"))]
    pub server_time_ms: UnixMs,
    /// How often to send `ping`, in seconds.
    pub heartbeat_s: u32,
    /// The bounds that a client must keep.
    pub limits: Limits,
    /// The first page of `sync`.
    pub sync: Synced,
}

/// The reply to `ping`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Pong {
    /// The server's time.
    #[cfg_attr(test, ts(type = "number"))]
    pub server_time_ms: UnixMs,
    /// What the client lacks, as far as the server's memory knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub behind: Option<Behind>,
}

/// The heads of what a client lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Behind {
    /// The inbox's head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "number"))]
    pub inbox: Option<InboxSeq>,
    /// The heads of groups that the client named and lacks something of.
    #[serde(default, skip_serializing_if = "GroupSeqs::is_empty")]
    #[cfg_attr(test, ts(optional, type = "Record<string, number>"))]
    pub groups: GroupSeqs,
}

/// The reply to `sync`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Synced {
    /// The epoch of the store; another one than the client's ends all its positions.
    #[cfg_attr(test, ts(type = "string"))]
    pub epoch: Epoch,
    /// The inbox's head.
    #[cfg_attr(test, ts(type = "number"))]
    pub inbox: InboxSeq,
    /// The reader's groups that moved or that the client did not name, and those that it named and has left.
    pub groups: Vec<GroupHead>,
    /// Where the next page of groups begins, if there is one: send the same again with `after` set to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "string"))]
    pub next: Option<After>,
}

/// The reply to `message.send`: the message is committed, with this seq.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Sent {
    /// The conversation.
    #[cfg_attr(test, ts(type = "string"))]
    pub conversation: Conversation,
    /// Its place in the conversation.
    #[cfg_attr(test, ts(type = "number"))]
    pub seq: Seq,
    /// Its place in the sender's own inbox; absent in a repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "number"))]
    pub inbox: Option<InboxSeq>,
    /// The message's id.
    #[cfg_attr(test, ts(type = "string"))]
    pub message_id: MessageId,
    /// When it was sent, by the server's clock.
    #[cfg_attr(test, ts(type = "number"))]
    pub sent_at_ms: UnixMs,
    /// Whether it was stored before, and this is the first answer again.
    pub duplicate: bool,
}

/// The reply to `message.received` and `message.read`: the cursor as it now stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct CursorReply {
    /// The conversation.
    #[cfg_attr(test, ts(type = "string"))]
    pub conversation: Conversation,
    /// The cursor as it now stands.
    #[cfg_attr(test, ts(type = "number"))]
    pub seq: Seq,
}

/// The reply to `message.inbox`, in rising order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct InboxPage {
    /// The entries.
    pub messages: Vec<Message>,
    /// The inbox's head.
    #[cfg_attr(test, ts(type = "number"))]
    pub head: InboxSeq,
    /// Whether there is more after the last entry.
    pub has_more: bool,
}

/// The reply to `message.history`, in rising order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS, schemars::JsonSchema))]
pub struct HistoryPage {
    /// The entries.
    pub messages: Vec<Message>,
    /// The conversation's head.
    #[cfg_attr(test, ts(type = "number"))]
    pub head: Seq,
    /// The first seq that the reader may see.
    #[cfg_attr(test, ts(type = "number"))]
    pub min_seq: Seq,
    /// Whether there is more in the direction that was asked for (backwards when neither end was named).
    pub has_more: bool,
    /// How far the other side is; absent in a pair with oneself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub peer: Option<Peer>,
}

/// How far the other side of a pair is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS, schemars::JsonSchema))]
pub struct Peer {
    /// The seq up to which the messages were delivered.
    #[cfg_attr(test, ts(type = "number"))]
    pub delivered: Seq,
    /// Who says so.
    pub by: DeliveredBy,
    /// The seq up to which the other side has read; absent where `receipts.read` is `off`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "number"))]
    pub read: Option<Seq>,
}

/// The reply to `conversation.list`, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ConversationsPage {
    /// The rows.
    pub conversations: Vec<ConversationRow>,
    /// Where the next page begins, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub next: Option<String>,
}

/// One conversation as its viewer sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ConversationRow {
    /// The conversation.
    #[cfg_attr(test, ts(type = "string"))]
    pub conversation: Conversation,
    /// Its head.
    #[cfg_attr(test, ts(type = "number"))]
    pub head: Seq,
    /// The last message as it stands now.
    pub last_message: Message,
    /// Messages of others above the viewer's read cursor; always 0 in a `meeting`, which counts none.
    #[cfg_attr(test, ts(type = "number"))]
    pub unread: u64,
    /// The viewer's own read cursor.
    #[cfg_attr(test, ts(type = "number"))]
    pub read: Seq,
    /// The viewer's own delivered cursor; absent for groups, which have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "number"))]
    pub delivered: Option<Seq>,
    /// How far the other side is; absent in a pair with oneself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub peer: Option<Peer>,
    /// The group; absent for one-to-one conversations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub group: Option<GroupSummary>,
}
