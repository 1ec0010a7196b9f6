//! Coming back: pages, heads, positions, and readers that fall behind.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use common::chat::{App, Raw, User, key, patience, text, text_of, with};
use common::node::Node;
use rookery::client::raw::Opening;
use rookery::client::{Position, Update};
use rookery::ids::{Epoch, InboxSeq, Seq};
use serde_json::{Value, json};

fn seqs(page: &Value) -> Vec<u64> {
    page["messages"].as_array().unwrap().iter().map(|own| own["seq"].as_u64().unwrap()).collect()
}

/// Sends so many messages, `1`, `2` …, many at a time.
async fn send_many(from: &mut Raw, to: &str, count: u64) {
    let mut ids = std::collections::VecDeque::new();
    for nth in 1..=count {
        ids.push_back(
            from.0.submit("message.send", text(to, key(), &nth.to_string())).await.unwrap(),
        );
        if ids.len() == 30 {
            from.reply(ids.pop_front().unwrap()).await;
        }
    }
    for id in ids {
        assert!(from.reply(id).await.get("ok").is_some());
    }
}

#[tokio::test]
async fn a_history_is_paged_both_ways_without_a_gap() {
    let node = Node::start();
    let app = App::of(&node);
    let mut bob = app.raw("bob", "main").await;
    let mut alice = app.raw("alice", "main").await;
    let mut page = async |fields: Value| {
        let mut body = json!({"conversation": "user:bob"});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        alice.ok("message.history", body).await
    };
    let empty = page(json!({})).await;
    assert_eq!(
        (seqs(&empty), &empty["head"], &empty["has_more"]),
        (vec![], &json!(0), &json!(false))
    );
    send_many(&mut bob, "alice", 450).await;

    let newest = page(json!({})).await;
    assert_eq!((seqs(&newest), &newest["has_more"]), ((401..=450).collect(), &json!(true)));
    assert_eq!((&newest["head"], &newest["min_seq"]), (&json!(450), &json!(1)));
    let mut upwards = Vec::new();
    loop {
        let got = page(json!({"after": upwards.last().copied().unwrap_or(0), "limit": 97})).await;
        upwards.extend(seqs(&got));
        if got["has_more"] == false {
            break;
        }
    }
    assert_eq!(upwards, (1..=450).collect::<Vec<u64>>());
    let mut downwards: Vec<u64> = Vec::new();
    loop {
        let before = downwards.first().copied().unwrap_or(451);
        let got = page(json!({"before": before, "limit": 200})).await;
        downwards.splice(0..0, seqs(&got));
        if got["has_more"] == false {
            break;
        }
    }
    assert_eq!(downwards, upwards);
    for (ask, expected, more) in [
        (json!({"after": 450}), vec![], false),
        (json!({"after": u64::MAX}), vec![], false),
        (json!({"before": 1}), vec![], false),
        (json!({"before": 0}), vec![], false),
        (json!({"before": 3, "limit": 2}), vec![1, 2], false),
        (json!({"before": 4, "limit": 2}), vec![2, 3], true),
        (json!({"after": 448, "limit": 2}), vec![449, 450], false),
        (json!({"after": 447, "limit": 2}), vec![448, 449], true),
        (json!({"before": u64::MAX, "limit": 1}), vec![450], true),
        (json!({"after": 0, "limit": 1_000_000_000}), (1..=200).collect(), true),
    ] {
        let got = page(ask.clone()).await;
        assert_eq!((seqs(&got), &got["has_more"]), (expected, &json!(more)), "{ask}");
    }
}

#[tokio::test]
async fn a_page_of_large_messages_ends_early_and_goes_on() {
    let node = Node::start();
    let app = App::of(&node);
    let mut bob = app.raw("bob", "main").await;
    let mut alice = app.raw("alice", "main").await;
    // NUL takes six bytes in JSON: as large as a message can become in a frame.
    let large = "\0".repeat(10_000);
    for _ in 0..12 {
        bob.ok("message.send", text("alice", key(), &large)).await;
    }

    let mut after = 0;
    for is_inbox in [false, true] {
        let mut got = Vec::new();
        loop {
            let cmd = if is_inbox { "message.inbox" } else { "message.history" };
            let body = json!({"conversation": "user:bob", "after": after, "limit": 200});
            let page = alice.ok(cmd, body).await;
            assert!(page.to_string().len() <= rookery::limits::SERVER_FRAME_BYTES);
            let messages = page["messages"].as_array().unwrap();
            assert!(messages.iter().all(|own| own["content"]["text"] == large.as_str()));
            got.extend(seqs(&page));
            after = *got.last().unwrap();
            if page["has_more"] == false {
                break;
            }
        }
        assert_eq!(got, (1..=12).collect::<Vec<u64>>());
        after = 0;
    }
    let newest = alice.ok("message.history", json!({"conversation": "user:bob"})).await;
    assert_eq!((*seqs(&newest).last().unwrap(), &newest["has_more"]), (12, &json!(true)));
}

#[tokio::test]
async fn an_inbox_holds_what_was_sent_and_received_in_one_order() {
    let node = Node::start();
    let app = App::of(&node);
    let mut bob = app.raw("bob", "main").await;
    let mut carol = app.raw("carol", "main").await;
    let mut alice = app.raw("alice", "main").await;
    let mut expected = Vec::new();
    for round in 0..40u64 {
        let (from, conversation) = match round % 4 {
            0 => (&mut bob, "user:bob"),
            1 => (&mut alice, "user:carol"),
            2 => (&mut carol, "user:carol"),
            _ => (&mut alice, "user:alice"),
        };
        let to = if round % 4 == 1 { "carol" } else { "alice" };
        let sent = from.ok("message.send", text(to, key(), &round.to_string())).await;
        expected.push((round + 1, conversation.to_owned(), sent["seq"].clone()));
    }

    let mut got = Vec::new();
    loop {
        let page = alice.ok("message.inbox", json!({"after": got.len(), "limit": 7})).await;
        assert_eq!(page["head"], 40);
        for own in page["messages"].as_array().unwrap() {
            let conversation = own["conversation"].as_str().unwrap().to_owned();
            got.push((own["inbox"].as_u64().unwrap(), conversation, own["seq"].clone()));
        }
        if page["has_more"] == false {
            break;
        }
    }

    assert_eq!(got, expected);
    for beyond in [json!(40), json!(u64::MAX)] {
        let page = alice.ok("message.inbox", json!({"after": beyond})).await;
        assert_eq!(
            (&page["messages"], &page["head"], &page["has_more"]),
            (&json!([]), &json!(40), &json!(false))
        );
    }
    let synced = alice.ok("sync", json!({"inbox": 3})).await;
    assert_eq!((&synced["inbox"], &synced["groups"]), (&json!(40), &json!([])));
}

#[tokio::test]
async fn the_list_of_conversations_is_paged_and_counts_what_is_unread() {
    let node = Node::start();
    let app = App::of(&node);
    let mut alice = app.raw("alice", "main").await;
    for n in 0..25 {
        let mut other = app.raw(&format!("user-{n}"), "main").await;
        send_many(&mut other, "alice", n % 3 + 1).await;
    }
    // One's own messages do not count, and sending does not move what was read.
    alice.ok("message.send", text("user-3", key(), "hi")).await;
    alice.ok("message.read", json!({"conversation": "user:user-5", "seq": 2})).await;
    alice.ok("message.send", text("alice", key(), "to myself")).await;

    let mut rows = Vec::new();
    let mut after = None::<String>;
    loop {
        let page = alice.ok("conversation.list", json!({"after": after, "limit": 4})).await;
        rows.extend(page["conversations"].as_array().unwrap().clone());
        after = page["next"].as_str().map(str::to_owned);
        if after.is_none() {
            break;
        }
        assert_eq!(rows.len() % 4, 0);
    }

    let names: Vec<_> = rows.iter().map(|row| row["conversation"].as_str().unwrap()).collect();
    assert_eq!(
        (names.len(), names[0], names[1], names[2]),
        (26, "user:alice", "user:user-3", "user:user-24")
    );
    for row in &rows {
        let name = row["conversation"].as_str().unwrap().trim_start_matches("user:");
        let told = (&row["head"], &row["unread"], &row["read"], &row["last_message"]["seq"]);
        let is_self = name == "alice";
        let n = name.strip_prefix("user-").map_or(0, |n| n.parse::<u64>().unwrap());
        let (head, unread, read) = match n {
            _ if is_self => (1, 0, 0),
            3 => (2, 1, 0),
            5 => (3, 1, 2),
            n => (n % 3 + 1, n % 3 + 1, 0),
        };
        let expected = (&json!(head), &json!(unread), &json!(read), &json!(head));
        assert_eq!(told, expected, "{name}");
        assert_eq!(row.get("peer").is_none(), is_self, "{row}");
    }
    for wrong in ["x", "1", "-1.2", "99999999999999999999.1", "\u{0}"] {
        let code = alice.code("conversation.list", json!({"after": wrong})).await;
        assert_eq!(code, "bad_request", "{wrong}");
    }
    assert_eq!(
        alice.code("conversation.list", json!({"after": "9".repeat(129)})).await,
        "bad_request"
    );
}

#[tokio::test]
async fn a_ping_tells_what_is_missing_and_nothing_else() {
    let node = Node::start();
    let app = App::of(&node);
    let mut bob = app.raw("bob", "main").await;
    let mut alice = app.raw("alice", "main").await;
    send_many(&mut bob, "alice", 3).await;
    for _ in 0..3 {
        alice.next_event("message.new").await;
    }

    assert_eq!(alice.ok("ping", json!({"inbox": 3})).await.get("behind"), None);
    assert_eq!(alice.ok("ping", json!({})).await.get("behind"), None);
    assert_eq!(alice.ok("ping", json!({"inbox": 9})).await.get("behind"), None);
    assert_eq!(alice.ok("ping", json!({"inbox": 1})).await["behind"], json!({"inbox": 3}));
}

#[tokio::test]
async fn a_device_that_comes_back_gets_what_it_missed_and_one_without_a_place_starts_at_the_head() {
    let node = Node::start();
    let app = App::of(&node);
    let bob = app.user("bob").await;
    let mut phone = app.device("alice", "phone").await;
    bob.say("alice", "0").await;
    assert_eq!(text_of(&phone.next_message().await), "0");
    let place = phone.client.status().position.unwrap();
    assert_eq!(place.inbox, InboxSeq::new(1));
    drop(phone);

    for nth in 1..=300 {
        bob.say("alice", &nth.to_string()).await;
    }
    let mut options = app.options("alice", "phone");
    options.position = Some(place);
    let mut phone = User::log_in(options).await;
    let mut fresh = app.device("alice", "new").await;
    let posted = bob.say("alice", "301").await;

    for nth in 1..=301 {
        assert_eq!(text_of(&phone.next_message().await), nth.to_string());
    }
    assert_eq!(text_of(&fresh.next_message().await), "301");
    let newest = patience("a page", fresh.client.newest(&with("bob"))).await.unwrap();
    assert_eq!((newest.messages.len(), newest.head), (50, posted.seq));
}

#[tokio::test]
async fn a_position_of_another_epoch_is_dropped() {
    let node = Node::start();
    let app = App::of(&node);
    let bob = app.user("bob").await;
    app.user("alice").await;
    bob.say("alice", "before").await;

    let mut options = app.options("alice", "phone");
    let epoch = Epoch::from_store("of a database that was lost");
    options.position =
        Some(Position { epoch, inbox: InboxSeq::new(1000), groups: Default::default() });
    let mut alice = User::log_in(options).await;

    let told = alice
        .first("the change of epoch", |update| match update {
            Update::EpochChanged { epoch } => Some(epoch.clone()),
            _ => None,
        })
        .await;
    assert_eq!(
        alice.client.status().position,
        Some(Position { epoch: told, inbox: InboxSeq::new(1), groups: Default::default() })
    );
    bob.say("alice", "after").await;
    assert_eq!(text_of(&alice.next_message().await), "after");
}

#[tokio::test]
async fn a_slow_reader_is_told_to_sync_and_misses_nothing() {
    let node = Node::start();
    let app = App::of(&node);
    let narrow = Opening { receive_buffer: Some(4096), ..Opening::default() };
    let mut slow = app.connect_with(&narrow).await;
    slow.ok("login", app.login("alice", "slow")).await;
    let mut bob = app.raw("bob", "main").await;
    let filler = "x".repeat(30_000);

    // More than its queue and the kernel's buffers hold, and nobody else is held up.
    let sends = (0..400).map(|_| text("alice", key(), &filler));
    let sent = bob.send_all(sends).await["seq"].as_u64().unwrap();
    slow.event("sync.needed").await;
    let pushed = slow.0.kept().map(|frame| frame["body"]["inbox"].as_u64().unwrap());
    let pushed: Vec<u64> = pushed.collect();
    assert_eq!(pushed, (1..=pushed.len() as u64).collect::<Vec<_>>(), "a beginning, without a gap");
    assert!(pushed.len() < 400);
    for _ in 0..pushed.len() {
        slow.event("message.new").await;
    }
    // Until it syncs nothing is queued for it; from then on everything is.
    bob.ok("message.send", text("alice", key(), "left out")).await;
    patience("the session hears of what it leaves out", async {
        let ping = json!({"inbox": pushed.len()});
        while slow.ok("ping", ping.clone()).await["behind"]["inbox"] != sent + 1 {}
    })
    .await;
    assert_eq!(slow.ok("sync", json!({"inbox": pushed.len()})).await["inbox"], sent + 1);
    bob.ok("message.send", text("alice", key(), "fence")).await;

    assert_eq!(slow.next_event("message.new").await["content"]["text"], "fence");
    let page = slow.ok("message.inbox", json!({"after": sent, "limit": 1})).await;
    assert_eq!(page["messages"][0]["content"]["text"], "left out");
}

#[tokio::test]
async fn who_does_not_read_at_all_is_closed_and_slows_nobody() {
    let node = Node::start();
    let app = App::of(&node);
    let narrow = Opening { receive_buffer: Some(4096), ..Opening::default() };
    let mut stuck = app.connect_with(&narrow).await;
    stuck.ok("login", app.login("alice", "stuck")).await;
    let mut reader = app.device("alice", "reader").await;
    let mut bob = app.raw("bob", "main").await;
    let filler = "x".repeat(30_000);
    for _ in 0..400 {
        bob.ok("message.send", text("alice", key(), &filler)).await;
        assert_eq!(text_of(&reader.next_message().await).len(), filler.len());
    }

    // The server has given up on it when it no longer counts it among the sessions.
    common::eventually("the stuck session is closed", || {
        let (_, metrics) = common::get(node.inside(), "/metrics").unwrap();
        let closed = metrics.lines().find(|line| line.starts_with("rookery_slow_readers_total"))?;
        closed.ends_with(" 1").then_some(())
    });

    let parted = stuck.ending().await;
    assert!(matches!(parted.code(), Some(4002) | None), "{parted}");
    bob.ok("message.send", text("alice", key(), "fence")).await;
    assert_eq!(text_of(&reader.next_message().await), "fence");
    assert_eq!(reader.read("bob", Seq::new(401)).await, Seq::new(401));
}
