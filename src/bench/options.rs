//! What may be asked of `rookery bench`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::errors::BenchError;
use super::figure::Report;
use super::workload::append::Append;
use super::workload::fanout::Fanout;
use super::workload::groups::Groups;
use super::workload::idle::Idle;
use super::workload::logins::Logins;
use super::workload::one_to_one::OneToOne;
use super::workload::presence::Presence;
use super::workload::rest::Rest;
use super::workload::slow_reader::SlowReader;
use super::workload::storm::Storm;
use crate::client::raw::Transport;
use crate::protocol::codec::Codec;

/// Measure what a server carries, and prove meanwhile that nothing was lost.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Bench {
    /// What is measured.
    #[command(subcommand)]
    pub workload: Workload,
    /// How.
    #[command(flatten)]
    pub common: Common,
}

const HELP: &str = "\
Without --server it starts a server by itself, on free ports of this machine and with a data folder that is removed
afterwards. Figures go to standard output, everything else to standard error.

Exit codes:
  0  measured, and every acknowledged message was found, once and in order
  1  measured, and something was lost, doubled, out of order or not delivered, or has fallen below what was kept
  2  not measured: wrong options, no server, or a refusal
  3  measured and not judged by check, since others used the machine meanwhile

Examples:
  rookery bench one-to-one --duration 10
  rookery bench one-to-one --json | jq '.workloads[].figures'";

/// What can be measured.
#[derive(Debug, Clone, Subcommand)]
pub enum Workload {
    /// Pairs of users who write to each other: stored, acknowledged, and read by the receiver's client.
    OneToOne(OneToOne),
    /// Many small groups, in which everybody writes.
    Groups(Groups),
    /// Group actors and journals without sockets, on a database of their own, beside PostgreSQL alone.
    Append(Append),
    /// One group with many members online: one message at a time, and several in flight.
    Fanout(Fanout),
    /// Members who stop reading while messages flow: what they cost, and whom.
    SlowReader(SlowReader),
    /// Sessions that say nothing: what each of them, and each active group, holds in memory.
    Idle(Idle),
    /// Many users who come back at once, each with what its client has.
    Logins(Logins),
    /// Messages that a backend sends over REST.
    Rest(Rest),
    /// Users who change their status, and friends online who are told.
    Presence(Presence),
    /// A node of several dies, and its users come back at the others, whose users go on talking.
    Storm(Storm),
    /// All of them that need one node, with their defaults, in one report.
    All,
    /// All of them, compared with a report that was kept: ratios to raw limits and bytes, no times.
    Check(Check),
    /// A server that only echoes and fans out, to measure against.
    #[command(hide = true)]
    BareServer,
}

/// What `all` runs, in this order, each as if it were asked for alone.
const ALL: [&str; 9] = [
    "one-to-one",
    "groups",
    "fanout",
    "slow-reader",
    "append",
    "idle",
    "logins",
    "rest",
    "presence",
];

impl Workload {
    /// The workloads that this one consists of: itself, but for `all`.
    pub fn parts(&self) -> Result<Vec<Self>, BenchError> {
        match self {
            Self::All | Self::Check(_) => ALL.into_iter().map(Self::usual).collect(),
            one => Ok(vec![one.clone()]),
        }
    }

    /// Whether it can be measured on several nodes.
    pub fn takes_nodes(&self) -> bool {
        matches!(self, Self::OneToOne(_) | Self::Groups(_) | Self::Fanout(_) | Self::Storm(_))
    }

    /// The workload of this name with its defaults.
    fn usual(name: &str) -> Result<Self, BenchError> {
        #[derive(Parser)]
        struct Alone {
            #[command(subcommand)]
            workload: Workload,
        }
        let parsed = Alone::try_parse_from(["bench", name]);
        Ok(parsed.map_err(|error| BenchError::Options(error.to_string()))?.workload)
    }
}

/// What `check` takes.
#[derive(Debug, Clone, Args)]
pub struct Check {
    /// The report to compare with: what --report wrote in an undisturbed run with the same sizes.
    #[arg(long, value_name = "FILE", default_value = "docs/performance.json")]
    pub against: PathBuf,
    /// By how many percent a figure may be worse. Those that vary more have numbers of their own in the kept report.
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub tolerance: u32,
}

impl Check {
    /// The kept report.
    pub fn kept(&self) -> Result<Report, BenchError> {
        let failed = |why: &dyn std::fmt::Display| {
            BenchError::Options(format!("{}: {why}", self.against.display()))
        };
        let text = std::fs::read(&self.against).map_err(|error| {
            failed(&format!("{error}; `rookery bench all --report FILE` makes such a report"))
        })?;
        serde_json::from_slice(&text).map_err(|error| failed(&error))
    }
}

/// What all workloads take.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// A server that runs already; with --transport tcp its port for TCP.
    #[arg(long, global = true, value_name = "HOST:PORT")]
    pub server: Option<String>,
    /// The settings of the server that is given, to sign tokens with its key.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The data folder of the server that is given, likewise.
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The key of app 1 of a server elsewhere, as `rookery key show` prints it there.
    #[arg(
        long,
        global = true,
        value_name = "SECRET",
        env = "ROOKERY_BENCH_SECRET",
        hide_env_values = true
    )]
    pub secret: Option<String>,
    /// Nodes of an own server, on one PostgreSQL and one Redis that are started for the run; users are at them in turn, so that
    /// those who write to each other are at different ones. For one-to-one, groups, fanout and storm.
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16))]
    pub nodes: Option<u32>,
    /// For how many seconds each stretch is measured.
    #[arg(long, global = true, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub duration: Option<u64>,
    /// Shorter stretches and smaller scenes: to see that all works, or to compare ratios.
    #[arg(long, global = true)]
    pub short: bool,
    /// Print the report as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// Write the report as JSON into this file, too.
    #[arg(long, global = true, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Write pictures into this folder, as SVG.
    #[arg(long, global = true, value_name = "DIR")]
    pub plot: Option<PathBuf>,
    /// What chance begins with, so that a run can be repeated.
    #[arg(long, global = true, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How frames are written.
    #[arg(long = "codec", global = true, value_enum, default_value_t = CodecName::Json)]
    codec: CodecName,
    /// The way in.
    #[arg(long = "transport", global = true, value_enum, default_value_t = TransportName::Websocket)]
    transport: TransportName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CodecName {
    Json,
    Msgpack,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TransportName {
    Websocket,
    Tcp,
}

/// How long a stretch is when nobody says.
const STRETCH: Duration = Duration::from_secs(10);
/// The same when it shall be short.
const SHORT_STRETCH: Duration = Duration::from_secs(1);

/// The same in `all`, which has many of them.
const STRETCH_IN_ALL: Duration = Duration::from_secs(6);

impl Common {
    /// The same options for a workload that is one of many.
    pub fn in_all(&self) -> Self {
        let usual = (!self.short).then_some(STRETCH_IN_ALL.as_secs());
        Self { duration: self.duration.or(usual), ..self.clone() }
    }

    /// How frames are written.
    pub fn codec(&self) -> Codec {
        match self.codec {
            CodecName::Json => Codec::Json,
            CodecName::Msgpack => Codec::MessagePack,
        }
    }

    /// The way in.
    pub fn transport(&self) -> Transport {
        match self.transport {
            TransportName::Websocket => Transport::WebSocket,
            TransportName::Tcp => Transport::Tcp,
        }
    }

    /// How long each stretch is measured.
    pub fn stretch(&self) -> Duration {
        let unsaid = if self.short { SHORT_STRETCH } else { STRETCH };
        self.duration.map_or(unsaid, Duration::from_secs)
    }

    /// How long a stretch is with what comes before it.
    pub fn measured(&self) -> Duration {
        self.warm_up() + self.stretch()
    }

    /// How long a load runs before it is measured: caches fill, plans are made, files grow.
    pub fn warm_up(&self) -> Duration {
        (self.stretch() / 4).min(Duration::from_secs(2))
    }
}
