//! Three real nodes, a PostgreSQL and a Redis to which everything happens that a seed says, real clients all the while,
//! and a checker that judges by what these have seen.
//!
//! `CHAOS_MORE` names kinds of faults of which there shall be more, as `overtaken,slow commits`.
//!
//! It runs for `CHAOS_MINUTES`, four where that is not set, in rounds: each has a cluster of its own and the next seed,
//! from `CHAOS_SEED` on. `make chaos MINUTES=60` is the long one. What was seen of a round that failed is kept.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should end"
)]

#[path = "chaos/mod.rs"]
mod chaos;
mod common;

#[path = "chaos/faults.rs"]
mod faults;
#[path = "chaos/nemesis.rs"]
mod nemesis;
#[path = "chaos/observer.rs"]
mod observer;
#[path = "chaos/tally.rs"]
mod tally;
#[path = "chaos/way.rs"]
mod way;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chaos::checker::check;
use chaos::habits::LONG_AFTER;
use chaos::history::{Log, What};
use chaos::recorder::Recorder;
use chaos::workload::{Plan, Workload};
use common::node::Options;
use faults::Strike;
use nemesis::{NODES, Nemesis};
use tally::Tally;

const MINUTES: f64 = 4.0;
const SEED: u64 = 1;
/// How long faults go on in a round: long enough for shards to change hands a few times.
const SHORT_ROUND: Duration = Duration::from_secs(50);
const LONG_ROUND: Duration = Duration::from_secs(120);
/// A run of so many minutes has long rounds.
const LONG_RUN: f64 = 10.0;
/// How long each round begins without a fault: to see that pushes come by themselves, and what befalls one who does not
/// read.
const CALM: Duration = Duration::from_secs(22);
/// What a round takes beside its faults, mostly: nodes start, all comes to rest, all is read back.
const BESIDES: Duration = Duration::from_secs(46);
/// How long clients may need to come to rest when all is well again, and presence to be true.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);
/// The same in a run that is to find something: with what is wrong there it may be that they never do.
const SETTLES_OR_NOT_WITHIN: Duration = Duration::from_secs(15);
const TELLS_EVERY: Duration = Duration::from_secs(30);
/// Of what was not kept so much is printed, that which shows in the fewest events first.
const TOLD: usize = 10;

/// For people, at once: what a test prints is else kept until it fails.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").unwrap();
}

fn set<T: std::str::FromStr>(name: &str, default: T) -> T {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => {
            text.parse().unwrap_or_else(|_| panic!("{name} is {text}, which is no number"))
        }
        _ => default,
    }
}

/// The kinds of which there shall be more.
fn more() -> Vec<String> {
    let more: String = set("CHAOS_MORE", String::new());
    let more: Vec<String> =
        more.split(',').map(str::to_owned).filter(|it| !it.is_empty()).collect();
    for kind in &more {
        assert!(faults::KINDS.contains(&kind.as_str()), "{kind:?} is none of {:?}", faults::KINDS);
    }
    more
}

/// Whether the first round in which something is not kept is the last.
fn stops_at_once() -> bool {
    set("CHAOS_STOPS_AT_ONCE", false)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_promised_is_kept_whatever_happens() {
    let minutes = set("CHAOS_MINUTES", MINUTES);
    let (began, length) = (Instant::now(), Duration::from_secs_f64(60.0 * minutes));
    let round = if minutes < LONG_RUN { SHORT_ROUND } else { LONG_ROUND };
    let mut tally = Tally::default();
    let mut failed = Vec::new();
    for seed in set("CHAOS_SEED", SEED).. {
        let left = length.saturating_sub(began.elapsed()).saturating_sub(BESIDES);
        // A round that is much shorter than the others shows little.
        if tally.rounds > 0 && left < round / 2 {
            break;
        }
        let is_kept = one_round(seed, round.min(left.max(round / 2)), began, &mut tally).await;
        if !is_kept {
            failed.push(seed);
            if stops_at_once() {
                break;
            }
        }
    }
    say(&format!("chaos: {tally}"));
    assert!(failed.is_empty(), "not kept with the seeds {failed:?}; see above");
}

/// Whether all was kept in a round.
async fn one_round(seed: u64, length: Duration, began: Instant, tally: &mut Tally) -> bool {
    // Which mode of the login policy an app begins with.
    let recorder = Recorder::new(seed, "per_class");
    let schedule = faults::schedule(seed, NODES, length, &more());
    let mut nemesis = Nemesis::start(recorder.clone(), Options::default()).await;
    let app = nemesis.cluster().app(0);
    let plan = Plan {
        seed,
        doors: nemesis.doors(),
        users: 6,
        groups: 8,
        settles_within: if stops_at_once() { SETTLES_OR_NOT_WITHIN } else { SETTLES_WITHIN },
        true_within: SETTLES_WITHIN,
    };
    let token = Arc::new(move |user: &str| app.token(user));
    let mut workload = Workload::start(plan, recorder.clone(), token).await;

    let progress = tokio::spawn(tell_progress(seed, recorder.clone(), began));
    be_calm(&mut nemesis, &mut workload, &recorder).await;
    nemesis.perform(&schedule).await;
    let outcome = tokio::select! {
        outcome = workload.finish() => outcome,
        () = nemesis.watch() => unreachable!("it watches for ever"),
    };
    progress.abort();
    nemesis.tell_owners().await;

    let history = recorder.history();
    let mut violations = check(&history);
    violations.sort_by_key(|violation| violation.witness.len());
    tally.add(&history, &nemesis, &violations);
    say(&format!("chaos: seed {seed}, {} faults, {}", schedule.len(), history.sum()));
    for note in &nemesis.notes {
        say(&format!("  {note}"));
    }
    if violations.is_empty() && outcome.is_ok() {
        return true;
    }
    let folder = keep(seed, &schedule, |folder| {
        history.save(&folder.join("history.jsonl")).unwrap();
        nemesis.keep_logs(folder);
    });
    if let Err(unsettled) = outcome {
        say(&format!("seed {seed}: {unsettled:?}"));
    }
    for violation in violations.iter().take(TOLD) {
        say(&format!("seed {seed}: {}", violation.tell(&history)));
    }
    let (count, at) = (violations.len(), folder.display());
    say(&format!("seed {seed}: {count} violations; history, schedule and logs are in {at}"));
    false
}

/// Nothing goes wrong for a while, unless the machine is too busy for it.
async fn be_calm(nemesis: &mut Nemesis, workload: &mut Workload, recorder: &Recorder) {
    let (claims, lost) = (nemesis.claims().await, nemesis.lost_letters());
    workload.begin_peace();
    tokio::time::sleep(LONG_AFTER).await;
    let lost_early = nemesis.lost_letters() - lost;
    tokio::time::sleep(CALM - LONG_AFTER).await;
    workload.end_peace();

    let later = nemesis.claims().await;
    let moved = later.iter().filter(|(group, epoch)| claims.get(*group) != Some(*epoch));
    let moved = moved.map(|(group, _)| Log::group(group)).collect();
    let told = match (lost_early, nemesis.lost_letters() - lost) {
        (0, 0) => CALM,
        (0, _) => LONG_AFTER,
        _ => Duration::ZERO,
    };
    if told < CALM {
        nemesis.notes.push(format!("a busy machine: nodes lost letters after {told:?} of calm"));
    }
    let (lasted_us, told_us) = (CALM.as_micros() as u64, told.as_micros() as u64);
    recorder.see(What::Calm { lasted_us, moved, told_us });
}

/// A folder with what there is of a round that failed.
fn keep(seed: u64, schedule: &[Strike], fill: impl FnOnce(&Path)) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-run-{seed}"));
    std::fs::create_dir_all(&folder).unwrap();
    let lines: String = schedule.iter().map(|strike| format!("{strike}\n")).collect();
    std::fs::write(folder.join("schedule.txt"), lines).unwrap();
    fill(&folder);
    folder
}

async fn tell_progress(seed: u64, recorder: Recorder, began: Instant) {
    loop {
        tokio::time::sleep(TELLS_EVERY).await;
        let (at_s, acked) = (began.elapsed().as_secs(), tally::acked(&recorder.history()));
        say(&format!("chaos: {}:{:02}, seed {seed}, {acked} acked so far", at_s / 60, at_s % 60));
    }
}
