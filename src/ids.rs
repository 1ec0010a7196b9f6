//! Newtypes for every id, number and time that travels or is stored.
//!
//! Text from outside is parsed here once; past this point a [`UserId`] is known to be well formed.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

#[cfg(test)]
mod schema;

/// The longest name of a user, device or group, in bytes.
pub const NAME_BYTES: usize = 64;

/// The largest integer that a JSON number carries exactly: 2^53 − 1.
pub const MAX_JSON_INTEGER: u64 = (1 << 53) - 1;

/// Why a name from outside is refused. Shown to people, so it says what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given, or more than [`NAME_BYTES`].
    #[error("expected 1 to {NAME_BYTES} characters")]
    Length,
    /// A character outside the alphabet of names.
    #[error("expected only the characters A-Z a-z 0-9 _ . @ # + = -")]
    Character,
}

fn check_name(raw: &str) -> Result<(), NameError> {
    if raw.is_empty() || raw.len() > NAME_BYTES {
        return Err(NameError::Length);
    }
    let fits = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'_' | b'.' | b'@' | b'#' | b'+' | b'=' | b'-')
    };
    if raw.bytes().all(fits) { Ok(()) } else { Err(NameError::Character) }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses 1 to 64 characters of `A-Z a-z 0-9 _ . @ # + = -`; names are compared as bytes.
            pub fn parse(raw: &str) -> Result<Self, NameError> {
                check_name(raw)?;
                Ok(Self(raw.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let raw = std::borrow::Cow::<str>::deserialize(deserializer)?;
                Self::parse(&raw).map_err(de::Error::custom)
            }
        }
    };
}

name!(
    /// A user as the app names it.
    UserId
);
name!(
    /// One installed client of a user, as the client names it.
    DeviceId
);
name!(
    /// A group, as the app or its maker names it.
    GroupId
);

/// The kind of client that a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS, schemars::JsonSchema))]
pub enum Platform {
    /// A browser tab.
    Web,
    /// An iPhone or iPad.
    Ios,
    /// An Android phone or tablet.
    Android,
    /// A Windows computer.
    Windows,
    /// A Mac.
    Macos,
    /// A Linux computer.
    Linux,
    /// A program.
    Api,
}

impl Platform {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Web, Self::Ios, Self::Android, Self::Windows, Self::Macos, Self::Linux, Self::Api];

    /// Reads the name under which a platform is stored.
    pub fn from_store(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|platform| platform.as_str() == raw)
    }

    /// The name under which the platform travels and is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Ios => "ios",
            Self::Android => "android",
            Self::Windows => "windows",
            Self::Macos => "macos",
            Self::Linux => "linux",
            Self::Api => "api",
        }
    }
}

/// A tenant: one application that uses the engine. From 1 to 2^31 − 1, the same as UserSig's `sdkappid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct AppId(i32);

impl AppId {
    /// The app that always exists, so that a single-tenant user never names one.
    pub const DEFAULT: Self = Self(1);

    /// Takes a number from 1 to 2^31 − 1.
    pub fn new(raw: i64) -> Option<Self> {
        i32::try_from(raw).ok().filter(|number| *number >= 1).map(Self)
    }

    /// The number.
    pub fn get(self) -> i32 {
        self.0
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for AppId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = integer(deserializer)?;
        i64::try_from(raw)
            .ok()
            .and_then(Self::new)
            .ok_or_else(|| de::Error::custom("expected an app from 1 to 2147483647"))
    }
}

/// Reads an integer in a way that says to people what was expected.
fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    struct Visitor;
    impl de::Visitor<'_> for Visitor {
        type Value = u64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an integer from 0 on")
        }

        fn visit_u64<E: de::Error>(self, raw: u64) -> Result<u64, E> {
            Ok(raw)
        }

        fn visit_i64<E: de::Error>(self, raw: i64) -> Result<u64, E> {
            u64::try_from(raw).map_err(|_| E::invalid_value(de::Unexpected::Signed(raw), &self))
        }
    }
    deserializer.deserialize_u64(Visitor)
}

/// What an API key may be used for. A key has some of these, and each route asks for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Look at users and their devices.
    UsersRead,
    /// Make, deactivate and reactivate users.
    UsersWrite,
    /// End sessions and revoke tokens.
    SessionsWrite,
    /// Read conversations.
    MessagesRead,
    /// Send as the system or for a user.
    MessagesSend,
    /// Look at groups and their members.
    GroupsRead,
    /// Make, change and dissolve groups.
    GroupsWrite,
    /// See who is there.
    PresenceRead,
    /// See what the app has set.
    AppsRead,
    /// Change what the app has set.
    AppsWrite,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::UsersRead,
        Self::UsersWrite,
        Self::SessionsWrite,
        Self::MessagesRead,
        Self::MessagesSend,
        Self::GroupsRead,
        Self::GroupsWrite,
        Self::PresenceRead,
        Self::AppsRead,
        Self::AppsWrite,
    ];

    /// The name under which a scope is asked for and stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UsersRead => "users:read",
            Self::UsersWrite => "users:write",
            Self::SessionsWrite => "sessions:write",
            Self::MessagesRead => "messages:read",
            Self::MessagesSend => "messages:send",
            Self::GroupsRead => "groups:read",
            Self::GroupsWrite => "groups:write",
            Self::PresenceRead => "presence:read",
            Self::AppsRead => "apps:read",
            Self::AppsWrite => "apps:write",
        }
    }

    /// Reads the name of a scope.
    pub fn parse(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == raw)
    }
}

/// The public half of an API key: 16 hexadecimal digits, which tell nobody the other half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ApiKeyId(u64);

impl ApiKeyId {
    /// Takes any number.
    pub fn new(raw: u64) -> Self {
        Self(raw)
    }

    /// Parses 16 hexadecimal digits in lower case: a key is written in one way only.
    pub fn parse(raw: &str) -> Option<Self> {
        let id = Self(u64::from_str_radix(raw, 16).ok()?);
        (id.to_string() == raw).then_some(id)
    }
}

impl fmt::Display for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub struct $name(i64);

        impl $name {
            /// Wraps a number that the store gave.
            pub const fn from_store(raw: i64) -> Self {
                Self(raw)
            }

            /// The number as the store keeps it.
            pub fn get(self) -> i64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// A user's global number; it implies the app.
    UserNo
);
number!(
    /// A pair's or group's global number; it implies the app.
    ConversationNo
);
number!(
    /// A node's number: the id of its row in `nodes`.
    NodeId
);
number!(
    /// Which start of a node: each start gets a new one.
    Incarnation
);
number!(
    /// Which claim of a shard: raised by each claim, so that what was begun under an older one stores nothing.
    ShardEpoch
);
number!(
    /// Which version of an app's login policy: raised by each change of it.
    PolicyNo
);
number!(
    /// Which claim of a journal's row in `writers`: raised whenever the outcome of a statement is unknown.
    Fence
);

/// One start of one node: what envelopes are addressed to, and what owns shards and sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeRun {
    /// The node.
    pub node: NodeId,
    /// Which start of it.
    pub incarnation: Incarnation,
}

impl fmt::Display for NodeRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.node, self.incarnation)
    }
}

macro_rules! place {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize)]
        pub struct $name(u64);

        impl $name {
            /// Before the first entry.
            pub const ZERO: Self = Self(0);

            /// Takes any number; one that no log can hold is taken as the largest that one can.
            pub fn new(raw: u64) -> Self {
                Self(raw.min(i64::MAX as u64))
            }

            /// Wraps a number that the store gave.
            pub fn from_store(raw: i64) -> Self {
                Self(raw.max(0) as u64)
            }

            /// The number as the store keeps it.
            pub fn to_store(self) -> i64 {
                self.0 as i64
            }

            /// The number.
            pub fn get(self) -> u64 {
                self.0
            }

            /// The place after this one.
            pub fn next(self) -> Self {
                Self::new(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                integer(deserializer).map(Self::new)
            }
        }
    };
}

place!(
    /// The place of an entry in its conversation's log: 1, 2, 3 … without a gap.
    Seq
);
place!(
    /// The place of an entry in its owner's one-to-one stream: 1, 2, 3 … without a gap.
    InboxSeq
);

macro_rules! text_number {
    ($(#[$doc:meta])* $name:ident, $expected:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(i64);

        impl $name {
            /// Wraps a number that the store gave.
            pub const fn from_store(raw: i64) -> Self {
                Self(raw)
            }

            /// The number as the store keeps it.
            pub fn get(self) -> i64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let raw = std::borrow::Cow::<str>::deserialize(deserializer)?;
                raw.parse()
                    .ok()
                    .filter(|number| *number >= 0)
                    .map(Self)
                    .ok_or_else(|| de::Error::custom($expected))
            }
        }
    };
}

text_number!(
    /// A message's id, unique over all nodes: 41 bits of milliseconds, 10 of node number, 12 of counter. A string in JSON.
    MessageId,
    "expected a message id: a decimal number as a string"
);
text_number!(
    /// Raised by each login of a user; a session is known by it for ever. A string in JSON.
    LoginNo,
    "expected a login number: a decimal number as a string"
);

/// Minted once by the sender, the same in every retransmission: a UUIDv7.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ClientMsgId(Uuid);

impl ClientMsgId {
    /// Takes a UUID of version 7, whose first 48 bits are the milliseconds at which it was minted.
    pub fn new(uuid: Uuid) -> Option<Self> {
        (uuid.get_version_num() == 7).then_some(Self(uuid))
    }

    /// Wraps a key that the store gave.
    pub fn from_store(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// Mints one whose time is `at` and whose rest is `random`.
    pub fn mint(at: UnixMs, random: [u8; 10]) -> Self {
        let millis = at.get().max(0) as u64;
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    /// The UUID.
    pub fn uuid(self) -> Uuid {
        self.0
    }

    /// When it was minted, by its sender's clock.
    pub fn minted_at(self) -> UnixMs {
        let bytes = self.0.as_bytes();
        let mut millis = [0u8; 8];
        millis[2..].copy_from_slice(&bytes[..6]);
        UnixMs::new(i64::from_be_bytes(millis))
    }
}

impl fmt::Display for ClientMsgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ClientMsgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientMsgId({})", self.0)
    }
}

impl<'de> Deserialize<'de> for ClientMsgId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let uuid = Uuid::deserialize(deserializer)?;
        Self::new(uuid).ok_or_else(|| de::Error::custom("expected a UUID of version 7"))
    }
}

/// Milliseconds since 1970 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMs(i64);

impl UnixMs {
    /// Wraps milliseconds.
    pub const fn new(millis: i64) -> Self {
        Self(millis)
    }

    /// The milliseconds.
    pub fn get(self) -> i64 {
        self.0
    }

    /// The whole days since 1970, in UTC: the number of the dedup partition.
    pub fn day(self) -> i32 {
        self.0.div_euclid(86_400_000) as i32
    }

    /// How many milliseconds passed since `earlier`; negative when it is later.
    pub fn since(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }
}

/// Names one history of the store: it changes only when the database itself lost committed data. Opaque text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(Arc<str>);

impl Epoch {
    /// Wraps the text that the store gave.
    pub fn from_store(raw: &str) -> Self {
        Self(raw.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One of the 1,024 slices of the groups. Nodes own shards, never single groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shard(u16);

impl Shard {
    /// How many there are. Fixed for ever: a group's shard follows from its number.
    pub const COUNT: u16 = 1024;

    /// The shard of a group.
    pub fn of(group: ConversationNo) -> Self {
        Self((group.get().unsigned_abs() % u64::from(Self::COUNT)) as u16)
    }

    /// All of them, in rising order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }

    /// Wraps a number that the store gave; none when there is no such shard.
    pub fn from_store(raw: i32) -> Option<Self> {
        u16::try_from(raw).ok().filter(|shard| *shard < Self::COUNT).map(Self)
    }

    /// The number as the store keeps it.
    pub fn to_store(self) -> i32 {
        i32::from(self.0)
    }

    /// The number.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// What a message belongs to, as its viewer names it: `user:bob`, `group:eng`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Conversation {
    /// The pair of the viewer and that user.
    User(UserId),
    /// The group.
    Group(GroupId),
}

impl Conversation {
    /// Parses `user:` and a user id, or `group:` and a group id.
    pub fn parse(raw: &str) -> Result<Self, String> {
        let expected = "expected user: and a user id, or group: and a group id";
        let because = |error| format!("{expected}: {error}");
        match raw.split_once(':') {
            Some(("user", id)) => UserId::parse(id).map(Self::User).map_err(because),
            Some(("group", id)) => GroupId::parse(id).map(Self::Group).map_err(because),
            _ => Err(expected.to_owned()),
        }
    }
}

impl fmt::Display for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user:{id}"),
            Self::Group(id) => write!(f, "group:{id}"),
        }
    }
}

impl Serialize for Conversation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Conversation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&raw).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_to_sixty_four_characters_of_the_alphabet() {
        for good in ["a", "A-Z_.@#+=-9", &"x".repeat(64)] {
            assert_eq!(UserId::parse(good).map(|id| id.as_str().to_owned()), Ok(good.to_owned()));
        }
        for bad in ["", &"x".repeat(65), "a b", "a\nb", "ü", "a/b", "a:b", "a\0"] {
            assert!(UserId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_client_message_id_is_a_uuid_of_version_7_and_tells_its_time() {
        let id = ClientMsgId::mint(UnixMs::new(1_700_000_000_123), [7; 10]);

        assert_eq!(id.minted_at(), UnixMs::new(1_700_000_000_123));
        assert_eq!(ClientMsgId::new(id.uuid()), Some(id));
        assert_eq!(ClientMsgId::new(Uuid::nil()), None);
    }

    #[test]
    fn a_day_is_counted_in_utc_and_downwards_before_1970() {
        assert_eq!(UnixMs::new(0).day(), 0);
        assert_eq!(UnixMs::new(86_400_000).day(), 1);
        assert_eq!(UnixMs::new(-1).day(), -1);
    }

    #[test]
    fn a_seq_beyond_what_a_log_can_hold_is_the_largest_one() {
        assert_eq!(Seq::new(u64::MAX).to_store(), i64::MAX);
    }
}
