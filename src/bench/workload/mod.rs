//! What is measured, one file a workload.
//!
//! A workload has its options, a `clap::Args`, and `run`, which sets the scene against [`Run::target`], measures, proves,
//! and returns a report. To add one: a file here, a variant of `options::Workload`, a line in `bench::measure`.

pub mod append;
pub mod fanout;
pub mod groups;
pub mod idle;
pub mod logins;
pub mod one_to_one;
pub mod presence;
pub mod rest;
pub mod slow_reader;
pub mod storm;
mod talking;
mod waking;

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::errors::BenchError;
use super::meter::Meter;
use super::options::Common;
use super::progress::Progress;
use super::target::Target;

/// What a workload has to work with.
pub struct Run<'a> {
    /// The options that all workloads share.
    pub common: &'a Common,
    /// The server, which nothing else uses meanwhile if it is our own.
    pub target: &'a Target,
    /// Tells whoever waits how far it is.
    pub progress: Progress,
    /// Begins the names of this run's users and groups, so that a given server may be used repeatedly.
    pub prefix: String,
    /// When the run began; times in µs count from here.
    pub began: Instant,
    /// The same in ms since 1970.
    pub began_ms: u64,
}

impl<'a> Run<'a> {
    /// A run that begins now.
    pub fn new(common: &'a Common, target: &'a Target) -> Result<Self, BenchError> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let began_ms = u64::try_from(since.as_millis()).unwrap_or_default();
        // Also when two runs begin within a millisecond.
        let prefix = format!("b{began_ms:x}{:04x}", rand::random::<u16>());
        let progress = Progress::choose(common.json);
        Ok(Self { common, target, progress, prefix, began: Instant::now(), began_ms })
    }

    /// Begins to measure who uses the processors.
    pub fn meter(&self) -> Meter {
        Meter::start(&self.target.pids())
    }
}
