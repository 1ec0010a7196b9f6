//! The load generator: it measures a server from outside, and what the machine could do at best in the same run.
//!
//! [`run`] is the whole of it: a [`target::Target`] is opened, a workload of [`workload`] is run against it with the
//! clients of [`load`], [`verify`] reads the histories back, and what it has to say goes out as a [`figure::Report`].

pub mod cluster;
pub mod compare;
pub mod errors;
pub mod figure;
pub mod load;
pub mod meter;
pub mod options;
pub mod plot;
pub mod progress;
pub mod raw;
pub mod report;
pub mod target;
pub mod verify;
pub mod workload;

use std::io::Write;
use std::process::ExitCode;

use self::compare::Verdict;
use self::errors::BenchError;
use self::figure::{Report, WorkloadReport};
use self::options::{Bench, Common, Workload};
use self::progress::Progress;
use self::raw::websocket;
use self::target::Target;
use self::workload::append::Append;
use self::workload::{
    Run, append, fanout, groups, idle, logins, one_to_one, presence, rest, slow_reader, storm,
};
use crate::app::alone;
use crate::store::child;

/// Measures what the options ask for and writes the report.
pub fn run(bench: &Bench) -> Result<ExitCode, BenchError> {
    // Each session is an open file.
    child::raise_open_files().map_err(BenchError::system("the limit of open files"))?;
    if let Workload::BareServer = bench.workload {
        websocket::serve().map_err(BenchError::system("the bare server"))?;
        return Ok(ExitCode::SUCCESS);
    }
    if bench.common.nodes.is_some() && !bench.workload.takes_nodes() {
        let message = "this is measured on one node; leave out --nodes";
        return Err(BenchError::Options(message.to_owned()));
    }
    // One thread: what it does for a message is a fraction of what the server does, and the rest of the machine is the
    // server's.
    let mut report = Report::begin();
    let ended: Result<(), BenchError> = alone::block_on(async {
        let parts = bench.workload.parts()?;
        if let Workload::Check(check) = &bench.workload {
            // Before minutes are spent.
            check.kept()?;
        }
        let common = if parts.len() > 1 { bench.common.in_all() } else { bench.common.clone() };
        for workload in parts {
            report.workloads.push(measured(&workload, &common).await?);
        }
        Ok(())
    });
    if report.workloads.is_empty() {
        ended?;
        return Ok(ExitCode::SUCCESS);
    }
    // What was measured before something went wrong is as true as it would be otherwise.
    tell(&report, &bench.common)?;
    if let Some(folder) = &bench.common.plot {
        let progress = Progress::choose(bench.common.json);
        for file in plot::write(&report, folder)? {
            progress.note(&format!("{} is drawn", file.display()));
        }
    }
    ended?;
    // A figure that was bought with a lost message is not compared with anything.
    if !report.is_proven() {
        return Ok(ExitCode::from(1));
    }
    let verdict = match &bench.workload {
        Workload::Check(check) => {
            let verdict = Verdict::of(&check.kept()?, &report, check.tolerance);
            // Nobody may be listening, and the exit code says it too.
            let _ = writeln!(std::io::stderr(), "\n{}", verdict.text().trim_end());
            Some(verdict)
        }
        _ => None,
    };
    Ok(match verdict {
        Some(Verdict::NotJudged(_)) => ExitCode::from(3),
        Some(Verdict::Judged(comparison)) if !comparison.holds() => ExitCode::from(1),
        _ => ExitCode::SUCCESS,
    })
}

/// Writes the report to standard output, and where else it is wanted.
fn tell(report: &Report, common: &Common) -> Result<(), BenchError> {
    let json = serde_json::to_string_pretty(report)
        .map_err(|error| BenchError::Options(error.to_string()))?;
    let text = if common.json { json.clone() } else { report.table() };
    if let Some(file) = &common.report {
        std::fs::write(file, json + "\n").map_err(BenchError::system("the file of --report"))?;
    }
    writeln!(std::io::stdout().lock(), "{}", text.trim_end())
        .map_err(BenchError::system("standard output"))
}

/// Runs one workload against a server of its own, or the given one, and sees to it that an own one is gone afterwards.
async fn measured(workload: &Workload, common: &Common) -> Result<WorkloadReport, BenchError> {
    if let Workload::Append(options) = workload {
        return appended(common, options).await;
    }
    let env: &[_] = match workload {
        Workload::Idle(_) => &[target::SMALL_PAGES],
        _ => &[],
    };
    let mut target = match workload {
        Workload::Storm(_) => storm::open(common).await?,
        _ => Target::open(common, env).await?,
    };
    let report = tokio::select! {
        report = measure(workload, common, &mut target) => report,
        stopped = stop_asked() => Err(stopped),
    };
    let last_words = target.last_words();
    target.stop().await;
    report.map_err(|error| match error {
        BenchError::Session { who, why } if !last_words.is_empty() => {
            BenchError::Session { who, why: format!("{why}; the server said:\n{last_words}") }
        }
        error => error,
    })
}

/// Runs the one workload that needs no server, in a folder that is gone afterwards.
async fn appended(common: &Common, options: &Append) -> Result<WorkloadReport, BenchError> {
    let folder = target::fresh_folder()?;
    let report = tokio::select! {
        report = append::run(common, options, &folder) => report,
        stopped = stop_asked() => Err(stopped),
    };
    target::remove(&folder);
    report
}

async fn measure(
    workload: &Workload,
    common: &Common,
    target: &mut Target,
) -> Result<WorkloadReport, BenchError> {
    match workload {
        Workload::OneToOne(options) => one_to_one::run(&Run::new(common, target)?, options).await,
        // Needs no server: `appended` measures it.
        Workload::Append(_) => Err(BenchError::Options("append has no server".to_owned())),
        Workload::Groups(options) => groups::run(&Run::new(common, target)?, options).await,
        Workload::Fanout(options) => fanout::run(&Run::new(common, target)?, options).await,
        Workload::SlowReader(options) => {
            slow_reader::run(&Run::new(common, target)?, options).await
        }
        Workload::Storm(options) => storm::run(common, target, options).await,
        Workload::Rest(options) => rest::run(&Run::new(common, target)?, options).await,
        Workload::Presence(options) => presence::run(&Run::new(common, target)?, options).await,
        // These start an own server again on the way.
        Workload::Idle(options) => idle::run(common, target, options).await,
        Workload::Logins(options) => logins::run(common, target, options).await,
        // Taken care of before.
        Workload::All | Workload::Check(_) | Workload::BareServer => {
            Err(BenchError::Options("no workload".to_owned()))
        }
    }
}

/// Waits for SIGINT or SIGTERM.
async fn stop_asked() -> BenchError {
    use tokio::signal::unix::{SignalKind, signal};
    let asked = |kind| signal(kind).map_err(BenchError::system("no signals"));
    let (mut interrupt, mut terminate) =
        match (asked(SignalKind::interrupt()), asked(SignalKind::terminate())) {
            (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
            (Err(error), _) | (_, Err(error)) => return error,
        };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    BenchError::Stopped
}
