//! A message is stored once, however often it is sent, and in the order in which its session sent it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use common::chat::{App, Raw, key, key_minted_in, now, text, text_of, with};
use common::node::{Node, Options};
use rookery::ids::{ClientMsgId, Seq};
use serde_json::{Value, json};

const SECOND_MS: i64 = 1000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// A server that lets a session send this many messages, and then one a second.
fn tight_node(burst: u32) -> Node {
    Node::start_with(
        Options::default()
            .env("ROOKERY__LIMITS__SENDS_PER_S", "1")
            .env("ROOKERY__LIMITS__SENDS_BURST", &burst.to_string()),
    )
}

/// The texts of a conversation from its beginning.
async fn texts(raw: &mut Raw, with: &str) -> Vec<String> {
    let page = json!({"conversation": format!("user:{with}"), "after": 0, "limit": 200});
    let page = raw.ok("message.history", page).await;
    assert_eq!(page["has_more"], false);
    let messages = page["messages"].as_array().unwrap();
    let seqs: Vec<_> = messages.iter().map(|message| message["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=messages.len() as u64).collect::<Vec<_>>());
    messages.iter().map(|own| own["content"]["text"].as_str().unwrap().to_owned()).collect()
}

/// Sends until the answer is not that the session is too fast.
async fn send_at_last(raw: &mut Raw, send: &Value) -> Value {
    loop {
        let reply = raw.0.call("message.send", send.clone()).await.unwrap();
        if reply["error"]["code"] != "rate_limited" {
            return reply;
        }
        assert!(reply["error"]["retry_after_ms"].as_u64() > Some(0), "{reply}");
    }
}

#[tokio::test]
async fn a_key_sent_from_two_connections_at_once_is_one_message_with_one_answer() {
    const ROUNDS: u64 = 1000;
    let node = Node::start();
    let app = App::of(&node);
    let _bob = app.raw("bob", "main").await;
    let mut phone = app.raw("alice", "phone").await;
    let mut laptop = app.raw("alice", "laptop").await;

    for round in 1..=ROUNDS {
        let send = text("bob", key(), &format!("round {round}"));
        let from_phone = phone.0.submit("message.send", send.clone()).await.unwrap();
        let from_laptop = laptop.0.submit("message.send", send).await.unwrap();
        let replies = [phone.reply(from_phone).await, laptop.reply(from_laptop).await];

        let mut firsts = 0;
        for reply in &replies {
            assert_eq!(reply["ok"]["seq"], round, "{reply}");
            firsts += u64::from(reply["ok"]["duplicate"] == false);
        }
        assert_eq!(firsts, 1, "{replies:?}");
        for field in ["message_id", "sent_at_ms", "conversation"] {
            assert_eq!(replies[0]["ok"][field], replies[1]["ok"][field]);
        }
    }

    let page = json!({"conversation": "user:bob", "limit": 1});
    assert_eq!(phone.ok("message.history", page).await["head"], ROUNDS);
    for device in [&mut phone, &mut laptop] {
        // Each device is told of what the other was first with, and of nothing else.
        let pushed = device.0.kept().filter(|frame| frame["event"] == "message.new");
        let seqs: Vec<_> = pushed.map(|event| event["body"]["seq"].as_u64().unwrap()).collect();
        assert!(seqs.is_sorted_by(|one, next| one < next), "{seqs:?}");
    }
}

#[tokio::test]
async fn a_repeat_is_answered_as_the_first_was_and_other_content_is_refused() {
    let node = Node::start();
    let app = App::of(&node);
    let _bob = app.raw("bob", "main").await;
    let mut alice = app.raw("alice", "phone").await;
    let key = key();
    let first = alice.ok("message.send", text("bob", key, "one")).await;
    assert_eq!((&first["seq"], &first["duplicate"]), (&json!(1), &json!(false)));

    let mut elsewhere = app.raw("alice", "laptop").await;
    for raw in [&mut alice, &mut elsewhere] {
        let repeat = raw.ok("message.send", text("bob", key, "one")).await;
        assert_eq!(repeat["duplicate"], true);
        assert_eq!(repeat.get("inbox"), None);
        for field in ["seq", "message_id", "sent_at_ms", "conversation"] {
            assert_eq!(repeat[field], first[field]);
        }
        assert_eq!(raw.code("message.send", text("bob", key, "two")).await, "key_reused");
        let mut other = text("bob", key, "one");
        other["reply_to"] = json!(1);
        assert_eq!(raw.code("message.send", other).await, "key_reused");
        let mut same = text("bob", key, "one");
        same["mentions"] = json!([]);
        same["content"]["style"] = json!("bold");
        assert_eq!(raw.ok("message.send", same).await["duplicate"], true, "it says the same");
    }

    // In another conversation the same id is another message.
    let to_self = alice.ok("message.send", text("alice", key, "two")).await;
    assert_eq!((&to_self["seq"], &to_self["duplicate"]), (&json!(1), &json!(false)));
    assert_eq!(texts(&mut alice, "bob").await, ["one"]);
}

#[tokio::test]
async fn other_content_under_an_id_that_is_still_under_way_is_refused() {
    let node = Node::start();
    let app = App::of(&node);
    let _bob = app.raw("bob", "main").await;
    let mut alice = app.raw("alice", "main").await;

    for _ in 0..50 {
        let key = key();
        let one = alice.0.submit("message.send", text("bob", key, "one")).await.unwrap();
        let two = alice.0.submit("message.send", text("bob", key, "two")).await.unwrap();
        let again = alice.0.submit("message.send", text("bob", key, "one")).await.unwrap();

        let (one, again) = (alice.reply(one).await, alice.reply(again).await);
        assert_eq!(one["ok"]["duplicate"], false);
        assert_eq!(alice.reply(two).await["error"]["code"], "key_reused");
        assert_eq!(again["ok"]["duplicate"], true);
        assert_eq!(again["ok"]["message_id"], one["ok"]["message_id"]);
    }
}

#[tokio::test]
async fn an_id_from_before_the_window_or_from_the_future_is_refused() {
    let node = Node::start();
    let app = App::of(&node);
    let _bob = app.raw("bob", "main").await;
    let mut alice = app.raw("alice", "main").await;
    let mut send = async |key: ClientMsgId| {
        alice.0.call("message.send", text("bob", key, "hi")).await.unwrap()
    };

    for within in [-7 * DAY_MS + MINUTE_MS, -3 * DAY_MS, 0, 4 * MINUTE_MS] {
        let reply = send(key_minted_in(within)).await;
        assert!(reply.get("ok").is_some(), "{within}: {reply}");
    }
    for old in [-7 * DAY_MS - MINUTE_MS, -400 * DAY_MS, -now().get()] {
        let reply = send(key_minted_in(old)).await;
        assert_eq!(reply["error"]["code"], "stale_key", "{old}: {reply}");
    }
    for ahead in [6 * MINUTE_MS, 40_000 * DAY_MS] {
        let reply = send(key_minted_in(ahead)).await;
        assert_eq!(reply["error"]["code"], "clock_ahead", "{ahead}: {reply}");
        let told = reply["error"]["server_time_ms"].as_i64().unwrap();
        assert!((told - now().get()).abs() < MINUTE_MS);
    }
}

#[tokio::test]
async fn after_a_refusal_the_messages_of_a_conversation_come_in_their_order_or_not_at_all() {
    let node = tight_node(1);
    let app = App::of(&node);
    let _bob = app.raw("bob", "main").await;
    let mut alice = app.raw("alice", "main").await;
    let said: Vec<Value> = ["0", "1", "2", "3"].map(|said| text("bob", key(), said)).to_vec();
    let awaited =
        |reply: &Value| (reply["error"]["code"].clone(), reply["error"]["client_msg_id"].clone());
    let order_broken = (json!("order_broken"), said[1]["client_msg_id"].clone());

    alice.ok("message.send", said[0].clone()).await;
    assert_eq!(alice.code("message.send", said[1].clone()).await, "rate_limited");
    for later in [&said[2], &said[3], &said[2]] {
        // However long ago the refusal is: the first one refused is what is awaited.
        let reply = send_at_last(&mut alice, later).await;
        assert_eq!(awaited(&reply), order_broken, "{reply}");
    }
    // A repeat of what is stored already is answered all the same, and nothing of it is lost.
    for (nth, send) in said.iter().enumerate().skip(1) {
        let reply = send_at_last(&mut alice, send).await;
        assert_eq!(reply["ok"]["seq"], nth + 1, "{reply}");
    }

    assert_eq!(texts(&mut alice, "bob").await, ["0", "1", "2", "3"]);
}

#[tokio::test]
async fn a_refusal_closes_its_own_conversation_and_no_other_and_a_final_one_closes_none() {
    let node = Node::start();
    let app = App::of(&node);
    let _bob = app.raw("bob", "main").await;
    let mut alice = app.raw("alice", "main").await;

    let stale = text("bob", key_minted_in(-8 * DAY_MS), "too old");
    assert_eq!(alice.code("message.send", stale).await, "stale_key");
    assert_eq!(alice.ok("message.send", text("bob", key(), "next")).await["seq"], 1);
    assert_eq!(alice.code("message.send", text("nobody", key(), "?")).await, "not_found");
    assert_eq!(alice.ok("message.send", text("bob", key(), "and next")).await["seq"], 2);
}

#[tokio::test]
async fn a_session_that_leaves_more_than_64_messages_awaited_is_closed() {
    let node = tight_node(1);
    let app = App::of(&node);
    let _bob = app.raw("bob", "main").await;
    let mut alice = app.raw("alice", "main").await;
    alice.ok("message.send", text("bob", key(), "stored")).await;
    let first = key();
    assert_eq!(alice.code("message.send", text("bob", first, "1")).await, "rate_limited");

    let mut last = key();
    for nth in 2..=64 {
        last = key();
        let error = send_at_last(&mut alice, &text("bob", last, &nth.to_string())).await;
        assert_eq!(error["error"]["client_msg_id"], json!(first), "{error}");
    }
    // One that is awaited already is no new one.
    let error = send_at_last(&mut alice, &text("bob", last, "64")).await;
    assert_eq!(error["error"]["code"], "order_broken");
    alice.0.submit("message.send", text("bob", key(), "65")).await.unwrap();

    assert_eq!(alice.closed().await, 4005);
}

#[tokio::test]
async fn the_client_library_keeps_the_order_through_refusals() {
    let node = tight_node(5);
    let app = App::of(&node);
    let mut bob = app.user("bob").await;
    let alice = app.user("alice").await;

    let mut posted = Vec::new();
    for nth in 1..=12 {
        let content = rookery::protocol::Content::Text { text: nth.to_string() };
        posted.push(alice.client.post(&with("bob"), content).await.unwrap());
    }
    for (nth, posted) in posted.into_iter().enumerate() {
        let sent = common::chat::patience("an ack", posted.acked()).await.unwrap();
        assert_eq!(sent.seq, Seq::new(nth as u64 + 1));
    }

    for nth in 1..=12 {
        assert_eq!(text_of(&bob.next_message().await), nth.to_string());
    }
}
