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

/// How long the people of the run below talk.
const TALK: Duration = Duration::from_secs(6);
/// Acks in it, at least, for it to have been a talk.
const ACKS: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_faults_keeps_everything_and_one_change_to_it_is_found() {
    let node = Node::start();
    let app = App::of(&node);
    let (seed, recorder) = (7, Recorder::new(7, "per_class"));
    let door = Door { node: "n1".to_owned(), address: app.address().to_owned() };
    let plan = Plan {
        seed,
        doors: vec![door],
        users: 6,
        groups: 2,
        settles_within: common::GIVE_UP_AFTER,
        true_within: Duration::from_secs(30),
    };

    let token = Arc::new(move |user: &str| app.token(user));
    let workload = Workload::start(plan, recorder.clone(), token).await;
    tokio::time::sleep(TALK).await;
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

fn is_ack(what: &What) -> bool {
    matches!(what, What::Answered { answer: Answer::Acked { .. }, .. })
}
