//! Delivered and read: who is told what, and cursors that only rise.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use common::chat::{App, Raw, key, text, with};
use common::node::{Node, Options};
use rookery::ids::{Seq, UserId};
use rookery::protocol::DeliveredBy;
use serde_json::{Value, json};

fn cursor(of: &str, seq: u64) -> Value {
    json!({"conversation": format!("user:{of}"), "seq": seq})
}

fn delivered(to: &str, seq: u64, by: &str) -> Value {
    json!({"conversation": format!("user:{to}"), "seq": seq, "user": to, "by": by})
}

fn read_by(of: &str, user: &str, seq: u64) -> Value {
    json!({"conversation": format!("user:{of}"), "seq": seq, "user": user})
}

async fn peer(raw: &mut Raw, of: &str) -> Value {
    raw.ok("message.history", json!({"conversation": format!("user:{of}")})).await["peer"].take()
}

#[tokio::test]
async fn a_client_that_receives_a_message_tells_so_and_its_sender_hears_of_it() {
    let node = Node::start();
    let app = App::of(&node);
    let mut bob = app.user("bob").await;
    let mut alice = app.user("alice").await;

    let sent = alice.say("bob", "hello").await;
    let message = bob.next_message().await;

    assert_eq!((message.seq, message.message_id), (sent.seq, sent.message_id));
    assert_eq!(alice.next_delivered().await, (with("bob"), sent.seq, DeliveredBy::Device));
    assert_eq!(bob.read("alice", sent.seq).await, sent.seq);
    let alice_hears = (with("bob"), sent.seq, UserId::parse("bob").unwrap());
    assert_eq!(alice.next_read().await, alice_hears);
}

#[tokio::test]
async fn the_server_answers_for_who_is_away_and_the_device_follows() {
    let node = Node::start();
    let app = App::of(&node);
    let mut bob = app.raw("bob", "main").await;
    bob.ok("logout", json!({})).await;
    assert_eq!(bob.ending().await.code(), Some(1000));
    let mut alice = app.raw("alice", "main").await;

    alice.ok("message.send", text("bob", key(), "one")).await;
    assert_eq!(alice.next_event("message.delivered").await, delivered("bob", 1, "server"));
    assert_eq!(peer(&mut alice, "bob").await, json!({"delivered": 1, "by": "server", "read": 0}));
    alice.ok("message.send", text("bob", key(), "two")).await;
    assert_eq!(alice.next_event("message.delivered").await, delivered("bob", 2, "server"));

    let mut bob = app.raw("bob", "main").await;
    bob.ok("message.received", cursor("alice", 1)).await;
    assert_eq!(alice.next_event("message.delivered").await, delivered("bob", 1, "device"));
    assert_eq!(peer(&mut alice, "bob").await, json!({"delivered": 2, "by": "server", "read": 0}));
    bob.ok("message.received", cursor("alice", 2)).await;
    assert_eq!(alice.next_event("message.delivered").await, delivered("bob", 2, "device"));
    assert_eq!(peer(&mut alice, "bob").await, json!({"delivered": 2, "by": "device", "read": 0}));
}

#[tokio::test]
async fn the_server_answers_for_a_device_that_went_without_saying_that_it_received() {
    let node = Node::start();
    let app = App::of(&node);
    let mut alice = app.raw("alice", "main").await;
    let mut bob = app.raw("bob", "main").await;
    alice.ok("message.send", text("bob", key(), "one")).await;
    bob.next_event("message.new").await;
    assert_eq!(peer(&mut alice, "bob").await, json!({"delivered": 0, "by": "device", "read": 0}));

    drop(bob);

    assert_eq!(alice.next_event("message.delivered").await, delivered("bob", 1, "server"));
    assert_eq!(peer(&mut alice, "bob").await, json!({"delivered": 1, "by": "server", "read": 0}));
}

#[tokio::test]
async fn a_repeat_is_answered_with_both_acks_or_pushed_again() {
    let node = Node::start();
    let app = App::of(&node);
    let mut phone = app.raw("bob", "phone").await;
    let mut laptop = app.raw("bob", "laptop").await;
    let mut alice = app.raw("alice", "main").await;
    let send = text("bob", key(), "hello");
    alice.ok("message.send", send.clone()).await;
    let first = phone.next_event("message.new").await;
    assert_eq!(laptop.next_event("message.new").await, first);

    // No device has it yet, as far as the server knows: all of them get it again.
    alice.ok("message.send", send.clone()).await;
    assert_eq!(phone.next_event("message.new").await, first);
    assert_eq!(laptop.next_event("message.new").await, first);
    phone.ok("message.received", cursor("alice", 1)).await;
    assert_eq!(alice.next_event("message.delivered").await, delivered("bob", 1, "device"));

    // Now ack 2 comes again with ack 1, and nothing is pushed.
    for _ in 0..2 {
        assert_eq!(alice.ok("message.send", send.clone()).await["duplicate"], true);
        assert_eq!(alice.next_event("message.delivered").await, delivered("bob", 1, "device"));
    }
    alice.ok("message.send", text("bob", key(), "fence")).await;
    assert_eq!(phone.next_event("message.new").await["content"]["text"], "fence");
    assert_eq!(laptop.next_event("message.new").await["content"]["text"], "fence");
}

#[tokio::test]
async fn a_repeat_to_someone_who_is_away_is_answered_by_the_server_again() {
    let node = Node::start();
    let app = App::of(&node);
    app.raw("bob", "main").await.ok("logout", json!({})).await;
    let mut alice = app.raw("alice", "main").await;
    let send = text("bob", key(), "hello");

    for _ in 0..3 {
        assert_eq!(alice.ok("message.send", send.clone()).await["seq"], 1);
        assert_eq!(alice.next_event("message.delivered").await, delivered("bob", 1, "server"));
    }
}

#[tokio::test]
async fn cursors_only_rise_and_never_pass_the_head() {
    let node = Node::start();
    let app = App::of(&node);
    let mut bob = app.raw("bob", "main").await;
    let mut alice = app.raw("alice", "main").await;
    for nth in 1..=5 {
        alice.ok("message.send", text("bob", key(), &nth.to_string())).await;
    }

    for (cmd, event) in
        [("message.received", "message.delivered"), ("message.read", "message.read")]
    {
        for (asked, stands) in [(0, 0), (2, 2), (1, 2), (2, 2), (0, 2), (4, 4), (3, 4)] {
            assert_eq!(bob.ok(cmd, cursor("alice", asked)).await["seq"], stands, "{cmd} {asked}");
        }
        for beyond in [6, 1000, (1u64 << 53) - 1, u64::MAX] {
            assert_eq!(bob.ok(cmd, cursor("alice", beyond)).await["seq"], 5, "{cmd} {beyond}");
        }
        // Each rise was told once, in order, and nothing else.
        for rise in [2, 4, 5] {
            assert_eq!(alice.next_event(event).await["seq"], rise, "{event}");
        }
    }

    alice.ok("message.send", text("bob", key(), "6")).await;
    bob.ok("message.received", cursor("alice", 6)).await;
    assert_eq!(alice.next_event("message.delivered").await, delivered("bob", 6, "device"));
}

#[tokio::test]
async fn reading_is_receiving_and_delivered_is_told_first() {
    let node = Node::start();
    let app = App::of(&node);
    let mut bob = app.raw("bob", "main").await;
    let mut other = app.raw("bob", "other").await;
    let mut alice = app.raw("alice", "main").await;
    for nth in 1..=3 {
        alice.ok("message.send", text("bob", key(), &nth.to_string())).await;
    }

    assert_eq!(bob.ok("message.read", cursor("alice", 2)).await["seq"], 2);

    assert_eq!(alice.next_event("message.delivered").await, delivered("bob", 2, "device"));
    assert_eq!(alice.next_event("message.read").await, read_by("bob", "bob", 2));
    assert_eq!(other.event("message.read").await, read_by("alice", "bob", 2));
    assert_eq!(peer(&mut alice, "bob").await, json!({"delivered": 2, "by": "device", "read": 2}));
    // What was read is delivered: a lower receipt brings nothing new.
    assert_eq!(bob.ok("message.received", cursor("alice", 1)).await["seq"], 2);
    assert_eq!(bob.ok("message.received", cursor("alice", 3)).await["seq"], 3);
    assert_eq!(alice.next_event("message.delivered").await, delivered("bob", 3, "device"));
}

#[tokio::test]
async fn both_sides_have_cursors_of_their_own() {
    let node = Node::start();
    let app = App::of(&node);
    let mut bob = app.raw("bob", "main").await;
    let mut alice = app.raw("alice", "main").await;
    alice.ok("message.send", text("bob", key(), "1")).await;
    bob.ok("message.send", text("alice", key(), "2")).await;
    bob.ok("message.send", text("alice", key(), "3")).await;

    bob.ok("message.read", cursor("alice", 1)).await;
    alice.ok("message.received", cursor("bob", 3)).await;
    alice.ok("message.read", cursor("bob", 2)).await;

    assert_eq!(peer(&mut alice, "bob").await, json!({"delivered": 1, "by": "device", "read": 1}));
    assert_eq!(peer(&mut bob, "alice").await, json!({"delivered": 3, "by": "device", "read": 2}));
}

#[tokio::test]
async fn a_conversation_with_oneself_has_no_receipts() {
    let node = Node::start();
    let app = App::of(&node);
    let mut alice = app.raw("alice", "main").await;
    let mut other = app.raw("alice", "other").await;

    let sent = alice.ok("message.send", text("alice", key(), "milk")).await;
    assert_eq!((&sent["seq"], &sent["inbox"]), (&json!(1), &json!(1)));
    let pushed = other.next_event("message.new").await;
    assert_eq!((&pushed["conversation"], &pushed["inbox"]), (&json!("user:alice"), &json!(1)));
    assert_eq!(other.ok("message.received", cursor("alice", 1)).await["seq"], 1);
    assert_eq!(other.ok("message.read", cursor("alice", 1)).await["seq"], 1);
    let history = alice.ok("message.history", json!({"conversation": "user:alice"})).await;
    assert_eq!(history.get("peer"), None);

    // What a device reads, its sister devices hear of; a delivery nobody.
    assert_eq!(alice.next_event("message.read").await, read_by("alice", "alice", 1));
    let second = other.ok("message.send", text("alice", key(), "fence")).await;
    assert_eq!(alice.next_event("message.new").await["message_id"], second["message_id"]);
}

#[tokio::test]
async fn receipts_of_reading_stay_private_where_the_app_says_so() {
    let off = Options::default().env("ROOKERY__RECEIPTS__READ", "off");
    let node = Node::start_with(off);
    let app = App::of(&node);
    let mut bob = app.raw("bob", "main").await;
    let mut other = app.raw("bob", "other").await;
    let mut alice = app.raw("alice", "main").await;
    alice.ok("message.send", text("bob", key(), "1")).await;
    alice.ok("message.send", text("bob", key(), "2")).await;

    assert_eq!(bob.ok("message.read", cursor("alice", 2)).await["seq"], 2);

    // The reader's own devices and unread follow; the peer hears of the delivery alone.
    assert_eq!(other.event("message.read").await, read_by("alice", "bob", 2));
    let list = bob.ok("conversation.list", json!({})).await;
    assert_eq!(
        (&list["conversations"][0]["unread"], &list["conversations"][0]["read"]),
        (&json!(0), &json!(2))
    );
    assert_eq!(alice.next_event("message.delivered").await, delivered("bob", 2, "device"));
    assert_eq!(peer(&mut alice, "bob").await, json!({"delivered": 2, "by": "device"}));
    let list = alice.ok("conversation.list", json!({})).await;
    assert_eq!(list["conversations"][0]["peer"], json!({"delivered": 2, "by": "device"}));
    bob.ok("message.send", text("alice", key(), "fence")).await;
    assert_eq!(alice.next_event("message.new").await["content"]["text"], "fence");
}

#[tokio::test]
async fn a_receipt_for_someone_who_does_not_exist_is_refused() {
    let node = Node::start();
    let app = App::of(&node);
    let mut alice = app.raw("alice", "main").await;

    for cmd in ["message.received", "message.read"] {
        assert_eq!(alice.code(cmd, cursor("nobody", 1)).await, "not_found");
        assert_eq!(alice.code(cmd, json!({"conversation": "user:alice"})).await, "bad_request");
        let negative = json!({"conversation": "user:alice", "seq": -1});
        assert_eq!(alice.code(cmd, negative).await, "bad_request");
    }
    // Someone who exists, but with whom nothing was said yet.
    let _bob = app.raw("bob", "main").await;
    assert_eq!(alice.ok("message.read", cursor("bob", 7)).await["seq"], 0);
    assert_eq!(Seq::ZERO, alice_reads_nothing(&app).await);
}

/// The same through the client library, which takes any answer.
async fn alice_reads_nothing(app: &App) -> Seq {
    app.device("alice", "other").await.read("bob", Seq::new(7)).await
}
