//! Why a client ended, and why what was asked of it was not done.

use super::outbox::OutboxError;
use crate::ids::{DeviceId, UnixMs};
use crate::limits;
use crate::protocol::{ErrorBody, KickReason};

/// Why a client does not come back by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The app logged out.
    #[error("logged out")]
    LoggedOut,
    /// The last handle was dropped.
    #[error("no longer needed")]
    Dropped,
    /// The login was refused; where the app turns newcomers away, the error names the devices that are in.
    #[error("login refused: {} ({})", .0.message, code_name(.0))]
    Refused(ErrorBody),
    /// The session was ended by a decision.
    #[error("{}", why_kicked(*reason, by.as_ref()))]
    Kicked {
        /// Why.
        reason: KickReason,
        /// The device that did it by its login or by a command, where one did.
        by: Option<DeviceId>,
        /// When.
        at_ms: UnixMs,
    },
    /// The same, but while the client was away: it wanted to go on with its session, and may not.
    #[error("the session was ended while it was away: {}", .0.message)]
    Overtaken(ErrorBody),
    /// The server closed the connection for good.
    #[error("closed with {code}: {reason}")]
    Closed {
        /// The close code.
        code: u16,
        /// What the server said.
        reason: String,
    },
}

fn why_kicked(reason: KickReason, by: Option<&DeviceId>) -> String {
    let by = by.map(|by| format!(", from the device {by}")).unwrap_or_default();
    match reason {
        KickReason::Replaced => format!("another session took its place{by}"),
        KickReason::Policy => format!("another login took its place{by}"),
        KickReason::Kicked => format!("the session was ended{by}"),
        KickReason::Revoked => format!("the session's token was revoked{by}"),
    }
}

fn code_name(error: &ErrorBody) -> &'static str {
    error.code.as_str()
}

/// Why a message was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The server says no, and would again.
    #[error("refused: {} ({})", .0.message, code_name(.0))]
    Refused(ErrorBody),
    /// It was not taken in.
    #[error(transparent)]
    NotTaken(#[from] OutboxError),
    /// The client has ended; whether the message is stored is not known.
    #[error(transparent)]
    Ended(#[from] Ended),
}

/// Why a call brought nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The server says no.
    #[error("refused: {} ({})", .0.message, code_name(.0))]
    Refused(ErrorBody),
    /// There is no connection, or it broke before the answer; asking again is safe.
    #[error("not connected")]
    NotConnected,
    /// Too many calls wait already.
    #[error("{} calls wait already", limits::CLIENT_CALLS)]
    Busy,
    /// No answer came in time.
    #[error("no answer in {:?}", limits::CLIENT_ANSWER_WITHIN)]
    TimedOut,
    /// What was asked or answered has no form that both sides know.
    #[error("not readable: {0}")]
    Unreadable(String),
    /// The client has ended.
    #[error(transparent)]
    Ended(#[from] Ended),
}
