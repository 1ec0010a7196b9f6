//! The codes under which the server says no, and those with which it closes a connection.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::command::Device;
use crate::ids::{ClientMsgId, UnixMs};

/// Why a command was not carried out. Stable: clients branch on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS, schemars::JsonSchema))]
pub enum Code {
    /// The frame, the request or a field of it is wrong; the message names the field and what was expected.
    BadRequest,
    /// No command has that name; over REST, the path does not know that method.
    UnknownCommand,
    /// The frame or the request is right but holds too much.
    TooLarge,
    /// The first command is `login`; over REST, a request carries an API key.
    NotLoggedIn,
    /// The token, or the API key, does not prove what it should.
    BadToken,
    /// The time of the token, or of the API key, has run out.
    TokenExpired,
    /// The rules say no, or the API key lacks the scope.
    Forbidden,
    /// There is no such thing, or one that may not be seen.
    NotFound,
    /// One who is not, or no longer, a member.
    NotAMember,
    /// There is no room for more.
    Full,
    /// It clashes with what is there.
    Conflict,
    /// The id is known with other content, or the `Idempotency-Key` with another request.
    KeyReused,
    /// The id is older than the dedup window.
    StaleKey,
    /// The id was minted too far ahead of the server's time.
    ClockAhead,
    /// An earlier message must come first.
    OrderBroken,
    /// Too many in too short a time.
    RateLimited,
    /// A queue is full.
    Busy,
    /// A part that is needed is away.
    Unavailable,
    /// It may have been done or not; the same id again finds out.
    OutcomeUnknown,
    /// One that this version does not know: read by clients, and never sent.
    #[serde(other)]
    #[cfg_attr(test, ts(skip), schemars(skip))]
    Unknown,
}

impl Code {
    /// The code as it travels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::UnknownCommand => "unknown_command",
            Self::TooLarge => "too_large",
            Self::NotLoggedIn => "not_logged_in",
            Self::BadToken => "bad_token",
            Self::TokenExpired => "token_expired",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::NotAMember => "not_a_member",
            Self::Full => "full",
            Self::Conflict => "conflict",
            Self::KeyReused => "key_reused",
            Self::StaleKey => "stale_key",
            Self::ClockAhead => "clock_ahead",
            Self::OrderBroken => "order_broken",
            Self::RateLimited => "rate_limited",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Unknown => "unknown",
        }
    }

    /// Whether trying again with the same client message id can succeed.
    pub fn is_curable(self) -> bool {
        match self {
            Self::RateLimited
            | Self::Busy
            | Self::Unavailable
            | Self::OutcomeUnknown
            | Self::OrderBroken => true,
            Self::BadRequest
            | Self::UnknownCommand
            | Self::TooLarge
            | Self::NotLoggedIn
            | Self::BadToken
            | Self::TokenExpired
            | Self::Forbidden
            | Self::NotFound
            | Self::NotAMember
            | Self::Full
            | Self::Conflict
            | Self::KeyReused
            | Self::StaleKey
            | Self::ClockAhead
            | Self::Unknown => false,
        }
    }
}

/// The `error` of a reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ErrorBody {
    /// Stable, for programs.
    pub code: Code,
    /// For people; may change.
    pub message: String,
    /// When to try again, in milliseconds from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "number"))]
    pub retry_after_ms: Option<u64>,
    /// The field that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub field: Option<String>,
    /// The server's time, where the client's clock was the fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "number"))]
    pub server_time_ms: Option<UnixMs>,
    /// The message that must come first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "string"))]
    pub client_msg_id: Option<ClientMsgId>,
    /// The devices that are in, where the app turns newcomers away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub devices: Option<Vec<Device>>,
}

impl ErrorBody {
    /// A code and a sentence for people.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after_ms: None,
            field: None,
            server_time_ms: None,
            client_msg_id: None,
            devices: None,
        }
    }

    /// The same, saying when to try again.
    pub fn retry_after(mut self, after: std::time::Duration) -> Self {
        self.retry_after_ms = Some(after.as_millis() as u64);
        self
    }

    /// The same, naming the field.
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }
}

/// The WebSocket close codes of ours. 4000 to 4499: come back, with jitter; 4500 to 4999: do not, by yourself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// 1000: the client logged out.
    Normal,
    /// 1009: a frame announced more than may be. A WebSocket is closed with it by the rules of RFC 6455 alone.
    TooLarge,
    /// 4000: a fault of the server.
    Internal,
    /// 4001: the node is stopping.
    Draining,
    /// 4002: the client reads too slowly.
    TooSlow,
    /// 4003: the client was silent for too long.
    Silent,
    /// 4004: no login in time.
    NoLogin,
    /// 4005: the client sends too fast.
    TooFast,
    /// 4500: the token does not hold.
    BadToken,
    /// 4501: another session won, or the session was ended by a decision.
    Kicked,
    /// 4502: the token was revoked.
    Revoked,
    /// 4503: the user may not log in.
    Banned,
    /// 4504: what the client speaks is not this protocol.
    NotThisProtocol,
}

impl CloseCode {
    const ALL: [Self; 13] = [
        Self::Normal,
        Self::TooLarge,
        Self::Internal,
        Self::Draining,
        Self::TooSlow,
        Self::Silent,
        Self::NoLogin,
        Self::TooFast,
        Self::BadToken,
        Self::Kicked,
        Self::Revoked,
        Self::Banned,
        Self::NotThisProtocol,
    ];

    /// The number on the wire.
    pub fn number(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::TooLarge => 1009,
            Self::Internal => 4000,
            Self::Draining => 4001,
            Self::TooSlow => 4002,
            Self::Silent => 4003,
            Self::NoLogin => 4004,
            Self::TooFast => 4005,
            Self::BadToken => 4500,
            Self::Kicked => 4501,
            Self::Revoked => 4502,
            Self::Banned => 4503,
            Self::NotThisProtocol => 4504,
        }
    }

    /// What it means, for people.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Normal => "logged out",
            Self::TooLarge => "the frame is too large",
            Self::Internal => "a fault of the server",
            Self::Draining => "the server is stopping",
            Self::TooSlow => "the client reads too slowly",
            Self::Silent => "nothing was heard for too long",
            Self::NoLogin => "no login in time",
            Self::TooFast => "too many sends wait for their order",
            Self::BadToken => "the token does not hold",
            Self::Kicked => "the session was ended by a decision",
            Self::Revoked => "the token was revoked",
            Self::Banned => "the user may not log in",
            Self::NotThisProtocol => "this is not the protocol that is spoken here",
        }
    }

    /// Whether a client shall come back by itself.
    pub fn may_come_back(self) -> bool {
        (4000..4500).contains(&self.number())
    }
}

impl Serialize for CloseCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.number())
    }
}

impl<'de> Deserialize<'de> for CloseCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u16::deserialize(deserializer)?;
        Self::ALL
            .into_iter()
            .find(|code| code.number() == number)
            .ok_or_else(|| de::Error::custom("expected a close code of this protocol"))
    }
}
