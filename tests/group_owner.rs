//! Each group has one owner, which PostgreSQL decides, and which may sleep: nothing is lost, doubled or reordered by that.
//!
//! `cargo test --test group_owner -- --nocapture` prints how much was sent meanwhile.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should end"
)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::chat::{App, key, patience, text};
use common::groups::{
    Random, Said, Talk, create, follow, hold_against, next_reply, to_group, whole_log,
};
use common::node::{Node, Options, data_folder};
use common::postgres::database_of;
use common::{eventually, get};
use rookery::ids::{Conversation, GroupId};
use tokio::task::JoinSet;
use tokio_postgres::Client as Database;

/// How often the database is asked for what must come.
const LOOK_EVERY: Duration = Duration::from_millis(20);

fn group(name: &str) -> Conversation {
    Conversation::Group(GroupId::parse(name).unwrap())
}

fn metric(node: &Node, name: &str) -> u64 {
    let (_, metrics) = get(node.inside(), "/metrics").unwrap();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse::<f64>().unwrap() as u64)
}

/// The heads of all groups.
async fn heads(database: &Database) -> BTreeMap<i64, i64> {
    let rows = database.query("select conversation_no, seq from group_heads", &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// A node that is not there, with a lease that ends so many seconds from now.
async fn lease_to_other(database: &Database, seconds: f64) {
    let lease = "insert into nodes (node, incarnation, number, lease_until)
        values (99, 1, null, clock_timestamp() + make_interval(secs => $1))
        on conflict (node) do update set lease_until = excluded.lease_until";
    database.execute(lease, &[&seconds]).await.unwrap();
}

/// The other node claims all shards, as a node does.
async fn claim_for_other(database: &Database) {
    let claim =
        "with held as materialized (select shard from shard_owner order by shard for update)
        update shard_owner o set epoch = o.epoch + 1, node = 99, incarnation = 1
        from held where o.shard = held.shard";
    assert_eq!(database.execute(claim, &[]).await.unwrap(), 1024);
}

/// How many shards the other node has, since how long the first one's lease is held, and whether the other's is over.
async fn standing(database: &Database) -> (i64, f64, bool) {
    let row = "select (select count(*) from shard_owner where node = 99),
            extract(epoch from clock_timestamp() - own.held_since)::float8,
            other.lease_until < clock_timestamp()
        from nodes own, nodes other where own.node <> 99 and other.node = 99";
    let row = database.query_one(row, &[]).await.unwrap();
    (row.get(0), row.get(1), row.get(2))
}

/// Waits until the node has renewed its lease twice.
async fn two_renewals(database: &Database) {
    let renewed = async || -> std::time::SystemTime {
        let lease = "select lease_until from nodes where node <> 99";
        database.query_one(lease, &[]).await.unwrap().get(0)
    };
    for _ in 0..2 {
        let before = renewed().await;
        let again = async {
            while renewed().await == before {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        patience("a renewal", again).await;
    }
}

/// Waits until the node has its shards back; how long its own lease was held when it had the first one.
async fn taken_back(database: &Database) -> f64 {
    let mut first = None;
    let taken = async {
        loop {
            let (others, held_s, over) = standing(database).await;
            if others < 1024 {
                assert!(over, "taken from a node whose lease was not over");
                first.get_or_insert(held_s);
            }
            if others == 0 {
                break;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    patience("the shards come back", taken).await;
    first.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_shards_another_one_has_stores_nothing_and_goes_on_when_it_has_them_back() {
    const GROUPS: usize = 8;
    let node = Node::start();
    let app = App::of(&node);
    let database = database_of(&node).await;
    let mut owner = app.raw("owner", "o").await;
    let names: Vec<String> = (0..GROUPS).map(|n| format!("crew-{n}")).collect();
    let mut members = Vec::new();
    for name in ["alice", "bob", "carol"] {
        members.push(app.user(name).await);
    }
    for name in &names {
        create(&mut owner, name, "work", &["alice", "bob", "carol"]).await;
    }
    drop(owner);
    let groups: Vec<Conversation> = names.iter().map(|name| group(name)).collect();
    let talk = Arc::new(Talk::default());
    let mut talking = JoinSet::new();
    for (n, member) in members.iter().enumerate() {
        let (client, talk) = (member.client.clone(), talk.clone());
        let mut to = groups.clone();
        to.rotate_left(n);
        talking.spawn(async move { talk.join_in(&client, &to, 16).await });
    }
    talk.acks(300).await;

    // One whose lease is over already: ours has to be held for as long as one lasts before it counts.
    lease_to_other(&database, -1.0).await;
    talk.under_way(10).await;
    claim_for_other(&database).await;
    let then = heads(&database).await;
    let (others, held_s, _) = standing(&database).await;
    if others == 1024 && held_s < 9.0 {
        assert_eq!(heads(&database).await, then, "stored without the shard");
    }
    let held_s = taken_back(&database).await;
    assert!(held_s >= 10.0, "taken when the own lease had been held for {held_s} s");
    talk.acks(300).await;

    // One that is alive, in the middle of appends, some times.
    for _ in 0..2 {
        lease_to_other(&database, 3600.0).await;
        talk.under_way(10).await;
        claim_for_other(&database).await;
        let then = heads(&database).await;
        let mut outsider = app.raw("alice", "second").await;
        for name in &names {
            let send = to_group(name, key(), "too late");
            let code = outsider.code("message.send", send).await;
            assert_eq!(code, "unavailable");
        }
        two_renewals(&database).await;
        assert_eq!(standing(&database).await.0, 1024, "shards of a node that is alive were taken");
        assert_eq!(heads(&database).await, then, "stored without the shard");
        lease_to_other(&database, -1.0).await;
        taken_back(&database).await;
        talk.acks(300).await;
    }

    talk.stop();
    let mut said: Vec<Said> = Vec::new();
    while let Some(one) = talking.join_next().await {
        said.push(one.unwrap());
    }
    let mut acked = 0;
    let mut owner = app.raw("owner", "o").await;
    for (name, group) in names.iter().zip(&groups) {
        let log = whole_log(&mut owner, name).await;
        follow(&log);
        let of_all = said.iter().map(|said| hold_against(&log, group, said)).sum::<usize>();
        assert_eq!(log.len(), of_all + 1, "{name} holds what nobody was acked");
        acked += of_all;
    }
    println!("3 claims of another owner: acked {acked}, lost 0, holes 0, duplicates 0");
}

#[tokio::test]
async fn a_node_that_starts_again_has_its_shards_at_once() {
    let folder = data_folder();
    let mut node = Node::start_in(folder.path(), Options::default());
    let app = App::of(&node);
    let mut alice = app.raw("alice", "a").await;
    create(&mut alice, "crew", "work", &[]).await;
    let first = alice.ok("message.send", to_group("crew", key(), "before")).await;
    assert_eq!(first["seq"], 2);

    for start in 2..5 {
        node.kill();
        node = Node::start_in(folder.path(), Options::default());
        // At the first try, for it is ready.
        let mut alice = app.moved_to(&node).raw("alice", "a").await;
        let sent = alice.ok("message.send", to_group("crew", key(), "after")).await;
        assert_eq!(sent["seq"], start + 1);
        let database = database_of(&node).await;
        let owned = "select count(*) from shard_owner o join nodes n using (node, incarnation)
            where o.epoch = $1 and o.incarnation = $1";
        let owned: i64 = database.query_one(owned, &[&(start as i64)]).await.unwrap().get(0);
        assert_eq!(owned, 1024, "each under a new epoch");
    }
}

/// Sends so many at once; each must be acked, in order.
async fn burst(raw: &mut common::chat::Raw, group: &str, count: usize, log: &mut Vec<String>) {
    let mut ids = Vec::new();
    for _ in 0..count {
        let key = key();
        log.push(key.to_string());
        let send = to_group(group, key, "good morning");
        ids.push(raw.0.submit("message.send", send).await.unwrap());
    }
    let mut seqs = BTreeMap::new();
    while seqs.len() < count {
        let reply = next_reply(raw).await;
        let seq = reply["ok"]["seq"].as_u64().unwrap_or_else(|| panic!("{reply}"));
        seqs.insert(reply["re"].as_u64().unwrap(), seq);
    }
    assert!(seqs.values().is_sorted(), "acked in another order than sent: {seqs:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_that_fall_asleep_while_messages_are_under_way_lose_none() {
    const GROUPS: u64 = 40;
    const ROUNDS: u64 = 8;
    let node = Node::start_with(Options::default().env("ROOKERY__GROUPS__SLEEP_AFTER_S", "1"));
    let app = App::of(&node);

    let mut tasks = JoinSet::new();
    for n in 0..GROUPS {
        let app = app.clone();
        tasks.spawn(async move {
            let name = format!("sleepy-{n}");
            let (alice_id, bob_id) = (format!("alice-{n}"), format!("bob-{n}"));
            let mut bob = app.raw(&bob_id, "b").await;
            let mut alice = app.raw(&alice_id, "a").await;
            create(&mut alice, &name, "work", &[&bob_id]).await;
            let mut random = Random(n);
            let (mut of_alice, mut of_bob) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                // Idle for about as long as it takes to fall asleep, so that it may happen right now.
                let idle = Duration::from_millis(900 + random.below(1300) as u64);
                tokio::time::sleep(idle).await;
                tokio::join!(
                    burst(&mut alice, &name, 1 + random.below(10), &mut of_alice),
                    burst(&mut bob, &name, 1 + random.below(10), &mut of_bob),
                );
            }
            let log = whole_log(&mut alice, &name).await;
            follow(&log);
            let of = |from: &str| -> Vec<String> {
                let messages = log.iter().skip(1).filter(|entry| entry["from"] == from);
                messages.map(|it| it["client_msg_id"].as_str().unwrap().to_owned()).collect()
            };
            assert_eq!((of(&alice_id), of(&bob_id)), (of_alice, of_bob), "in the order sent");
            log.len()
        });
    }
    let mut entries = 0;
    while let Some(done) = tasks.join_next().await {
        entries += done.unwrap();
    }

    let woken = metric(&node, "rookery_groups_woken_total");
    println!("{woken} groups woken in {} bursts, {entries} entries", GROUPS * ROUNDS);
    assert!(woken > GROUPS * 2, "they hardly ever slept");
    eventually("all are asleep", || (metric(&node, "rookery_groups_awake") == 0).then_some(()));
}

/// In the extended protocol the rows of a statement come before its commit, which may still fail.
#[tokio::test]
async fn ack_waits_for_the_end_of_the_statement() {
    let node = Node::start();
    let database = database_of(&node).await;
    let app = App::of(&node);
    let mut alice = app.raw("alice", "a").await;
    create(&mut alice, "crew", "work", &[]).await;
    let refuse = "create function refuse() returns trigger language plpgsql as
            $$ begin raise exception 'refused at the commit'; end $$;
        create constraint trigger at_the_commit after insert on group_messages deferrable initially deferred
            for each row execute function refuse();
        create constraint trigger at_the_commit after insert on pair_messages deferrable initially deferred
            for each row execute function refuse()";
    database.batch_execute(refuse).await.unwrap();
    let (to_crew, to_self) = (key(), key());

    let in_group = alice.error("message.send", to_group("crew", to_crew, "not yet")).await;
    let in_pair = alice.error("message.send", text("alice", to_self, "not yet")).await;

    assert_eq!(
        (&in_group["code"], &in_pair["code"]),
        (&"unavailable".into(), &"unavailable".into())
    );
    let rows = "select (select count(*) from group_messages where entry_type = 1)
        + (select count(*) from pair_messages)";
    assert_eq!(database.query_one(rows, &[]).await.unwrap().get::<_, i64>(0), 0);
    let relent = "drop trigger at_the_commit on group_messages;
        drop trigger at_the_commit on pair_messages";
    database.batch_execute(relent).await.unwrap();
    let in_group = alice.ok("message.send", to_group("crew", to_crew, "not yet")).await;
    let in_pair = alice.ok("message.send", text("alice", to_self, "not yet")).await;
    assert_eq!((&in_group["seq"], &in_pair["seq"]), (&2.into(), &1.into()));
}
