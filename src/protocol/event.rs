//! What the server tells without being asked.

use serde::{Deserialize, Serialize};

use super::account::FriendState;
use super::content::Content;
use super::error::CloseCode;
use super::presence::Presences;
use super::received;
use crate::ids::{
    ClientMsgId, Conversation, DeviceId, GroupId, InboxSeq, MessageId, Seq, UnixMs, UserId,
};

/// An event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", content = "body")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Event {
    /// An entry of a log.
    #[serde(rename = "message.new")]
    MessageNew(Message),
    /// The peer of a pair has it, or the server answers for a peer who is not online.
    #[serde(rename = "message.delivered")]
    Delivered {
        /// The conversation.
        #[cfg_attr(test, ts(type = "string"))]
        conversation: Conversation,
        /// The seq up to which it was delivered.
        #[cfg_attr(test, ts(type = "number"))]
        seq: Seq,
        /// To whom.
        #[cfg_attr(test, ts(type = "string"))]
        user: UserId,
        /// Who says so.
        by: DeliveredBy,
    },
    /// Someone has read.
    #[serde(rename = "message.read")]
    Read(ReadEvent),
    /// A group's profile or membership moved; the notice in its log says how.
    #[serde(rename = "group.changed")]
    GroupChanged {
        /// The group.
        #[cfg_attr(test, ts(type = "string"))]
        group: GroupId,
    },
    /// Somebody became a friend, or ceases to be one.
    #[serde(rename = "friend.changed")]
    FriendChanged {
        /// Who.
        #[cfg_attr(test, ts(type = "string"))]
        user: UserId,
        /// What they are from now on.
        state: FriendState,
    },
    /// How friends and those who are watched are now, and oneself. Changes within a second are joined.
    #[serde(rename = "presence.changed")]
    PresenceChanged(Presences),
    /// The session's token runs out soon; from then on only `token.renew` and `logout` are carried out.
    #[serde(rename = "token.expiring")]
    TokenExpiring {
        /// When.
        #[cfg_attr(test, ts(type = "number"))]
        expires_at_ms: UnixMs,
    },
    /// Pushes were left out; none come until the client's `sync` arrives.
    #[serde(rename = "sync.needed")]
    SyncNeeded {},
    /// The session has ended by a decision.
    #[serde(rename = "session.kicked")]
    Kicked {
        /// Why.
        reason: KickReason,
        /// The device that did it by its login or by a command, where one did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional, type = "string"))]
        by: Option<DeviceId>,
        /// When.
        #[cfg_attr(test, ts(type = "number"))]
        at_ms: UnixMs,
    },
    /// The node is about to stop.
    #[serde(rename = "session.draining")]
    Draining {
        /// When to come back, in milliseconds from now.
        #[cfg_attr(test, ts(type = "number"))]
        reconnect_after_ms: u64,
    },
    /// The last event before a close with one of our codes.
    #[serde(rename = "session.closing")]
    Closing {
        /// The close code that follows.
        #[cfg_attr(test, ts(type = "number"))]
        code: CloseCode,
        /// What it means, for people.
        reason: String,
        /// When to come back, in milliseconds from now, where coming back makes sense.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional, type = "number"))]
        reconnect_after_ms: Option<u64>,
    },
}

/// The body of the event `message.read`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum ReadEvent {
    /// Somebody's cursor rose: the peer's in a pair, or one's own on another device.
    Cursor {
        /// The conversation.
        #[cfg_attr(test, ts(type = "string"))]
        conversation: Conversation,
        /// The seq up to which was read.
        #[cfg_attr(test, ts(type = "number"))]
        seq: Seq,
        /// By whom.
        #[cfg_attr(test, ts(type = "string"))]
        user: UserId,
    },
    /// More members of a group have read what the receiver wrote. At most once a second for each group.
    Counts {
        /// The group's conversation.
        #[cfg_attr(test, ts(type = "string"))]
        conversation: Conversation,
        /// The receiver's own messages that were newly read, rising; the newest where there are many.
        counts: Vec<ReadCount>,
    },
}

/// How many others have read a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ReadCount {
    /// The message.
    #[cfg_attr(test, ts(type = "number"))]
    pub seq: Seq,
    /// Members who have read it, its author left out.
    pub readers: u32,
}

/// An entry of a log, as pushes and pages carry it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS, schemars::JsonSchema))]
pub struct Message {
    /// The conversation, as its reader names it.
    #[cfg_attr(test, ts(type = "string"))]
    pub conversation: Conversation,
    /// Its place in the conversation.
    #[cfg_attr(test, ts(type = "number"))]
    pub seq: Seq,
    /// Its place in the reader's inbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "number"))]
    pub inbox: Option<InboxSeq>,
    /// The message's id.
    #[cfg_attr(test, ts(type = "string"))]
    pub message_id: MessageId,
    /// The id that its sender minted.
    #[cfg_attr(test, ts(type = "string"))]
    pub client_msg_id: ClientMsgId,
    /// Who sent it.
    #[cfg_attr(test, ts(type = "string"))]
    pub from: UserId,
    /// When, by the server's clock.
    #[cfg_attr(test, ts(type = "number"))]
    pub sent_at_ms: UnixMs,
    /// What it says.
    #[serde(serialize_with = "received::serialize", deserialize_with = "received::deserialize")]
    pub content: Content,
    /// Users that it calls by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "Array<string>"))]
    pub mentions: Option<Vec<UserId>>,
    /// The seq that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "number"))]
    pub reply_to: Option<Seq>,
}

/// Who says that a message was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS, schemars::JsonSchema))]
pub enum DeliveredBy {
    /// A device of the receiver has it.
    Device,
    /// Nobody was online; the server keeps it.
    Server,
}

/// Why a session was ended by a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum KickReason {
    /// The same device logged in again.
    Replaced,
    /// The app does not let the two be logged in at once, or not as many.
    Policy,
    /// The user, or the app's backend, ended the session.
    Kicked,
    /// The token that it was logged in with was revoked.
    Revoked,
}
