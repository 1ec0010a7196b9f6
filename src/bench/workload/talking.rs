//! What the workloads of messages have in common: stretches with a window or at a rate, and coming to rest.

use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::Run;
use crate::bench::errors::BenchError;
use crate::bench::load::crowd::Scene;
use crate::bench::load::pace::{Metronome, Schedule};
use crate::bench::load::talk::{Talk, Tally, Times};

/// How long messages that are under way may take to arrive once nobody sends any more.
pub const SETTLE_WITHIN: Duration = Duration::from_secs(30);

/// What was counted in a measured stretch.
#[derive(Debug, Clone, Copy)]
pub struct Stretch {
    /// What was counted.
    pub tally: Tally,
    /// How long it was.
    pub time: Duration,
}

impl Stretch {
    /// So many of something in a second.
    pub fn rate(&self, count: u64) -> f64 {
        count as f64 / self.time.as_secs_f64()
    }
}

/// Lets every lane send with so many messages unfinished, warms up, and counts for a stretch.
pub async fn closed(
    run: &Run<'_>,
    scene: &Scene<Talk>,
    window: usize,
) -> Result<Stretch, BenchError> {
    scene.with(|talk, crowd| talk.let_all_send(crowd, window));
    scene.run_for(run.common.warm_up()).await;
    let (before, since) = (measured(scene), Instant::now());
    scene.run_for(run.common.stretch()).await;
    let stretch = Stretch { tally: measured(scene) - before, time: since.elapsed() };
    settle(scene).await?;
    Ok(stretch)
}

/// Has messages due at a fixed rate, each of a lane that chance picks, warms up, and measures for a stretch.
pub async fn open(
    run: &Run<'_>,
    scene: &Scene<Talk>,
    rate_per_s: f64,
    time: Duration,
) -> Result<Times, BenchError> {
    let metronome = Metronome::start().map_err(BenchError::system("no thread"))?;
    let mut chance = SmallRng::seed_from_u64(run.common.seed);
    let warm_up = run.common.warm_up();
    let from_us = scene.with(|talk, crowd| {
        let now_us = crowd.now_us();
        talk.measure_from(now_us + u64::try_from(warm_up.as_micros()).unwrap_or_default());
        now_us
    });
    let mut schedule = Schedule::new(from_us, rate_per_s, warm_up + time);
    while schedule.next_due().is_some() {
        metronome.beat().await;
        scene.with(|talk, crowd| {
            let now_us = crowd.now_us();
            while let Some(due_us) = schedule.next_due().filter(|due_us| *due_us <= now_us) {
                let lane = chance.random_range(0..talk.lanes.len().max(1));
                talk.send(crowd, lane, due_us);
                schedule.pass();
            }
        });
    }
    settle(scene).await?;
    Ok(scene.with(|talk, _| talk.times.clone()))
}

/// Waits until nothing is under way.
pub async fn settle(scene: &Scene<Talk>) -> Result<(), BenchError> {
    scene.with(|talk, _| talk.hush());
    // What does not come is told by the proof, which says what and how many.
    scene.until(SETTLE_WITHIN, Talk::is_settled).await;
    Ok(())
}

/// A text of so many characters, which chance picks.
pub fn text(run: &Run<'_>, characters: usize) -> String {
    let mut chance = SmallRng::seed_from_u64(run.common.seed);
    (0..characters).map(|_| char::from(chance.random_range(b'a'..=b'z'))).collect()
}

fn measured(scene: &Scene<Talk>) -> Tally {
    scene.with(|talk, _| talk.tally)
}
