//! What the server holds in memory for sessions that say nothing, and for groups that somebody has just written to.
//!
//! What a session holds is taken apart: some sessions come first of which a part is missing, and stay.

use std::time::{Duration, Instant};

use clap::Args;
use futures_util::{StreamExt, TryStreamExt};
use serde_json::Map;

use super::Run;
use super::waking::Sleepers;
use crate::bench::errors::BenchError;
use crate::bench::figure::{Axis, Figure, Goal, Series, WorkloadReport};
use crate::bench::load::link::{Link, Way};
use crate::bench::load::people::{self, Person};
use crate::bench::load::population::{Population, Size};
use crate::bench::options::Common;
use crate::bench::progress::Step;
use crate::bench::raw::sockets;
use crate::bench::target::Target;
use crate::ids::UserId;
use crate::limits;

/// Sessions of a short run: too few for a group of a thousand.
const SHORT_SESSIONS: u32 = 600;
/// Memory is read at so many numbers of sessions.
const POINTS: usize = 10;
const SHORT_POINTS: usize = 5;
/// Sessions, at most, of which a part is missing: so few that all of them are logged in before the first has been there for
/// as long as a connection may be without.
const PARTIAL: usize = 1_000;
const SHORT_PARTIAL: usize = 300;
/// Logins at once, and heartbeats.
const AT_ONCE: usize = 64;
/// How often sessions that wait tell that they are there; the server waits for 50 s.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);
/// How long after the last login memory is read: what logins needed for a moment is given back by then.
const REST: Duration = Duration::from_secs(2);
const SHORT_REST: Duration = Duration::from_millis(500);
/// The same for connections that are not logged in, which may be so only for a while.
const CONNECTED_REST: Duration = Duration::from_millis(500);
const _: () = assert!(CONNECTED_REST.as_secs() < limits::LOGIN_WITHIN.as_secs() / 2);

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
        let most = if common.short { SHORT_SESSIONS } else { u32::MAX };
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
    let partial = size.users.min(if common.short { SHORT_PARTIAL } else { PARTIAL });
    let Run { prefix, progress, .. } = Run::new(common, target)?;
    let population = Population::plan(&prefix, size)?;
    let in_groups_alone =
        Population::plan(&format!("{prefix}-g"), Size { users: partial, pairs: 0, ..size })?;
    let way = target.way(common);
    population.settle(target, &way, progress).await?;
    in_groups_alone.settle(target, &way, progress).await?;
    let sleepers = Sleepers::plan(&prefix, size.users, common.short)?;
    sleepers.settle(target, &way, progress).await?;
    let bare = sockets::idle_bytes(partial).await?;
    target.restart().await?;

    let (rest, points) = if common.short { (SHORT_REST, SHORT_POINTS) } else { (REST, POINTS) };
    let run = Run::new(common, target)?;
    let mut report = WorkloadReport::new("idle");
    report.set("sessions", size.users);
    report.set("pairs of each", size.pairs);
    report.set("groups of each", size.groups);
    report.set("sessions of which a part is missing", partial);
    let meter = run.meter();
    let way = target.way(common);
    drop(people::log_in(target, &way, people::user(&run.prefix, "first", 0)?).await?);
    tokio::time::sleep(rest).await;
    let mut room = Room { target, way, rest, links: Vec::new(), alive: Instant::now() };
    let server = room.memory().await?;

    let step = progress.step("sessions of which a part is missing", 3 * partial as u64);
    let nobody = |role: &str| -> Result<Vec<UserId>, BenchError> {
        (0..partial).map(|n| people::user(&run.prefix, role, n)).collect()
    };
    // What the first ones bring with them, such as threads' stocks of memory, is not that of those who come later.
    room.fill(&nobody("before")?, &step).await?;
    let [connected, logged_in] = room.fill_by_steps(nobody("plain")?, &step).await?;
    let before = room.memory().await?;
    room.fill(&in_groups_alone.users, &step).await?;
    let in_groups = (room.memory().await? - before) / partial as f64;
    drop(step);

    let before = room.memory().await?;
    let mut curve = Series {
        name: "resident memory".to_owned(),
        picture: "memory-over-sessions".to_owned(),
        x: Axis::linear("idle sessions, logged in", "sessions"),
        y: Axis::linear("of the server", "MiB"),
        points: vec![(0.0, mebibytes(server))],
    };
    {
        let step = progress.step("sessions", size.users as u64);
        let mut there = 0;
        for part in population.users.chunks(size.users.div_ceil(points)) {
            room.fill(part, &step).await?;
            there += part.len();
            // Without those who came before.
            let whole = server + room.memory().await? - before;
            curve.points.push((there as f64, mebibytes(whole)));
        }
        room.heartbeat().await?;
        tokio::time::sleep(rest).await;
    }
    let whole = (room.memory().await? - before) / size.users as f64;
    let holding = Holding { server, bare, connected, logged_in, in_groups, whole };
    report.figures.extend(holding.figures(size));
    report.series.push(curve);
    report.disturbance = meter.stop().disturbance();

    let first = room.links.len();
    let step = progress.step("members of groups", sleepers.users.len() as u64);
    room.fill(&sleepers.users, &step).await?;
    drop(step);
    let Room { links, target, .. } = room;
    report.figures.extend(sleepers.wake(&run, links, first, rest, target).await?);
    Ok(report)
}

/// What was measured, in bytes; all but the first for each.
struct Holding {
    /// The server without a session.
    server: f64,
    /// A connection to a bare server, where its memory can be read.
    bare: Option<f64>,
    /// A connection that is not logged in.
    connected: f64,
    /// A session without groups and pairs.
    logged_in: f64,
    /// One with groups.
    in_groups: f64,
    /// One with all.
    whole: f64,
}

impl Holding {
    fn figures(&self, size: Size) -> Vec<Figure> {
        let Self { server, bare, connected, logged_in, in_groups, whole } = *self;
        let bytes = |name: &str, what: &str, bytes: f64| {
            Figure::lower(&format!("idle.{name}_bytes"), what, bytes, "bytes")
        };
        let what = "resident memory for an idle session, all its actors included";
        let mut figures = vec![
            bytes("session", what, whole).with_goal(Goal::value(24_576.0, 16_384.0)),
            bytes("connected", "of it for a connection before its login", connected),
        ];
        let what = "of it for being logged in, without groups and pairs";
        figures.push(bytes("login", what, logged_in - connected).as_difference());
        let what = format!("of it for {} groups", size.groups);
        figures.push(bytes("groups", &what, in_groups - logged_in).as_difference());
        let what = format!("of it for {} pairs", size.pairs);
        figures.push(bytes("pairs", &what, whole - in_groups).as_difference());
        let what = "for an idle WebSocket in a bare server";
        figures.extend(bare.map(|bare| bytes("bare", what, bare)));
        figures.push(bytes("server", "resident memory without a session", server));
        figures
    }
}

fn mebibytes(bytes: f64) -> f64 {
    bytes / 1_048_576.0
}

/// The sessions that are there. Who has come stays.
struct Room<'a> {
    target: &'a Target,
    way: Way,
    /// How long the server is left alone before its memory is read.
    rest: Duration,
    links: Vec<Link>,
    /// When all of them last told that they are there.
    alive: Instant,
}

impl Room<'_> {
    async fn memory(&self) -> Result<f64, BenchError> {
        self.target.memory().await
    }

    /// Logs these in, and waits until memory can be read.
    async fn fill(&mut self, users: &[UserId], step: &Step) -> Result<(), BenchError> {
        let people =
            people::log_all_in(self.target, std::slice::from_ref(&self.way), users.to_vec(), step)
                .await?;
        self.take(people).await
    }

    /// The same with a stop on the way: the bytes for each that is connected, and for each that is logged in.
    async fn fill_by_steps(
        &mut self,
        users: Vec<UserId>,
        step: &Step,
    ) -> Result<[f64; 2], BenchError> {
        let (empty, count) = (self.memory().await?, users.len() as f64);
        let opening = users.iter().map(|_| Link::open(&self.way));
        let links: Vec<Link> = futures_util::stream::iter(opening)
            .buffered(AT_ONCE)
            .try_collect()
            .await
            .map_err(BenchError::system("no connection"))?;
        tokio::time::sleep(CONNECTED_REST).await;
        let connected = (self.memory().await? - empty) / count;
        let target = self.target;
        let entering = links.into_iter().zip(users);
        let entering = entering.map(|(link, user)| people::enter(target, link, user));
        let people: Vec<Person> =
            futures_util::stream::iter(entering).buffered(AT_ONCE).try_collect().await?;
        step.advance(people.len() as u64);
        self.take(people).await?;
        Ok([connected, (self.memory().await? - empty) / count])
    }

    async fn take(&mut self, people: Vec<Person>) -> Result<(), BenchError> {
        self.links.extend(people.into_iter().map(|person| person.link));
        if self.alive.elapsed() > HEARTBEAT_EVERY {
            self.heartbeat().await?;
        }
        tokio::time::sleep(self.rest).await;
        Ok(())
    }

    /// Has everyone tell that they are there.
    async fn heartbeat(&mut self) -> Result<(), BenchError> {
        let mut pings = futures_util::stream::iter(self.links.iter_mut())
            .map(|link| link.call("idle", "ping", Map::new()))
            .buffer_unordered(AT_ONCE);
        while let Some(answered) = pings.next().await {
            answered?;
        }
        self.alive = Instant::now();
        Ok(())
    }
}
