//! What the server holds in memory for sessions that say nothing, and for groups that somebody has just written to.

use std::time::{Duration, Instant};

use clap::Args;
use futures_util::StreamExt;
use serde_json::Map;

use super::Run;
use super::waking::Sleepers;
use crate::bench::errors::BenchError;
use crate::bench::figure::{Axis, Figure, Goal, Series, WorkloadReport};
use crate::bench::load::link::{Link, Way};
use crate::bench::load::people::{self, Person};
use crate::bench::load::population::{Population, Size};
use crate::bench::meter;
use crate::bench::options::Common;
use crate::bench::target::Target;
use crate::ids::UserId;
use crate::limits;

/// Memory is read at so many numbers of sessions.
const POINTS: usize = 10;
/// Logins at once, and heartbeats.
const AT_ONCE: usize = 64;
/// How often sessions that wait tell that they are there; the server waits for 50 s.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);
/// How long after the last login memory is read: what logins needed for a moment is given back by then.
const REST: Duration = Duration::from_secs(3);
const SHORT_REST: Duration = Duration::from_millis(500);
/// Its options.
#[derive(Debug, Clone, Args)]
pub struct Idle {
    /// Sessions.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(50..=100_000))]
    pub sessions: u32,
    /// Others with whom each user has a conversation.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=40))]
    pub pairs: u32,
    /// Groups of a hundred that each user is in.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=40))]
    pub groups: u32,
}

impl Idle {
    fn sessions(&self, common: &Common) -> usize {
        // For a first look.
        let most = if common.short { 1_000 } else { u32::MAX };
        self.sessions.min(most) as usize
    }
}

/// Measures it. The server is started again between setting the scene and measuring, so that memory holds sessions alone.
pub async fn run(
    common: &Common,
    target: &mut Target,
    options: &Idle,
) -> Result<WorkloadReport, BenchError> {
    let no_process = || {
        let text = "the memory of a server is read from its process: leave --server out";
        BenchError::Options(text.to_owned())
    };
    target.server_pid().ok_or_else(no_process)?;
    let size = Size {
        users: options.sessions(common),
        pairs: options.pairs as usize,
        groups: options.groups as usize,
        members: limits::GROUP_USERS,
    };
    let Run { prefix, progress, .. } = Run::new(common, target)?;
    let population = Population::plan(&prefix, size)?;
    let way = target.way(common);
    population.settle(target, &way, progress).await?;
    let sleepers = Sleepers::plan(&prefix, size.users, common.short)?;
    sleepers.settle(target, &way, progress).await?;
    target.restart().await?;

    let rest = if common.short { SHORT_REST } else { REST };
    let run = Run::new(common, target)?;
    let way = target.way(common);
    let mut report = WorkloadReport::new("idle");
    report.set("sessions", size.users);
    report.set("pairs of each", size.pairs);
    report.set("groups of each", size.groups);
    let memory = || target.server_pid().and_then(meter::resident_bytes).unwrap_or_default() as f64;
    let meter = run.meter();

    // What the first login alone brings with it is not the second one's.
    drop(people::log_in(target, &way, people::user(&run.prefix, "first", 0)?).await?);
    tokio::time::sleep(rest).await;
    let empty = memory();
    let mut curve = Series {
        name: "resident memory".to_owned(),
        picture: "memory-over-sessions".to_owned(),
        x: Axis::linear("idle sessions, logged in", "sessions"),
        y: Axis::linear("of the server", "MiB"),
        points: vec![(0.0, mebibytes(empty))],
    };
    let mut links = Vec::with_capacity(size.users);
    {
        let step = progress.step("sessions", size.users as u64);
        let mut alive = Instant::now();
        for part in population.users.chunks(size.users.div_ceil(POINTS)) {
            links.extend(arrive(target, &way, part).await?);
            step.advance(part.len() as u64);
            if alive.elapsed() > HEARTBEAT_EVERY {
                heartbeat(&mut links).await?;
                alive = Instant::now();
            }
            tokio::time::sleep(rest).await;
            curve.points.push((links.len() as f64, mebibytes(memory())));
        }
        heartbeat(&mut links).await?;
        tokio::time::sleep(rest).await;
    }
    let each = (memory() - empty) / links.len().max(1) as f64;
    let figure = Figure::lower(
        "idle.session_bytes",
        "resident memory for an idle session, all its actors included",
        each,
        "bytes",
    );
    report.figures.push(figure.with_goal(Goal::value(24_576.0, 16_384.0)));
    let figure =
        Figure::lower("idle.server_bytes", "resident memory without a session", empty, "bytes");
    report.figures.push(figure);
    report.series.push(curve);
    report.disturbance = meter.stop().disturbance();

    let first = links.len();
    links.extend(arrive(target, &way, &sleepers.users).await?);
    report.figures.extend(sleepers.wake(&run, links, first, rest, memory).await?);
    Ok(report)
}

fn mebibytes(bytes: f64) -> f64 {
    bytes / 1_048_576.0
}

/// Logs these in; they stay.
async fn arrive(target: &Target, way: &Way, users: &[UserId]) -> Result<Vec<Link>, BenchError> {
    let people = people::log_all_in(target, way, users.to_vec()).await?;
    Ok(people.into_iter().map(|Person { link, .. }| link).collect())
}

/// Has everyone tell that they are there.
async fn heartbeat(links: &mut [Link]) -> Result<(), BenchError> {
    let mut pings = futures_util::stream::iter(links.iter_mut())
        .map(|link| link.call("idle", "ping", Map::new()))
        .buffer_unordered(AT_ONCE);
    while let Some(answered) = pings.next().await {
        answered?;
    }
    Ok(())
}
