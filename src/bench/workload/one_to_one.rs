//! Pairs of users who write to each other.

use clap::Args;

use super::Run;
use super::talking::{self, LATENCY_GOAL};
use crate::bench::errors::BenchError;
use crate::bench::figure::{Axis, Figure, Goal, Limit, Series, WorkloadReport};
use crate::bench::load::crowd::{self, Scene};
use crate::bench::load::people::Person;
use crate::bench::load::talk::{Conversation, Talk};
use crate::bench::raw::{postgres, sockets};
use crate::bench::verify;
use crate::store::bare::BareKind;

/// Shares of the highest rate at which the picture of latency over load has its points.
const LOADS: [f64; 6] = [0.1, 0.25, 0.5, 0.7, 0.85, 0.95];

/// Its options.
#[derive(Debug, Clone, Args)]
pub struct OneToOne {
    /// Users; every two of them write to each other.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=20_000))]
    pub users: u32,
    /// Messages of each user that are not yet acknowledged and read.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=32))]
    pub window: u32,
    /// Characters of each message.
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..=30_000))]
    pub characters: u32,
}

/// Measures it.
pub async fn run(run: &Run<'_>, options: &OneToOne) -> Result<WorkloadReport, BenchError> {
    let people = talking::log_in(run, "u", 0..options.users & !1).await?;
    let mut report = WorkloadReport::new("one-to-one");
    report.set("users", people.len());
    report.set("window", options.window);
    report.set("characters", options.characters);

    let pairs = pairs(&people);
    let (talk, links) = talking::begin(run, people, pairs, options.characters)?;
    let played = crowd::play(links, talk, run.began, async |scene: &Scene<Talk>| {
        let highest = talking::fastest(run, scene, options.window).await?;
        let rate = highest.finished_rate();
        let what = "stored, acknowledged and read by the receiver";
        report.figures.push(
            Figure::higher("one_to_one.rate", what, rate, "messages/s")
                .with_goal(Goal::value(20_000.0, 40_000.0))
                .tolerating(35),
        );
        report.figures.extend(highest.costs("one_to_one"));
        report.disturbance = highest.usage.disturbance();

        let half = {
            let _step = run.progress.stretch("at half of that rate", run.common.measured());
            talking::open(run, scene, rate / 2.0, run.common.stretch()).await?
        };
        report.disturbance.worsen(half.disturbance.clone());
        let [ack, delivery, sending] = half.latencies("one_to_one");
        let (ack, delivery) = (ack.with_goal(LATENCY_GOAL), delivery.with_goal(LATENCY_GOAL));
        report.latencies.extend([ack, delivery, sending]);
        if run.common.plot.is_some() {
            report.series = latency_over_load(run, scene, rate).await?;
        }
        Ok(())
    })
    .await?;
    report.proof = verify::histories(&played.player, played.links, run.progress).await?;
    let step = run.progress.stretch("PostgreSQL alone", run.common.stretch());
    let (kind, time) = (BareKind::Pair, run.common.stretch());
    let raw = postgres::beside(run.target, kind, options.characters, time).await?;
    drop(step);
    if let Some(raw) = raw
        && let Some(rate) = report.figures.iter_mut().find(|it| it.name == "one_to_one.rate")
    {
        rate.limit =
            Some(Limit { what: "PostgreSQL alone with the same rows".to_owned(), value: raw });
    }
    let _step = run.progress.stretch("bare sockets that echo", run.common.measured());
    let (users, window) = (options.users as usize & !1, options.window as usize);
    let (echo, disturbance) =
        sockets::echo(run, users, window, &talking::text(run.common, options.characters)).await?;
    let what = "answered by bare sockets, nothing else done";
    report.figures.push(Figure::higher("one_to_one.bare_echo", what, echo, "messages/s"));
    report.disturbance.worsen(disturbance);
    if let Some(commits) = postgres::commits_beside(run.target, options.characters).await? {
        report.latencies.push(commits);
    }
    Ok(report)
}

/// A conversation of every two of them, in which both write.
pub(super) fn pairs(people: &[Person]) -> Vec<Conversation> {
    let pair = |(number, pair): (usize, &[Person])| {
        let named = |other: &Person| format!("user:{}", other.user);
        let members = match pair {
            [one, other] => vec![(number * 2, named(other)), (number * 2 + 1, named(one))],
            _ => Vec::new(),
        };
        Conversation { members, senders: vec![0, 1] }
    };
    people.chunks_exact(2).enumerate().map(pair).collect()
}

/// Latencies at shares of the highest rate, for a picture.
async fn latency_over_load(
    run: &Run<'_>,
    scene: &Scene<Talk>,
    highest: f64,
) -> Result<Vec<Series>, BenchError> {
    let names = ["ack p50", "ack p99", "delivery p50", "delivery p99"];
    let mut curves = names.map(|name| Series {
        name: name.to_owned(),
        picture: "latency-over-load".to_owned(),
        x: Axis::linear("one-to-one messages due", "messages/s"),
        y: Axis::log("from when it was due", "ms"),
        points: Vec::new(),
    });
    for load in LOADS {
        let rate = highest * load;
        let time = run.common.stretch() / 2;
        let _step = run.progress.stretch(&format!("at {:.0} % of that rate", load * 100.0), time);
        let times = talking::open(run, scene, rate, time).await?.times;
        let quantiles = [
            (&times.ack, 0.5),
            (&times.ack, 0.99),
            (&times.delivery, 0.5),
            (&times.delivery, 0.99),
        ];
        for (curve, (times, quantile)) in curves.iter_mut().zip(quantiles) {
            curve.points.push((rate, times.value_at_quantile(quantile) as f64 / 1e3));
        }
    }
    Ok(curves.into())
}
