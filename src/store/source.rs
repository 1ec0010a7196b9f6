//! Which database it is: one that the settings name, or the private one, our own or that of a `serve` beside us.
//!
//! Whoever opens one closes it again by [`Database::close`], which also stops a private server that was started here.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::store::StoreError;
use crate::store::connect::{Connector, MessageLoss, ServerFacts};
use crate::store::embedded::{self, Embedded, EmbeddedError, Progress, State};
use crate::store::folder::{DataFolder, FolderError, Holder, Purpose};

/// The time between two tries to take a data folder, or to find the server in it ready.
const TRY_EVERY: Duration = Duration::from_millis(50);
/// How long a command waits for the private server of a `serve` that is starting, or for another command to end.
const BESIDE_WITHIN: Duration = Duration::from_secs(60);
/// How long a `serve` waits for a command that holds the folder.
const COMMAND_WITHIN: Duration = Duration::from_secs(20);

/// Where the database is, by the settings.
#[derive(Debug, Clone)]
pub struct Choice {
    /// `database.url`; empty for a private server.
    pub url: String,
    /// `database.postgres_bin`, if it was set.
    pub postgres_bin: Option<PathBuf>,
    /// Whether a server that may lose messages is used all the same.
    pub loss: MessageLoss,
}

/// Why there is no database. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The data folder cannot be had.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The private server cannot be started.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// The server cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The named server is not there.
    #[error(
        "the PostgreSQL of database.url cannot be reached: {reason}; start it, or correct database.url"
    )]
    Unreachable {
        /// What stood in the way.
        reason: String,
    },
    /// A server beside us does not become ready.
    #[error(
        "the server that holds the data folder {} did not become ready within {BESIDE_WITHIN:?}; look at its log",
        .0.display()
    )]
    BesideNotReady(PathBuf),
}

/// A database that can be connected to.
#[derive(Debug)]
pub struct Database {
    connector: Connector,
    /// By `database.url`.
    is_named: bool,
    private: Option<Embedded>,
}

impl Database {
    /// For a server: the named database, or a private one that is started here.
    ///
    /// `stop` ends a private server; it is cancelled by [`Database::close`], or earlier to give up a start.
    pub async fn open(
        choice: &Choice,
        folder: Arc<DataFolder>,
        application_name: &str,
        stop: CancellationToken,
        hurry: CancellationToken,
        progress: Progress,
    ) -> Result<Self, SourceError> {
        if !choice.url.is_empty() {
            let connector = Connector::from_url(&choice.url, application_name, choice.loss)?;
            return Ok(Self { connector, is_named: true, private: None });
        }
        let bin = choice.postgres_bin.clone();
        let private = Embedded::start(folder, bin, stop, hurry, progress).await?;
        let connector = Connector::new(private.config(), application_name, choice.loss);
        Ok(Self { connector, is_named: false, private: Some(private) })
    }

    /// For a command: the named database, the private one of a `serve` that runs, or one started for the moment.
    pub async fn open_for_command(
        choice: &Choice,
        data_dir: &Path,
        progress: Progress,
    ) -> Result<Self, SourceError> {
        const NAME: &str = "rookery:command";
        if !choice.url.is_empty() {
            let connector = Connector::from_url(&choice.url, NAME, choice.loss)?;
            return Ok(Self { connector, is_named: true, private: None });
        }
        let since = Instant::now();
        loop {
            match DataFolder::hold(data_dir, Purpose::Command) {
                Ok(folder) => {
                    let (stop, hurry) = (CancellationToken::new(), CancellationToken::new());
                    let folder = Arc::new(folder);
                    return Self::open(choice, folder, NAME, stop, hurry, progress).await;
                }
                Err(FolderError::Held {
                    holder: Holder { purpose: Purpose::Serve, .. }, ..
                }) => {
                    if let Some(config) = embedded::config_beside(data_dir) {
                        let connector = Connector::new(config, NAME, choice.loss);
                        // It may be stopping or not have our database yet: then the folder is free soon, or this works.
                        if connector.open().await.is_ok() {
                            return Ok(Self { connector, is_named: false, private: None });
                        }
                    }
                }
                Err(FolderError::Held { .. }) => {}
                Err(other) => return Err(other.into()),
            }
            if since.elapsed() >= BESIDE_WITHIN {
                return Err(SourceError::BesideNotReady(data_dir.to_owned()));
            }
            tokio::time::sleep(TRY_EVERY).await;
        }
    }

    /// Makes connections to it.
    pub fn connector(&self) -> &Connector {
        &self.connector
    }

    /// Opens the first connection, whose failure an operator has to mend, and tells about the server.
    pub async fn first_contact(&self) -> Result<(Client, ServerFacts), SourceError> {
        self.connector.open_with_facts().await.map_err(|error| match error {
            StoreError::Unavailable { reason } if self.is_named => {
                SourceError::Unreachable { reason }
            }
            other => other.into(),
        })
    }

    /// How the private server stands, if there is one here.
    pub fn private_state(&self) -> Option<watch::Receiver<State>> {
        self.private.as_ref().map(Embedded::state)
    }

    /// Stops what was started here, and waits for it.
    pub async fn close(self) {
        if let Some(private) = self.private {
            private.stop().await;
        }
    }
}

/// Takes the data folder for a server; waits for a command that holds it, not for another server.
pub async fn hold_for_serving(data_dir: &Path) -> Result<DataFolder, FolderError> {
    let since = Instant::now();
    loop {
        match DataFolder::hold(data_dir, Purpose::Serve) {
            Err(FolderError::Held { holder: Holder { purpose: Purpose::Command, .. }, .. })
                if since.elapsed() < COMMAND_WITHIN =>
            {
                tokio::time::sleep(TRY_EVERY).await;
            }
            done => return done,
        }
    }
}
