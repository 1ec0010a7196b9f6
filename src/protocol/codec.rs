//! How frames are written and read. The transport around them is the adapters' matter.

use std::borrow::Cow;

use bytes::Bytes;
use serde::de::{DeserializeOwned, Deserializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::command::Command;
use super::error::{Code, ErrorBody};
use super::event::Event;
use super::msgpack::{self, Fault, Parts, Reader, Unreadable};
use super::object::object;
use super::reply::Reply;
use super::{SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK};
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
    /// Binary, with maps by name, `rookery.v1.msgpack`.
    MessagePack,
}

impl Codec {
    /// All of them; the first is spoken where none is asked for.
    pub const ALL: [Self; 2] = [Self::Json, Self::MessagePack];

    /// The WebSocket subprotocol that picks it.
    pub fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => SUBPROTOCOL_JSON,
            Self::MessagePack => SUBPROTOCOL_MSGPACK,
        }
    }

    /// The first byte of a TCP connection that picks it.
    pub fn first_byte(self) -> u8 {
        match self {
            Self::Json => b'j',
            Self::MessagePack => b'm',
        }
    }

    /// Whether its frames are text.
    pub fn is_text(self) -> bool {
        self == Self::Json
    }

    /// Reads a frame of at most [`limits::FRAME_BYTES`].
    pub fn decode(self, frame: &[u8]) -> Result<Inbound, Rejected> {
        match self {
            Self::Json => decode_json(frame),
            Self::MessagePack => decode_msgpack(frame),
        }
    }

    /// Writes a frame. Fails only for a value that has no form in the codec, which none of ours is.
    pub fn encode(self, frame: &Outbound) -> Result<Bytes, EncodeError> {
        let mut out = Vec::with_capacity(256);
        self.encode_into(frame, &mut out)?;
        Ok(Bytes::from(out))
    }

    /// The same, behind what is in `out` already.
    pub fn encode_into(self, frame: &Outbound, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match frame {
            Outbound::Ok { re, ok } => self.write(&OkFrame { re, ok }, out),
            Outbound::Error { re, error } => self.write(&ErrorFrame { re, error }, out),
            Outbound::Event(event) => self.write(event, out),
        }
    }

    fn write(self, frame: &impl Serialize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Self::Json => {
                serde_json::to_writer(out, frame).map_err(|error| EncodeError(error.to_string()))
            }
            // Human-readable, so that what is a string in JSON is one here too.
            Self::MessagePack => {
                let mut writer =
                    rmp_serde::Serializer::new(out).with_struct_map().with_human_readable();
                frame.serialize(&mut writer).map_err(|error| EncodeError(error.to_string()))
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
    // No string that is passed over is looked at by the parser.
    let Ok(frame) = std::str::from_utf8(frame) else {
        return Err(unreadable(None, "expected JSON in UTF-8".to_owned()));
    };
    if depth(frame.as_bytes()) > limits::JSON_DEPTH {
        let message = format!("expected JSON nested at most {} deep", limits::JSON_DEPTH);
        return Err(unreadable(None, message));
    }
    let raw: RawFrame<'_> = whole(frame).map_err(|error| {
        let what = without_place(&error);
        unreadable(None, format!("expected a JSON object with id, cmd and body: {what}"))
    })?;
    let id = raw.id.and_then(|id| id.get().parse().ok());
    let cmd = raw.cmd.and_then(|cmd| serde_json::from_str(cmd.get()).ok());
    command(id, cmd, Body::Json(raw.body.map_or("{}", RawValue::get)))
}

fn decode_msgpack(frame: &[u8]) -> Result<Inbound, Rejected> {
    /// A map without fields.
    const EMPTY: &[u8] = &[0x80];
    let Parts { id, cmd, body } = msgpack::parts(frame).map_err(|Unreadable { id, fault }| {
        let message = format!("expected a MessagePack map with id, cmd and body: {fault}");
        unreadable(id.and_then(msgpack::unsigned).and_then(in_range), message)
    })?;
    let cmd = cmd.and_then(msgpack::text).map(Cow::Borrowed);
    let body = body.filter(|body| !msgpack::is_nil(body)).unwrap_or(EMPTY);
    command(id.and_then(msgpack::unsigned), cmd, Body::MessagePack(body))
}

fn unreadable(re: Option<u64>, message: String) -> Rejected {
    Rejected { re, error: ErrorBody::new(Code::BadRequest, message) }
}

fn in_range(id: u64) -> Option<u64> {
    (id <= MAX_JSON_INTEGER).then_some(id)
}

/// What the parts of a frame ask for.
fn command(
    id: Option<u64>,
    cmd: Option<Cow<'_, str>>,
    body: Body<'_>,
) -> Result<Inbound, Rejected> {
    let refused = |re, field: &str, message: &str| {
        let error = ErrorBody::new(Code::BadRequest, message).field(field);
        Rejected { re, error }
    };
    let id = id
        .and_then(in_range)
        .ok_or_else(|| refused(None, "id", "expected an integer from 0 to 9007199254740991"))?;
    let cmd = cmd.ok_or_else(|| refused(Some(id), "cmd", "expected the name of a command"))?;
    decode_body(&cmd, body)
        .map(|command| Inbound { id, command })
        .map_err(|error| Rejected { re: Some(id), error })
}

/// The body of a command, still to be read.
#[derive(Clone, Copy)]
enum Body<'a> {
    Json(&'a str),
    /// Walked already.
    MessagePack(&'a [u8]),
}

/// Reads an object with nothing after it.
fn whole<'de, T: Deserialize<'de>>(frame: &'de str) -> Result<T, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(frame);
    let value = object(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

fn decode_body(cmd: &str, body: Body<'_>) -> Result<Command, ErrorBody> {
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
        "token.renew" => Command::TokenRenew(typed(body)?),
        "device.list" => Command::DeviceList(typed(body)?),
        "device.kick" => Command::DeviceKick(typed(body)?),
        "friend.add" => Command::FriendAdd(typed(body)?),
        "friend.remove" => Command::FriendRemove(typed(body)?),
        "friend.list" => Command::FriendList(typed(body)?),
        "presence.set" => Command::PresenceSet(typed(body)?),
        "presence.get" => Command::PresenceGet(typed(body)?),
        "presence.watch" => Command::PresenceWatch(typed(body)?),
        "presence.unwatch" => Command::PresenceUnwatch(typed(body)?),
        unknown => {
            // Cut, because the answer to a long name must not be long.
            let shown: String = unknown.chars().take(64).collect();
            let message = format!("there is no command {shown:?}");
            return Err(ErrorBody::new(Code::UnknownCommand, message).field("cmd"));
        }
    })
}

fn typed<T: DeserializeOwned>(body: Body<'_>) -> Result<T, ErrorBody> {
    match body {
        Body::Json(text) => tracked(&mut serde_json::Deserializer::from_str(text), without_place),
        Body::MessagePack(bytes) => {
            tracked(&mut Reader::new(bytes), |fault: &Fault| cut(&fault.to_string()))
        }
    }
}

/// Reads a body that stands alone, as over REST: one object of JSON, with nothing after it.
pub fn read_json<T: DeserializeOwned>(text: &[u8]) -> Result<T, ErrorBody> {
    let wrong = |what: String| ErrorBody::new(Code::BadRequest, what).field("body");
    let text = std::str::from_utf8(text).map_err(|_| wrong("expected JSON in UTF-8".to_owned()))?;
    if depth(text.as_bytes()) > limits::JSON_DEPTH {
        return Err(wrong(format!("expected JSON nested at most {} deep", limits::JSON_DEPTH)));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = tracked(&mut deserializer, without_place)?;
    deserializer.end().map_err(|error| wrong(without_place(&error)))?;
    Ok(value)
}

/// Reads an object from any source, as the query of a URL; where it is none of its kind, names the field at fault.
pub fn read_fields<'de, T, D>(deserializer: D) -> Result<T, ErrorBody>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    tracked(deserializer, |error| cut(&error.to_string()))
}

/// Reads an object; where it is none of its kind, names the field at fault.
fn tracked<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
    say: impl FnOnce(&D::Error) -> String,
) -> Result<T, ErrorBody> {
    let mut track = serde_path_to_error::Track::new();
    let read = object(serde_path_to_error::Deserializer::new(deserializer, &mut track));
    read.map_err(|error| {
        let what = say(&error);
        let field = field_name(&track.path().to_string(), &what);
        ErrorBody::new(Code::BadRequest, format!("{field}: {what}")).field(field)
    })
}

/// The dotted name of the field at fault: serde's path names the object that a field is missing from, and sometimes the
/// one that has a field too many.
fn field_name(path: &str, what: &str) -> String {
    // Where nothing was read, or what was read is no JSON, there is no path.
    let path = if [".", "?"].contains(&path) { "" } else { path };
    let named = ["missing field `", "unknown field `", "duplicate field `"]
        .iter()
        .find_map(|begin| what.strip_prefix(begin))
        .and_then(|rest| rest.split('`').next());
    match (path, named) {
        ("", None) => "body".to_owned(),
        ("", Some(named)) => named.to_owned(),
        (path, Some(named)) if !ends_in(path, named) => format!("{path}.{named}"),
        (path, _) => path.to_owned(),
    }
}

/// Whether a dotted path ends in this field.
fn ends_in(path: &str, field: &str) -> bool {
    path.strip_suffix(field).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// serde_json's message without line and column, which mean nothing inside a body; cut, since it may quote what came in.
fn without_place(error: &serde_json::Error) -> String {
    cut(error.to_string().split(" at line ").next().unwrap_or_default())
}

fn cut(text: &str) -> String {
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
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::ids::{ClientMsgId, Conversation, InboxSeq, MessageId, Seq, UnixMs, UserId};
    use crate::protocol::{Content, InboxPage, Message, Send};

    fn rejected(frame: &str) -> Rejected {
        Codec::Json.decode(frame.as_bytes()).unwrap_err()
    }

    fn msgpack(frame: &Value) -> Vec<u8> {
        rmp_serde::to_vec_named(frame).unwrap()
    }

    /// The same frame in the other codec.
    fn in_msgpack(frame: &str) -> Vec<u8> {
        msgpack(&serde_json::from_str(frame).unwrap())
    }

    /// The id that is given back for a frame that is no command, and the field at fault.
    fn refused(frame: &[u8]) -> (Option<u64>, Option<String>) {
        let Rejected { re, error } = Codec::MessagePack.decode(frame).unwrap_err();
        assert_eq!(error.code, Code::BadRequest, "{error:?}");
        assert!(error.message.contains("expected"), "{}", error.message);
        (re, error.field)
    }

    #[test]
    fn a_send_is_read_and_unknown_fields_are_ignored() {
        let frame = r#"{"x":1,"id":7,"cmd":"message.send","body":{"to":"user:bob","new":{},
            "client_msg_id":"01890f3e-7b4c-7cc2-98c4-dc0c0c07398f",
            "content":{"type":"text","text":"hi\u0000"}}}"#;

        let inbound = Codec::Json.decode(frame.as_bytes()).unwrap();

        assert_eq!(Codec::MessagePack.decode(&in_msgpack(frame)).unwrap(), inbound);
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

    #[test]
    fn a_frame_of_msgpack_gives_its_id_back_whatever_else_is_wrong_with_it() {
        // {"id": 7, "cmd": "ping", "body": …}, as bytes.
        let around = |body: &[u8]| {
            let mut frame = b"\x83\xa2id\x07\xa3cmd\xa4ping\xa4body".to_vec();
            frame.extend(body);
            frame
        };
        assert!(Codec::MessagePack.decode(&around(b"\x80")).is_ok());
        assert!(Codec::MessagePack.decode(&around(b"\xc0")).is_ok());
        assert!(Codec::MessagePack.decode(&around(b"\x81\xa1x\xdd\0\0\0\x01\xcb12345678")).is_ok());

        for (what, body) in [
            ("an extension", &b"\x81\xa1x\xd4\x01\x02"[..]),
            ("a long extension", b"\x81\xa1x\xc7\x02\x01ab"),
            ("binary", b"\x81\xa1x\xc4\x02ab"),
            ("a number as a name", b"\x81\x01\x02"),
            ("nil as a name", b"\x81\xc0\x02"),
            ("a map as a name", b"\x81\x80\x02"),
            ("text that is not UTF-8", b"\x81\xa1x\xa2\xff\xfe"),
            ("a byte that is never used", b"\x81\xa1x\xc1"),
            ("four billion values", b"\xdd\xff\xff\xff\xff\x01"),
            ("four billion fields", b"\xdf\xff\xff\xff\xff\xa1x"),
            ("a text of four billion bytes", b"\xdb\xff\xff\xff\xffx"),
            ("no end", b"\x81\xa1x"),
            ("bytes after the map", b"\x80\xc0"),
            ("nested too deep", &[0x91; 5000]),
        ] {
            assert_eq!(refused(&around(body)), (Some(7), None), "{what}");
        }
        for (body, field) in [
            (&b"\x90"[..], "body"),
            (b"\x07", "body"),
            (b"\x81\xa5inbox\xa17", "inbox"),
            (b"\x81\xa5inbox\xff", "inbox"),
            (b"\x81\xa5inbox\xcb\x3f\xf0\0\0\0\0\0\0", "inbox"),
        ] {
            assert_eq!(refused(&around(body)), (Some(7), Some(field.to_owned())), "{body:x?}");
        }
        for frame in [
            &b""[..],
            b"\x07",
            b"\xc1",
            b"\x90",
            b"\x80",
            b"\xdf\xff\xff\xff\xff",
            b"\x82\xa2id\x01\xa2id\x02",
            b"\x82\xa2id\xff\xa3cmd\xa4ping",
            b"\x82\xa2id\xa17\xa3cmd\xa4ping",
            b"\x82\xa2id\xcf\0\x20\0\0\0\0\0\0\xa3cmd\xa4ping",
            b"{\"id\":1,\"cmd\":\"ping\"}",
        ] {
            assert_eq!(refused(frame).0, None, "{frame:x?}");
        }
        assert_eq!(refused(b"\x81\xa2id\x01"), (Some(1), Some("cmd".to_owned())));
        assert_eq!(refused(b"\x82\xa2id\x01\xa3cmd\x05"), (Some(1), Some("cmd".to_owned())));
        // Integers may be wider than they need to be; some libraries write them so.
        let wide = b"\x82\xa2id\xd3\0\0\0\0\0\0\0\x07\xa3cmd\xd9\x04ping";
        assert_eq!(Codec::MessagePack.decode(wide).unwrap().id, 7);
    }

    #[test]
    fn an_index_or_an_array_does_not_pass_for_a_name_or_an_object_in_msgpack() {
        let login = |device: Value| {
            msgpack(&json!({"id": 1, "cmd": "login",
                "body": {"user": "a", "token": "t", "device": device}}))
        };
        assert!(Codec::MessagePack.decode(&login(json!({"id": "d", "platform": "web"}))).is_ok());
        for (device, field) in [
            (json!({"id": "d", "platform": 0}), "device.platform"),
            (json!({"id": "d", "platform": ["web"]}), "device.platform"),
            (json!(["d", "web"]), "device"),
        ] {
            assert_eq!(refused(&login(device)), (Some(1), Some(field.to_owned())));
        }
        for content in [json!({"type": 0, "text": "x"}), json!(["text", "x"])] {
            let send = json!({"id": 1, "cmd": "message.send", "body": {"to": "user:a",
                "client_msg_id": "01890f3e-7b4c-7cc2-98c4-dc0c0c07398f", "content": content}});
            let (re, field) = refused(&msgpack(&send));
            assert_eq!(re, Some(1));
            assert!(field.unwrap_or_default().starts_with("content"));
        }
    }

    fn any_message() -> impl Strategy<Value = Message> {
        let user = || "[a-z]{1,64}".prop_map(|user| UserId::parse(&user).unwrap());
        (user(), user(), any::<u64>(), any::<[u8; 10]>(), ".{0,400}", any::<Option<u64>>())
            .prop_map(|(peer, from, seq, random, text, reply_to)| Message {
                conversation: Conversation::User(peer),
                seq: Seq::new(seq),
                inbox: None,
                message_id: MessageId::from_store(Seq::new(seq).to_store()),
                client_msg_id: ClientMsgId::mint(UnixMs::new(1 << 40), random),
                mentions: Some(vec![from.clone()]),
                from,
                sent_at_ms: UnixMs::new((seq >> 20).cast_signed()),
                content: Content::Text { text },
                reply_to: reply_to.map(Seq::new),
            })
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused_in_few_words(frame in any::<Vec<u8>>()) {
            for codec in Codec::ALL {
                if let Err(rejected) = codec.decode(&frame) {
                    let answer = Outbound::Error { re: rejected.re, error: rejected.error };
                    prop_assert!(codec.encode(&answer).unwrap().len() < 8192);
                }
            }
        }

        #[test]
        fn a_frame_in_msgpack_says_the_same_as_in_json_and_is_no_longer(message in any_message()) {
            let page = InboxPage { messages: vec![message; 3], head: InboxSeq::new(7), has_more: true };
            let frame = Outbound::Ok { re: 1, ok: Reply::Inbox(page) };

            let json = Codec::Json.encode(&frame).unwrap();
            let msgpack = Codec::MessagePack.encode(&frame).unwrap();

            let of_msgpack: Value = rmp_serde::from_slice(&msgpack).unwrap();
            prop_assert_eq!(serde_json::from_slice::<Value>(&json).unwrap(), of_msgpack);
            prop_assert!(msgpack.len() <= json.len());
        }
    }
}
