//! The session of REST in the README, replayed by the shell, up to the messages in alice's browser.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::process::Command;

use common::chat::App;
use common::node::Node;
use common::rest::key;
use common::told::is_meant;
use serde_json::{Value, json};

/// The line that names server and key.
const BEGINNING: &str = "$ API=http://127.0.0.1:8800/api/v1 KEY='Authorization: Bearer rk_…' ";

/// The commands of the session, each with what it prints.
fn session() -> (String, Vec<(String, Value)>) {
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let block = readme.split(BEGINNING).nth(1).expect("the session is there");
    let mut lines = block.split("```").next().unwrap().trim().lines();
    let rest_of_beginning = lines.next().unwrap().to_owned();
    let lines: Vec<&str> = lines.collect();
    let asked = lines.chunks(2).map(|pair| {
        let command = pair[0].strip_prefix("$ ").unwrap().to_owned();
        (command, serde_json::from_str(pair[1]).unwrap())
    });
    (rest_of_beginning, asked.collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_session_of_rest_in_the_readme_ends_in_alice_s_browser() {
    let node = Node::start();
    let app = App::of(&node);
    let mut alice = app.raw("alice", "tab").await;
    let (rest_of_beginning, asked) = session();
    let key = key(&node, &[]);
    let beginning = format!(
        "API=http://{}/api/v1 KEY='Authorization: Bearer {key}' {rest_of_beginning}",
        node.http()
    );
    assert_eq!(asked.iter().filter(|(command, _)| command.starts_with("curl ")).count(), 5);

    for (command, told) in asked {
        let script = format!("{beginning}\n{command} --silent --show-error --fail-with-body");
        let ran = Command::new("sh").args(["-c", &script]).output().unwrap();
        let printed = String::from_utf8(ran.stdout).unwrap();
        assert!(ran.status.success(), "{command}\n{printed}");
        let real = serde_json::from_str(&printed).unwrap();
        assert!(is_meant(&told, &real), "{command}\ntold {told}\nreal {real}");
    }

    let mut texts = Vec::new();
    while texts.len() < 2 {
        let message = alice.event("message.new").await;
        if message["content"]["type"] == "text" {
            texts.push([message["from"].clone(), message["content"]["text"].clone()]);
        }
    }
    let told = [["system", "Your order is on its way"], ["carol", "Welcome aboard"]];
    assert_eq!(json!(texts), json!(told));
}
