//! How frames are written and read. The transport around them is the adapters' matter.

use std::borrow::Cow;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::command::Command;
use super::error::{Code, ErrorBody};
use super::event::Event;
use super::object::object;
use super::reply::Reply;
use crate::ids::MAX_JSON_INTEGER;
use crate::limits;

/// A command as it came in.
#[derive(Debug, Clone, PartialEq)]
pub struct Inbound {
    /// The client's number for it, which the reply carries.
    pub id: u64,
    /// What is asked for.
    pub command: Command,
}

/// A frame that no command could be read from, with what to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The id of the command, when it could be read.
    pub re: Option<u64>,
    /// What is wrong with it.
    pub error: ErrorBody,
}

/// What goes out.
#[derive(Debug, Clone, PartialEq)]
pub enum Outbound {
    /// A command was carried out.
    Ok {
        /// The command's id.
        re: u64,
        /// What came of it.
        ok: Reply,
    },
    /// A command was not carried out, or a frame could not be read.
    Error {
        /// The command's id, when it could be read.
        re: Option<u64>,
        /// Why.
        error: ErrorBody,
    },
    /// Something that nobody asked for.
    Event(Event),
}

/// One way of writing frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Text, `rookery.v1.json`.
    Json,
}

impl Codec {
    /// Reads a frame of at most [`limits::FRAME_BYTES`].
    pub fn decode(self, frame: &[u8]) -> Result<Inbound, Rejected> {
        match self {
            Self::Json => decode_json(frame),
        }
    }

    /// Writes a frame. Fails only for a value that has no form in the codec, which none of ours is.
    pub fn encode(self, frame: &Outbound) -> Result<Bytes, EncodeError> {
        match self {
            Self::Json => {
                let mut out = Vec::with_capacity(256);
                let written = match frame {
                    Outbound::Ok { re, ok } => serde_json::to_writer(&mut out, &OkFrame { re, ok }),
                    Outbound::Error { re, error } => {
                        serde_json::to_writer(&mut out, &ErrorFrame { re, error })
                    }
                    Outbound::Event(event) => serde_json::to_writer(&mut out, event),
                };
                written.map_err(|error| EncodeError(error.to_string()))?;
                Ok(Bytes::from(out))
            }
        }
    }
}

/// A value that has no form in the codec.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("frame cannot be written: {0}")]
pub struct EncodeError(String);

#[derive(Serialize)]
struct OkFrame<'a> {
    re: &'a u64,
    ok: &'a Reply,
}

#[derive(Serialize)]
struct ErrorFrame<'a> {
    re: &'a Option<u64>,
    error: &'a ErrorBody,
}

#[derive(Deserialize)]
struct RawFrame<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    cmd: Option<&'a RawValue>,
    #[serde(borrow, default)]
    body: Option<&'a RawValue>,
}

fn decode_json(frame: &[u8]) -> Result<Inbound, Rejected> {
    let reject = |re, error| Rejected { re, error };
    if depth(frame) > limits::JSON_DEPTH {
        let message = format!("expected JSON nested at most {} deep", limits::JSON_DEPTH);
        return Err(reject(None, ErrorBody::new(Code::BadRequest, message)));
    }
    let raw: RawFrame<'_> = whole(frame).map_err(|error| {
        let message =
            format!("expected a JSON object with id, cmd and body: {}", without_place(&error));
        reject(None, ErrorBody::new(Code::BadRequest, message))
    })?;
    let id = raw
        .id
        .and_then(|id| id.get().parse::<u64>().ok())
        .filter(|id| *id <= MAX_JSON_INTEGER)
        .ok_or_else(|| {
            let message = "expected an integer from 0 to 9007199254740991";
            reject(None, ErrorBody::new(Code::BadRequest, message).field("id"))
        })?;
    let cmd: Cow<'_, str> =
        raw.cmd.and_then(|cmd| serde_json::from_str(cmd.get()).ok()).ok_or_else(|| {
            let error = ErrorBody::new(Code::BadRequest, "expected the name of a command");
            reject(Some(id), error.field("cmd"))
        })?;
    let body = raw.body.map_or("{}", RawValue::get);
    decode_body(&cmd, body)
        .map(|command| Inbound { id, command })
        .map_err(|error| reject(Some(id), error))
}

/// Reads an object with nothing after it.
fn whole<'de, T: Deserialize<'de>>(frame: &'de [u8]) -> Result<T, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(frame);
    let value = object(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

fn decode_body(cmd: &str, body: &str) -> Result<Command, ErrorBody> {
    Ok(match cmd {
        "login" => Command::Login(Box::new(typed(body)?)),
        "logout" => Command::Logout(typed(body)?),
        "ping" => Command::Ping(typed(body)?),
        "sync" => Command::Sync(typed(body)?),
        "message.send" => Command::Send(Box::new(typed(body)?)),
        "message.received" => Command::Received(typed(body)?),
        "message.read" => Command::Read(typed(body)?),
        "message.inbox" => Command::Inbox(typed(body)?),
        "message.history" => Command::History(typed(body)?),
        "conversation.list" => Command::ConversationList(typed(body)?),
        "group.create" => Command::GroupCreate(typed(body)?),
        "group.get" => Command::GroupGet(typed(body)?),
        "group.list" => Command::GroupList(typed(body)?),
        "group.update" => Command::GroupUpdate(typed(body)?),
        "group.members" => Command::GroupMembers(typed(body)?),
        "group.invite" => Command::GroupInvite(typed(body)?),
        "group.join" => Command::GroupJoin(typed(body)?),
        "group.leave" => Command::GroupLeave(typed(body)?),
        "group.remove" => Command::GroupRemove(typed(body)?),
        "group.dissolve" => Command::GroupDissolve(typed(body)?),
        unknown => {
            // Cut, because the answer to a long name must not be long.
            let shown: String = unknown.chars().take(64).collect();
            let message = format!("there is no command {shown:?}");
            return Err(ErrorBody::new(Code::UnknownCommand, message).field("cmd"));
        }
    })
}

fn typed<T: DeserializeOwned>(body: &str) -> Result<T, ErrorBody> {
    let mut track = serde_path_to_error::Track::new();
    let json = &mut serde_json::Deserializer::from_str(body);
    object(serde_path_to_error::Deserializer::new(json, &mut track)).map_err(|error| {
        let what = without_place(&error);
        let field = field_name(&track.path().to_string(), &what);
        ErrorBody::new(Code::BadRequest, format!("{field}: {what}")).field(field)
    })
}

/// The dotted name of the field at fault: serde's path names the object that a missing field is missing from.
fn field_name(path: &str, what: &str) -> String {
    let path = if path == "." { "" } else { path };
    let missing = what.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    match (path, missing) {
        ("", None) => "body".to_owned(),
        ("", Some(missing)) => missing.to_owned(),
        (path, None) => path.to_owned(),
        (path, Some(missing)) => format!("{path}.{missing}"),
    }
}

/// serde_json's message without line and column, which mean nothing inside a body; cut, since it may quote what came in.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    text.chars().take(200).collect()
}

/// How deep brackets are nested, strings left out. Counted before parsing, so that no parser has to be trusted with it.
fn depth(frame: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0usize, 0usize);
    let (mut in_string, mut escaped) = (false, false);
    for &byte in frame {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Content, Send};

    fn rejected(frame: &str) -> Rejected {
        Codec::Json.decode(frame.as_bytes()).unwrap_err()
    }

    #[test]
    fn a_send_is_read_and_unknown_fields_are_ignored() {
        let frame = r#"{"x":1,"id":7,"cmd":"message.send","body":{"to":"user:bob","new":{},
            "client_msg_id":"01890f3e-7b4c-7cc2-98c4-dc0c0c07398f",
            "content":{"type":"text","text":"hi\u0000"}}}"#;

        let inbound = Codec::Json.decode(frame.as_bytes()).unwrap();

        assert_eq!(inbound.id, 7);
        let Command::Send(send) = inbound.command else { panic!("{:?}", inbound.command) };
        let Send { to, content, .. } = *send;
        assert_eq!(to.to_string(), "user:bob");
        assert_eq!(content, Content::Text { text: "hi\0".into() });
    }

    #[test]
    fn an_id_that_cannot_be_read_is_answered_without_one() {
        for id in ["-1", "1.5", "\"7\"", "9007199254740992", "null", "[]", "1e3"] {
            let frame = format!(r#"{{"id":{id},"cmd":"ping"}}"#);
            let Rejected { re, error } = rejected(&frame);
            assert_eq!(
                (re, error.code, error.field.as_deref()),
                (None, Code::BadRequest, Some("id"))
            );
        }
        assert_eq!(rejected("garbage").re, None);
        assert_eq!(rejected("[]").re, None);
        assert!(Codec::Json.decode(br#"{"id":9007199254740991,"cmd":"ping"}"#).is_ok());
    }

    #[test]
    fn a_wrong_field_is_named_with_what_was_expected() {
        let field = |frame: &str| {
            let Rejected { re, error } = rejected(frame);
            assert_eq!((re, error.code), (Some(1), Code::BadRequest), "{error:?}");
            error.field.unwrap_or_default()
        };

        assert_eq!(field(r#"{"id":1,"cmd":"message.read","body":{"seq":1}}"#), "conversation");
        assert_eq!(
            field(r#"{"id":1,"cmd":"message.read","body":{"conversation":"user:a b","seq":1}}"#),
            "conversation"
        );
        assert_eq!(
            field(r#"{"id":1,"cmd":"message.history","body":{"conversation":"user:a","limit":0}}"#),
            "limit"
        );
        assert_eq!(
            field(r#"{"id":1,"cmd":"login","body":{"user":"a","token":"t","device":{"id":"d"}}}"#),
            "device.platform"
        );
        assert_eq!(field(r#"{"id":1,"body":{}}"#), "cmd");
        assert_eq!(rejected(r#"{"id":1,"cmd":"nope"}"#).error.code, Code::UnknownCommand);
    }

    #[test]
    fn arrays_do_not_pass_for_objects() {
        let login = |rest: &str| {
            format!(r#"{{"id":1,"cmd":"login","body":{{"user":"a","token":"t",{rest}}}}}"#)
        };
        let send = r#"{"id":1,"cmd":"message.send","body":{"to":"user:a",
            "client_msg_id":"01890f3e-7b4c-7cc2-98c4-dc0c0c07398f","content":["text","hi"]}}"#;
        let device = r#""device":{"id":"d","platform":"web"}"#;
        for (frame, field) in [
            (r#"[1,"ping",{}]"#.to_owned(), None),
            (r#"{"id":1,"cmd":"ping","body":[]}"#.to_owned(), Some("body")),
            (r#"{"id":1,"cmd":"message.read","body":["user:a",1]}"#.to_owned(), Some("body")),
            (send.to_owned(), Some("content")),
            (login(r#""device":["d","web"]"#), Some("device")),
            (login(&format!(r#"{device},"resume":["1"]"#)), Some("resume")),
            (login(&format!(r#"{device},"sync":[]"#)), Some("sync")),
        ] {
            let Rejected { error, .. } = rejected(&frame);
            assert_eq!((error.code, error.field.as_deref()), (Code::BadRequest, field), "{frame}");
            assert!(error.message.contains("expected an object"), "{}", error.message);
        }
        let without = login(&format!(r#"{device},"resume":null,"sync":null"#));
        assert!(Codec::Json.decode(without.as_bytes()).is_ok());
    }

    #[test]
    fn the_seq_that_a_message_answers_comes_back_as_it_went_in_or_is_refused() {
        let frame = |seq: &str| {
            format!(
                r#"{{"id":1,"cmd":"message.send","body":{{"to":"user:a","reply_to":{seq},
                "client_msg_id":"01890f3e-7b4c-7cc2-98c4-dc0c0c07398f",
                "content":{{"type":"text","text":"hi"}}}}}}"#
            )
        };

        for seq in ["0", "-1", "1.5", "9007199254740992", "18446744073709551615"] {
            assert_eq!(rejected(&frame(seq)).error.field.as_deref(), Some("reply_to"), "{seq}");
        }
        for seq in ["null", "1", "9007199254740991"] {
            assert!(Codec::Json.decode(frame(seq).as_bytes()).is_ok(), "{seq}");
        }
    }

    #[test]
    fn a_limit_above_the_largest_page_is_taken_as_that() {
        let frame = r#"{"id":1,"cmd":"message.inbox","body":{"after":0,"limit":1000000000}}"#;
        let none = frame.replace("1000000000", "null");

        assert!(Codec::Json.decode(none.as_bytes()).is_ok());
        let Command::Inbox(inbox) = Codec::Json.decode(frame.as_bytes()).unwrap().command else {
            panic!("expected an inbox command");
        };

        assert_eq!(inbox.limit.get(), limits::PAGE_MAX);
    }

    #[test]
    fn deep_nesting_is_refused_before_it_is_parsed_and_brackets_in_strings_do_not_count() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(rejected(&deep).error.code, Code::BadRequest);

        let text = format!(r#"{{"id":1,"cmd":"ping","body":{{"x":"{}\""}}}}"#, "[".repeat(100));
        assert!(Codec::Json.decode(text.as_bytes()).is_ok());
    }
}
