//! Groups, as their members and those who are not see them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should end"
)]

mod common;

use common::chat::{App, key};
use common::node::Node;
use serde_json::{Value, json};

fn say(group: &str, text: &str) -> Value {
    let content = json!({"type": "text", "text": text});
    json!({"to": format!("group:{group}"), "client_msg_id": key(), "content": content})
}

async fn created(raw: &mut common::chat::Raw, group: &str, kind: &str, members: &[&str]) {
    let body = json!({"group": group, "kind": kind, "name": "Team", "members": members});
    let made = raw.ok("group.create", body).await;
    assert_eq!(made, json!({"group": group, "conversation": format!("group:{group}")}));
}

#[tokio::test]
async fn members_see_one_log_with_its_notices() {
    let node = Node::start();
    let app = App::of(&node);
    let mut bob = app.raw("bob", "b").await;
    let mut alice = app.raw("alice", "a").await;

    created(&mut alice, "eng", "work", &["bob"]).await;
    let notice = bob.event("message.new").await;
    assert_eq!((&notice["conversation"], &notice["seq"]), (&json!("group:eng"), &json!(1)));
    assert_eq!(notice["content"]["action"], "created");
    assert_eq!(notice["content"]["users"], json!(["alice", "bob"]));
    let sent = alice.ok("message.send", say("eng", "hello")).await;
    assert_eq!((&sent["seq"], &sent["duplicate"]), (&json!(2), &json!(false)));
    assert!(sent.get("inbox").is_none(), "{sent}");

    let pushed = bob.event("message.new").await;
    assert_eq!((&pushed["seq"], &pushed["content"]["text"]), (&json!(2), &json!("hello")));
    let page = bob.ok("message.history", json!({"conversation": "group:eng"})).await;
    assert_eq!((&page["head"], &page["min_seq"]), (&json!(2), &json!(1)));
    assert_eq!(page["messages"][1], pushed);
}
