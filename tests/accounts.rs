//! One's own devices and tokens, as one sees them from one of the devices.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use common::chat::{App, Raw, key, now, text};
use common::node::Node;
use rookery::ids::UnixMs;
use serde_json::{Value, json};

/// Logs in from a device of some platform.
async fn log_in(app: &App, user: &str, device: &str, platform: &str) -> Raw {
    let mut raw = app.connect().await;
    raw.ok("login", login(app, user, device, platform)).await;
    raw
}

fn login(app: &App, user: &str, device: &str, platform: &str) -> Value {
    let mut login = app.login(user, device);
    login["device"]["platform"] = json!(platform);
    login
}

/// How a session was ended by a decision: the reason, the device that did it, and the close code.
async fn ended(raw: &mut Raw) -> (String, Option<String>, u16) {
    let kicked = raw.event("session.kicked").await;
    let by = kicked["by"].as_str().map(str::to_owned);
    assert!(kicked["at_ms"].as_i64().unwrap() > 0, "{kicked}");
    (kicked["reason"].as_str().unwrap().to_owned(), by, raw.closed().await)
}

/// Names, and whether they are online, of the devices of a page.
fn listed(page: &Value) -> Vec<(String, bool)> {
    let rows = page["devices"].as_array().unwrap();
    let row = |row: &Value| {
        (row["device"]["id"].as_str().unwrap().to_owned(), row["online"].as_bool().unwrap())
    };
    rows.iter().map(row).collect()
}

#[tokio::test]
async fn a_second_phone_ends_the_first_and_leaves_the_laptop_and_the_tabs() {
    let node = Node::start();
    let app = App::of(&node);
    let mut tab = log_in(&app, "alice", "tab", "web").await;
    let mut laptop = log_in(&app, "alice", "laptop", "macos").await;
    let mut first = log_in(&app, "alice", "first", "ios").await;

    let mut second = log_in(&app, "alice", "second", "android").await;

    assert_eq!(ended(&mut first).await, ("policy".into(), Some("second".into()), 4501));
    for raw in [&mut tab, &mut laptop, &mut second] {
        raw.ok("ping", json!({})).await;
    }
    let page = second.ok("device.list", json!({})).await;
    let expected = [("second", true), ("first", false), ("laptop", true), ("tab", true)];
    assert_eq!(listed(&page), expected.map(|(name, online)| (name.to_owned(), online)));
    assert_eq!(page["devices"][0]["current"], true);
    assert_eq!(page["devices"][1].get("current"), None);
    assert!(page["devices"][1]["ended_at_ms"].as_i64().unwrap() > 0, "{page}");
    assert_eq!(page["devices"][0].get("ended_at_ms"), None);
}

#[tokio::test]
async fn a_phone_that_was_pushed_out_comes_back_only_when_a_person_wants_it() {
    let node = Node::start();
    let app = App::of(&node);
    let mut first = app.connect().await;
    let opened = first.ok("login", login(&app, "alice", "first", "ios")).await;
    let mut second = log_in(&app, "alice", "second", "android").await;
    ended(&mut first).await;

    let mut by_itself = app.connect().await;
    let mut resume = login(&app, "alice", "first", "ios");
    resume["resume"] = json!({"login_no": opened["login_no"]});
    assert_eq!(by_itself.code("login", resume).await, "conflict");
    assert_eq!(by_itself.closed().await, 4501);
    second.ok("ping", json!({})).await;

    let mut by_hand = log_in(&app, "alice", "first", "ios").await;
    assert_eq!(ended(&mut second).await, ("policy".into(), Some("first".into()), 4501));
    by_hand.ok("ping", json!({})).await;
}

/// Loses a device's link, and waits until that is known.
async fn lose(raw: Raw, device: &str, witness: &mut Raw) {
    drop(raw);
    let is_gone = |page: &Value| listed(page).contains(&(device.to_owned(), false));
    while !is_gone(&witness.ok("device.list", json!({})).await) {}
}

#[tokio::test]
async fn of_two_phones_that_were_both_away_the_one_that_a_person_logged_in_last_comes_back() {
    let node = Node::start();
    let app = App::of(&node);
    let mut tab = log_in(&app, "alice", "tab", "web").await;
    let resume = |device: &str, opened: &Value| {
        let mut resume = login(&app, "alice", device, "ios");
        resume["resume"] = json!({"login_no": opened["login_no"]});
        resume
    };
    let mut first = app.connect().await;
    let opened_first = first.ok("login", login(&app, "alice", "first", "ios")).await;
    lose(first, "first", &mut tab).await;
    let mut second = app.connect().await;
    let opened_second = second.ok("login", login(&app, "alice", "second", "ios")).await;
    lose(second, "second", &mut tab).await;

    let mut first = app.connect().await;
    assert_eq!(first.code("login", resume("first", &opened_first)).await, "conflict");
    assert_eq!(first.closed().await, 4501);

    let mut second = app.connect().await;
    second.ok("login", resume("second", &opened_second)).await;
    second.ok("ping", json!({})).await;
}

#[tokio::test]
async fn a_link_that_was_lost_is_gone_on_with() {
    let node = Node::start();
    let app = App::of(&node);
    let mut first = app.connect().await;
    let opened = first.ok("login", login(&app, "alice", "phone", "ios")).await;
    drop(first);

    let mut again = app.connect().await;
    let mut resume = login(&app, "alice", "phone", "ios");
    resume["resume"] = json!({"login_no": opened["login_no"]});
    let resumed = again.ok("login", resume.clone()).await;
    assert_ne!(resumed["login_no"], opened["login_no"]);

    // As if the reply to that had been lost: the client still names the former session.
    let mut once_more = app.connect().await;
    once_more.ok("login", resume).await;
    assert_eq!(ended(&mut again).await.0, "replaced");
}

#[tokio::test]
async fn devices_are_ended_one_by_one_and_all_but_the_one_that_asks() {
    let node = Node::start();
    let app = App::of(&node);
    let mut phone = log_in(&app, "alice", "phone", "ios").await;
    let mut laptop = app.connect().await;
    let opened = laptop.ok("login", login(&app, "alice", "laptop", "linux")).await;
    let mut tabs =
        [log_in(&app, "alice", "tab-1", "web").await, log_in(&app, "alice", "tab-2", "web").await];

    let kicked = phone.ok("device.kick", json!({"device": "laptop"})).await;
    assert_eq!(kicked, json!({"ended": [{"id": "laptop", "platform": "linux"}]}));
    assert_eq!(ended(&mut laptop).await, ("kicked".into(), Some("phone".into()), 4501));
    let nobody = phone.ok("device.kick", json!({"device": "laptop"})).await;
    assert_eq!(nobody, json!({"ended": []}));
    let mut by_itself = app.connect().await;
    let mut resume = login(&app, "alice", "laptop", "linux");
    resume["resume"] = json!({"login_no": opened["login_no"]});
    assert_eq!(by_itself.code("login", resume).await, "conflict");

    let all = phone.ok("device.kick", json!({"all": true})).await;
    assert_eq!(all["ended"].as_array().unwrap().len(), 2, "{all}");
    for tab in &mut tabs {
        assert_eq!(ended(tab).await, ("kicked".into(), Some("phone".into()), 4501));
    }
    phone.ok("ping", json!({})).await;
}

#[tokio::test]
async fn a_kick_that_says_nothing_or_too_much_is_refused_with_the_field() {
    let node = Node::start();
    let app = App::of(&node);
    let mut alice = app.raw("alice", "main").await;
    for (body, field) in [
        (json!({}), "device"),
        (json!({"all": false}), "device"),
        (json!({"all": true, "device": "main"}), "device"),
        (json!({"all": true, "platform": "web"}), "platform"),
        (json!({"device": "main", "platform": "amiga"}), "platform"),
        (json!({"device": ""}), "device"),
    ] {
        let error = alice.error("device.kick", body.clone()).await;
        assert_eq!(
            (&error["code"], &error["field"]),
            (&json!("bad_request"), &json!(field)),
            "{body}"
        );
    }
    let error = alice.error("device.list", json!({"after": "x"})).await;
    assert_eq!((&error["code"], &error["field"]), (&json!("bad_request"), &json!("after")));
}

#[tokio::test]
async fn the_list_of_devices_has_pages() {
    let node = Node::start();
    let app = App::of(&node);
    for device in 1..=5 {
        let mut raw = app.raw("alice", &format!("tab-{device}")).await;
        raw.ok("logout", json!({})).await;
        raw.ending().await;
    }
    let mut alice = app.raw("alice", "main").await;

    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let mut body = json!({"limit": 2});
        if let Some(after) = after.take() {
            body["after"] = after;
        }
        let page = alice.ok("device.list", body).await;
        seen.extend(listed(&page).into_iter().map(|(name, _)| name));
        match page.get("next") {
            Some(next) => after = Some(next.clone()),
            None => break,
        }
    }
    assert_eq!(seen, ["main", "tab-5", "tab-4", "tab-3", "tab-2", "tab-1"]);
}

#[tokio::test]
async fn a_session_is_told_before_its_token_runs_out_and_goes_on_with_a_new_one() {
    let node = Node::start();
    let app = App::of(&node);
    let _bob = app.raw("bob", "main").await;
    let mut alice = app.connect().await;
    let mut login = app.login("alice", "main");
    login["token"] = json!(app.token_signed_at("alice", now(), 3));
    alice.ok("login", login).await;

    let expires_at = alice.event("token.expiring").await["expires_at_ms"].as_i64().unwrap();
    assert!(UnixMs::new(expires_at).since(now()).abs() <= 4_000);
    // Whoever does not renew it is refused from then on, and keeps the order of what was sent.
    let (first, second) = (key(), key());
    let refused = loop {
        let reply = alice.0.call("ping", json!({})).await.unwrap();
        if let Some(error) = reply.get("error") {
            break error["code"].clone();
        }
    };
    assert_eq!(refused, "token_expired");
    for (command, body) in [
        ("ping", json!({})),
        ("device.list", json!({})),
        ("message.send", text("alice", first, "one")),
        ("message.send", text("alice", second, "two")),
    ] {
        assert_eq!(alice.code(command, body).await, "token_expired", "{command}");
    }

    assert_eq!(alice.code("token.renew", json!({"token": "x"})).await, "bad_token");
    let of_bob = app.token("bob");
    assert_eq!(alice.code("token.renew", json!({"token": of_bob})).await, "bad_token");
    let renewed = alice.ok("token.renew", json!({"token": app.token("alice")})).await;
    assert!(renewed["expires_at_ms"].as_i64().unwrap() > expires_at + 3_000_000, "{renewed}");
    assert_eq!(alice.code("message.send", text("alice", second, "two")).await, "order_broken");
    let one = alice.ok("message.send", text("alice", first, "one")).await;
    let two = alice.ok("message.send", text("alice", second, "two")).await;
    assert_eq!((&one["seq"], &two["seq"]), (&json!(1), &json!(2)));
}
