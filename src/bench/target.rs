//! The server that is measured: one that is started for the run and gone after it, or one that was given.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use super::cluster::{DATABASE_URL, Shared};
use super::errors::BenchError;
use super::load::http::Http;
use super::load::link::Way;
use super::meter;
use super::options::Common;
use super::progress::Progress;
use crate::app::{self, commands};
use crate::client::raw::Transport;
use crate::config::{self, Settings, Sources};
use crate::domain::usersig;
use crate::ids::{AppId, UnixMs, UserId};
use crate::store::bare;
use crate::store::child::{self, Ask};
use crate::store::connect::MessageLoss;
use crate::store::folder;
use crate::store::source::Database;

/// How long a server may take to be ready, its PostgreSQL made anew included.
const START_WITHIN: Duration = Duration::from_secs(120);
/// How long it may take to stop before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(40);
/// For how long tokens hold, in seconds: longer than any run.
const TOKEN_S: u64 = 86_400;
/// Files of 16 MB that the log of an own server's database is kept in, before anything is measured.
const LOG_FILES: u32 = 32;
/// Lines of the server's log that are kept to explain why it ended.
const LINES_KEPT: usize = 20;

/// Has the allocator ask for no huge pages, with which memory is told in pieces of 2 MB: what a few hundred sessions hold
/// would be lost in them.
pub const SMALL_PAGES: (&str, &str) = ("MIMALLOC_ALLOW_THP", "0");

/// Limits of an own server that a load may reach: they protect a server of strangers, and this one has none.
const RAISED: [(&str, &str); 6] = [
    ("ROOKERY__LIMITS__SENDS_PER_S", "1000000000"),
    ("ROOKERY__LIMITS__SENDS_BURST", "1000000000"),
    ("ROOKERY__LIMITS__CONNECTIONS", "1000000"),
    ("ROOKERY__LIMITS__ARRIVALS_PER_S", "1000000000"),
    ("ROOKERY__LIMITS__ARRIVALS_BURST", "1000000000"),
    ("ROOKERY__LIMITS__ARRIVALS_PER_ADDRESS_S", "1000000000"),
];

/// The server that is measured.
#[derive(Debug)]
pub struct Target {
    /// The port of WebSockets and of REST, as `127.0.0.1:8800`.
    pub http: String,
    /// The port of frames over TCP, where it is known.
    pub tcp: Option<String>,
    /// The port of metrics, where it is known.
    pub inside: Option<String>,
    /// The data folder and the settings, for what needs the store; not of a server elsewhere.
    pub store: Option<Store>,
    secret: String,
    own: Option<Own>,
    /// Of a cluster, of which this is the first node: the others, and what they share.
    others: Vec<Target>,
    shared: Option<Shared>,
}

/// Where the server's store is found.
#[derive(Debug, Clone)]
pub struct Store {
    /// Its settings.
    pub settings: Settings,
    /// Its data folder.
    pub data_dir: PathBuf,
}

#[derive(Debug)]
struct Own {
    child: Child,
    folder: PathBuf,
    /// What was set beside the raised limits.
    env: Vec<(String, String)>,
    log: Arc<Mutex<VecDeque<String>>>,
}

impl Own {
    async fn stop(mut self) {
        child::ask(&self.child, Ask::StopFast);
        if tokio::time::timeout(STOP_WITHIN, self.child.wait()).await.is_err() {
            // By its process id; what it would have kept is removed anyway.
            let _ = self.child.kill().await;
        }
        remove(&self.folder);
    }
}

impl Target {
    /// The server that the options name, or one that is started here, with `env` beside the raised limits.
    ///
    /// An own server is ended by [`Target::stop`]; if this process dies first, the kernel asks it to stop.
    pub async fn open(common: &Common, env: &[(&str, &str)]) -> Result<Self, BenchError> {
        match (&common.server, common.nodes) {
            (Some(_), Some(_)) => {
                Err(BenchError::Options("--nodes is for servers that are started here".to_owned()))
            }
            (Some(address), None) => Self::given(common, address).await,
            (None, None | Some(1)) => Self::start(env).await,
            (None, Some(nodes)) => {
                let env = vec![env.to_vec(); nodes as usize];
                Self::start_cluster(&env, Progress::choose(common.json)).await
            }
        }
    }

    /// Nodes of one cluster, started here, each with its own `env` beside the raised limits; returns when they have shared the
    /// groups among themselves.
    pub async fn start_cluster(
        env: &[Vec<(&str, &str)>],
        progress: Progress,
    ) -> Result<Self, BenchError> {
        let shared = Shared::start().await?;
        let started = async {
            let mut nodes = Vec::new();
            for (number, env) in env.iter().enumerate() {
                let folder = shared.folder_for(number)?;
                let mut env = env.clone();
                env.extend(shared.env());
                nodes.push(Self::start_in(&folder, &env).await?);
            }
            bare::keep_log_files(shared.database.connector(), LOG_FILES)
                .await
                .map_err(|error| BenchError::Start(error.to_string()))?;
            shared.settle(nodes.len(), progress).await?;
            Ok(nodes)
        };
        match started.await {
            Ok(mut nodes) if !nodes.is_empty() => {
                let mut first = nodes.remove(0);
                (first.others, first.shared) = (nodes, Some(shared));
                Ok(first)
            }
            Ok(_) => Err(BenchError::Options("a cluster has nodes".to_owned())),
            Err(error) => {
                shared.stop().await;
                Err(error)
            }
        }
    }

    /// Takes the last node out of a cluster, which is for the caller to end.
    pub fn take_last(&mut self) -> Option<Self> {
        self.others.pop()
    }

    /// Kills an own server as a machine that fails, and removes its folder.
    pub async fn kill(self) -> Result<(), BenchError> {
        let Some(mut own) = self.own else { return Ok(()) };
        own.child.kill().await.map_err(BenchError::system("a node cannot be killed"))?;
        remove(&own.folder);
        Ok(())
    }

    /// A token with which a user of app 1 logs in.
    pub fn token(&self, user: &UserId) -> String {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = UnixMs::new(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        usersig::sign(&self.secret, AppId::DEFAULT, user, now, TOKEN_S)
    }

    /// How to connect to each node, as the options say.
    pub fn ways(&self, common: &Common) -> Vec<Way> {
        let others = self.others.iter().map(|other| other.way(common));
        std::iter::once(self.way(common)).chain(others).collect()
    }

    /// How to connect, as the options say.
    pub fn way(&self, common: &Common) -> Way {
        let transport = common.transport();
        let address = match (transport, &self.tcp) {
            (Transport::Tcp, Some(tcp)) => tcp.clone(),
            _ => self.http.clone(),
        };
        Way { address, transport, codec: common.codec(), receive_buffer: None }
    }

    /// The process of an own server.
    pub fn server_pid(&self) -> Option<u32> {
        self.own.as_ref()?.child.id()
    }

    /// What an own server holds in memory, in bytes, once it has given back what it can spare: the allocator keeps what came
    /// before for what comes next, which would seem to take nothing.
    pub async fn memory(&self) -> Result<f64, BenchError> {
        if let Some(inside) = &self.inside {
            let failed = BenchError::system("the server gives no memory back");
            let trimmed =
                async { Http::open(inside, "").await?.ask("POST", "/trim", "").await.map(drop) };
            trimmed.await.map_err(failed)?;
        }
        Ok(self.server_pid().and_then(meter::resident_bytes).unwrap_or_default() as f64)
    }

    /// The first process of an own server's private PostgreSQL.
    pub fn postgres_pid(&self) -> Option<u32> {
        postmaster_of(&self.own.as_ref()?.folder)
    }

    /// The processes whose time is the run's own, besides this one and their children. Redis counts as a part of the server.
    pub fn pids(&self) -> Vec<u32> {
        let others = self.others.iter().filter_map(Target::server_pid);
        let shared = self.shared.iter().flat_map(Shared::pids);
        self.server_pid()
            .into_iter()
            .chain(self.postgres_pid())
            .chain(others)
            .chain(shared)
            .collect()
    }

    /// The database of an own server, opened beside it. `None` where the server was given, whose store is nobody's to fill.
    pub async fn database(&self) -> Result<Option<Database>, BenchError> {
        let (Some(store), Some(_)) = (&self.store, self.server_pid()) else { return Ok(None) };
        let choice = app::choice(&store.settings, MessageLoss::Refuse)?;
        let opening = Database::open_for_command(&choice, &store.data_dir, Arc::new(|_| {}));
        opening.await.map(Some).map_err(|error| BenchError::Start(error.to_string()))
    }

    /// The last lines of an own server's log: why it ended, if it did.
    pub fn last_words(&self) -> String {
        self.own.as_ref().map(|own| words(&own.log)).unwrap_or_default()
    }

    /// Stops an own server in order and starts it again on the same data, so that its memory holds nothing of what came
    /// before. A given one is left as it is.
    pub async fn restart(&mut self) -> Result<(), BenchError> {
        let Some(own) = &mut self.own else { return Ok(()) };
        let env = own.env.clone();
        let folder = own.folder.clone();
        child::ask(&own.child, Ask::StopFast);
        if tokio::time::timeout(STOP_WITHIN, own.child.wait()).await.is_err() {
            return Err(BenchError::Late {
                what: "the end of the server".to_owned(),
                after: STOP_WITHIN,
            });
        }
        let env: Vec<(&str, &str)> =
            env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        *self = Self::start_in(&folder, &env).await?;
        Ok(())
    }

    /// Ends an own server and removes its folder; leaves a given one as it is.
    pub async fn stop(self) {
        let nodes = self.others.into_iter().map(|other| other.own).chain([self.own]);
        join_all(nodes.flatten().map(Own::stop)).await;
        if let Some(shared) = self.shared {
            shared.stop().await;
        }
    }

    async fn given(common: &Common, address: &str) -> Result<Self, BenchError> {
        let (secret, store) = match &common.secret {
            Some(secret) => (secret.clone(), None),
            None => {
                let sources = Sources::of_process(common.config.clone(), common.data_dir.clone());
                let settings = config::load(&sources)?.settings;
                let data_dir = settings.data_dir(child::effective_uid() == 0)?;
                let store = Store { settings, data_dir };
                (secret_of(store.clone()).await?, Some(store))
            }
        };
        let tcp = (common.transport() == Transport::Tcp).then(|| address.to_owned());
        let http = address.to_owned();
        let (others, shared) = (Vec::new(), None);
        Ok(Self { http, tcp, inside: None, store, secret, own: None, others, shared })
    }

    async fn start(env: &[(&str, &str)]) -> Result<Self, BenchError> {
        let folder = fresh_folder()?;
        let opened = async {
            let target = Self::start_in(&folder, env).await?;
            if let Some(database) = target.database().await? {
                let kept = bare::keep_log_files(database.connector(), LOG_FILES).await;
                database.close().await;
                kept.map_err(|error| BenchError::Start(error.to_string()))?;
            }
            Ok(target)
        };
        let opened = opened.await;
        if opened.is_err() {
            remove(&folder);
        }
        opened
    }

    async fn start_in(folder: &Path, env: &[(&str, &str)]) -> Result<Self, BenchError> {
        let program = std::env::current_exe().map_err(BenchError::system("where are we?"))?;
        let mut command = Command::new(program);
        command
            .args(["serve", "--data-dir"])
            .arg(folder)
            .env("ROOKERY__HTTP__PORT", "0")
            .env("ROOKERY__TCP__PORT", "0")
            .env("ROOKERY__INSIDE__PORT", "0")
            .env("ROOKERY__LOG__LEVEL", "warn")
            .envs(RAISED)
            .envs(env.iter().copied())
            // Away from a rookery.toml of the working directory.
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let started = child::spawn(command, None);
        let mut child = started.map_err(BenchError::system("the server did not start"))?;
        let log = Arc::new(Mutex::new(VecDeque::new()));
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(keep_lines(stderr, Arc::clone(&log)));
        }
        let ready = match child.stdout.take() {
            Some(stdout) => tokio::time::timeout(START_WITHIN, await_ready(stdout)).await,
            None => Ok(None),
        };
        let Ok(Some([http, tcp, inside])) = ready else {
            let _ = child.kill().await;
            return Err(BenchError::Start(words(&log)));
        };
        let sources = Sources::of_process(None, Some(folder.to_owned()));
        let mut settings = config::load(&sources)?.settings;
        if let Some((_, url)) = env.iter().find(|(name, _)| *name == DATABASE_URL) {
            (*url).clone_into(&mut settings.database.url);
        }
        let store = Store { settings, data_dir: folder.into() };
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let own = Some(Own { child, folder: folder.to_owned(), env: env.collect(), log });
        let secret = secret_of(store.clone()).await?;
        let (tcp, inside, store) = (Some(tcp), Some(inside), Some(store));
        Ok(Self { http, tcp, inside, store, secret, own, others: Vec::new(), shared: None })
    }
}

/// The first process of the private PostgreSQL of a data folder.
pub fn postmaster_of(folder: &Path) -> Option<u32> {
    let file = folder.join("postgres/postmaster.pid");
    std::fs::read_to_string(file).ok()?.lines().next()?.trim().parse().ok()
}

/// The key of app 1, from the store of the running server.
async fn secret_of(store: Store) -> Result<String, BenchError> {
    let read = tokio::task::spawn_blocking(move || {
        commands::key(&store.settings, &store.data_dir, Arc::new(|_| {}))
    });
    let key = read.await.map_err(|error| BenchError::Start(error.to_string()))?;
    Ok(key?.secret)
}

/// Reads up to the line that names the ports, and what follows to nowhere.
async fn await_ready(stdout: impl AsyncRead + Unpin + Send + 'static) -> Option<[String; 3]> {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Some(ports) = line.strip_prefix("rookery ready ") else { continue };
        let port = |name: &str| {
            let found = ports.split(' ').find_map(|port| port.strip_prefix(name));
            found.map(str::to_owned)
        };
        let found = [port("http=")?, port("tcp=")?, port("inside=")?];
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        return Some(found);
    }
    None
}

async fn keep_lines(from: impl AsyncRead + Unpin, log: Arc<Mutex<VecDeque<String>>>) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() == LINES_KEPT {
            log.pop_front();
        }
        log.push_back(line);
    }
}

fn words(log: &Mutex<VecDeque<String>>) -> String {
    let log = log.lock().unwrap_or_else(PoisonError::into_inner);
    log.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
}

/// A folder for what is started for a run; [`remove`] it afterwards.
pub fn fresh_folder() -> Result<PathBuf, BenchError> {
    let name = format!("rookery-bench-{}-{:08x}", std::process::id(), rand::random::<u32>());
    let folder = std::env::temp_dir().join(name);
    folder::private_folder(&folder, None).map_err(BenchError::system("no temporary folder"))?;
    Ok(folder)
}

/// Removes such a folder.
pub fn remove(folder: &Path) {
    // What is left in a temporary folder harms nobody, and there is nobody to tell.
    let _ = std::fs::remove_dir_all(folder);
}
