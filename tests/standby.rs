//! Two nodes over a PostgreSQL with a standby, or one that is restored: what becomes of the epoch when another copy of
//! the database takes the place of the one that acked.
//!
//! Where something was lost, clients are told and nothing is hidden; where nothing was, nobody notices more than a
//! pause. `cargo test --test standby -- --nocapture` prints how long each took.
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

use common::chat::{User, key, patience, text};
use common::cluster::{Cluster, soon, within};
use common::get;
use common::node::{Node, Options};
use common::postgres::Postgres;
use common::send_signal;
use crew::Crew;
use futures_util::FutureExt;
use rookery::client::Update;
use serde_json::{Value, json};

/// How long after a promotion acks come again at most.
const ACKED_WITHIN: Duration = Duration::from_secs(5);
/// How often a client is asked how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A commit of one-to-one messages that the primary has, and the standby has not said that it has.
const WAITS_FOR_STANDBY: &str =
    "select from pg_stat_activity where wait_event = 'SyncRep' and query like '%append_pairs%'";

/// Two nodes over a PostgreSQL and its standby, which find whichever takes writes.
async fn followed() -> (Cluster, Postgres) {
    let mut standby = None;
    let cluster = Cluster::start_each(2, Options::default(), async |_, options, postgres, _| {
        if standby.is_none() {
            standby = Some(postgres.standby().await);
        }
        let hosts = [postgres, standby.as_ref().unwrap()].map(|one| one.socket_folder().display());
        let [primary, standby] = hosts;
        let url = format!(
            "host={primary},{standby} port=5432,5432 user=rookery dbname=postgres \
             target_session_attrs=read-write"
        );
        options.env("ROOKERY__DATABASE__URL", &url)
    })
    .await;
    (cluster, standby.unwrap())
}

/// Has commits of the primary wait for the standby from now on; one that is promoted waits for nobody.
async fn wait_for_standby(cluster: &Cluster) {
    let database = cluster.database().await;
    database.batch_execute("alter system set synchronous_standby_names = 'standby'").await.unwrap();
    database.batch_execute("select pg_reload_conf()").await.unwrap();
    await_row(&database, "select from pg_stat_replication where sync_state = 'sync'").await;
}

/// Waits until a query has a row.
async fn await_row(database: &tokio_postgres::Client, query: &str) {
    let there = async { while database.query_opt(query, &[]).await.unwrap().is_none() {} };
    patience(query, there).await;
}

/// Sums a counter of all nodes, or of those with this label.
fn counted(nodes: &[&Node], counter: &str) -> u64 {
    let of = |node: &&Node| {
        let (_, metrics) = get(node.inside(), "/metrics").unwrap();
        let lines = metrics.lines().filter(|line| line.starts_with(counter));
        lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum::<u64>()
    };
    nodes.iter().map(of).sum()
}

fn epoch(cluster: &Cluster, place: usize) -> String {
    cluster.status(place)["store"]["epoch"].as_str().unwrap().to_owned()
}

async fn next_epoch(user: &mut User) -> String {
    user.first("the change of epoch", |update| match update {
        Update::EpochChanged { epoch } => Some(epoch.as_str().to_owned()),
        _ => None,
    })
    .await
}

/// What stands in the log of a pair, from its first entry on; it has no gap.
async fn history(cluster: &Cluster, place: usize, user: &str, peer: &str) -> Vec<String> {
    let mut reader = cluster.raw(place, user, "reader").await;
    let ask = json!({"conversation": format!("user:{peer}"), "after": 0, "limit": 200});
    let page = reader.ok("message.history", ask).await;
    assert_eq!(page["has_more"], false, "{page}");
    let messages = page["messages"].as_array().unwrap();
    let seqs: Vec<u64> = messages.iter().map(|own| own["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=messages.len() as u64).collect::<Vec<_>>(), "{page}");
    assert_eq!(page["head"], messages.len(), "{page}");
    messages.iter().map(|own| own["content"]["text"].as_str().unwrap().to_owned()).collect()
}

/// Fails where what must always hold in the store does not.
async fn check_whole(postgres: &Postgres) {
    let broken =
        postgres.connect().await.query(include_str!("store/whole.sql"), &[]).await.unwrap();
    for row in broken {
        assert_eq!(row.get::<_, i64>(1), 0, "{}", row.get::<_, String>(0));
    }
}

/// One of the nodes, and one alone, began a new epoch for a loss that is certain; its log says so, and both clients
/// are told.
async fn check_loss_is_told(cluster: &Cluster, before: &str, users: [&mut User; 2]) {
    let now = epoch(cluster, 0);
    assert_ne!(now, before);
    for user in users {
        assert_eq!(soon("that the epoch is another", next_epoch(user)).await, now);
    }
    let nodes = [cluster.node(0), cluster.node(1)];
    let begun = |why| counted(&nodes, &format!("rookery_store_epochs_begun_total{why}"));
    assert_eq!(begun(""), 1);
    let certain = begun("{why=\"behind\"}") + begun("{why=\"lacking\"}");
    assert_eq!(certain, 1, "what is missing was acked");
    let told =
        nodes.iter().filter(|node| node.stderr().contains("the database lost committed data"));
    assert_eq!(told.count(), 1);
}

/// What was said before and after a loss stands, in places without a hole, and is all that there is.
async fn check_goes_on(cluster: &Cluster, alice: &User, bob: &User) {
    let sent = within(ACKED_WITHIN, "an ack", alice.say("bob", "after")).await;
    assert_eq!(sent.seq.get(), 2, "the place of what is lost");
    // Shown, or there before bob's client heard of the epoch, from whose head it goes on: what stands is read anew.
    let there = async {
        while bob.client.status().position.is_none_or(|position| position.inbox.get() != 2) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    soon("what is said after it", there).await;
    bob.say("alice", "yes").await;
    for (place, user, peer) in [(0, "alice", "bob"), (1, "bob", "alice")] {
        assert_eq!(history(cluster, place, user, peer).await, ["kept", "after", "yes"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_promoted_without_the_tail_begins_a_new_epoch_and_the_loss_is_told() {
    let (mut cluster, standby) = followed().await;
    let before = epoch(&cluster, 0);
    let mut bob = cluster.user(1, "bob").await;
    let mut alice = cluster.user(0, "alice").await;
    alice.say("bob", "kept").await;
    bob.next_message().await;
    let at = cluster.database().await.query_one("select pg_current_wal_lsn()::text", &[]).await;
    let at: String = at.unwrap().get(0);
    let has_it = format!("select where pg_last_wal_replay_lsn() >= '{at}'");
    await_row(&standby.connect().await, &has_it).await;
    standby.cut_off().await;
    for n in 0..20 {
        alice.say("bob", &format!("lost {n}")).await;
        bob.next_message().await;
    }

    cluster.postgres().kill().await;
    standby.promote().await;
    let since = Instant::now();

    check_goes_on(&cluster, &alice, &bob).await;
    println!("all is well {:?} after the promotion", since.elapsed());
    check_loss_is_told(&cluster, &before, [&mut alice, &mut bob]).await;
    check_whole(&standby).await;
}

/// A crew talks, the primary ends and the standby is promoted: nobody notices more than a pause.
async fn check_failover_is_a_pause(
    (mut cluster, standby): (Cluster, Postgres),
    end: impl AsyncFnOnce(&mut Postgres),
) {
    cluster.with_users(&["alice", "bob"]);
    cluster.group(0, "crew", "alice", &["bob"]);
    let before = epoch(&cluster, 0);
    let crew = Crew::at_it(&cluster, "crew", &[(0, "alice"), (1, "bob")]).await;
    crew.talk.under_way(4).await;

    end(cluster.postgres()).await;
    standby.promote().await;
    let since = Instant::now();
    within(ACKED_WITHIN, "acks after the promotion", crew.go_on()).await;
    println!("acks {:?} after the promotion", since.elapsed());

    check_nothing_happened(&cluster, &standby, &before, crew).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_over_to_an_asynchronous_standby_that_has_everything_keeps_the_epoch() {
    // One that stops in order gives its standby all that it has.
    check_failover_is_a_pause(followed().await, async |primary| primary.pause().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_to_a_synchronous_standby_under_load_loses_nothing_and_keeps_the_epoch() {
    let (cluster, standby) = followed().await;
    wait_for_standby(&cluster).await;
    check_failover_is_a_pause((cluster, standby), async |primary| primary.kill().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_a_node_dies_with_the_primary_nobody_can_say_what_it_acked_and_a_new_epoch_begins() {
    let (mut cluster, standby) = followed().await;
    let before = epoch(&cluster, 0);
    let mut alice = cluster.user(0, "alice").await;
    alice.say("alice", "kept").await;

    cluster.kill(1);
    cluster.postgres().pause().await;
    standby.promote().await;
    let since = Instant::now();

    let sent = within(ACKED_WITHIN, "an ack", alice.say("alice", "after")).await;
    println!("acked {:?} after the promotion", since.elapsed());
    assert_eq!(sent.seq.get(), 2);
    let now = soon("that the epoch is another", next_epoch(&mut alice)).await;
    assert_ne!(now, before);
    assert!(cluster.node(0).stderr().contains("may lack committed data"));
    // It comes back, and adds nothing to that.
    cluster.restart(1);
    assert_eq!(epoch(&cluster, 1), now);
    let nodes = [cluster.node(0), cluster.node(1)];
    for (why, times) in [("{why=\"unproved\"}", 1), ("", 1)] {
        let counter = format!("rookery_store_epochs_begun_total{why}");
        assert_eq!(counted(&nodes, &counter), times, "{why}");
    }
}

/// The epoch is the one of before, all that was acked is there once, and everybody was shown one log without a break.
async fn check_nothing_happened(cluster: &Cluster, standby: &Postgres, before: &str, crew: Crew) {
    let mut reader = cluster.raw(1, "alice", "reader").await;
    crew.account(&mut reader, 0).await;
    check_epoch_is_kept(cluster, before);
    check_whole(standby).await;
}

fn check_epoch_is_kept(cluster: &Cluster, before: &str) {
    assert_eq!(epoch(cluster, 0), before);
    let nodes = [cluster.node(0), cluster.node(1)];
    assert_eq!(counted(&nodes, "rookery_store_epochs_begun_total"), 0);
    assert_eq!(counted(&nodes, "rookery_store_epochs_kept_total"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_restored_under_running_nodes_begins_a_new_epoch_and_the_loss_is_told() {
    let mut cluster = Cluster::start(2).await;
    let before = epoch(&cluster, 0);
    let mut bob = cluster.user(1, "bob").await;
    let mut alice = cluster.user(0, "alice").await;
    alice.say("bob", "kept").await;
    bob.next_message().await;
    let backup = cluster.postgres().back_up().await;
    alice.say("bob", "lost").await;
    bob.say("alice", "lost too").await;

    cluster.postgres().pause().await;
    cluster.postgres().restore(&backup);
    cluster.postgres().start_again().await;

    check_goes_on(&cluster, &alice, &bob).await;
    check_loss_is_told(&cluster, &before, [&mut alice, &mut bob]).await;
    check_whole(cluster.postgres()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_its_folder_sees_by_the_shared_mark_that_the_database_was_restored() {
    let mut cluster = Cluster::start(2).await;
    let before = epoch(&cluster, 0);
    let backup = cluster.postgres().back_up().await;
    let alice = cluster.user(0, "alice").await;
    alice.say("alice", "lost").await;
    // Whatever a start writes, the restored log ends before this.
    cluster.database().await.batch_execute("select pg_switch_wal()").await.unwrap();
    alice.say("alice", "lost too").await;
    // What Redis loses is written again.
    cluster.redis().flush().await;
    for place in [0, 1] {
        assert!(cluster.stop(place).success());
    }

    cluster.postgres().pause().await;
    cluster.postgres().restore(&backup);
    cluster.postgres().start_again().await;
    let place = cluster.join();

    assert_ne!(epoch(&cluster, place), before);
    let node = cluster.node(place);
    assert_eq!(counted(&[node], "rookery_store_epochs_begun_total{why=\"behind\"}"), 1);
    assert!(node.stderr().contains("the database lost committed data"), "{}", node.stderr());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_synchronous_standby_is_frozen_nothing_is_acked_and_nobody_sees_what_is_not() {
    let (cluster, standby) = followed().await;
    wait_for_standby(&cluster).await;
    let mut bob = cluster.raw(1, "bob", "b").await;
    let mut alice = cluster.raw(0, "alice", "a").await;
    alice.ok("message.send", text("bob", key(), "kept")).await;
    let database = cluster.database().await;

    let receiver = standby.receiver().await.unwrap();
    send_signal(receiver, "STOP");
    let late = alice.0.submit("message.send", text("bob", key(), "late")).await.unwrap();
    await_row(&database, WAITS_FOR_STANDBY).await;

    // The connection answers, and what answers later was not acked before.
    alice.ok("ping", json!({})).await;
    assert!(alice.0.reply(late).now_or_never().is_none(), "acked before the standby has it");
    let ask = json!({"conversation": "user:alice", "after": 0, "limit": 200});
    let page: Value = bob.ok("message.history", ask).await;
    assert_eq!((&page["head"], page["messages"].as_array().unwrap().len()), (&json!(1), 1));

    send_signal(receiver, "CONT");
    let reply = within(ACKED_WITHIN, "the ack", alice.reply(late)).await;
    assert_eq!(reply["ok"]["seq"], 2, "{reply}");
    let shown = soon("both", async {
        let first = bob.event("message.new").await["seq"].clone();
        [first, bob.event("message.new").await["seq"].clone()]
    });
    assert_eq!(shown.await, [json!(1), json!(2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_for_a_synchronous_standby_when_that_was_promoted_is_stored_once_and_keeps_the_epoch()
 {
    let (mut cluster, standby) = followed().await;
    wait_for_standby(&cluster).await;
    let before = epoch(&cluster, 0);
    let mut alice = cluster.raw(0, "alice", "a").await;
    cluster.with_users(&["bob"]);
    alice.ok("message.send", text("bob", key(), "kept")).await;
    standby.cut_off().await;
    let late = alice.0.submit("message.send", text("bob", key(), "late")).await.unwrap();
    await_row(&cluster.database().await, WAITS_FOR_STANDBY).await;

    // The primary has it, and the standby has not.
    cluster.postgres().kill().await;
    standby.promote().await;

    let reply = within(ACKED_WITHIN, "the ack", alice.reply(late)).await;
    assert_eq!(reply["ok"]["seq"], 2, "{reply}");
    assert_eq!(history(&cluster, 1, "bob", "alice").await, ["kept", "late"]);
    check_epoch_is_kept(&cluster, &before);
    check_whole(&standby).await;
}
