//! What the nodes of a run share: a PostgreSQL and a Redis that are started for it and gone after it.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio_postgres::config::Host;

use super::errors::BenchError;
use super::progress::Progress;
use super::target::{self, postmaster_of};
use crate::app;
use crate::config::{self, Sources};
use crate::ids::Shard;
use crate::store::connect::MessageLoss;
use crate::store::source::Database;
use crate::store::{child, embedded, folder, status};

/// By what a node is told its database.
pub const DATABASE_URL: &str = "ROOKERY__DATABASE__URL";
const REDIS_URL: &str = "ROOKERY__REDIS__URL";

/// How long Redis may take to answer.
const REDIS_WITHIN: Duration = Duration::from_secs(10);
/// How long nodes may take to share the groups: some are given away every three seconds.
const SETTLED_WITHIN: Duration = Duration::from_secs(120);
/// How often it is looked how far they are.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A PostgreSQL and a Redis.
#[derive(Debug)]
pub struct Shared {
    /// The PostgreSQL.
    pub database: Database,
    database_url: String,
    redis: Child,
    redis_url: String,
    folder: PathBuf,
}

impl Shared {
    /// Starts both.
    pub async fn start() -> Result<Self, BenchError> {
        let folder = target::fresh_folder()?;
        let started = Self::start_in(&folder).await;
        if started.is_err() {
            target::remove(&folder);
        }
        started
    }

    async fn start_in(folder: &Path) -> Result<Self, BenchError> {
        let settings = config::load(&Sources::of_process(None, Some(folder.to_owned())))?.settings;
        let choice = app::choice(&settings, MessageLoss::Refuse)?;
        let opening = Database::open_for_command(&choice, folder, Arc::new(|_| {}));
        let database = opening.await.map_err(|error| BenchError::Start(error.to_string()))?;
        let database_url = url_of(folder)
            .ok_or_else(|| BenchError::Start("PostgreSQL tells no socket".to_owned()))?;
        match start_redis(folder).await {
            Ok((redis, redis_url)) => {
                Ok(Self { database, database_url, redis, redis_url, folder: folder.to_owned() })
            }
            Err(error) => {
                database.close().await;
                Err(error)
            }
        }
    }

    /// What a node has to be told.
    pub fn env(&self) -> [(&str, &str); 2] {
        [(DATABASE_URL, &self.database_url), (REDIS_URL, &self.redis_url)]
    }

    /// A data folder for a node.
    pub fn folder_for(&self, number: usize) -> Result<PathBuf, BenchError> {
        let folder = self.folder.join(format!("node-{number}"));
        folder::private_folder(&folder, None).map_err(BenchError::system("no temporary folder"))?;
        Ok(folder)
    }

    /// The processes.
    pub fn pids(&self) -> impl Iterator<Item = u32> {
        self.redis.id().into_iter().chain(postmaster_of(&self.folder))
    }

    /// Waits until so many nodes have about as many groups each.
    pub async fn settle(&self, nodes: usize, progress: Progress) -> Result<(), BenchError> {
        let failed = |error: crate::store::StoreError| BenchError::Start(error.to_string());
        let fair = i64::from(Shard::COUNT) / i64::try_from(nodes).unwrap_or(i64::MAX);
        let step = progress.step("the nodes share the groups", fair.unsigned_abs());
        let mut client = self.database.connector().open().await.map_err(failed)?;
        let (since, mut told) = (Instant::now(), 0);
        loop {
            let status = status::read(&mut client).await.map_err(failed)?;
            let least = status.nodes.iter().map(|node| node.shards).min().unwrap_or_default();
            step.advance(least.saturating_sub(told).unsigned_abs());
            told = told.max(least);
            if status.nodes.len() == nodes && least >= fair {
                return Ok(());
            }
            if since.elapsed() > SETTLED_WITHIN {
                let what =
                    format!("the fewest of the groups that a node has are {least} of {fair}");
                return Err(BenchError::Late { what, after: SETTLED_WITHIN });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Ends both and removes what they kept.
    pub async fn stop(mut self) {
        self.database.close().await;
        // It ends with this process at the latest.
        let _ = self.redis.kill().await;
        target::remove(&self.folder);
    }
}

/// The address of the private PostgreSQL of a folder, as a node takes it.
fn url_of(folder: &Path) -> Option<String> {
    let config = embedded::config_beside(folder)?;
    let Some(Host::Unix(socket)) = config.get_hosts().first() else { return None };
    let (port, user, name) =
        (config.get_ports().first()?, config.get_user()?, config.get_dbname()?);
    Some(format!("host='{}' port={port} user={user} dbname={name}", socket.display()))
}

async fn start_redis(folder: &Path) -> Result<(Child, String), BenchError> {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|it| it.local_addr());
    let address = free.map_err(BenchError::system("no free port"))?;
    let mut server = Command::new("redis-server");
    server.current_dir(folder).kill_on_drop(true);
    server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    server.args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
    server.args(["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"]);
    let started = child::spawn(server, None);
    let what = "redis-server did not start; it is in the Debian package of that name";
    let redis = started.map_err(BenchError::system(what))?;
    let since = Instant::now();
    while TcpStream::connect(address).await.is_err() {
        if since.elapsed() > REDIS_WITHIN {
            let what = "an answer of Redis".to_owned();
            return Err(BenchError::Late { what, after: REDIS_WITHIN });
        }
        tokio::time::sleep(LOOK_EVERY / 10).await;
    }
    Ok((redis, format!("redis://{address}/")))
}
