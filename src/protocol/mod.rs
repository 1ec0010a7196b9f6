//! What travels between clients and the server: commands, replies, events, errors, and the codecs that carry them.
//!
//! One set of serde types is the source; knows no socket, no clock and no rule.

mod account;
pub mod codec;
mod command;
mod content;
mod error;
mod event;
pub mod framing;
mod group;
mod msgpack;
mod object;
mod presence;
mod received;
mod reply;
pub mod rest;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod typescript;

pub use account::{
    DeviceKick, DeviceRow, DevicesEnded, DevicesPage, Friend, FriendRef, FriendReply, FriendState,
    FriendsPage, Page, TokenRenew, TokenRenewed,
};
pub use command::{
    After, Command, ConversationList, CursorCommand, Device, GroupCreate, GroupList, GroupMembers,
    GroupRef, GroupSeqs, GroupUpdate, GroupUsers, History, Inbox, Limit, Login, Logout, Ping,
    Resume, Send, Sync,
};
pub use content::{Body, Content, Notice, NoticeAction, UnknownContent};
pub use error::{CloseCode, Code, ErrorBody};
pub use event::{DeliveredBy, Event, KickReason, Message, ReadCount, ReadEvent};
pub use group::{
    GroupChanged, GroupCreated, GroupHead, GroupInfo, GroupKind, GroupName, GroupSummary,
    GroupsPage, Member, MembersPage, Role,
};
pub use presence::{
    DeviceState, LastSeen, PlatformPresence, Presence, PresenceGet, PresenceSet, PresenceState,
    PresenceUnwatch, PresenceWatch, Presences, Status, StatusText, Watching,
};
pub use reply::{
    Behind, ConversationRow, ConversationsPage, CursorReply, Empty, HistoryPage, InboxPage, Limits,
    LoggedIn, Peer, Pong, Reply, Sent, Synced,
};

pub use crate::ids::Platform;

/// The WebSocket subprotocol of the JSON codec.
pub const SUBPROTOCOL_JSON: &str = "rookery.v1.json";
/// The WebSocket subprotocol of the MessagePack codec.
pub const SUBPROTOCOL_MSGPACK: &str = "rookery.v1.msgpack";
/// The path at which the WebSocket is opened.
pub const WEBSOCKET_PATH: &str = "/v1/ws";
