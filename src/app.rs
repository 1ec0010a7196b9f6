//! The one place that builds the parts and wires them, and the order in which they start and stop.
//!
//! Start: settings, data folder, ports, health, database, engine, clients. Stop: the other way round, PostgreSQL last.
//! Whatever fails on the way up stops what was started before it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_web::dev::ServerHandle;
use actix_web::web::ServiceConfig;
use deadpool_postgres::Pool;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::sync::watch;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::actors::{Engine, EngineSettings, ReadReceipts};
use crate::cluster;
use crate::cluster::bus::{Bus, BusSettings, Carrier, SharedMark};
use crate::config::{Settings, SettingsError, Switch};
use crate::http::inside::{self, Readiness, Standing, Trim};
use crate::http::ws::WebSocketRoute;
use crate::http::{self, BoundPort};
use crate::ids::{ApiKeyId, AppId, NodeId, UnixMs};
use crate::limits;
use crate::store::StoreError;
use crate::store::apps;
use crate::store::child;
use crate::store::connect::MessageLoss;
use crate::store::embedded::{Progress, State};
use crate::store::folder::{DataFolder, FolderError};
use crate::store::identity::HighWaterFile;
use crate::store::migrate;
use crate::store::source::{self, Choice, Database, SourceError};
use crate::tcp;

pub use demo::{Demo, DemoUser};
use signals::Signals;

pub mod alone;
pub mod commands;
mod demo;
pub mod keys;
mod metered;
mod signals;
pub mod status;

/// The dependency that says whether clients are served: not while starting, not while stopping.
const SERVING: &str = "serving";
/// The dependency that says whether messages can be stored.
const WRITERS: &str = "writers";
/// The dependency that says whether Redis carries what nodes tell each other, where one is set.
const REDIS: &str = "redis";
/// How often old samples of the metrics are swept out.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// What a server is started with.
pub struct Launch {
    /// The settings in force.
    pub settings: Settings,
    /// The data folder, as an absolute path.
    pub data_dir: PathBuf,
    /// Whether a database that may lose messages is used all the same.
    pub loss: MessageLoss,
    /// Where the steps of the start are told.
    pub progress: Progress,
    /// Where the ready line, and what a person may open, is told. Called once.
    pub ready: Box<dyn FnOnce(&Ready)>,
}

/// A server that takes clients.
#[derive(Debug, Clone)]
pub struct Ready {
    /// The outer port.
    pub http: SocketAddr,
    /// The port of frames over TCP.
    pub tcp: SocketAddr,
    /// The inside port.
    pub inside: SocketAddr,
    /// Whether there are demo users.
    pub demo: Demo,
}

impl Ready {
    /// The address to open in a browser on this machine.
    pub fn page(&self) -> SocketAddr {
        reachable(self.http)
    }
}

/// Where this machine finds what listens at an address.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        // All addresses of the machine are no address to go to.
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Why the server did not start, or could not go on. Each text is one sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The settings are wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// There is no database.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A port cannot be had.
    #[error(
        "{host}:{port} cannot be listened on: {}; choose another {section}.port (or {section}.host)",
        port_trouble(.error)
    )]
    Port {
        /// The section of the settings that names it.
        section: &'static str,
        /// The host that was asked for.
        host: String,
        /// The port that was asked for.
        port: u16,
        /// What the system said.
        error: io::Error,
    },
    /// No server runs on the data folder.
    #[error(
        "no server runs on the data folder {}; start one with `rookery serve`, or name one with --server and a --token",
        .folder.display()
    )]
    NotRunning {
        /// The folder.
        folder: PathBuf,
    },
    /// Another process has taken the node's place.
    #[error(transparent)]
    Replaced(#[from] cluster::node::Replaced),
    /// The app is not there.
    #[error("app {0} does not exist; leave --app out for app 1")]
    NoSuchApp(AppId),
    /// The app has as many API keys as it may.
    #[error(
        "there are {} API keys already, which is the most; end one with `rookery api-key revoke`",
        limits::API_KEYS
    )]
    ApiKeysFull,
    /// The API key is not there.
    #[error("there is no API key {0}; `rookery api-key list` shows those that there are")]
    NoSuchApiKey(ApiKeyId),
    /// A writer of messages, cursors, logins or presence has panicked, or what carries letters between nodes has; a fresh
    /// process starts from the store.
    #[error(
        "a writer of messages, receipts, logins or presence, or the bus between nodes, has failed and the server cannot go on; start it again, and report what it logged"
    )]
    WriterEnded,
    /// The system refused something that is always there.
    #[error("{what}: {error}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        error: io::Error,
    },
}

fn port_trouble(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the port is in use by another program".to_owned(),
        _ => error.to_string(),
    }
}

/// Where the database is, by the settings.
pub fn choice(settings: &Settings, loss: MessageLoss) -> Result<Choice, SettingsError> {
    let bin = &settings.database.postgres_bin;
    // The programs are started from another folder, where a relative name would mean another place.
    let bin = (!bin.is_empty())
        .then(|| std::path::absolute(bin))
        .transpose()
        .map_err(|error| SettingsError(vec![format!("database.postgres_bin {bin}: {error}")]))?;
    Ok(Choice { url: settings.database.url.clone(), postgres_bin: bin, loss })
}

/// Serves until a signal ends it. Call it on the main thread.
pub fn run(launch: Launch) -> Result<(), ServeError> {
    actix_web::rt::System::new().block_on(serve(launch))
}

async fn serve(launch: Launch) -> Result<(), ServeError> {
    let Launch { settings, data_dir, loss, progress, ready: tell_ready } = launch;
    let signals = Signals::listen()?;
    match child::raise_open_files() {
        Ok(limit) => tracing::info!(limit, "open files, and so sockets, are limited"),
        Err(error) => tracing::warn!(%error, "the limit of open files stays as it was"),
    }
    let metrics = PrometheusBuilder::new().install_recorder().map_err(|error| {
        ServeError::System { what: "metrics cannot be kept", error: io::Error::other(error) }
    })?;
    metered::describe();
    let folder = tokio::select! {
        held = source::hold_for_serving(&data_dir) => Arc::new(held?),
        () = signals.stop.cancelled() => return Ok(()),
    };
    let node = folder.node()?;
    let outer = take_port("http", &settings.http.host, settings.http.port)?;
    let native = take_port("tcp", &settings.tcp.host, settings.tcp.port)?;
    let inner = take_port("inside", &settings.inside.host, settings.inside.port)?;
    let inside_address = inner.address();
    let readiness = Readiness::default();
    readiness.tell(SERVING, Standing::Down("starting".to_owned()));
    let trim = Trim::default();
    let inside = serve_inside(inner, &readiness, &trim, metrics)?;

    let name = format!("rookery:{node}");
    let choice = choice(&settings, loss)?;
    let stop_database = CancellationToken::new();
    let opening = Database::open(
        &choice,
        folder.clone(),
        &name,
        stop_database.clone(),
        signals.hurry.clone(),
        progress.clone(),
    );
    let outcome = match signals.pass_on_to(&stop_database, opening).await {
        Ok(database) => {
            let node = Node {
                node: NodeId::from_store(i64::try_from(node).unwrap_or(i64::MAX)),
                folder: folder.clone(),
                settings,
                readiness,
                trim,
                progress: progress.clone(),
            };
            let (http, tcp) = (outer.address(), native.address());
            let tell_ready = |demo| {
                let ready = Ready { http, tcp, inside: inside_address, demo };
                if let Err(error) = folder.keep_serving(ready.page()) {
                    tracing::warn!(%error, "clients of this machine are not told of the port");
                }
                tell_ready(&ready);
            };
            let served = node.serve(&database, &signals.stop, outer, native, tell_ready).await;
            progress("stopping");
            database.close().await;
            served
        }
        Err(error) => Err(error.into()),
    };
    inside.stop(true).await;
    match outcome {
        // A start that was broken off by a signal did what it was told.
        Err(error) if signals.stop.is_cancelled() => {
            tracing::info!(%error, "the start was given up");
            Ok(())
        }
        outcome => outcome,
    }
}

/// What is needed between the database and the clients.
struct Node {
    node: NodeId,
    folder: Arc<DataFolder>,
    settings: Settings,
    readiness: Readiness,
    trim: Trim,
    progress: Progress,
}

impl Node {
    /// Brings the engine up on a database, serves clients until `stop`, and takes it down again.
    async fn serve(
        self,
        database: &Database,
        stop: &CancellationToken,
        outer: BoundPort,
        native: BoundPort,
        tell_ready: impl FnOnce(Demo),
    ) -> Result<(), ServeError> {
        let (address, tcp_address) = (outer.address(), native.address());
        let (pool, demo) = tokio::select! {
            prepared = self.prepare_store(database, [("http", address), ("tcp", tcp_address)]) => prepared?,
            () = stop.cancelled() => return Ok(()),
        };
        self.readiness.watch_database(pool.clone());
        let watching = database.private_state().map(|state| tokio::spawn(watch_private(state)));

        let keep = CancellationToken::new();
        let (node, engine, shared_mark) = tokio::select! {
            started = self.start_engine(database, &pool, &keep) => started?,
            () = stop.cancelled() => return Ok(()),
        };
        let keeping = tokio::spawn({
            let (node, keep) = (node.clone(), keep.clone());
            async move { node.keep(keep).await }
        });

        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let route =
            WebSocketRoute { engine: engine.clone(), origins: self.settings.http.origins.clone() };
        let connections = usize::try_from(self.settings.limits.connections).unwrap_or(usize::MAX);
        let clients = http::serve_outer(outer, workers, connections, route).map_err(|error| {
            cannot_listen("http", &address.ip().to_string(), address.port(), error)
        })?;
        let handle = clients.handle();
        let served = tokio::spawn(clients);
        let native = native
            .listen()
            .and_then(|listener| tcp::Server::start(listener, engine.clone()))
            .map_err(|error| {
                cannot_listen("tcp", &tcp_address.ip().to_string(), tcp_address.port(), error)
            })?;
        let trimming = tokio::spawn(give_memory_back(engine.clone()));
        self.trim.set(engine.clone());
        self.readiness.tell(SERVING, Standing::Up);
        tell_ready(demo);

        tokio::pin!(keeping);
        let fault = tokio::select! {
            () = stop.cancelled() => None,
            kept = &mut keeping => kept.ok().and_then(Result::err).map(ServeError::from),
            () = engine.writer_ended() => Some(ServeError::WriterEnded),
        };
        self.readiness.tell(SERVING, Standing::Down("stopping".to_owned()));
        native.stop().await;
        engine.drain().await;
        handle.stop(true).await;
        trimming.abort();
        keep.cancel();
        if let Err(error) = node.leave().await {
            tracing::warn!(%error, "the node's lease ends by itself");
        }
        if let Some(shared) = shared_mark {
            let mark = node.mark().borrow().clone();
            shared.note(&mark).await;
        }
        if let Ok(Err(error)) = served.await {
            tracing::warn!(%error, "the outer port ended with an error");
        }
        pool.close();
        if let Some(watching) = watching {
            watching.abort();
        }
        fault.map_or(Ok(()), Err)
    }

    /// Joins the database as a node, and starts the actors.
    async fn start_engine(
        &self,
        database: &Database,
        pool: &Pool,
        stop: &CancellationToken,
    ) -> Result<(Arc<cluster::node::Node>, Engine, Option<SharedMark>), ServeError> {
        let window_days = u32::from(self.settings.dedup.window_days);
        let redis_url = &self.settings.redis.url;
        let shared_mark = match database.private_state() {
            None if !redis_url.is_empty() => Some(SharedMark::at(redis_url, pool).await?),
            _ => None,
        };
        let node = cluster::node::Node::join(
            self.node,
            database.connector().clone(),
            pool.clone(),
            HighWaterFile::new(self.folder.path()),
            shared_mark.as_ref(),
            window_days,
        )
        .await?;
        let settings = EngineSettings {
            read_receipts: match self.settings.receipts.read {
                Switch::On => ReadReceipts::On,
                Switch::Off => ReadReceipts::Off,
            },
            dedup_window_days: window_days,
            sends_per_s: self.settings.limits.sends_per_s,
            sends_burst: self.settings.limits.sends_burst,
            connections: self.settings.limits.connections,
            arrivals_per_s: self.settings.limits.arrivals_per_s,
            arrivals_burst: self.settings.limits.arrivals_burst,
            arrivals_per_address_s: self.settings.limits.arrivals_per_address_s,
            group_sleep: Duration::from_secs(u64::from(self.settings.groups.sleep_after_s)),
        };
        let bus = match database.private_state() {
            // Nobody else has it: this node is alone.
            Some(_) => None,
            None => {
                let clock = node.clone();
                let settings = BusSettings {
                    pool: pool.clone(),
                    connector: database.connector().clone(),
                    redis_url: (!redis_url.is_empty()).then(|| redis_url.clone()),
                    now: Arc::new(move || clock.now()),
                };
                let (bus, arrived) = Bus::start(node.run(), settings, stop.clone()).await?;
                tokio::spawn(watch_redis(self.readiness.clone(), bus.carrier()));
                Some((bus, arrived))
            }
        };
        let engine = Engine::start(node.clone(), pool.clone(), settings, bus);
        engine.started().await;
        let (readiness, watched) = (self.readiness.clone(), engine.clone());
        tokio::spawn(async move {
            let tell = |up: bool| {
                let down = || Standing::Down("not connected".to_owned());
                readiness.tell(WRITERS, if up { Standing::Up } else { down() });
            };
            watched.watch_writers(tell).await;
        });
        if let Some(shared) = &shared_mark {
            tokio::spawn(shared.clone().keep(node.mark()));
        }
        Ok((node, engine, shared_mark))
    }

    /// A pool on a database that may be trusted, has our tables, the default app, and demo users if it is to.
    async fn prepare_store(
        &self,
        database: &Database,
        ways_in: [(&'static str, SocketAddr); 2],
    ) -> Result<(Pool, Demo), ServeError> {
        let (client, facts) = database.first_contact().await?;
        if !facts.off.is_empty() {
            tracing::warn!(
                off = facts.off.join(", "),
                "the database may lose acknowledged messages, which --accept-message-loss allows"
            );
        }
        if !facts.checksums {
            tracing::warn!(
                "the database has no data checksums, so damage of its files goes unseen"
            );
        }
        (self.progress)("migrating the database");
        for migration in prepare_tables(client).await? {
            tracing::info!(%migration, "the database was migrated");
        }
        let pool = database.connector().pool(usize::from(self.settings.database.pool_size))?;
        let secret = prepare_default_app(&pool).await?;
        let demo = match Demo::why_off(database, ways_in) {
            Some(why) => Demo::end(&self.folder, database, &pool, why).await?,
            None => Demo::begin(&self.folder, &pool, &secret, now()).await?,
        };
        Ok((pool, demo))
    }
}

/// Brings the tables up to what this program knows, and lets go of the connection, whose time-outs were lifted for it.
async fn prepare_tables(mut client: Client) -> Result<Vec<String>, StoreError> {
    migrate::run(&mut client).await
}

/// Makes app 1 with a secret of its own if it is not there; its newest secret.
async fn prepare_default_app(pool: &Pool) -> Result<String, ServeError> {
    apps::ensure_default(pool, &fresh_secret()).await?;
    newest_secret(pool, AppId::DEFAULT).await
}

/// A secret to sign tokens with.
fn fresh_secret() -> String {
    rand::random::<[u8; 32]>().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The secret that tokens of an app are signed with now.
async fn newest_secret(pool: &Pool, app: AppId) -> Result<String, ServeError> {
    let keys = apps::keys(pool, app).await?;
    keys.into_iter().next().ok_or(ServeError::NoSuchApp(app))
}

/// The time of this machine, for what a person asks for by hand; clients are judged by the database's.
fn now() -> UnixMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs::new(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn take_port(section: &'static str, host: &str, port: u16) -> Result<BoundPort, ServeError> {
    BoundPort::take(host, port).map_err(|error| cannot_listen(section, host, port, error))
}

fn cannot_listen(section: &'static str, host: &str, port: u16, error: io::Error) -> ServeError {
    ServeError::Port { section, host: host.to_owned(), port, error }
}

/// Serves health and metrics from the first moment on: a start that takes long shows as not ready.
fn serve_inside(
    port: BoundPort,
    readiness: &Readiness,
    trim: &Trim,
    metrics: PrometheusHandle,
) -> Result<ServerHandle, ServeError> {
    let (readiness, trim, shown) = (readiness.clone(), trim.clone(), metrics.clone());
    let address = port.address();
    let routes =
        move |config: &mut ServiceConfig| inside::routes(config, &readiness, &trim, &shown);
    let server = http::serve_inside(port, routes).map_err(|error| {
        cannot_listen("inside", &address.ip().to_string(), address.port(), error)
    })?;
    let handle = server.handle();
    tokio::spawn(server);
    tokio::spawn(async move {
        let mut due = tokio::time::interval(METRICS_UPKEEP);
        loop {
            due.tick().await;
            metrics.run_upkeep();
        }
    });
    Ok(handle)
}

/// Gives memory back to the system when many connections have gone: after a storm nobody needs it.
async fn give_memory_back(engine: Engine) {
    let mut due = tokio::time::interval(limits::MEMORY_LOOK_EVERY);
    let mut most = 0;
    loop {
        due.tick().await;
        let connections = engine.connections();
        most = most.max(connections);
        if most - connections >= limits::MEMORY_AFTER_CONNECTIONS {
            most = connections;
            // Milliseconds of each thread, rarely.
            engine.on_each_thread(child::give_memory_back).await;
        }
    }
}

/// Shows in the metrics whether the private server is there.
async fn watch_private(mut state: watch::Receiver<State>) {
    loop {
        let up = if *state.borrow_and_update() == State::Ready { 1.0 } else { 0.0 };
        metrics::gauge!("rookery_postgres_up").set(up);
        if state.changed().await.is_err() {
            return;
        }
    }
}

/// Shows in the metrics and on the inside port whether Redis carries; nothing where none is set.
async fn watch_redis(readiness: Readiness, mut carrier: watch::Receiver<Carrier>) {
    loop {
        let now = *carrier.borrow_and_update();
        let standing = match now {
            Carrier::Redis => Standing::Up,
            Carrier::Postgres { redis_is_set: true } => {
                Standing::Degraded("it does not answer, PostgreSQL carries".to_owned())
            }
            Carrier::Postgres { redis_is_set: false } => return,
        };
        metrics::gauge!("rookery_redis_up").set(if now == Carrier::Redis { 1.0 } else { 0.0 });
        readiness.tell(REDIS, standing);
        if carrier.changed().await.is_err() {
            return;
        }
    }
}
