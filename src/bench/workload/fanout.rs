//! One group with many members online: what one message costs that goes to all of them.

use clap::Args;

use super::Run;
use super::talking::{self, Stretch};
use crate::bench::errors::BenchError;
use crate::bench::figure::{Axis, Figure, Goal, Limit, Series, WorkloadReport};
use crate::bench::load::crowd::{self, Scene};
use crate::bench::load::talk::{Talk, Until, Window};
use crate::bench::raw::sockets;
use crate::bench::verify;
use crate::ids::UserId;

/// Sizes of groups at which the picture of throughput over size has its points, as far as there are so many members.
const SIZES: [usize; 6] = [10, 30, 100, 300, 1_000, 3_000];

/// Its options.
#[derive(Debug, Clone, Args)]
pub struct Fanout {
    /// Members of the group, all of them online; one of them writes.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(2..=6_000))]
    pub members: u32,
    /// Messages that are not yet acknowledged and read by all others.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=32))]
    pub window: u32,
    /// Characters of each message.
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..=30_000))]
    pub characters: u32,
}

/// Measures it.
pub async fn run(run: &Run<'_>, options: &Fanout) -> Result<WorkloadReport, BenchError> {
    let mut report = WorkloadReport::new("fanout");
    report.set("members", options.members);
    report.set("window", options.window);
    report.set("characters", options.characters);

    let mut everyone = talking::log_in(run, "f", 0..options.members).await?;
    let users: Vec<UserId> = everyone.iter().map(|person| person.user.clone()).collect();
    let mut sizes: Vec<usize> = Vec::new();
    if run.common.plot.is_some() {
        sizes.extend(SIZES.into_iter().filter(|size| *size < users.len()));
    }
    sizes.push(users.len());
    let mut conversations = Vec::new();
    for size in &sizes {
        let _step = run.progress.step(&format!("making a group of {size}"), 1);
        let name = format!("{}-{size}", run.prefix);
        let members = users.get(..*size).unwrap_or_default();
        conversations.push(talking::group_of(&mut everyone, &name, members).await?);
    }
    let (talk, links) = talking::begin(run, everyone, conversations, options.characters)?;
    let played = crowd::play(links, talk, run.began, async |scene: &Scene<Talk>| {
        let mut many: Vec<(f64, f64)> = Vec::new();
        let mut single: Vec<(f64, f64)> = Vec::new();
        let mut last: Option<(Stretch, Stretch)> = None;
        let many_at_once = Window { most: options.window as usize, until: Until::Acked };
        let one_at_a_time = Window { most: 1, until: Until::Read };
        for (lane, size) in sizes.iter().enumerate() {
            let said = format!("{} in flight, {size} members", options.window);
            let step = run.progress.stretch(&said, run.common.measured());
            let windowed = talking::closed(run, scene, lane..lane + 1, many_at_once).await?;
            drop(step);
            let said = format!("one at a time, {size} members");
            let _step = run.progress.stretch(&said, run.common.measured());
            let alone = talking::closed(run, scene, lane..lane + 1, one_at_a_time).await?;
            many.push((*size as f64, windowed.rate(windowed.tally.heard)));
            single.push((*size as f64, alone.rate(alone.tally.heard)));
            last = Some((windowed, alone));
        }
        if let Some((windowed, alone)) = last {
            let figure = |name: &str, what: &str, stretch: &Stretch| {
                Figure::higher(name, what, stretch.rate(stretch.tally.heard), "deliveries/s")
            };
            report.figures.push(
                figure("fanout.rate", "read by a member, many in flight", &windowed)
                    .with_goal(Goal::ratio(0.75, 1.0))
                    .tolerating(35),
            );
            report.figures.push(
                figure("fanout.rate_one", "read by a member, one at a time", &alone)
                    .with_goal(Goal::ratio(0.8, 0.95)),
            );
            report.figures.extend(windowed.costs("fanout"));
            report.disturbance.worsen(windowed.usage.disturbance());
            report.disturbance.worsen(alone.usage.disturbance());
        }
        if sizes.len() > 1 {
            report.series = vec![
                curve(&format!("{} in flight", options.window), many),
                curve("one at a time", single),
            ];
        }
        Ok(())
    })
    .await?;
    report.proof = verify::histories(&played.player, played.links, run.progress).await?;
    let many = options.window as usize;
    // The engine's sender goes on when it has its ack, so that more than its window may be on the way to readers. The bare
    // sockets get the better of as many and four times as many, each from when it was fed until all have read it.
    for (name, windows) in [("fanout.rate", vec![many, 4 * many]), ("fanout.rate_one", vec![1])] {
        let text = talking::text(run.common, options.characters);
        let listeners = options.members as usize - 1;
        let mut best: f64 = 0.0;
        for window in windows {
            let said = format!("bare sockets, {window} in flight");
            let _step = run.progress.stretch(&said, run.common.measured());
            let (rate, disturbance) = sockets::fanout(run, listeners, window, &text).await?;
            best = best.max(rate);
            report.disturbance.worsen(disturbance);
        }
        if let Some(figure) = report.figures.iter_mut().find(|figure| figure.name == name) {
            let what = "the same to bare sockets".to_owned();
            figure.limit = Some(Limit { what, value: best });
        }
    }
    Ok(report)
}

fn curve(name: &str, points: Vec<(f64, f64)>) -> Series {
    Series {
        name: name.to_owned(),
        picture: "throughput-over-group-size".to_owned(),
        x: Axis::log("members online", "members"),
        y: Axis::linear("messages read by members", "deliveries/s"),
        points,
    }
}
