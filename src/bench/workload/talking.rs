//! What the workloads of messages have in common: stretches with a window or at a rate, and coming to rest.

use std::ops::Range;
use std::time::Duration;

use hdrhistogram::Histogram;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::Run;
use crate::bench::errors::BenchError;
use crate::bench::figure::{Disturbance, Figure, Latency, LatencyGoal};
use crate::bench::load::crowd::Scene;
use crate::bench::load::link::Link;
use crate::bench::load::pace::{Metronome, Schedule};
use crate::bench::load::people::{self, Person};
use crate::bench::load::talk::{Conversation, Setup, Talk, Tally, Times, Until, Window};
use crate::bench::meter::Usage;
use crate::bench::options::Common;
use crate::ids::UserId;

/// What an ack, and a delivery, should take at half of the highest rate.
pub const LATENCY_GOAL: LatencyGoal =
    LatencyGoal { p50_must_ms: 5.0, p50_aim_ms: 2.0, p99_must_ms: 20.0, p99_aim_ms: 10.0 };

/// How long messages that are under way may take to arrive once nobody sends any more.
const SETTLE_WITHIN: Duration = Duration::from_secs(30);

/// What was counted in a measured stretch.
#[derive(Debug, Clone)]
pub struct Stretch {
    /// What was counted.
    pub tally: Tally,
    /// Who used the processors, and how long it was.
    pub usage: Usage,
}

impl Stretch {
    /// So many of something in a second.
    pub fn rate(&self, count: u64) -> f64 {
        count as f64 / self.usage.wall.as_secs_f64().max(f64::EPSILON)
    }

    /// Messages in a second that were acknowledged and read by all who listen.
    pub fn finished_rate(&self) -> f64 {
        self.rate(self.tally.finished)
    }

    /// What each message cost the server, its PostgreSQL and the clients, in µs of a processor.
    pub fn costs(&self, workload: &str) -> Vec<Figure> {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / self.tally.finished.max(1) as f64;
        let Usage { server_cpu, postgres_cpu, own_cpu, .. } = self.usage;
        let figure = |name: &str, what: &str, time: Duration| {
            Figure::lower(&format!("{workload}.{name}"), what, each(time), "µs")
        };
        vec![
            figure("server_cpu", "processor time of the server for a message", server_cpu),
            figure("postgres_cpu", "processor time of PostgreSQL for a message", postgres_cpu),
            figure("client_cpu", "processor time of all clients for a message", own_cpu),
        ]
    }
}

/// What was measured at a fixed rate.
#[derive(Debug, Clone)]
pub struct Paced {
    /// Messages that were due in a second.
    pub rate_per_s: f64,
    /// How long they took.
    pub times: Times,
    /// Who else used the machine.
    pub disturbance: Disturbance,
}

impl Paced {
    /// The latencies of the workload of this name.
    pub fn latencies(&self, workload: &str) -> [Latency; 3] {
        let Self { rate_per_s, times, .. } = self;
        let latency = |name: &str, what: &str, times: &Histogram<u64>| {
            Latency::from(&format!("{workload}.latency_{name}"), what, *rate_per_s, times)
        };
        [
            latency("ack", "to the ack", &times.ack),
            latency("delivery", "to a receiver's client", &times.delivery),
            latency("sending", "to when it was sent: the load's own part", &times.sending),
        ]
    }
}

/// Logs users of this run in: those of a role that have numbers of this range.
pub async fn log_in(
    run: &Run<'_>,
    role: &str,
    numbers: Range<u32>,
) -> Result<Vec<Person>, BenchError> {
    let users = numbers.map(|n| people::user(&run.prefix, role, n));
    let users = users.collect::<Result<Vec<_>, _>>()?;
    let step = run.progress.step("logging in", users.len() as u64);
    people::log_all_in(run.target, &run.target.ways(run.common), users, &step).await
}

/// A talk of these people in which nothing was said yet, with messages of so many characters, and their connections.
pub fn begin(
    run: &Run<'_>,
    people: Vec<Person>,
    conversations: Vec<Conversation>,
    characters: u32,
) -> Result<(Talk, Vec<Link>), BenchError> {
    let setup = Setup {
        users: people.iter().map(|person| person.user.to_string()).collect(),
        epoch: people::epoch(&people),
        conversations,
        codec: run.common.codec(),
        text: text(run.common, characters),
    };
    let talk = Talk::new(setup, run.began_ms)?;
    Ok((talk, people.into_iter().map(|person| person.link).collect()))
}

/// A group of these users, made by the first of all people, in which that one writes.
///
/// `users` are the first ones of `people`.
pub async fn group_of(
    people: &mut [Person],
    name: &str,
    users: &[UserId],
) -> Result<Conversation, BenchError> {
    let mut members = Vec::new();
    if let Some(owner) = people.first_mut() {
        let conversation = people::make_group(owner, name, users).await?;
        members.extend((0..users.len()).map(|who| (who, conversation.clone())));
    }
    Ok(Conversation { members, senders: vec![0] })
}

/// Lets all lanes send with so many messages on the way to their readers: the highest rate.
pub async fn fastest(run: &Run<'_>, scene: &Scene<Talk>, most: u32) -> Result<Stretch, BenchError> {
    let _step = run.progress.stretch("as fast as it goes", run.common.measured());
    let lanes = scene.with(|talk, _| 0..talk.lanes.len());
    closed(run, scene, lanes, Window { most: most as usize, until: Until::Read }).await
}

/// Lets these lanes send with so many messages unfinished, warms up, counts for a stretch, and comes to rest.
pub async fn closed(
    run: &Run<'_>,
    scene: &Scene<Talk>,
    lanes: Range<usize>,
    window: Window,
) -> Result<Stretch, BenchError> {
    scene.with(|talk, crowd| {
        for lane in lanes {
            talk.let_send(crowd, lane, window);
        }
    });
    scene.run_for(run.common.warm_up()).await;
    let (meter, before) = (run.meter(), scene.with(|talk, _| talk.tally));
    scene.run_for(run.common.stretch()).await;
    let tally = scene.with(|talk, _| talk.tally) - before;
    let stretch = Stretch { tally, usage: meter.stop() };
    settle(scene).await;
    Ok(stretch)
}

/// Has messages due at a fixed rate for so long, each of a lane that chance picks, after a while that is not measured, and
/// comes to rest.
pub async fn open(
    run: &Run<'_>,
    scene: &Scene<Talk>,
    rate_per_s: f64,
    time: Duration,
) -> Result<Paced, BenchError> {
    let warm_up = run.common.warm_up() / 2;
    scene.with(|talk, crowd| {
        talk.measure_from(crowd.now_us() + u64::try_from(warm_up.as_micros()).unwrap_or_default());
    });
    let meter = {
        let pacing = pace(run, scene, rate_per_s, warm_up + time);
        let metering = async {
            tokio::time::sleep(warm_up).await;
            run.meter()
        };
        let (paced, meter) = tokio::join!(pacing, metering);
        paced?;
        meter
    };
    let disturbance = meter.stop().disturbance();
    settle(scene).await;
    let times = scene.with(|talk, _| talk.times.clone());
    Ok(Paced { rate_per_s, times, disturbance })
}

/// Has messages due at a fixed rate for so long, each of a lane that chance picks.
pub async fn pace(
    run: &Run<'_>,
    scene: &Scene<Talk>,
    rate_per_s: f64,
    time: Duration,
) -> Result<(), BenchError> {
    let metronome = Metronome::start().map_err(BenchError::system("no thread"))?;
    let mut chance = SmallRng::seed_from_u64(run.common.seed);
    let from_us = scene.with(|_, crowd| crowd.now_us());
    let mut schedule = Schedule::new(from_us, rate_per_s, time);
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
    Ok(())
}

/// Waits until nothing is under way.
pub async fn settle(scene: &Scene<Talk>) {
    scene.with(|talk, _| talk.hush());
    // What does not come is told by the proof, which says what and how many.
    scene.until(SETTLE_WITHIN, Talk::is_settled).await;
}

/// A text of so many characters, which chance picks.
pub fn text(common: &Common, characters: u32) -> String {
    let mut chance = SmallRng::seed_from_u64(common.seed);
    (0..characters).map(|_| char::from(chance.random_range(b'a'..=b'z'))).collect()
}
