//! Whether a history of a run is judged rightly, and whether a run without faults is found in order.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should end"
)]

#[path = "chaos/mod.rs"]
mod chaos;
mod common;

#[path = "chaos/bad.rs"]
mod bad;
#[path = "chaos/generated.rs"]
mod generated;
#[path = "chaos/good.rs"]
mod good;
#[path = "chaos/model.rs"]
mod model;
#[path = "chaos/mutation.rs"]
mod mutation;
#[path = "chaos/script.rs"]
mod script;

use std::sync::Arc;
use std::time::Duration;

use chaos::checker::{assert_kept, check};
use chaos::history::{Answer, What};
use chaos::recorder::{Door, Recorder};
use chaos::workload::{Plan, Workload};
use common::chat::App;
use common::groups::Random;
use common::node::Node;
use common::proxy::Link;
use common::send_signal;

/// How long people talk where nothing goes wrong.
const TALK: Duration = Duration::from_secs(17);
/// Acks in that time, at least, for it to have been a talk.
const ACKS: usize = 50;
/// What goes wrong in the other run: each time a link is cut, or PostgreSQL killed.
const STRIKES: usize = 8;

/// A few people with groups and phones, who reach their node through these addresses.
async fn people(node: &Node, addresses: &[String], recorder: &Recorder, seed: u64) -> Workload {
    let app = App::of(node);
    let door = |(nth, address): (usize, &String)| {
        let (node, address) = (format!("n{nth}"), address.clone());
        Door { node, address }
    };
    let plan = Plan {
        seed,
        doors: addresses.iter().enumerate().map(door).collect(),
        users: 6,
        groups: 2,
        settles_within: common::GIVE_UP_AFTER,
        true_within: common::GIVE_UP_AFTER,
    };
    let token = Arc::new(move |user: &str| app.token(user));
    Workload::start(plan, recorder.clone(), token).await
}

fn is_ack(what: &What) -> bool {
    matches!(what, What::Answered { answer: Answer::Acked { .. }, .. })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_faults_keeps_everything_and_one_change_to_it_is_found() {
    let (node, seed) = (Node::start(), 7);
    let recorder = Recorder::new(seed, "per_class");

    let mut workload = people(&node, &[node.http().to_string()], &recorder, seed).await;
    workload.begin_peace();
    tokio::time::sleep(TALK).await;
    workload.end_peace();
    let lasted_us = TALK.as_micros() as u64;
    recorder.see(What::Calm { lasted_us, moved: Vec::new(), told_us: lasted_us });
    let outcome = workload.finish().await;

    let history = recorder.history();
    println!("{}", history.sum());
    outcome.unwrap();
    assert_kept(&history);
    let acks = history.events.iter().filter(|event| is_ack(&event.what)).count();
    assert!(acks >= ACKS, "{acks} acks");
    for mutation in mutation::KINDS {
        let mut bad = history.clone();
        if let Some(about) = mutation.apply(&mut bad, &mut Random(seed)) {
            let found = check(&bad);
            let is_found = found.iter().any(|it| mutation.breaks().contains(&it.rule));
            assert!(is_found, "{mutation:?} {about} was found as {found:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_in_which_links_are_cut_and_the_store_is_killed_keeps_everything() {
    let (node, seed) = (Node::start(), 11);
    let recorder = Recorder::new(seed, "per_class");
    let links = [Link::to(node.http()).await, Link::to(node.http()).await];

    let workload = people(&node, &links.each_ref().map(Link::address), &recorder, seed).await;
    let mut random = Random(seed);
    for strike in 0..STRIKES {
        let mut a_while = || Duration::from_millis(300 + random.below(1_200) as u64);
        tokio::time::sleep(a_while()).await;
        let link = &links[strike / 2 % links.len()];
        if strike % 2 == 0 {
            link.cut();
            tokio::time::sleep(a_while()).await;
            link.mend();
        } else if let Some(postgres) = node.postgres_pid() {
            send_signal(postgres, "KILL");
        }
    }
    let outcome = workload.finish().await;

    let history = recorder.history();
    println!("{}", history.sum());
    outcome.unwrap();
    assert_kept(&history);
}

#[test]
#[ignore = "judges a history that a run has kept: CHAOS_HISTORY=FILE cargo test --test chaos kept -- --ignored"]
fn a_history_that_was_kept() {
    let file = std::env::var("CHAOS_HISTORY").expect("CHAOS_HISTORY names a history.jsonl");
    let lines = std::fs::read_to_string(&file).unwrap();
    let history = chaos::history::History::from_lines(&lines).unwrap();

    let found = check(&history);

    let told: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "{}", told.join("\n"));
}
