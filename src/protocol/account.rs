//! A user's own devices and tokens, and friends, as they travel.

use serde::{Deserialize, Serialize};

use super::command::{After, Device, Limit};
use crate::ids::{DeviceId, LoginNo, Platform, UnixMs, UserId};

/// The body of `token.renew`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct TokenRenew {
    /// A new UserSig of the session's user, signed by the app's backend.
    pub token: String,
}

/// The reply to `token.renew`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct TokenRenewed {
    /// Until when the session may go on with it.
    #[cfg_attr(test, ts(type = "number"))]
    pub expires_at_ms: UnixMs,
}

/// The body of the lists that are asked for by page and nothing else: `device.list`, `friend.list`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Page {
    /// Where the page begins, as the last reply's `next` gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "string"))]
    pub after: Option<After>,
    /// Rows, 50 when left out, at most 200.
    #[serde(default)]
    #[cfg_attr(test, ts(optional, as = "Option<u32>"))]
    pub limit: Limit,
}

/// The reply to `device.list`: the devices that the user has logged in from, last login first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS, schemars::JsonSchema))]
pub struct DevicesPage {
    /// The rows.
    pub devices: Vec<DeviceRow>,
    /// Where the next page begins, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "string"))]
    pub next: Option<After>,
}

/// One device of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS, schemars::JsonSchema))]
pub struct DeviceRow {
    /// The device.
    pub device: Device,
    /// Whether it has a session.
    pub online: bool,
    /// Whether it is the one that asks; absent means no.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(test, ts(optional, as = "Option<bool>"))]
    pub current: bool,
    /// Its last login.
    #[cfg_attr(test, ts(type = "string"))]
    pub login_no: LoginNo,
    /// When that was.
    #[cfg_attr(test, ts(type = "number"))]
    pub logged_in_at_ms: UnixMs,
    /// When its last session ended; absent while it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "number"))]
    pub ended_at_ms: Option<UnixMs>,
}

/// The body of `device.kick`: either `device` or `all`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct DeviceKick {
    /// The device whose session ends; also one's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "string"))]
    pub device: Option<DeviceId>,
    /// Its platform, where one id is used on several; without it, on all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub platform: Option<Platform>,
    /// Whether all sessions of the user end but the one that asks; absent means no.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(test, ts(optional, as = "Option<bool>"))]
    pub all: bool,
}

/// The reply to `device.kick`: the sessions that it ended. None of them comes back by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS, schemars::JsonSchema))]
pub struct DevicesEnded {
    /// Whose sessions were ended; none when nobody was in.
    pub ended: Vec<Device>,
}

/// The body of `friend.add` and `friend.remove`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct FriendRef {
    /// Who.
    #[cfg_attr(test, ts(type = "string"))]
    pub user: UserId,
}

/// What somebody is to a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum FriendState {
    /// They are friends, each of the other.
    Friends,
    /// They are not.
    None,
}

/// The reply to `friend.add` and `friend.remove`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct FriendReply {
    /// What the two are from now on.
    pub state: FriendState,
}

/// The reply to `friend.list`, by their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct FriendsPage {
    /// The rows.
    pub friends: Vec<Friend>,
    /// Where the next page begins, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "string"))]
    pub next: Option<After>,
}

/// A friend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Friend {
    /// Who.
    #[cfg_attr(test, ts(type = "string"))]
    pub user: UserId,
    /// Since when.
    #[cfg_attr(test, ts(type = "number"))]
    pub since_ms: UnixMs,
}
