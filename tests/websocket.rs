//! RFC 6455, case by case, over raw sockets: how the server answers an upgrade, and how it reads and closes.
//!
//! Each case has a connection of its own; a session that was there before all of them sees to it that the server lives
//! on. `cargo test --test websocket -- --nocapture` prints the table.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use common::chat::App;
use common::frames::{
    BINARY, CLOSE, CONTINUATION, LAST, PING, PONG, TEXT, frame, head, read_frame, shortest,
};
use common::node::Node;
use common::{GIVE_UP_AFTER, resident_kib};
use rookery::limits;
use serde_json::{Value, json};

/// The id of the command with which a case looks whether its connection is alive.
const FENCE: u64 = 99;

/// What a client does and what must come of it.
struct Case {
    name: String,
    /// What is written, one write each.
    writes: Vec<Vec<u8>>,
    speaks: Speaks,
    expected: Expected,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Speaks {
    Json,
    MessagePack,
}

enum Expected {
    /// These frames, and the connection goes on.
    GoesOn(Vec<String>),
    /// These frames, and then the server closes its half.
    Ends(Vec<String>),
    /// The same, once the client has closed its half without a word.
    EndsAfterHalf(Vec<String>),
}

fn owned(said: &[&str]) -> Vec<String> {
    said.iter().map(|said| (*said).to_owned()).collect()
}

/// A connection that goes on after these frames.
fn goes_on(name: impl Into<String>, bytes: Vec<u8>, said: &[&str]) -> Case {
    let (speaks, expected) = (Speaks::Json, Expected::GoesOn(owned(said)));
    Case { name: name.into(), writes: vec![bytes], speaks, expected }
}

/// A connection that ends after these frames.
fn ends(name: impl Into<String>, bytes: Vec<u8>, said: &[&str]) -> Case {
    Case { expected: Expected::Ends(owned(said)), ..goes_on(name, bytes, &[]) }
}

impl Case {
    /// The same, each byte in a packet of its own.
    fn byte_by_byte(self) -> Self {
        let writes = self.writes.concat().into_iter().map(|byte| vec![byte]).collect();
        Self { name: format!("{}, byte by byte", self.name), writes, ..self }
    }

    fn in_msgpack(self) -> Self {
        Self { speaks: Speaks::MessagePack, ..self }
    }
}

/// A frame whose length takes more bytes than it need.
fn stretched(first: u8, payload: &[u8], bytes_of_length: usize) -> Vec<u8> {
    let mut bytes = head(first, payload.len() as u64, bytes_of_length);
    bytes.extend(&frame(first, payload)[2 + shortest(payload.len()) + 4..]);
    bytes
}

fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, payload.len() as u8], payload].concat()
}

/// A command that is answered without a login.
fn command(id: u64) -> String {
    format!(r#"{{"id":{id},"cmd":"ping"}}"#)
}

/// The same, as long as wanted.
fn command_of(id: u64, length: usize) -> Vec<u8> {
    let mut bytes = format!(r#"{{"id":{id},"cmd":"ping","x":""#).into_bytes();
    bytes.resize(length - 2, b'x');
    bytes.extend(b"\"}");
    bytes
}

/// A command that holds these bytes as text.
fn command_with(id: u64, text: &[u8]) -> Vec<u8> {
    [format!(r#"{{"id":{id},"cmd":"ping","x":""#).as_bytes(), text, b"\"}"].concat()
}

fn text(id: u64) -> Vec<u8> {
    frame(LAST | TEXT, command(id).as_bytes())
}

/// A message in these parts.
fn fragments(opcode: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (nth, part) in parts.iter().enumerate() {
        let opcode = if nth == 0 { opcode } else { CONTINUATION };
        let last = if nth + 1 == parts.len() { LAST } else { 0 };
        bytes.extend(frame(last | opcode, part));
    }
    bytes
}

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(LAST | CLOSE, &[&code.to_be_bytes(), reason].concat())
}

fn framing() -> Vec<Case> {
    let mut cases = vec![
        goes_on("a text", text(1), &["re 1"]),
        goes_on("a text", text(1), &["re 1"]).byte_by_byte(),
        goes_on("two texts in one packet", [text(1), text(2)].concat(), &["re 1", "re 2"]),
        goes_on("a text of nothing", frame(LAST | TEXT, b""), &["re null"]),
        ends("16 bits for a length of 0", stretched(LAST | TEXT, b"", 2), &["close 1002"]),
        ends(
            "16 bits for a length of 125",
            stretched(LAST | TEXT, &command_of(1, 125), 2),
            &["close 1002"],
        ),
        ends(
            "64 bits for a length of 126",
            stretched(LAST | TEXT, &command_of(1, 126), 8),
            &["close 1002"],
        ),
        ends("64 bits for a length of 65535", head(LAST | TEXT, 0xffff, 8), &["close 1002"]),
        ends("the highest bit of 64", head(LAST | TEXT, 1 << 63, 8), &["close 1002"]),
        ends("8 EiB are announced", head(LAST | TEXT, u64::MAX >> 1, 8), &["close 1009"]),
        ends("4 GiB are announced", head(LAST | TEXT, 1 << 32, 8), &["close 1009"]),
        ends(
            "a byte more than may be is announced",
            head(LAST | TEXT, limits::FRAME_BYTES as u64 + 1, 8),
            &["close 1009"],
        ),
        ends("1 MiB comes", frame(LAST | TEXT, &command_of(1, 1 << 20)), &["close 1009"]),
        ends("a text without mask", unmasked(LAST | TEXT, b"{}"), &["close 1002"]),
        ends("a ping without mask", unmasked(LAST | PING, b""), &["close 1002"]),
        ends("a close without mask", unmasked(LAST | CLOSE, b"\x03\xe8"), &["close 1002"]),
        ends("a binary frame", frame(LAST | BINARY, b"{}"), &["close 1003"]),
        ends("the beginning of a binary message", frame(BINARY, b"{}"), &["close 1003"]),
        ends("a text, then garbage", [text(1), vec![0xff; 8]].concat(), &["re 1", "close 1002"]),
    ];
    for length in [125, 126, 127, 128, 0xffff, limits::FRAME_BYTES] {
        let bytes = frame(LAST | TEXT, &command_of(1, length));
        cases.push(goes_on(format!("a text of {length} bytes"), bytes, &["re 1"]));
    }
    for (name, bits) in [("first", 0x40), ("second", 0x20), ("third", 0x10), ("all", 0x70)] {
        let bytes = frame(LAST | bits | TEXT, command(1).as_bytes());
        cases.push(ends(format!("reserved bits of a text: {name}"), bytes, &["close 1002"]));
    }
    for (name, opcode) in [("ping", PING), ("close", CLOSE), ("pong", PONG)] {
        let bytes = frame(LAST | 0x40 | opcode, b"");
        cases.push(ends(format!("a reserved bit of a {name}"), bytes, &["close 1002"]));
    }
    cases.push(ends(
        "a reserved bit of a later fragment",
        [frame(TEXT, b"{"), frame(LAST | 0x40 | CONTINUATION, b"}")].concat(),
        &["close 1002"],
    ));
    for opcode in [3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf] {
        let bytes = frame(LAST | opcode, b"");
        cases.push(ends(format!("opcode {opcode:#x}"), bytes, &["close 1002"]));
    }
    cases
}

fn control_frames() -> Vec<Case> {
    let long = [b'p'; 125];
    let fragment = |opcode, payload: &[u8]| frame(opcode, payload);
    let between = |control: Vec<u8>| {
        let (first, second) = (br#"{"id":1,"#, br#""cmd":"ping"}"#);
        [frame(TEXT, first), control, frame(LAST | CONTINUATION, second)].concat()
    };
    vec![
        goes_on("a ping of nothing", frame(LAST | PING, b""), &["pong \"\""]),
        goes_on("a ping", frame(LAST | PING, b"hello"), &["pong \"hello\""]),
        goes_on("a ping", frame(LAST | PING, b"hello"), &["pong \"hello\""]).byte_by_byte(),
        goes_on(
            "a ping of no text",
            frame(LAST | PING, b"\0\xff\xfe"),
            &["pong \"\\0\\xff\\xfe\""],
        ),
        goes_on(
            "a ping of 125 bytes",
            frame(LAST | PING, &long),
            &[&format!("pong \"{}\"", "p".repeat(125))],
        ),
        ends("a ping of 126 bytes", frame(LAST | PING, &[0; 126]), &["close 1002"]),
        ends("a short ping in 16 bits", stretched(LAST | PING, b"hello", 2), &["close 1002"]),
        ends("a short ping in 64 bits", stretched(LAST | PING, b"hello", 8), &["close 1002"]),
        goes_on("a pong that nobody asked for", frame(LAST | PONG, b"hello"), &[]),
        goes_on("a pong of 125 bytes", frame(LAST | PONG, &long), &[]),
        ends("a pong of 126 bytes", frame(LAST | PONG, &[0; 126]), &["close 1002"]),
        ends("a close of 126 bytes", frame(LAST | CLOSE, &[0; 126]), &["close 1002"]),
        ends("a ping in fragments", fragment(PING, b"x"), &["close 1002"]),
        ends("a pong in fragments", fragment(PONG, b"x"), &["close 1002"]),
        ends("a close in fragments", fragment(CLOSE, b"\x03\xe8"), &["close 1002"]),
        goes_on(
            "a ping between two fragments",
            between(frame(LAST | PING, b"now")),
            &["pong \"now\"", "re 1"],
        ),
        goes_on(
            "a ping between two fragments",
            between(frame(LAST | PING, b"now")),
            &["pong \"now\"", "re 1"],
        )
        .byte_by_byte(),
        goes_on("a pong between two fragments", between(frame(LAST | PONG, b"now")), &["re 1"]),
        ends("a close between two fragments", between(close(1000, b"")), &["close 1000"]),
        ends(
            "a ping in fragments between two fragments",
            between(fragment(PING, b"x")),
            &["close 1002"],
        ),
    ]
}

fn fragmented_messages() -> Vec<Case> {
    let whole = command_of(1, 100 * limits::FRAGMENTS);
    let parts: Vec<&[u8]> = whole.chunks(whole.len() / limits::FRAGMENTS).collect();
    assert_eq!(parts.len(), limits::FRAGMENTS);
    let mut one_more = parts.clone();
    one_more.push(b" ");
    let quarter = [b' '; limits::FRAME_BYTES / 4];
    let full: Vec<&[u8]> = vec![&quarter; 4];
    let mut overfull = full.clone();
    overfull.push(b" ");
    let (first, second) = (&br#"{"id":1,"#[..], &br#""cmd":"ping"}"#[..]);
    vec![
        goes_on("two fragments", fragments(TEXT, &[first, second]), &["re 1"]),
        goes_on("two fragments", fragments(TEXT, &[first, second]), &["re 1"]).byte_by_byte(),
        goes_on("an empty first fragment", fragments(TEXT, &[b"", first, second]), &["re 1"]),
        goes_on("an empty fragment between", fragments(TEXT, &[first, b"", second]), &["re 1"]),
        goes_on("an empty last fragment", fragments(TEXT, &[first, second, b""]), &["re 1"]),
        goes_on("nothing but empty fragments", fragments(TEXT, &[b"", b"", b""]), &["re null"]),
        goes_on("as many fragments as may be", fragments(TEXT, &parts), &["re 1"]),
        ends("one fragment more", fragments(TEXT, &one_more), &["close 1009"]),
        goes_on("fragments of 64 KiB together", fragments(TEXT, &full), &["re null"]),
        ends("a byte more than that", fragments(TEXT, &overfull), &["close 1009"]),
        ends(
            "fragments that announce more",
            [frame(TEXT, &quarter), head(CONTINUATION, limits::FRAME_BYTES as u64, 8)].concat(),
            &["close 1009"],
        ),
        ends("a continuation of nothing", frame(CONTINUATION, b"x"), &["close 1002"]),
        ends("a last one of nothing", frame(LAST | CONTINUATION, b"x"), &["close 1002"]),
        ends(
            "a continuation of what has ended",
            [text(1), frame(LAST | CONTINUATION, b"x")].concat(),
            &["re 1", "close 1002"],
        ),
        ends("a text inside a text", [frame(TEXT, b"x"), text(1)].concat(), &["close 1002"]),
        ends(
            "a binary frame inside a text",
            [frame(TEXT, b"x"), frame(LAST | BINARY, b"x")].concat(),
            &["close 1002"],
        ),
    ]
}

fn utf8() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, good) in [
        ("two bytes", "\u{e9}"),
        ("three bytes", "\u{20ac}"),
        ("four bytes", "\u{1f426}"),
        ("the last character", "\u{10ffff}"),
        ("beside the surrogates", "\u{d7ff}\u{e000}"),
    ] {
        let bytes = command_with(1, good.as_bytes());
        cases.push(goes_on(format!("UTF-8: {name}"), frame(LAST | TEXT, &bytes), &["re 1"]));
        let singly: Vec<&[u8]> = bytes.chunks(1).collect();
        cases.push(goes_on(
            format!("UTF-8: {name}, a fragment for each byte"),
            fragments(TEXT, &singly),
            &["re 1"],
        ));
    }
    for (name, bad) in [
        ("a continuation alone", &b"\x80"[..]),
        ("two bytes for NUL", b"\xc0\x80"),
        ("two bytes for /", b"\xc0\xaf"),
        ("three bytes for NUL", b"\xe0\x80\x80"),
        ("four bytes for NUL", b"\xf0\x80\x80\x80"),
        ("half a surrogate pair", b"\xed\xa0\x80"),
        ("both halves", b"\xed\xa0\x80\xed\xb0\x80"),
        ("beyond the last character", b"\xf4\x90\x80\x80"),
        ("five bytes", b"\xf8\x88\x80\x80\x80"),
        ("0xff", b"\xff"),
        ("half a character", b"\xe2\x82"),
    ] {
        let bytes = command_with(1, bad);
        cases.push(ends(format!("UTF-8: {name}"), frame(LAST | TEXT, &bytes), &["close 1007"]));
    }
    let split = command_with(1, b"\xe2\x82\xac");
    let at = split.iter().position(|byte| *byte == 0x82).unwrap();
    cases.extend([
        goes_on(
            "UTF-8: a character over two fragments, a ping between",
            [
                frame(TEXT, &split[..at]),
                frame(LAST | PING, b"now"),
                frame(LAST | CONTINUATION, &split[at..]),
            ]
            .concat(),
            &["pong \"now\"", "re 1"],
        ),
        ends(
            "UTF-8: a message that ends inside a character",
            frame(LAST | TEXT, b"\"\xe2\x82"),
            &["close 1007"],
        ),
        ends(
            "UTF-8: broken over two fragments",
            fragments(TEXT, &[b"\"\xc3", b"\x28\""]),
            &["close 1007"],
        ),
        ends("UTF-8: broken in a first fragment", frame(TEXT, b"\"\xff"), &["close 1007"]),
        ends(
            "UTF-8: broken in a frame that is still to come",
            [head(LAST | TEXT, 60_000, 2), vec![0x37 ^ 0xff]].concat(),
            &["close 1007"],
        ),
        ends("UTF-8: broken", frame(LAST | TEXT, b"\"\xff\""), &["close 1007"]).byte_by_byte(),
    ]);
    cases
}

fn closing() -> Vec<Case> {
    let half = |name: &str, bytes: Vec<u8>, said: &[&str]| Case {
        expected: Expected::EndsAfterHalf(owned(said)),
        ..goes_on(name, bytes, &[])
    };
    let bad_login = frame(
        LAST | TEXT,
        json!({"id": 5, "cmd": "login", "body": {"user": "a", "token": "no",
            "device": {"id": "d", "platform": "web"}}})
        .to_string()
        .as_bytes(),
    );
    let refused = ["re 5", "session.closing", "close 4500"];
    let mut cases = vec![
        ends("a close of nothing", frame(LAST | CLOSE, b""), &["close"]),
        ends("a close of nothing", frame(LAST | CLOSE, b""), &["close"]).byte_by_byte(),
        ends("a close with a reason", close(1000, b"bye"), &["close 1000"]),
        ends("a close with a reason", close(1000, b"bye"), &["close 1000"]).byte_by_byte(),
        ends("a reason of 123 bytes", close(1000, &[b'x'; 123]), &["close 1000"]),
        ends("half a close code", frame(LAST | CLOSE, b"\x03"), &["close 1002"]),
        ends("a reason that is not UTF-8", close(1000, b"\xff"), &["close 1007"]),
        ends("a reason that ends in a character", close(1000, b"\xe2\x82"), &["close 1007"]),
        ends("a text after a close", [close(1000, b""), text(1)].concat(), &["close 1000"]),
        ends(
            "a ping after a close",
            [close(1000, b""), frame(LAST | PING, b"")].concat(),
            &["close 1000"],
        ),
        ends("a close after a close", close(1000, b"").repeat(2), &["close 1000"]),
        ends(
            "garbage after a close",
            [close(1000, b""), vec![0xff; 1000]].concat(),
            &["close 1000"],
        ),
        ends(
            "a text before a close",
            [text(1), close(1000, b"")].concat(),
            &["re 1", "close 1000"],
        ),
        ends("the server closes", bad_login.clone(), &refused),
        ends("the same, answered", [bad_login.clone(), close(4500, b"")].concat(), &refused),
        ends(
            "the same, and the client talks on",
            [bad_login.clone(), text(6), frame(LAST | PING, b"")].concat(),
            &refused,
        ),
        ends("the same, and garbage comes", [bad_login, vec![0xff; 1000]].concat(), &refused),
        half("the client goes without a close", Vec::new(), &[]),
        half("the client goes after a text", text(1), &["re 1"]),
        half("the client goes inside a frame", head(LAST | TEXT, 100, 0), &[]),
        half("the client goes inside a message", frame(TEXT, b"{"), &[]),
    ];
    let good = (1000..=1003).chain(1007..=1014).chain([3000, 3999, 4000, 4999]);
    for code in good {
        let answer = format!("close {code}");
        cases.push(ends(format!("a close with {code}"), close(code, b""), &[&answer]));
    }
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
        cases.push(ends(format!("a close with {code}"), close(code, b""), &["close 1002"]));
    }
    cases
}

fn msgpack() -> Vec<Case> {
    let ping = rmp_serde::to_vec_named(&json!({"id": 1, "cmd": "ping"})).unwrap();
    let (first, second) = ping.split_at(5);
    vec![
        goes_on("MessagePack", frame(LAST | BINARY, &ping), &["re 1"]).in_msgpack(),
        goes_on("MessagePack", frame(LAST | BINARY, &ping), &["re 1"]).in_msgpack().byte_by_byte(),
        goes_on("MessagePack in fragments", fragments(BINARY, &[first, second]), &["re 1"])
            .in_msgpack(),
        goes_on("MessagePack that is none", frame(LAST | BINARY, b"\xff\xc1"), &["re null"])
            .in_msgpack(),
        goes_on("MessagePack of nothing", frame(LAST | BINARY, b""), &["re null"]).in_msgpack(),
        ends("a text in MessagePack", text(1), &["close 1003"]).in_msgpack(),
        ends("a text that is not UTF-8", frame(LAST | TEXT, b"\xff"), &["close 1003"]).in_msgpack(),
        ends("the beginning of a text", frame(TEXT, b"{"), &["close 1003"]).in_msgpack(),
    ]
}

/// The request that upgrades, with these headers instead of, or besides, those that it needs.
fn upgrade(headers: &[(&str, &str)]) -> String {
    let mut request = "GET /v1/ws HTTP/1.1\r\n".to_owned();
    let needed = [
        ("Host", "127.0.0.1"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for (name, value) in needed {
        if !headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request + "\r\n"
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(GIVE_UP_AFTER)).unwrap();
    stream
}

/// The head of an HTTP answer, in lower case.
fn answer(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).unwrap() == 0 {
            break;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap().to_lowercase()
}

/// A frame of the server, in words; `None` when it has closed its half.
fn said(stream: &mut TcpStream, speaks: Speaks) -> Option<String> {
    let (opcode, payload) = read_frame(stream)?;
    Some(match opcode {
        TEXT => {
            assert!(speaks == Speaks::Json, "text in MessagePack");
            in_words(&serde_json::from_slice(&payload).unwrap())
        }
        BINARY => {
            assert!(speaks == Speaks::MessagePack, "a binary frame in JSON");
            in_words(&rmp_serde::from_slice(&payload).unwrap())
        }
        CLOSE => {
            assert!(payload.len() != 1 && payload.len() <= 125);
            let Some((code, reason)) = payload.split_first_chunk::<2>() else {
                return Some("close".to_owned());
            };
            std::str::from_utf8(reason).unwrap();
            format!("close {}", u16::from_be_bytes(*code))
        }
        PONG => format!("pong \"{}\"", payload.escape_ascii().to_string().replace("\\x00", "\\0")),
        other => panic!("opcode {other} of the server"),
    })
}

fn in_words(frame: &Value) -> String {
    match frame.get("re") {
        Some(re) => format!("re {re}"),
        None => frame["event"].as_str().unwrap().to_owned(),
    }
}

/// Plays a case; what the server said.
fn play(address: SocketAddr, case: &Case) -> Vec<String> {
    let mut stream = connect(address);
    let subprotocol = match case.speaks {
        Speaks::Json => "rookery.v1.json",
        Speaks::MessagePack => "rookery.v1.msgpack",
    };
    stream.write_all(upgrade(&[("Sec-WebSocket-Protocol", subprotocol)]).as_bytes()).unwrap();
    assert!(answer(&mut stream).starts_with("http/1.1 101 "));
    for bytes in &case.writes {
        // Where the server has closed before all was written, the rest does not matter.
        if stream.write_all(bytes).is_err() {
            break;
        }
    }
    let mut all = Vec::new();
    match &case.expected {
        Expected::GoesOn(_) => {
            let fence = json!({"id": FENCE, "cmd": "ping"});
            let fence = match case.speaks {
                Speaks::Json => frame(LAST | TEXT, fence.to_string().as_bytes()),
                Speaks::MessagePack => {
                    frame(LAST | BINARY, &rmp_serde::to_vec_named(&fence).unwrap())
                }
            };
            stream.write_all(&fence).unwrap();
            while let Some(said) = said(&mut stream, case.speaks) {
                if said == format!("re {FENCE}") {
                    return all;
                }
                all.push(said);
            }
            all.push("the end".to_owned());
        }
        Expected::Ends(_) | Expected::EndsAfterHalf(_) => {
            if let Expected::EndsAfterHalf(said_before) = &case.expected {
                for _ in said_before {
                    all.extend(said(&mut stream, case.speaks));
                }
                stream.shutdown(Shutdown::Write).unwrap();
            }
            while let Some(said) = said(&mut stream, case.speaks) {
                all.push(said);
            }
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_of_the_framing_ends_as_it_should() {
    let node = Node::start();
    let app = App::of(&node);
    let mut witness = app.raw("witness", "main").await;
    let cases: Vec<Case> =
        [framing(), control_frames(), fragmented_messages(), utf8(), closing(), msgpack()]
            .into_iter()
            .flatten()
            .collect();
    let mut failures = Vec::new();

    for (nth, case) in cases.iter().enumerate() {
        let real = play(node.http(), case);
        let (Expected::GoesOn(expected)
        | Expected::Ends(expected)
        | Expected::EndsAfterHalf(expected)) = &case.expected;
        let then = match case.expected {
            Expected::GoesOn(_) => "goes on",
            _ => "ends",
        };
        let mut shown = real.join(", ");
        shown.truncate(60);
        println!("{:>4} {:<62} {shown:<40} {then}", nth + 1, case.name);
        if real != *expected {
            failures.push(format!("{}: expected {expected:?}, got {real:?}", case.name));
        }
        witness.ok("ping", json!({})).await;
    }

    println!("{} cases, {} failed", cases.len(), failures.len());
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(cases.len() >= 60);
}

/// What an upgrade is answered: its status, and for each header a part that it must have, or none for one that may not be.
type Answered = (u16, &'static [(&'static str, Option<&'static str>)]);

#[test]
fn every_upgrade_is_answered_as_it_should_be() {
    const ACCEPT: (&str, Option<&str>) =
        ("sec-websocket-accept", Some("s3pplmbitxaq9kygzzhzrbk+xoo="));
    const JSON: (&str, Option<&str>) = ("sec-websocket-protocol", Some("rookery.v1.json"));
    const MSGPACK: (&str, Option<&str>) = ("sec-websocket-protocol", Some("rookery.v1.msgpack"));
    const NONE: (&str, Option<&str>) = ("sec-websocket-protocol", None);
    let node = Node::start();
    let protocol = |name| upgrade(&[("Sec-WebSocket-Protocol", name)]);
    let plain = upgrade(&[]);
    let cases: Vec<(&str, String, Answered)> = vec![
        ("RFC 6455's own example", plain.clone(), (101, &[ACCEPT, NONE])),
        (
            "names and values in another case",
            upgrade(&[("UPGRADE", "WebSocket"), ("connection", "keep-alive, UPGRADE")]),
            (101, &[ACCEPT]),
        ),
        ("no version", upgrade(&[("Sec-WebSocket-Version", "")]), (400, &[])),
        (
            "version 8",
            upgrade(&[("Sec-WebSocket-Version", "8")]),
            (426, &[("sec-websocket-version", Some("13"))]),
        ),
        (
            "version 14",
            upgrade(&[("Sec-WebSocket-Version", "14")]),
            (426, &[("sec-websocket-version", Some("13"))]),
        ),
        ("no key", upgrade(&[("Sec-WebSocket-Key", "")]), (400, &[])),
        (
            "a key of 15 bytes",
            upgrade(&[("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAA")]),
            (400, &[]),
        ),
        ("a key that is no base64", upgrade(&[("Sec-WebSocket-Key", "dGhlIHNhbXBs!")]), (400, &[])),
        ("no upgrade", upgrade(&[("Upgrade", "")]), (426, &[("upgrade", Some("websocket"))])),
        ("another upgrade", upgrade(&[("Upgrade", "h2c")]), (426, &[])),
        ("no connection", upgrade(&[("Connection", "")]), (400, &[])),
        ("a connection that stays", upgrade(&[("Connection", "keep-alive")]), (400, &[])),
        ("POST", plain.replace("GET ", "POST "), (405, &[("allow", Some("get"))])),
        ("HTTP/1.0", plain.replace("HTTP/1.1", "HTTP/1.0"), (400, &[])),
        ("another path", plain.replace("/v1/ws", "/v2/ws"), (404, &[])),
        ("a path that goes on", plain.replace("/v1/ws", "/v1/ws/x"), (404, &[])),
        ("a query", plain.replace("/v1/ws", "/v1/ws?a=b"), (101, &[ACCEPT])),
        ("JSON", protocol("rookery.v1.json"), (101, &[JSON])),
        ("MessagePack", protocol("rookery.v1.msgpack"), (101, &[MSGPACK])),
        (
            "the first that is known",
            protocol("x, rookery.v1.msgpack, rookery.v1.json"),
            (101, &[MSGPACK]),
        ),
        (
            "the first of two headers",
            upgrade(&[
                ("Sec-WebSocket-Protocol", "rookery.v1.json"),
                ("Sec-WebSocket-Protocol", "rookery.v1.msgpack"),
            ]),
            (101, &[JSON]),
        ),
        ("no protocol that is known", protocol("rookery.v2.json"), (400, &[])),
        ("a protocol in another case", protocol("ROOKERY.V1.JSON"), (400, &[])),
        (
            "an extension that is offered",
            upgrade(&[("Sec-WebSocket-Extensions", "permessage-deflate")]),
            (101, &[("sec-websocket-extensions", None)]),
        ),
        ("an origin elsewhere", upgrade(&[("Origin", "https://evil.example")]), (403, &[])),
        ("no origin at all", upgrade(&[("Origin", "null")]), (403, &[])),
        ("our own origin", upgrade(&[("Origin", "http://127.0.0.1")]), (101, &[ACCEPT])),
    ];

    for (name, request, (status, headers)) in &cases {
        let mut stream = connect(node.http());
        stream.write_all(request.as_bytes()).unwrap();
        let head = answer(&mut stream);
        println!("{name:<34} {}", head.lines().next().unwrap_or_default());
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{name}: {head}");
        for (header, part) in *headers {
            let value = head.lines().find_map(|line| line.strip_prefix(&format!("{header}: ")));
            assert_eq!(value.is_some(), part.is_some(), "{name}: {head}");
            assert!(part.is_none_or(|part| value.unwrap().contains(part)), "{name}: {head}");
        }
    }
    // What comes with the request is read too, and so is a request that comes in pieces.
    let mut stream = connect(node.http());
    stream.write_all(&[upgrade(&[]).as_bytes(), &text(1)].concat()).unwrap();
    answer(&mut stream);
    assert_eq!(said(&mut stream, Speaks::Json).unwrap(), "re 1");
    let mut stream = connect(node.http());
    for byte in upgrade(&[]).bytes() {
        stream.write_all(&[byte]).unwrap();
    }
    assert!(answer(&mut stream).starts_with("http/1.1 101 "));
    stream.write_all(&text(2)).unwrap();
    assert_eq!(said(&mut stream, Speaks::Json).unwrap(), "re 2");
}

#[test]
fn a_flood_of_pings_is_answered_as_it_comes_and_kept_nowhere() {
    const PINGS: usize = 200_000;
    /// Much less than the flood, which is 26 MB.
    const GROWTH_KIB: u64 = 12 * 1024;
    let node = Node::start();
    let mut stream = connect(node.http());
    stream.write_all(upgrade(&[]).as_bytes()).unwrap();
    answer(&mut stream);
    let before = resident_kib(&node);
    let mut flooding = stream.try_clone().unwrap();
    let flood = std::thread::spawn(move || {
        let some = frame(LAST | PING, &[b'p'; 125]).repeat(1000);
        for _ in 0..PINGS / 1000 {
            flooding.write_all(&some).unwrap();
        }
    });

    let mut most = before;
    let mut pongs = std::io::BufReader::new(stream.try_clone().unwrap());
    for nth in 0..PINGS {
        let mut pong = [0; 127];
        pongs.read_exact(&mut pong).unwrap();
        assert_eq!(pong[..2], [LAST | PONG, 125]);
        if nth % 1000 == 0 {
            most = most.max(resident_kib(&node));
        }
    }

    flood.join().unwrap();
    println!("resident {before} KiB before, {most} KiB at most");
    assert!(most <= before + GROWTH_KIB, "{before} KiB before, {most} KiB at most");
    stream.write_all(&text(1)).unwrap();
    assert_eq!(said(&mut stream, Speaks::Json).unwrap(), "re 1");
}
