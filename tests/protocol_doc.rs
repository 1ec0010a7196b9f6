//! Replays the examples of docs/protocol.md, in order, against a real server.
//!
//! How they are written is told there, under "How to read the examples".
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::{BTreeSet, HashMap};
use std::io::{Read, Write};
use std::net::TcpStream;

use common::GIVE_UP_AFTER;
use common::chat::{App, Raw, WAYS, key, now, patience, text};
use common::node::{Node, Options};
use common::postgres::Postgres;
use rookery::client::raw::{Opening, Transport};
use rookery::ids::{ClientMsgId, UnixMs};
use rookery::protocol::codec::Codec;
use serde_json::{Value, json};

const DOCUMENT: &str = include_str!("../docs/protocol.md");

/// When the examples took place: the time inside their client message ids is moved from here to the present.
const EXAMPLES_AT: UnixMs = UnixMs::new(1_751_371_200_000);

/// Fields whose values differ from run to run, but stand for one thing.
const VARIABLE: &[&str] = &["session", "epoch", "message_id", "sent_at_ms", "next"];
/// Fields whose values are any number.
const ANY_NUMBER: &[&str] = &[
    "server_time_ms",
    "created_at_ms",
    "joined_at_ms",
    "logged_in_at_ms",
    "ended_at_ms",
    "expires_at_ms",
    "since_ms",
    "until_ms",
    "at_ms",
    "retry_after_ms",
    "reconnect_after_ms",
];

/// What the document's trouble in the store leaves to be sent again.
const RESENT: [(&str, &str); 2] = [
    ("0197c5db-cd70-747c-8cf2-5ec84d8dbc74", "One"),
    ("0197c5db-d158-7254-8770-f58904dba41e", "Two"),
];

#[derive(Debug)]
enum Step {
    Send(String, Value),
    Receive(String, Value),
    Closed(String, u16),
    Act(String),
}

/// The steps of all examples, with the line at which each begins.
fn steps(document: &str) -> Vec<(usize, Step)> {
    let mut texts: Vec<(usize, String)> = Vec::new();
    let mut is_inside = false;
    for (index, line) in document.lines().enumerate() {
        match line {
            "```wire" => is_inside = true,
            "```" => is_inside = false,
            _ if !is_inside => {}
            more if more.starts_with(' ') => texts.last_mut().unwrap().1.push_str(more),
            first => texts.push((index + 1, first.to_owned())),
        }
    }
    texts.into_iter().map(|(line, text)| (line, step(line, &text))).collect()
}

fn step(line: usize, text: &str) -> Step {
    if let Some(act) = text.strip_prefix("# ") {
        return Step::Act(act.to_owned());
    }
    let mut words = text.splitn(3, ' ');
    let who = words.next().unwrap().to_owned();
    let (mark, rest) = (words.next().unwrap(), words.next().unwrap());
    let frame = || {
        serde_json::from_str(rest).unwrap_or_else(|error| panic!("line {line}: {error}: {rest}"))
    };
    match mark {
        ">" => Step::Send(who, frame()),
        "<" => Step::Receive(who, frame()),
        "closed" => Step::Closed(who, rest.parse().unwrap()),
        other => panic!("line {line}: {other:?} means nothing"),
    }
}

/// What the examples stand for in this run.
struct Present {
    app: App,
    began: UnixMs,
    /// By field and value in the document: the value here.
    meanings: HashMap<(String, String), Value>,
}

impl Present {
    /// A frame of the document as it is sent here.
    fn translated(&self, field: &str, value: &Value) -> Value {
        match value {
            Value::Object(fields) => fields
                .iter()
                .map(|(name, value)| (name.clone(), self.translated(name, value)))
                .collect(),
            Value::Array(values) => {
                values.iter().map(|value| self.translated(field, value)).collect()
            }
            Value::String(text) if field == "client_msg_id" => json!(self.moved(text)),
            Value::String(text) if text.starts_with('<') => json!(self.token(text)),
            // What a page ended with comes back as the place where the next begins.
            Value::String(_) if field == "after" => self.meaning("next", value),
            other => self.meaning(field, other),
        }
    }

    fn meaning(&self, field: &str, value: &Value) -> Value {
        let meaning = self.meanings.get(&(field.to_owned(), value.to_string()));
        meaning.cloned().unwrap_or_else(|| value.clone())
    }

    /// `<alice's token>`, `<eve's expired token>` and `<grace's short token>`.
    fn token(&self, text: &str) -> String {
        let (user, kind) = text.trim_matches(['<', '>']).split_once("'s ").unwrap();
        match kind {
            "token" => self.app.token(user),
            "short token" => self.app.token_signed_at(user, now(), 30),
            "expired token" => {
                let day_ago = UnixMs::new(self.began.get() - 86_400_000);
                self.app.token_signed_at(user, day_ago, 3600)
            }
            other => panic!("there is no {other:?}"),
        }
    }

    fn moved(&self, id: &str) -> ClientMsgId {
        let id = ClientMsgId::new(id.parse().unwrap()).unwrap();
        let at = UnixMs::new(id.minted_at().get() + self.began.since(EXAMPLES_AT));
        let mut random = [0; 10];
        random.copy_from_slice(&id.uuid().as_bytes()[6..]);
        ClientMsgId::mint(at, random)
    }

    /// Whether `real` is what the document's `told` stands for; takes note of what variable values stand for.
    fn is_meant(&mut self, field: &str, told: &Value, real: &Value) -> bool {
        match (told, real) {
            (Value::Object(told), Value::Object(real)) => {
                let is_notice = told.get("content").is_some_and(|it| it["type"] == "notice");
                let field = |name: &str| match name {
                    // The server mints it.
                    "client_msg_id" if is_notice => "message_id".to_owned(),
                    name => name.to_owned(),
                };
                told.keys().eq(real.keys())
                    && told
                        .iter()
                        .all(|(name, told)| self.is_meant(&field(name), told, &real[name]))
            }
            (Value::Array(told), Value::Array(real)) => {
                told.len() == real.len()
                    && told.iter().zip(real).all(|(told, real)| self.is_meant(field, told, real))
            }
            (Value::String(told), real) if field == "client_msg_id" => {
                *real == json!(self.moved(told))
            }
            (told, real) if ANY_NUMBER.contains(&field) => told.is_u64() && real.is_u64(),
            (told, real) if VARIABLE.contains(&field) => {
                let same_kind = told.is_string() == real.is_string();
                let place = (field.to_owned(), told.to_string());
                same_kind && self.meanings.entry(place).or_insert_with(|| real.clone()) == real
            }
            (told, real) => told == real,
        }
    }
}

/// The server and the connections of the examples.
struct Stage {
    node: Node,
    postgres: Postgres,
    present: Present,
    connections: HashMap<String, Raw>,
}

impl Stage {
    async fn set(way: (Transport, Codec)) -> Self {
        let postgres = Postgres::start(&[]).await;
        let options = Options::default().env("ROOKERY__DATABASE__URL", &postgres.url());
        let node = Node::start_with(options);
        let present =
            Present { app: App::of(&node).by(way), began: now(), meanings: HashMap::new() };
        Self { node, postgres, present, connections: HashMap::new() }
    }

    async fn connection(&mut self, who: &str) -> &mut Raw {
        if !self.connections.contains_key(who) {
            // Small, so that a connection that does not read is one soon.
            let opening = Opening { receive_buffer: Some(4096), ..self.present.app.opening() };
            let raw = self.present.app.connect_with(&opening).await;
            self.connections.insert(who.to_owned(), raw);
        }
        self.connections.get_mut(who).unwrap()
    }

    async fn play(&mut self, line: usize, step: &Step) {
        match step {
            Step::Send(who, frame) => {
                let frame = self.present.translated("", frame);
                self.connection(who).await.0.send_frame(&frame).await.unwrap();
            }
            Step::Receive(who, told) => {
                let is_it = |frame: &Value| {
                    frame.get("re") == told.get("re") && frame.get("event") == told.get("event")
                };
                let what = format!("line {line}: {who} < {told}");
                loop {
                    let raw = self.connection(who).await;
                    let real = patience(&what, raw.0.first(is_it)).await.expect(&what);
                    let is_meant = self.present.is_meant("", told, &real);
                    assert!(
                        // Which changes are told as one depends on the pace.
                        is_meant || is_presence(&real),
                        "line {line}, in the document and here:\n{told}\n{real}"
                    );
                    if is_meant {
                        break;
                    }
                }
            }
            Step::Closed(who, code) => {
                let parted = self.connection(who).await.ending().await;
                // After a logout a TCP connection just ends.
                let is_silent =
                    self.present.app.opening().transport == Transport::Tcp && *code == 1000;
                let expected = (!is_silent).then_some(*code);
                assert_eq!(parted.code(), expected, "line {line}: {parted}");
            }
            Step::Act(act) => self.act(line, act).await,
        }
    }

    async fn act(&mut self, line: usize, act: &str) {
        match act {
            "the database goes away" => self.take_the_database_away().await,
            "the database is back, and bob-2 sends both again" => {
                self.postgres.start_again().await;
                for (nth, id) in [(5, RESENT[0]), (6, RESENT[1])] {
                    self.send_until_stored("bob-2", id, nth).await;
                }
            }
            "alice-phone reads nothing, until messages were left out" => self.flood("alice").await,
            "alice-phone gets the head of the inbox" => {
                let raw = self.connections.get_mut("alice-phone").unwrap();
                let reply = raw.reply(4).await;
                assert!(reply["ok"]["inbox"].as_u64() > Some(7), "line {line}: {reply}");
                // What still fitted before messages were left out.
                for _ in 0..raw.0.kept().count() {
                    let frame = raw.0.frame().await.unwrap();
                    let is_fine = frame["event"] == "message.new" || is_presence(&frame);
                    assert!(is_fine, "line {line}: {frame}");
                }
            }
            "alice-again is logged in" => {
                let reply = self.connections.get_mut("alice-again").unwrap().reply(1).await;
                assert_eq!(reply["ok"]["login_no"], "3", "line {line}: {reply}");
            }
            "nobody connects and says nothing" => drop(self.connection("nobody").await),
            "the server is asked to stop" => self.node.signal("TERM"),
            other => panic!("line {line}: nobody knows how to do {other:?}"),
        }
    }

    /// Stops the database, and waits until the server has noticed, on each of its connections that write.
    async fn take_the_database_away(&mut self) {
        let mut probe = self.present.app.raw("probe", "main").await;
        let peers: Vec<String> = (0..4).map(|n| format!("probe{n}")).collect();
        for peer in &peers {
            // Pairs that are opened one after the other are spread over the writers.
            self.present.app.raw(peer, "main").await;
            probe.ok("message.send", text(peer, key(), "?")).await;
        }
        self.postgres.pause().await;
        for peer in &peers {
            let send = text(peer, key(), "?");
            while probe.code("message.send", send.clone()).await != "unavailable" {}
        }
    }

    /// Does what a client does with a message that may be sent again; those who get it are checked here.
    async fn send_until_stored(&mut self, who: &str, (id, said): (&str, &str), seq: u64) {
        let send = text("alice", self.present.moved(id), said);
        let raw = self.connections.get_mut(who).unwrap();
        let stored = loop {
            let reply = patience("an ack", raw.0.call("message.send", send.clone())).await.unwrap();
            if reply.get("ok").is_some() {
                break reply;
            }
            assert_eq!(reply["error"]["code"], "unavailable", "{reply}");
        };
        assert_eq!(stored["ok"]["seq"], seq, "{stored}");
        for device in ["alice", "alice-phone"] {
            let message = self.connections.get_mut(device).unwrap().next_event("message.new").await;
            assert_eq!((&message["seq"], &message["content"]["text"]), (&json!(seq), &json!(said)));
        }
    }

    /// Sends a user more than a connection's queue and the kernel's buffers hold, while the first connection reads on.
    async fn flood(&mut self, user: &str) {
        let mut flooder = self.present.app.raw("flooder", "main").await;
        let filler = "x".repeat(30_000);
        for _ in 0..400 {
            flooder.ok("message.send", text(user, key(), &filler)).await;
            self.connections.get_mut(user).unwrap().event("message.new").await;
        }
    }

    /// Fails when a connection got something that the document does not show.
    fn assert_nothing_else_came(&self) {
        for (who, raw) in &self.connections {
            let left = raw.0.kept().filter(|frame| !is_presence(frame)).collect::<Vec<_>>();
            assert!(left.is_empty(), "{who} got what the document does not show: {left:?}");
        }
    }
}

/// How others are comes when it comes.
fn is_presence(frame: &Value) -> bool {
    frame["event"] == "presence.changed"
}

async fn play_all_by(way: (Transport, Codec)) {
    let steps = steps(DOCUMENT);
    let mut stage = Stage::set(way).await;

    for (line, step) in &steps {
        stage.play(*line, step).await;
    }

    stage.assert_nothing_else_came();
}

#[tokio::test]
async fn every_example_of_the_protocol_is_what_a_server_does() {
    play_all_by(WAYS[0]).await;
}

#[tokio::test]
async fn every_example_holds_in_msgpack() {
    play_all_by(WAYS[1]).await;
}

#[tokio::test]
async fn every_example_holds_over_tcp() {
    play_all_by(WAYS[2]).await;
}

#[tokio::test]
async fn every_example_holds_over_tcp_in_msgpack() {
    play_all_by(WAYS[3]).await;
}

/// The blocks of examples in bytes, with the line at which each begins.
fn byte_blocks(document: &str) -> Vec<(usize, Vec<&str>)> {
    let mut blocks: Vec<(usize, Vec<&str>)> = Vec::new();
    let mut is_inside = false;
    for (index, line) in document.lines().enumerate() {
        match line {
            "```bytes" => {
                is_inside = true;
                blocks.push((index + 1, Vec::new()));
            }
            "```" => is_inside = false,
            line if is_inside => blocks.last_mut().unwrap().1.push(line),
            _ => {}
        }
    }
    blocks
}

/// Bytes as the document writes them: two digits each, or ASCII in quotes.
fn bytes_of(written: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What stands between quotes has an odd place.
    for (nth, part) in written.split('\'').enumerate() {
        if nth % 2 == 1 {
            bytes.extend(part.bytes());
        } else {
            bytes.extend(
                part.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).expect(written)),
            );
        }
    }
    bytes
}

#[test]
fn the_examples_in_bytes_are_what_passes() {
    let node = Node::start();
    let blocks = byte_blocks(DOCUMENT);
    assert!(blocks.len() >= 5, "the examples are there");

    for (line, block) in blocks {
        let mut stream = TcpStream::connect(node.tcp()).unwrap();
        stream.set_read_timeout(Some(GIVE_UP_AFTER)).unwrap();
        let mut rest = block.as_slice();
        while let Some((first, more)) = rest.split_first() {
            rest = more;
            match first.split_once(' ') {
                Some((">", written)) => stream.write_all(&bytes_of(written)).unwrap(),
                Some(("<", written)) => {
                    let told = bytes_of(written);
                    let mut real = vec![0; told.len()];
                    stream.read_exact(&mut real).unwrap();
                    assert_eq!(
                        String::from_utf8_lossy(&real),
                        String::from_utf8_lossy(&told),
                        "line {line}: {real:x?}"
                    );
                }
                _ if *first == "closed" => assert_eq!(stream.read(&mut [0]).unwrap(), 0),
                // A command in JSON, and the same in MessagePack.
                _ => {
                    let (written, more) = rest.split_first().unwrap();
                    let msgpack = Codec::MessagePack.decode(&bytes_of(written)).unwrap();
                    assert_eq!(Codec::Json.decode(first.as_bytes()).unwrap(), msgpack);
                    rest = more;
                }
            }
        }
    }
}

#[test]
fn every_command_event_and_close_code_has_an_example() {
    let mut shown = BTreeSet::new();
    for (_, step) in steps(DOCUMENT) {
        match step {
            Step::Send(_, frame) => drop(shown.insert(frame["cmd"].as_str().unwrap().to_owned())),
            Step::Receive(_, frame) => {
                shown.extend(frame["event"].as_str().map(str::to_owned));
                shown.extend(frame["error"]["code"].as_str().map(str::to_owned));
            }
            Step::Closed(..) | Step::Act(_) => {}
        }
    }

    for name in [
        "login",
        "logout",
        "ping",
        "sync",
        "message.send",
        "message.received",
        "message.read",
        "message.inbox",
        "message.history",
        "conversation.list",
        "group.create",
        "group.get",
        "group.list",
        "group.update",
        "group.members",
        "group.invite",
        "group.join",
        "group.leave",
        "group.remove",
        "group.dissolve",
        "group.changed",
        "token.renew",
        "token.expiring",
        "device.list",
        "device.kick",
        "friend.add",
        "friend.remove",
        "friend.list",
        "friend.changed",
        "presence.set",
        "presence.get",
        "presence.watch",
        "presence.unwatch",
        "presence.changed",
        "not_a_member",
        "forbidden",
        "conflict",
        "message.new",
        "message.delivered",
        "sync.needed",
        "session.kicked",
        "session.draining",
        "session.closing",
        "bad_request",
        "unknown_command",
        "not_logged_in",
        "bad_token",
        "token_expired",
        "not_found",
        "key_reused",
        "stale_key",
        "clock_ahead",
        "order_broken",
        "unavailable",
    ] {
        assert!(shown.contains(name), "{name}");
    }
}
