//! The thread that keeps the private server: makes its data, starts it, starts it again, stops it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::process::Child;
use tokio::sync::{oneshot, watch};
use tokio_postgres::NoTls;
use tokio_util::sync::CancellationToken;

use super::lock_file::{LockFile, Occupant, occupant};
use super::site::{Site, remove_drafts};
use super::{CLUSTER, EmbeddedError, NAME, Progress, State, config};
use crate::store::child::{self, Ask};
use crate::store::folder::{self, DataFolder};

/// The time between two looks at a server that starts or stops.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long a server that was left behind may take to stop by itself before it is asked to.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(5);
/// How long the first start goes on trying while the server ends at once (an old one may still hold memory or the lock).
const FIRST_START_WITHIN: Duration = Duration::from_secs(30);
/// How long a stop may take before the server is told to stop without its checkpoint.
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// The pause before a server that died is started again; doubled each time.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// The longest such pause.
const BACKOFF_MOST: Duration = Duration::from_secs(5);
/// After this time without a fault the pause starts small again.
const STEADY_AFTER: Duration = Duration::from_secs(30);
/// How long an `initdb` that a kill left behind may keep its unfinished folder.
const DRAFT_GONE_WITHIN: Duration = Duration::from_secs(10);

/// Where a server that was started can be reached.
pub(super) struct Place {
    pub(super) socket_folder: PathBuf,
}

/// The state of the thread that keeps the server.
pub(super) struct Keeper {
    tell_state: watch::Sender<State>,
    stop: CancellationToken,
    hurry: CancellationToken,
    progress: Progress,
}

impl Keeper {
    pub(super) fn new(
        tell_state: watch::Sender<State>,
        stop: CancellationToken,
        hurry: CancellationToken,
        progress: Progress,
    ) -> Self {
        Self { tell_state, stop, hurry, progress }
    }

    /// Prepares, then keeps the server running until told to stop; `told` learns how the first start went.
    pub(super) async fn run(
        &self,
        folder: &DataFolder,
        postgres_bin: Option<&Path>,
        told: oneshot::Sender<Result<Place, EmbeddedError>>,
    ) {
        let site = match self.prepare(folder, postgres_bin).await {
            Ok(site) => site,
            Err(error) => {
                let _ = told.send(Err(error));
                return;
            }
        };
        let mut first = Some((told, Instant::now()));
        let mut backoff = BACKOFF_FIRST;
        while !self.stop.is_cancelled() {
            let started = Instant::now();
            let (why, was_ready) = match self.run_once(&site, &mut first).await {
                Ok(Run::Stopped) => break,
                Ok(Run::Ended { why, was_ready }) => (why, was_ready),
                Err(error) => (error.to_string(), false),
            };
            if let Some((told, since)) = first.take() {
                if since.elapsed() >= FIRST_START_WITHIN || !is_passing(&why) {
                    let _ = told.send(Err(EmbeddedError::Failed { why }));
                    return;
                }
                first = Some((told, since));
            } else {
                metrics::counter!("rookery_postgres_restarts_total").increment(1);
                tracing::error!(%why, ?backoff, "the private postgresql ended, it is started again");
            }
            self.tell_state.send_replace(State::Down { why });
            if was_ready && started.elapsed() >= STEADY_AFTER {
                backoff = BACKOFF_FIRST;
            }
            self.pause(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MOST);
        }
        // Here, where no server runs any more.
        site.tidy_up(folder);
    }

    /// Finds what the server needs, and makes its data where that is missing.
    async fn prepare(
        &self,
        folder: &DataFolder,
        postgres_bin: Option<&Path>,
    ) -> Result<Site, EmbeddedError> {
        let site = Site::find(folder, postgres_bin)?;
        (self.progress)(&format!(
            "found PostgreSQL {} in {}",
            site.binaries.version,
            site.binaries.folder.display()
        ));
        if !site.has_data {
            self.make_data(folder, &site).await?;
        }
        Ok(site)
    }

    /// Makes the data beside its place and moves it there as a whole, so that a kill leaves no half of it.
    async fn make_data(&self, folder: &DataFolder, site: &Site) -> Result<(), EmbeddedError> {
        let setup = |what: &str| {
            let what = what.to_owned();
            move |error| EmbeddedError::Setup { what, error }
        };
        (self.progress)(&format!("making the database in {}", site.data.display()));
        let since = Instant::now();
        while let Err(error) = remove_drafts(folder.path()) {
            // An `initdb` of a killed start may still be writing, on its way out.
            if since.elapsed() >= DRAFT_GONE_WITHIN {
                return Err(setup("an unfinished database cannot be removed")(error));
            }
            self.pause(LOOK_EVERY).await;
        }
        let draft = folder.subfolder(
            &format!("{CLUSTER}.draft-{}", rand::random::<u32>()),
            site.run_as.as_ref(),
        )?;
        // An empty folder of this name can be replaced, and one with content that is no database stays for its owner to see.
        if site.data.exists() {
            std::fs::remove_dir(&site.data)
                .map_err(setup("the folder of the database holds something else"))?;
        }
        let (mut child, lines) = site.spawn(site.initdb(&draft))?;
        let status = tokio::select! {
            status = child.wait() => status,
            () = self.stop.cancelled() => {
                child::ask(&child, Ask::StopFast);
                let _ = child.wait().await;
                return Err(EmbeddedError::Stopped);
            }
        };
        let status = status.map_err(setup("initdb cannot be awaited"))?;
        if !status.success() {
            return Err(EmbeddedError::Failed { why: format!("initdb: {}", lines.text().await) });
        }
        std::fs::rename(&draft, &site.data)
            .and_then(|()| folder::sync_parent(&site.data))
            .map_err(setup("the new database cannot be moved to its place"))
    }

    /// Starts the server and stays with it until it has ended.
    async fn run_once(
        &self,
        site: &Site,
        first: &mut Option<(oneshot::Sender<Result<Place, EmbeddedError>>, Instant)>,
    ) -> Result<Run, EmbeddedError> {
        let not_in_the_way = match self.await_predecessor(&site.data).await {
            Predecessor::Stopped => return Ok(Run::Stopped),
            Predecessor::Gone => None,
            Predecessor::OtherProcess(pid) => Some(pid),
        };
        (self.progress)(&format!(
            "starting PostgreSQL, its socket in {}",
            site.socket_folder.display()
        ));
        let (mut child, lines) = site.spawn(site.server(not_in_the_way))?;
        let was_ready = tokio::select! {
            ready = self.until_ready(site, &mut child) => ready,
            () = self.stop.cancelled() => false,
        };
        if was_ready {
            self.tell_state.send_replace(State::Ready);
            if let Some((told, _)) = first.take() {
                let socket_folder = site.socket_folder.clone();
                let _ = told.send(Ok(Place { socket_folder }));
            }
        }
        tokio::select! {
            status = child.wait() => {
                let ended = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                Ok(Run::Ended { why: format!("{ended}: {}", lines.text().await), was_ready })
            }
            () = self.stop.cancelled() => {
                self.end(&mut child).await;
                Ok(Run::Stopped)
            }
        }
    }

    /// Waits until the server takes connections and the database exists; false when the server has ended first.
    async fn until_ready(&self, site: &Site, child: &mut Child) -> bool {
        let mut told_at = Instant::now();
        loop {
            match child.try_wait() {
                Ok(None) => {}
                Ok(Some(_)) | Err(_) => return false,
            }
            let ready = LockFile::read(&site.data)
                .is_some_and(|file| file.ready && Some(file.pid) == child.id());
            if ready {
                match make_database(&site.socket_folder).await {
                    Ok(()) => return true,
                    Err(error) => {
                        tracing::warn!(%error, "the private postgresql is not usable yet")
                    }
                }
            }
            if told_at.elapsed() >= Duration::from_secs(3) {
                told_at = Instant::now();
                (self.progress)(
                    "PostgreSQL is still starting; after a crash it replays its log first",
                );
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits for a server that a killed process of ours left in this folder.
    async fn await_predecessor(&self, data: &Path) -> Predecessor {
        let since = Instant::now();
        let mut asked = false;
        let mut told = false;
        loop {
            let Some(file) = LockFile::read(data) else { return Predecessor::Gone };
            match occupant(file.pid, data) {
                Occupant::None => return Predecessor::Gone,
                Occupant::Other => return Predecessor::OtherProcess(file.pid),
                Occupant::Postgres => {}
            }
            if !told {
                told = true;
                (self.progress)(&format!(
                    "waiting for the previous PostgreSQL, process {}, to stop",
                    file.pid
                ));
            }
            if !asked && since.elapsed() >= ORPHAN_PATIENCE {
                asked = true;
                child::ask_orphan(file.pid, Ask::StopFast);
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.stop.cancelled() => return Predecessor::Stopped,
            }
        }
    }

    /// Stops the server in order; without its checkpoint when that takes too long or somebody hurries.
    async fn end(&self, child: &mut Child) {
        child::ask(child, Ask::StopFast);
        tokio::select! {
            _ = child.wait() => return,
            () = tokio::time::sleep(STOP_WITHIN) => {}
            () = self.hurry.cancelled() => {}
        }
        child::ask(child, Ask::StopNow);
        let _ = child.wait().await;
    }

    async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.stop.cancelled() => {}
        }
    }
}

/// How one run of the server ended.
enum Run {
    /// It was told to.
    Stopped,
    /// By itself, after it had been ready or before.
    Ended { why: String, was_ready: bool },
}

/// How the wait for an earlier server ended.
enum Predecessor {
    /// Nothing is in the way.
    Gone,
    /// Its number belongs to a process that is no server of this data.
    OtherProcess(u32),
    /// We were told to stop.
    Stopped,
}

/// Makes our database unless it is there.
async fn make_database(socket_folder: &Path) -> Result<(), tokio_postgres::Error> {
    let (client, connection) = config(socket_folder, "postgres").connect(NoTls).await?;
    let connection = tokio::spawn(connection);
    let there =
        client.query_opt("select 1 from pg_database where datname = $1", &[&NAME]).await?.is_some();
    if !there {
        client.batch_execute("create database rookery").await?;
    }
    drop(client);
    let _ = connection.await;
    Ok(())
}

/// Whether a server that ended with these words may start a moment later.
fn is_passing(why: &str) -> bool {
    // A predecessor that is not quite gone: its lock file, its shared memory, its socket.
    ["lock file", "shared memory block", "is still in use", "could not bind"]
        .iter()
        .any(|word| why.contains(word))
}
