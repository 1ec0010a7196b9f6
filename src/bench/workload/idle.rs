//! What the server holds in memory for sessions that say nothing, and for groups that somebody has just written to.

use std::time::{Duration, Instant};

use clap::Args;
use futures_util::StreamExt;
use serde_json::{Map, Value, json};

use super::Run;
use crate::bench::errors::BenchError;
use crate::bench::figure::{Axis, Figure, Goal, Series, WorkloadReport};
use crate::bench::load::crowd::{self, Crowd, Player, Scene};
use crate::bench::load::link::{CALLS_FROM, Link, Way};
use crate::bench::load::people::{self, Person};
use crate::bench::load::population::{self, Population, Size};
use crate::bench::load::wire::Frame;
use crate::bench::meter;
use crate::bench::options::Common;
use crate::bench::target::Target;
use crate::ids::UserId;
use crate::limits;
use crate::protocol::codec::Codec;

/// Memory is read at so many numbers of sessions.
const POINTS: usize = 10;
/// Logins at once, and heartbeats.
const AT_ONCE: usize = 64;
/// How often sessions that wait tell that they are there; the server waits for 50 s.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);
/// How long after the last login memory is read: what logins needed for a moment is given back by then.
const REST: Duration = Duration::from_secs(3);
/// How long a round of commands may take.
const ROUND_WITHIN: Duration = Duration::from_secs(120);
/// Commands that are under way at once, of as many groups.
const IN_FLIGHT: usize = 250;

/// All groups that are woken are of so many users, so that the first ones make room in all their buffers.
const AMONG: usize = 1_000;
/// The groups that are woken: with how many members, and how many of them.
const GROUPS: [(usize, usize); 3] = [(10, 2_000), (100, 500), (1_000, 100)];

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
    target.restart().await?;

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
    tokio::time::sleep(REST).await;
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
            tokio::time::sleep(REST).await;
            curve.points.push((links.len() as f64, mebibytes(memory())));
        }
        heartbeat(&mut links).await?;
        tokio::time::sleep(REST).await;
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

    let sizes =
        GROUPS.map(|(members, count)| (members, if common.short { count / 4 } else { count }));
    for (members, count) in sizes.into_iter().filter(|(members, _)| *members <= size.users) {
        let step = progress.step(&format!("groups of {members}"), count as u64);
        let woken = Waking { prefix: &run.prefix, users: &population.users, members, count };
        // The first ones make room in every buffer on the way, so that this is not counted.
        let first = Waking { count: count / 4, ..woken };
        let player = Replies { codec: common.codec(), answered: 0, refused: None };
        let played = crowd::play(links, player, run.began, async |scene: &Scene<Replies>| {
            first.wake(scene, "warm").await?;
            scene.run_for(REST).await;
            let before = memory();
            woken.wake(scene, "measured").await?;
            scene.run_for(REST).await;
            Ok((memory() - before) / woken.count as f64)
        })
        .await?;
        step.advance(count as u64);
        links = played.links;
        let goal = |head: f64, member: f64| head + member * members as f64;
        let name = format!("idle.group_bytes_{members}");
        let what = format!("resident memory of an active group with {members} members online");
        report.figures.push(
            Figure::lower(&name, &what, played.told, "bytes")
                .with_goal(Goal::value(goal(4_096.0, 16.0), goal(2_048.0, 8.0))),
        );
    }
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

/// Groups that are made, and then woken by a message in each.
#[derive(Clone, Copy)]
struct Waking<'a> {
    prefix: &'a str,
    users: &'a [UserId],
    members: usize,
    count: usize,
}

impl Waking<'_> {
    /// Makes them one round of commands after the other, since an invitation needs the group.
    async fn wake(&self, scene: &Scene<Replies>, role: &str) -> Result<(), BenchError> {
        let id = |n: usize| format!("{}-{role}-{}-{n}", self.prefix, self.members);
        let rounds = (self.members - 1).div_ceil(limits::GROUP_USERS);
        for round in 0..rounds {
            let others = round * limits::GROUP_USERS + 1
                ..((round + 1) * limits::GROUP_USERS + 1).min(self.members);
            self.round(scene, |n, owner| {
                let named: Vec<&UserId> =
                    others.clone().filter_map(|other| self.user(owner + other)).collect();
                match round {
                    0 => (
                        "group.create",
                        json!({"group": id(n), "kind": "work", "name": "Bench", "members": named}),
                    ),
                    _ => ("group.invite", json!({"group": id(n), "users": named})),
                }
            })
            .await?;
        }
        self.round(scene, |n, _| {
            let content = json!({"type": "text", "text": "is anybody there?"});
            let to = format!("group:{}", id(n));
            let key = population::key();
            ("message.send", json!({"to": to, "client_msg_id": key, "content": content}))
        })
        .await
    }

    /// One command for each group, by its owner, and their answers.
    async fn round(
        &self,
        scene: &Scene<Replies>,
        command: impl Fn(usize, usize) -> (&'static str, Value),
    ) -> Result<(), BenchError> {
        let mut asked = scene.with(|replies, _| replies.answered);
        let numbers: Vec<usize> = (0..self.count).collect();
        for part in numbers.chunks(IN_FLIGHT) {
            scene.with(|_, crowd| {
                for &n in part {
                    let owner = self.owner(n);
                    let (cmd, body) = command(n, owner);
                    crowd.command(owner, n as u64 + 1, cmd, body);
                }
            });
            asked += part.len() as u64;
            let is_done =
                |replies: &Replies| replies.refused.is_some() || replies.answered >= asked;
            if !scene.until(ROUND_WITHIN, is_done).await {
                let what = "answers of groups".to_owned();
                return Err(BenchError::Late { what, after: ROUND_WITHIN });
            }
            if let Some(refused) = scene.with(|replies, _| replies.refused.take()) {
                return Err(refused);
            }
        }
        Ok(())
    }

    fn owner(&self, n: usize) -> usize {
        n * 7 % self.among()
    }

    fn user(&self, n: usize) -> Option<&UserId> {
        self.users.get(n % self.among())
    }

    /// Of how many users, always the same, the groups are.
    fn among(&self) -> usize {
        self.users.len().min(AMONG)
    }
}

/// Counts answers, and hears nothing else.
struct Replies {
    codec: Codec,
    answered: u64,
    refused: Option<BenchError>,
}

impl Player for Replies {
    fn hear(
        &mut self,
        _: &mut Crowd,
        who: usize,
        payload: &[u8],
        _: u64,
    ) -> Result<(), BenchError> {
        let ended = |why: String| BenchError::Session { who: who.to_string(), why };
        let frame = Frame::read(payload, self.codec).map_err(ended)?;
        // Heartbeats are answered, too.
        if frame.re.is_none_or(|id| id >= CALLS_FROM) {
            return Ok(());
        }
        self.answered += 1;
        if let Some(refusal) = frame.error {
            let (code, message) = (refusal.code.to_owned(), refusal.message.into_owned());
            self.refused = Some(BenchError::Refused { what: "a group".to_owned(), code, message });
        }
        Ok(())
    }
}
