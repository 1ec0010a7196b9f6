//! Translates between what is stored or decided and what travels.

use bytes::Bytes;

use super::relay::GroupEntry;
use super::user::Entry;
use crate::domain::group::{self, Happened};
use crate::domain::intake::Ack;
use crate::domain::login_policy::EndedBy;
use crate::domain::presence::{self, Chosen, Front, Seen, SeenTo};
use crate::domain::{policy, snowflake};
use crate::ids::{Conversation, GroupId, UnixMs, UserId};
use crate::limits;
use crate::protocol::codec::Outbound;
use crate::protocol::framing::Dialect;
use crate::protocol::{
    Body, Content, ConversationRow, DeliveredBy, DeviceState, Event, GroupInfo, GroupKind,
    GroupSummary, KickReason, LastSeen, Message, Notice, NoticeAction, Peer, PlatformPresence,
    Presence, PresenceState, Role, Sent, Status, StatusText,
};
use crate::store::conversations::Listed;
use crate::store::groups;
use crate::store::inbox::InboxEntry;
use crate::store::pairs::PeerCursors;

/// The conversation with a user.
pub(super) fn with(user: &UserId) -> Conversation {
    Conversation::User(user.clone())
}

/// An event for many sessions: encoded once for each dialect that any of them speaks.
pub(super) struct Encoded {
    event: Outbound,
    frames: [Option<Option<Bytes>>; Dialect::COUNT],
}

impl Encoded {
    /// Takes an event, and encodes nothing yet.
    pub(super) fn new(event: Event) -> Self {
        Self { event: Outbound::Event(event), frames: Default::default() }
    }

    /// The frame for a session of this dialect; a cheap clone.
    pub(super) fn frame(&mut self, dialect: Dialect) -> Option<Bytes> {
        let frame = &mut self.frames[dialect.index()];
        frame.get_or_insert_with(|| encode(dialect, &self.event)).clone()
    }
}

/// Events of one conversation that came together, for many sessions: put together once for each dialect, so that a session
/// is told once, and writes what it is told as it is.
pub(super) struct EncodedRun {
    events: Vec<Encoded>,
    together: [Option<Vec<Together>>; Dialect::COUNT],
}

/// Frames that travel as one.
pub(super) struct Together {
    /// The frames, in order.
    pub frames: Bytes,
    /// How many there are.
    pub events: usize,
}

impl EncodedRun {
    /// Takes events, and encodes nothing yet.
    pub(super) fn new(events: impl Iterator<Item = Event>) -> Self {
        Self { events: events.map(Encoded::new).collect(), together: Default::default() }
    }

    /// Each alone, for a session that shall not hear of all of them.
    pub(super) fn events(&mut self) -> impl Iterator<Item = &mut Encoded> {
        self.events.iter_mut()
    }

    /// What a session of this dialect is told: parts that a session's queue has room for.
    pub(super) fn together(&mut self, dialect: Dialect) -> &[Together] {
        let events = &mut self.events;
        self.together[dialect.index()].get_or_insert_with(|| {
            let frames = events.iter_mut().filter_map(|event| event.frame(dialect)).collect();
            put_together(frames)
        })
    }
}

fn put_together(frames: Vec<Bytes>) -> Vec<Together> {
    let mut parts = Vec::new();
    let mut rest = &frames[..];
    while let Some(first) = rest.first() {
        let mut bytes = first.len();
        let fits = |frame: &&Bytes| {
            bytes += frame.len();
            bytes <= limits::WRITE_BATCH_BYTES
        };
        let events = 1 + rest[1..].iter().take(limits::RUN_EVENTS - 1).take_while(fits).count();
        let (part, behind) = rest.split_at(events);
        // One alone is not copied.
        let frames = if events == 1 { first.clone() } else { part.concat().into() };
        parts.push(Together { frames, events });
        rest = behind;
    }
    parts
}

/// Encodes a frame, ready for the socket.
pub(super) fn encode(dialect: Dialect, frame: &Outbound) -> Option<Bytes> {
    dialect
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

/// What a send is answered with.
pub(super) fn sent(conversation: Conversation, ack: Ack) -> Sent {
    let Ack { seq, inbox, message_id, duplicate } = ack;
    Sent {
        conversation,
        seq,
        inbox: inbox.filter(|_| !duplicate),
        message_id,
        sent_at_ms: snowflake::sent_at(message_id),
        duplicate,
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

/// What a notice tells.
pub(super) fn notice(notice: group::Notice) -> Content {
    let group::Notice { happened, users, name, owner } = notice;
    let action = match happened {
        Happened::Created => NoticeAction::Created,
        Happened::Added => NoticeAction::Added,
        Happened::Joined => NoticeAction::Joined,
        Happened::Left => NoticeAction::Left,
        Happened::Removed => NoticeAction::Removed,
        Happened::Renamed => NoticeAction::Renamed,
        Happened::Dissolved => NoticeAction::Dissolved,
    };
    Content::Notice(Notice { action, users, name, owner })
}

/// A committed entry of a group; the same for everyone.
pub(super) fn group_entry(entry: GroupEntry) -> Message {
    let Body { content, mentions, reply_to } = (*entry.body).clone();
    Message {
        conversation: Conversation::Group(entry.key.id),
        seq: entry.seq,
        inbox: None,
        message_id: entry.message_id,
        client_msg_id: entry.client_msg_id,
        from: entry.from,
        sent_at_ms: snowflake::sent_at(entry.message_id),
        content,
        mentions,
        reply_to,
    }
}

/// An entry of a group's log.
pub(super) fn group_message(group: &GroupId, entry: groups::GroupEntry) -> Option<Message> {
    let Body { content, mentions, reply_to } = body(&entry.body)?;
    Some(Message {
        conversation: Conversation::Group(group.clone()),
        seq: entry.seq,
        inbox: None,
        message_id: entry.message_id,
        client_msg_id: entry.key,
        from: entry.sender,
        sent_at_ms: snowflake::sent_at(entry.message_id),
        content,
        mentions,
        reply_to,
    })
}

/// A group as one who may see it sees it.
pub(super) fn group_info(row: groups::GroupRow) -> GroupInfo {
    let member = row.membership.filter(|own| own.left_seq.is_none());
    GroupInfo {
        conversation: Conversation::Group(row.id.clone()),
        group: row.id,
        kind: kind(row.kind),
        name: row.name,
        owner: row.owner,
        members: row.members,
        created_at_ms: row.created_at,
        role: member.map(|own| role(own.role)),
        dissolved: row.dissolved.is_some(),
    }
}

/// A kind as it travels.
pub(super) fn kind(kind: policy::Kind) -> GroupKind {
    match kind {
        policy::Kind::Work => GroupKind::Work,
        policy::Kind::Meeting => GroupKind::Meeting,
    }
}

/// A kind as the rules know it.
pub(super) fn kind_of(kind: GroupKind) -> policy::Kind {
    match kind {
        GroupKind::Work => policy::Kind::Work,
        GroupKind::Meeting => policy::Kind::Meeting,
    }
}

/// A role as it travels.
pub(super) fn role(role: policy::Role) -> Role {
    match role {
        policy::Role::Owner => Role::Owner,
        policy::Role::Member => Role::Member,
    }
}

/// A conversation in its viewer's list.
pub(super) fn listed(listed: Listed, show_read: bool) -> Option<ConversationRow> {
    match listed {
        Listed::Pair(pair) => {
            let last_message = inbox_message(pair.last)?;
            Some(ConversationRow {
                conversation: last_message.conversation.clone(),
                head: last_message.seq,
                last_message,
                unread: pair.unread,
                read: pair.read,
                delivered: Some(pair.delivered),
                peer: pair.peer.map(|cursors| peer(cursors, show_read)),
                group: None,
            })
        }
        Listed::Group(group) => {
            let last_message = group_message(&group.id, group.last)?;
            Some(ConversationRow {
                conversation: last_message.conversation.clone(),
                head: last_message.seq,
                last_message,
                unread: group.unread,
                read: group.read,
                delivered: None,
                peer: None,
                group: Some(GroupSummary {
                    kind: kind(group.kind),
                    name: group.name,
                    members: group.members,
                    min_seq: group.min_seq,
                    left: group.left,
                }),
            })
        }
    }
}

/// How a client is told why its session was ended; none where the close code says it all.
pub(super) fn kick_reason(why: EndedBy) -> Option<KickReason> {
    match why {
        EndedBy::Replaced => Some(KickReason::Replaced),
        EndedBy::Policy => Some(KickReason::Policy),
        EndedBy::Kick => Some(KickReason::Kicked),
        EndedBy::Revocation => Some(KickReason::Revoked),
        EndedBy::Deactivation => None,
    }
}

/// What is seen of a user.
pub(super) fn presence(user: &UserId, seen: Seen) -> Presence {
    let state = match seen.front() {
        Some(Front::Online) => PresenceState::Online,
        Some(Front::Background) => PresenceState::Background,
        None => PresenceState::Offline,
    };
    let Seen { platforms, status, last_seen } = seen;
    let platforms = platforms.into_iter().map(|(platform, front)| {
        let state = match front {
            Front::Online => DeviceState::Online,
            Front::Background => DeviceState::Background,
        };
        PlatformPresence { platform, state }
    });
    let (text, until_ms) = status.as_ref().map_or((None, None), |status| {
        // What is stored was parsed when it came.
        (status.text.as_deref().and_then(|text| StatusText::parse(text).ok()), status.until)
    });
    Presence {
        user: user.clone(),
        state,
        platforms: platforms.collect(),
        status: status.map(|status| chosen(status.chosen)),
        text,
        until_ms,
        last_seen_ms: last_seen,
    }
}

fn chosen(chosen: Chosen) -> Status {
    match chosen {
        Chosen::Available => Status::Available,
        Chosen::Away => Status::Away,
        Chosen::Busy => Status::Busy,
        Chosen::Dnd => Status::Dnd,
        Chosen::Invisible => Status::Invisible,
    }
}

/// A status as the rules know it.
pub(super) fn status_of(
    status: Status,
    text: Option<StatusText>,
    until: Option<UnixMs>,
) -> presence::Status {
    let chosen = match status {
        Status::Available => Chosen::Available,
        Status::Away => Chosen::Away,
        Status::Busy => Chosen::Busy,
        Status::Dnd => Chosen::Dnd,
        Status::Invisible => Chosen::Invisible,
    };
    presence::Status { chosen, text: text.map(|text| text.as_str().into()), until }
}

/// Whether a device is in front, as the rules know it.
pub(super) fn front_of(state: DeviceState) -> Front {
    match state {
        DeviceState::Online => Front::Online,
        DeviceState::Background => Front::Background,
    }
}

/// Who sees the last seen, as the rules know it.
pub(super) fn seen_to(last_seen: LastSeen) -> SeenTo {
    match last_seen {
        LastSeen::Everyone => SeenTo::Everyone,
        LastSeen::Friends => SeenTo::Friends,
        LastSeen::Nobody => SeenTo::Nobody,
    }
}
