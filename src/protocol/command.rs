//! What a client may ask for.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, de};

use super::account::{DeviceKick, FriendRef, Page, TokenRenew};
use super::content::{Body, Content};
use super::group::{GroupKind, GroupName};
use super::object::{object, optional_object};
use super::presence::{PresenceGet, PresenceSet, PresenceUnwatch, PresenceWatch};
use crate::ids::{
    AppId, ClientMsgId, Conversation, DeviceId, Epoch, GroupId, InboxSeq, LoginNo,
    MAX_JSON_INTEGER, Platform, Seq, UserId,
};
use crate::limits;

/// A command, its body parsed and its sizes checked.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// `login`
    Login(Box<Login>),
    /// `logout`
    Logout(Logout),
    /// `ping`
    Ping(Ping),
    /// `sync`
    Sync(Sync),
    /// `message.send`
    Send(Box<Send>),
    /// `message.received`
    Received(CursorCommand),
    /// `message.read`
    Read(CursorCommand),
    /// `message.inbox`
    Inbox(Inbox),
    /// `message.history`
    History(History),
    /// `conversation.list`
    ConversationList(ConversationList),
    /// `group.create`
    GroupCreate(GroupCreate),
    /// `group.get`
    GroupGet(GroupRef),
    /// `group.list`
    GroupList(GroupList),
    /// `group.update`
    GroupUpdate(GroupUpdate),
    /// `group.members`
    GroupMembers(GroupMembers),
    /// `group.invite`
    GroupInvite(GroupUsers),
    /// `group.join`
    GroupJoin(GroupRef),
    /// `group.leave`
    GroupLeave(GroupRef),
    /// `group.remove`
    GroupRemove(GroupUsers),
    /// `group.dissolve`
    GroupDissolve(GroupRef),
    /// `token.renew`
    TokenRenew(TokenRenew),
    /// `device.list`
    DeviceList(Page),
    /// `device.kick`
    DeviceKick(DeviceKick),
    /// `friend.add`
    FriendAdd(FriendRef),
    /// `friend.remove`
    FriendRemove(FriendRef),
    /// `friend.list`
    FriendList(Page),
    /// `presence.set`
    PresenceSet(PresenceSet),
    /// `presence.get`
    PresenceGet(PresenceGet),
    /// `presence.watch`
    PresenceWatch(PresenceWatch),
    /// `presence.unwatch`
    PresenceUnwatch(PresenceUnwatch),
}

impl Command {
    /// The name under which the command travels.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Login(_) => "login",
            Self::Logout(_) => "logout",
            Self::Ping(_) => "ping",
            Self::Sync(_) => "sync",
            Self::Send(_) => "message.send",
            Self::Received(_) => "message.received",
            Self::Read(_) => "message.read",
            Self::Inbox(_) => "message.inbox",
            Self::History(_) => "message.history",
            Self::ConversationList(_) => "conversation.list",
            Self::GroupCreate(_) => "group.create",
            Self::GroupGet(_) => "group.get",
            Self::GroupList(_) => "group.list",
            Self::GroupUpdate(_) => "group.update",
            Self::GroupMembers(_) => "group.members",
            Self::GroupInvite(_) => "group.invite",
            Self::GroupJoin(_) => "group.join",
            Self::GroupLeave(_) => "group.leave",
            Self::GroupRemove(_) => "group.remove",
            Self::GroupDissolve(_) => "group.dissolve",
            Self::TokenRenew(_) => "token.renew",
            Self::DeviceList(_) => "device.list",
            Self::DeviceKick(_) => "device.kick",
            Self::FriendAdd(_) => "friend.add",
            Self::FriendRemove(_) => "friend.remove",
            Self::FriendList(_) => "friend.list",
            Self::PresenceSet(_) => "presence.set",
            Self::PresenceGet(_) => "presence.get",
            Self::PresenceWatch(_) => "presence.watch",
            Self::PresenceUnwatch(_) => "presence.unwatch",
        }
    }
}

/// One installed client of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS, schemars::JsonSchema))]
pub struct Device {
    /// The client's own name for itself, kept for as long as it is installed.
    #[cfg_attr(test, ts(type = "string"))]
    pub id: DeviceId,
    /// What kind of client it is.
    pub platform: Platform,
    /// What people call it; at most 128 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "device_name")]
    #[cfg_attr(test, ts(optional))]
    pub name: Option<String>,
}

fn device_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let name = Option::<String>::deserialize(deserializer)?;
    match name {
        // PostgreSQL's text holds no NUL, and neither does a name that people read.
        Some(name) if name.len() > limits::DEVICE_NAME_BYTES || name.contains('\0') => {
            Err(de::Error::custom("expected at most 128 bytes without NUL"))
        }
        name => Ok(name),
    }
}

/// The body of `login`: the first command of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Login {
    /// The app; 1 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "number"))]
    pub app: Option<AppId>,
    /// Who logs in.
    #[cfg_attr(test, ts(type = "string"))]
    pub user: UserId,
    /// A UserSig in Tencent's v2 form, signed by the app's backend.
    pub token: String,
    /// From which device.
    #[serde(deserialize_with = "object")]
    pub device: Device,
    /// Left out when a person logs in; given when a client comes back by itself.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "optional_object"
    )]
    #[cfg_attr(test, ts(optional))]
    pub resume: Option<Resume>,
    /// What the client has, as in `sync`; left out means nothing.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "optional_object"
    )]
    #[cfg_attr(test, ts(optional))]
    pub sync: Option<Sync>,
}

/// The session that a client goes on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Resume {
    /// Its login number.
    #[cfg_attr(test, ts(type = "string"))]
    pub login_no: LoginNo,
}

/// The body of `logout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Logout {}

/// The body of `ping`: the client's position in what is on screen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Ping {
    /// The inbox number up to which the client has everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "number"))]
    pub inbox: Option<InboxSeq>,
    /// The seqs up to which the client has everything of these groups, at most 50.
    #[serde(default, skip_serializing_if = "GroupSeqs::is_empty", deserialize_with = "on_screen")]
    #[cfg_attr(test, ts(optional, type = "Record<string, number>"))]
    pub groups: GroupSeqs,
}

/// A seq for each of some groups.
pub type GroupSeqs = BTreeMap<GroupId, Seq>;

fn on_screen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<GroupSeqs, D::Error> {
    group_seqs(deserializer, limits::PING_GROUPS)
}

fn in_position<'de, D: Deserializer<'de>>(deserializer: D) -> Result<GroupSeqs, D::Error> {
    group_seqs(deserializer, limits::SYNC_GROUPS)
}

fn group_seqs<'de, D: Deserializer<'de>>(
    deserializer: D,
    most: usize,
) -> Result<GroupSeqs, D::Error> {
    let groups = Option::<GroupSeqs>::deserialize(deserializer)?.unwrap_or_default();
    if groups.len() > most {
        return Err(de::Error::custom(format!("expected at most {most} groups")));
    }
    Ok(groups)
}

/// The body of `sync`: the client's position.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Sync {
    /// The epoch that the position belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "string"))]
    pub epoch: Option<Epoch>,
    /// The inbox number up to which the client has everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "number"))]
    pub inbox: Option<InboxSeq>,
    /// The seqs up to which the client has everything of these groups, at most 500.
    #[serde(
        default,
        skip_serializing_if = "GroupSeqs::is_empty",
        deserialize_with = "in_position"
    )]
    #[cfg_attr(test, ts(optional, type = "Record<string, number>"))]
    pub groups: GroupSeqs,
    /// Where the page of groups begins, as the last reply's `next` gave it; all else is sent again unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "string"))]
    pub after: Option<After>,
}

/// The body of `message.send`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Send {
    /// The conversation that the message goes to.
    #[cfg_attr(test, ts(type = "string"))]
    pub to: Conversation,
    /// A UUIDv7, minted once and the same in every retransmission.
    #[cfg_attr(test, ts(type = "string"))]
    pub client_msg_id: ClientMsgId,
    /// What the message says.
    #[serde(deserialize_with = "object")]
    pub content: Content,
    /// Users that the message calls by name, at most 100.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "mentions")]
    #[cfg_attr(test, ts(optional, type = "Array<string>"))]
    pub mentions: Option<Vec<UserId>>,
    /// The seq of the message that this one answers.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "reply_to")]
    #[cfg_attr(test, ts(optional, type = "number"))]
    pub reply_to: Option<Seq>,
}

impl Send {
    /// What is stored and compared of it.
    pub fn into_body(self) -> Body {
        Body { content: self.content, mentions: self.mentions, reply_to: self.reply_to }
    }
}

pub(super) fn mentions<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<UserId>>, D::Error> {
    let mentions = Option::<Vec<UserId>>::deserialize(deserializer)?;
    match mentions {
        Some(users) if users.len() > limits::MENTIONS => {
            Err(de::Error::custom("expected at most 100 users"))
        }
        // No mention and an empty list say the same, and must hash the same.
        Some(users) if users.is_empty() => Ok(None),
        mentions => Ok(mentions),
    }
}

fn reply_to<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Seq>, D::Error> {
    match Option::<Seq>::deserialize(deserializer)? {
        // A larger one would not come back as it went in: JSON's integers end there.
        Some(seq) if seq == Seq::ZERO || seq.get() > MAX_JSON_INTEGER => {
            Err(de::Error::custom("expected a seq from 1 to 9007199254740991"))
        }
        seq => Ok(seq),
    }
}

/// The body of `message.received` and `message.read`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct CursorCommand {
    /// The conversation.
    #[cfg_attr(test, ts(type = "string"))]
    pub conversation: Conversation,
    /// The seq up to which it happened; beyond the head counts as the head.
    #[cfg_attr(test, ts(type = "number"))]
    pub seq: Seq,
}

/// How many entries a page shall hold: a larger wish than [`limits::PAGE_MAX`] is taken as that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limit(usize);

impl Limit {
    /// Takes 1 and more.
    pub fn new(wish: usize) -> Self {
        Self(wish.clamp(1, limits::PAGE_MAX))
    }

    /// Entries.
    pub fn get(self) -> usize {
        self.0
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(limits::PAGE_DEFAULT)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Limit;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an integer from 1 on")
            }

            // As in other fields that may be left out.
            fn visit_unit<E: de::Error>(self) -> Result<Limit, E> {
                Ok(Limit::default())
            }

            fn visit_u64<E: de::Error>(self, wish: u64) -> Result<Limit, E> {
                if wish < 1 {
                    return Err(E::custom("expected an integer from 1 on"));
                }
                Ok(Limit::new(usize::try_from(wish).unwrap_or(limits::PAGE_MAX)))
            }

            fn visit_i64<E: de::Error>(self, wish: i64) -> Result<Limit, E> {
                u64::try_from(wish)
                    .map_err(|_| E::custom("expected an integer from 1 on"))
                    .and_then(|wish| self.visit_u64(wish))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// The body of `message.inbox`: the one-to-one entries of all conversations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Inbox {
    /// The inbox number after which the page begins.
    #[cfg_attr(test, ts(type = "number"))]
    pub after: InboxSeq,
    /// Entries, 50 when left out, at most 200.
    #[serde(default)]
    #[cfg_attr(test, ts(optional, as = "Option<u32>"))]
    pub limit: Limit,
}

/// The body of `message.history`: one conversation's log, newest page when neither end is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct History {
    /// The conversation.
    #[cfg_attr(test, ts(type = "string"))]
    pub conversation: Conversation,
    /// The page begins after this seq.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "number"))]
    pub after: Option<Seq>,
    /// The page ends before this seq.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "number"))]
    pub before: Option<Seq>,
    /// Entries, 50 when left out, at most 200.
    #[serde(default)]
    #[cfg_attr(test, ts(optional, as = "Option<u32>"))]
    pub limit: Limit,
}

/// An opaque place in a list, as the reply's `next` gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct After(String);

impl After {
    /// Wraps the text that a page ends with.
    pub fn new(raw: String) -> Self {
        Self(raw)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for After {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Cow::<str>::deserialize(deserializer)?;
        if raw.len() > limits::CURSOR_BYTES {
            return Err(de::Error::custom("expected what an earlier reply gave as next"));
        }
        Ok(Self(raw.into_owned()))
    }
}

/// The body of `conversation.list`: newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ConversationList {
    /// Where the page begins, as the last reply's `next` gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "string"))]
    pub after: Option<After>,
    /// Rows, 50 when left out, at most 200.
    #[serde(default)]
    #[cfg_attr(test, ts(optional, as = "Option<u32>"))]
    pub limit: Limit,
}

/// The body of `group.create`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct GroupCreate {
    /// The group's id; the server makes one when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "string"))]
    pub group: Option<GroupId>,
    /// The kind of group, for ever.
    pub kind: GroupKind,
    /// What people call it: 1 to 30 characters, see [`GroupName`].
    #[cfg_attr(test, ts(type = "string"))]
    pub name: GroupName,
    /// The first members besides the maker, who becomes the owner; at most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "members")]
    #[cfg_attr(test, ts(optional, as = "Option<Vec<String>>"))]
    pub members: Vec<UserId>,
}

fn members<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<UserId>, D::Error> {
    Ok(Option::<Vec<UserId>>::deserialize(deserializer)?.unwrap_or_default())
}

/// The body of the commands that name a group and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct GroupRef {
    /// The group.
    #[cfg_attr(test, ts(type = "string"))]
    pub group: GroupId,
}

/// The body of `group.list`: the groups that one is a member of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct GroupList {
    /// Where the page begins, as the last reply's `next` gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "string"))]
    pub after: Option<After>,
    /// Rows, 50 when left out, at most 200.
    #[serde(default)]
    #[cfg_attr(test, ts(optional, as = "Option<u32>"))]
    pub limit: Limit,
}

/// The body of `group.update`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct GroupUpdate {
    /// The group.
    #[cfg_attr(test, ts(type = "string"))]
    pub group: GroupId,
    /// Its name from now on.
    #[cfg_attr(test, ts(type = "string"))]
    pub name: GroupName,
}

/// The body of `group.members`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct GroupMembers {
    /// The group.
    #[cfg_attr(test, ts(type = "string"))]
    pub group: GroupId,
    /// Where the page begins, as the last reply's `next` gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "string"))]
    pub after: Option<After>,
    /// Rows, 50 when left out, at most 200.
    #[serde(default)]
    #[cfg_attr(test, ts(optional, as = "Option<u32>"))]
    pub limit: Limit,
}

/// The body of `group.invite` and `group.remove`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct GroupUsers {
    /// The group.
    #[cfg_attr(test, ts(type = "string"))]
    pub group: GroupId,
    /// One user; this or `users`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "string"))]
    pub user: Option<UserId>,
    /// Users, at most 100; one who is named twice counts once.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "members")]
    #[cfg_attr(test, ts(optional, as = "Option<Vec<String>>"))]
    pub users: Vec<UserId>,
}
