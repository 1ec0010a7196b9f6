//! A session that has to go for another one, while it sends as fast as it can: nothing that it sends is acked from the
//! reply to the winner's login on.
//!
//! `cargo test --test losers -- --nocapture` prints how much was sent and acked meanwhile.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should end"
)]

mod common;

use std::collections::HashMap;

use common::chat::{App, Raw};
use common::groups::{create, whole_log};
use common::loser::{Loser, Places, heads};
use common::node::{Node, Options};
use rookery::protocol::Platform;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_loser_sends_is_acked_from_the_winners_reply_on_a_thousand_times() {
    const ROUNDS: usize = 1000;
    let node = Node::start_with(Options::default().env("ROOKERY__LIMITS__SENDS_PER_S", "1000000"));
    let app = App::of(&node);
    let bob = app.raw("bob", "main").await;
    let mut raw = app.raw_from("alice", Platform::Ios, "phone-0").await;
    create(&mut raw, "crew", "work", &["bob"]).await;
    drop(bob);
    let to = Places::new("bob", "crew");
    let (mut sent, mut acked) = (0, Vec::new());

    for round in 0..ROUNDS {
        let loser = Loser::at_it(raw, &to).await;
        // Now the same phone, now another one.
        let phone = format!("phone-{}", round.div_ceil(2));
        let (winner, at_ms, heads) =
            to.win(&app, app.login_from("alice", Platform::Ios, &phone)).await;

        let loser = loser.ended().await;
        for one in &loser.acked {
            assert!(one.is_within(heads), "round {round}: {} beyond {heads:?}", one.seq);
            assert!(one.at_ms <= at_ms, "round {round}: {} is later than {at_ms}", one.at_ms);
        }
        sent += loser.sent;
        acked.extend(loser.acked);
        raw = winner;
    }

    // And all that was acked is there, at its place.
    let mut stored = 0;
    let logs = [whole_history(&mut raw, "user:bob").await, whole_log(&mut raw, "crew").await];
    for (place, log) in logs.iter().enumerate() {
        let conversation = &to.conversations()[place];
        let places: HashMap<&str, u64> = log
            .iter()
            .map(|entry| (entry["client_msg_id"].as_str().unwrap(), entry["seq"].as_u64().unwrap()))
            .collect();
        assert_eq!(places.len(), log.len(), "{conversation} holds something twice");
        stored += log.len();
        for one in acked.iter().filter(|one| one.place == place) {
            assert_eq!(places.get(one.key.to_string().as_str()), Some(&one.seq), "{conversation}");
        }
    }
    println!("{ROUNDS} rounds: sent {sent}, stored {stored}, acked {}, all before", acked.len());
}

/// The log of a pair.
async fn whole_history(raw: &mut Raw, conversation: &str) -> Vec<Value> {
    let mut log: Vec<Value> = Vec::new();
    loop {
        let page = json!({"conversation": conversation, "after": log.len(), "limit": 200});
        let mut page = raw.ok("message.history", page).await;
        log.append(page["messages"].as_array_mut().unwrap());
        if page["has_more"] == false {
            return log;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_kicked_device_is_acked_from_the_reply_to_the_kick_on() {
    const ROUNDS: usize = 100;
    let node = Node::start_with(Options::default().env("ROOKERY__LIMITS__SENDS_PER_S", "1000000"));
    let app = App::of(&node);
    let bob = app.raw("bob", "main").await;
    let mut raw = app.raw("alice", "tab").await;
    create(&mut raw, "crew", "work", &["bob"]).await;
    drop(bob);
    let to = Places::new("bob", "crew");
    for round in 0..ROUNDS {
        let loser = app.raw_from("alice", Platform::Ios, "phone").await;
        let loser = Loser::at_it(loser, &to).await;
        let kick = raw.0.submit("device.kick", json!({"device": "phone"})).await.unwrap();
        let ended = raw.reply(kick).await;
        assert_eq!(ended["ok"]["ended"].as_array().unwrap().len(), 1, "{ended}");
        let asked = to.ask_heads(&mut raw).await;
        let heads = heads(&mut raw, asked).await;
        for one in loser.ended().await.acked {
            assert!(one.is_within(heads), "round {round}: {} beyond {heads:?}", one.seq);
        }
    }
}
