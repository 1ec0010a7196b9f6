//! The conversation by hand in the README, frame by frame, as the tool that it names sends and gets them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;

use common::GIVE_UP_AFTER;
use common::chat::{App, key, text};
use common::frames::{LAST, TEXT, frame, read_frame};
use common::node::Node;
use common::told::is_meant;
use serde_json::{Value, json};

/// The line with which the tool is started; what follows it is typed or comes back.
const BEGINNING: &str = "$ websocat --protocol rookery.v1.json ws://127.0.0.1:8800/v1/ws";
/// The lines of the README's transcript, the tool's own line left out.
fn transcript() -> Vec<String> {
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let block = readme.split(BEGINNING).nth(1).expect("the transcript is there");
    let lines = block.split("```").next().unwrap().trim().lines();
    lines.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_conversation_by_hand_in_the_readme_is_what_passes() {
    let node = Node::start();
    let app = App::of(&node);
    let mut bob = app.raw("bob", "main").await;
    let mut stream = TcpStream::connect(node.http()).unwrap();
    stream.set_read_timeout(Some(GIVE_UP_AFTER)).unwrap();
    let upgrade = "GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1:8800\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: rookery.v1.json\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(upgrade.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));

    for line in transcript() {
        let mut told: Value = serde_json::from_str(&line).expect(&line);
        if let Some(cmd) = told["cmd"].as_str() {
            match cmd {
                "login" => told["body"]["token"] = json!(app.token("alice")),
                "message.send" => told["body"]["client_msg_id"] = json!(key()),
                _ => {}
            }
            stream.write_all(&frame(LAST | TEXT, told.to_string().as_bytes())).unwrap();
            continue;
        }
        // What bob's own client does.
        if told["event"] == "message.delivered" {
            let got = bob.event("message.new").await;
            let upto = json!({"conversation": got["conversation"], "seq": got["seq"]});
            bob.ok("message.received", upto).await;
        } else if told["event"] == "message.new" {
            let said = told["body"]["content"]["text"].as_str().unwrap();
            bob.ok("message.send", text("alice", key(), said)).await;
        }
        let (opcode, payload) = read_frame(&mut stream).expect(&line);
        assert_eq!(opcode, TEXT);
        let real: Value = serde_json::from_slice(&payload).unwrap();
        assert!(is_meant(&told, &real), "in the README and here:\n{line}\n{real}");
    }
}
