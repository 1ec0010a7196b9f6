//! The private PostgreSQL: made at the first start, kept running while we serve, stopped with us.
//!
//! One thread of its own starts every process, because the kernel stops them when the thread that started them ends. It is
//! reached by tokens and watched by a channel; nothing else ever signals the server. Who calls here holds the lock of the
//! data folder, so a server that is found in it is one that a killed process of ours left behind.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::store::binaries::BinariesError;
use crate::store::folder::{DataFolder, FolderError};
use keeper::{Keeper, Place};
use lock_file::LockFile;

mod keeper;
mod lock_file;
mod log;
mod site;

/// The database, and the user that owns it.
const NAME: &str = "rookery";
/// The folder of the data inside the data folder.
const CLUSTER: &str = "postgres";
/// Names the socket; no port is opened.
const PORT: u16 = 5432;

/// How the private server stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not there yet: being made, started, or recovering.
    Starting,
    /// Takes connections.
    Ready,
    /// Ended by itself; it is started again.
    Down {
        /// How it ended.
        why: String,
    },
    /// Stopped because it was told to, or never started.
    Stopped,
}

/// Why the private server could not be started. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// There is no server to start.
    #[error(transparent)]
    Binaries(#[from] BinariesError),
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A process could not be run.
    #[error("{program} cannot be run: {error}; check the installation of PostgreSQL")]
    Run {
        /// The program.
        program: String,
        /// What the system said.
        error: io::Error,
    },
    /// The server or `initdb` ended with a complaint.
    #[error(
        "the private PostgreSQL did not start: {why}; mend that, or name another server in database.url"
    )]
    Failed {
        /// Its last words.
        why: String,
    },
    /// Something that it needs could not be made.
    #[error("{what}: {error}; choose another data folder with --data-dir")]
    Setup {
        /// What could not be done.
        what: String,
        /// What the system said.
        error: io::Error,
    },
    /// We were told to stop first.
    #[error("stopped while PostgreSQL was starting")]
    Stopped,
}

/// Where progress of a start is told, one line at a time.
pub type Progress = Arc<dyn Fn(&str) + Send + Sync>;

/// The private server, running or being started again.
#[derive(Debug)]
pub struct Embedded {
    socket_folder: PathBuf,
    state: watch::Receiver<State>,
    stop: CancellationToken,
}

impl Embedded {
    /// Finds the programs, makes the data at the first start, and waits until the server takes connections.
    ///
    /// `hurry` makes the stop, whenever it comes, leave the checkpoint out. Cancelling `stop` while this waits ends it.
    pub async fn start(
        folder: Arc<DataFolder>,
        postgres_bin: Option<PathBuf>,
        stop: CancellationToken,
        hurry: CancellationToken,
        progress: Progress,
    ) -> Result<Self, EmbeddedError> {
        let (told, first) = oneshot::channel();
        let (tell_state, state) = watch::channel(State::Starting);
        let thread_stop = stop.clone();
        let keep = move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => {
                    let what = "no runtime for the private PostgreSQL".to_owned();
                    let _ = told.send(Err(EmbeddedError::Setup { what, error }));
                    return;
                }
            };
            let keeper = Keeper::new(tell_state.clone(), thread_stop, hurry, progress);
            runtime.block_on(keeper.run(&folder, postgres_bin.as_deref(), told));
            // The lock of the folder first: whoever sees the server stopped may take it at once.
            drop(folder);
            tell_state.send_replace(State::Stopped);
        };
        std::thread::Builder::new().name("postgres-keeper".to_owned()).spawn(keep).map_err(
            |error| EmbeddedError::Setup {
                what: "no thread for the private PostgreSQL".to_owned(),
                error,
            },
        )?;
        match first.await {
            Ok(Ok(Place { socket_folder })) => Ok(Self { socket_folder, state, stop }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(EmbeddedError::Stopped),
        }
    }

    /// How to connect to it.
    pub fn config(&self) -> tokio_postgres::Config {
        config(&self.socket_folder, NAME)
    }

    /// How it stands, now and from now on.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Stops the server and waits for it; at once if it was hurried.
    pub async fn stop(mut self) {
        self.stop.cancel();
        // An error means that the keeper is gone, and with it the server.
        let _ = self.state.wait_for(|state| *state == State::Stopped).await;
    }
}

/// How to connect to the private server that another process runs in this data folder, once it is ready.
pub fn config_beside(data_dir: &Path) -> Option<tokio_postgres::Config> {
    let file = LockFile::read(&data_dir.join(CLUSTER))?;
    (file.ready && !file.socket_folder.as_os_str().is_empty())
        .then(|| config(&file.socket_folder, NAME))
}

fn config(socket_folder: &Path, database: &str) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config.host_path(socket_folder).port(PORT).user(NAME).dbname(database);
    config
}
