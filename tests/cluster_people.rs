//! Three nodes on one database: logins, devices and presence, wherever somebody is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::HashMap;
use std::time::Duration;

use common::chat::{Raw, key, text};
use common::cluster::{Cluster, cast, event_soon, soon, within};
use common::groups::{create, whole_log};
use common::loser::{Loser, Places, heads};
use common::presence::{self, befriend, get_one, offline, without_last_seen};
use futures_util::future::join_all;
use rookery::protocol::{CloseCode, Platform};
use serde_json::{Value, json};

/// How long a thousand logins may take on a machine that has other things to do.
const ALL_IN_WITHIN: Duration = Duration::from_secs(60);

/// How a session was ended by a decision, which must be told at once: the reason, the device that did it, the close code.
async fn ended(raw: &mut Raw) -> (String, Option<String>, u16) {
    let kicked = event_soon(raw, "session.kicked").await;
    let by = kicked["by"].as_str().map(str::to_owned);
    let code = soon("the end of a session", raw.closed()).await;
    (kicked["reason"].as_str().unwrap().to_owned(), by, code)
}

/// The devices of a list, by name, with whether they are online.
fn listed(page: &Value) -> Vec<(String, bool)> {
    let rows = page["devices"].as_array().unwrap().iter();
    let row = |row: &Value| {
        (row["device"]["id"].as_str().unwrap().to_owned(), row["online"].as_bool().unwrap())
    };
    rows.map(row).collect()
}

fn rows(expected: &[(&str, bool)]) -> Vec<(String, bool)> {
    expected.iter().map(|(name, online)| ((*name).to_owned(), *online)).collect()
}

/// Waits until somebody is told at once that another is in this state; that presence.
async fn told(raw: &mut Raw, user: &str, state: &str) -> Value {
    soon("how somebody is", async {
        loop {
            let presence = presence::told(raw, user).await;
            if presence["state"] == state {
                return presence;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_second_phone_on_another_node_ends_the_first_and_leaves_the_tab() {
    let cluster = Cluster::shared();
    let [alice] = cast(["alice"]);
    let mut tab = cluster.raw(2, &alice, "tab").await;
    let mut first = cluster.raw_from(0, &alice, Platform::Ios, "first").await;

    let mut second = cluster.raw_from(1, &alice, Platform::Android, "second").await;

    assert_eq!(ended(&mut first).await, ("policy".into(), Some("second".into()), 4501));
    for raw in [&mut tab, &mut second] {
        raw.ok("ping", json!({})).await;
    }
    let page = tab.ok("device.list", json!({})).await;
    assert_eq!(listed(&page), rows(&[("second", true), ("first", false), ("tab", true)]));
}

#[tokio::test]
async fn the_same_device_on_another_node_replaces_its_older_session() {
    let cluster = Cluster::shared();
    let [alice] = cast(["alice"]);
    let mut older = cluster.raw(0, &alice, "tab").await;

    let mut newer = cluster.raw(1, &alice, "tab").await;

    assert_eq!(ended(&mut older).await, ("replaced".into(), Some("tab".into()), 4501));
    // The end of the older one, however late it was noticed, is not that of the newer.
    let page = newer.ok("device.list", json!({})).await;
    assert_eq!(listed(&page), rows(&[("tab", true)]));
    let mut other = cluster.raw(2, &alice, "other").await;
    other.ok("message.send", text(&alice, key(), "still there?")).await;
    assert_eq!(event_soon(&mut newer, "message.new").await["seq"], 1);
}

#[tokio::test]
async fn what_was_ended_does_not_come_back_by_itself_on_any_node() {
    let cluster = Cluster::shared();
    let [alice] = cast(["alice"]);
    let mut first = cluster.app(0).connect().await;
    let login = cluster.app(0).login_from(&alice, Platform::Ios, "first");
    let opened = first.ok("login", login).await;
    let mut second = cluster.raw_from(1, &alice, Platform::Ios, "second").await;
    ended(&mut first).await;

    for place in 0..3 {
        let mut by_itself = cluster.app(place).connect().await;
        let mut resume = cluster.app(place).login_from(&alice, Platform::Ios, "first");
        resume["resume"] = json!({"login_no": opened["login_no"]});
        assert_eq!(by_itself.code("login", resume).await, "conflict");
        assert_eq!(by_itself.closed().await, 4501);
    }
    second.ok("ping", json!({})).await;

    let mut by_hand = cluster.raw_from(2, &alice, Platform::Ios, "first").await;
    assert_eq!(ended(&mut second).await, ("policy".into(), Some("first".into()), 4501));
    by_hand.ok("ping", json!({})).await;
}

#[tokio::test]
async fn a_link_that_was_lost_is_gone_on_with_on_another_node_and_ends_what_it_goes_on_from() {
    let cluster = Cluster::shared();
    let [alice] = cast(["alice"]);
    let mut first = cluster.app(0).connect().await;
    let login = cluster.app(0).login_from(&alice, Platform::Ios, "phone");
    let opened = first.ok("login", login).await;

    let mut again = cluster.app(1).connect().await;
    let mut resume = cluster.app(1).login_from(&alice, Platform::Ios, "phone");
    resume["resume"] = json!({"login_no": opened["login_no"]});
    let resumed = soon("a login", again.ok("login", resume)).await;

    assert_ne!(resumed["login_no"], opened["login_no"]);
    assert_eq!(ended(&mut first).await.0, "replaced");
    let page = again.ok("device.list", json!({})).await;
    assert_eq!(listed(&page), rows(&[("phone", true)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_loser_sends_is_acked_from_the_reply_to_the_winner_on_another_node_on() {
    const ROUNDS: usize = 30;
    let cluster = Cluster::shared();
    let [alice, bob, crew] = cast(["alice", "bob", "crew"]);
    cluster.with_users(&[&bob]);
    let mut raw = cluster.raw_from(0, &alice, Platform::Ios, "phone-0").await;
    create(&mut raw, &crew, "work", &[&bob]).await;
    let to = Places::new(&bob, &crew);
    let (mut sent, mut acked) = (0, Vec::new());

    for round in 0..ROUNDS {
        let loser = Loser::at_it(raw, &to).await;
        // Now the same phone, now another one, always on the next node.
        let phone = format!("phone-{}", round.div_ceil(2));
        let app = cluster.app((round + 1) % 3);
        let login = app.login_from(&alice, Platform::Ios, &phone);
        let (winner, _, heads) = soon("a winner", to.win(&app, login)).await;

        let loser = soon("the end of the loser", loser.ended()).await;
        for one in &loser.acked {
            assert!(one.is_within(heads), "round {round}: {} beyond {heads:?}", one.seq);
        }
        sent += loser.sent;
        acked.extend(loser.acked);
        raw = winner;
    }

    // And all that was acked is there, at its place.
    let log = whole_log(&mut raw, &crew).await;
    let places: HashMap<&str, u64> = log
        .iter()
        .map(|entry| (entry["client_msg_id"].as_str().unwrap(), entry["seq"].as_u64().unwrap()))
        .collect();
    assert_eq!(places.len(), log.len(), "something is stored twice");
    for one in acked.iter().filter(|one| one.place == 1) {
        assert_eq!(places.get(one.key.to_string().as_str()), Some(&one.seq));
    }
    println!("{ROUNDS} rounds: sent {sent}, acked {}, all before", acked.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_kicked_device_is_acked_from_the_reply_to_the_kick_on_another_node_on() {
    const ROUNDS: usize = 10;
    let cluster = Cluster::shared();
    let [alice, bob, crew] = cast(["alice", "bob", "crew"]);
    cluster.with_users(&[&bob]);
    let mut tab = cluster.raw(0, &alice, "tab").await;
    create(&mut tab, &crew, "work", &[&bob]).await;
    let to = Places::new(&bob, &crew);

    for round in 0..ROUNDS {
        let loser = cluster.raw_from(1 + round % 2, &alice, Platform::Ios, "phone").await;
        let loser = Loser::at_it(loser, &to).await;
        let kick = tab.0.submit("device.kick", json!({"device": "phone"})).await.unwrap();
        let reply = soon("a reply to the kick", tab.reply(kick)).await;
        assert_eq!(reply["ok"]["ended"].as_array().unwrap().len(), 1, "{reply}");
        let asked = to.ask_heads(&mut tab).await;
        let heads = heads(&mut tab, asked).await;
        for one in soon("the end of the loser", loser.ended()).await.acked {
            assert!(one.is_within(heads), "round {round}: {} beyond {heads:?}", one.seq);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_thousand_logins_at_once_each_of_two_at_different_nodes_one_stands() {
    const USERS: usize = 500;
    let cluster = Cluster::shared();
    let [prefix] = cast(["twice"]);
    let mut opened = Vec::new();
    for n in 0..2 * USERS {
        // Of two that belong together the other one is at the next node.
        let app = cluster.app((n / 2 + n % 2) % 3);
        let login = app.login_from(
            &format!("{prefix}-{}", n / 2),
            Platform::Ios,
            &format!("phone-{}", n % 2),
        );
        opened.push((app.connect().await, app, login));
    }

    let logins = opened.into_iter().map(|(mut raw, app, login)| async move {
        loop {
            let answer = raw.0.call("login", login.clone()).await;
            match answer {
                Ok(reply) if reply["error"]["code"] == "busy" => {
                    let retry_ms = reply["error"]["retry_after_ms"].as_u64().unwrap();
                    tokio::time::sleep(Duration::from_millis(retry_ms)).await;
                }
                // It took too long to open them all, or to be let in: a client comes again.
                Err(parted) if parted.code() == Some(CloseCode::NoLogin.number()) => {
                    raw = app.connect().await;
                }
                answer => return (raw, answer),
            }
        }
    });
    let answered = within(ALL_IN_WITHIN, "answers to all logins", join_all(logins)).await;

    let mut kept = Vec::new();
    let mut answered = answered.into_iter();
    while let (Some(one), Some(other)) = (answered.next(), answered.next()) {
        let mut in_first = Vec::new();
        for (raw, answer) in [one, other] {
            match answer {
                Ok(reply) if reply.get("ok").is_some() => in_first.push(raw),
                Ok(reply) => assert_eq!(reply["error"]["code"], "conflict", "{reply}"),
                Err(parted) => assert_eq!(parted.code(), Some(4501), "{parted}"),
            }
        }
        // Where both were let in, the one that was first is ended.
        let mut standing = 0;
        for raw in &mut in_first {
            let end = soon("an answer, or the end", raw.0.call("ping", json!({}))).await;
            standing += usize::from(end.is_ok());
        }
        assert!(standing <= 1, "both stand");
        assert!(!in_first.is_empty(), "neither was let in");
        kept.extend(in_first);
    }
    let database = cluster.database().await;
    let count = "select count(*), count(distinct s.user_no) from user_sessions s join users u using (user_no)
        where s.online and u.id like $1";
    let row = database.query_one(count, &[&format!("{prefix}-%")]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (USERS as i64, USERS as i64));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logins_at_all_nodes_at_once_leave_one_session_thirty_times() {
    const ROUNDS: usize = 30;
    const EACH: usize = 2;
    let cluster = Cluster::shared();
    let [alice] = cast(["alice"]);
    let mut witness = cluster.raw(0, &alice, "witness").await;
    let mut former: Option<Raw> = None;

    for round in 0..ROUNDS {
        let mut opened = Vec::new();
        for n in 0..3 * EACH {
            let app = cluster.app(n % 3);
            let mut raw = app.connect().await;
            // Now the same device, now six of one class.
            let device = if round % 2 == 0 { "phone".to_owned() } else { format!("phone-{n}") };
            let login = app.login_from(&alice, Platform::Ios, &device);
            raw.0.submit("login", login).await.unwrap();
            opened.push(raw);
        }
        let answers = opened.iter_mut().map(|raw| raw.0.reply(1));
        let answers = soon("answers to all logins", join_all(answers)).await;
        let (mut latest, mut closed) = (None, HashMap::new());
        for (place, answer) in answers.into_iter().enumerate() {
            match answer {
                Ok(reply) if reply.get("ok").is_some() => {
                    let login_no = reply["ok"]["login_no"].as_str().unwrap().parse::<u64>();
                    latest = latest.max(Some((login_no.unwrap(), place)));
                }
                // Ended in the store before its node heard of it.
                Ok(reply) => assert_eq!(reply["error"]["code"], "conflict", "{reply}"),
                // Ended before it was let in.
                Err(parted) => drop(closed.insert(place, parted)),
            }
        }
        let (_, winner) = latest.expect("one of them is in");
        for (place, loser) in opened.iter_mut().enumerate().filter(|(place, _)| *place != winner) {
            let parted = match closed.remove(&place) {
                Some(parted) => parted,
                None => soon("the end of a loser", loser.ending()).await,
            };
            assert_eq!(parted.code(), Some(4501), "round {round}, {place}: {parted}");
        }
        if let Some(mut former) = former.take() {
            assert_eq!(soon("the end of the former", former.closed()).await, 4501);
        }
        let mut winner_raw = opened.remove(winner);
        winner_raw.ok("ping", json!({})).await;
        let page = witness.ok("device.list", json!({"limit": 200})).await;
        let online = listed(&page).into_iter().filter(|(_, online)| *online).count();
        assert_eq!(online, 2, "round {round}: the witness and one phone: {page}");
        witness.ok("message.send", text(&alice, key(), "who is here?")).await;
        assert_eq!(event_soon(&mut winner_raw, "message.new").await["seq"], round + 1);
        former = Some(winner_raw);
    }
}

#[tokio::test]
async fn devices_on_all_nodes_are_listed_by_each_and_ended_from_each() {
    let cluster = Cluster::shared();
    let [alice] = cast(["alice"]);
    let mut tabs = Vec::new();
    for place in 0..3 {
        tabs.push(cluster.raw(place, &alice, &format!("tab-{place}")).await);
    }
    let mut phone = cluster.raw_from(1, &alice, Platform::Ios, "phone").await;

    let mut pages = Vec::new();
    for (place, tab) in tabs.iter_mut().enumerate() {
        let page = tab.ok("device.list", json!({})).await;
        let current = page["devices"].as_array().unwrap().iter();
        let current = current.filter(|row| row["current"] == true);
        let current: Vec<_> = current.map(|row| row["device"]["id"].clone()).collect();
        assert_eq!(current, [json!(format!("tab-{place}"))]);
        pages.push(listed(&page));
    }
    let all = rows(&[("phone", true), ("tab-2", true), ("tab-1", true), ("tab-0", true)]);
    assert_eq!(pages, [all.clone(), all.clone(), all]);

    let kicked = tabs[0].ok("device.kick", json!({"device": "phone"})).await;
    assert_eq!(kicked, json!({"ended": [{"id": "phone", "platform": "ios"}]}));
    assert_eq!(ended(&mut phone).await, ("kicked".into(), Some("tab-0".into()), 4501));
    let kicked = tabs[2].ok("device.kick", json!({"all": true})).await;
    assert_eq!(kicked["ended"].as_array().unwrap().len(), 2, "{kicked}");
    let mut left = tabs.pop().unwrap();
    for tab in &mut tabs {
        assert_eq!(ended(tab).await, ("kicked".into(), Some("tab-2".into()), 4501));
    }
    let page = left.ok("device.list", json!({})).await;
    let one = rows(&[("phone", false), ("tab-2", true), ("tab-1", false), ("tab-0", false)]);
    let sorted = |mut rows: Vec<(String, bool)>| {
        rows.sort();
        rows
    };
    assert_eq!(sorted(listed(&page)), sorted(one));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoked_tokens_and_a_deactivated_user_end_sessions_on_all_nodes() {
    let cluster = Cluster::shared();
    let [alice, bob] = cast(["alice", "bob"]);
    let mut tabs = [cluster.raw(0, &alice, "a").await, cluster.raw(1, &alice, "b").await];
    let mut bob_raw = cluster.raw(0, &bob, "b").await;
    let backend = cluster.backend(2);

    backend.post(&format!("/users/{alice}/revoke"), &json!({})).done(200);
    for tab in &mut tabs {
        assert_eq!(ended(tab).await, ("revoked".into(), None, 4502));
    }
    backend.post(&format!("/users/{bob}/deactivate"), &json!({})).done(200);
    assert_eq!(soon("the end of a session", bob_raw.closed()).await, 4503);
    for place in 0..3 {
        let app = cluster.app(place);
        let mut raw = app.connect().await;
        assert_eq!(raw.code("login", app.login(&bob, "b")).await, "forbidden");
        assert_eq!(raw.closed().await, 4503);
    }
}

#[tokio::test]
async fn friends_on_other_nodes_hear_who_comes_and_goes_and_how_they_are_and_any_node_answers() {
    let cluster = Cluster::shared();
    let [alice_id, bob_id, carol_id] = cast(["alice", "bob", "carol"]);
    cluster.with_users(&[&bob_id]);
    let mut alice = cluster.raw(0, &alice_id, "a").await;
    let mut carol = cluster.raw(2, &carol_id, "c").await;
    befriend(&mut alice, &bob_id).await;
    befriend(&mut carol, &bob_id).await;

    let mut bob = cluster.raw(1, &bob_id, "b").await;
    for friend in [&mut alice, &mut carol] {
        assert_eq!(told(friend, &bob_id, "online").await["status"], "available");
        assert_eq!(get_one(friend, &bob_id).await["state"], "online");
    }
    assert_eq!(get_one(&mut bob, &alice_id).await["state"], "online");

    let busy = json!({"state": "background", "status": "busy", "text": "In a meeting"});
    bob.ok("presence.set", busy).await;
    for friend in [&mut alice, &mut carol] {
        let presence = told(friend, &bob_id, "background").await;
        let said = (&presence["status"], &presence["text"]);
        assert_eq!(said, (&json!("busy"), &json!("In a meeting")));
        assert_eq!(get_one(friend, &bob_id).await, presence);
    }

    bob.ok("logout", json!({})).await;
    for friend in [&mut alice, &mut carol] {
        let gone = told(friend, &bob_id, "offline").await;
        assert_eq!(get_one(friend, &bob_id).await, gone);
        assert_eq!(without_last_seen(gone), offline(&bob_id));
    }
}

#[tokio::test]
async fn who_watches_on_another_node_is_told_until_it_has_seen_enough() {
    let cluster = Cluster::shared();
    let [bob_id, carol_id, dave_id] = cast(["bob", "carol", "dave"]);
    let mut carol = cluster.raw(2, &carol_id, "c").await;
    let mut dave = cluster.raw(0, &dave_id, "d").await;
    let watch = json!({"users": [bob_id, dave_id]});
    let watched = carol.ok("presence.watch", watch).await;
    let presences = watched["presences"].as_array().unwrap();
    assert_eq!(presences[0], offline(&bob_id), "he does not even exist");
    assert_eq!(presences[1]["state"], "online");

    let mut bob = cluster.raw(1, &bob_id, "b").await;
    told(&mut carol, &bob_id, "online").await;
    bob.ok("presence.set", json!({"state": "background"})).await;
    told(&mut carol, &bob_id, "background").await;

    carol.ok("presence.unwatch", json!({"users": [bob_id]})).await;
    bob.ok("presence.set", json!({"state": "online"})).await;
    // What comes after that is about somebody else.
    dave.ok("presence.set", json!({"state": "background"})).await;
    let next = soon("an event", presence::named(&mut carol)).await;
    assert_eq!(next, [dave_id]);
    assert_eq!(get_one(&mut carol, &bob_id).await["state"], "online", "she may still ask");
}

#[tokio::test]
async fn a_user_on_two_nodes_is_online_until_both_are_gone() {
    let cluster = Cluster::shared();
    let [alice_id, bob_id, carol_id] = cast(["alice", "bob", "carol"]);
    cluster.with_users(&[&bob_id, &carol_id]);
    let mut alice = cluster.raw(0, &alice_id, "a").await;
    befriend(&mut alice, &bob_id).await;
    befriend(&mut alice, &carol_id).await;
    let mut carol = cluster.raw(1, &carol_id, "c").await;
    told(&mut alice, &carol_id, "online").await;
    let mut phone = cluster.raw_from(1, &bob_id, Platform::Ios, "phone").await;
    let mut tab = cluster.raw(2, &bob_id, "tab").await;
    let platforms = async |raw: &mut Raw, expected: Value| {
        soon("the platforms", async {
            while presence::told(raw, &bob_id).await["platforms"] != expected {}
        })
        .await;
    };
    let on = |platform: &str, state: &str| json!({"platform": platform, "state": state});
    platforms(&mut alice, json!([on("web", "online"), on("ios", "online")])).await;

    // A user is as the best of their devices, whichever node that is on.
    phone.ok("presence.set", json!({"state": "background", "status": "busy"})).await;
    platforms(&mut alice, json!([on("web", "online"), on("ios", "background")])).await;
    assert_eq!(get_one(&mut alice, &bob_id).await["state"], "online");
    assert_eq!(get_one(&mut tab, &bob_id).await["status"], "busy", "said on the other node");
    tab.ok("logout", json!({})).await;
    let presence = told(&mut alice, &bob_id, "background").await;
    assert_eq!(presence["platforms"], json!([on("ios", "background")]));
    assert_eq!(get_one(&mut carol, &bob_id).await["state"], "background");

    phone.ok("logout", json!({})).await;
    let gone = told(&mut alice, &bob_id, "offline").await;
    assert_eq!(without_last_seen(gone), offline(&bob_id));
    assert_eq!(get_one(&mut carol, &bob_id).await["state"], "offline");
}

#[tokio::test]
async fn a_device_that_moves_to_another_node_within_a_second_is_told_to_nobody() {
    let cluster = Cluster::shared();
    let [alice_id, bob_id, carol_id] = cast(["alice", "bob", "carol"]);
    cluster.with_users(&[&bob_id, &carol_id]);
    let mut alice = cluster.raw(0, &alice_id, "a").await;
    befriend(&mut alice, &bob_id).await;
    befriend(&mut alice, &carol_id).await;
    let mut carol = cluster.raw(0, &carol_id, "c").await;
    told(&mut alice, &carol_id, "online").await;
    let mut bob = cluster.raw(1, &bob_id, "b").await;
    told(&mut alice, &bob_id, "online").await;

    let mut again = cluster.raw(2, &bob_id, "b").await;
    assert_eq!(soon("the end of a session", bob.closed()).await, 4501);
    again.ok("ping", json!({})).await;
    carol.ok("presence.set", json!({"status": "busy"})).await;

    let next = soon("an event", presence::named(&mut alice)).await;
    assert_eq!(next, [carol_id]);
    assert_eq!(get_one(&mut alice, &bob_id).await["state"], "online");
}

#[tokio::test]
async fn who_is_invisible_on_one_node_is_offline_on_all_but_to_their_own_devices() {
    let cluster = Cluster::shared();
    let [alice_id, bob_id] = cast(["alice", "bob"]);
    cluster.with_users(&[&bob_id]);
    let mut alice = cluster.raw(0, &alice_id, "a").await;
    befriend(&mut alice, &bob_id).await;
    let mut bob = cluster.raw(1, &bob_id, "b").await;
    let mut tab = cluster.raw(2, &bob_id, "tab").await;
    told(&mut alice, &bob_id, "online").await;

    bob.ok("presence.set", json!({"status": "invisible", "last_seen": "nobody"})).await;

    assert_eq!(told(&mut alice, &bob_id, "offline").await, offline(&bob_id));
    assert_eq!(get_one(&mut alice, &bob_id).await, offline(&bob_id));
    soon("one's own status", async {
        while presence::told(&mut tab, &bob_id).await["status"] != "invisible" {}
    })
    .await;
    tab.ok("presence.set", json!({"status": "available"})).await;
    assert_eq!(told(&mut alice, &bob_id, "online").await["status"], "available");
}

#[tokio::test]
async fn friendships_are_told_to_all_devices_of_both_on_all_nodes() {
    let cluster = Cluster::shared();
    let [alice_id, bob_id] = cast(["alice", "bob"]);
    let mut alice = cluster.raw(0, &alice_id, "a").await;
    let mut desk = cluster.raw(2, &alice_id, "desk").await;
    let mut bob = cluster.raw(1, &bob_id, "b").await;

    befriend(&mut alice, &bob_id).await;
    bob.ok("friend.remove", json!({"user": alice_id})).await;

    for state in ["friends", "none"] {
        let of_bob = json!({"user": bob_id, "state": state});
        assert_eq!(event_soon(&mut desk, "friend.changed").await, of_bob);
    }
    let of_alice = json!({"user": alice_id, "state": "friends"});
    assert_eq!(event_soon(&mut bob, "friend.changed").await, of_alice);
    let ended = json!({"user": bob_id, "state": "none"});
    assert_eq!(event_soon(&mut alice, "friend.changed").await, ended);
}
