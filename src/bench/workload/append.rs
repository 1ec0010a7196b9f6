//! Appends to groups without sockets: group actors, journals and PostgreSQL, beside PostgreSQL with the rows alone.
//!
//! Runs in this process, on a database of its own, since what is measured is behind every way in.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::future::join_all;
use uuid::Uuid;

use super::talking;
use crate::actors::backend::{self, Speaker};
use crate::app::alone::{self, Alone};
use crate::bench::errors::BenchError;
use crate::bench::figure::{Disturbance, Figure, Goal, Proof, WorkloadReport};
use crate::bench::meter::Meter;
use crate::bench::options::Common;
use crate::bench::raw::postgres::{self, failed};
use crate::config::{self, Sources};
use crate::ids::{AppId, ClientMsgId, Conversation, GroupId, Seq, UnixMs, UserId};
use crate::protocol::{Body, Content, ErrorBody, GroupCreate, GroupKind, GroupName, Send};
use crate::store::bare::{self, BareKind};
use crate::store::users;

/// How often both are measured, by turns: what changes on the machine meanwhile concerns both.
const TURNS: u32 = 3;

/// Its options.
#[derive(Debug, Clone, Args)]
pub struct Append {
    /// Groups.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub groups: u32,
    /// Messages to each group that are not yet acknowledged.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub window: u32,
    /// Characters of each message.
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..=30_000))]
    pub characters: u32,
}

/// Measures it in a folder of its own. To be called within [`alone::block_on`].
pub async fn run(
    common: &Common,
    options: &Append,
    folder: &Path,
) -> Result<WorkloadReport, BenchError> {
    let sources = Sources::of_process(None, Some(folder.to_owned()));
    let settings = config::load(&sources)?.settings;
    let quiet = Arc::new(|_: &str| {});
    let report = alone::with_engine(settings, folder, quiet, async |alone| {
        measure(&alone, common, options).await
    });
    report.await?
}

async fn measure(
    alone: &Alone<'_>,
    common: &Common,
    options: &Append,
) -> Result<WorkloadReport, BenchError> {
    let text = talking::text(common, options.characters);
    let scene = Scene::set(alone, options, text).await?;
    let turn = common.stretch() / TURNS;
    let warm_up = common.warm_up() / TURNS;
    let (mut bare, mut ours) = (0.0, 0.0);
    let mut disturbance = Disturbance::default();
    for number in 0..TURNS {
        // The database was started by this process.
        let meter = Meter::start(&[std::process::id()]);
        bare +=
            postgres::rate(alone.connector, BareKind::Group, number, &scene.stored, turn).await?;
        ours += scene.rate(warm_up, turn).await?;
        disturbance.worsen(meter.stop().disturbance());
    }
    let turns = f64::from(TURNS);
    let mut report = WorkloadReport::new("append");
    report.set("groups", options.groups);
    report.set("window", options.window);
    report.set("characters", options.characters);
    report.figures.push(
        Figure::higher(
            "append.rate",
            "appended to groups, without sockets",
            ours / turns,
            "messages/s",
        )
        .against("PostgreSQL alone with the same rows and keys", bare / turns)
        .with_goal(Goal::ratio(0.75, 0.95)),
    );
    report.proof = scene.proof(alone).await?;
    report.disturbance = disturbance;
    Ok(report)
}

/// Groups, and those who write to them.
struct Scene<'a> {
    speaker: Speaker<'a>,
    groups: Vec<GroupId>,
    window: usize,
    text: String,
    /// A message as it is stored.
    stored: Vec<u8>,
    /// What was acknowledged, by group.
    acked: RefCell<Vec<Vec<(Seq, Uuid)>>>,
}

impl<'a> Scene<'a> {
    async fn set(alone: &Alone<'a>, options: &Append, text: String) -> Result<Self, BenchError> {
        let app = AppId::DEFAULT;
        let owner =
            UserId::parse("bench").map_err(|error| BenchError::Options(error.to_string()))?;
        users::create(alone.pool, app, &owner).await.map_err(failed)?;
        let mut groups = Vec::new();
        for number in 0..options.groups {
            let id = GroupId::parse(&format!("bench-{number}"))
                .map_err(|error| BenchError::Options(error.to_string()))?;
            let name =
                GroupName::parse("bench").map_err(|error| BenchError::Options(error.to_owned()))?;
            let ask = GroupCreate {
                group: Some(id.clone()),
                kind: GroupKind::Work,
                name,
                members: Vec::new(),
            };
            backend::create_group(alone.engine, app, &owner, ask).await.map_err(refused)?;
            groups.push(id);
        }
        let content = Content::Text { text: text.clone() };
        let body = Body { content, mentions: None, reply_to: None };
        let stored =
            body.encode().map_err(|error| BenchError::Options(error.to_string()))?.to_vec();
        let speaker = Speaker::system(alone.engine, app).await.map_err(refused)?;
        let acked = RefCell::new(vec![Vec::new(); groups.len()]);
        Ok(Self { speaker, groups, window: options.window as usize, text, stored, acked })
    }

    /// Messages that are acknowledged in a second while each group has its window full.
    async fn rate(&self, warm_up: Duration, time: Duration) -> Result<f64, BenchError> {
        let (stop, acked) = (Cell::new(false), Cell::new(0_u64));
        let writing = (0..self.groups.len())
            .flat_map(|group| std::iter::repeat_n(group, self.window))
            .map(|group| self.write(group, &stop, &acked));
        let timing = async {
            tokio::time::sleep(warm_up).await;
            let (before, since) = (acked.get(), Instant::now());
            tokio::time::sleep(time).await;
            let rate = (acked.get() - before) as f64 / since.elapsed().as_secs_f64();
            stop.set(true);
            rate
        };
        let (rate, written) = tokio::join!(timing, join_all(writing));
        written.into_iter().collect::<Result<(), _>>()?;
        Ok(rate)
    }

    /// Sends one message after the other to a group.
    async fn write(
        &self,
        group: usize,
        stop: &Cell<bool>,
        acked: &Cell<u64>,
    ) -> Result<(), BenchError> {
        let Some(id) = self.groups.get(group) else { return Ok(()) };
        while !stop.get() {
            let client_msg_id = ClientMsgId::mint(now(), rand::random());
            let send = Send {
                to: Conversation::Group(id.clone()),
                client_msg_id,
                content: Content::Text { text: self.text.clone() },
                mentions: None,
                reply_to: None,
            };
            let sent = self.speaker.send(send).await.map_err(refused)?;
            acked.set(acked.get() + 1);
            if let Some(of_group) = self.acked.borrow_mut().get_mut(group) {
                of_group.push((sent.seq, client_msg_id.uuid()));
            }
        }
        Ok(())
    }

    /// Compares what was acknowledged with the logs.
    async fn proof(&self, alone: &Alone<'_>) -> Result<Proof, BenchError> {
        let mut proof = Proof::default();
        // Nobody writes any more.
        let acked = self.acked.take();
        for (id, acked) in self.groups.iter().zip(&acked) {
            let log = bare::group_log(alone.pool, AppId::DEFAULT, id).await.map_err(failed)?;
            let mut keys = HashSet::new();
            let mut before = Seq::default();
            for (seq, key) in &log {
                proof.doubled += u64::from(!keys.insert(*key));
                proof.out_of_order += u64::from(*seq != before.next());
                before = *seq;
            }
            let log: HashMap<Seq, Uuid> = log.into_iter().collect();
            let found = acked.iter().filter(|(seq, key)| log.get(seq) == Some(key)).count() as u64;
            proof.acked += acked.len() as u64;
            proof.found += found;
            proof.lost += acked.len() as u64 - found;
        }
        Ok(proof)
    }
}

fn now() -> UnixMs {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let millis = since.unwrap_or_default().as_millis();
    UnixMs::new(i64::try_from(millis).unwrap_or(i64::MAX))
}

fn refused(error: ErrorBody) -> BenchError {
    BenchError::Refused {
        what: "an append".to_owned(),
        code: error.code.as_str().to_owned(),
        message: error.message,
    }
}
