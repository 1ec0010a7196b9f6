//! Connections that do not behave: thousands that say nothing, too many, too slow, half closed, and those that are open
//! when the server stops.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::chat::{App, Raw, WAYS, key, patience, text};
use common::node::{Node, Options};
use common::{eventually, get, resident_kib};
use rookery::client::Client;
use rookery::client::raw::{OpenError, Opening, Parted, Transport};
use rookery::limits;
use rookery::protocol::codec::Codec;
use rookery::store::child::raise_open_files;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Sockets that say nothing, at once.
const SILENT: usize = 10_000;
/// Connections that are being opened at once: fewer than may wait to be accepted.
const OPENING: usize = 256;
/// How much the server may have grown once they are gone, in KiB.
const GROWTH_KIB: u64 = 24 * 1024;

const UPGRADE: &str = "GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Sockets that are being opened, and those that are open.
struct Crowd {
    opening: Semaphore,
    open: AtomicUsize,
}

/// Opens a connection, says this and nothing more; what the server has said once it has closed its half.
async fn says_only(address: SocketAddr, said: &'static str, crowd: Arc<Crowd>) -> Vec<u8> {
    let permit = crowd.opening.acquire().await.unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(said.as_bytes()).await.unwrap();
    crowd.open.fetch_add(1, Ordering::Relaxed);
    drop(permit);
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await.unwrap();
    crowd.open.fetch_sub(1, Ordering::Relaxed);
    heard
}

/// What a gauge of the server stands at.
fn gauge(node: &Node, name: &str) -> usize {
    let (_, metrics) = get(node.inside(), "/metrics").unwrap();
    let line = metrics.lines().find(|line| line.split(' ').next() == Some(name));
    line.and_then(|line| line.rsplit(' ').next()).map_or(0, |count| count.parse().unwrap())
}

fn sessions(node: &Node) -> usize {
    gauge(node, "rookery_sessions")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_sockets_that_say_nothing_are_closed_and_their_memory_comes_back() {
    let limit = raise_open_files().unwrap();
    assert!(limit > SILENT as u64 + 500, "a process may open {limit} files here, which is too few");
    // As many as come, however fast.
    let arrivals = ["PER_S", "BURST", "PER_ADDRESS_S"];
    let options = arrivals.iter().fold(Options::default(), |options, which| {
        options.env(&format!("ROOKERY__LIMITS__ARRIVALS_{which}"), "1000000")
    });
    let node = Node::start_with(options);
    let app = App::of(&node);
    let (mut alice, mut bob) = (app.raw("alice", "main").await, app.raw("bob", "main").await);
    let before = resident_kib(&node);

    for (what, address, said, answer) in [
        ("WebSocket", node.http(), UPGRADE, r#""code":4004"#),
        ("TCP, in JSON", node.tcp(), "j", r#""code":4004"#),
        ("TCP, without a codec", node.tcp(), "", r#""code":4004"#),
        ("HTTP, without a request", node.http(), "", " 408 "),
    ] {
        let crowd = Crowd { opening: Semaphore::new(OPENING), open: AtomicUsize::new(0) };
        let crowd = Arc::new(crowd);
        let silent: Vec<_> =
            (0..SILENT).map(|_| tokio::spawn(says_only(address, said, crowd.clone()))).collect();
        // Those who speak are served meanwhile.
        let (mut most, mut resident) = (0, before);
        while silent.iter().any(|socket| !socket.is_finished()) {
            bob.ok("ping", json!({})).await;
            alice.ok("message.send", text("bob", key(), "still here?")).await;
            bob.event("message.new").await;
            let open = crowd.open.load(Ordering::Relaxed);
            if open >= most {
                (most, resident) = (open, resident_kib(&node));
            }
        }
        for socket in silent {
            let heard = String::from_utf8_lossy(&socket.await.unwrap()).into_owned();
            assert!(heard.contains(answer), "{what}: {heard}");
        }
        eventually("the sessions are gone", || (sessions(&node) == 2).then_some(()));
        // Given back a moment later.
        let after = eventually("the memory comes back", || {
            Some(resident_kib(&node)).filter(|now| *now <= before + GROWTH_KIB)
        });
        println!(
            "{what}: resident {before} KiB before, {resident} KiB with {most} connections ({} bytes each), {after} KiB \
             once they were closed",
            (resident - before.min(resident)) * 1024 / most.max(1) as u64
        );
    }
}

#[tokio::test]
async fn connections_beyond_the_bound_are_turned_away_and_find_room_when_others_go() {
    let node = Node::start_with(Options::default().env("ROOKERY__LIMITS__CONNECTIONS", "4"));
    let app = App::of(&node);
    let mut open = Vec::new();
    for (nth, way) in WAYS.into_iter().enumerate() {
        open.push(app.by(way).raw("alice", &format!("d{nth}")).await);
    }

    let refused = rookery::client::raw::Connection::open(app.address()).await;
    assert!(matches!(refused, Err(OpenError::Refused { status: 503, .. })), "{refused:?}");
    let mut stream = TcpStream::connect(node.tcp()).await.unwrap();
    let mut heard = Vec::new();
    patience("the end", stream.read_to_end(&mut heard)).await.unwrap();
    let told: Value = serde_json::from_slice(&heard[4..]).unwrap();
    assert_eq!(told["error"]["code"], "busy", "{told}");

    open.pop().unwrap().0.close().await.unwrap();
    eventually("a connection has gone", || (sessions(&node) == 3).then_some(()));
    // Its place is free when its task has ended, a moment after its session.
    patience("a place", async {
        while rookery::client::raw::Connection::open(app.address()).await.is_err() {}
    })
    .await;
    for mut raw in open {
        raw.ok("ping", json!({})).await;
    }
}

#[tokio::test]
async fn who_comes_when_too_many_came_at_once_is_told_when_to_come_again() {
    const BURST: usize = 3;
    let options = Options::default()
        .env("ROOKERY__LIMITS__ARRIVALS_PER_S", "1")
        .env("ROOKERY__LIMITS__ARRIVALS_BURST", &BURST.to_string());
    let node = Node::start_with(options);
    let app = App::of(&node);
    let mut alice = app.raw("alice", "main").await;

    let (mut waits, mut taken) = (Vec::new(), 0);
    // One a second comes in meanwhile.
    while waits.len() < 10 {
        let mut stream = TcpStream::connect(node.http()).await.unwrap();
        stream.write_all(UPGRADE.as_bytes()).await.unwrap();
        let mut heard = vec![0; 512];
        let bytes = patience("an answer", stream.read(&mut heard)).await.unwrap();
        let answer = String::from_utf8_lossy(&heard[..bytes]).into_owned();
        if answer.starts_with("HTTP/1.1 101") {
            taken += 1;
            continue;
        }
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        let after = answer.lines().find_map(|line| line.strip_prefix("retry-after: "));
        waits.push(after.unwrap().parse::<u64>().unwrap());
    }

    assert!(taken + 1 >= BURST, "{taken} came in before the first was turned away");
    assert!(waits.iter().all(|wait| (1..=20).contains(wait)), "{waits:?}");
    assert!(waits.iter().any(|wait| *wait != waits[0]), "all would come back at once: {waits:?}");
    // Over TCP it is said in a frame. One a second comes in there, too.
    let told = loop {
        let mut stream = TcpStream::connect(node.tcp()).await.unwrap();
        let mut heard = vec![0; 512];
        let reading = tokio::time::timeout(Duration::from_millis(500), stream.read(&mut heard));
        // Nothing is said to whoever is taken.
        let Ok(bytes) = reading.await else { continue };
        break serde_json::from_slice::<Value>(&heard[4..bytes.unwrap()]).unwrap();
    };
    assert_eq!(told["error"]["code"], "busy", "{told}");
    assert!(told["error"]["retry_after_ms"].as_u64().unwrap() > 0, "{told}");
    // Those who are in are not hindered.
    alice.ok("ping", json!({})).await;
}

#[tokio::test]
async fn a_client_that_is_turned_away_comes_again_when_it_was_told() {
    // By itself it would not come again in the time of this test.
    const OWN_WAIT: Duration = Duration::from_secs(3_600);
    let options = Options::default()
        .env("ROOKERY__LIMITS__ARRIVALS_PER_S", "1")
        .env("ROOKERY__LIMITS__ARRIVALS_BURST", "1");
    let node = Node::start_with(options);
    let app = App::of(&node);

    for (transport, address) in [(Transport::WebSocket, node.http()), (Transport::Tcp, node.tcp())]
    {
        let mut options = app.options("alice", "main");
        (options.transport, options.address) = (transport, address.to_string());
        options.backoff = (OWN_WAIT, OWN_WAIT);
        // Whoever comes right behind one that was turned away is turned away, too.
        while rookery::client::raw::Connection::open(app.address()).await.is_ok() {}
        let (client, _updates) = Client::start(options);

        patience(&format!("the client is in by {transport:?}"), client.online()).await.unwrap();
    }
}

/// Opens a TCP connection, writes this, and reads until the server has closed its half.
async fn answer_to(node: &Node, writes: &[&[u8]]) -> String {
    let mut stream = TcpStream::connect(node.tcp()).await.unwrap();
    for bytes in writes {
        stream.write_all(bytes).await.unwrap();
    }
    let mut heard = Vec::new();
    patience("the end of a connection", stream.read_to_end(&mut heard)).await.unwrap();
    String::from_utf8_lossy(&heard).into_owned()
}

#[tokio::test]
async fn a_tcp_client_that_breaks_the_framing_is_told_and_closed() {
    let node = Node::start();
    let before = resident_kib(&node);

    for first in 0..=255u8 {
        if first != b'j' && first != b'm' {
            let heard = answer_to(&node, &[&[first]]).await;
            assert!(heard.contains(r#""code":4504"#), "{first}: {heard}");
        }
    }
    // Bytes of other protocols, which go on talking.
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(10_000);
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &hello, b"SSH-2.0-x\r\n", b"\0\0\0\x02{}"] {
        let mut stream = TcpStream::connect(node.tcp()).await.unwrap();
        // The server may have closed before all was written.
        let _ = stream.write_all(bytes).await;
        let mut heard = Vec::new();
        let _ = patience("the end", stream.read_to_end(&mut heard)).await;
        assert!(heard.windows(4).any(|part| part == b"4504"), "{heard:?}");
    }
    // Four gigabytes are announced, by many, and nothing comes.
    let mut announcing = Vec::new();
    for _ in 0..100 {
        announcing.push(answer_to(&node, &[b"j", b"\xff\xff\xff\xff"]).await);
        announcing.push(answer_to(&node, &[b"j\x00\x01\x00\x01"]).await);
    }
    assert!(announcing.iter().all(|heard| heard.contains(r#""code":1009"#)), "{announcing:?}");
    let in_msgpack = answer_to(&node, &[b"m\xff\xff\xff\xff"]).await;
    assert!(in_msgpack.contains("session.closing") && in_msgpack.contains("too large"));
    // As many announced as may be: memory is taken as bytes come.
    let mut waiting = Vec::new();
    for _ in 0..1000 {
        let mut stream = TcpStream::connect(node.tcp()).await.unwrap();
        stream.write_all(b"j\x00\x01\x00\x00").await.unwrap();
        waiting.push(stream);
    }
    let after = resident_kib(&node);
    println!("resident {before} KiB before, {after} KiB after");
    assert!(after <= before + GROWTH_KIB, "{before} KiB before, {after} KiB after");
}

#[tokio::test]
async fn a_tcp_client_that_sends_a_byte_a_second_is_closed_by_the_login_bound() {
    let node = Node::start();
    let command = b"j\x00\x00\x00\x15{\"id\":7,\"cmd\":\"ping\"}";
    let (mut reader, mut writer) = TcpStream::connect(node.tcp()).await.unwrap().into_split();
    let writing = tokio::spawn(async move {
        let mut due = tokio::time::interval(Duration::from_secs(1));
        for byte in command {
            due.tick().await;
            if writer.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
        writer
    });

    let mut heard = Vec::new();
    patience("the end", reader.read_to_end(&mut heard)).await.unwrap();

    let heard = String::from_utf8_lossy(&heard).into_owned();
    assert!(heard.contains(r#""code":4004"#) && !heard.contains("\"re\""), "{heard}");
    writing.abort();
}

/// Drips a frame that never ends, after what was written before.
async fn drip(mut raw: Raw) -> Parted {
    raw.0.write_bytes(b"\x00\x00\xff\xff").await.unwrap();
    let mut due = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            parted = raw.0.ending() => return parted,
            _ = due.tick() => {
                // Fails when the server has closed, which the other branch finds.
                let _ = raw.0.write_bytes(b"x").await;
            }
        }
    }
}

#[tokio::test]
async fn a_part_of_a_frame_is_no_sign_of_life() {
    let node = Node::start();
    let app = App::of(&node);
    let [json, msgpack] = Codec::ALL.map(|codec| app.by((Transport::Tcp, codec)));
    let (json, msgpack) = (json.raw("alice", "a").await, msgpack.raw("bob", "b").await);

    let (json, msgpack) =
        patience("the end of both", futures_util::future::join(drip(json), drip(msgpack))).await;

    assert_eq!((json.code(), msgpack.code()), (Some(4003), Some(4003)));
}

#[tokio::test]
async fn a_client_that_closes_its_half_is_gone_and_one_that_sends_half_a_frame_too() {
    let node = Node::start();
    let app = App::of(&node);
    for way in WAYS.into_iter().filter(|(transport, _)| *transport == Transport::Tcp) {
        for part in [&b""[..], b"\x00", b"\x00\x00\x00\x15{\"id\""] {
            let mut raw = app.by(way).raw("alice", "half").await;
            raw.0.write_bytes(part).await.unwrap();
            raw.0.close().await.unwrap();
        }
    }

    eventually("the sessions are gone", || (sessions(&node) == 0).then_some(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tcp_a_reader_that_stops_is_told_to_sync_closed_and_costs_nobody_anything() {
    let node = Node::start();
    let app = App::of(&node);
    let mut filler = app.raw("filler", "main").await;
    let before = resident_kib(&node);
    let large = "x".repeat(30_000);
    for codec in Codec::ALL {
        let narrow = Opening { receive_buffer: Some(4096), ..Opening::by(Transport::Tcp, codec) };
        let mut raw = app.connect_with(&narrow).await;
        raw.ok("login", app.login("sleeper", "stuck")).await;
        for _ in 0..300 {
            filler.ok("message.send", text("sleeper", key(), &large)).await;
        }
        patience("the sleeper is closed", async {
            while sessions(&node) > 1 {
                filler.ok("ping", json!({})).await;
            }
        })
        .await;
        let parted = raw.ending().await;
        assert!(matches!(parted.code(), Some(4002) | None), "{parted}");
    }
    let after = resident_kib(&node);
    assert!(after <= before + GROWTH_KIB, "{before} KiB before, {after} KiB after");
}

#[tokio::test]
async fn a_server_that_stops_tells_every_connection_whichever_way_it_came() {
    let mut node = Node::start();
    let app = App::of(&node);
    let mut all = Vec::new();
    for way in WAYS {
        all.push(
            app.by(way)
                .raw("alice", &format!("{way:?}").replace(|c: char| !c.is_alphanumeric(), ""))
                .await,
        );
        // One that has not logged in.
        all.push(app.by(way).connect().await);
    }
    let tcp = node.tcp();

    node.signal("TERM");

    for mut raw in all {
        let told = raw.event("session.draining").await;
        assert!(told["reconnect_after_ms"].is_u64(), "{told}");
        assert_eq!(raw.closed().await, 4001);
    }
    assert_eq!(node.await_end().code(), Some(0));
    assert!(TcpStream::connect(tcp).await.is_err());
}

#[tokio::test]
async fn who_talks_in_a_group_sees_the_same_whichever_way_they_came() {
    let node = Node::start();
    let app = App::of(&node);
    let names = ["alice", "bob", "carol", "dave"];
    let mut all = Vec::new();
    for (name, way) in names.into_iter().zip(WAYS) {
        all.push(app.by(way).raw(name, "main").await);
    }
    let group = json!({"group": "eng", "kind": "work", "name": "Eng\u{20ac}", "members": names});
    all[0].ok("group.create", group).await;
    let mut seen = vec![Vec::new(); names.len()];

    for (speaker, name) in names.into_iter().enumerate() {
        let content = json!({"type": "text", "text": format!("{name} \u{1f426}\0")});
        let send = json!({"to": "group:eng", "client_msg_id": key(), "content": content});
        let sent = all[speaker].ok("message.send", send).await;
        for (nth, raw) in all.iter_mut().enumerate().filter(|(nth, _)| *nth != speaker) {
            let entry = loop {
                let entry = raw.event("message.new").await;
                if entry["content"]["type"] == "text" {
                    break entry;
                }
            };
            assert_eq!((&entry["seq"], &entry["from"]), (&sent["seq"], &json!(name)));
            seen[nth].push(entry);
        }
    }

    let mut histories = Vec::new();
    for raw in &mut all {
        let page = raw.ok("message.history", json!({"conversation": "group:eng"})).await;
        histories.push(page["messages"].as_array().unwrap().clone());
    }
    for (history, seen) in histories.iter().zip(&seen) {
        assert_eq!(history, &histories[0]);
        assert!(seen.iter().all(|entry| history.contains(entry)), "{seen:?}");
    }
}

#[tokio::test]
async fn small_frames_leave_at_once_over_tcp() {
    let node = Node::start();
    let app = App::of(&node);
    for codec in Codec::ALL {
        let mut raw = app.by((Transport::Tcp, codec)).raw("alice", "main").await;
        let mut ids = Vec::new();
        for _ in 0..limits::IN_FLIGHT * 10 {
            ids.push(raw.0.submit("ping", json!({})).await.unwrap());
        }
        for id in ids {
            assert!(raw.reply(id).await.get("ok").is_some());
        }
    }
}
