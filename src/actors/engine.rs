//! What all actors of a node share, and how it is started and stopped.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;
use deadpool_postgres::Pool;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use super::admission::Admission;
use super::apps::Apps;
use super::cursors::CursorActor;
use super::exchange::Exchange;
use super::holds::Holds;
use super::journal::{JournalActor, Retire};
use super::logins::LoginActor;
use super::presence::{EveryoneLeaves, PresenceActor};
use super::registry::{Directory, Drain, EpochChanged, Registry};
use super::relay::RelayActor;
use crate::cluster::bus::{Arrived, Bus};
use crate::cluster::node::Node;
use crate::cluster::presence::Board;
use crate::domain::intake::SessionNo;
use crate::domain::journal::Life;
use crate::domain::presence::Now;
use crate::ids::{ConversationNo, Shard, UserNo};
use crate::limits;

/// Whether the peer of a pair hears that it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadReceipts {
    /// It does.
    On,
    /// It does not.
    Off,
}

/// What the actors are set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineSettings {
    /// Read receipts of apps that set nothing.
    pub read_receipts: ReadReceipts,
    /// How long a client message id is remembered, in days.
    pub dedup_window_days: u32,
    /// Messages that one session may send in a second, on average.
    pub sends_per_s: u32,
    /// Messages that one session may send at once beyond that.
    pub sends_burst: u32,
    /// WebSocket and TCP connections of this node.
    pub connections: u32,
    /// How long a group has nothing to do before it leaves the memory.
    pub group_sleep: Duration,
    /// Connections that are taken in a second, on average.
    pub arrivals_per_s: u32,
    /// Connections that are taken at once beyond that, over all and from one address.
    pub arrivals_burst: u32,
    /// Connections that are taken from one address in a second, on average.
    pub arrivals_per_address_s: u32,
}

impl EngineSettings {
    /// The dedup window, in milliseconds.
    pub(super) fn dedup_window_ms(&self) -> i64 {
        i64::from(self.dedup_window_days).saturating_mul(86_400_000)
    }
}

/// The actors of a node; cheap to clone.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// One of the places that a node has for connections; free again when this is dropped.
#[derive(Debug)]
pub struct ConnectionPlace(
    #[expect(dead_code, reason = "held until it is dropped")] OwnedSemaphorePermit,
);

/// A connection was not taken: no place is free, or too many come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnedAway {
    /// When it may be tried again.
    pub retry_after: Duration,
}

/// A connection that is counted; no longer when this is dropped.
pub struct CountedConnection(Arc<Shared>);

impl Drop for CountedConnection {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(super) struct Shared {
    pub(super) node: Arc<Node>,
    pub(super) pool: Pool,
    pub(super) settings: EngineSettings,
    pub(super) directory: Arc<Directory>,
    pub(super) registry: Addr<Registry>,
    pub(super) journals: Vec<Addr<JournalActor>>,
    pub(super) cursors: Addr<CursorActor>,
    pub(super) logins: Addr<LoginActor>,
    pub(super) apps: Arc<Apps>,
    /// Who is there.
    pub(super) board: Arc<Board>,
    pub(super) presence: Addr<PresenceActor>,
    pub(super) reads: Semaphore,
    pub(super) backend: Semaphore,
    places: Arc<Semaphore>,
    admission: Admission,
    connections: AtomicUsize,
    arbiters: Vec<ArbiterHandle>,
    /// Which of them begins the next connection.
    next_arbiter: AtomicUsize,
    pub(super) epoch: watch::Receiver<crate::ids::Epoch>,
    writers: Arc<Writers>,
    sessions: AtomicU64,
    lives: AtomicU64,
}

/// Which of the node's writers have a connection to the store, and whether one of those that all need has ended.
pub(super) struct Writers {
    up: watch::Sender<usize>,
    ended: watch::Sender<bool>,
}

impl Writers {
    /// The journals, and the writer of cursors.
    const ALL: usize = limits::JOURNALS + 1;

    pub(super) fn came_up(&self) {
        self.up.send_modify(|up| *up += 1);
    }

    /// A writer's actor has ended, which none does before the engine drains.
    pub(super) fn ended(&self) {
        self.ended.send_replace(true);
    }

    pub(super) fn went_down(&self) {
        self.up.send_modify(|up| *up = up.saturating_sub(1));
    }
}

impl Engine {
    /// Starts the actors, on as many threads as the machine has processors. To be called within the actix system. `bus` is
    /// what they hear from other nodes by; none where there are no others by the settings.
    pub fn start(
        node: Arc<Node>,
        pool: Pool,
        settings: EngineSettings,
        bus: Option<(Arc<Bus>, mpsc::Receiver<Arrived>)>,
    ) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let arbiters: Vec<ArbiterHandle> = (0..threads).map(|_| Arbiter::new().handle()).collect();
        let directory = Arc::new(Directory::default());
        let writers =
            Arc::new(Writers { up: watch::Sender::new(0), ended: watch::Sender::new(false) });
        let journals = (0..limits::JOURNALS)
            .map(|no| {
                let (node, directory) = (node.clone(), directory.clone());
                let arbiter = &arbiters[no % arbiters.len()];
                JournalActor::start_on(arbiter, no, node, directory, writers.clone())
            })
            .collect();
        let apps = Arc::new(Apps::new(pool.clone(), settings.read_receipts));
        let holds = Holds::new(pool.clone());
        let logins = LoginActor::start_on(
            &arbiters[arbiters.len() - 1],
            pool.clone(),
            holds.clone(),
            writers.clone(),
            directory.clone(),
            node.run(),
        );
        let cursors = CursorActor::start_on(
            &arbiters[0],
            node.clone(),
            directory.clone(),
            apps.clone(),
            writers.clone(),
        );
        let relays = arbiters
            .iter()
            .map(|arbiter| RelayActor::start_on(arbiter, directory.clone(), pool.clone()));
        directory.set_relays(relays.collect());
        let board = Arc::new(Board::default());
        let presence = PresenceActor::start_on(
            &arbiters[arbiters.len() - 1],
            board.clone(),
            directory.clone(),
            node.clone(),
            pool.clone(),
            writers.clone(),
        );
        let exchange = bus.map(|(bus, arrived)| {
            let (directory, board) = (directory.clone(), board.clone());
            (Exchange::new(node.clone(), bus, directory, board, pool.clone()), arrived)
        });
        if let Some((exchange, _)) = &exchange {
            directory.set_exchange(exchange.clone());
            node.begin_sharing();
        }
        let registry = Registry::start_with(directory.clone(), arbiters.clone());
        let shared = Arc::new(Shared {
            epoch: node.epoch(),
            node: node.clone(),
            pool,
            settings,
            directory,
            registry: registry.clone(),
            journals,
            cursors,
            logins,
            apps: apps.clone(),
            board,
            presence,
            reads: Semaphore::new(limits::READS_AT_ONCE),
            backend: Semaphore::new(limits::BACKEND_AT_ONCE),
            admission: Admission::new(&settings),
            connections: AtomicUsize::new(0),
            arbiters,
            next_arbiter: AtomicUsize::new(0),
            places: Arc::new(Semaphore::new(
                usize::try_from(settings.connections).unwrap_or(Semaphore::MAX_PERMITS),
            )),
            writers,
            sessions: AtomicU64::new(SessionNo::first(node.number(), node.incarnation()).0),
            lives: AtomicU64::new(1),
        });
        actix::spawn(async move { apps.keep_fresh().await });
        let (keeper, sweeper) = (node.clone(), holds.clone());
        actix::spawn(async move { sweeper.sweep(&keeper).await });
        let (keeper, directory) = (node.clone(), shared.directory.clone());
        actix::spawn(async move { holds.look_after_lapses(&keeper, &directory).await });
        let admitting = shared.clone();
        actix::spawn(async move { admitting.admission.tidy().await });
        let mut epoch = node.epoch();
        actix::spawn(async move {
            while epoch.changed().await.is_ok() {
                let _ = registry.send(EpochChanged).await;
            }
        });
        let engine = Self { shared };
        if let Some((exchange, arrived)) = exchange {
            exchange.run(&engine, arrived, &engine.shared.arbiters);
        }
        engine
    }

    /// Counts a connection that may or may not become a session, until what is returned is dropped.
    pub fn count_connection(&self) -> CountedConnection {
        self.shared.connections.fetch_add(1, Ordering::Relaxed);
        CountedConnection(self.shared.clone())
    }

    /// Sessions of this node, logged in or not, and connections that were counted.
    pub fn connections(&self) -> usize {
        self.shared.directory.sessions() + self.shared.connections.load(Ordering::Relaxed)
    }

    /// Takes one of the places that this node has for connections, if one is free and not too many come at once.
    pub fn take_place(&self, from: Option<IpAddr>) -> Result<ConnectionPlace, TurnedAway> {
        let turned_away = |retry_after| {
            metrics::counter!("rookery_arrivals_turned_away_total").increment(1);
            TurnedAway { retry_after }
        };
        self.shared.admission.admit(from).map_err(turned_away)?;
        let place = self.shared.places.clone().try_acquire_owned();
        place.map(ConnectionPlace).map_err(|_| turned_away(limits::RETRY_AFTER))
    }

    /// Begins a connection on one of the threads of the actors, in turn: with as many threads as processors, what a session
    /// and its user tell each other wakes as few of them as can be.
    pub fn begin_connection(&self, begin: impl FnOnce() + Send + 'static) {
        let next = self.shared.next_arbiter.fetch_add(1, Ordering::Relaxed);
        // A thread that has ended drops it: the node has stopped, and so ends the connection.
        self.shared.arbiters[next % self.shared.arbiters.len()].spawn_fn(begin);
    }

    /// Has each thread of the actors do something, and resolves when all have.
    pub async fn on_each_thread(&self, act: fn()) {
        let acting = self.shared.arbiters.iter().filter_map(|arbiter| {
            let (done, wait) = oneshot::channel();
            let act = move || {
                act();
                // Nobody waits any more.
                let _ = done.send(());
            };
            arbiter.spawn_fn(act).then_some(wait)
        });
        for wait in acting.collect::<Vec<_>>() {
            // Fails when its thread has ended.
            let _ = wait.await;
        }
    }

    /// Whether all writers have a connection to the store, and when that changes.
    pub async fn watch_writers(&self, mut tell: impl FnMut(bool)) {
        let mut up = self.shared.writers.up.subscribe();
        loop {
            tell(*up.borrow_and_update() == Writers::ALL);
            if up.changed().await.is_err() {
                return;
            }
        }
    }

    /// Resolves when a writer has ended by a fault of its own: without it nothing more is stored here.
    pub async fn writer_ended(&self) {
        let mut ended = self.shared.writers.ended.subscribe();
        // Fails only when the engine is gone, and with it whoever waits.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    /// Resolves when all writers have a connection to the store.
    pub async fn started(&self) {
        let mut up = self.shared.writers.up.subscribe();
        // Fails only when the engine is gone, and with it whoever waits.
        let _ = up.wait_for(|up| *up == Writers::ALL).await;
    }

    /// Hands the shards over to other nodes, if there are any, so that what is sent to their groups goes on there; then tells
    /// all sessions to come back later, and ends them. Returns when none is left, or after the time to close.
    pub async fn drain(&self) {
        match tokio::time::timeout(limits::CLOSE_WITHIN, self.shared.node.hand_over()).await {
            Ok(Ok(0)) => {}
            Ok(Ok(given)) => tracing::info!(given, "shards were handed over"),
            // Others claim them when the lease is over.
            Ok(Err(error)) => tracing::warn!(%error, "shards could not be handed over"),
            Err(_) => tracing::warn!("shards could not be handed over in time"),
        }
        let _ = self.shared.registry.send(Drain).await;
        let empty = async {
            while self.shared.directory.sessions() > 0 {
                tokio::time::sleep(DRAIN_LOOK_EVERY).await;
            }
            let _ = self.shared.presence.send(EveryoneLeaves).await;
            // They would take the end of their connections for a fault.
            for journal in &self.shared.journals {
                let _ = journal.send(Retire).await;
            }
        };
        let _ = tokio::time::timeout(limits::CLOSE_WITHIN, empty).await;
        if let Some(exchange) = self.shared.directory.exchange() {
            exchange.say_farewell();
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

/// How often a drain looks whether sessions are left.
const DRAIN_LOOK_EVERY: Duration = Duration::from_millis(10);

impl Shared {
    pub(super) fn next_session(&self) -> SessionNo {
        SessionNo(self.sessions.fetch_add(1, Ordering::Relaxed))
    }

    /// Something without which this node is of no use has ended by a fault of its own.
    pub(super) fn failed(&self) {
        self.writers.ended();
    }

    /// Whether a device of the user is logged in, here or at another node.
    pub(super) fn is_online(&self, user: UserNo) -> bool {
        self.directory.is_online(user) || self.board.is_elsewhere(user)
    }

    /// The present, as presence counts it.
    pub(super) fn present(&self) -> Now {
        Now { at: Instant::now(), time: self.node.now() }
    }

    /// Rises with each start of a user's actor.
    pub(super) fn next_life(&self) -> Life {
        Life(self.lives.fetch_add(1, Ordering::Relaxed))
    }

    /// The journal of a pair: always the same on this node.
    pub(super) fn journal_of_pair(&self, pair: ConversationNo) -> &Addr<JournalActor> {
        let journals = self.journals.len();
        &self.journals[pair.get().unsigned_abs() as usize % journals]
    }

    /// The journal of a shard: always the same on this node, so that one transaction at a time locks the shard's row.
    pub(super) fn journal_of_shard(&self, shard: Shard) -> &Addr<JournalActor> {
        &self.journals[shard.index() % self.journals.len()]
    }
}
