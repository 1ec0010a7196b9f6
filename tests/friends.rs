//! Who is whose friend.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use common::chat::{App, Raw};
use common::node::{Node, Options};
use common::postgres::Postgres;
use common::presence::{befriend, named, told};
use rookery::limits;
use serde_json::{Value, json};

async fn friends(raw: &mut Raw) -> Vec<String> {
    let mut all = Vec::new();
    let mut ask = json!({"limit": 2});
    loop {
        let page = raw.ok("friend.list", ask.clone()).await;
        let rows = page["friends"].as_array().unwrap();
        assert!(rows.len() <= 2);
        assert!(rows.iter().all(|row| row["since_ms"].as_i64().unwrap() > 1_600_000_000_000));
        all.extend(rows.iter().map(|row| row["user"].as_str().unwrap().to_owned()));
        match page.get("next") {
            Some(next) => ask["after"] = next.clone(),
            None => return all,
        }
    }
}

fn changed(user: &str, state: &str) -> Value {
    json!({"user": user, "state": state})
}

#[tokio::test]
async fn a_friendship_is_of_both_and_all_their_other_devices_hear_of_it() {
    let node = Node::start();
    let app = App::of(&node);
    let (mut phone, mut laptop) =
        (app.raw("alice", "phone").await, app.raw("alice", "laptop").await);
    let mut bob = app.raw("bob", "main").await;

    befriend(&mut phone, "bob").await;
    befriend(&mut phone, "bob").await;
    befriend(&mut bob, "alice").await;

    assert_eq!(laptop.event("friend.changed").await, changed("bob", "friends"));
    assert_eq!(bob.event("friend.changed").await, changed("alice", "friends"));
    assert_eq!(
        (friends(&mut laptop).await, friends(&mut bob).await),
        (vec!["bob".into()], vec!["alice".into()])
    );

    assert_eq!(bob.ok("friend.remove", json!({"user": "alice"})).await, json!({"state": "none"}));
    assert_eq!(bob.ok("friend.remove", json!({"user": "alice"})).await, json!({"state": "none"}));
    // What was the same again was told to nobody.
    for device in [&mut phone, &mut laptop] {
        assert_eq!(device.event("friend.changed").await, changed("bob", "none"));
        assert_eq!(friends(device).await, Vec::<String>::new());
    }
    befriend(&mut phone, "bob").await;
    assert_eq!(bob.event("friend.changed").await, changed("alice", "friends"));
}

#[tokio::test]
async fn nobody_is_their_own_friend_nor_that_of_one_who_is_not_there() {
    let postgres = Postgres::start(&[]).await;
    let node = Node::start_with(Options::default().env("ROOKERY__DATABASE__URL", &postgres.url()));
    let app = App::of(&node);
    let mut alice = app.raw("alice", "main").await;
    drop(app.raw("gone", "main").await);
    let sql = "update users set deactivated_at = now() where id = 'gone'";
    postgres.connect().await.execute(sql, &[]).await.unwrap();

    let error = alice.error("friend.add", json!({"user": "alice"})).await;
    assert_eq!((&error["code"], &error["field"]), (&json!("bad_request"), &json!("user")));
    for user in ["nobody", "gone", "system"] {
        let error = alice.error("friend.add", json!({"user": user})).await;
        assert_eq!(
            error,
            json!({"code": "not_found", "message": "there is no such user"}),
            "{user}"
        );
    }
    for user in ["nobody", "alice", "gone"] {
        let reply = alice.ok("friend.remove", json!({"user": user})).await;
        assert_eq!(reply, json!({"state": "none"}), "{user}");
    }
    for (cmd, body) in [
        ("friend.add", json!({})),
        ("friend.add", json!({"user": "no body"})),
        ("friend.remove", json!({"user": 7})),
        ("friend.list", json!({"limit": 0})),
        ("friend.list", json!({"after": "no place"})),
    ] {
        assert_eq!(alice.code(cmd, body.clone()).await, "bad_request", "{cmd} {body}");
    }
    assert_eq!(friends(&mut alice).await, Vec::<String>::new());
}

#[tokio::test]
async fn the_list_goes_by_id_and_each_stands_on_one_page() {
    let node = Node::start();
    let app = App::of(&node);
    let mut alice = app.raw("alice", "main").await;
    let mut names = ["dave", "Bob", "carol", "_x", "bob"].map(str::to_owned);
    for name in &names {
        drop(app.raw(name, "main").await);
        befriend(&mut alice, name).await;
    }

    names.sort_unstable();
    assert_eq!(friends(&mut alice).await, names);
}

#[tokio::test]
async fn a_user_has_three_thousand_friends_and_not_one_more() {
    let postgres = Postgres::start(&[]).await;
    let node = Node::start_with(Options::default().env("ROOKERY__DATABASE__URL", &postgres.url()));
    let app = App::of(&node);
    let mut alice = app.raw("alice", "main").await;
    let mut bob = app.raw("bob", "main").await;
    let mut carol = app.raw("carol", "main").await;
    let client = postgres.connect().await;
    // All but one of those whom she may have.
    client.batch_execute(include_str!("friends/many.sql")).await.unwrap();
    let count = "select count(*) from friends f join users u using (user_no) where u.id = 'alice'";
    let count = async || client.query_one(count, &[]).await.unwrap().get::<_, i64>(0);
    assert_eq!(count().await, limits::FRIENDS as i64 - 1);

    // Of two at once one finds room.
    let (by_bob, by_carol) = (
        bob.0.submit("friend.add", json!({"user": "alice"})).await.unwrap(),
        carol.0.submit("friend.add", json!({"user": "alice"})).await.unwrap(),
    );
    let replies = [bob.reply(by_bob).await, carol.reply(by_carol).await];

    let full = replies.iter().filter(|reply| reply["error"]["code"] == "full").count();
    let made = replies.iter().filter(|reply| reply["ok"]["state"] == "friends").count();
    assert_eq!((full, made), (1, 1), "{replies:?}");
    assert_eq!(count().await, limits::FRIENDS as i64);
    assert_eq!(alice.code("friend.add", json!({"user": "dave"})).await, "not_found");
    let outsider = if replies[0].get("error").is_some() { "bob" } else { "carol" };
    assert_eq!(alice.code("friend.add", json!({"user": outsider})).await, "full");
    // One who is a friend already needs no room.
    befriend(&mut alice, "friend7").await;
    alice.ok("friend.remove", json!({"user": "friend7"})).await;
    befriend(&mut alice, outsider).await;
    assert_eq!(count().await, limits::FRIENDS as i64);
    let odd = "select count(*) from friends f where not exists (
        select 1 from friends g where g.user_no = f.friend_no and g.friend_no = f.user_no)";
    assert_eq!(client.query_one(odd, &[]).await.unwrap().get::<_, i64>(0), 0, "each has two sides");
}

#[tokio::test]
async fn many_who_befriend_each_other_at_once_are_friends_once() {
    let node = Node::start();
    let app = App::of(&node);
    let (mut alice, mut bob) = (app.raw("alice", "main").await, app.raw("bob", "main").await);

    for _ in 0..20 {
        let mut asked = Vec::new();
        for cmd in ["friend.add", "friend.remove", "friend.add"] {
            asked.push((
                alice.0.submit(cmd, json!({"user": "bob"})).await.unwrap(),
                bob.0.submit(cmd, json!({"user": "alice"})).await.unwrap(),
            ));
        }
        for (by_alice, by_bob) in asked {
            assert!(alice.reply(by_alice).await.get("ok").is_some());
            assert!(bob.reply(by_bob).await.get("ok").is_some());
        }
        assert_eq!(friends(&mut alice).await.len(), friends(&mut bob).await.len());
    }
    befriend(&mut alice, "bob").await;
    assert_eq!(friends(&mut bob).await, ["alice"]);
}

#[tokio::test]
async fn friends_hear_of_each_other_from_the_first_to_the_last_moment_of_it() {
    let node = Node::start();
    let app = App::of(&node);
    let mut alice = app.raw("alice", "main").await;
    let (mut bob, mut carol) = (app.raw("bob", "main").await, app.raw("carol", "main").await);
    let busy = json!({"status": "busy"});

    // Of one who is no friend nothing is heard.
    befriend(&mut alice, "carol").await;
    bob.ok("presence.set", busy.clone()).await;
    carol.ok("presence.set", busy.clone()).await;
    loop {
        let changed = alice.event("presence.changed").await;
        let presences = changed["presences"].as_array().unwrap();
        assert!(presences.iter().all(|presence| presence["user"] != "bob"), "{presences:?}");
        if presences.iter().any(|presence| presence["status"] == "busy") {
            break;
        }
    }

    befriend(&mut alice, "bob").await;
    bob.ok("presence.set", json!({"status": "away"})).await;
    assert_eq!(told(&mut alice, "bob").await["status"], "away");

    bob.ok("friend.remove", json!({"user": "alice"})).await;
    bob.ok("presence.set", busy).await;
    carol.ok("presence.set", json!({"status": "dnd"})).await;
    assert_eq!(named(&mut alice).await, ["carol"]);
}
