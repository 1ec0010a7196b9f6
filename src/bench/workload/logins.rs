//! How long many users take to come back at once, each with what its client has.

use std::time::{Duration, Instant};

use clap::Args;
use futures_util::StreamExt;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::Run;
use crate::bench::errors::BenchError;
use crate::bench::figure::{Figure, Goal, Latency, WorkloadReport};
use crate::bench::load::link::{Link, Way};
use crate::bench::load::people;
use crate::bench::load::population::{Population, Size};
use crate::bench::meter::Meter;
use crate::bench::options::Common;
use crate::bench::target::Target;
use crate::ids::UserId;
use crate::limits;

/// Users of a short run.
const SHORT_USERS: u32 = 600;
/// Groups of each user in which something was said meanwhile.
const MOVED: usize = 10;
/// Logins, and how long they must and should take together.
const GOAL_LOGINS: usize = 10_000;
const GOAL_MUST_S: f64 = 20.0;
const GOAL_AIM_S: f64 = 8.0;

/// Times that are longer count as this long, in µs.
const LONGEST_US: u64 = 120_000_000;

/// Its options.
#[derive(Debug, Clone, Args)]
pub struct Logins {
    /// Users, each with one device.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(50..=100_000))]
    pub users: u32,
    /// Others with whom each user has a conversation.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=40))]
    pub pairs: u32,
    /// Groups of a hundred that each user is in; in half of them something was said.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=40))]
    pub groups: u32,
    /// Users who are on their way in at once.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub at_once: u32,
}

/// Measures it. An own server is started again first, as after a fault: nothing is in its memory.
pub async fn run(
    common: &Common,
    target: &mut Target,
    options: &Logins,
) -> Result<WorkloadReport, BenchError> {
    let users = if common.short { options.users.min(SHORT_USERS) } else { options.users } as usize;
    let (pairs, groups) = (options.pairs as usize, options.groups as usize);
    let size = Size { users, pairs, groups, members: limits::GROUP_USERS };
    let Run { prefix, progress, .. } = Run::new(common, target)?;
    let population = Population::plan(&prefix, size)?;
    let way = target.way(common);
    population.settle(target, &way, progress).await?;
    let first = people::log_in(target, &way, people::user(&prefix, "first", 0)?).await?;
    let epoch = people::epoch(&[first]);
    population.move_heads(target, &way, MOVED, progress).await?;
    let positions = population.positions(&epoch);
    target.restart().await?;

    let way = target.way(common);
    let mut report = WorkloadReport::new("logins");
    report.set("users", users);
    report.set("pairs of each", pairs);
    report.set("groups of each", groups);
    report.set("moved since", MOVED.min(groups));
    report.set("at once", options.at_once);
    let mut times = Histogram::<u64>::new_with_bounds(1, LONGEST_US, 3)
        .map_err(|error| BenchError::Options(error.to_string()))?;
    let mut links = Vec::with_capacity(users);
    let meter = Meter::start(&target.pids());
    let step = progress.step("users come back", users as u64);
    let began = Instant::now();
    {
        let coming = population.users.iter().zip(&positions);
        let mut coming = futures_util::stream::iter(coming)
            .map(|(user, position)| come_back(target, &way, user, position, MOVED.min(groups)))
            .buffer_unordered(options.at_once as usize);
        while let Some(back) = coming.next().await {
            let (link, time) = back?;
            times.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
            // They stay: who is there already must not make it easier or harder for those who come.
            links.push(link);
            step.advance(1);
        }
    }
    let took = began.elapsed().as_secs_f64();
    let usage = meter.stop();
    drop(step);
    report.disturbance = usage.disturbance();
    let figure =
        Figure::lower("logins.time_s", "for all logins with their syncs together", took, "s");
    report.figures.push(if users == GOAL_LOGINS {
        figure.with_goal(Goal::value(GOAL_MUST_S, GOAL_AIM_S))
    } else {
        figure
    });
    let rate = users as f64 / took;
    report.figures.push(Figure::higher("logins.rate", "logins with their syncs", rate, "logins/s"));
    let each = |time: Duration| time.as_micros() as f64 / users as f64;
    let name = "logins.server_us";
    let figure = Figure::lower(
        name,
        "of a processor, for a login in the server",
        each(usage.server_cpu),
        "µs",
    );
    report.figures.push(figure);
    let name = "logins.postgres_us";
    let figure = Figure::lower(name, "the same in PostgreSQL", each(usage.postgres_cpu), "µs");
    report.figures.push(figure);
    let what = "from the first byte of a connection to the heads that moved";
    report.latencies.push(Latency::from("logins.latency", what, rate, &times).since_begun());
    Ok(report)
}

/// Connects and logs in with what the client has; how long that took. The answer must name the groups that moved.
async fn come_back(
    target: &Target,
    way: &Way,
    user: &UserId,
    position: &Value,
    moved: usize,
) -> Result<(Link, Duration), BenchError> {
    let failed = |why: String| BenchError::Session { who: user.to_string(), why };
    // Signed by the app's backend, long before.
    let token = target.token(user);
    let began = Instant::now();
    let mut link = Link::open(way).await.map_err(|error| failed(error.to_string()))?;
    let body = json!({
        "user": user,
        "token": token,
        "device": {"id": "bench", "platform": "api"},
        "sync": position,
    });
    let login = link.call(user.as_str(), "login", body).await?;
    let time = began.elapsed();
    let told = login["sync"]["groups"].as_array().map_or(0, Vec::len);
    if told != moved || login["sync"]["inbox"] != position["inbox"] {
        let text = format!("{moved} groups moved, and the login was told of {told}");
        return Err(failed(text));
    }
    Ok((link, time))
}
