//! The frames that matter under load, read without copying and written without a tree.

use std::borrow::Cow;
use std::io::Write;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::stamp::Stamp;
use crate::bench::errors::BenchError;
use crate::protocol::codec::Codec;

/// Any frame of the server, as far as a load needs it.
#[derive(Debug, Deserialize)]
pub struct Frame<'a> {
    /// The id of the command that this answers.
    pub re: Option<u64>,
    /// What came of it.
    #[serde(borrow)]
    pub ok: Option<Answer<'a>>,
    /// Why nothing came of it.
    #[serde(borrow)]
    pub error: Option<Refusal<'a>>,
    /// The name of an event.
    pub event: Option<&'a str>,
    /// What it tells.
    #[serde(borrow)]
    pub body: Option<Body<'a>>,
}

/// What an `ok` says.
#[derive(Debug, Deserialize)]
pub struct Answer<'a> {
    /// Of a message that was sent: its place in the conversation.
    pub seq: Option<u64>,
    /// Of a question about presences: how these users are.
    #[serde(borrow, default)]
    pub presences: Vec<Presence<'a>>,
}

/// How a user is.
#[derive(Debug, Deserialize)]
pub struct Presence<'a> {
    /// The user.
    pub user: &'a str,
    /// The words beside the status.
    pub text: Option<&'a str>,
}

/// An `error`.
#[derive(Debug, Deserialize)]
pub struct Refusal<'a> {
    /// The protocol's code.
    pub code: &'a str,
    /// For people.
    #[serde(borrow)]
    pub message: Cow<'a, str>,
}

/// The body of an event: of `message.new`, of `presence.changed` and of `session.closing`.
#[derive(Debug, Deserialize)]
pub struct Body<'a> {
    /// The place of a message in its conversation.
    pub seq: Option<u64>,
    /// The id that its sender gave it.
    pub client_msg_id: Option<&'a str>,
    /// Who sent it.
    pub from: Option<&'a str>,
    /// What it is.
    #[serde(borrow)]
    pub content: Option<Content<'a>>,
    /// The code of a close.
    pub code: Option<u16>,
    /// How users are now.
    #[serde(borrow, default)]
    pub presences: Vec<Presence<'a>>,
}

/// The kind of a message.
#[derive(Debug, Deserialize)]
pub struct Content<'a> {
    /// `text`, or `notice` for what the server wrote.
    #[serde(rename = "type")]
    pub kind: &'a str,
}

impl<'a> Frame<'a> {
    /// Reads a frame; the text says what is wrong with it.
    pub fn read(bytes: &'a [u8], codec: Codec) -> Result<Self, String> {
        match codec {
            // Most of what comes under load is a pushed message or an ack, and reading those by their known beginning
            // takes a tenth of what a parser takes: time that would be missing to the server that is measured.
            Codec::Json => match known(bytes) {
                Some(frame) => Ok(frame),
                None => serde_json::from_slice(bytes).map_err(|error| error.to_string()),
            },
            Codec::MessagePack => rmp_serde::from_slice(bytes).map_err(|error| error.to_string()),
        }
    }

    /// The message that this pushes, unless it is a notice of the server or something else: stamp, seq and sender.
    pub fn message(&self) -> Option<(Stamp, u64, &'a str)> {
        let body = self.body.as_ref().filter(|_| self.event == Some("message.new"))?;
        if body.content.as_ref()?.kind == "notice" {
            return None;
        }
        let id = Uuid::try_parse(body.client_msg_id?).ok()?;
        Some((Stamp::of(id), body.seq?, body.from?))
    }

    /// The presences that this tells of, by itself or when asked.
    pub fn presences(&self) -> &[Presence<'a>] {
        match (&self.ok, &self.body) {
            (Some(answer), _) => &answer.presences,
            (None, Some(body)) if self.event == Some("presence.changed") => &body.presences,
            _ => &[],
        }
    }

    /// Why nobody can go on after this: a command of `who` was refused, or the server ends the session.
    pub fn trouble(&self, who: &str) -> Option<BenchError> {
        if let Some(refusal) = &self.error {
            return Some(BenchError::Refused {
                what: format!("a command of {who}"),
                code: refusal.code.to_owned(),
                message: refusal.message.to_string(),
            });
        }
        let ends = ["session.closing", "session.kicked", "session.draining"];
        self.event.filter(|event| ends.contains(event))?;
        let code = self.body.as_ref().and_then(|body| body.code).unwrap_or_default();
        let why = format!("the server ends the session, with {code}");
        Some(BenchError::Session { who: who.to_owned(), why })
    }
}

/// A pushed message or an ack in JSON, if it is written as our server writes them; anything else is for a parser.
fn known(bytes: &[u8]) -> Option<Frame<'_>> {
    let mut rest = Rest(bytes);
    if rest.pass(br#"{"event":"message.new","body":{"conversation":""#).is_some() {
        rest.name()?;
        rest.pass(br#","seq":"#)?;
        let seq = rest.number()?;
        if rest.pass(br#","inbox":"#).is_some() {
            rest.number()?;
        }
        rest.pass(br#","message_id":""#)?;
        rest.name()?;
        rest.pass(br#","client_msg_id":""#)?;
        let client_msg_id = rest.name()?;
        rest.pass(br#","from":""#)?;
        let from = rest.name()?;
        rest.pass(br#","sent_at_ms":"#)?;
        rest.number()?;
        rest.pass(br#","content":{"type":""#)?;
        let content = Some(Content { kind: rest.name()? });
        let (client_msg_id, from) = (Some(client_msg_id), Some(from));
        let seq = Some(seq);
        let presences = Vec::new();
        let body = Body { seq, client_msg_id, from, content, code: None, presences };
        let event = Some("message.new");
        let frame = Frame { re: None, ok: None, error: None, event, body: Some(body) };
        return rest.0.ends_with(b"}}}").then_some(frame);
    }
    rest.pass(br#"{"re":"#)?;
    let re = rest.number()?;
    rest.pass(br#","ok":{"conversation":""#)?;
    rest.name()?;
    rest.pass(br#","seq":"#)?;
    let ok = Some(Answer { seq: Some(rest.number()?), presences: Vec::new() });
    rest.0.ends_with(b"}}").then_some(Frame {
        re: Some(re),
        ok,
        error: None,
        event: None,
        body: None,
    })
}

/// What of a frame was not looked at yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// Goes past exactly this.
    fn pass(&mut self, known: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(known)?;
        Some(())
    }

    /// A text up to its closing quote, which is passed. Only one that needs no unescaping.
    fn name(&mut self) -> Option<&'a str> {
        let end = self.0.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        let (name, rest) = self.0.split_at_checked(end)?;
        self.0 = rest.strip_prefix(b"\"")?;
        std::str::from_utf8(name).ok()
    }

    /// A whole number.
    fn number(&mut self) -> Option<u64> {
        let end = self.0.iter().position(|byte| !byte.is_ascii_digit())?;
        let (digits, rest) = self.0.split_at_checked(end)?;
        self.0 = rest;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }
}

/// A `message.send`.
#[derive(Debug, Clone, Copy)]
pub struct Send<'a> {
    /// The command's id.
    pub id: u64,
    /// The conversation, as its sender names it.
    pub to: &'a str,
    /// The client message id.
    pub client_msg_id: Uuid,
    /// The text. Only letters, digits and spaces, so that nothing in it has to be escaped.
    pub text: &'a str,
}

impl Send<'_> {
    /// Writes the frame's payload.
    pub fn write(self, codec: Codec, out: &mut Vec<u8>) {
        let mut id = Uuid::encode_buffer();
        let client_msg_id: &str = self.client_msg_id.hyphenated().encode_lower(&mut id);
        let Send { id, to, text, .. } = self;
        match codec {
            // Writing to a vector cannot fail.
            Codec::Json => drop(write!(
                out,
                r#"{{"id":{id},"cmd":"message.send","body":{{"to":"{to}","client_msg_id":"{client_msg_id}","content":{{"type":"text","text":"{text}"}}}}}}"#
            )),
            Codec::MessagePack => {
                let content = Text { kind: "text", text };
                Command { id, cmd: "message.send", body: SendBody { to, client_msg_id, content } }
                    .write(codec, out);
            }
        }
    }
}

/// Any command.
#[derive(Serialize)]
pub struct Command<'a, B> {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub cmd: &'a str,
    /// What it says.
    pub body: B,
}

impl<B: Serialize> Command<'_, B> {
    /// Writes the frame's payload.
    pub fn write(&self, codec: Codec, out: &mut Vec<u8>) {
        // Writing to a vector cannot fail, and all keys are text.
        match codec {
            Codec::Json => drop(serde_json::to_writer(out, self)),
            Codec::MessagePack => drop(rmp_serde::encode::write_named(out, self)),
        }
    }
}

#[derive(Serialize)]
struct SendBody<'a> {
    to: &'a str,
    client_msg_id: &'a str,
    content: Text<'a>,
}

#[derive(Serialize)]
struct Text<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    text: &'a str,
}

/// The largest head of a frame.
const HEAD_BYTES: usize = 14;

/// What stands at the beginning of bytes that came.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Not a whole frame yet.
    Part,
    /// A frame of the protocol: where its payload is, and the bytes up to its end.
    Payload {
        /// Where the payload begins.
        from: usize,
        /// Where it ends, and what follows begins.
        to: usize,
    },
    /// A frame of the transport: its opcode, and as above.
    Control {
        /// The opcode of RFC 6455.
        opcode: u8,
        /// Where the payload begins.
        from: usize,
        /// Where it ends.
        to: usize,
    },
}

/// Where a server's WebSocket frame ends. Servers send without a mask, and ours without fragments.
pub fn websocket_piece(bytes: &[u8]) -> Piece {
    let [first, second, ..] = *bytes else { return Piece::Part };
    let (from, length): (usize, u64) = match second & 0x7f {
        126 => match bytes.get(2..4) {
            Some(&[high, low]) => (4, u64::from(u16::from_be_bytes([high, low]))),
            _ => return Piece::Part,
        },
        127 => match bytes.get(2..10).and_then(|length| length.first_chunk()) {
            Some(length) => (10, u64::from_be_bytes(*length)),
            None => return Piece::Part,
        },
        length => (2, u64::from(length)),
    };
    match usize::try_from(length).ok().and_then(|length| from.checked_add(length)) {
        Some(to) if to <= bytes.len() => match first & 0x0f {
            1 | 2 => Piece::Payload { from, to },
            opcode => Piece::Control { opcode, from, to },
        },
        _ => Piece::Part,
    }
}

/// Where a frame over TCP ends.
pub fn tcp_piece(bytes: &[u8]) -> Piece {
    let Some(length) = bytes.first_chunk() else { return Piece::Part };
    match (u32::from_be_bytes(*length) as usize).checked_add(4) {
        Some(to) if to <= bytes.len() => Piece::Payload { from: 4, to },
        _ => Piece::Part,
    }
}

/// Writes a client's WebSocket frame. Its mask is zero: as legal as any, and the server does the same work for it.
pub fn websocket_frame(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.reserve(HEAD_BYTES + payload.len());
    out.push(0x80 | opcode);
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// Writes a frame over TCP.
pub fn tcp_frame(payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUSH: &str = r#"{"event":"message.new","body":{"conversation":"user:alice","seq":3,"inbox":9,"message_id":"65773401884594176","client_msg_id":"0197c5db-b9e8-7a4c-8123-b1612dd272d1","from":"alice","sent_at_ms":1751371201020,"content":{"type":"text","text":"Hello"}}}"#;
    const ACK: &str = r#"{"re":41,"ok":{"conversation":"user:bob","seq":7,"inbox":8,"message_id":"65773401884594176","sent_at_ms":1751371201020,"duplicate":false}}"#;

    /// What a frame says, in a form that can be compared.
    fn said(frame: &Frame<'_>) -> String {
        format!("{frame:?}")
    }

    #[test]
    fn what_is_read_by_its_beginning_is_what_a_parser_reads() {
        let without_inbox = PUSH.replace(r#""inbox":9,"#, "");
        for text in [PUSH, &without_inbox, ACK] {
            let parsed: Frame<'_> = serde_json::from_str(text).unwrap();

            assert_eq!(said(&known(text.as_bytes()).unwrap()), said(&parsed));
        }
    }

    #[test]
    fn what_is_written_otherwise_is_left_to_the_parser() {
        let other_order = r#"{"body":{"seq":3},"event":"message.new"}"#;
        let escaped = PUSH.replace("alice", r"al\u0069ce");
        let error = r#"{"re":41,"error":{"code":"busy","message":"m"}}"#;
        for text in [other_order, &escaped, error, "", "{", &PUSH[..40], &ACK[..20]] {
            assert!(known(text.as_bytes()).is_none(), "{text}");
        }
        assert!(Frame::read(error.as_bytes(), Codec::Json).unwrap().error.is_some());
    }

    #[test]
    fn a_frame_of_ours_is_taken_apart_again_at_every_length() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            let payload = vec![b'x'; length];
            let mut frame = Vec::new();
            websocket_frame(1, &payload, &mut frame);
            // A server's frame is one without the mask.
            let head = frame.len() - length - 4;
            frame.drain(head..head + 4);
            frame[1] &= 0x7f;

            let whole = Piece::Payload { from: head, to: head + length };
            assert_eq!(websocket_piece(&frame), whole, "{length}");
            for cut in 0..frame.len().min(20) {
                assert_eq!(websocket_piece(&frame[..cut]), Piece::Part, "{length} {cut}");
            }
        }
    }
}
