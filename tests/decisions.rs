//! Decisions about sessions while others log in, renew, read nothing, or speak over TCP.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should end"
)]

mod common;

use std::time::{Duration, Instant};

use common::chat::{App, Raw, WAYS, key, now, patience, text};
use common::node::{Node, Options, data_folder};
use common::rest::Backend;
use futures_util::future::join_all;
use rookery::client::raw::{Opening, Transport};
use rookery::ids::UnixMs;
use rookery::limits;
use rookery::protocol::Platform;
use rookery::protocol::codec::Codec;
use serde_json::{Value, json};

/// Asks over REST beside what else goes on.
async fn ask(backend: &Backend, path: String, body: Value) -> Value {
    let backend = backend.clone();
    let asked = tokio::task::spawn_blocking(move || backend.post(&path, &body).done(200));
    patience("an answer over REST", asked).await.unwrap()
}

/// Tries to log in; none when it was refused or ended before its answer.
async fn try_login(app: &App, login: Value) -> Option<Raw> {
    let mut raw = app.connect().await;
    let reply = patience("a login", raw.0.call("login", login)).await;
    reply.is_ok_and(|reply| reply.get("ok").is_some()).then_some(raw)
}

async fn is_in(raw: &mut Raw) -> bool {
    patience("an answer or the end", raw.0.call("ping", json!({})))
        .await
        .is_ok_and(|reply| reply.get("ok").is_some())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_login_with_a_revoked_token_outlives_the_answer_however_they_race() {
    const ROUNDS: usize = 60;
    let node = Node::start();
    let (app, backend) = (App::of(&node), Backend::of(&node));
    let (mut came_in, mut ended) = (0, 0);

    for round in 0..ROUNDS {
        let user = format!("user-{round}");
        // Signed a second ago, for a busy server may be some milliseconds behind the clock that signs.
        let token = app.token_signed_at(&user, UnixMs::new(now().get() - 1_000), 3600);
        let login = |device| {
            let mut login = app.login(&user, device);
            login["token"] = json!(token);
            login
        };
        let mut there = app.connect().await;
        there.ok("login", login("there")).await;
        // Given in the same moment as the login, to a session that is in.
        let (old, again) = (login("racer"), token.clone());
        let (revoked, racer, renewed) = tokio::join!(
            ask(&backend, format!("/users/{user}/revoke"), json!({})),
            try_login(&app, old.clone()),
            there.0.call("token.renew", json!({"token": again})),
        );

        if let Some(mut racer) = racer {
            came_in += 1;
            assert!(!is_in(&mut racer).await, "round {round}: a revoked token is in: {revoked}");
        }
        assert!(!is_in(&mut there).await, "round {round}: renewed past a revocation: {renewed:?}");
        ended += revoked["ended"].as_array().unwrap().len();
        assert!(try_login(&app, old).await.is_none(), "round {round}");
        let devices = app.raw(&user, "new").await.ok("device.list", json!({})).await;
        let rows = devices["devices"].as_array().unwrap().iter();
        assert_eq!(rows.filter(|row| row["online"] == true).count(), 1, "{devices}");
    }
    println!("{ROUNDS} revocations: {came_in} logins came in and went, {ended} sessions named");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_deactivated_is_out_when_the_answer_comes_however_they_race() {
    const ROUNDS: usize = 100;
    let node = Node::start();
    let (app, backend) = (App::of(&node), Backend::of(&node));

    for round in 0..ROUNDS {
        let user = format!("user-{round}");
        let mut there = app.raw(&user, "there").await;
        let logins = (0..3).map(|nth| try_login(&app, app.login(&user, &format!("racer-{nth}"))));
        let (_, racers) = tokio::join!(
            ask(&backend, format!("/users/{user}/deactivate"), json!({})),
            join_all(logins),
        );

        for raw in racers.into_iter().flatten().chain([there]) {
            there = raw;
            assert!(!is_in(&mut there).await, "round {round}");
        }
        let user = backend.get(&format!("/users/{user}")).done(200);
        assert_eq!((&user["deactivated"], &user["online"]), (&json!(true), &json!(false)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_policy_acts_at_the_next_login_or_at_once_when_told_so() {
    let node = Node::start();
    let (app, backend) = (App::of(&node), Backend::of(&node));
    let mut tabs = Vec::new();
    for nth in 0..4 {
        tabs.push(app.raw("alice", &format!("tab-{nth}")).await);
    }
    let mut phone = app.raw_from("alice", Platform::Ios, "phone").await;
    let mut bob = app.raw("bob", "tab").await;

    let mut rules = json!({"mode": "all", "on_conflict": "newest_wins", "caps": {"web": 2}});
    backend.send("PUT", "/app/login-policy", &rules).done(200);
    for raw in tabs.iter_mut().chain([&mut phone]) {
        assert!(is_in(raw).await, "a changed policy ends nobody by itself");
    }
    rules["apply_now"] = json!(true);
    assert_eq!(backend.send("PUT", "/app/login-policy", &rules).done(200)["ended"], 2);
    for raw in &mut tabs[..2] {
        let kicked = raw.event("session.kicked").await;
        assert_eq!((&kicked["reason"], kicked.get("by")), (&json!("policy"), None), "{kicked}");
        assert_eq!(raw.closed().await, 4501);
    }
    for raw in tabs[2..].iter_mut().chain([&mut phone, &mut bob]) {
        assert!(is_in(raw).await);
    }

    // Of what does not fit together the newest stays.
    let single = json!({"mode": "single", "on_conflict": "refuse_newcomer", "apply_now": true});
    assert_eq!(backend.send("PUT", "/app/login-policy", &single).done(200)["ended"], 2);
    assert!(is_in(&mut phone).await && is_in(&mut bob).await);
    assert!(!is_in(&mut tabs[2]).await && !is_in(&mut tabs[3]).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_in_is_told_why_and_closed_with_the_code() {
    let node = Node::start();
    let (app, backend) = (App::of(&node), Backend::of(&node));
    for (nth, way) in WAYS.into_iter().enumerate() {
        let app = app.by(way);
        let user = format!("user-{nth}");
        let path = format!("/users/{user}");
        let mut first = app.raw_from(&user, Platform::Ios, "first").await;
        let mut second = app.raw_from(&user, Platform::Ios, "second").await;
        let kicked = first.next_event("session.kicked").await;
        assert_eq!((&kicked["reason"], &kicked["by"]), (&json!("policy"), &json!("second")));
        assert_eq!(first.closed().await, 4501, "{way:?}");

        ask(&backend, format!("{path}/kick"), json!({"device": "second"})).await;
        let kicked = second.next_event("session.kicked").await;
        assert_eq!((&kicked["reason"], kicked.get("by")), (&json!("kicked"), None));
        assert_eq!(second.closed().await, 4501, "{way:?}");

        let mut third = app.raw(&user, "third").await;
        ask(&backend, format!("{path}/revoke"), json!({})).await;
        assert_eq!(third.next_event("session.kicked").await["reason"], "revoked");
        assert_eq!(third.closed().await, 4502, "{way:?}");

        let mut fourth = app.raw(&user, "fourth").await;
        ask(&backend, format!("{path}/deactivate"), json!({})).await;
        assert_eq!(fourth.closed().await, 4503, "{way:?}");
        let mut fifth = app.connect().await;
        assert_eq!(fifth.code("login", app.login(&user, "fifth")).await, "forbidden");
        assert_eq!(fifth.closed().await, 4503, "{way:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loser_that_does_not_read_keeps_no_winner_waiting() {
    let node = Node::start();
    let app = App::of(&node);
    let mut bob = app.raw("bob", "main").await;
    for transport in [Transport::WebSocket, Transport::Tcp] {
        let narrow = Opening { receive_buffer: Some(4096), ..Opening::by(transport, Codec::Json) };
        let mut stuck = app.connect_with(&narrow).await;
        stuck.ok("login", app.login_from("alice", Platform::Ios, "stuck")).await;
        // More than the kernel takes for it.
        let large = "x".repeat(30_000);
        for _ in 0..200 {
            bob.ok("message.send", text("alice", key(), &large)).await;
        }

        let began = Instant::now();
        let mut winner = app.raw_from("alice", Platform::Android, "winner").await;
        let took = began.elapsed();

        assert!(took < Duration::from_secs(5), "{transport:?}: {took:?}");
        winner.ok("message.send", text("bob", key(), "here")).await;
        let devices = winner.ok("device.list", json!({})).await;
        let row = |id: &str| {
            let rows = devices["devices"].as_array().unwrap();
            rows.iter().find(|row| row["device"]["id"] == id).unwrap()["online"].clone()
        };
        assert_eq!((row("stuck"), row("winner")), (json!(false), json!(true)));
        stuck.ending().await;
        assert!(stuck.0.kept().all(|frame| frame.get("ok").is_none()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_s_list_of_devices_has_an_end() {
    let node = Node::start();
    let app = App::of(&node);
    let mut first = app.raw("alice", "first").await;
    for nth in 1..limits::DEVICES_KEPT {
        let mut raw = app.raw_from("alice", Platform::Linux, &format!("d{nth}")).await;
        raw.ok("logout", json!({})).await;
        raw.ending().await;
    }
    let names = async |raw: &mut Raw| -> Vec<String> {
        let page = raw.ok("device.list", json!({"limit": 200})).await;
        let rows = page["devices"].as_array().unwrap().iter();
        rows.map(|row| row["device"]["id"].as_str().unwrap().to_owned()).collect()
    };
    let all = names(&mut first).await;
    assert_eq!(all.len(), limits::DEVICES_KEPT);
    assert!(all.contains(&"d1".to_owned()));

    let _one_more = app.raw("alice", "one-more").await;

    let all = names(&mut first).await;
    assert_eq!(all.len(), limits::DEVICES_KEPT);
    // The one that ended first is forgotten; one that is in never is.
    assert!(!all.contains(&"d1".to_owned()) && all.contains(&"d2".to_owned()), "{all:?}");
    assert_eq!((&all[0], all.last().unwrap()), (&"one-more".to_owned(), &"first".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_resume_can_say_is_refused_and_a_kicked_device_stays_away_whatever_it_names() {
    let node = Node::start();
    let app = App::of(&node);
    let mut raw = app.connect().await;
    for wrong in ["", "-1", "1.5", "x", "9223372036854775808", "99999999999999999999999"] {
        let mut login = app.login("alice", "tab");
        login["resume"] = json!({"login_no": wrong});
        let error = raw.error("login", login).await;
        assert_eq!(
            (&error["code"], &error["field"]),
            (&json!("bad_request"), &json!("resume.login_no")),
            "{wrong:?}"
        );
    }
    let mut login = app.login_from("alice", Platform::Ios, "phone");
    login["resume"] = json!({"login_no": "9223372036854775807"});
    let opened = raw.ok("login", login.clone()).await;

    // Ended by a person, it does not come back by itself, also when it names a session before that one.
    let mut tab = app.raw("alice", "tab").await;
    tab.ok("device.kick", json!({"device": "phone"})).await;
    for number in ["0", opened["login_no"].as_str().unwrap()] {
        login["resume"] = json!({"login_no": number});
        let mut again = app.connect().await;
        assert_eq!(again.code("login", login.clone()).await, "conflict", "{number}");
        assert_eq!(again.closed().await, 4501);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_leaves_nobody_in_who_could_keep_others_out() {
    let folder = data_folder();
    let mut node = Node::start_in(folder.path(), Options::default());
    let app = App::of(&node);
    let single = json!({"mode": "single", "on_conflict": "refuse_newcomer"});
    Backend::of(&node).send("PUT", "/app/login-policy", &single).done(200);
    let _stays = app.raw("bob", "before").await;

    node.kill();
    node = Node::start_in(folder.path(), Options::default());

    let app = app.moved_to(&node);
    let mut bob = app.raw("bob", "after").await;
    let devices = bob.ok("device.list", json!({})).await;
    let online = |row: &Value| row["online"].as_bool().unwrap();
    let online: Vec<bool> = devices["devices"].as_array().unwrap().iter().map(online).collect();
    assert_eq!(online, [true, false]);
}

/// When the newest of one's devices logged in, by the server's clock in milliseconds.
async fn newest_login(raw: &mut Raw) -> i64 {
    let listed = raw.ok("device.list", json!({})).await;
    let devices = listed["devices"].as_array().unwrap();
    devices.iter().filter_map(|device| device["logged_in_at_ms"].as_i64()).max().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_logs_in_from_everywhere_at_once_keeps_nobody_else_waiting() {
    const AT_ONCE: usize = 300;
    let node = Node::start();
    let app = App::of(&node);
    let mut flood = Vec::new();
    for nth in 0..AT_ONCE {
        flood.push((app.connect().await, app.login("mallory", &format!("tab-{nth}"))));
    }
    let mut alice = app.connect().await;
    for (raw, login) in &mut flood {
        raw.0.submit("login", login.clone()).await.unwrap();
    }

    alice.ok("login", app.login("alice", "tab")).await;

    for (raw, _) in &mut flood {
        // One that lost before it was answered is closed.
        let _ = patience("a login", raw.0.reply(1)).await;
    }
    let mut stay = Vec::new();
    for (mut raw, _) in flood {
        if is_in(&mut raw).await {
            stay.push(raw);
        }
    }
    assert_eq!(stay.len(), 10, "the cap of browsers");
    // Hers was asked for last, and mallory's are decided one after the other.
    let [hers, theirs] = [newest_login(&mut alice).await, newest_login(&mut stay[0]).await];
    assert!(hers < theirs, "alice had to wait for all of mallory");
}
