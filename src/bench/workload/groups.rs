//! Many small groups, in which everybody writes.

use clap::Args;

use super::{Run, talking};
use crate::bench::errors::BenchError;
use crate::bench::figure::{Figure, WorkloadReport};
use crate::bench::load::crowd::{self, Scene};
use crate::bench::load::people;
use crate::bench::load::talk::{Conversation, Talk};
use crate::bench::verify;
use crate::ids::UserId;

/// Its options.
#[derive(Debug, Clone, Args)]
pub struct Groups {
    /// Groups.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub groups: u32,
    /// Members of each group, all of them online.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=100))]
    pub members: u32,
    /// Users, who share the memberships evenly.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub users: u32,
    /// Messages of each member of each group that are not yet acknowledged and read by all others.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=32))]
    pub window: u32,
    /// Characters of each message.
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..=30_000))]
    pub characters: u32,
}

/// Measures it.
pub async fn run(run: &Run<'_>, options: &Groups) -> Result<WorkloadReport, BenchError> {
    if options.members > options.users {
        return Err(BenchError::Options(
            "a group has more --members than there are --users".into(),
        ));
    }
    let mut report = WorkloadReport::new("groups");
    report.set("groups", options.groups);
    report.set("members", options.members);
    report.set("users", options.users);
    report.set("window", options.window);
    report.set("characters", options.characters);

    let mut everyone = talking::log_in(run, "g", 0..options.users).await?;
    let users: Vec<UserId> = everyone.iter().map(|person| person.user.clone()).collect();
    let mut conversations = Vec::new();
    let step = run.progress.step("making groups", u64::from(options.groups));
    for group in 0..options.groups {
        let first = group as usize * options.members as usize;
        let members: Vec<usize> =
            (first..first + options.members as usize).map(|n| n % users.len()).collect();
        let named: Vec<UserId> =
            members.iter().filter_map(|member| users.get(*member).cloned()).collect();
        let Some(owner) = members.first().and_then(|owner| everyone.get_mut(*owner)) else {
            continue;
        };
        let name = format!("{}-{group}", run.prefix);
        let conversation = people::make_group(owner, &name, &named).await?;
        conversations.push(Conversation {
            senders: (0..members.len()).collect(),
            members: members.into_iter().map(|who| (who, conversation.clone())).collect(),
        });
        step.advance(1);
    }
    drop(step);

    let (talk, links) = talking::begin(run, everyone, conversations, options.characters)?;
    let played = crowd::play(links, talk, run.began, async |scene: &Scene<Talk>| {
        let highest = talking::fastest(run, scene, options.window).await?;
        let rate = highest.finished_rate();
        let what = "stored, acknowledged and read by all members";
        report.figures.push(Figure::higher("groups.rate", what, rate, "messages/s"));
        let deliveries = highest.rate(highest.tally.heard);
        let what = "read by a member's client";
        report.figures.push(Figure::higher("groups.deliveries", what, deliveries, "deliveries/s"));
        report.figures.extend(highest.costs("groups"));
        report.disturbance = highest.usage.disturbance();

        let _step = run.progress.stretch("at half of that rate", run.common.measured());
        let half = talking::open(run, scene, rate / 2.0, run.common.stretch()).await?;
        report.disturbance.worsen(half.disturbance.clone());
        report.latencies.extend(half.latencies("groups"));
        Ok(())
    })
    .await?;
    report.proof = verify::histories(&played.player, played.links, run.progress).await?;
    Ok(report)
}
