//! Three nodes on one database, as their clients see them: as one server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use common::chat::{Raw, User, key, text};
use common::cluster::{Cluster, cast, event_soon, next_soon, skip_numbers, soon};
use common::groups::{call, create, follow, to_group, whole_log};
use common::node::{self, Node, data_folder};
use futures_util::future::join_all;
use rookery::ids::{Conversation, Seq};
use serde_json::{Value, json};

fn to(conversation: &str, seq: u64) -> Value {
    json!({"conversation": conversation, "seq": seq})
}

fn delivered(conversation: &str, seq: u64, user: &str, by: &str) -> Value {
    json!({"conversation": conversation, "seq": seq, "user": user, "by": by})
}

fn read(conversation: &str, seq: u64, user: &str) -> Value {
    json!({"conversation": conversation, "seq": seq, "user": user})
}

/// The next entry that is pushed, which must come at once.
async fn pushed(raw: &mut Raw) -> Value {
    event_soon(raw, "message.new").await
}

/// The next entry of a group that is pushed, which must come at once.
async fn pushed_of(raw: &mut Raw, group: &str) -> Value {
    let conversation = format!("group:{group}");
    let is_it = |frame: &Value| {
        frame["event"] == "message.new" && frame["body"]["conversation"] == *conversation
    };
    soon("an entry of the group", raw.0.first(is_it)).await.unwrap()["body"].take()
}

#[tokio::test]
async fn a_message_is_pushed_at_once_to_its_receiver_on_another_node_and_both_receipts_come_back() {
    let cluster = Cluster::shared();
    let [alice_id, bob_id] = cast(["alice", "bob"]);
    let mut bob = cluster.raw(1, &bob_id, "b").await;
    let mut alice = cluster.raw(0, &alice_id, "a").await;
    let (with_alice, with_bob) = (format!("user:{alice_id}"), format!("user:{bob_id}"));

    let sent = alice.ok("message.send", text(&bob_id, key(), "hello")).await;

    let seen = next_soon(&mut bob, "message.new").await;
    assert_eq!((&seen["conversation"], &seen["from"]), (&json!(with_alice), &json!(alice_id)));
    assert_eq!((&seen["seq"], &seen["content"]["text"]), (&json!(1), &json!("hello")));
    assert_eq!((&seen["message_id"], &seen["inbox"]), (&sent["message_id"], &json!(1)));
    bob.ok("message.received", to(&with_alice, 1)).await;
    let receipt = next_soon(&mut alice, "message.delivered").await;
    assert_eq!(receipt, delivered(&with_bob, 1, &bob_id, "device"));
    bob.ok("message.read", to(&with_alice, 1)).await;
    assert_eq!(next_soon(&mut alice, "message.read").await, read(&with_bob, 1, &bob_id));

    bob.ok("message.send", text(&alice_id, key(), "hello yourself")).await;
    assert_eq!(next_soon(&mut alice, "message.new").await["seq"], 2);
    // To read is to have, which is told first.
    alice.ok("message.read", to(&with_bob, 2)).await;
    let receipt = next_soon(&mut bob, "message.delivered").await;
    assert_eq!(receipt, delivered(&with_alice, 2, &alice_id, "device"));
    assert_eq!(next_soon(&mut bob, "message.read").await, read(&with_alice, 2, &alice_id));
}

#[tokio::test]
async fn what_one_device_sends_and_reads_reaches_the_user_s_others_on_other_nodes() {
    let cluster = Cluster::shared();
    let [alice_id, bob_id] = cast(["alice", "bob"]);
    let mut bob = cluster.raw(1, &bob_id, "b").await;
    let mut tab = cluster.raw(0, &alice_id, "tab").await;
    let mut desk = cluster.raw(2, &alice_id, "desk").await;
    let (with_alice, with_bob) = (format!("user:{alice_id}"), format!("user:{bob_id}"));

    let client_msg_id = key();
    let sent = tab.ok("message.send", text(&bob_id, client_msg_id, "from the tab")).await;

    let seen = next_soon(&mut desk, "message.new").await;
    assert_eq!((&seen["conversation"], &seen["from"]), (&json!(with_bob), &json!(alice_id)));
    assert_eq!((&seen["seq"], &seen["inbox"]), (&sent["seq"], &sent["inbox"]));
    assert_eq!(seen["client_msg_id"], json!(client_msg_id));
    next_soon(&mut bob, "message.new").await;
    bob.ok("message.received", to(&with_alice, 1)).await;
    for device in [&mut tab, &mut desk] {
        let receipt = next_soon(device, "message.delivered").await;
        assert_eq!(receipt, delivered(&with_bob, 1, &bob_id, "device"));
    }
    bob.ok("message.send", text(&alice_id, key(), "to both")).await;
    for device in [&mut tab, &mut desk] {
        assert_eq!(next_soon(device, "message.new").await["seq"], 2);
    }
    desk.ok("message.read", to(&with_bob, 2)).await;
    assert_eq!(next_soon(&mut tab, "message.read").await, read(&with_bob, 2, &alice_id));
}

#[tokio::test]
async fn the_server_answers_for_a_receiver_only_when_no_device_is_online_on_any_node() {
    let cluster = Cluster::shared();
    let [alice_id, bob_id] = cast(["alice", "bob"]);
    let mut tab = cluster.raw(1, &bob_id, "tab").await;
    let mut desk = cluster.raw(2, &bob_id, "desk").await;
    let mut alice = cluster.raw(0, &alice_id, "a").await;
    let (with_alice, with_bob) = (format!("user:{alice_id}"), format!("user:{bob_id}"));

    // None of them is on the sender's node, and one is left when the other goes, whoever has what was pushed.
    alice.ok("message.send", text(&bob_id, key(), "to both")).await;
    next_soon(&mut tab, "message.new").await;
    next_soon(&mut desk, "message.new").await;
    tab.ok("logout", json!({})).await;
    alice.ok("message.send", text(&bob_id, key(), "to one")).await;
    next_soon(&mut desk, "message.new").await;
    desk.ok("message.received", to(&with_alice, 1)).await;
    let receipt = next_soon(&mut alice, "message.delivered").await;
    assert_eq!(receipt, delivered(&with_bob, 1, &bob_id, "device"), "it came first");

    // The last one goes without having received what was pushed to it.
    desk.ok("logout", json!({})).await;
    let receipt = next_soon(&mut alice, "message.delivered").await;
    assert_eq!(receipt, delivered(&with_bob, 2, &bob_id, "server"));
    alice.ok("message.send", text(&bob_id, key(), "to nobody")).await;
    let receipt = next_soon(&mut alice, "message.delivered").await;
    assert_eq!(receipt, delivered(&with_bob, 3, &bob_id, "server"));
}

#[tokio::test]
async fn two_who_write_to_each_other_at_once_on_two_nodes_have_one_log_without_a_gap() {
    const EACH: usize = 60;
    let cluster = Cluster::shared();
    let [alice_id, bob_id] = cast(["alice", "bob"]);
    cluster.with_users(&[&alice_id, &bob_id]);
    let mut alice = cluster.user(0, &alice_id).await;
    let mut bob = cluster.user(1, &bob_id).await;
    let say_all = async |from: &User, to: &str| {
        let with = Conversation::parse(&format!("user:{to}")).unwrap();
        let mut said = Vec::new();
        for n in 0..EACH {
            let content = rookery::protocol::Content::Text { text: n.to_string() };
            said.push(from.client.post(&with, content).await.unwrap());
        }
        let mut seqs = Vec::new();
        for posted in said {
            seqs.push(soon("an ack", posted.acked()).await.unwrap().seq);
        }
        seqs
    };

    let (of_alice, of_bob) = tokio::join!(say_all(&alice, &bob_id), say_all(&bob, &alice_id));

    for seqs in [&of_alice, &of_bob] {
        assert!(seqs.is_sorted(), "acked in another order than sent: {seqs:?}");
    }
    let all: BTreeSet<_> = of_alice.iter().chain(&of_bob).copied().collect();
    let whole: BTreeSet<_> = (1..=2 * EACH as u64).map(Seq::new).collect();
    assert_eq!(all, whole, "no gap, and nothing twice");
    for (own, others) in [(&mut alice, &of_bob), (&mut bob, &of_alice)] {
        for seq in others {
            assert_eq!(soon("a message", own.next_message()).await.seq, *seq);
        }
    }
}

#[tokio::test]
async fn a_message_that_is_sent_at_all_nodes_at_once_is_stored_once_and_acked_alike() {
    const ROUNDS: usize = 10;
    let cluster = Cluster::shared();
    let [alice_id, bob_id, group] = cast(["alice", "bob", "crew"]);
    let mut bob = cluster.raw(1, &bob_id, "b").await;
    let mut devices = Vec::new();
    for place in 0..3 {
        devices.push(cluster.raw(place, &alice_id, &format!("tab-{place}")).await);
    }
    create(&mut devices[0], &group, "work", &[&bob_id]).await;
    pushed_of(&mut bob, &group).await;

    for round in 0..ROUNDS {
        let client_msg_id = key();
        for send in [text(&bob_id, client_msg_id, "?"), to_group(&group, client_msg_id, "?")] {
            let calls = devices.iter_mut().map(|device| device.ok("message.send", send.clone()));
            let acks = soon("acks", join_all(calls)).await;

            let first: Vec<_> = acks.iter().filter(|ack| ack["duplicate"] == false).collect();
            assert_eq!(first.len(), 1, "round {round}: one is the first: {acks:?}");
            for ack in &acks {
                for field in ["seq", "message_id", "sent_at_ms"] {
                    assert_eq!(ack[field], first[0][field], "round {round}: {acks:?}");
                }
            }
        }
    }
    let log = whole_log(&mut bob, &group).await;
    assert_eq!(log.len(), ROUNDS + 1);
    follow(&log);
    let with = json!({"conversation": format!("user:{alice_id}"), "limit": 1});
    assert_eq!(call(&mut bob, "message.history", with).await["ok"]["head"], ROUNDS);
}

/// What a member is told of a group, and is acked: under each seq what was said.
type Shown = BTreeMap<u64, String>;

/// Says so much in a group, much of it under way at once, and listens until so many entries are known.
async fn talk(raw: &mut Raw, group: &str, me: &str, count: usize, total: usize) -> Shown {
    const UNDER_WAY: usize = 16;
    let conversation = format!("group:{group}");
    let (mut shown, mut last_pushed) = (Shown::new(), 0);
    let mut under_way: HashMap<u64, usize> = HashMap::new();
    let (mut said, mut acked) = (0, BTreeMap::new());
    while shown.len() < total {
        if said < count && under_way.len() < UNDER_WAY {
            let send = to_group(group, key(), &format!("{me} {said}"));
            under_way.insert(raw.0.submit("message.send", send).await.unwrap(), said);
            said += 1;
            continue;
        }
        let frame = soon("the rest of the log", raw.0.frame()).await.unwrap();
        let known = if let Some(own) = frame["re"].as_u64().and_then(|id| under_way.remove(&id)) {
            let seq = frame["ok"]["seq"].as_u64().unwrap_or_else(|| panic!("{frame}"));
            acked.insert(own, seq);
            shown.insert(seq, format!("{me} {own}"))
        } else if frame["event"] == "message.new" && frame["body"]["conversation"] == *conversation
        {
            let seq = frame["body"]["seq"].as_u64().unwrap();
            assert!(seq > last_pushed, "{me}: {seq} was pushed behind {last_pushed}");
            last_pushed = seq;
            let said = frame["body"]["content"]["text"].as_str().unwrap_or_default();
            shown.insert(seq, said.to_owned())
        } else {
            None
        };
        assert_eq!(known, None, "{me} has it twice: {frame}");
    }
    assert!(acked.values().is_sorted(), "{me}: acked in another order than sent: {acked:?}");
    shown
}

#[tokio::test]
async fn members_on_three_nodes_get_every_message_of_all_three_in_one_order_without_a_gap() {
    const EACH: usize = 50;
    let cluster = Cluster::shared();
    let [alice_id, bob_id, carol_id, group] = cast(["alice", "bob", "carol", "crew"]);
    let mut bob = cluster.raw(1, &bob_id, "b").await;
    let mut carol = cluster.raw(2, &carol_id, "c").await;
    let mut alice = cluster.raw(0, &alice_id, "a").await;
    create(&mut alice, &group, "work", &[&bob_id, &carol_id]).await;

    let total = 1 + 3 * EACH;
    let (of_alice, of_bob, of_carol) = tokio::join!(
        talk(&mut alice, &group, &alice_id, EACH, total),
        talk(&mut bob, &group, &bob_id, EACH, total),
        talk(&mut carol, &group, &carol_id, EACH, total),
    );

    assert!(of_alice.keys().copied().eq(1..=total as u64), "a gap: {:?}", of_alice.keys());
    assert_eq!((&of_bob, &of_carol), (&of_alice, &of_alice));
    for member in [&alice_id, &bob_id, &carol_id] {
        let own: Vec<_> = of_alice.values().filter(|said| said.starts_with(member)).collect();
        let expected: Vec<_> = (0..EACH).map(|n| format!("{member} {n}")).collect();
        assert!(own.into_iter().eq(&expected), "{member} is not in the order sent");
    }
    let log = whole_log(&mut bob, &group).await;
    follow(&log);
    let stored = log.iter().map(|it| it["content"]["text"].as_str().unwrap_or_default());
    assert!(stored.eq(of_alice.values()), "the store holds another log");
}

#[tokio::test]
async fn the_nodes_share_the_shards_and_a_group_is_the_same_whoever_owns_it() {
    const GROUPS: usize = 24;
    let cluster = Cluster::shared();
    cluster.await_spread().await;
    let database = cluster.database().await;
    let ids = cast(["alice", "bob", "carol"]);
    let names: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut members = Vec::new();
    for (place, id) in ids.iter().enumerate() {
        members.push(cluster.raw(place, id, "main").await);
    }
    let groups: Vec<String> = (0..GROUPS).map(|n| format!("of-{}-{n}", names[0])).collect();

    let mut owners = BTreeSet::new();
    for (n, group) in groups.iter().enumerate() {
        skip_numbers(&database, 1024 / GROUPS as i32).await;
        cluster.group(n % 3, group, names[n / 3 % 3], &names);
        owners.insert(cluster.owner_of(group, &database).await.0);
    }
    assert_eq!(owners.len(), 3, "each node owns some of them");
    for (n, member) in members.iter_mut().enumerate() {
        for group in &groups {
            member.ok("message.send", to_group(group, key(), names[n])).await;
        }
    }

    for (n, member) in members.iter_mut().enumerate() {
        let mut seen = BTreeSet::new();
        for _ in 0..3 * GROUPS {
            let entry = pushed(member).await;
            let conversation = entry["conversation"].as_str().unwrap().to_owned();
            seen.insert((conversation, entry["seq"].as_u64().unwrap()));
        }
        // The notice, and what the others said: the senders took their turns.
        let of_others = (1..=4).filter(|seq| *seq != n as u64 + 2);
        let expected: BTreeSet<_> = of_others
            .flat_map(|seq| groups.iter().map(move |group| (format!("group:{group}"), seq)))
            .collect();
        assert_eq!(seen, expected, "{}", names[n]);
    }
}

#[tokio::test]
async fn a_group_that_was_made_on_one_node_is_there_for_another_at_once() {
    const ROUNDS: usize = 9;
    let cluster = Cluster::shared();
    let [alice_id, bob_id, first] = cast(["alice", "bob", "crew"]);
    let mut raws = [
        [cluster.raw(0, &alice_id, "a0").await, cluster.raw(1, &bob_id, "b1").await],
        [cluster.raw(1, &alice_id, "a1").await, cluster.raw(2, &bob_id, "b2").await],
        [cluster.raw(2, &alice_id, "a2").await, cluster.raw(0, &bob_id, "b0").await],
    ];
    for round in 0..ROUNDS {
        let group = format!("{first}-{round}");
        let [alice, bob] = &mut raws[round % 3];

        create(alice, &group, "work", &[&bob_id]).await;
        let sent = bob.ok("message.send", to_group(&group, key(), "here already")).await;

        assert_eq!(sent["seq"], 2, "round {round}");
        let seen = bob.ok("group.get", json!({"group": group})).await;
        assert_eq!((&seen["owner"], &seen["members"]), (&json!(alice_id), &json!(2)));
        for expected in 1..=2 {
            assert_eq!(pushed_of(alice, &group).await["seq"], expected, "round {round}");
        }
    }
}

#[tokio::test]
async fn who_is_added_or_removed_on_one_node_gets_on_another_what_is_theirs_and_no_more() {
    let cluster = Cluster::shared();
    let [alice_id, bob_id, carol_id, group] = cast(["alice", "bob", "carol", "crew"]);
    let mut carol = cluster.raw(2, &carol_id, "c").await;
    let mut bob = cluster.raw(1, &bob_id, "b").await;
    let mut alice = cluster.raw(0, &alice_id, "a").await;
    create(&mut alice, &group, "work", &[&bob_id]).await;
    assert_eq!(event_soon(&mut bob, "group.changed").await, json!({"group": group}));
    let add = json!({"group": group, "user": carol_id});

    let added = bob.ok("group.invite", add.clone()).await;
    assert_eq!(added, json!({"group": group, "seq": 2, "users": [carol_id]}));
    alice.ok("message.send", to_group(&group, key(), "welcome")).await;
    let notice = pushed_of(&mut carol, &group).await;
    assert_eq!((&notice["content"]["action"], &notice["seq"]), (&json!("added"), &json!(2)));
    assert_eq!(event_soon(&mut carol, "group.changed").await, json!({"group": group}));
    assert_eq!(pushed_of(&mut carol, &group).await["content"]["text"], "welcome");
    let thanks = to_group(&group, key(), "thanks");
    assert_eq!(carol.ok("message.send", thanks.clone()).await["seq"], 4);
    for member in [&mut alice, &mut bob] {
        while pushed_of(member, &group).await["content"]["text"] != "thanks" {}
    }

    alice.ok("group.remove", add.clone()).await;
    alice.ok("message.send", to_group(&group, key(), "between us")).await;
    assert_eq!(pushed_of(&mut bob, &group).await["content"]["action"], "removed");
    assert_eq!(pushed_of(&mut bob, &group).await["content"]["text"], "between us");
    let notice = pushed_of(&mut carol, &group).await;
    assert_eq!((&notice["content"]["action"], &notice["seq"]), (&json!("removed"), &json!(5)));
    assert_eq!(event_soon(&mut carol, "group.changed").await, json!({"group": group}));
    let again = to_group(&group, key(), "let me in");
    assert_eq!(carol.code("message.send", again).await, "not_a_member");
    let repeat = carol.ok("message.send", thanks).await;
    assert_eq!((&repeat["seq"], &repeat["duplicate"]), (&json!(4), &json!(true)));

    // What comes first after that is that she is in again.
    bob.ok("group.invite", add).await;
    let notice = pushed_of(&mut carol, &group).await;
    assert_eq!((&notice["content"]["action"], &notice["seq"]), (&json!("added"), &json!(7)));
    let page = json!({"conversation": format!("group:{group}")});
    assert_eq!(carol.ok("message.history", page).await["min_seq"], 7);
}

#[tokio::test]
async fn what_changes_of_a_group_is_told_to_members_on_all_nodes() {
    let cluster = Cluster::shared();
    let [alice_id, bob_id, carol_id, group] = cast(["alice", "bob", "carol", "all"]);
    let mut carol = cluster.raw(2, &carol_id, "c").await;
    let mut bob = cluster.raw(1, &bob_id, "b").await;
    let mut alice = cluster.raw(0, &alice_id, "a").await;
    create(&mut alice, &group, "meeting", &[]).await;

    bob.ok("group.join", json!({"group": group})).await;
    carol.ok("group.join", json!({"group": group})).await;
    alice.ok("group.update", json!({"group": group, "name": "Everybody"})).await;
    bob.ok("group.leave", json!({"group": group})).await;
    alice.ok("group.dissolve", json!({"group": group})).await;

    let (left, whole) = (
        ["joined", "joined", "renamed", "left"],
        ["created", "joined", "joined", "renamed", "left", "dissolved"],
    );
    for (member, told) in [(&mut alice, &whole[..]), (&mut bob, &left), (&mut carol, &whole[2..])] {
        for action in told {
            assert_eq!(pushed_of(member, &group).await["content"]["action"], *action);
            assert_eq!(event_soon(member, "group.changed").await, json!({"group": group}));
        }
    }
    let late = to_group(&group, key(), "wait");
    assert_eq!(carol.code("message.send", late).await, "not_a_member");
}

#[tokio::test]
async fn how_many_have_read_reaches_the_author_on_another_node_and_the_reader_s_own_devices() {
    let cluster = Cluster::shared();
    let [alice_id, bob_id, carol_id, group] = cast(["alice", "bob", "carol", "crew"]);
    let mut carol = cluster.raw(2, &carol_id, "c").await;
    let mut bob = cluster.raw(1, &bob_id, "b").await;
    let mut desk = cluster.raw(2, &bob_id, "desk").await;
    let mut alice = cluster.raw(0, &alice_id, "a").await;
    create(&mut alice, &group, "work", &[&bob_id, &carol_id]).await;
    alice.ok("message.send", to_group(&group, key(), "read this")).await;
    let conversation = format!("group:{group}");
    let counts = |readers: u64| json!({"conversation": conversation, "counts": [{"seq": 2, "readers": readers}]});

    bob.ok("message.read", to(&conversation, 2)).await;
    assert_eq!(event_soon(&mut alice, "message.read").await, counts(1));
    assert_eq!(event_soon(&mut desk, "message.read").await, read(&conversation, 2, &bob_id));

    carol.ok("message.read", to(&conversation, 2)).await;
    assert_eq!(event_soon(&mut alice, "message.read").await, counts(2));
    let members = carol.ok("group.members", json!({"group": group})).await;
    let cursors = members["members"].as_array().unwrap().iter().map(|row| &row["read"]);
    assert_eq!(cursors.filter(|cursor| **cursor == 2).count(), 2, "{members}");
}

#[tokio::test]
async fn a_client_that_comes_back_at_another_node_goes_on_from_its_place() {
    let cluster = Cluster::shared();
    let [alice_id, bob_id, group] = cast(["alice", "bob", "crew"]);
    let mut bob = cluster.app(1).connect().await;
    let login = bob.ok("login", cluster.app(1).login(&bob_id, "b")).await;
    let mut alice = cluster.raw(0, &alice_id, "a").await;
    create(&mut alice, &group, "work", &[&bob_id]).await;
    pushed_of(&mut bob, &group).await;
    // The link is lost, and the node that it led to may not know yet.
    drop(bob);
    alice.ok("message.send", text(&bob_id, key(), "one")).await;
    alice.ok("message.send", to_group(&group, key(), "two")).await;

    let mut bob = cluster.app(2).connect().await;
    let mut again = cluster.app(2).login(&bob_id, "b");
    again["resume"] = json!({"login_no": login["login_no"]});
    again["sync"] = json!({"epoch": login["epoch"], "inbox": 0, "groups": {&group: 1}});
    let place = soon("a login", bob.ok("login", again)).await["sync"].take();
    assert_eq!(place["inbox"], 1);
    assert_eq!(place["groups"], json!([{"group": group, "head": 2, "min_seq": 1}]));
    alice.ok("message.send", text(&bob_id, key(), "three")).await;
    alice.ok("message.send", to_group(&group, key(), "four")).await;
    let next = [pushed(&mut bob).await, pushed(&mut bob).await];

    let mut said: Vec<_> = next.iter().map(|it| it["content"]["text"].as_str().unwrap()).collect();
    said.sort_unstable();
    assert_eq!(said, ["four", "three"]);
    let behind = json!({"inbox": 1, "groups": {&group: 2}});
    let pong = bob.ok("ping", behind).await;
    assert_eq!(pong["behind"], json!({"inbox": 2, "groups": {&group: 3}}));
    let pong = bob.ok("ping", json!({"inbox": 2, "groups": {&group: 3}})).await;
    assert_eq!(pong.get("behind"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rest_on_one_node_acts_on_users_and_groups_of_others() {
    let cluster = Cluster::shared();
    let [alice_id, bob_id, group] = cast(["alice", "bob", "crew"]);
    let mut alice = cluster.raw(0, &alice_id, "a").await;
    let mut bob = cluster.raw(1, &bob_id, "b").await;
    let backend = cluster.backend(2);
    let say = |to: &str, text: &str| json!({"to": to, "content": {"type": "text", "text": text}, "client_msg_id": key()});

    assert_eq!(backend.get(&format!("/users/{bob_id}")).done(200)["online"], true);
    backend.post("/messages", &say(&format!("user:{bob_id}"), "your parcel is here")).done(201);
    let seen = next_soon(&mut bob, "message.new").await;
    assert_eq!((&seen["from"], &seen["seq"]), (&json!("system"), &json!(1)));

    cluster.group(2, &group, &alice_id, &[]);
    assert_eq!(pushed_of(&mut alice, &group).await["content"]["action"], "created");
    let members = format!("/groups/{group}/members");
    backend.post(&members, &json!({"users": [bob_id]})).done(200);
    for member in [&mut alice, &mut bob] {
        assert_eq!(pushed_of(member, &group).await["content"]["action"], "added");
    }
    backend.post("/messages", &say(&format!("group:{group}"), "all hands")).done(201);
    for member in [&mut alice, &mut bob] {
        assert_eq!(pushed_of(member, &group).await["content"]["text"], "all hands");
    }
    let remove = json!({"users": [bob_id]});
    backend.post(&format!("{members}/remove"), &remove).done(200);
    assert_eq!(pushed_of(&mut bob, &group).await["content"]["action"], "removed");

    let ended = backend.post(&format!("/users/{bob_id}/kick"), &json!({"all": true})).done(200);
    assert_eq!(ended["ended"], json!([{"id": "b", "platform": "web"}]));
    assert_eq!(event_soon(&mut bob, "session.kicked").await["reason"], "kicked");
    assert_eq!(soon("the end", bob.closed()).await, 4501);
    assert_eq!(backend.get(&format!("/users/{bob_id}")).done(200)["online"], false);
}

#[tokio::test]
async fn the_status_of_a_cluster_lists_its_nodes_with_their_shards_and_sessions() {
    let cluster = Cluster::shared();
    let [alice_id] = cast(["alice"]);
    let _alice = cluster.raw(1, &alice_id, "a").await;

    let status = cluster.status(0);

    let nodes = status["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 3);
    for node in nodes {
        assert_eq!((&node["there"], &node["fenced"]), (&json!(true), &json!(false)), "{node}");
        let left_s = node["lease_left_s"].as_f64().unwrap();
        assert!(left_s > 0.0 && left_s <= 10.0, "{node}");
        assert!(node["lowest_epoch"].as_i64() <= node["highest_epoch"].as_i64(), "{node}");
    }
    let shards = nodes.iter().map(|node| node["shards"].as_i64().unwrap());
    assert_eq!(shards.sum::<i64>(), 1024);
    assert_eq!(status["shards"]["without_owner"], 0);
    assert!(cluster.status_of(1, &status)["sessions"].as_i64().unwrap() >= 1);
    assert_eq!(status["redis"], json!({"used": true, "answers": true}));
    assert_eq!(status["store"]["waits_for_standbys"], false);

    let output = cluster.node(2).run(&["cluster", "status"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let state = lines[0].find("STATE").unwrap();
    assert!(lines[1..4].iter().all(|line| line[state..].starts_with("there ")), "{text}");
    assert!(text.contains("\nshards     1024 of 1024 are owned by nodes that are there"), "{text}");
    assert!(text.contains("\nredis      answers\n"), "{text}");
}

#[test]
fn the_status_of_a_node_that_is_alone_comes_from_its_private_database() {
    let node = Node::start();

    let status = node::status(&node);

    assert_eq!(status["nodes"].as_array().unwrap().len(), 1);
    assert_eq!(status["nodes"][0]["shards"], 1024);
    assert_eq!(status["redis"], json!({"used": false}));
}

#[test]
fn the_status_of_a_cluster_whose_database_is_away_or_empty_says_what_to_do() {
    let folder = data_folder();
    let url = format!("host={} user=rookery dbname=rookery", folder.path().display());
    let away = [("ROOKERY__DATABASE__URL", url.as_str())];
    let cases = [
        (&away[..], "the PostgreSQL of database.url cannot be reached"),
        // A private one, which is made for the moment.
        (&[], "run `rookery migrate`"),
    ];
    for (env, expected) in cases {
        let output = node::run(folder.path(), &["cluster", "status"], env);

        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}
