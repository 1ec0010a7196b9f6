//! Who is there: what friends and watchers are told, and what anyone finds by asking.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::HashMap;
use std::time::Duration;

use common::chat::{App, Raw, key, now, patience, text};
use common::node::{Node, Options, data_folder};
use common::postgres::database_of;
use common::presence::{befriend, get, get_one, named, offline, told, without_last_seen};
use futures_util::future::join_all;
use rookery::limits;
use serde_json::{Value, json};

/// Of one who is there with a browser, and says so.
fn there(user: &str, state: &str, status: &str) -> Value {
    let platforms = [json!({"platform": "web", "state": state})];
    json!({"user": user, "state": state, "platforms": platforms, "status": status})
}

async fn set(raw: &mut Raw, body: Value) {
    raw.ok("presence.set", body).await;
}

/// Changes something of a user, of which another is told: what is told from then on has come later.
async fn change_for(raw: &mut Raw, other: &mut Raw, user: &str) {
    set(raw, json!({"state": "background"})).await;
    while told(other, user).await["state"] != "background" {}
}

/// alice and bob, who are friends; and bob's connection is gone again.
async fn alice_and_bob(app: &App) -> Raw {
    let mut alice = app.raw("alice", "main").await;
    let mut bob = app.raw("bob", "main").await;
    befriend(&mut bob, "alice").await;
    change_for(&mut bob, &mut alice, "bob").await;
    bob.ok("logout", json!({})).await;
    assert_eq!(told(&mut alice, "bob").await["state"], "offline");
    alice
}

#[tokio::test]
async fn a_friend_is_told_of_each_change_and_finds_the_same_by_asking() {
    let node = Node::start();
    let app = App::of(&node);
    let mut alice = alice_and_bob(&app).await;

    let mut bob = app.raw("bob", "main").await;
    let mut expected = vec![there("bob", "online", "available")];
    let mut seen = vec![told(&mut alice, "bob").await];
    assert_eq!(get(&mut alice, &["bob"]).await, expected);
    for (body, is_now) in [
        (json!({"state": "background"}), there("bob", "background", "available")),
        (json!({"status": "dnd"}), there("bob", "background", "dnd")),
        (json!({"state": "online", "last_seen": "friends"}), there("bob", "online", "dnd")),
    ] {
        set(&mut bob, body).await;
        assert_eq!(get_one(&mut alice, "bob").await, is_now);
        assert_eq!(get_one(&mut bob, "bob").await, is_now);
        seen.push(told(&mut alice, "bob").await);
        expected.push(is_now);
    }
    assert_eq!(seen, expected);

    set(&mut bob, json!({"status": "busy", "text": "写代码 \"…\""})).await;
    let busy = told(&mut alice, "bob").await;
    assert_eq!((&busy["status"], &busy["text"]), (&json!("busy"), &json!("写代码 \"…\"")));
    bob.ok("logout", json!({})).await;
    let gone = told(&mut alice, "bob").await;
    assert_eq!(get_one(&mut alice, "bob").await, gone);
    assert!(gone["last_seen_ms"].is_i64(), "{gone}");
    assert_eq!(without_last_seen(gone), offline("bob"));

    // What was chosen outlives the session.
    let mut bob = app.raw("bob", "other").await;
    let back = told(&mut alice, "bob").await;
    assert_eq!(back, busy);
    assert_eq!(get_one(&mut bob, "bob").await, busy);
}

#[tokio::test]
async fn changes_within_a_second_are_told_as_one_and_a_reconnect_is_none() {
    let node = Node::start();
    let app = App::of(&node);
    let mut alice = alice_and_bob(&app).await;
    let mut bob = app.raw("bob", "main").await;
    let mut carol = app.raw("carol", "main").await;
    befriend(&mut alice, "carol").await;
    told(&mut alice, "bob").await;
    change_for(&mut carol, &mut alice, "carol").await;

    let mut asked = Vec::new();
    for status in ["away", "busy", "dnd"] {
        asked.push(bob.0.submit("presence.set", json!({"status": status})).await.unwrap());
    }
    for id in asked {
        assert!(bob.reply(id).await.get("ok").is_some());
    }
    let at_last = get_one(&mut alice, "bob").await;
    assert_eq!(told(&mut alice, "bob").await, at_last);

    // The same device again; the goodbye of its former connection comes late.
    let mut again = app.raw("bob", "main").await;
    assert_eq!(bob.closed().await, 4501);
    drop(bob);
    again.ok("ping", json!({})).await;
    set(&mut carol, json!({"status": "busy"})).await;
    assert_eq!(named(&mut alice).await, ["carol"]);
    assert_eq!(get_one(&mut alice, "bob").await, at_last);
}

#[tokio::test]
async fn who_asked_within_the_second_that_is_told_as_one_hears_how_it_ended() {
    let node = Node::start();
    let app = App::of(&node);
    let mut alice = alice_and_bob(&app).await;

    let mut bob = app.raw("bob", "main").await;
    while get_one(&mut alice, "bob").await["state"] != "online" {}
    bob.ok("logout", json!({})).await;

    // What was told before is that, too.
    while told(&mut alice, "bob").await["state"] != "offline" {}
}

#[tokio::test]
async fn who_is_invisible_is_offline_to_all_but_their_own_devices() {
    let folder = data_folder();
    let mut node = Node::start_in(folder.path(), Options::default());
    let app = App::of(&node);
    let mut alice = alice_and_bob(&app).await;
    let (mut carol, mut dave) = (app.raw("carol", "main").await, app.raw("dave", "main").await);
    befriend(&mut alice, "dave").await;
    let mut bob = app.raw("bob", "main").await;
    let mut tab = app.raw("bob", "tab").await;
    told(&mut alice, "bob").await;
    change_for(&mut dave, &mut alice, "dave").await;
    carol.ok("presence.watch", json!({"users": ["bob", "dave"]})).await;

    set(&mut bob, json!({"status": "invisible", "text": "hiding", "last_seen": "nobody"})).await;

    for other in [&mut alice, &mut carol] {
        assert_eq!(told(other, "bob").await, offline("bob"));
        assert_eq!(get_one(other, "bob").await, offline("bob"));
        let watched = other.ok("presence.watch", json!({"users": ["bob"]})).await;
        assert_eq!(watched["presences"], json!([offline("bob")]));
    }
    let own = told(&mut tab, "bob").await;
    assert_eq!((&own["status"], &own["text"]), (&json!("invisible"), &json!("hiding")));
    assert_eq!(get_one(&mut bob, "bob").await, own);

    // Whatever such a user does, nobody hears of it, nor of coming back after the server's restart.
    set(&mut bob, json!({"state": "background"})).await;
    tab.ok("logout", json!({})).await;
    bob.ok("logout", json!({})).await;
    let mut bob = app.raw("bob", "main").await;
    set(&mut dave, json!({"status": "busy"})).await;
    assert_eq!(named(&mut alice).await, ["dave"]);
    assert_eq!(named(&mut carol).await, ["dave"]);
    assert_eq!(get_one(&mut bob, "bob").await["status"], "invisible");

    assert!(node.stop().success());
    let node = Node::start_in(folder.path(), Options::default());
    let app = app.moved_to(&node);
    let (mut alice, mut bob) = (app.raw("alice", "main").await, app.raw("bob", "main").await);
    assert_eq!(get_one(&mut alice, "bob").await, offline("bob"));
    set(&mut bob, json!({"status": "available"})).await;
    assert_eq!(told(&mut alice, "bob").await, there("bob", "online", "available"));
}

#[tokio::test]
async fn tabs_of_one_user_stay_in_step_and_the_last_one_makes_the_user_leave() {
    let node = Node::start();
    let app = App::of(&node);
    let mut alice = alice_and_bob(&app).await;
    let (mut one, mut other) = (app.raw("bob", "one").await, app.raw("bob", "other").await);
    let mut phone = app.connect().await;
    let device = json!({"id": "phone", "platform": "ios"});
    let login = json!({"user": "bob", "token": app.token("bob"), "device": device});
    phone.ok("login", login).await;
    // However soon the phone came after the tabs, in the end all are there.
    while told(&mut alice, "bob").await["platforms"].as_array().map_or(0, Vec::len) < 2 {}

    set(&mut one, json!({"status": "away", "state": "background"})).await;
    for device in [&mut other, &mut phone] {
        while told(device, "bob").await["status"] != "away" {}
    }
    let seen = told(&mut alice, "bob").await;
    let platforms =
        json!([{"platform": "web", "state": "online"}, {"platform": "ios", "state": "online"}]);
    assert_eq!((&seen["state"], &seen["platforms"]), (&json!("online"), &platforms));

    other.ok("logout", json!({})).await;
    let platforms =
        json!([{"platform": "ios", "state": "online"}, {"platform": "web", "state": "background"}]);
    assert_eq!(told(&mut alice, "bob").await["platforms"], platforms);
    while told(&mut one, "bob").await["platforms"] != platforms {}
    phone.ok("logout", json!({})).await;
    assert_eq!(told(&mut alice, "bob").await["state"], "background");
    one.ok("logout", json!({})).await;
    assert_eq!(without_last_seen(told(&mut alice, "bob").await), offline("bob"));
}

#[tokio::test]
async fn when_a_user_was_last_there_is_seen_by_those_whom_they_let() {
    let node = Node::start();
    let app = App::of(&node);
    let (mut alice, mut carol) = (app.raw("alice", "main").await, app.raw("carol", "main").await);
    let before = now().get();
    let users = ["everyone", "friends", "nobody"];
    carol.ok("presence.watch", json!({"users": users})).await;

    for user in users {
        let mut raw = app.raw(user, "main").await;
        befriend(&mut raw, "alice").await;
        set(&mut raw, json!({"last_seen": user})).await;
        change_for(&mut raw, &mut alice, user).await;
        raw.ok("logout", json!({})).await;
        let told = [
            told(&mut alice, user).await,
            loop {
                let told = told(&mut carol, user).await;
                if told["state"] == "offline" {
                    break told;
                }
            },
        ];
        let found = [get_one(&mut alice, user).await, get_one(&mut carol, user).await];
        assert_eq!(told, found);
        let sees = found.map(|presence| {
            let last_seen = presence["last_seen_ms"].as_i64();
            let minute = before - before.rem_euclid(60_000);
            assert!(last_seen.is_none_or(|last_seen| last_seen >= minute), "{last_seen:?}");
            assert_eq!(without_last_seen(presence), offline(user));
            last_seen.is_some()
        });
        assert_eq!(sees, [user != "nobody", user == "everyone"], "{user}");
    }
}

#[tokio::test]
async fn who_asked_while_a_user_left_finds_when_that_was() {
    let node = Node::start();
    let app = App::of(&node);
    let mut alice = alice_and_bob(&app).await;
    // Whether bob is a friend takes the database three seconds to say, once alice asks; all else is as fast as before.
    let slow = "alter table friends rename to friends_kept;
        create view friends as select * from friends_kept where case
            when user_no = (select user_no from users where id = 'alice') and friend_id = 'bob'
            then pg_sleep(3) is not null else true end";
    let mut bob = app.raw("bob", "main").await;
    assert_eq!(told(&mut alice, "bob").await["state"], "online");
    let database = database_of(&node).await;
    // He left before already, in the same minute maybe.
    database.execute("delete from presences", &[]).await.unwrap();
    database.batch_execute(slow).await.unwrap();

    let asked = alice.0.submit("presence.get", json!({"users": ["bob"]})).await.unwrap();
    bob.ok("logout", json!({})).await;
    let told = told(&mut alice, "bob").await;
    let found = alice.reply(asked).await;

    assert!(told["last_seen_ms"].is_i64(), "{told}");
    assert_eq!(found["ok"]["presences"][0], told);
}

#[tokio::test]
async fn one_who_may_not_be_seen_looks_like_one_who_does_not_exist() {
    let node = Node::start();
    let app = App::of(&node);
    let mut hidden = app.raw("hidden", "main").await;
    set(&mut hidden, json!({"status": "invisible", "text": "x", "last_seen": "nobody"})).await;
    let mut parted = app.raw("parted", "main").await;
    set(&mut parted, json!({"status": "busy", "text": "x", "last_seen": "nobody"})).await;
    parted.ok("logout", json!({})).await;
    let mut carol = app.raw("carol", "main").await;

    for cmd in ["presence.get", "presence.watch", "presence.unwatch"] {
        let mut answers = Vec::new();
        for user in ["nobody", "hidden", "parted"] {
            let frame = json!({"id": 7, "cmd": cmd, "body": {"users": [user]}});
            carol.0.send_frame(&frame).await.unwrap();
            let answer = loop {
                let frame = patience("an answer", carol.0.text()).await.unwrap();
                if frame.contains(r#""re":7"#) {
                    break frame;
                }
            };
            assert!(answer.contains(r#""ok""#), "{answer}");
            // All that may differ: the name, and until when is watched.
            let until = answer.find(r#""until_ms":"#).map(|at| at + 11);
            let answer =
                until.map_or(answer.clone(), |at| answer[..at].to_owned() + &answer[at + 13..]);
            answers.push(answer.replace(user, "……"));
        }
        assert_eq!(answers[1..], [answers[0].clone(), answers[0].clone()], "{cmd}");
    }
}

#[tokio::test]
async fn a_watcher_is_told_until_the_time_is_over_or_it_has_seen_enough() {
    let node = Node::start();
    let app = App::of(&node);
    let mut carol = app.raw("carol", "main").await;
    let (mut alice, mut bob) = (app.raw("alice", "main").await, app.raw("bob", "main").await);

    let watched = carol.ok("presence.watch", json!({"users": ["bob", "newcomer", "bob"]})).await;
    let names: Vec<_> =
        watched["presences"].as_array().unwrap().iter().map(|it| it["user"].clone()).collect();
    assert_eq!(names, ["bob", "newcomer"], "each once");
    let until = watched["until_ms"].as_i64().unwrap();
    assert!((until - now().get() - 300_000).abs() < 60_000, "five minutes: {until}");
    assert_eq!(watched.get("dropped"), None);
    set(&mut bob, json!({"status": "busy"})).await;
    while told(&mut carol, "bob").await["status"] != "busy" {}
    // Who did not exist when it was watched is told of like anyone.
    let mut newcomer = app.raw("newcomer", "main").await;
    assert_eq!(told(&mut carol, "newcomer").await, there("newcomer", "online", "available"));

    let for_a_second = json!({"users": ["bob"], "ttl_s": 1});
    let until = carol.ok("presence.watch", for_a_second).await["until_ms"].as_i64().unwrap();
    carol.ok("presence.watch", json!({"users": ["alice"]})).await;
    carol.ok("presence.unwatch", json!({"users": ["newcomer", "stranger"]})).await;
    while carol.ok("ping", json!({})).await["server_time_ms"].as_i64().unwrap() <= until {}
    set(&mut bob, json!({"status": "away"})).await;
    set(&mut newcomer, json!({"status": "away"})).await;
    set(&mut alice, json!({"status": "away"})).await;
    assert_eq!(named(&mut carol).await, ["alice"]);

    carol.ok("presence.watch", json!({"users": ["bob", "newcomer"]})).await;
    assert_eq!(carol.ok("presence.unwatch", json!({})).await, json!({}));
    for raw in [&mut bob, &mut newcomer, &mut alice] {
        set(raw, json!({"status": "dnd"})).await;
    }
    carol.ok("presence.watch", json!({"users": ["alice"]})).await;
    set(&mut alice, json!({"status": "busy"})).await;
    assert_eq!(named(&mut carol).await, ["alice"]);
}

#[tokio::test]
async fn lists_have_an_end_and_the_ones_watched_for_longest_make_room() {
    let node = Node::start();
    let app = App::of(&node);
    let mut carol = app.raw("carol", "main").await;
    let mut bob = app.raw("bob", "main").await;
    let names = |from: usize, to: usize| (from..to).map(|n| format!("u{n}")).collect::<Vec<_>>();
    let refused = async |raw: &mut Raw, cmd: &str, body: Value, field: &str| {
        let error = raw.error(cmd, body.clone()).await;
        assert_eq!(
            (&error["code"], &error["field"]),
            (&json!("bad_request"), &json!(field)),
            "{cmd} {body}: {error}"
        );
    };

    let most = names(0, limits::PRESENCE_USERS);
    let found = carol.ok("presence.get", json!({"users": most})).await;
    assert!(
        found["presences"]
            .as_array()
            .unwrap()
            .iter()
            .zip(&most)
            .all(|(it, user)| *it == offline(user))
    );
    assert_eq!(found["presences"].as_array().unwrap().len(), limits::PRESENCE_USERS);
    let watched = carol.ok("presence.watch", json!({"users": names(0, limits::WATCHED)})).await;
    assert_eq!(watched["presences"].as_array().unwrap().len(), limits::WATCHED);
    assert_eq!(watched.get("dropped"), None);
    let again = carol.ok("presence.watch", json!({"users": ["u0"]})).await;
    assert_eq!(again.get("dropped"), None, "watched already");
    let more = carol.ok("presence.watch", json!({"users": ["bob", "alice"]})).await;
    assert_eq!(more["dropped"], json!(["u1", "u2"]));
    set(&mut bob, json!({"status": "busy"})).await;
    while told(&mut carol, "bob").await["status"] != "busy" {}

    for (cmd, body, field) in [
        ("presence.get", json!({"users": names(0, limits::PRESENCE_USERS + 1)}), "users"),
        ("presence.get", json!({"users": []}), "users"),
        ("presence.get", json!({}), "users"),
        ("presence.watch", json!({"users": names(0, limits::WATCHED + 1)}), "users"),
        ("presence.watch", json!({"users": []}), "users"),
        ("presence.watch", json!({"users": ["bob"], "ttl_s": 0}), "ttl_s"),
        ("presence.watch", json!({"users": ["bob"], "ttl_s": limits::WATCH_MOST_S + 1}), "ttl_s"),
        ("presence.unwatch", json!({"users": names(0, limits::WATCHED + 1)}), "users"),
        ("presence.set", json!({"text": "alone"}), "text"),
        ("presence.set", json!({"until_ms": now().get() + 9_000_000}), "until_ms"),
        (
            "presence.set",
            json!({"status": "busy", "until_ms": now().get() - 1_000_000}),
            "until_ms",
        ),
        (
            "presence.set",
            json!({"status": "busy", "text": "x".repeat(limits::STATUS_TEXT_BYTES + 1)}),
            "text",
        ),
        ("presence.set", json!({"status": "busy", "text": "a\u{0}b"}), "text"),
        ("presence.set", json!({"status": "asleep"}), "status"),
        ("presence.set", json!({"state": "offline"}), "state"),
        ("presence.set", json!({"last_seen": "me"}), "last_seen"),
    ] {
        refused(&mut carol, cmd, body, field).await;
    }
    let words = "é".repeat(limits::STATUS_TEXT_BYTES / 2);
    let all = json!({"status": "busy", "text": words, "until_ms": now().get() + 90_000_000});
    let own = carol.ok("presence.set", all).await;
    assert_eq!(own["presences"][0]["text"], words);
    let unchanged = carol.ok("presence.set", json!({})).await;
    assert_eq!(unchanged, own);
}

#[tokio::test]
async fn a_status_ends_by_itself_and_everyone_hears_of_it() {
    let node = Node::start();
    let app = App::of(&node);
    let mut alice = alice_and_bob(&app).await;
    let (mut bob, mut tab) = (app.raw("bob", "main").await, app.raw("bob", "tab").await);
    told(&mut alice, "bob").await;
    let server = bob.ok("ping", json!({})).await["server_time_ms"].as_i64().unwrap();

    let until = server + 5_000;
    set(&mut bob, json!({"status": "busy", "text": "a minute", "until_ms": until})).await;

    for device in [&mut alice, &mut tab] {
        let busy = told(device, "bob").await;
        assert_eq!((&busy["status"], &busy["until_ms"]), (&json!("busy"), &json!(until)));
    }
    for device in [&mut alice, &mut tab] {
        assert_eq!(told(device, "bob").await, there("bob", "online", "available"));
    }
}

#[tokio::test]
async fn after_a_restart_those_who_do_not_come_back_are_offline_since_then() {
    let folder = data_folder();
    let mut node = Node::start_in(folder.path(), Options::default());
    let app = App::of(&node);
    let mut alice = app.raw("alice", "main").await;
    let before = now().get();
    let (mut bob, mut hidden) = (app.raw("bob", "main").await, app.raw("hidden", "main").await);
    befriend(&mut bob, "alice").await;
    set(&mut hidden, json!({"status": "invisible"})).await;
    change_for(&mut bob, &mut alice, "bob").await;

    node.kill();
    let mut node = Node::start_in(folder.path(), Options::default());

    let app = app.moved_to(&node);
    let mut alice = app.raw("alice", "main").await;
    let [gone, unseen] = <[Value; 2]>::try_from(get(&mut alice, &["bob", "hidden"]).await).unwrap();
    assert!(gone["last_seen_ms"].as_i64().unwrap() > before - 60_000 - 10_000, "{gone}");
    assert_eq!((without_last_seen(gone), unseen), (offline("bob"), offline("hidden")));
    let bob = app.raw("bob", "main").await;
    assert_eq!(told(&mut alice, "bob").await, there("bob", "online", "available"));

    // One that stops in order tells it the same way.
    drop(bob);
    assert_eq!(told(&mut alice, "bob").await["state"], "offline");
    let before = now().get();
    let _bob = app.raw("bob", "main").await;
    assert_eq!(told(&mut alice, "bob").await["state"], "online");
    assert!(node.stop().success());
    let node = Node::start_in(folder.path(), Options::default());
    let mut alice = app.moved_to(&node).raw("alice", "main").await;
    let gone = get_one(&mut alice, "bob").await;
    assert!(gone["last_seen_ms"].as_i64().unwrap() > before - 60_000, "{gone}");
    assert_eq!(without_last_seen(gone), offline("bob"));
}

#[tokio::test]
async fn a_dead_link_is_offline_within_a_minute() {
    let node = Node::start();
    let app = App::of(&node);
    let mut alice = alice_and_bob(&app).await;
    // It says nothing any more, and nothing says that it is gone.
    let bob = app.raw("bob", "main").await;
    assert_eq!(told(&mut alice, "bob").await["state"], "online");

    let gone = loop {
        alice.ok("ping", json!({})).await;
        let quiet = Duration::from_secs(20);
        if let Ok(gone) = tokio::time::timeout(quiet, told(&mut alice, "bob")).await {
            break gone;
        }
        let is_there = get_one(&mut alice, "bob").await["state"] == "online";
        assert!(is_there, "whoever is offline was told to be");
    };

    assert_eq!(without_last_seen(gone), offline("bob"));
    drop(bob);
}

#[tokio::test]
async fn a_flood_of_changes_starves_no_message_and_ends_with_the_truth() {
    const USERS: usize = 500;
    const AT_ONCE: usize = 25;
    const CHANGES: usize = 20;
    let node = Node::start();
    let app = App::of(&node);
    let mut alice = app.raw("alice", "main").await;
    let mut users = Vec::new();
    // Many at once, so that the first are not taken for dead before the last are in.
    for first in (0..USERS).step_by(AT_ONCE) {
        let entering = (first..first + AT_ONCE).map(async |n| {
            let mut raw = app.raw(&format!("u{n}"), "main").await;
            if n % 2 == 0 {
                befriend(&mut raw, "alice").await;
            }
            raw
        });
        users.extend(join_all(entering).await);
        alice.ok("ping", json!({})).await;
    }
    let (mut carol, mut dave) = (app.raw("carol", "main").await, app.raw("dave", "main").await);

    let flooding: Vec<_> = users.into_iter().map(|raw| tokio::spawn(flood(raw, CHANGES))).collect();
    // What she hears are hints; the last one of each friend is the truth.
    let hearing = tokio::spawn(async move {
        let mut last = HashMap::new();
        while last.len() < USERS / 2 || last.values().any(|text| text != "at last") {
            let changed = alice.event("presence.changed").await;
            for presence in changed["presences"].as_array().unwrap() {
                let user = presence["user"].as_str().unwrap().to_owned();
                last.insert(user, presence["text"].clone());
            }
            alice.ok("ping", json!({})).await;
        }
        last
    });
    let mut messages = 0;
    while messages < 50 || flooding.iter().any(|user| !user.is_finished()) {
        say(&mut carol, &mut dave, "dave").await;
        say(&mut dave, &mut carol, "carol").await;
        messages += 2;
    }

    let last = hearing.await.unwrap();
    let is_friend = |user: &String| user[1..].parse::<usize>().unwrap() % 2 == 0;
    assert!(last.len() == USERS / 2 && last.keys().all(is_friend), "{:?}", last.keys());
    for user in flooding {
        drop(user.await.unwrap());
    }
}

/// Sends a message, which is acked and arrives.
async fn say(from: &mut Raw, to: &mut Raw, user: &str) {
    from.ok("message.send", text(user, key(), "through")).await;
    assert_eq!(to.event("message.new").await["content"]["text"], "through");
}

/// Changes a status as fast as it can, and says something at last.
async fn flood(mut raw: Raw, changes: usize) -> Raw {
    for change in 0..changes {
        let status = ["away", "busy", "dnd", "available"][change % 4];
        set(&mut raw, json!({"status": status})).await;
    }
    set(&mut raw, json!({"status": "away", "text": "at last"})).await;
    raw
}
