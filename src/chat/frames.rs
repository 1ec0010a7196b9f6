//! The lines of `--json`: the protocol's own frames, with events of the client's beside those of the server.
//!
//! The names are stable; `docs/chat.md` lists them.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::client::{CallError, Ended, SendError, Update};
use crate::ids::{ClientMsgId, Conversation, MAX_JSON_INTEGER, Seq, UserId};
use crate::protocol::{Content, Sent};

/// A command that came in as a line.
#[derive(Debug)]
pub struct Frame {
    /// What the answer shall carry.
    pub re: u64,
    /// What is asked for.
    pub asked: Asked,
}

/// What is asked for.
#[derive(Debug)]
pub enum Asked {
    /// `message.send`, whose key may be left out.
    Send(Box<ToSend>),
    /// Any other command that is not the client's own matter.
    Call {
        /// Its name.
        cmd: String,
        /// Its body.
        body: Box<RawValue>,
    },
}

/// The body of a `message.send` as a script writes it.
#[derive(Debug, Deserialize)]
pub struct ToSend {
    /// The conversation.
    pub to: Conversation,
    /// Minted here when left out.
    #[serde(default)]
    pub client_msg_id: Option<ClientMsgId>,
    /// What the message says.
    pub content: Content,
    /// Users that it calls by name.
    #[serde(default)]
    pub mentions: Option<Vec<UserId>>,
    /// The seq that it answers.
    #[serde(default)]
    pub reply_to: Option<Seq>,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    id: Option<u64>,
    cmd: String,
    #[serde(default)]
    body: Option<Box<RawValue>>,
}

/// What the client does by itself, and a script would only disturb.
const OWN_MATTERS: [&str; 6] =
    ["login", "logout", "token.renew", "ping", "sync", "message.received"];

/// Reads a line. The number of the line is what the answer carries when the frame names no `id`.
pub fn read(line: &str, number: u64) -> Result<Frame, (u64, String)> {
    let raw: Raw = serde_json::from_str(line)
        .map_err(|error| (number, format!("expected an object with cmd and body: {error}")))?;
    let re = raw.id.filter(|id| *id <= MAX_JSON_INTEGER).unwrap_or(number);
    let body = raw.body.unwrap_or_else(|| RawValue::NULL.to_owned());
    if OWN_MATTERS.contains(&raw.cmd.as_str()) {
        return Err((re, format!("{} is the client's own matter", raw.cmd)));
    }
    if raw.cmd == "message.send" {
        let send = serde_json::from_str(body.get());
        let send = send.map_err(|error| (re, format!("message.send: {error}")))?;
        return Ok(Frame { re, asked: Asked::Send(Box::new(send)) });
    }
    // A body that is left out is one without fields.
    let body = if body.get() == "null" { RawValue::from_string("{}".to_owned()) } else { Ok(body) };
    let body = body.map_err(|error| (re, error.to_string()))?;
    Ok(Frame { re, asked: Asked::Call { cmd: raw.cmd, body } })
}

/// The answer to a send.
pub fn sent(re: u64, outcome: &Result<Sent, SendError>) -> String {
    match outcome {
        Ok(sent) => ok(re, sent),
        Err(SendError::Refused(refusal)) => error(re, refusal),
        Err(SendError::NotTaken(why)) => failure(re, "busy", &why.to_string()),
        Err(SendError::Ended(why)) => failure(re, "client.ended", &why.to_string()),
    }
}

/// The answer to another command.
pub fn answer(re: u64, answer: &Result<Box<RawValue>, CallError>) -> String {
    let code = match answer {
        Ok(body) => return ok(re, body),
        Err(CallError::Refused(refusal)) => return error(re, refusal),
        Err(CallError::NotConnected) => "client.offline",
        Err(CallError::Busy) => "busy",
        Err(CallError::TimedOut) => "client.timed_out",
        Err(CallError::Unreadable(_)) => "bad_request",
        Err(CallError::Ended(_)) => "client.ended",
    };
    let why = answer.as_ref().err().map(ToString::to_string).unwrap_or_default();
    failure(re, code, &why)
}

/// A failure that the server knows nothing of.
pub fn failure(re: u64, code: &str, message: &str) -> String {
    error(re, &json!({"code": code, "message": message}))
}

/// The event that tells an update.
pub fn event(update: &Update) -> String {
    match update {
        Update::Online { login_no } => tell("client.online", &json!({"login_no": login_no})),
        Update::Offline { retry_in } => {
            tell("client.offline", &json!({"retry_in_ms": retry_in.as_millis() as u64}))
        }
        Update::EpochChanged { epoch } => tell("client.epoch", &json!({"epoch": epoch})),
        Update::Received(message) => tell("message.new", message),
        Update::Sent(message) => tell("client.sent", message),
        Update::Missing { after, before } => {
            tell("client.missing", &json!({"after": after, "before": before}))
        }
        Update::MissingInGroup { group, after, before } => {
            tell("client.missing", &json!({"group": group, "after": after, "before": before}))
        }
        Update::GroupChanged { group } => tell("group.changed", &json!({"group": group})),
        Update::GroupLeft { group, last } => {
            tell("client.left", &json!({"group": group, "last": last}))
        }
        Update::Delivered { conversation, seq, user, by } => {
            let body = json!({"conversation": conversation, "seq": seq, "user": user, "by": by});
            tell("message.delivered", &body)
        }
        Update::Read { conversation, seq, user } => {
            let body = json!({"conversation": conversation, "seq": seq, "user": user});
            tell("message.read", &body)
        }
        Update::ReadCounts { conversation, counts } => {
            tell("message.read", &json!({"conversation": conversation, "counts": counts}))
        }
        Update::FriendChanged { user, state } => {
            tell("friend.changed", &json!({"user": user, "state": state}))
        }
        Update::PresenceChanged(presence) => {
            tell("presence.changed", &json!({"presences": [presence]}))
        }
        Update::Ended(ended) => tell("client.ended", &why(ended)),
    }
}

/// Why a client ended: in words, and what a script may want to tell apart.
fn why(ended: &Ended) -> Value {
    let message = ended.to_string();
    match ended {
        Ended::Kicked { reason, by: Some(by), at_ms } => {
            json!({"message": message, "reason": reason, "by": by, "at_ms": at_ms})
        }
        Ended::Kicked { reason, by: None, at_ms } => {
            json!({"message": message, "reason": reason, "at_ms": at_ms})
        }
        Ended::Refused(error) | Ended::Overtaken(error) => {
            json!({"message": message, "error": error})
        }
        Ended::Closed { code, .. } => json!({"message": message, "code": code}),
        Ended::LoggedOut | Ended::Dropped => json!({"message": message}),
    }
}

fn ok<T: Serialize>(re: u64, ok: &T) -> String {
    #[derive(Serialize)]
    struct Ok<'a, T> {
        re: u64,
        ok: &'a T,
    }
    written(&Ok { re, ok })
}

fn error<T: Serialize>(re: u64, error: &T) -> String {
    #[derive(Serialize)]
    struct Error<'a, T> {
        re: u64,
        error: &'a T,
    }
    written(&Error { re, error })
}

fn tell<T: Serialize>(event: &str, body: &T) -> String {
    #[derive(Serialize)]
    struct Event<'a, T> {
        event: &'a str,
        body: &'a T,
    }
    written(&Event { event, body })
}

fn written<T: Serialize>(line: &T) -> String {
    // All that is written here has a form in JSON.
    serde_json::to_string(line).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_command_of_the_protocol() {
        let frame = read(r#"{"id":7,"cmd":"group.get","body":{"group":"eng"}}"#, 1).unwrap();
        let Asked::Call { cmd, body } = frame.asked else { panic!("a call") };
        assert_eq!((frame.re, cmd.as_str(), body.get()), (7, "group.get", r#"{"group":"eng"}"#));

        let frame = read(r#"{"cmd":"conversation.list"}"#, 3).unwrap();
        let Asked::Call { body, .. } = frame.asked else { panic!("a call") };
        assert_eq!((frame.re, body.get()), (3, "{}"));

        let send = r#"{"cmd":"message.send","body":{"to":"user:bob","content":{"type":"text","text":"hi"}}}"#;
        let Asked::Send(send) = read(send, 1).unwrap().asked else { panic!("a send") };
        assert_eq!((send.to.to_string().as_str(), send.client_msg_id), ("user:bob", None));
    }

    #[test]
    fn what_is_no_command_is_refused_under_its_line_or_id() {
        for (line, re) in [
            ("hi", 9),
            ("[]", 9),
            (r#"{"id":1}"#, 9),
            (r#"{"id":-1,"cmd":"x"}"#, 9),
            (r#"{"id":1,"cmd":"login"}"#, 1),
            (r#"{"id":2,"cmd":"message.send"}"#, 2),
            (
                r#"{"cmd":"message.send","body":{"to":"bob","content":{"type":"text","text":""}}}"#,
                9,
            ),
            (r#"{"cmd":"message.send","body":{"to":"user:bob","content":{"type":"poll"}}}"#, 9),
        ] {
            assert_eq!(read(line, 9).unwrap_err().0, re, "{line}");
        }
    }
}
