//! What travels over REST alone: bodies of the app's backend that no command has.
//!
//! A field that is not known is refused here: where most may be left out, a name that is mistyped would change what is
//! done. Answers are the same types as those of the commands wherever there is such a command.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, de};

use super::command::{After, Device, Limit, mentions};
use super::content::Content;
use super::error::Code;
use super::group::{GroupKind, GroupName};
use super::object::object;
use super::presence::asked;
use crate::ids::{
    ClientMsgId, Conversation, DeviceId, GroupId, MAX_JSON_INTEGER, MessageId, Platform, Seq,
    UnixMs, UserId,
};
use crate::limits;

/// The body of a request that says everything in its path: nothing, or an empty object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// Where a page of a list begins, and how long it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PageQuery {
    /// Where the page begins, as the last page's `next` gave it.
    #[serde(default)]
    pub after: Option<After>,
    /// Rows, 50 when left out; more than 200 counts as 200.
    #[serde(default)]
    pub limit: Limit,
}

/// Which part of a conversation's log is read: the newest page when neither end is named.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LogQuery {
    /// The page begins after this seq; not together with `before`.
    #[serde(default)]
    pub after: Option<Seq>,
    /// The page ends before this seq.
    #[serde(default)]
    pub before: Option<Seq>,
    /// Entries, 50 when left out; more than 200 counts as 200.
    #[serde(default)]
    pub limit: Limit,
}

/// A user who is to be there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(example = serde_json::json!({ "user": "alice" }))
)]
pub struct NewUser {
    /// Its id, as your app knows it.
    pub user: UserId,
}

/// A user as the app sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct User {
    /// Its id.
    pub user: UserId,
    /// When it was made.
    pub created_at_ms: UnixMs,
    /// Whether it has a session now.
    pub online: bool,
    /// Whether it is deactivated: it cannot log in until it is reactivated.
    pub deactivated: bool,
    /// Whether it is the app's own user, as which messages of the app itself are sent; it cannot log in. Absent means no.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub system: bool,
    /// Tokens that were signed before this time are refused; absent when none were revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_from_ms: Option<UnixMs>,
}

/// What a revocation led to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TokensRevoked {
    /// Tokens that were signed before this time are refused. It has come: what is signed from now on holds.
    pub tokens_from_ms: UnixMs,
    /// Whose sessions were ended.
    pub ended: Vec<Device>,
}

/// Whose sessions are to be ended: one device, or all.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(example = serde_json::json!({ "device": "phone-1" }), extend("anyOf" = super::schema::kicks()))
)]
pub struct Kick {
    /// The device; this or `all`.
    #[serde(default)]
    pub device: Option<DeviceId>,
    /// Its platform, where one id is used on several; without it, on all of them.
    #[serde(default)]
    pub platform: Option<Platform>,
    /// Whether all sessions of the user end.
    #[serde(default)]
    pub all: bool,
}

/// Whose presence is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(example = serde_json::json!({ "users": ["alice", "bob"] }))
)]
pub struct PresenceOf {
    /// Of whom, at most 500; one who is named twice is answered once, one who does not exist as offline.
    #[serde(deserialize_with = "asked")]
    #[cfg_attr(test, schemars(length(min = 1, max = limits::PRESENCE_USERS)))]
    pub users: Vec<UserId>,
}

/// A group that is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(example = serde_json::json!({
        "group": "eng",
        "kind": "work",
        "name": "Engineering",
        "owner": "alice",
        "members": ["bob"],
    }))
)]
pub struct NewGroup {
    /// The group's id; the server makes one when it is left out.
    #[serde(default)]
    pub group: Option<GroupId>,
    /// The kind of group, for ever.
    pub kind: GroupKind,
    /// What people call it.
    pub name: GroupName,
    /// Who owns it; its first member.
    pub owner: UserId,
    /// The first members besides the owner, at most 100.
    #[serde(default, deserialize_with = "few_or_none")]
    #[cfg_attr(test, schemars(length(max = limits::GROUP_USERS)))]
    pub members: Vec<UserId>,
}

/// What of a group is to be changed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(example = serde_json::json!({ "name": "Platform" }))
)]
pub struct GroupPatch {
    /// Its name from now on.
    pub name: GroupName,
}

/// Users who are to become members of a group, or to be none any more.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(example = serde_json::json!({ "users": ["carol"] }))
)]
pub struct GroupMembersChange {
    /// Who, at most 100; one who is named twice counts once.
    #[serde(deserialize_with = "few")]
    #[cfg_attr(test, schemars(length(min = 1, max = limits::GROUP_USERS)))]
    pub users: Vec<UserId>,
}

fn few_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<UserId>, D::Error> {
    let users = Vec::<UserId>::deserialize(deserializer)?;
    if users.len() > limits::GROUP_USERS {
        return Err(de::Error::custom(format!("expected at most {} users", limits::GROUP_USERS)));
    }
    Ok(users)
}

fn few<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<UserId>, D::Error> {
    let users = few_or_none(deserializer)?;
    if users.is_empty() {
        return Err(de::Error::custom(format!("expected 1 to {} users", limits::GROUP_USERS)));
    }
    Ok(users)
}

/// A message that the app's backend sends.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(example = serde_json::json!({
        "to": "user:alice",
        "content": { "type": "text", "text": "Hello" },
    }))
)]
pub struct NewMessage {
    /// For whom it is sent; the app itself, as its user `system`, when left out.
    #[serde(default)]
    pub from: Option<UserId>,
    /// The conversation that it goes to: `user:` and a user, or `group:` and a group.
    pub to: Conversation,
    /// What it says.
    #[serde(deserialize_with = "object")]
    #[cfg_attr(test, schemars(with = "super::schema::Sendable"))]
    pub content: Content,
    /// Users that the message calls by name, at most 100.
    #[serde(default, deserialize_with = "mentions")]
    #[cfg_attr(test, schemars(length(max = limits::MENTIONS)))]
    pub mentions: Option<Vec<UserId>>,
    /// The seq of the message that this one answers.
    #[serde(default, deserialize_with = "reply_to")]
    #[cfg_attr(test, schemars(range(min = 1, max = MAX_JSON_INTEGER)))]
    pub reply_to: Option<Seq>,
    /// Minted once and the same in every retransmission; not together with the header `Idempotency-Key`. With neither,
    /// the server mints one, and a request that is sent again is stored again.
    #[serde(default)]
    pub client_msg_id: Option<ClientMsgId>,
}

/// A message that is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MessageSent {
    /// The conversation, as the sender names it.
    pub conversation: Conversation,
    /// Its place in the conversation.
    pub seq: Seq,
    /// The message's id.
    pub message_id: MessageId,
    /// The id under which it can be sent again without being stored twice.
    pub client_msg_id: ClientMsgId,
    /// When it was sent, by the server's clock.
    pub sent_at_ms: UnixMs,
    /// Whether it was stored before, and this is the first answer again.
    pub duplicate: bool,
}

/// Which devices of one user may be online together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum LoginMode {
    /// One device of any kind.
    Single,
    /// One native device, phone or desktop, beside web and programs.
    NativeAndWeb,
    /// One phone and one desktop, beside web and programs.
    PerClass,
    /// All.
    All,
}

/// Who gives way when a login meets sessions that it may not be online with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum LoginConflict {
    /// Those that are in.
    #[default]
    NewestWins,
    /// The one that wants to come in.
    RefuseNewcomer,
}

/// The app's rules for logins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LoginRules {
    /// Which devices of one user may be online together.
    pub mode: LoginMode,
    /// Who gives way.
    pub on_conflict: LoginConflict,
    /// How many sessions a user may have on each platform, beside the mode.
    #[cfg_attr(test, schemars(schema_with = "super::schema::caps"))]
    pub caps: BTreeMap<Platform, usize>,
    /// How many sessions did not fit and were ended; only where `apply_now` asked for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<usize>,
}

/// The rules for logins as they shall be.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(example = serde_json::json!({
        "mode": "per_class",
        "on_conflict": "newest_wins",
        "caps": { "web": 10 },
    }))
)]
pub struct NewLoginRules {
    /// Which devices of one user may be online together.
    pub mode: LoginMode,
    /// Who gives way; those that are in, when it is left out.
    #[serde(default)]
    pub on_conflict: LoginConflict,
    /// How many sessions a user may have on each platform, 1 to 64; 10 for web and 3 for every other one that is left out.
    #[serde(default, deserialize_with = "caps")]
    #[cfg_attr(test, schemars(schema_with = "super::schema::caps"))]
    pub caps: BTreeMap<Platform, usize>,
    /// Whether sessions that do not fit end now; else the rules hold from the next login on.
    #[serde(default)]
    pub apply_now: bool,
}

fn caps<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<Platform, usize>, D::Error> {
    let caps = BTreeMap::<Platform, Whole>::deserialize(deserializer)?;
    let most = limits::SESSIONS_PER_USER;
    let cap = |Whole(cap)| usize::try_from(cap).ok().filter(|cap| (1..=most).contains(cap));
    let caps = caps.into_iter().map(|(platform, raw)| Some((platform, cap(raw)?)));
    let expected = || de::Error::custom(format!("expected a number from 1 to {most}"));
    caps.collect::<Option<_>>().ok_or_else(expected)
}

fn reply_to<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Seq>, D::Error> {
    match Option::<Whole>::deserialize(deserializer)? {
        // A larger one would not come back as it went in: JSON's integers end there.
        Some(Whole(seq)) if seq == 0 || seq > MAX_JSON_INTEGER => {
            Err(de::Error::custom(format!("expected a seq from 1 to {MAX_JSON_INTEGER}")))
        }
        seq => Ok(seq.map(|Whole(seq)| Seq::new(seq))),
    }
}

/// A number without a fraction, however it is written: JSON knows one kind of numbers, and some programs write `40.0`.
struct Whole(u64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        let fraction = number.as_f64().filter(|raw| raw.fract() == 0.0);
        let in_range = fraction.filter(|raw| (0.0..=MAX_JSON_INTEGER as f64).contains(raw));
        let whole = number.as_u64().or(in_range.map(|raw| raw as u64));
        whole.map(Self).ok_or_else(|| de::Error::custom("expected an integer from 0 on"))
    }
}

/// Whether something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum OnOff {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// What the other side of a conversation hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(example = serde_json::json!({ "read": "on" }))
)]
pub struct Receipts {
    /// Whether the other side is told how far one has read.
    pub read: OnOff,
}

/// Why a request was not carried out: a problem of RFC 9457.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Problem {
    /// Where the code is explained.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the status means.
    pub title: &'static str,
    /// The status of the answer.
    pub status: u16,
    /// What is wrong, for people; may change.
    pub detail: String,
    /// What is wrong, for programs; stable, and the same as over the wire.
    pub code: Code,
    /// Names this answer in the logs.
    pub request_id: String,
    /// The field of the body, of the query or of the path that is wrong, or the header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}
