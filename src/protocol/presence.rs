//! Who is there, as it travels.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::ids::{Platform, UnixMs, UserId};
use crate::limits;

/// Whether a device, or a user by the best of their devices, is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS, schemars::JsonSchema))]
pub enum PresenceState {
    /// Connected, and in front.
    Online,
    /// Connected, and not in front.
    Background,
    /// Not connected, invisible, or nobody that the reader may see.
    Offline,
}

/// Whether a connected device is in front of its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS, schemars::JsonSchema))]
pub enum DeviceState {
    /// In front.
    Online,
    /// Not in front.
    Background,
}

/// What a user says of themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS, schemars::JsonSchema))]
pub enum Status {
    /// Nothing in particular.
    Available,
    /// Away from the device.
    Away,
    /// Busy.
    Busy,
    /// Not to be disturbed.
    Dnd,
    /// Offline to all others.
    Invisible,
}

/// Who sees when a user was last there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum LastSeen {
    /// Everyone who may see the user's presence.
    Everyone,
    /// Friends.
    Friends,
    /// Nobody but the user.
    Nobody,
}

/// The words beside a status: at most 128 bytes, without control characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct StatusText(String);

impl StatusText {
    /// Takes text that fits.
    pub fn parse(raw: &str) -> Result<Self, &'static str> {
        let fits = raw.len() <= limits::STATUS_TEXT_BYTES && !raw.chars().any(char::is_control);
        if fits {
            Ok(Self(raw.to_owned()))
        } else {
            Err("expected at most 128 bytes without control characters")
        }
    }

    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for StatusText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&raw).map_err(de::Error::custom)
    }
}

/// The body of `presence.set`: what is left out stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct PresenceSet {
    /// Whether this device is in front; each login begins in front.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub state: Option<DeviceState>,
    /// What the user says of themselves, on all devices. Takes the place of the former status, words and end included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub status: Option<Status>,
    /// The words beside `status`, at most 128 bytes; none when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "string"))]
    pub text: Option<StatusText>,
    /// Until when `status` holds; then it is `available` without words. Without it, until it is set again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "number"))]
    pub until_ms: Option<UnixMs>,
    /// Who sees from now on when the user was last there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub last_seen: Option<LastSeen>,
}

/// The body of `presence.get`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct PresenceGet {
    /// Of whom, at most 500; one who is named twice is answered once.
    #[serde(deserialize_with = "asked")]
    #[cfg_attr(test, ts(type = "Array<string>"))]
    pub users: Vec<UserId>,
}

/// The body of `presence.watch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct PresenceWatch {
    /// Whom to watch, at most 200; one who is watched already is watched for longer.
    #[serde(deserialize_with = "watched")]
    #[cfg_attr(test, ts(type = "Array<string>"))]
    pub users: Vec<UserId>,
    /// For how many seconds, from 1 to 3600; 300 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "ttl")]
    #[cfg_attr(test, ts(optional, type = "number"))]
    pub ttl_s: Option<u32>,
}

/// The body of `presence.unwatch`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct PresenceUnwatch {
    /// Whom not to watch any more; everyone when left out.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "unwatched")]
    #[cfg_attr(test, ts(optional, type = "Array<string>"))]
    pub users: Option<Vec<UserId>>,
}

fn at_most<'de, D: Deserializer<'de>>(
    deserializer: D,
    most: usize,
) -> Result<Vec<UserId>, D::Error> {
    let users = Vec::<UserId>::deserialize(deserializer)?;
    if users.is_empty() || users.len() > most {
        return Err(de::Error::custom(format!("expected 1 to {most} users")));
    }
    Ok(users)
}

pub(super) fn asked<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<UserId>, D::Error> {
    at_most(deserializer, limits::PRESENCE_USERS)
}

fn watched<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<UserId>, D::Error> {
    at_most(deserializer, limits::WATCHED)
}

fn unwatched<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<UserId>>, D::Error> {
    let users = Option::<Vec<UserId>>::deserialize(deserializer)?;
    match users {
        Some(users) if users.len() > limits::WATCHED => {
            Err(de::Error::custom(format!("expected at most {} users", limits::WATCHED)))
        }
        users => Ok(users),
    }
}

fn ttl<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    match Option::<u32>::deserialize(deserializer)? {
        Some(ttl) if !(1..=limits::WATCH_MOST_S).contains(&ttl) => {
            Err(de::Error::custom(format!("expected seconds from 1 to {}", limits::WATCH_MOST_S)))
        }
        ttl => Ok(ttl),
    }
}

/// Whether somebody is there, as far as the reader may see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS, schemars::JsonSchema))]
pub struct Presence {
    /// Who.
    #[cfg_attr(test, ts(type = "string"))]
    pub user: UserId,
    /// The best of their devices.
    pub state: PresenceState,
    /// What they are there with, the best first; absent when offline.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, ts(optional, as = "Option<Vec<PlatformPresence>>"))]
    pub platforms: Vec<PlatformPresence>,
    /// What they say of themselves; absent when offline. Only oneself sees `invisible`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub status: Option<Status>,
    /// The words beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "string"))]
    pub text: Option<StatusText>,
    /// Until when that holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "number"))]
    pub until_ms: Option<UnixMs>,
    /// When they were last there, to the minute; only when offline, and only to those who may see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "number"))]
    pub last_seen_ms: Option<UnixMs>,
}

/// The best device of one platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS, schemars::JsonSchema))]
pub struct PlatformPresence {
    /// The platform.
    pub platform: Platform,
    /// Whether it is in front.
    pub state: DeviceState,
}

/// The reply to `presence.get` and `presence.set`, and the body of `presence.changed`: each user once, in the order in
/// which they were asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS, schemars::JsonSchema))]
pub struct Presences {
    /// The rows.
    pub presences: Vec<Presence>,
}

/// The reply to `presence.watch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Watching {
    /// How those who were named are; changes follow as `presence.changed`.
    pub presences: Vec<Presence>,
    /// Until when they are watched.
    #[cfg_attr(test, ts(type = "number"))]
    pub until_ms: UnixMs,
    /// Who had to make room, and is not watched any more: the ones watched for longest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, ts(optional, as = "Option<Vec<String>>"))]
    pub dropped: Vec<UserId>,
}
