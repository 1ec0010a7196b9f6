//! The one place that builds the parts and wires them, and the order in which they start and stop.
//!
//! Start: settings, data folder, ports, health, database, engine, clients. Stop: the other way round, PostgreSQL last.
//! Whatever fails on the way up stops what was started before it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::web::ServiceConfig;
use deadpool_postgres::Pool;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::actors::{Engine, EngineSettings, ReadReceipts};
use crate::cluster;
use crate::config::{Settings, SettingsError, Switch};
use crate::http::inside::{self, Readiness};
use crate::http::ws::WebSocketRoute;
use crate::http::{self, BoundPort};
use crate::ids::NodeId;
use crate::store::StoreError;
use crate::store::child;
use crate::store::connect::MessageLoss;
use crate::store::embedded::{Progress, State};
use crate::store::folder::FolderError;
use crate::store::identity::HighWaterFile;
use crate::store::migrate;
use crate::store::source::{self, Choice, Database, SourceError};

/// The dependency that says whether clients are served: not while starting, not while stopping.
const SERVING: &str = "serving";
/// The dependency that says whether messages can be stored.
const WRITERS: &str = "writers";
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// The outer port.
    pub http: SocketAddr,
    /// The inside port.
    pub inside: SocketAddr,
}

impl Ready {
    /// The address to open in a browser on this machine.
    pub fn page(&self) -> SocketAddr {
        let ip = match self.http.ip() {
            // All addresses of the machine are no address to go to.
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        SocketAddr::new(ip, self.http.port())
    }
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
    /// Another process has taken the node's place.
    #[error(transparent)]
    Replaced(#[from] cluster::node::Replaced),
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

/// Brings the tables of the database up to what this program knows, and returns what was applied.
pub fn migrate(
    settings: &Settings,
    data_dir: &Path,
    progress: Progress,
) -> Result<Vec<String>, ServeError> {
    with_database(settings, data_dir, progress, async |database| {
        let (mut client, _) = database.first_contact().await?;
        Ok(migrate::run(&mut client).await?)
    })
}

/// Does one thing with the database: beside a running server, or with a private one that is started for it.
fn with_database<T>(
    settings: &Settings,
    data_dir: &Path,
    progress: Progress,
    work: impl AsyncFnOnce(&Database) -> Result<T, ServeError>,
) -> Result<T, ServeError> {
    // What is written by a command is small, and a server that may lose messages is refused where they are written.
    let choice = choice(settings, MessageLoss::Accept)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| ServeError::System { what: "no runtime", error })?;
    runtime.block_on(async {
        let database = Database::open_for_command(&choice, data_dir, progress).await?;
        let done = work(&database).await;
        database.close().await;
        done
    })
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
    let folder = Arc::new(source::hold_for_serving(&data_dir).await?);
    let node = folder.node()?;
    let outer = take_port("http", &settings.http.host, settings.http.port)?;
    let inner = take_port("inside", &settings.inside.host, settings.inside.port)?;
    let ready = Ready { http: outer.address(), inside: inner.address() };
    let readiness = Readiness::default();
    readiness.tell(SERVING, false, Some("starting"));
    let inside = serve_inside(inner, &readiness, metrics)?;

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
                data_dir: data_dir.clone(),
                settings,
                readiness,
                progress: progress.clone(),
            };
            let served = node.serve(&database, &signals.stop, outer, || tell_ready(&ready)).await;
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
    data_dir: PathBuf,
    settings: Settings,
    readiness: Readiness,
    progress: Progress,
}

impl Node {
    /// Brings the engine up on a database, serves clients until `stop`, and takes it down again.
    async fn serve(
        self,
        database: &Database,
        stop: &CancellationToken,
        outer: BoundPort,
        tell_ready: impl FnOnce(),
    ) -> Result<(), ServeError> {
        let pool = tokio::select! {
            prepared = self.prepare_store(database) => prepared?,
            () = stop.cancelled() => return Ok(()),
        };
        self.readiness.watch_database(pool.clone());
        let watching = database.private_state().map(|state| tokio::spawn(watch_private(state)));

        let (node, engine) = tokio::select! {
            started = self.start_engine(database, &pool) => started?,
            () = stop.cancelled() => return Ok(()),
        };
        let keep = CancellationToken::new();
        let keeping = tokio::spawn({
            let (node, keep) = (node.clone(), keep.clone());
            async move { node.keep(keep).await }
        });

        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let address = outer.address();
        let route =
            WebSocketRoute { engine: engine.clone(), origins: self.settings.http.origins.clone() };
        let clients = http::serve(outer, workers, move |config: &mut ServiceConfig| {
            http::outer_routes(config, &route);
        })
        .map_err(|error| cannot_listen("http", &address.ip().to_string(), address.port(), error))?;
        let handle = clients.handle();
        let served = tokio::spawn(clients);
        self.readiness.tell(SERVING, true, None);
        tell_ready();

        tokio::pin!(keeping);
        let replaced = tokio::select! {
            () = stop.cancelled() => None,
            kept = &mut keeping => kept.ok().and_then(Result::err),
        };
        self.readiness.tell(SERVING, false, Some("stopping"));
        engine.drain().await;
        handle.stop(true).await;
        keep.cancel();
        if let Ok(Err(error)) = served.await {
            tracing::warn!(%error, "the outer port ended with an error");
        }
        pool.close();
        if let Some(watching) = watching {
            watching.abort();
        }
        replaced.map_or(Ok(()), |replaced| Err(replaced.into()))
    }

    /// Joins the database as a node, and starts the actors.
    async fn start_engine(
        &self,
        database: &Database,
        pool: &Pool,
    ) -> Result<(Arc<cluster::node::Node>, Engine), ServeError> {
        let window_days = u32::from(self.settings.dedup.window_days);
        let node = cluster::node::Node::join(
            self.node,
            database.connector().clone(),
            pool.clone(),
            HighWaterFile::new(&self.data_dir),
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
        };
        let engine = Engine::start(node.clone(), pool.clone(), settings);
        engine.started().await;
        let (readiness, watched) = (self.readiness.clone(), engine.clone());
        tokio::spawn(async move {
            let tell = |up: bool| readiness.tell(WRITERS, up, (!up).then_some("not connected"));
            watched.watch_writers(tell).await;
        });
        Ok((node, engine))
    }

    /// A pool on a database that may be trusted and has our tables.
    async fn prepare_store(&self, database: &Database) -> Result<Pool, ServeError> {
        let (mut client, facts) = database.first_contact().await?;
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
        migrate::run(&mut client).await?;
        drop(client);
        Ok(database.connector().pool(usize::from(self.settings.database.pool_size))?)
    }
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
    metrics: PrometheusHandle,
) -> Result<ServerHandle, ServeError> {
    let (readiness, shown) = (readiness.clone(), metrics.clone());
    let address = port.address();
    let server = http::serve(port, 1, move |config| inside::routes(config, &readiness, &shown))
        .map_err(|error| {
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

/// The signals that end the server.
struct Signals {
    /// Cancelled by the first: stop in order.
    stop: CancellationToken,
    /// Cancelled by the second: leave out what the next start can make up for.
    hurry: CancellationToken,
}

impl Signals {
    fn listen() -> Result<Self, ServeError> {
        let catch = |kind| {
            signal(kind)
                .map_err(|error| ServeError::System { what: "signals cannot be caught", error })
        };
        let mut interrupt = catch(SignalKind::interrupt())?;
        let mut terminate = catch(SignalKind::terminate())?;
        let mut hangup = catch(SignalKind::hangup())?;
        let (stop, hurry) = (CancellationToken::new(), CancellationToken::new());
        let (first, second) = (stop.clone(), hurry.clone());
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                }
                if first.is_cancelled() {
                    second.cancel();
                } else {
                    first.cancel();
                }
            }
        });
        Ok(Self { stop, hurry })
    }

    /// Awaits `work`, which ends early, and in order, once `inner` is cancelled; a signal does that.
    async fn pass_on_to<T>(&self, inner: &CancellationToken, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        tokio::select! {
            done = &mut work => return done,
            () = self.stop.cancelled() => inner.cancel(),
        }
        work.await
    }
}
