//! Members who stop reading while messages flow: what each of them costs the server, and whether others notice.

use std::time::Duration;

use clap::Args;

use super::Run;
use super::talking::{self, Paced};
use crate::bench::errors::BenchError;
use crate::bench::figure::{Figure, Goal, WorkloadReport};
use crate::bench::load::crowd::{self, Scene};
use crate::bench::load::people;
use crate::bench::load::talk::Talk;
use crate::bench::{meter, verify};
use crate::ids::UserId;

/// Bytes that the kernel keeps for a member who will stop reading; the rest is the server's matter.
const RECEIVE_BUFFER: u32 = 4 * 1024;
/// How often the server's memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Its options.
#[derive(Debug, Clone, Args)]
pub struct SlowReader {
    /// Members who go on reading; one of them writes.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..=1_000))]
    pub readers: u32,
    /// Members who stop; what they cost is divided by their number.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub stopped: u32,
    /// Messages in a second.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: u32,
    /// Characters of each message.
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..=30_000))]
    pub characters: u32,
}

/// Measures it.
pub async fn run(run: &Run<'_>, options: &SlowReader) -> Result<WorkloadReport, BenchError> {
    let mut report = WorkloadReport::new("slow-reader");
    report.set("readers", options.readers);
    report.set("stopped", options.stopped);
    report.set("rate", options.rate);
    report.set("characters", options.characters);

    let mut everyone = talking::log_in(run, "s", 0..options.readers).await?;
    let mut way = run.target.way(run.common);
    way.receive_buffer = Some(RECEIVE_BUFFER);
    for n in 0..options.stopped {
        let user = people::user(&run.prefix, "stopped", n)?;
        everyone.push(people::log_in(run.target, &way, user).await?);
    }
    let users: Vec<UserId> = everyone.iter().map(|person| person.user.clone()).collect();
    let group = talking::group_of(&mut everyone, &run.prefix, &users).await?;
    let (talk, links) = talking::begin(run, everyone, vec![group], options.characters)?;
    let played = crowd::play(links, talk, run.began, async |scene: &Scene<Talk>| {
        // The first stretch also fills what a server fills once: caches, buffers, the allocator.
        let (without, before) = {
            let _step = run.progress.stretch("everybody reads", run.common.measured());
            stretch(run, scene, options).await?
        };
        scene.with(|talk, crowd| {
            for who in options.readers as usize..users.len() {
                talk.ignore(who);
                crowd.deafen(who);
            }
        });
        let (with, after) = {
            let _step = run.progress.stretch("some have stopped reading", run.common.measured());
            stretch(run, scene, options).await?
        };
        report.disturbance.worsen(without.disturbance.clone());
        report.disturbance.worsen(with.disturbance.clone());
        if let (Some(before), Some(after)) = (before, after) {
            let each = after.saturating_sub(before) as f64 / f64::from(options.stopped);
            let what = "memory of the server for a member who stopped reading";
            report.figures.push(
                Figure::lower("slow_reader.bytes", what, each, "bytes")
                    .with_goal(Goal::value(2.0 * 1024.0 * 1024.0, 1024.0 * 1024.0))
                    .tolerating(60),
            );
        }
        report.latencies.extend(told(&without, "all_read", "while everybody reads"));
        report.latencies.extend(told(&with, "some_stopped", "while some have stopped"));
        Ok(())
    })
    .await?;
    report.proof = verify::histories(&played.player, played.links, run.progress).await?;
    Ok(report)
}

/// Messages at the rate for a stretch, and the most memory that the server held meanwhile.
async fn stretch(
    run: &Run<'_>,
    scene: &Scene<Talk>,
    options: &SlowReader,
) -> Result<(Paced, Option<u64>), BenchError> {
    let flow = talking::open(run, scene, f64::from(options.rate), run.common.stretch());
    tokio::pin!(flow);
    let mut most = None;
    loop {
        tokio::select! {
            paced = &mut flow => return Ok((paced?, most)),
            () = tokio::time::sleep(LOOK_EVERY) => {
                most = most.max(run.target.server_pid().and_then(meter::resident_bytes));
            }
        }
    }
}

fn told(paced: &Paced, name: &str, when: &str) -> Vec<crate::bench::figure::Latency> {
    let mut latencies = paced.latencies("slow_reader");
    for latency in &mut latencies {
        latency.name = format!("{}_{name}", latency.name);
        latency.what = format!("{}, {when}", latency.what);
    }
    latencies.into()
}
