//! An app's backend sends over REST while the server is killed under it.
//!
//! Afterwards every message that it was told is stored is there, once, at its seq, in the order in which it was sent.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::chat::key;
use common::eventually;
use common::node::{Node, Options, data_folder};
use common::rest::Backend;
use serde_json::{Value, json};

const KILLS: usize = 5;
/// Acks between two kills: the server has recovered and works again.
const ACKS_BETWEEN: u64 = 150;
/// The time between two tries of what could not be done just now.
const AGAIN_AFTER: Duration = Duration::from_millis(5);

/// Who sends, and where to; several at once send the same way.
const WAYS: [(Option<&str>, &str); 6] = [
    (None, "user:bob"),
    (None, "user:bob"),
    (Some("alice"), "user:bob"),
    (None, "group:eng"),
    (Some("alice"), "group:eng"),
    (Some("alice"), "group:eng"),
];

/// What is going on: how much was acked, and when it is enough.
#[derive(Default)]
struct Talk {
    stop: AtomicBool,
    acked: AtomicU64,
}

impl Talk {
    /// Waits for so many more acks.
    fn acks(&self, more: u64) {
        let goal = self.acked.load(Ordering::SeqCst) + more;
        eventually("acks", || (self.acked.load(Ordering::SeqCst) >= goal).then_some(()));
    }

    /// Sends one message after another, each again and again until it is acked; what was said, with its seq.
    fn join_in(&self, backend: &Backend, sender: usize) -> Vec<(String, u64)> {
        let (from, to) = WAYS[sender];
        let mut said = Vec::new();
        while !self.stop.load(Ordering::SeqCst) {
            let text = format!("{sender}:{}", said.len());
            let content = json!({"type": "text", "text": text});
            let mut body = json!({"to": to, "content": content, "client_msg_id": key()});
            if let Some(from) = from {
                body["from"] = json!(from);
            }
            let seq = loop {
                match backend.try_post("/messages", &body) {
                    Some(answer) if [200, 201].contains(&answer.status) => {
                        break answer.json()["seq"].as_u64().unwrap();
                    }
                    // Not now: it may be stored or not, and the same again finds out.
                    Some(answer) => assert_eq!(answer.status, 503, "{answer:?}"),
                    None => {}
                }
                std::thread::park_timeout(AGAIN_AFTER);
            };
            self.acked.fetch_add(1, Ordering::SeqCst);
            said.push((text, seq));
        }
        said
    }
}

/// A whole log, by what was said; each was said once.
fn log_of(backend: &Backend, path: &str) -> HashMap<String, u64> {
    let mut log = HashMap::new();
    let mut after = 0;
    loop {
        let page = backend.get(&format!("{path}?after={after}&limit=200")).done(200);
        for message in page["messages"].as_array().unwrap() {
            let seq = message["seq"].as_u64().unwrap();
            assert_eq!(seq, after + 1, "a hole before {message}");
            after = seq;
            let text = message["content"]["text"].as_str();
            if let Some(text) = text {
                assert_eq!(log.insert(text.to_owned(), seq), None, "{text} is there twice");
            }
        }
        if page["has_more"] == Value::Bool(false) {
            return log;
        }
    }
}

#[test]
fn what_a_backend_was_told_is_stored_survives_kills_of_the_server_and_is_there_once() {
    let folder = data_folder();
    let mut node = Node::start_in(folder.path(), Options::default());
    let port = node.http().port().to_string();
    let backend = Backend::of(&node);
    for user in ["alice", "bob"] {
        let made = backend.post("/users", &json!({"user": user}));
        assert!([200, 201].contains(&made.status), "{made:?}");
    }
    let group = json!({"group": "eng", "kind": "work", "name": "Team", "owner": "alice"});
    backend.post("/groups", &group).done(201);
    let talk = Talk::default();

    let said: Vec<Vec<(String, u64)>> = std::thread::scope(|scope| {
        let sender = |sender| {
            let (talk, backend) = (&talk, &backend);
            scope.spawn(move || talk.join_in(backend, sender))
        };
        let senders: Vec<_> = (0..WAYS.len()).map(sender).collect();
        for _ in 0..KILLS {
            talk.acks(ACKS_BETWEEN);
            node.kill();
            let again = Options::default().env("ROOKERY__HTTP__PORT", &port);
            node = Node::start_in(folder.path(), again);
        }
        talk.acks(ACKS_BETWEEN);
        talk.stop.store(true, Ordering::SeqCst);
        senders.into_iter().map(|sender| sender.join().unwrap()).collect()
    });

    let of_group = log_of(&backend, "/groups/eng/messages");
    let of_system = log_of(&backend, "/users/bob/conversations/user:system/messages");
    let of_alice = log_of(&backend, "/users/bob/conversations/user:alice/messages");
    for ((from, to), said) in WAYS.into_iter().zip(&said) {
        let log = match (from, to) {
            (_, "group:eng") => &of_group,
            (None, _) => &of_system,
            (Some(_), _) => &of_alice,
        };
        for (text, seq) in said {
            assert_eq!(log.get(text), Some(seq), "{text} was acked at {seq}");
        }
        assert!(said.is_sorted_by_key(|(_, seq)| *seq), "in the order in which they were said");
    }
    let acked: usize = said.iter().map(Vec::len).sum();
    assert_eq!(
        of_group.len() + of_system.len() + of_alice.len(),
        acked,
        "nothing but what was acked"
    );
}
