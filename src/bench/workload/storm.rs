//! A node dies: how long all its users take to come back at the other nodes, and what that costs those who are there.

use std::time::{Duration, Instant};

use clap::Args;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hdrhistogram::Histogram;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

use super::Run;
use super::one_to_one::pairs;
use super::talking;
use crate::bench::errors::BenchError;
use crate::bench::figure::{Figure, Goal, Latency, WorkloadReport};
use crate::bench::load::crowd::{self, Scene};
use crate::bench::load::link::{Link, TurnedAway, Way};
use crate::bench::load::people;
use crate::bench::load::population::{Population, Size};
use crate::bench::load::talk::{Talk, Tally};
use crate::bench::options::Common;
use crate::bench::progress::Progress;
use crate::bench::target::Target;
use crate::bench::verify;
use crate::client::backoff::Backoff;
use crate::config;
use crate::ids::UserId;
use crate::limits;

/// Nodes, when nobody says how many.
const NODES: u32 = 3;
/// Users of the node that dies in a short run.
const SHORT_USERS: u32 = 300;
/// Connections that are opened at once before anything dies.
const AT_ONCE: usize = 64;
/// The part of their highest rate at which the others talk.
const LOAD: f64 = 0.5;
/// Users of the node that dies, and how long they must and should take to be back.
const GOAL_USERS: usize = 10_000;
const GOAL_MUST_S: f64 = 60.0;
const GOAL_AIM_S: f64 = 20.0;
/// What must and should be left of the others' rate meanwhile.
const GOAL_RATE: Goal = Goal::ratio(0.8, 0.95);
/// The storm is given up after this.
const BACK_WITHIN: Duration = Duration::from_secs(180);
/// Times that are longer count as this long, in µs.
const LONGEST_US: u64 = 200_000_000;

/// Its options.
#[derive(Debug, Clone, Args)]
pub struct Storm {
    /// Users of the node that dies.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(50..=100_000))]
    pub users: u32,
    /// Users of the other nodes, who write to each other in pairs.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=5_000))]
    pub talkers: u32,
    /// Others with whom each user of the node that dies has a conversation.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(0..=40))]
    pub pairs: u32,
    /// Groups of a hundred that each of these is in.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(0..=40))]
    pub groups: u32,
}

/// Starts the nodes. Those that stay admit connections as a server does of which nothing was set.
pub async fn open(common: &Common) -> Result<Target, BenchError> {
    let nodes = common.nodes.unwrap_or(NODES);
    if common.server.is_some() || nodes < 2 {
        let message = "storm kills a node, so it starts at least two of its own";
        return Err(BenchError::Options(message.to_owned()));
    }
    let usual = config::Limits::default();
    let admission = [
        ("ROOKERY__LIMITS__ARRIVALS_PER_S", usual.arrivals_per_s.to_string()),
        ("ROOKERY__LIMITS__ARRIVALS_BURST", usual.arrivals_burst.to_string()),
        ("ROOKERY__LIMITS__ARRIVALS_PER_ADDRESS_S", usual.arrivals_per_address_s.to_string()),
    ];
    let admission: Vec<(&str, &str)> =
        admission.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut env = vec![admission; nodes as usize - 1];
    env.push(Vec::new());
    Target::start_cluster(&env, Progress::choose(common.json)).await
}

/// Measures it. The last node dies.
pub async fn run(
    common: &Common,
    target: &mut Target,
    options: &Storm,
) -> Result<WorkloadReport, BenchError> {
    let users = if common.short { options.users.min(SHORT_USERS) } else { options.users } as usize;
    let doomed = target.take_last();
    let doomed = doomed.ok_or_else(|| BenchError::Options("there is one node".to_owned()))?;
    measure(&Run::new(common, target)?, options, users, doomed).await
}

async fn measure(
    run: &Run<'_>,
    options: &Storm,
    users: usize,
    doomed: Target,
) -> Result<WorkloadReport, BenchError> {
    let ways = run.target.ways(run.common);
    let mut report = WorkloadReport::new("storm");
    report.set("nodes that stay", ways.len());
    report.set("users of the node that dies", users);
    report.set("pairs of each", options.pairs);
    report.set("groups of each", options.groups);
    report.set("talkers", options.talkers & !1);

    let size = Size {
        users,
        pairs: options.pairs as usize & !1,
        groups: options.groups as usize,
        members: limits::GROUP_USERS,
    };
    let population = Population::plan(&run.prefix, size)?;
    let way = doomed.way(run.common);
    population.settle(run.target, &way, run.progress).await?;
    let step = run.progress.step("they come to the node that will die", users as u64);
    let logins = population.users.iter().cloned();
    let logins = logins.map(|user| people::log_in(run.target, &way, user));
    let mut logins = futures_util::stream::iter(logins).buffered(AT_ONCE);
    let mut there = Vec::with_capacity(users);
    while let Some(person) = logins.next().await {
        there.push(person?);
        step.advance(1);
    }
    drop((step, logins));
    let positions = population.positions(&people::epoch(&there));

    let talkers = talking::log_in(run, "u", 0..options.talkers & !1).await?;
    let pairs = pairs(&talkers);
    let (talk, links) = talking::begin(run, talkers, pairs, 120)?;
    let played = crowd::play(links, talk, run.began, async |scene: &Scene<Talk>| {
        let highest = talking::fastest(run, scene, 1).await?.finished_rate();
        let due = highest * LOAD;
        let time = run.common.stretch();
        let step = run.progress.stretch("the others talk at half of their highest rate", time);
        let (before, paced) = rate_of(scene, talking::pace(run, scene, due, time)).await;
        paced?;
        talking::settle(scene).await;
        drop(step);

        let step = run.progress.step("the node is dead, and they come back", users as u64);
        doomed.kill().await?;
        drop(there);
        let meter = run.meter();
        let began = Instant::now();
        let coming = async {
            let mut coming: FuturesUnordered<_> = population
                .users
                .iter()
                .zip(&positions)
                .map(|(user, position)| come_back(run.target, &ways, user, position, began))
                .collect();
            let mut back = Vec::with_capacity(users);
            while let Some(one) = coming.next().await {
                back.push(one?);
                step.advance(1);
            }
            Ok::<_, BenchError>(back)
        };
        let (during, back) = rate_of(scene, async {
            tokio::select! {
                back = coming => back,
                paced = talking::pace(run, scene, due, BACK_WITHIN) => {
                    paced?;
                    let what = "the last of the users who come back".to_owned();
                    Err(BenchError::Late { what, after: BACK_WITHIN })
                }
            }
        })
        .await;
        let back = back?;
        let took = began.elapsed().as_secs_f64();
        let usage = meter.stop();
        drop(step);
        talking::settle(scene).await;
        report.disturbance = usage.disturbance();

        let figure = Figure::lower("storm.back_s", "until all of them are back", took, "s");
        report.figures.push(if users >= GOAL_USERS {
            figure.with_goal(Goal::value(GOAL_MUST_S, GOAL_AIM_S))
        } else {
            figure
        });
        let what = "messages of the others that were finished meanwhile";
        let figure = Figure::higher("storm.others_rate", what, during, "messages/s")
            .against("before the node died", before);
        report.figures.push(figure.with_goal(GOAL_RATE));
        let turned_away: u64 = back.iter().map(|back| back.turned_away).sum();
        let what = "times that somebody was told to come again later";
        report.figures.push(Figure::lower("storm.turned_away", what, turned_away as f64, "times"));
        let mut times = Histogram::<u64>::new_with_bounds(1, LONGEST_US, 3)
            .map_err(|error| BenchError::Options(error.to_string()))?;
        for back in &back {
            times.saturating_record(u64::try_from(back.took.as_micros()).unwrap_or(u64::MAX));
        }
        let what = "from the death of the node to the end of a login at another";
        let latency = Latency::from("storm.latency", what, users as f64 / took, &times);
        report.latencies.push(latency.since_begun());
        Ok(())
    })
    .await?;
    report.proof = verify::histories(&played.player, played.links, run.progress).await?;
    Ok(report)
}

/// Does `work`, and tells how many messages were finished in a second meanwhile.
async fn rate_of<T>(scene: &Scene<Talk>, work: impl Future<Output = T>) -> (f64, T) {
    let tally = || scene.with(|talk, _| talk.tally);
    let (before, since) = (tally(), Instant::now());
    let done = work.await;
    let Tally { finished, .. } = tally() - before;
    (finished as f64 / since.elapsed().as_secs_f64().max(f64::EPSILON), done)
}

struct Back {
    /// It stays: who is there already must not make it easier or harder for those who come.
    _link: Link,
    took: Duration,
    turned_away: u64,
}

/// Comes back as our clients do: after a time that chance picks, a longer one each time, or when the server says.
async fn come_back(
    target: &Target,
    ways: &[Way],
    user: &UserId,
    position: &Value,
    began: Instant,
) -> Result<Back, BenchError> {
    let (base, cap) = limits::CLIENT_BACKOFF;
    let mut backoff = Backoff::new(base, cap);
    let mut turned_away = 0;
    let token = target.token(user);
    let mut wait = backoff.next(rand::random());
    loop {
        tokio::time::sleep(wait).await;
        let Some(way) = ways.choose(&mut rand::rng()) else {
            return Err(BenchError::Options("no node is left".to_owned()));
        };
        wait = backoff.next(rand::random());
        let mut link = match Link::open(way).await {
            Ok(link) => link,
            Err(error) => {
                let told = error.get_ref().and_then(|why| why.downcast_ref::<TurnedAway>());
                if let Some(TurnedAway { after }) = told {
                    turned_away += 1;
                    wait = after.mul_f64(1.0 + rand::random::<f64>() / 4.0);
                }
                continue;
            }
        };
        let body = json!({
            "user": user,
            "token": token,
            "device": {"id": "bench", "platform": "api"},
            "sync": position,
        });
        match link.call(user.as_str(), "login", body).await {
            Ok(_) => return Ok(Back { _link: link, took: began.elapsed(), turned_away }),
            Err(BenchError::Refused { code, .. }) if ["busy", "unavailable"].contains(&&*code) => {
                turned_away += 1;
            }
            Err(error @ BenchError::Refused { .. }) => return Err(error),
            Err(_) => {}
        }
    }
}
