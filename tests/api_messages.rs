//! Messages that an app's backend sends over REST: as the app itself, and for its users.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use common::chat::{App, Raw, key, key_minted_in, text};
use common::groups::{create, to_group, whole_log};
use common::node::Node;
use common::rest::Backend;
use rookery::limits;
use serde_json::{Value, json};

const TWO_WEEKS_MS: i64 = 14 * 86_400_000;

fn say(to: &str, text: &str) -> Value {
    json!({"to": to, "content": {"type": "text", "text": text}})
}

/// The same with another field.
fn and(mut body: Value, field: &str, value: impl Into<Value>) -> Value {
    body[field] = value.into();
    body
}

/// Users who are there, some of them as the demo's, and not logged in.
fn with_users(backend: &Backend, users: &[&str]) {
    for user in users {
        let made = backend.post("/users", &json!({"user": user}));
        assert!([200, 201].contains(&made.status), "{made:?}");
    }
}

/// What a log says: who, and what.
fn said(page: &Value) -> Vec<(String, String)> {
    let messages = page["messages"].as_array().unwrap().iter();
    let of = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    messages.map(|it| (of(&it["from"]), of(&it["content"]["text"]))).collect()
}

fn lines(lines: &[(&str, &str)]) -> Vec<(String, String)> {
    lines.iter().map(|(from, text)| ((*from).to_owned(), (*text).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_app_sends_to_one_who_is_away_is_there_when_they_come() {
    let node = Node::start();
    let (app, backend) = (App::of(&node), Backend::of(&node));
    with_users(&backend, &["bob"]);

    let sent = backend.post("/messages", &say("user:bob", "your parcel is here")).done(201);
    let second = backend.post("/messages", &say("user:bob", "it waits")).done(201);

    assert_eq!((&sent["conversation"], &sent["seq"]), (&json!("user:bob"), &json!(1)));
    assert_eq!((&second["seq"], &second["duplicate"]), (&json!(2), &json!(false)));
    assert_eq!(backend.get("/users/bob").done(200)["online"], false, "a message is no presence");
    assert_eq!(backend.get("/users/system").done(200)["online"], false);
    let mut bob = app.raw("bob", "phone").await;
    let page = bob.ok("message.inbox", json!({"after": 0})).await;
    assert_eq!(said(&page), lines(&[("system", "your parcel is here"), ("system", "it waits")]));
    assert_eq!(page["messages"][0]["conversation"], "user:system");
    assert_eq!(page["messages"][0]["message_id"], sent["message_id"]);
    let list = bob.ok("conversation.list", json!({})).await;
    assert_eq!(list["conversations"][0]["unread"], 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_app_sends_to_one_who_is_there_is_pushed_and_can_be_answered() {
    let node = Node::start();
    let (app, backend) = (App::of(&node), Backend::of(&node));
    let mut bob = app.raw("bob", "phone").await;

    backend.post("/messages", &say("user:bob", "how was it?")).done(201);

    assert_eq!(bob.event("message.new").await["content"]["text"], "how was it?");
    bob.ok("message.send", text("system", key(), "fine")).await;
    let log = backend.get("/users/system/conversations/user:bob/messages").done(200);
    assert_eq!(said(&log), lines(&[("system", "how was it?"), ("bob", "fine")]));
    assert_eq!(backend.get("/users/bob/conversations/user:system/messages").done(200)["head"], 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_for_a_user_reaches_the_other_side_and_all_devices_of_the_user() {
    let node = Node::start();
    let (app, backend) = (App::of(&node), Backend::of(&node));
    let mut bob = app.raw("bob", "phone").await;
    let mut alice = [app.raw("alice", "one").await, app.raw("alice", "two").await];

    let for_alice = and(say("user:bob", "from the shop's page"), "from", "alice");
    let sent = backend.post("/messages", &for_alice).done(201);

    let pushed = bob.event("message.new").await;
    assert_eq!((&pushed["from"], &pushed["conversation"]), (&json!("alice"), &json!("user:alice")));
    for device in &mut alice {
        let pushed = device.event("message.new").await;
        assert_eq!((&pushed["seq"], &pushed["message_id"]), (&sent["seq"], &sent["message_id"]));
    }
    let own = alice[0].ok("message.send", text("bob", key(), "and from the phone")).await;
    assert_eq!(own["seq"], 2, "one log, whichever way it came");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_speaks_in_every_group_and_its_users_in_their_own() {
    let node = Node::start();
    let (app, backend) = (App::of(&node), Backend::of(&node));
    with_users(&backend, &["carol"]);
    let mut bob = app.raw("bob", "phone").await;
    let mut alice = app.raw("alice", "tab").await;
    create(&mut alice, "eng", "work", &["bob"]).await;
    for member in [&mut alice, &mut bob] {
        assert_eq!(member.event("message.new").await["content"]["action"], "created");
    }

    let sent = backend.post("/messages", &say("group:eng", "the server room is on fire")).done(201);
    let for_bob = and(say("group:eng", "on my way"), "from", "bob");
    let by_bob = backend.post("/messages", &for_bob).done(201);
    let for_carol = and(say("group:eng", "let me in"), "from", "carol");
    backend.post("/messages", &for_carol).refused(404, "not_found");

    assert_eq!((&sent["seq"], &by_bob["seq"]), (&json!(2), &json!(3)));
    for member in [&mut alice, &mut bob] {
        assert_eq!(member.event("message.new").await["from"], "system");
        assert_eq!(member.event("message.new").await["from"], "bob");
    }
    assert_eq!(unread(&mut alice, "group:eng").await, 2);
    assert_eq!(unread(&mut bob, "group:eng").await, 1, "one's own is not unread");
    let members = backend.get("/groups/eng/members").done(200);
    assert_eq!(members["members"].as_array().unwrap().len(), 2, "who speaks does not join");
}

async fn unread(of: &mut Raw, conversation: &str) -> Value {
    let list = of.ok("conversation.list", json!({})).await;
    let rows = list["conversations"].as_array().unwrap();
    rows.iter().find(|row| row["conversation"] == conversation).unwrap()["unread"].clone()
}

#[test]
fn a_message_that_comes_again_is_stored_once_and_answered_as_the_first_was() {
    let node = Node::start();
    let backend = Backend::of(&node);
    with_users(&backend, &["bob"]);
    let body = and(say("user:bob", "once"), "client_msg_id", key().to_string());

    let first = backend.post("/messages", &body);
    let again = backend.post("/messages", &body).done(200);

    let stored = first.done(201);
    assert_eq!(again, and(stored.clone(), "duplicate", true));
    let other = and(body.clone(), "content", json!({"type": "text", "text": "twice"}));
    assert_eq!(backend.post("/messages", &other).refused(422, "key_reused"), "client_msg_id");
    let place = first.header("location").strip_prefix("/api/v1").unwrap();
    let there = backend.get(place).done(200);
    assert_eq!(there["messages"][0]["message_id"], stored["message_id"]);
    assert_eq!(there["head"], 1);
}

#[test]
fn a_message_under_an_idempotency_key_is_stored_once() {
    let node = Node::start();
    let backend = Backend::of(&node);
    with_users(&backend, &["bob"]);
    let keyed = backend.header("Idempotency-Key", "parcel-7");

    let first = keyed.post("/messages", &say("user:bob", "once")).done(201);
    let again = keyed.post("/messages", &say("user:bob", "once")).done(200);

    assert_eq!(again["message_id"], first["message_id"]);
    assert_eq!(again["client_msg_id"], first["client_msg_id"]);
    let other = keyed.post("/messages", &say("user:bob", "twice"));
    assert_eq!(other.refused(422, "key_reused"), "Idempotency-Key");
    let both = and(say("user:bob", "x"), "client_msg_id", key().to_string());
    assert_eq!(keyed.post("/messages", &both).refused(400, "bad_request"), "client_msg_id");
    let neither = say("user:bob", "as often as it is asked");
    let fresh = backend.post("/messages", &neither).done(201);
    assert_ne!(backend.post("/messages", &neither).done(201)["seq"], fresh["seq"]);
}

#[test]
fn a_message_that_may_not_be_sent_is_refused_for_what_is_wrong_with_it() {
    let node = Node::start();
    let backend = Backend::of(&node);
    with_users(&backend, &["alice", "bob"]);
    let refused = |body: Value, status, code: &str, field: &str| {
        assert_eq!(backend.post("/messages", &body).refused(status, code), field, "{body}");
    };

    refused(say("user:nobody", "x"), 404, "not_found", "to");
    refused(say("group:nothing", "x"), 404, "not_found", "to");
    refused(and(say("user:bob", "x"), "from", "nobody"), 404, "not_found", "from");
    refused(say("bob", "x"), 400, "bad_request", "to");
    let notice = json!({"type": "notice", "action": "created"});
    refused(and(say("user:bob", "x"), "content", notice), 400, "bad_request", "content");
    let id = |offset_ms| key_minted_in(offset_ms).to_string();
    let stale = and(say("user:bob", "x"), "client_msg_id", id(-TWO_WEEKS_MS));
    refused(stale, 409, "stale_key", "client_msg_id");
    let ahead = and(say("user:bob", "x"), "client_msg_id", id(limits::CLOCK_AHEAD_MS + 60_000));
    refused(ahead, 409, "clock_ahead", "client_msg_id");

    backend.ask("POST", "/users/alice/deactivate", b"").done(200);
    let for_alice = and(say("user:bob", "x"), "from", "alice");
    refused(for_alice.clone(), 409, "conflict", "from");
    backend.post("/messages", &say("user:alice", "for when you are back")).done(201);
    backend.ask("POST", "/users/alice/reactivate", b"").done(200);
    backend.post("/messages", &for_alice).done(201);
}

#[test]
fn a_content_of_32_kib_is_stored_and_one_byte_more_is_not() {
    let node = Node::start();
    let backend = Backend::of(&node);
    with_users(&backend, &["bob"]);
    let of = |bytes: usize| say("user:bob", &"x".repeat(bytes));

    backend.post("/messages", &of(limits::CONTENT_BYTES)).done(201);
    let refused = backend.post("/messages", &of(limits::CONTENT_BYTES + 1));

    assert_eq!(refused.refused(413, "too_large"), "content");
    let log = backend.get("/users/bob/conversations/user:system/messages").done(200);
    assert_eq!(log["head"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_and_the_backend_that_send_under_one_id_at_once_are_answered_with_one_message() {
    let node = Node::start();
    let (app, backend) = (App::of(&node), Backend::of(&node));
    with_users(&backend, &["bob"]);
    let mut alice = app.raw("alice", "tab").await;

    for n in 0..50 {
        let key = key();
        let said = format!("{n}");
        let body = and(say("user:bob", &said), "client_msg_id", key.to_string());
        let (body, other) = (and(body, "from", "alice"), backend.clone());
        let asked = tokio::task::spawn_blocking(move || other.post("/messages", &body));
        let own = alice.ok("message.send", text("bob", key, &said)).await;
        let answer = asked.await.unwrap();

        assert!([200, 201].contains(&answer.status), "{answer:?}");
        let answer = answer.json();
        assert_eq!(answer["message_id"], own["message_id"]);
        let repeats = [&answer["duplicate"], &own["duplicate"]].map(|it| it.as_bool().unwrap());
        assert_eq!(repeats.into_iter().filter(|repeat| *repeat).count(), 1, "{answer} {own}");
    }
    let log = backend.get("/users/bob/conversations/user:alice/messages").done(200);
    assert_eq!(log["head"], 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_keeps_its_order_while_the_backend_speaks_in_between() {
    let node = Node::start();
    let (app, backend) = (App::of(&node), Backend::of(&node));
    let mut bob = app.raw("bob", "phone").await;
    let mut alice = app.raw("alice", "tab").await;
    create(&mut alice, "eng", "work", &["bob"]).await;
    bob.event("message.new").await;

    for n in 0..100_u64 {
        let for_bob = and(say("group:eng", &format!("backend {n}")), "from", "bob");
        let own = alice.0.submit("message.send", to_group("eng", key(), "alice")).await.unwrap();
        let next = alice.0.submit("message.send", to_group("eng", key(), "alice")).await.unwrap();
        backend.post("/messages", &for_bob).done(201);
        let (own, next) = (alice.reply(own).await, alice.reply(next).await);
        assert!(own["ok"]["seq"].as_u64() < next["ok"]["seq"].as_u64(), "{own} {next}");
    }

    let log = whole_log(&mut alice, "eng").await;
    assert_eq!(log.len(), 301);
}
