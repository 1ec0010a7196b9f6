//! Translates between what is stored or decided and what travels.

use bytes::Bytes;

use super::user::Entry;
use crate::domain::snowflake;
use crate::ids::{Conversation, UserId};
use crate::protocol::codec::{Codec, Outbound};
use crate::protocol::{Body, DeliveredBy, Event, Message, Peer};
use crate::store::inbox::InboxEntry;
use crate::store::pairs::PeerCursors;

/// The conversation with a user.
pub(super) fn with(user: &UserId) -> Conversation {
    Conversation::User(user.clone())
}

/// An event for many sessions: encoded once for each codec that any of them speaks.
pub(super) struct Encoded {
    event: Outbound,
    json: Option<Option<Bytes>>,
    msgpack: Option<Option<Bytes>>,
}

impl Encoded {
    /// Takes an event, and encodes nothing yet.
    pub(super) fn new(event: Event) -> Self {
        Self { event: Outbound::Event(event), json: None, msgpack: None }
    }

    /// The frame for a session of this codec; a cheap clone.
    pub(super) fn frame(&mut self, codec: Codec) -> Option<Bytes> {
        let frame = match codec {
            Codec::Json => &mut self.json,
            Codec::MessagePack => &mut self.msgpack,
        };
        frame.get_or_insert_with(|| encode(codec, &self.event)).clone()
    }
}

/// Encodes a frame.
pub(super) fn encode(codec: Codec, frame: &Outbound) -> Option<Bytes> {
    codec
        .encode(frame)
        .inspect_err(|error| tracing::error!(%error, "a frame of ours has no form"))
        .ok()
}

/// Reads the stored form of a message.
pub(super) fn body(stored: &[u8]) -> Option<Body> {
    Body::decode(stored)
        .inspect_err(|error| tracing::error!(%error, "a stored message cannot be read"))
        .ok()
}

/// A committed entry as `owner` sees it.
pub(super) fn pushed(owner: &UserId, entry: &Entry) -> Message {
    let peer = if entry.from == *owner { &entry.to } else { &entry.from };
    let Body { content, mentions, reply_to } = (*entry.body).clone();
    Message {
        conversation: with(peer),
        seq: entry.seq,
        inbox: Some(entry.inbox),
        message_id: entry.message_id,
        client_msg_id: entry.key,
        from: entry.from.clone(),
        sent_at_ms: snowflake::sent_at(entry.message_id),
        content,
        mentions,
        reply_to,
    }
}

/// An entry of an inbox as its owner sees it.
pub(super) fn inbox_message(entry: InboxEntry) -> Option<Message> {
    let Body { content, mentions, reply_to } = body(&entry.body)?;
    Some(Message {
        conversation: Conversation::User(entry.peer),
        seq: entry.seq,
        inbox: Some(entry.inbox),
        message_id: entry.message_id,
        client_msg_id: entry.key,
        from: entry.sender,
        sent_at_ms: snowflake::sent_at(entry.message_id),
        content,
        mentions,
        reply_to,
    })
}

/// How far the other side is; `show_read` as the app's setting says.
pub(super) fn peer(cursors: PeerCursors, show_read: bool) -> Peer {
    let PeerCursors { by_device, by_server, read } = cursors;
    let by = if by_device >= by_server { DeliveredBy::Device } else { DeliveredBy::Server };
    Peer { delivered: by_device.max(by_server), by, read: show_read.then_some(read) }
}
