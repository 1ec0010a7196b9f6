//! What a broken or hostile client may send: each is answered, nobody else notices, and the server stays small.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::chat::{App, Raw, WAYS, key, key_minted_in, patience, text, text_of};
use common::node::Node;
use common::resident_kib;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use rookery::client::raw::{Opening, WsMessage};
use rookery::limits;
use rookery::protocol::codec::Codec;
use serde_json::{Value, json};

/// How much the server may have grown after all of it, in KiB.
const GROWTH_KIB: u64 = 32 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_client_sends_it_is_answered_and_nobody_else_notices() {
    let node = Node::start();
    let app = App::of(&node);
    let chat = tokio::spawn(chat(app.clone()));
    patience("the pair is talking", async {
        while stored(&node) < 50 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let before = resident_kib(&node);

    for (round, way) in WAYS.into_iter().enumerate() {
        a_round(&app.by(way), node.http(), round).await;
    }

    let after = resident_kib(&node);
    println!("server memory: {before} KiB before, {after} KiB after a round in each way");
    assert!(after <= before + GROWTH_KIB, "{before} KiB before, {after} KiB after");
    assert!(!chat.is_finished(), "the pair was disturbed: {:?}", chat.await);
    chat.abort();
}

/// Two people who take turns, and notice when an answer or a message is missing.
async fn chat(app: App) {
    let (mut dora, mut emil) = (app.user("dora").await, app.user("emil").await);
    for turn in 1u64.. {
        let said = format!("turn {turn}");
        let sent = dora.say("emil", &said).await;
        assert_eq!(sent.seq.get(), 2 * turn - 1);
        assert_eq!(text_of(&emil.next_message().await), said);
        assert_eq!(emil.say("dora", &said).await.seq.get(), 2 * turn);
        assert_eq!(text_of(&dora.next_message().await), said);
    }
}

async fn a_round(app: &App, address: SocketAddr, round: usize) {
    // What ends only when the server's patience does goes on beside the rest.
    let (silent, stuck) =
        (tokio::spawn(says_nothing(app.clone())), tokio::spawn(reads_nothing(app.clone())));
    let garbage = match app.opening().codec {
        Codec::Json => garbage_in_json(),
        Codec::MessagePack => garbage_in_msgpack(),
    };
    frames_that_are_no_commands(app, &garbage).await;
    commands_with_wrong_fields(app).await;
    commands_out_of_turn(app).await;
    if app.opening() == Opening::default() {
        broken_websocket_frames(app).await;
    }
    broken_tokens(app, round).await;
    numbers_beyond_all_bounds(app).await;
    odd_texts(app).await;
    paths_that_climb(address);
    silent.await.unwrap();
    stuck.await.unwrap();
}

/// The reply to a frame of these bytes.
async fn reply_to(raw: &mut Raw, frame: &[u8]) -> Value {
    raw.0.send_raw(frame.to_vec()).await.unwrap();
    patience("a reply", raw.0.frame()).await.unwrap()
}

/// The reply to a frame that has a form in both codecs.
async fn reply_to_frame(raw: &mut Raw, frame: &Value) -> Value {
    raw.0.send_frame(frame).await.unwrap();
    patience("a reply", raw.0.frame()).await.unwrap()
}

fn garbage_in_json() -> Vec<Vec<u8>> {
    let deep = |open: &str, close: &str, depth: usize| {
        format!("{}{}", open.repeat(depth), close.repeat(depth))
    };
    let mut frames = vec![
        String::new(),
        "\0".to_owned(),
        "garbage".to_owned(),
        "null".to_owned(),
        "7".to_owned(),
        "\"login\"".to_owned(),
        "[]".to_owned(),
        "[{\"id\":1}]".to_owned(),
        "{}".to_owned(),
        "{\"id\":1".to_owned(),
        "{\"id\":1,\"cmd\":\"ping\"}}".to_owned(),
        "{\"id\":1,\"cmd\":\"ping\"} {\"id\":2,\"cmd\":\"ping\"}".to_owned(),
        "{\"id\":1,\"id\":2,\"cmd\":\"ping\"}".to_owned(),
        "{'id':1}".to_owned(),
        "\u{feff}{\"id\":1,\"cmd\":\"ping\"}".to_owned(),
        "{\"id\":NaN,\"cmd\":\"ping\"}".to_owned(),
        format!("{{\"id\":{},\"cmd\":\"ping\"}}", "9".repeat(60_000)),
        deep("[", "]", 30_000),
        deep("{\"a\":", "}", 9_000),
        "[".repeat(60_000),
        "{\"id\":1,\"cmd\":\"ping\",\"body\":".to_owned() + &deep("[", "]", 33) + "}",
    ];
    for id in ["-1", "1.5", "1e3", "\"1\"", "null", "[]", "{}", "true", "9007199254740992"] {
        frames.push(format!("{{\"id\":{id},\"cmd\":\"ping\"}}"));
    }
    frames.into_iter().map(String::into_bytes).collect()
}

fn garbage_in_msgpack() -> Vec<Vec<u8>> {
    // {"id": 1, "cmd": "ping", "body": …}
    let around = |body: &[u8]| [b"\x83\xa2id\x01\xa3cmd\xa4ping\xa4body", body].concat();
    let mut frames: Vec<Vec<u8>> = [
        &b""[..],
        b"\0",
        b"garbage",
        b"\xc0",
        b"\xc1",
        b"\x07",
        b"\xa5login",
        b"\x90",
        b"\x80",
        b"{\"id\":1,\"cmd\":\"ping\"}",
        b"\x82\xa2id\x01",
        b"\x82\xa2id\x01\xa3cmd\xa4ping\x80",
        b"\x83\xa2id\x01\xa2id\x02\xa3cmd\xa4ping",
        b"\x93\x01\xa4ping\x80",
        b"\xdf\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
    ]
    .map(<[u8]>::to_vec)
    .into();
    for id in [
        &b"\xff"[..],
        b"\xd3\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xa11",
        b"\xc0",
        b"\x90",
        b"\x80",
        b"\xc3",
        b"\xcb\x3f\xf0\0\0\0\0\0\0",
        b"\xcf\0\x20\0\0\0\0\0\0",
        b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
    ] {
        frames.push([b"\x82\xa3cmd\xa4ping\xa2id", id].concat());
    }
    for body in [
        &b"\xd4\x01\x02"[..],
        b"\xd8\x01",
        b"\xc4\x01x",
        b"\x81\x01\x02",
        b"\x81\xc0\xc0",
        b"\x81\xa1x\xc1",
        b"\x81\xa1x\xa2\xff\xfe",
        b"\xdd\x7f\xff\xff\xff\x01",
        b"\x81\xa5inbox\xdf\xff\xff\xff\xff",
        b"\x80\xc0",
        b"\x81\xa5inbox\xa11",
    ] {
        frames.push(around(body));
    }
    for deep in [&b"\x91"[..], b"\x81\xa1a", b"\xdd\0\0\0\x01", b"\xdc\xff\xff"] {
        frames.push(deep.repeat(60_000 / deep.len()));
        frames.push(around(&[&deep.repeat(33)[..], b"\xc0"].concat()));
    }
    frames
}

async fn frames_that_are_no_commands(app: &App, garbage: &[Vec<u8>]) {
    for mut raw in [app.connect().await, app.raw("mallory", "bad").await] {
        for frame in garbage {
            let reply = reply_to(&mut raw, frame).await;
            let shown = String::from_utf8_lossy(&frame[..frame.len().min(100)]).into_owned();
            assert_eq!(reply["error"]["code"], "bad_request", "{shown:?}: {reply}");
            assert!(reply.to_string().len() < 1000, "{shown:?}: {reply}");
        }
        for cmd in [json!(7), json!(null), json!({})] {
            let reply = reply_to_frame(&mut raw, &json!({"id": 1, "cmd": cmd})).await;
            assert_eq!(
                (&reply["re"], &reply["error"]["field"]),
                (&json!(1), &json!("cmd")),
                "{reply}"
            );
        }
        let long = "x".repeat(60_000);
        for cmd in ["", "PING", "ping ", "message", "message.new", "../ping", "p\u{0}ing", &long] {
            let reply = reply_to_frame(&mut raw, &json!({"id": 1, "cmd": cmd})).await;
            assert_eq!(reply["error"]["code"], "unknown_command", "{reply}");
            assert!(reply.to_string().len() < 1000, "{reply}");
        }
    }
}

async fn commands_with_wrong_fields(app: &App) {
    // Those that groups are made with.
    drop(app.raw("frank", "main").await);
    let mut raw = app.raw("mallory", "bad").await;
    let values = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1.5),
        json!(""),
        json!("x"),
        json!([]),
        json!([1]),
        json!({}),
        json!({"type": "text"}),
        json!("user:"),
        json!("user:a b"),
        json!("user:a\nb"),
        json!(format!("user:{}", "x".repeat(65))),
        json!("group:nobodys"),
        json!("group:"),
        json!("group:a b"),
        json!("USER:bob"),
        json!("nobodys"),
        json!(["mallory", 7]),
        json!(vec!["frank"; 101]),
    ];
    let good = [
        ("message.send", text("mallory", key(), "x")),
        ("message.received", json!({"conversation": "user:mallory", "seq": 1})),
        ("message.read", json!({"conversation": "user:mallory", "seq": 1})),
        ("message.history", json!({"conversation": "user:mallory", "after": 1, "limit": 1})),
        ("message.inbox", json!({"after": 1, "limit": 1})),
        ("conversation.list", json!({"after": "1.1", "limit": 1})),
        ("sync", json!({"epoch": "x", "inbox": 1, "groups": {"mallorys": 1}, "after": "1"})),
        ("ping", json!({"inbox": 1, "groups": {"mallorys": 1}})),
        (
            "group.create",
            json!({"group": "mallorys", "kind": "work", "name": "M", "members": ["frank"]}),
        ),
        ("group.get", json!({"group": "mallorys"})),
        ("group.list", json!({"after": "1", "limit": 1})),
        ("group.update", json!({"group": "mallorys", "name": "N"})),
        ("group.members", json!({"group": "mallorys", "after": "1", "limit": 1})),
        ("group.invite", json!({"group": "mallorys", "user": "frank", "users": ["frank"]})),
        ("group.join", json!({"group": "mallorys"})),
        ("group.remove", json!({"group": "mallorys", "user": "frank", "users": ["frank"]})),
        ("group.leave", json!({"group": "mallorys"})),
        ("group.dissolve", json!({"group": "mallorys"})),
    ];
    for (cmd, body) in &good {
        for wrong in &values {
            let whole = raw.0.call(cmd, wrong.clone()).await.unwrap();
            assert!(is_orderly(&whole), "{cmd} {wrong}: {whole}");
            for field in body.as_object().unwrap().keys() {
                let mut body = body.clone();
                body[field] = wrong.clone();
                let reply = raw.0.call(cmd, body).await.unwrap();
                assert!(is_orderly(&reply), "{cmd} {field}={wrong}: {reply}");
            }
        }
        for field in body.as_object().unwrap().keys() {
            let mut body = body.clone();
            body.as_object_mut().unwrap().remove(field);
            let reply = raw.0.call(cmd, body).await.unwrap();
            assert!(is_orderly(&reply), "{cmd} without {field}: {reply}");
        }
    }
    for (field, wrong) in [
        ("client_msg_id", json!("6ba7b810-9dad-11d1-80b4-00c04fd430c8")),
        ("client_msg_id", json!("00000000-0000-0000-0000-000000000000")),
        ("client_msg_id", json!("not-a-uuid")),
        ("content", json!({"type": "video", "url": "x"})),
        ("content", json!({"type": "text", "text": 7})),
        ("mentions", json!(["bob", "al ice"])),
        ("mentions", json!(vec!["bob"; 101])),
        ("reply_to", json!(0)),
        ("to", json!("user:al\nice")),
        ("to", json!(format!("user:{}", "x".repeat(65)))),
    ] {
        let mut send = text("mallory", key(), "x");
        send[field] = wrong.clone();
        let error = raw.error("message.send", send).await;
        assert_eq!(error["code"], "bad_request", "{field}={wrong}");
        assert!(error["field"].as_str().unwrap().starts_with(field), "{error}");
    }
}

/// Whether a reply is an `ok`, or an error of the table.
fn is_orderly(reply: &Value) -> bool {
    const CODES: [&str; 8] = [
        "bad_request",
        "not_found",
        "key_reused",
        "too_large",
        "forbidden",
        "conflict",
        "not_a_member",
        "full",
    ];
    reply.get("ok").is_some() || CODES.iter().any(|code| reply["error"]["code"] == *code)
}

async fn commands_out_of_turn(app: &App) {
    let mut raw = app.connect().await;
    for cmd in ["ping", "sync", "logout", "conversation.list"] {
        assert_eq!(raw.code(cmd, json!({})).await, "not_logged_in", "{cmd}");
    }
    assert_eq!(raw.code("message.send", text("dora", key(), "spam")).await, "not_logged_in");
    // Two logins at once: one of them is the first.
    let login = app.login("mallory", "bad");
    let (one, two) =
        (raw.0.submit("login", login.clone()).await, raw.0.submit("login", login.clone()).await);
    assert!(raw.reply(one.unwrap()).await.get("ok").is_some());
    assert_eq!(raw.reply(two.unwrap()).await["error"]["code"], "bad_request");
    assert_eq!(raw.code("login", app.login("dora", "main")).await, "bad_request");
    // More commands than may be in flight: all are answered.
    let mut ids = VecDeque::new();
    for _ in 0..1000 {
        ids.push_back(raw.0.submit("ping", json!({})).await.unwrap());
    }
    for id in ids {
        assert!(raw.reply(id).await.get("ok").is_some());
    }
    // The same id again and again is the client's own matter.
    for _ in 0..3 {
        assert_eq!(reply_to_frame(&mut raw, &json!({"id": 0, "cmd": "ping"})).await["re"], 0);
    }
}

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const FINAL: u8 = 0x80;

/// A WebSocket frame with this first byte, masked as a client must.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..=125 => bytes.push(0x80 | short as u8),
        middle @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend((middle as u16).to_be_bytes());
        }
        long => {
            bytes.push(0x80 | 127);
            bytes.extend((long as u64).to_be_bytes());
        }
    }
    // A mask of zeros leaves the payload as it is.
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

/// Writes bytes past the WebSocket and says how the server closes. Where it has closed before all was written, the
/// rest does not matter.
async fn close_after(raw: &mut Raw, bytes: &[u8]) -> Option<u16> {
    let _ = raw.0.write_bytes(bytes).await;
    raw.ending().await.code()
}

async fn broken_websocket_frames(app: &App) {
    let oversized = vec![b'x'; limits::FRAME_BYTES + 1];
    let mut announced = frame(FINAL | TEXT, b"");
    announced.splice(1..2, [0x80 | 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    let unmasked = [FINAL | TEXT, 2, b'{', b'}'].to_vec();
    let endless_empty: Vec<u8> = std::iter::once(frame(TEXT, b""))
        .chain(std::iter::repeat_n(frame(CONTINUATION, b""), 10_000))
        .flatten()
        .collect();
    let endless_full: Vec<u8> = std::iter::once(frame(TEXT, &[b'x'; 4000]))
        .chain(std::iter::repeat_n(frame(CONTINUATION, &[b'x'; 4000]), 60))
        .flatten()
        .collect();
    let text_1mb =
        frame(FINAL | TEXT, format!("{{\"id\":1,\"x\":\"{}\"}}", "x".repeat(1 << 20)).as_bytes());
    let split_utf8 = [frame(TEXT, b"\"\xc3"), frame(FINAL | CONTINUATION, b"\x28\"")].concat();
    for (what, bytes, codes) in [
        ("binary", frame(FINAL | BINARY, b"{}"), &[1003][..]),
        ("binary in fragments", frame(BINARY, b"{}"), &[1003]),
        ("not UTF-8", frame(FINAL | TEXT, b"\"\xff\xfe\""), &[1007]),
        ("an overlong form", frame(FINAL | TEXT, b"\"\xc0\x80\""), &[1007]),
        ("half a character", frame(FINAL | TEXT, b"\"\xe2\x82"), &[1007]),
        ("a surrogate", frame(FINAL | TEXT, b"\"\xed\xa0\x80\""), &[1007]),
        ("broken over fragments", split_utf8, &[1007]),
        ("too large", frame(FINAL | TEXT, &oversized), &[1009]),
        ("1 MB of text", text_1mb, &[1009]),
        ("announced without end", announced, &[1009, 1002]),
        ("endless empty fragments", endless_empty, &[1009]),
        ("endless full fragments", endless_full, &[1009]),
        ("a continuation of nothing", frame(FINAL | CONTINUATION, b"x"), &[1002]),
        ("a text inside a text", [frame(TEXT, b"x"), frame(FINAL | TEXT, b"x")].concat(), &[1002]),
        ("not masked", unmasked, &[1002]),
        ("reserved bits", frame(FINAL | 0x40 | TEXT, b"{}"), &[1002]),
        ("an opcode that nobody knows", frame(FINAL | 3, b"x"), &[1002]),
        ("a large ping", frame(FINAL | PING, &[0; 126]), &[1002]),
        ("a ping in fragments", frame(PING, b"x"), &[1002]),
    ] {
        for mut raw in [app.connect().await, app.raw("mallory", "bad").await] {
            let code = close_after(&mut raw, &bytes).await;
            assert!(code.is_some_and(|code| codes.contains(&code)), "{what}: {code:?}");
        }
    }
    // As large as may be, whole and in as many fragments as may be.
    let mut raw = app.raw("mallory", "bad").await;
    let mut ping = br#"{"id":77,"cmd":"ping","x":""#.to_vec();
    ping.resize(limits::FRAME_BYTES - 2, b'x');
    ping.extend(b"\"}");
    raw.0.write_bytes(&frame(FINAL | TEXT, &ping)).await.unwrap();
    assert!(raw.reply(77).await.get("ok").is_some());
    let parts = ping.chunks(limits::FRAME_BYTES / limits::FRAGMENTS);
    let last = parts.len() - 1;
    for (nth, part) in parts.enumerate() {
        let opcode = if nth == 0 { TEXT } else { CONTINUATION };
        let first = if nth == last { FINAL | opcode } else { opcode };
        raw.0.write_bytes(&frame(first, part)).await.unwrap();
        raw.0.write_bytes(&frame(FINAL | PING, b"between")).await.unwrap();
    }
    assert!(raw.reply(77).await.get("ok").is_some());
    // Closes of all kinds, and none at all.
    for payload in
        [&b""[..], b"\x03", b"\x03\xe8", b"\x03\xe8bye", b"\x03\xe8\xff", b"\x00\x01", b"\xff\xff"]
    {
        let mut raw = app.raw("mallory", "bad").await;
        close_after(&mut raw, &frame(FINAL | CLOSE, payload)).await;
    }
    for half in [&b"\x81"[..], b"\x81\xfe", b"\x81\xfe\x00\x10\x00\x00\x00\x00{"] {
        let mut raw = app.raw("mallory", "bad").await;
        raw.0.write_bytes(half).await.unwrap();
    }
    // A WebSocket ping is answered, and is no heartbeat of the protocol.
    let mut raw = app.raw("mallory", "bad").await;
    raw.0.send(WsMessage::Ping("x".into())).await.unwrap();
    raw.ok("ping", json!({})).await;
}

/// A token around any JSON.
fn packed(json: &str) -> String {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(json.as_bytes()).unwrap();
    let base64 = STANDARD.encode(encoder.finish().unwrap());
    base64.replace('+', "*").replace('/', "-").replace('=', "_")
}

async fn broken_tokens(app: &App, round: usize) {
    let good = app.token("mallory");
    // Every bit that leaves text text, a part of them in each way.
    let mut tokens: Vec<String> = (0..good.len() * 7)
        .filter(|bit| bit % WAYS.len() == round)
        .map(|bit| {
            let mut bytes = good.clone().into_bytes();
            bytes[bit / 7] ^= 1 << (bit % 7);
            String::from_utf8(bytes).unwrap()
        })
        .collect();
    tokens.extend([
        String::new(),
        good[..good.len() - 4].to_owned(),
        format!("{good}____"),
        format!("{good} "),
        good.replace('*', "+").replace('-', "/").replace('_', "="),
        packed(&" ".repeat(8 << 20)),
        packed(&" ".repeat(limits::TOKEN_INFLATED_BYTES + 1)),
        packed("{}"),
        packed("null"),
        packed(&"[".repeat(4000)),
        "A".repeat(limits::TOKEN_BYTES + 1),
        "A".repeat(50_000),
        "\0".to_owned(),
    ]);
    tokens.retain(|token| *token != good);
    for token in &tokens {
        let mut raw = app.connect().await;
        let mut login = app.login("mallory", "bad");
        login["token"] = json!(token);
        assert_eq!(raw.code("login", login).await, "bad_token", "{token:?}");
        assert_eq!(raw.ending().await.code(), Some(4500), "{token:?}");
    }
}

async fn numbers_beyond_all_bounds(app: &App) {
    let mut raw = app.raw("mallory", "bad").await;
    raw.ok("message.send", text("mallory", key(), "the head")).await;
    for seq in [json!(1u64 << 40), json!((1u64 << 53) - 1), json!(i64::MAX), json!(u64::MAX)] {
        let newest = json!({"conversation": "user:mallory", "limit": 1});
        let head = raw.ok("message.history", newest).await["head"].clone();
        for cmd in ["message.received", "message.read"] {
            let cursor = json!({"conversation": "user:mallory", "seq": seq});
            assert_eq!(raw.ok(cmd, cursor).await["seq"], head, "{cmd} {seq}");
        }
        let inbox = raw.ok("message.inbox", json!({"after": seq})).await;
        assert_eq!((&inbox["messages"], &inbox["has_more"]), (&json!([]), &json!(false)));
        let history = json!({"conversation": "user:mallory", "after": seq});
        assert_eq!(raw.ok("message.history", history).await["messages"], json!([]));
        raw.ok("sync", json!({"inbox": seq})).await;
        raw.ok("ping", json!({"inbox": seq})).await;
        let mut reply = text("mallory", key(), "an answer to nothing");
        reply["reply_to"] = seq.clone();
        assert!(is_orderly(&raw.0.call("message.send", reply).await.unwrap()));
    }
    for seq in [json!(-1), json!(1.5), json!(1e30), json!("7")] {
        let cursor = json!({"conversation": "user:mallory", "seq": seq});
        assert_eq!(raw.code("message.read", cursor).await, "bad_request", "{seq}");
    }
    let pages = [
        ("message.inbox", json!({"after": 0})),
        ("message.history", json!({"conversation": "user:mallory"})),
        ("conversation.list", json!({})),
    ];
    for (cmd, body) in pages {
        let with = |limit: Value| {
            let mut body = body.clone();
            body["limit"] = limit;
            body
        };
        for refused in [json!(-1), json!(0), json!(1.5), json!("9"), json!(i64::MIN)] {
            assert_eq!(
                raw.code(cmd, with(refused.clone())).await,
                "bad_request",
                "{cmd} {refused}"
            );
        }
        for taken in [json!(1), json!(1_000_000_000), json!(u64::MAX)] {
            raw.ok(cmd, with(taken)).await;
        }
    }
    let both = json!({"conversation": "user:mallory", "after": 1, "before": 2});
    assert_eq!(raw.code("message.history", both).await, "bad_request");
}

async fn odd_texts(app: &App) {
    let mut raw = app.raw("mallory", "bad").await;
    let largest = "x".repeat(limits::CONTENT_BYTES);
    let texts = [
        "a\0b",
        "\0",
        "",
        " ",
        "\u{7f}\u{1}\u{1f}",
        "\u{202e}txet",
        "\u{1F426}\u{200d}\u{1F426}",
        "\u{ffff}\u{10ffff}",
        "'; drop table users; --",
        "</script><script>",
        "%00",
        "\r\n\r\n",
        &largest,
    ];
    for said in texts {
        let seq =
            raw.ok("message.send", text("mallory", key(), said)).await["seq"].as_u64().unwrap();
        let page = json!({"conversation": "user:mallory", "after": seq - 1, "limit": 1});
        let page = raw.ok("message.history", page).await;
        assert_eq!(page["messages"][0]["content"]["text"], said);
    }
    let too_large = "x".repeat(limits::CONTENT_BYTES + 1);
    assert_eq!(raw.code("message.send", text("mallory", key(), &too_large)).await, "too_large");
    let ahead = text("mallory", key_minted_in(i64::from(i32::MAX) * 1000), "from 2038");
    assert_eq!(raw.code("message.send", ahead).await, "clock_ahead");
}

fn paths_that_climb(address: SocketAddr) {
    let etc = "etc/passwd";
    for path in [
        "/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2f..%2fetc/passwd",
        "/....//....//etc/passwd",
        "/\\..\\..\\etc\\passwd",
        "//etc/passwd",
        "/assets/../../Cargo.toml",
        "/%00",
        "/%ff",
        "/index.html%00.png",
        "/v1/ws",
        "/v1/../healthz",
        "/metrics",
        "/readyz",
        etc,
        "*",
        "http://other/",
        &format!("/{}", "x".repeat(20_000)),
    ] {
        let mut stream = TcpStream::connect(address).unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        // The server may have refused before it has read all of it.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
        let shown: String = path.chars().take(60).collect();
        assert!(
            status.is_none_or(|status| (400..500).contains(&status) || status == 200),
            "{shown}: {status:?}"
        );
        for secret in ["root:", "[package]", "rookery_sessions", "\"database\""] {
            assert!(!answer.contains(secret), "{shown} shows {secret}");
        }
    }
}

async fn says_nothing(app: App) {
    let mut raw = app.connect().await;
    assert_eq!(raw.closed().await, 4004);
}

/// Does not read what is sent to it, until the server gives it up.
async fn reads_nothing(app: App) {
    let narrow = Opening { receive_buffer: Some(4096), ..app.opening() };
    let mut raw = app.connect_with(&narrow).await;
    raw.ok("login", app.login("sleeper", "stuck")).await;
    let mut filler = app.raw("filler", "main").await;
    let large = "x".repeat(30_000);
    for _ in 0..300 {
        filler.ok("message.send", text("sleeper", key(), &large)).await;
    }
    // Once the server has given it up, it answers for it.
    patience("the sleeper is closed", async {
        loop {
            filler.ok("message.send", text("sleeper", key(), "awake?")).await;
            if filler.0.kept().any(|frame| frame["body"]["by"] == "server") {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    })
    .await;
    let parted = raw.ending().await;
    assert!(matches!(parted.code(), Some(4002) | None), "{parted}");
}

/// How many messages the server has stored.
fn stored(node: &Node) -> u64 {
    let (_, metrics) = common::get(node.inside(), "/metrics").unwrap();
    let line = metrics.lines().find(|line| line.starts_with("rookery_messages_stored_total"));
    line.and_then(|line| line.rsplit(' ').next()).map_or(0, |count| count.parse().unwrap())
}
