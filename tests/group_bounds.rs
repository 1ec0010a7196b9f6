//! Groups at their bounds: a member who does not read, and as many members as a group may have.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should end"
)]

mod common;

use common::chat::{App, Raw, key, patience};
use common::groups::{call, create, follow, next_reply, reply_to, to_group, whole_log};
use common::node::{Node, Options};
use common::postgres::database_of;
use common::{eventually, get};
use rookery::client::raw::Opening;
use rookery::domain::policy::Kind;
use rookery::limits;
use serde_json::{Value, json};

fn resident_kib(node: &Node) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_member_who_does_not_read_costs_a_bounded_queue_and_slows_nobody() {
    const MESSAGES: usize = 600;
    let node = Node::start();
    let app = App::of(&node);
    let narrow = Opening { receive_buffer: Some(4096), ..Opening::default() };
    let mut slow = app.connect_with(&narrow).await;
    slow.ok("login", app.login("slow", "s")).await;
    let mut carol = app.raw("carol", "c").await;
    let mut bob = app.raw("bob", "b").await;
    let mut alice = app.raw("alice", "a").await;
    create(&mut alice, "crew", "work", &["bob", "carol", "slow"]).await;
    carol.event("message.new").await;
    let filler = "x".repeat(30_000);
    let mut at_first = None;

    // Each of them is acked and pushed to the member who reads before the next one goes.
    for n in 0..MESSAGES {
        let from = if n % 2 == 0 { &mut alice } else { &mut bob };
        let sent = call(from, "message.send", to_group("crew", key(), &filler)).await;
        assert_eq!(sent["ok"]["seq"], n + 2, "{sent}");
        let pushed = carol.event("message.new").await;
        assert_eq!(pushed["seq"], n + 2, "in order, without a gap");
        if n == MESSAGES / 2 {
            at_first = Some(resident_kib(&node));
        }
    }

    // By then its queue was full; what came since was kept nowhere.
    let grown = resident_kib(&node).saturating_sub(at_first.unwrap());
    assert!(grown < 8 * 1024, "grown by {grown} KiB while {} MiB passed", MESSAGES / 2 * 30 / 1024);
    eventually("the one who does not read is closed", || {
        let (_, metrics) = get(node.inside(), "/metrics").unwrap();
        let closed = metrics.lines().find(|line| line.starts_with("rookery_slow_readers_total"))?;
        closed.ends_with(" 1").then_some(())
    });
    let parted = slow.ending().await;
    assert!(matches!(parted.code(), Some(4002) | None), "{parted}");
    let is_new = |frame: &&Value| frame["event"] == "message.new";
    let seqs: Vec<u64> =
        slow.0.kept().filter(is_new).map(|it| it["body"]["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "a beginning, without a gap");
    assert!(seqs.len() < MESSAGES, "the kernel took it all");
    if parted.code().is_some() {
        slow.event("sync.needed").await;
    }

    // It comes back and lacks nothing.
    let mut back = app.raw("slow", "s").await;
    let log = whole_log(&mut back, "crew").await;
    assert_eq!(log.len(), MESSAGES + 1);
    follow(&log);
    call(&mut alice, "message.send", to_group("crew", key(), "fence")).await;
    for raw in [&mut back, &mut carol] {
        assert_eq!(raw.event("message.new").await["content"]["text"], "fence");
    }
}

#[tokio::test]
async fn a_member_who_reads_too_late_is_told_to_sync_and_lacks_nothing() {
    const MESSAGES: u64 = 400;
    let node = Node::start();
    let app = App::of(&node);
    let narrow = Opening { receive_buffer: Some(4096), ..Opening::default() };
    let mut slow = app.connect_with(&narrow).await;
    slow.ok("login", app.login("slow", "s")).await;
    let mut alice = app.raw("alice", "a").await;
    create(&mut alice, "crew", "work", &["slow"]).await;
    let filler = "x".repeat(30_000);
    alice.send_all((0..MESSAGES).map(|_| to_group("crew", key(), &filler))).await;

    slow.event("sync.needed").await;
    let is_new = |frame: &&Value| frame["event"] == "message.new";
    let has = slow.0.kept().filter(is_new).count() as u64;
    assert!(has < MESSAGES);
    let synced = slow.ok("sync", json!({"groups": {"crew": has}})).await;
    assert_eq!(synced["groups"][0]["head"], MESSAGES + 1, "{synced}");
    alice.ok("message.send", to_group("crew", key(), "fence")).await;

    let fence = patience("the fence", async {
        loop {
            let event = slow.event("message.new").await;
            if event["seq"].as_u64().unwrap() > has {
                return event;
            }
        }
    })
    .await;
    assert_eq!(fence["content"]["text"], "fence", "nothing between came after the word to sync");
    assert_eq!(whole_log(&mut slow, "crew").await.len() as u64, MESSAGES + 2);
}

/// Users that have been here, without a login of each.
async fn make_users(node: &Node, count: u32) {
    let database = database_of(node).await;
    let insert = "insert into users (app, id) select 1, 'user-' || n from generate_series(1, $1) n";
    database.execute(insert, &[&(count as i32)]).await.unwrap();
}

fn some_users(from: u32, count: u32) -> Vec<String> {
    (from..from + count).map(|n| format!("user-{n}")).collect()
}

async fn members_of(raw: &mut Raw, group: &str) -> Vec<String> {
    let mut members: Vec<String> = Vec::new();
    let mut ask = json!({"group": group, "limit": 200});
    loop {
        let page = raw.ok("group.members", ask.clone()).await;
        let rows = page["members"].as_array().unwrap();
        members.extend(rows.iter().map(|row| row["user"].as_str().unwrap().to_owned()));
        match &page["next"] {
            Value::Null => return members,
            next => ask["after"] = next.clone(),
        }
    }
}

#[tokio::test]
async fn a_group_takes_in_as_many_as_it_may_have_by_commands_of_a_hundred_at_once() {
    let most = Kind::Work.policy().members_most;
    let a_command = limits::GROUP_USERS as u32;
    let node = Node::start_with(Options::default());
    let app = App::of(&node);
    make_users(&node, most + 1).await;
    let mut alice = app.raw("alice", "a").await;
    create(&mut alice, "crew", "work", &[]).await;

    // So many that their names fit into a frame at all.
    let all = json!({"group": "crew", "users": vec!["a"; most as usize]});
    assert_eq!(alice.code("group.invite", all).await, "too_large");
    let one_too_many = json!({"group": "crew", "users": some_users(1, a_command + 1)});
    assert_eq!(alice.code("group.invite", one_too_many).await, "too_large");

    // Alice is one of them, so the last command names one less.
    let mut ids = Vec::new();
    for from in (1..most).step_by(a_command as usize) {
        let users = some_users(from, a_command.min(most - from));
        let ask = json!({"group": "crew", "users": users});
        ids.push(alice.0.submit("group.invite", ask).await.unwrap());
    }
    assert_eq!(ids.len() as u32, most / a_command);
    let mut added = 0;
    for _ in &ids {
        let reply = next_reply(&mut alice).await;
        added += reply["ok"]["users"].as_array().unwrap_or_else(|| panic!("{reply}")).len();
    }
    assert_eq!(added as u32, most - 1);

    let last = json!({"group": "crew", "user": format!("user-{most}")});
    assert_eq!(alice.code("group.invite", last.clone()).await, "full");
    let again = alice.ok("group.invite", json!({"group": "crew", "user": "user-1"})).await;
    assert_eq!(again, json!({"group": "crew"}), "who is a member already needs no room");
    let info = alice.ok("group.get", json!({"group": "crew"})).await;
    assert_eq!(info["members"], most);
    let mut members = members_of(&mut alice, "crew").await;
    members.sort_unstable();
    members.dedup();
    assert_eq!(members.len() as u32, most);

    // One goes, another may come, and those who were invited read and write.
    let id = alice.0.submit("group.remove", json!({"group": "crew", "user": "user-2"})).await;
    assert_eq!(reply_to(&mut alice, id.unwrap()).await["ok"]["users"], json!(["user-2"]));
    assert_eq!(alice.ok("group.invite", last).await["users"], json!([format!("user-{most}")]));
    let mut one = app.raw("user-3000", "o").await;
    alice.ok("message.send", to_group("crew", key(), "welcome")).await;
    assert_eq!(one.event("message.new").await["content"]["text"], "welcome");
    one.ok("message.send", to_group("crew", key(), "thanks")).await;
    let log = whole_log(&mut alice, "crew").await;
    assert_eq!(follow(&log).len() as u32, most);
}
