//! One user on several devices, and sessions that end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::BTreeMap;

use common::chat::{App, User, key, now, patience, text, text_of, with};
use common::node::Node;
use rookery::client::raw::{Connection, OpenError, Opening};
use rookery::client::{Ended, SendError};
use rookery::ids::{DeviceId, UnixMs};
use rookery::protocol::{Code, KickReason};
use serde_json::json;

#[tokio::test]
async fn what_one_device_sends_and_reads_reaches_the_others() {
    let node = Node::start();
    let app = App::of(&node);
    let bob = app.user("bob").await;
    let mut phone = app.device("alice", "phone").await;
    let mut laptop = app.device("alice", "laptop").await;

    let sent = phone.say("bob", "from the phone").await;
    let seen = laptop.next_message().await;
    assert_eq!((seen.seq, seen.message_id, seen.inbox), (sent.seq, sent.message_id, sent.inbox));
    assert_eq!((&seen.conversation, seen.from.as_str()), (&with("bob"), "alice"));

    let answer = bob.say("alice", "hello").await;
    for device in [&mut phone, &mut laptop] {
        assert_eq!(text_of(&device.next_message().await), "hello");
    }
    laptop.read("bob", answer.seq).await;
    let (conversation, seq, user) = phone.next_read().await;
    assert_eq!((conversation, seq, user.as_str()), (with("bob"), answer.seq, "alice"));
}

#[tokio::test]
async fn the_same_device_that_logs_in_again_replaces_its_older_session() {
    let node = Node::start();
    let app = App::of(&node);
    let _bob = app.raw("bob", "main").await;
    let mut elsewhere = app.raw("alice", "laptop").await;
    let mut older = app.raw("alice", "phone").await;
    let before = now();

    let mut newer = app.connect().await;
    let login = newer.ok("login", app.login("alice", "phone")).await;

    assert_eq!(login["login_no"], "3");
    let kicked = older.next_event("session.kicked").await;
    assert_eq!((&kicked["reason"], &kicked["by"]), (&json!("replaced"), &json!("phone")));
    let at = UnixMs::new(kicked["at_ms"].as_i64().unwrap());
    assert!(at.since(before) > -60_000 && now().since(at) > -60_000);
    assert_eq!(older.closed().await, 4501);
    // Its user's other sessions stay, and the newer one has everything.
    elsewhere.ok("message.send", text("bob", key(), "still here")).await;
    assert_eq!(newer.next_event("message.new").await["content"]["text"], "still here");
}

#[tokio::test]
async fn a_client_that_was_replaced_does_not_come_back() {
    let node = Node::start();
    let app = App::of(&node);
    let mut older = app.device("alice", "phone").await;

    let newer = app.device("alice", "phone").await;

    let by = Some(DeviceId::parse("phone").unwrap());
    let ended = older.ended().await;
    assert!(
        matches!(&ended, Ended::Kicked { reason: KickReason::Replaced, by: kicker, .. } if *kicker == by),
        "{ended:?}"
    );
    assert_eq!(older.client.send_text(&with("alice"), "?").await, Err(SendError::Ended(ended)));
    newer.say("alice", "here").await;
    assert_eq!(patience("a logout", newer.client.log_out()).await, Ended::LoggedOut);
}

#[tokio::test]
async fn many_logins_of_one_device_at_once_leave_one_session() {
    let node = Node::start();
    let app = App::of(&node);
    let mut witness = app.raw("alice", "witness").await;

    let mut opened = Vec::new();
    for _ in 0..16 {
        let mut raw = app.connect().await;
        raw.0.submit("login", app.login("alice", "phone")).await.unwrap();
        opened.push(raw);
    }
    // The one that stays is the one that hears of this; all others are closed.
    let (mut latest, mut closed) = (None, BTreeMap::new());
    for (place, raw) in opened.iter_mut().enumerate() {
        match patience("a reply or a close", raw.0.reply(1)).await {
            Ok(reply) if reply.get("ok").is_some() => {
                let login_no = reply["ok"]["login_no"].as_str().unwrap().parse::<u64>().unwrap();
                latest = latest.max(Some((login_no, place)));
            }
            // Replaced in the store before its user heard of it.
            Ok(reply) => assert_eq!(reply["error"]["code"], "conflict", "{reply}"),
            // Replaced before it was let in.
            Err(parted) => drop(closed.insert(place, parted)),
        }
    }
    let (_, winner) = latest.unwrap();
    for (place, raw) in opened.iter_mut().enumerate().filter(|(place, _)| *place != winner) {
        let parted = match closed.remove(&place) {
            Some(parted) => parted,
            None => raw.ending().await,
        };
        assert_eq!(parted.code(), Some(4501), "{place}, when {winner} won: {parted}");
    }
    witness.ok("message.send", text("alice", key(), "who is here?")).await;
    opened[winner].event("message.new").await;
}

#[tokio::test]
async fn a_login_that_is_wrong_is_refused_and_one_whose_token_is_wrong_is_closed() {
    let node = Node::start();
    let app = App::of(&node);
    let with = |changes: &[(&str, serde_json::Value)]| {
        let mut login = app.login("alice", "phone");
        for (field, value) in changes {
            login[field] = value.clone();
        }
        login
    };
    let day_ago = UnixMs::new(now().get() - 86_400_000);
    let ahead = UnixMs::new(now().get() + 600_000);

    // What is merely malformed leaves the connection open.
    let mut raw = app.connect().await;
    for wrong in [
        with(&[("user", json!("al ice"))]),
        with(&[("user", json!("al\nice"))]),
        with(&[("user", json!("x".repeat(65)))]),
        with(&[("user", json!(""))]),
        with(&[("app", json!(0))]),
        with(&[("app", json!(-1))]),
        with(&[("app", json!(1u64 << 31))]),
        with(&[("device", json!({"id": "x"}))]),
        with(&[("device", json!({"id": "x", "platform": "toaster"}))]),
        with(&[("device", json!({"id": "x\u{0}", "platform": "web"}))]),
        with(&[("device", json!({"id": "x", "platform": "web", "name": "n".repeat(129)}))]),
        with(&[("device", json!({"id": "x", "platform": "web", "name": "a\u{0}b"}))]),
        with(&[("token", json!(7))]),
        with(&[("resume", json!({"login_no": "many"}))]),
        with(&[("sync", json!({"inbox": -1}))]),
        json!({}),
    ] {
        assert_eq!(raw.code("login", wrong.clone()).await, "bad_request", "{wrong}");
    }
    raw.ok("login", app.login("alice", "phone")).await;

    for (token, code) in [
        (app.token("bob"), "bad_token"),
        (app.token_signed_at("alice", day_ago, 3600), "token_expired"),
        (app.token_signed_at("bob", day_ago, 3600), "bad_token"),
        (app.token_signed_at("alice", ahead, 3600), "bad_token"),
        (app.token_signed_at("alice", now(), 181 * 86_400), "bad_token"),
        (String::new(), "bad_token"),
        ("x".repeat(2000), "bad_token"),
        ("eJ".to_owned(), "bad_token"),
    ] {
        let mut raw = app.connect().await;
        let login = with(&[("token", json!(token))]);
        assert_eq!(raw.code("login", login).await, code, "{token}");
        assert_eq!(raw.closed().await, 4500);
    }
    let mut raw = app.connect().await;
    assert_eq!(raw.code("login", with(&[("app", json!(2))])).await, "bad_token", "no such app");
    assert_eq!(raw.closed().await, 4500);

    let mut options = app.options("alice", "phone");
    options.token = rookery::client::TokenSource::fixed(app.token("bob"));
    let Err(Ended::Refused(error)) = User::try_log_in(options).await else { panic!() };
    assert_eq!(error.code, Code::BadToken);
}

#[tokio::test]
async fn the_handshake_takes_the_subprotocol_and_the_origins_that_it_should() {
    let node = Node::start();
    let app = App::of(&node);
    let open = async |opening: Opening| match Connection::open_with(app.address(), &opening).await {
        Ok(_) => 101,
        Err(OpenError::Refused { status, .. }) => status,
        Err(error) => panic!("{error}"),
    };
    let asking = |subprotocol: Option<&str>| Opening {
        subprotocol: subprotocol.map(str::to_owned),
        ..Opening::default()
    };
    let from = |origin: &str| Opening { origin: Some(origin.to_owned()), ..Opening::default() };

    for known in [None, Some("rookery.v1.json"), Some("other, rookery.v1.json")] {
        assert_eq!(open(asking(known)).await, 101, "{known:?}");
    }
    for unknown in ["rookery.v2.json", "chat, other"] {
        assert_eq!(open(asking(Some(unknown))).await, 400, "{unknown}");
    }
    assert_eq!(open(from(&format!("http://{}", app.address()))).await, 101);
    let port = node.http().port();
    for foreign in [
        "null".to_owned(),
        "https://example.com".to_owned(),
        "http://127.0.0.1".to_owned(),
        format!("http://evil-127.0.0.1:{port}"),
        format!("http://127.0.0.1:{port}.example.com"),
    ] {
        assert_eq!(open(from(&foreign)).await, 403, "{foreign}");
    }
    let elsewhere = Opening { path: "/v1/ws/".to_owned(), ..Opening::default() };
    assert_eq!(open(elsewhere).await, 404);
}

#[tokio::test]
async fn who_says_nothing_is_closed() {
    let node = Node::start();
    let app = App::of(&node);
    let mut nobody = app.connect().await;
    // Frames that are no login do not count as one.
    let mut talker = app.connect().await;
    assert_eq!(talker.code("ping", json!({})).await, "not_logged_in");
    let mut alice = app.raw("alice", "main").await;
    let mut other = app.raw("alice", "other").await;

    assert_eq!(nobody.closed().await, 4004);
    assert_eq!(talker.closed().await, 4004);
    // The heartbeat of one session is not that of another.
    let silent = alice.closed();
    let chatty = async {
        loop {
            other.ok("ping", json!({})).await;
            tokio::time::sleep(std::time::Duration::from_secs(20)).await;
        }
    };
    tokio::select! {
        code = silent => assert_eq!(code, 4003),
        () = chatty => {}
    }
    other.ok("ping", json!({})).await;
}

#[tokio::test]
async fn after_a_logout_the_session_is_gone_before_the_connection_closes() {
    let node = Node::start();
    let app = App::of(&node);
    let mut bob = app.raw("bob", "main").await;
    let mut alice = app.raw("alice", "main").await;

    assert_eq!(alice.ok("logout", json!({})).await, json!({}));
    bob.ok("message.send", text("alice", key(), "gone?")).await;

    assert_eq!(bob.next_event("message.delivered").await["by"], "server");
    let parted = alice.ending().await;
    assert_eq!(parted.code(), Some(1000), "{parted}");
    assert_eq!(alice.0.kept().count(), 0, "nothing was pushed to it");
}
