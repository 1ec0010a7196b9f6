//! The node's lease, its shards, the database's clock, message ids, and the epoch of the store.
//!
//! A keeper renews the lease on a connection of its own. Behind each renewal it claims the shards of nodes that are gone,
//! does for them what they can no longer do, and shares its own with whoever has fewer. When the last renewal is too old no
//! id is minted, for another node may have been given our number, and no shard is ours until the next one. A lease that had
//! run out counts again only when whoever keeps sessions here has looked which of them others ended meanwhile.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::Pool;
use tokio::sync::{Notify, watch};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::bus::SharedMark;
use super::memory::Memory;
use super::ownership::Ownership;
use super::peers::Peers;
use crate::domain::epoch::{Committed, HighWater, Reason, Verdict};
use crate::domain::snowflake::Snowflakes;
use crate::ids::{Epoch, Incarnation, MessageId, NodeId, NodeRun, UnixMs};
use crate::limits;
use crate::store::StoreError;
use crate::store::connect::Connector;
use crate::store::identity::{self, HighWaterFile, Verified};
use crate::store::nodes::Held;
use crate::store::{dedup, nodes, presence, sessions, shards};

/// How often the daily partitions are looked after.
const PARTITIONS_EVERY: Duration = Duration::from_secs(3600);
/// The time between two tries to renew a lease that could not be.
const RETRY_EVERY: Duration = Duration::from_millis(250);

/// This node, once it has joined.
pub struct Node {
    id: NodeId,
    incarnation: Incarnation,
    connector: Connector,
    pool: Pool,
    window_days: u32,
    /// What every instant is measured from.
    start: Instant,
    /// The database's time at `start`, in milliseconds.
    origin_ms: AtomicI64,
    /// When the lease was last renewed, in milliseconds after `start`.
    renewed_ms: AtomicU64,
    ids: Mutex<Snowflakes>,
    memory: Memory,
    mark_file: HighWaterFile,
    epoch: watch::Sender<Epoch>,
    ownership: Ownership,
    peers: Peers,
    number: i16,
    /// Wakes the keeper to look who owns what.
    look: Notify,
    /// Woken when shards were given to other nodes.
    given: Notify,
    /// How often the lease had run out when it was renewed.
    lapses: watch::Sender<u64>,
    /// Up to which of these it was looked what others did meanwhile.
    lapses_seen: AtomicU64,
    /// Set once the node claims no shards any more.
    is_leaving: AtomicBool,
    /// Set once other nodes can be told what happens here: before that, shards of theirs would be out of reach.
    shares: AtomicBool,
}

/// Why a node cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "another process has taken this node's place in the database; do two of them share a copy of one data folder?"
)]
pub struct Replaced;

impl Node {
    /// Joins: verifies the database, makes the daily partitions, takes the node's row, ends its former sessions, and takes
    /// the shards that nobody ever owned or that its former incarnations did.
    pub async fn join(
        id: NodeId,
        connector: Connector,
        pool: Pool,
        mark_file: HighWaterFile,
        shared_mark: Option<&SharedMark>,
        window_days: u32,
    ) -> Result<Arc<Self>, StoreError> {
        let mut marks: Vec<HighWater> = mark_file.load().await.into_iter().collect();
        if let Some(shared) = shared_mark {
            marks.extend(shared.load().await);
        }
        let mut client = connector.open().await?;
        let verified = identity::verify(&mut client, &marks, None).await?;
        tell(&verified);
        dedup::keep_days(&pool, verified.now, window_days).await?;
        presence::left_by_node(&pool, id).await?;
        let joined = nodes::join(&pool, id).await?;
        sessions::over_of_node(&pool, id, joined.incarnation).await?;
        shards::claim_own(&client, id, joined.incarnation).await?;
        let (ownership, peers) = (Ownership::default(), Peers::default());
        let run = NodeRun { node: id, incarnation: joined.incarnation };
        look(&client, run, &ownership, &peers).await?;
        let memory = Memory::new(run, &verified);
        Ok(Arc::new(Self {
            id,
            incarnation: joined.incarnation,
            connector,
            pool,
            window_days,
            start: Instant::now(),
            origin_ms: AtomicI64::new(joined.now.get()),
            renewed_ms: AtomicU64::new(0),
            ids: Mutex::new(Snowflakes::new(joined.number)),
            memory,
            mark_file,
            epoch: watch::Sender::new(verified.epoch),
            ownership,
            peers,
            number: joined.number,
            look: Notify::new(),
            given: Notify::new(),
            lapses: watch::Sender::new(0),
            lapses_seen: AtomicU64::new(0),
            is_leaving: AtomicBool::new(false),
            shares: AtomicBool::new(false),
        }))
    }

    /// The node's id.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Which start of the node this is.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Both.
    pub fn run(&self) -> NodeRun {
        NodeRun { node: self.id, incarnation: self.incarnation }
    }

    /// The number inside its message ids.
    pub fn number(&self) -> i16 {
        self.number
    }

    /// The other nodes.
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// Other nodes can be told what happens here: shards are shared with them from now on.
    pub fn begin_sharing(&self) {
        self.shares.store(true, Ordering::Release);
    }

    fn shares(&self) -> bool {
        self.shares.load(Ordering::Acquire) && self.peers.are_there()
    }

    /// Someone has learnt that shards have moved: the keeper looks at once.
    pub fn look_at_owners(&self) {
        self.look.notify_one();
    }

    /// Resolves when shards were given to other nodes, whose first look at them may be seconds away.
    pub async fn gave_shards(&self) {
        self.given.notified().await;
    }

    /// How often the lease had run out when it was renewed, and when that happens again. Until [`Node::lapse_was_seen`] the
    /// lease does not count.
    pub fn lapses(&self) -> watch::Receiver<u64> {
        self.lapses.subscribe()
    }

    /// Whoever keeps sessions here has looked which of them others ended until the lease was renewed for the `lapse`th time
    /// after it had run out.
    pub fn lapse_was_seen(&self, lapse: u64) {
        self.lapses_seen.fetch_max(lapse, Ordering::AcqRel);
    }

    /// Gives all shards to other nodes, if there are any, and takes none from now on. Returns how many were given.
    pub async fn hand_over(&self) -> Result<usize, StoreError> {
        self.is_leaving.store(true, Ordering::Release);
        if !self.shares() {
            return Ok(0);
        }
        let client = self.connector.open().await?;
        in_time(nodes::announce_leaving(&client, self.run())).await?;
        self.give_all(&client).await
    }

    async fn give_all(&self, client: &Client) -> Result<usize, StoreError> {
        let mut given = 0;
        loop {
            let most = limits::SHARDS_GIVEN_AT_ONCE;
            let now = in_time(shards::hand_over(client, self.run(), 0, most)).await?;
            given += now;
            if now < most {
                break;
            }
        }
        if given > 0 {
            look(client, self.run(), &self.ownership, &self.peers).await?;
            self.given.notify_one();
        }
        Ok(given)
    }

    /// Notes how far the database is on disk now that this node stores nothing any more, and ends the lease, if there
    /// is another node that would wait for that; to be called when it is not kept any more.
    pub async fn leave(&self) -> Result<(), StoreError> {
        let (identity, flushed) = in_time(identity::look(&self.pool)).await?;
        self.memory.seen(identity, flushed);
        self.save_mark().await;
        if !self.shares() {
            return Ok(());
        }
        self.memory.leaves();
        in_time(nodes::leave(&self.pool, self.run())).await
    }

    /// Which shards are ours.
    pub fn ownership(&self) -> &Ownership {
        &self.ownership
    }

    /// The database's time, as well as it is known here.
    pub fn now(&self) -> UnixMs {
        let elapsed = i64::try_from(self.start.elapsed().as_millis()).unwrap_or(i64::MAX);
        UnixMs::new(self.origin_ms.load(Ordering::Relaxed).saturating_add(elapsed))
    }

    /// Mints message ids; none while the lease is in doubt.
    pub fn mint(&self, count: usize) -> Option<Vec<MessageId>> {
        if !self.holds_lease() {
            return None;
        }
        let now = self.now();
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        Some((0..count).map(|_| ids.mint(now)).collect())
    }

    /// Whether nobody can have taken this node for gone.
    pub fn holds_lease(&self) -> bool {
        if self.lapses_seen.load(Ordering::Acquire) < *self.lapses.borrow() {
            return false;
        }
        let renewed = Duration::from_millis(self.renewed_ms.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(renewed) < limits::LEASE_TRUSTED_FOR
    }

    /// The epoch of the store, and its changes.
    pub fn epoch(&self) -> watch::Receiver<Epoch> {
        self.epoch.subscribe()
    }

    /// Opens a connection that may be appended through: the database behind it was compared with what is known of it.
    pub async fn open_verified(&self) -> Result<Client, StoreError> {
        let mut client = self.connector.open().await?;
        let (mark, witness) = (self.memory.mark().borrow().clone(), self.memory.witness());
        let verified = identity::verify(&mut client, &[mark], Some(&witness)).await?;
        self.memory.verified(&verified);
        if let Verdict::Wait { others } = verified.verdict {
            return Err(StoreError::Unavailable {
                reason: format!(
                    "the database was failed over, and {others} nodes have yet to say that it has all that they acked"
                ),
            });
        }
        tell(&verified);
        self.epoch.send_if_modified(|epoch| {
            let changed = *epoch != verified.epoch;
            *epoch = verified.epoch.clone();
            changed
        });
        Ok(client)
    }

    /// A journal was told that this is committed; to be called before anybody is acked.
    pub fn committed(&self, journal: usize, last: Committed) {
        self.memory.committed(journal, last);
    }

    /// A journal was told that all that it was to commit had been committed before; to be called before anybody is
    /// acked.
    pub fn repeated(&self, journal: usize) {
        self.memory.repeated(journal);
    }

    /// How far the database was seen on disk, and its changes.
    pub fn mark(&self) -> watch::Receiver<HighWater> {
        self.memory.mark()
    }

    /// Keeps the lease, the shards, the clock, the high-water mark and the partitions until `stop`, or until another
    /// process takes the node's place.
    pub async fn keep(&self, stop: CancellationToken) -> Result<(), Replaced> {
        let mut client: Option<Client> = None;
        let mut partitions_due = Instant::now() + PARTITIONS_EVERY;
        let mut partitions_of = self.now().day();
        loop {
            let outcome = tokio::select! {
                outcome = in_time(self.renew(&mut client)) => outcome,
                () = stop.cancelled() => return Ok(()),
            };
            // What follows may take its time; the next renewal does not wait longer for that.
            let renewed = Instant::now();
            let pause = match outcome {
                Ok(true) => limits::LEASE_RENEWED_EVERY,
                Ok(false) => {
                    self.ownership.clear();
                    return Err(Replaced);
                }
                Err(error) => {
                    tracing::warn!(%error, "the node's lease could not be renewed");
                    client = None;
                    if !self.holds_lease() {
                        self.ownership.clear();
                    }
                    RETRY_EVERY
                }
            };
            if let Some(client) = &client
                && let Err(error) = in_time(self.claim(client)).await
            {
                tracing::warn!(%error, "shards could not be claimed");
            }
            // A machine that slept for days has slept through the timer too: the day is what counts.
            if Instant::now() >= partitions_due || self.now().day() != partitions_of {
                let now = self.now();
                match in_time(dedup::keep_days(&self.pool, now, self.window_days)).await {
                    Ok(()) => {
                        partitions_due = Instant::now() + PARTITIONS_EVERY;
                        partitions_of = now.day();
                    }
                    Err(error) => tracing::warn!(%error, "the daily partitions could not be made"),
                }
            }
            let next = tokio::time::sleep(pause.saturating_sub(renewed.elapsed()));
            tokio::pin!(next);
            loop {
                tokio::select! {
                    () = &mut next => break,
                    () = stop.cancelled() => return Ok(()),
                    () = self.look.notified() => {}
                }
                if let Some(client) = &client {
                    let looked = look(client, self.run(), &self.ownership, &self.peers);
                    if let Err(error) = in_time(looked).await {
                        tracing::debug!(%error, "it could not be looked who owns which shard");
                    }
                }
                // However often somebody asks.
                tokio::time::sleep(limits::OWNERS_LOOKED_AT_EVERY).await;
            }
        }
    }

    /// Claims the shards of nodes that are gone, does what is left to do for them, shares with those that have fewer, and
    /// learns from the store who owns what.
    async fn claim(&self, client: &Client) -> Result<(), StoreError> {
        let since = Instant::now();
        while !self.is_leaving.load(Ordering::Acquire) {
            // Whoever renewed its lease all that time would have been seen by others too: they are gone, not we.
            let held_for = limits::LEASE;
            let claimed = shards::claim_dead(client, self.id, self.incarnation, held_for).await?;
            if claimed > 0 {
                tracing::info!(claimed, "shards of nodes that are gone were claimed");
            }
            // The rest waits for the next renewal, which must not wait for the rest.
            let more = claimed == limits::SHARDS_CLAIMED_AT_ONCE;
            if !more || since.elapsed() >= limits::LEASE_RENEWED_EVERY {
                break;
            }
        }
        look(client, self.run(), &self.ownership, &self.peers).await?;
        // Sends that wait for a new owner go before what is left of the former one, and of a fair share.
        while let Some(buried) = nodes::bury(client, self.run(), limits::LEASE).await? {
            let nodes::Buried { node, ended, is_done } = buried;
            tracing::info!(%node, ended, is_done, "the sessions of a node that is gone were ended");
            if since.elapsed() >= limits::LEASE_RENEWED_EVERY {
                break;
            }
        }
        if !self.shares() {
            return Ok(());
        }
        if self.is_leaving.load(Ordering::Acquire) {
            // Another may have been about to give us some when we announced that we leave.
            self.give_all(client).await?;
        } else {
            let most = limits::SHARDS_SHARED_AT_ONCE;
            let held_for = limits::LEASE_RENEWED_EVERY;
            let given = shards::share(client, self.run(), held_for, most).await?;
            if given > 0 {
                tracing::info!(given, "shards were given to a node that has fewer");
                look(client, self.run(), &self.ownership, &self.peers).await?;
                self.given.notify_one();
            }
        }
        Ok(())
    }

    /// Renews the lease; false when another process has taken the node's place.
    async fn renew(&self, client: &mut Option<Client>) -> Result<bool, StoreError> {
        // Behind a new connection may be another server, or the same one just started: what happened to other nodes' leases
        // meanwhile nobody can tell, so ours counts anew too.
        let held = if client.is_some() { Held::Unbroken } else { Held::Anew };
        let open = match client {
            Some(open) => open,
            None => client.insert(self.open_verified().await?),
        };
        // Taken before asking: the lease runs from some instant after it.
        let asked_at = Instant::now();
        let asked = asked_at.saturating_duration_since(self.start);
        let Some(renewed) = nodes::renew(open, self.id, self.incarnation, held).await? else {
            return Ok(false);
        };
        if renewed.has_lapsed {
            tracing::warn!("the node's lease had run out");
            self.lapses.send_modify(|lapses| *lapses += 1);
        }
        let answered = self.start.elapsed();
        let middle_ms = i64::try_from((asked + answered).as_millis() / 2).unwrap_or_default();
        self.origin_ms.store(renewed.now.get() - middle_ms, Ordering::Relaxed);
        let asked_ms = u64::try_from(asked.as_millis()).unwrap_or(u64::MAX);
        self.renewed_ms.store(asked_ms, Ordering::Relaxed);
        self.memory.renewed(asked_at, &renewed);
        self.save_mark().await;
        Ok(true)
    }

    async fn save_mark(&self) {
        let mark = self.memory.mark().borrow().clone();
        if let Err(error) = self.mark_file.save(&mark).await {
            tracing::warn!(%error, "the high-water mark could not be written");
        }
    }
}

/// Tells whoever runs this what a look at the database decided.
fn tell(verified: &Verified) {
    let reason = match verified.verdict {
        Verdict::Same | Verdict::Wait { .. } => return,
        Verdict::Continued => {
            metrics::counter!("rookery_store_epochs_kept_total").increment(1);
            let timeline = verified.identity.timeline;
            tracing::info!(
                timeline,
                "the database was failed over and lacks nothing: the epoch stays"
            );
            return;
        }
        Verdict::Anew(reason) => reason,
    };
    let epoch = verified.epoch.as_str();
    match reason {
        Reason::First => {
            tracing::info!(epoch, "the first epoch of the store begins");
            return;
        }
        Reason::OtherDatabase | Reason::Behind { .. } | Reason::Lacking { .. } => {
            tracing::error!(
                ?reason,
                epoch,
                "the database lost committed data: a new epoch of the store begins"
            );
        }
        Reason::Unproved => {
            tracing::warn!(
                epoch,
                "the database was failed over and may lack committed data: a new epoch of the store begins"
            );
        }
    }
    metrics::counter!("rookery_store_epochs_begun_total", "why" => reason.as_str()).increment(1);
}

/// Learns from the store who is there and who owns what.
async fn look(
    client: &Client,
    own: NodeRun,
    ownership: &Ownership,
    peers: &Peers,
) -> Result<(), StoreError> {
    let owners = shards::owners(client).await?;
    let ours = owners.iter().filter(|it| it.owner == own).map(|it| (it.shard, it.epoch));
    ownership.replace(&ours.collect::<Vec<_>>());
    peers.replace(nodes::live(client, own.node).await?, &owners);
    Ok(())
}

/// Awaits the store for as long as a statement may take.
async fn in_time<T>(asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    match tokio::time::timeout(limits::STATEMENT_WITHIN, asked).await {
        Ok(outcome) => outcome,
        Err(_) => Err(StoreError::Unavailable { reason: "no answer in time".to_owned() }),
    }
}
