//! Nodes of a cluster that die, freeze, stop and join, and a Redis and a PostgreSQL that go away, in the middle of traffic.
//!
//! Whatever happens, what was acked is stored once, in its place, and shown to all; and it goes on by itself within the
//! times that are promised. `cargo test --test cluster_faults -- --nocapture` prints how long each took.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should end"
)]

mod common;
#[path = "cluster_faults/crew.rs"]
mod crew;

use std::time::{Duration, Instant};

use common::chat::{Raw, key, patience, text, with};
use common::cluster::{Cluster, SOON, event_soon, next_soon, skip_numbers, soon, within};
use common::get;
use common::groups::{follow, to_group, whole_log};
use common::presence::{befriend, get_one, told};
use crew::{Crew, group};
use futures_util::future::join_all;
use rookery::client::Update;
use rookery::client::raw::Parted;
use rookery::ids::ClientMsgId;
use rookery::limits;
use rookery::protocol::{Content, Platform};
use serde_json::{Value, json};

/// How long the shards of a node that died or froze are without an owner at most: its lease, one renewal of those that take
/// them, and a client's wait before it tries again; the rest is for a busy machine.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(18);
/// How soon a clean change, a dead link and what changed while there was no Redis are known on all nodes: twice what is
/// promised of the first, for a machine that has other things to do.
const CLEAN_WITHIN: Duration = Duration::from_secs(4);
const DEAD_LINK_WITHIN: Duration = Duration::from_secs(60);
const REDIS_BACK_WITHIN: Duration = Duration::from_secs(60);
/// How long a shard that is handed over may be without an owner.
const HANDED_OVER_WITHIN: Duration = Duration::from_secs(3);
/// How long a login waits for a node that does not answer.
const FENCED_WITHIN: Duration = Duration::from_secs(12);
/// How long those who are told that a node's users are gone may wait for it.
const GONE_WITHIN: Duration = Duration::from_secs(30);
/// How long pushes may need to go on when Redis has gone away or come back.
const PUSHED_WITHIN: Duration = Duration::from_secs(15);
/// How long a node may need to serve when PostgreSQL is back.
const STORED_WITHIN: Duration = Duration::from_secs(5);
/// The time between two tries of what could not be done just now.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Three nodes, and a group of users who are there: which node owns it, and which are the two others.
async fn with_an_owner(members: &[&str]) -> (Cluster, usize, [usize; 2]) {
    let cluster = Cluster::start(3).await;
    cluster.await_settled().await;
    cluster.with_users(members);
    cluster.group(0, "crew", members[0], &members[1..]);
    let database = cluster.database().await;
    let (owner, _) = cluster.owner_of("crew", &database).await;
    (cluster, owner, [(owner + 1) % 3, (owner + 2) % 3])
}

/// Sends a message again and again until it is acked, as a client does; the ack and how often it was refused before.
async fn insist(raw: &mut Raw, send: Value) -> (Value, usize) {
    for refused in 0.. {
        let reply = raw.0.call("message.send", send.clone()).await.unwrap();
        if reply.get("ok").is_some() {
            return (reply["ok"].clone(), refused);
        }
        let code = reply["error"]["code"].as_str().unwrap();
        let curable = ["unavailable", "outcome_unknown", "busy"];
        assert!(curable.contains(&code), "{reply}");
        tokio::time::sleep(AGAIN_AFTER).await;
    }
    unreachable!("there are numbers enough")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_owner_of_a_group_is_killed_another_node_takes_it_over_and_nothing_is_lost() {
    let (mut cluster, owner, [one, other]) = with_an_owner(&["alice", "bob"]).await;
    let crew = Crew::at_it(&cluster, "crew", &[(one, "alice"), (other, "bob")]).await;
    crew.talk.under_way(4).await;

    cluster.kill(owner);
    let since = Instant::now();
    within(TAKEN_OVER_WITHIN, "acks under another owner", crew.go_on()).await;
    println!("taken over after {:?}", since.elapsed());

    let database = cluster.database().await;
    assert_ne!(cluster.owner_of("crew", &database).await.0, owner);
    let mut reader = cluster.raw(one, "alice", "reader").await;
    crew.account(&mut reader, 0).await;

    // The one that was killed comes back and is one of them.
    cluster.restart(owner);
    let mut bob = cluster.raw(owner, "bob", "another").await;
    let sent = bob.ok("message.send", to_group("crew", key(), "back")).await;
    let seq = sent["seq"].clone();
    soon("the next entry", reader.0.first(|frame| frame["body"]["seq"] == seq)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_owner_of_a_group_freezes_another_takes_it_over_and_after_the_thaw_the_old_one_stores_nothing()
 {
    const FROZEN_FOR: Duration = Duration::from_secs(15);
    let (cluster, owner, [one, other]) = with_an_owner(&["alice", "bob", "carol"]).await;
    let database = cluster.database().await;
    let (_, epoch) = cluster.owner_of("crew", &database).await;
    let crew = Crew::at_it(&cluster, "crew", &[(one, "alice"), (other, "bob")]).await;
    let mut carol = cluster.user(owner, "carol").await;
    soon("an ack", carol.client.send_text(&group("crew"), "before")).await.unwrap();
    crew.talk.under_way(4).await;

    cluster.freeze(owner);
    let since = Instant::now();
    // Whatever she says now lies before the frozen node, and is the first that it finds when it goes on.
    let mut late = Vec::new();
    for n in 0..8 {
        let content = Content::Text { text: format!("late {n}") };
        late.push(carol.client.post(&group("crew"), content).await.unwrap());
    }
    within(TAKEN_OVER_WITHIN, "acks under another owner", crew.go_on()).await;
    println!("taken over after {:?}", since.elapsed());
    let (heir, raised) = cluster.owner_of("crew", &database).await;
    assert!(heir != owner && raised > epoch, "epoch {epoch} of {owner}, {raised} of {heir}");
    let mut reader = cluster.raw(one, "alice", "reader").await;
    tokio::time::sleep(FROZEN_FOR.saturating_sub(since.elapsed())).await;
    let before = whole_log(&mut reader, "crew").await;

    cluster.thaw(owner);
    let since = Instant::now();
    let mut seqs = Vec::new();
    for posted in late {
        let acked = within(TAKEN_OVER_WITHIN, "an ack after the thaw", posted.acked()).await;
        seqs.push(acked.unwrap().seq.get());
    }
    println!("a client of the frozen node is served again after {:?}", since.elapsed());
    assert!(seqs.is_sorted(), "acked in another order than sent: {seqs:?}");
    assert!(seqs[0] > before.len() as u64, "stored in a place that was taken");
    within(TAKEN_OVER_WITHIN, "acks after the thaw", crew.go_on()).await;
    let log = whole_log(&mut reader, "crew").await;
    assert_eq!(log[..before.len()], before[..], "what others had stored stands");
    for (n, seq) in seqs.iter().enumerate() {
        assert_eq!(log[*seq as usize - 1]["content"]["text"], format!("late {n}"));
    }
    // And she is told what comes.
    let mut bob = cluster.raw(other, "bob", "second").await;
    let sent = bob.ok("message.send", to_group("crew", key(), "carol?")).await;
    let seq = sent["seq"].as_u64().unwrap();
    within(PUSHED_WITHIN, "what is said after the thaw", async {
        while carol.next_message().await.seq.get() < seq {}
    })
    .await;
    crew.account(&mut reader, 1 + seqs.len() + 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_users_of_a_node_that_is_killed_are_offline_on_the_others_within_half_a_minute() {
    let mut cluster = Cluster::start(3).await;
    cluster.with_users(&["bob"]);
    let mut alice = cluster.raw(0, "alice", "a").await;
    let mut carol = cluster.raw(2, "carol", "c").await;
    befriend(&mut alice, "bob").await;
    carol.ok("presence.watch", json!({"users": ["bob"]})).await;
    let bob = cluster.raw(1, "bob", "b").await;
    for other in [&mut alice, &mut carol] {
        soon("that he is there", async { while told(other, "bob").await["state"] != "online" {} })
            .await;
    }
    let first = text("bob", key(), "are you there?");
    alice.ok("message.send", first.clone()).await;

    cluster.kill(1);
    let since = Instant::now();
    within(GONE_WITHIN, "that he is gone", async {
        for other in [&mut alice, &mut carol] {
            while told(other, "bob").await["state"] != "offline" {}
            assert_eq!(get_one(other, "bob").await["state"], "offline");
        }
    })
    .await;
    println!("offline after {:?}", since.elapsed());
    let status = cluster.status(0);
    let gone = cluster.status_of(1, &status);
    assert_eq!((&gone["there"], &gone["fenced"]), (&json!(false), &json!(true)), "{gone}");
    assert_eq!((&gone["sessions"], &gone["shards"]), (&json!(0), &json!(0)), "{gone}");
    assert_eq!(status["shards"]["without_owner"], 0);
    // He had not said that he has it, and his node can no longer answer for him: a repeat asks for that.
    assert_eq!(alice.ok("message.send", first).await["duplicate"], true);
    let receipt = event_soon(&mut alice, "message.delivered").await;
    assert_eq!((&receipt["by"], &receipt["seq"]), (&json!("server"), &json!(1)));
    alice.ok("message.send", text("bob", key(), "good night")).await;
    let receipt = event_soon(&mut alice, "message.delivered").await;
    assert_eq!((&receipt["by"], &receipt["seq"]), (&json!("server"), &json!(2)));
    assert_eq!(cluster.backend(2).get("/users/bob").done(200)["online"], false);

    drop(bob);
    let mut bob = cluster.raw(2, "bob", "b").await;
    soon("that he is back", async { while told(&mut alice, "bob").await["state"] != "online" {} })
        .await;
    alice.ok("message.send", text("bob", key(), "good morning")).await;
    assert_eq!(next_soon(&mut bob, "message.new").await["seq"], 3);
}

/// Waits until a watcher at each of two nodes knows that a user is so, and prints after how long.
async fn converge(watchers: &mut [Raw; 2], user: &str, state: &str, limit: Duration, after: &str) {
    let since = Instant::now();
    let knowing = watchers.iter_mut().map(|watcher| async move {
        // Told nothing for a while they say that they are there, as clients do.
        loop {
            match tokio::time::timeout(limits::HEARTBEAT_EVERY, told(watcher, user)).await {
                Ok(presence) if presence["state"] == state => break,
                Ok(_) => {}
                Err(_) => drop(watcher.ok("ping", json!({})).await),
            }
        }
        assert_eq!(get_one(watcher, user).await["state"], state);
    });
    within(limit, after, join_all(knowing)).await;
    println!("{after}: {user} is {state} for all after {:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_somebody_is_is_true_on_the_other_nodes_soon_whatever_happened() {
    let mut cluster = Cluster::start(3).await;
    let mut watchers = [cluster.raw(0, "alice", "a").await, cluster.raw(2, "carol", "c").await];
    for watcher in &mut watchers {
        watcher.ok("presence.watch", json!({"users": ["bob", "dave"]})).await;
    }

    let mut bob = cluster.raw(1, "bob", "b").await;
    converge(&mut watchers, "bob", "online", CLEAN_WITHIN, "a login").await;
    bob.ok("presence.set", json!({"state": "background"})).await;
    converge(&mut watchers, "bob", "background", CLEAN_WITHIN, "a change").await;
    bob.ok("logout", json!({})).await;
    converge(&mut watchers, "bob", "offline", CLEAN_WITHIN, "a logout").await;

    // It says nothing any more, and nothing says that it is gone.
    let silent = cluster.raw(1, "dave", "d").await;
    converge(&mut watchers, "dave", "online", CLEAN_WITHIN, "a login").await;
    converge(&mut watchers, "dave", "offline", DEAD_LINK_WITHIN, "a dead link").await;
    drop(silent);

    cluster.redis().kill().await;
    let bob = cluster.raw(1, "bob", "b").await;
    converge(&mut watchers, "bob", "online", REDIS_BACK_WITHIN, "a login without Redis").await;
    cluster.redis().start_again().await;
    drop(bob);
    converge(&mut watchers, "bob", "offline", REDIS_BACK_WITHIN, "the return of Redis").await;
}

/// Everything that came until the end of a session that did something while its node was frozen: whether a send was acked.
async fn acked_until_the_end(raw: &mut Raw) -> (Vec<Value>, Parted) {
    let mut acked = Vec::new();
    loop {
        match raw.0.frame().await {
            Ok(frame) if frame["ok"]["message_id"].is_string() => acked.push(frame),
            Ok(_) => {}
            Err(parted) => return (acked, parted),
        }
    }
}

/// A session that lost is ended in that time, and nothing that it sent was acked.
async fn check_it_lost(loser: &mut Raw, limit: Duration) {
    let end = acked_until_the_end(loser);
    let (acked, parted) = within(limit, "the end of the loser", end).await;
    assert_eq!(acked, Vec::<Value>::new(), "acked behind the reply to the winner");
    assert_eq!(parted.code(), Some(4501), "{parted}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_waits_for_a_frozen_node_for_twelve_seconds_at_most_and_the_loser_there_acks_nothing()
 {
    const SENDS: usize = 20;
    let cluster = Cluster::start(3).await;
    cluster.await_settled().await;
    cluster.with_users(&["bob"]);
    let mut loser = cluster.raw_from(1, "alice", Platform::Ios, "first").await;
    loser.ok("message.send", text("bob", key(), "before")).await;
    cluster.group(0, "crew", "alice", &["bob"]);

    cluster.freeze(1);
    let since = Instant::now();
    for _ in 0..SENDS {
        loser.0.submit("message.send", text("bob", key(), "too late")).await.unwrap();
        loser.0.submit("message.send", to_group("crew", key(), "too late")).await.unwrap();
    }
    let app = cluster.app(0);
    let winner = app.raw_from("alice", Platform::Ios, "second");
    let mut winner = within(FENCED_WITHIN, "a login", winner).await;
    println!("logged in after {:?}", since.elapsed());
    winner.ok("message.send", text("bob", key(), "in time")).await;
    // The group's shard may be that node's, and is then taken over first.
    let send = to_group("crew", key(), "in time");
    within(TAKEN_OVER_WITHIN, "an ack of the group", insist(&mut winner, send)).await;

    cluster.thaw(1);
    check_it_lost(&mut loser, TAKEN_OVER_WITHIN).await;
    winner.ok("ping", json!({})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_waits_for_a_frozen_node_that_has_yet_to_hear_of_a_kick() {
    let cluster = Cluster::start(2).await;
    let database = cluster.database().await;
    let mut loser = cluster.raw_from(1, "alice", Platform::Ios, "first").await;
    let mut tab = cluster.raw(0, "alice", "tab").await;

    cluster.freeze(1);
    tab.0.submit("device.kick", json!({"device": "first"})).await.unwrap();
    soon("the kick", async {
        let ended = "select count(*) from user_sessions where ended_by is not null";
        while database.query_one(ended, &[]).await.unwrap().get::<_, i64>(0) == 0 {}
    })
    .await;
    loser.0.submit("message.send", text("alice", key(), "too late")).await.unwrap();
    // It ends nobody itself: the other phone is out by now.
    let app = cluster.app(0);
    let winner = app.raw_from("alice", Platform::Ios, "second");
    let mut winner = within(FENCED_WITHIN, "a login", winner).await;

    let is_over = "select lease_until < clock_timestamp() from nodes where node = $1";
    let row = database.query_one(is_over, &[&cluster.id_of(1)]).await.unwrap();
    assert!(
        row.get::<_, bool>(0),
        "let in while a node might still ack for the one that was kicked"
    );
    cluster.thaw(1);
    check_it_lost(&mut loser, TAKEN_OVER_WITHIN).await;
    winner.ok("ping", json!({})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_of_a_node_of_which_the_other_has_not_heard_yet_are_ended_and_seen_all_the_same() {
    let mut cluster = Cluster::start(1).await;
    cluster.with_users(&["bob", "carol"]);
    let mut bob = cluster.raw(0, "bob", "b").await;
    bob.ok("presence.watch", json!({"users": ["carol"]})).await;

    // The other looks every three seconds who is there.
    let joined = cluster.join();
    let _carol = cluster.raw(joined, "carol", "c").await;
    let mut loser = cluster.raw_from(joined, "alice", Platform::Ios, "first").await;
    let mut winner = cluster.raw_from(0, "alice", Platform::Ios, "second").await;
    loser.0.submit("message.send", text("bob", key(), "too late")).await.unwrap();

    check_it_lost(&mut loser, SOON).await;
    winner.ok("ping", json!({})).await;
    soon("that carol is there", async {
        while told(&mut bob, "carol").await["state"] != "online" {}
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_comes_back_from_a_frozen_node_waits_for_nobody() {
    let cluster = Cluster::start(2).await;
    let mut lost = cluster.app(1).connect().await;
    let opened = lost.ok("login", cluster.app(1).login("alice", "tab")).await;
    cluster.freeze(1);

    let mut again = cluster.app(0).connect().await;
    let mut resume = cluster.app(0).login("alice", "tab");
    resume["resume"] = json!({"login_no": opened["login_no"]});
    soon("a login", again.ok("login", resume)).await;
    again.ok("message.send", text("alice", key(), "here")).await;

    cluster.thaw(1);
    let parted = within(TAKEN_OVER_WITHIN, "the end of the lost session", lost.ending()).await;
    assert_eq!(parted.code(), Some(4501), "{parted}");
    again.ok("ping", json!({})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_stopped_hands_its_groups_over_at_once_and_tells_its_clients_to_go() {
    let (mut cluster, owner, [one, other]) = with_an_owner(&["alice", "bob", "carol"]).await;
    let crew = Crew::at_it(&cluster, "crew", &[(one, "alice"), (other, "bob")]).await;
    let mut probe = cluster.raw(one, "alice", "probe").await;
    let mut carol = cluster.raw(owner, "carol", "c").await;
    let database = cluster.database().await;

    cluster.ask_to_stop(owner);
    let draining = event_soon(&mut carol, "session.draining").await;
    assert!(draining["reconnect_after_ms"].is_u64(), "{draining}");
    // One message after the other, until another node has acked some: none waits for a lease.
    let (mut longest, mut sent, mut by_heir) = (Duration::ZERO, 0, 0);
    while by_heir < 20 {
        let since = Instant::now();
        let send = to_group("crew", key(), "go on");
        within(HANDED_OVER_WITHIN, "an ack", insist(&mut probe, send)).await;
        longest = longest.max(since.elapsed());
        sent += 1;
        by_heir += usize::from(cluster.owner_of("crew", &database).await.0 != owner);
    }
    println!("the longest wait for an ack was {longest:?}");
    assert_eq!(patience("the end of a session", carol.closed()).await, 4001);
    assert_eq!(cluster.await_end(owner).code(), Some(0));
    let shares = cluster.shares(&database).await;
    assert_eq!(shares[owner], 0, "it hands all of them over");
    assert_eq!(shares.iter().sum::<usize>(), 1024, "and is given none while it leaves");

    // Its client goes on elsewhere, and misses nothing.
    let mut carol = cluster.user(other, "carol").await;
    probe.ok("message.send", text("carol", key(), "welcome")).await;
    let is_welcomed = |update: &Update| match update {
        Update::Received(message) => (message.conversation == with("alice")).then_some(()),
        _ => None,
    };
    soon("a message", carol.first("a message", is_welcomed)).await;
    within(SOON, "acks", crew.go_on()).await;
    crew.account(&mut probe, sent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_are_restarted_one_after_the_other_under_load_lose_nothing() {
    let mut cluster = Cluster::start(3).await;
    cluster.await_settled().await;
    let names = ["ann", "ben", "cid"];
    cluster.with_users(&names);
    cluster.group(0, "crew", "ann", &["ben", "cid"]);
    let crew = Crew::at_it(&cluster, "crew", &[(0, "ann"), (1, "ben"), (2, "cid")]).await;

    for place in 0..3 {
        crew.talk.under_way(4).await;
        let since = Instant::now();
        assert_eq!(cluster.stop(place).code(), Some(0));
        println!("node {place} stopped after {:?}", since.elapsed());
        cluster.restart(place);
        // Whose node was away is back as well: nobody is acked for anybody else.
        within(TAKEN_OVER_WITHIN, "acks for all", crew.go_on()).await;
        println!("all are acked after {:?}", since.elapsed());
    }

    let mut reader = cluster.raw(0, "ann", "reader").await;
    crew.account(&mut reader, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_joins_gets_its_share_of_the_shards_step_by_step_and_no_send_waits_for_it() {
    const GROUPS: usize = 8;
    let mut cluster = Cluster::start(2).await;
    cluster.await_settled().await;
    cluster.with_users(&["alice", "bob"]);
    let database = cluster.database().await;
    let names: Vec<String> = (0..GROUPS).map(|n| format!("crew-{n}")).collect();
    for name in &names {
        skip_numbers(&database, 1024 / GROUPS as i32).await;
        cluster.group(0, name, "alice", &["bob"]);
    }
    let mut alice = cluster.raw(0, "alice", "a").await;
    let mut bob = cluster.raw(1, "bob", "b").await;
    let before = cluster.shares(&database).await;
    assert!(before.iter().all(|share| *share > 0), "two nodes do not share: {before:?}");

    let joined = cluster.join();
    let (mut steps, mut sent, mut longest) = (vec![0], 0, Duration::ZERO);
    within(Duration::from_secs(60), "its share of the shards", async {
        loop {
            for (n, name) in names.iter().enumerate() {
                let sender = if n % 2 == 0 { &mut alice } else { &mut bob };
                let since = Instant::now();
                let send = to_group(name, key(), "go on");
                within(HANDED_OVER_WITHIN, "an ack", insist(sender, send)).await;
                longest = longest.max(since.elapsed());
            }
            sent += 1;
            let share = cluster.shares(&database).await[joined];
            if steps.last() != Some(&share) {
                steps.push(share);
            }
            if share >= 1024 / 3 * 3 / 4 {
                break;
            }
        }
    })
    .await;
    println!("the share grew by {steps:?}; the longest wait for an ack was {longest:?}");
    assert!(steps.len() > 2, "all at once: {steps:?}");
    for name in &names {
        let log = whole_log(&mut alice, name).await;
        assert_eq!(log.len(), 1 + sent);
        follow(&log);
    }
    // It serves as the others do.
    let mut bob = cluster.raw(joined, "bob", "third").await;
    alice.ok("message.send", text("bob", key(), "hello")).await;
    while event_soon(&mut bob, "message.new").await["content"]["text"] != "hello" {}
}

/// Whether `/readyz` says that a node serves, and whether it says that something is not as it should be.
fn readiness(cluster: &Cluster, place: usize) -> (u16, bool) {
    let (status, body) = get(cluster.node(place).inside(), "/readyz").unwrap();
    (status, body.contains("degraded"))
}

async fn await_readiness(cluster: &Cluster, degraded: bool) {
    let all = async {
        for place in 0..cluster.count() {
            while readiness(cluster, place) != (200, degraded) {
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    };
    within(PUSHED_WITHIN, if degraded { "degraded" } else { "whole again" }, all).await;
}

/// Three nodes with a crew that talks, and beside it two who hear of each other only what is pushed.
struct Watched {
    cluster: Cluster,
    crew: Crew,
    alice: Raw,
    bob: Raw,
    said: u64,
}

impl Watched {
    async fn start() -> Self {
        let cluster = Cluster::start(3).await;
        cluster.await_settled().await;
        let members = ["ann", "ben", "cid", "alice", "bob"];
        cluster.with_users(&members);
        cluster.group(0, "crew", "ann", &["ben", "cid"]);
        cluster.group(1, "pair", "alice", &["bob"]);
        let crew = Crew::at_it(&cluster, "crew", &[(0, "ann"), (1, "ben"), (2, "cid")]).await;
        let alice = cluster.raw(0, "alice", "a").await;
        let bob = cluster.raw(2, "bob", "b").await;
        let mut watched = Self { cluster, crew, alice, bob, said: 0 };
        watched.goes_on(SOON).await;
        watched
    }

    /// One says something to the other, and in a group of the two; both must be acked and pushed in that time.
    async fn goes_on(&mut self, limit: Duration) {
        self.said += 1;
        let said = self.said.to_string();
        let since = Instant::now();
        let sends = [
            ("user:alice", text("bob", key(), &said)),
            ("group:pair", to_group("pair", key(), &said)),
        ];
        within(limit, "acks and pushes", async {
            for (conversation, send) in sends {
                insist(&mut self.alice, send).await;
                let is_it = |frame: &Value| {
                    let entry = &frame["body"];
                    entry["conversation"] == conversation && entry["content"]["text"] == said
                };
                self.bob.0.first(is_it).await.unwrap();
            }
        })
        .await;
        within(limit, "the crew goes on", self.crew.go_on()).await;
        println!("acks and pushes after {:?}", since.elapsed());
    }

    async fn account(mut self) {
        self.goes_on(SOON).await;
        let mut reader = self.cluster.raw(0, "ann", "reader").await;
        self.crew.account(&mut reader, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_dead_nothing_is_lost_and_pushes_go_on_and_the_nodes_say_so_until_it_is_back()
 {
    let mut watched = Watched::start().await;
    await_readiness(&watched.cluster, false).await;

    watched.cluster.redis().kill().await;
    watched.goes_on(PUSHED_WITHIN).await;
    await_readiness(&watched.cluster, true).await;
    assert_eq!(watched.cluster.status(0)["redis"]["answers"], false);
    watched.goes_on(PUSHED_WITHIN).await;

    watched.cluster.redis().start_again().await;
    watched.goes_on(PUSHED_WITHIN).await;
    await_readiness(&watched.cluster, false).await;
    watched.account().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_forgets_everything_in_the_middle_of_traffic_costs_nothing() {
    let mut watched = Watched::start().await;

    for _ in 0..3 {
        watched.crew.talk.under_way(4).await;
        watched.cluster.redis().flush().await;
        watched.goes_on(PUSHED_WITHIN).await;
    }
    await_readiness(&watched.cluster, false).await;
    watched.account().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_frozen_nothing_is_lost_and_pushes_go_on_and_it_is_used_again_when_it_goes_on()
 {
    let mut watched = Watched::start().await;

    watched.cluster.redis().pause();
    watched.goes_on(PUSHED_WITHIN).await;
    await_readiness(&watched.cluster, true).await;
    watched.goes_on(PUSHED_WITHIN).await;

    watched.cluster.redis().resume();
    watched.goes_on(PUSHED_WITHIN).await;
    await_readiness(&watched.cluster, false).await;
    watched.account().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_postgresql_is_away_sends_are_refused_and_sessions_stay_and_all_nodes_go_on_when_it_is_back()
 {
    let mut cluster = Cluster::start(3).await;
    cluster.await_settled().await;
    cluster.with_users(&["ann", "ben", "cid"]);
    cluster.group(0, "crew", "ann", &["ben", "cid"]);
    let names = ["ann", "ben", "cid"];
    let mut raws = Vec::new();
    for (place, name) in names.iter().enumerate() {
        raws.push(cluster.raw(place, name, "main").await);
    }
    for raw in &mut raws {
        raw.ok("message.send", to_group("crew", key(), "before")).await;
    }

    cluster.postgres().pause().await;
    // What each says is refused, and is said again until it is acked.
    let pending: Vec<[(ClientMsgId, Value); 2]> = (0..3)
        .map(|n| {
            let keys = [key(), key()];
            let peer = names[(n + 1) % 3];
            [
                (keys[0], text(peer, keys[0], "meanwhile")),
                (keys[1], to_group("crew", keys[1], "meanwhile")),
            ]
        })
        .collect();
    for (raw, pending) in raws.iter_mut().zip(&pending) {
        for (_, send) in pending {
            loop {
                let error =
                    within(2 * PUSHED_WITHIN, "a refusal", raw.error("message.send", send.clone()));
                let error = error.await;
                assert!(error["retry_after_ms"].is_u64(), "{error}");
                if error["code"] == "unavailable" {
                    break;
                }
                // Only what was under way when it went away.
                assert_eq!(error["code"], "outcome_unknown");
            }
        }
        raw.ok("ping", json!({})).await;
    }

    cluster.postgres().start_again().await;
    let since = Instant::now();
    let all = raws.iter_mut().zip(&pending).map(|(raw, pending)| async move {
        let mut acks = Vec::new();
        for (_, send) in pending {
            acks.push(insist(raw, send.clone()).await.0);
        }
        acks
    });
    let acks = within(STORED_WITHIN, "the first acks of each node", join_all(all)).await;
    println!("all nodes ack after {:?}", since.elapsed());

    // And all of it is pushed across the nodes.
    for (n, raw) in raws.iter_mut().enumerate() {
        let mut expected: Vec<String> =
            (0..3).filter(|of| *of != n).map(|of| pending[of][1].0.to_string()).collect();
        expected.push(pending[(n + 2) % 3][0].0.to_string());
        within(PUSHED_WITHIN, "what was said meanwhile", async {
            while !expected.is_empty() {
                let pushed = raw.event("message.new").await;
                expected.retain(|key| pushed["client_msg_id"] != **key);
            }
        })
        .await;
    }
    let log = whole_log(&mut raws[0], "crew").await;
    follow(&log);
    for (acks, pending) in acks.iter().zip(&pending) {
        let seq = acks[1]["seq"].as_u64().unwrap() as usize;
        assert_eq!(log[seq - 1]["client_msg_id"], json!(pending[1].0));
    }
    let history = raws[0].ok("message.history", json!({"conversation": with("ben")})).await;
    assert_eq!(history["head"], 1);
}
