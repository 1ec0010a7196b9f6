//! The bus: what carries letters from one running node to another. Redis does while it is there, PostgreSQL otherwise.
//!
//! Never looks into a letter, keeps none for a node that is not there, and asks nobody to wait for it. What did not arrive
//! is told as a gap; whoever hears of one compares with the store.

mod carry;
pub mod envelope;
mod inbox;
mod mark;
mod outbox;
mod postgres;
mod receive;
mod redis;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use deadpool_postgres::Pool;
use tokio::runtime;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::carry::{Carry, Shared, count_unsent, deadline};
use self::envelope::ClusterKey;
pub use self::mark::SharedMark;
use self::outbox::{Outbox, Unsent};
use self::postgres::Postgres;
use self::receive::Receiver;
use self::redis::Redis;
use crate::ids::{Incarnation, NodeId, NodeRun, UnixMs};
use crate::limits;
use crate::store::StoreError;
use crate::store::bus::cluster_key;
use crate::store::connect::Connector;

/// What the bus stands on.
#[derive(Clone)]
pub struct BusSettings {
    /// For the cluster's key, at the start.
    pub pool: Pool,
    /// For connections of its own.
    pub connector: Connector,
    /// `redis.url`; none when it is not set.
    pub redis_url: Option<String>,
    /// The database's time, as well as it is known here.
    pub now: Arc<dyn Fn() -> UnixMs + Send + Sync>,
}

impl fmt::Debug for BusSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address may hold a password.
        f.debug_struct("BusSettings").field("redis_is_set", &self.redis_url.is_some()).finish()
    }
}

/// What comes out of the bus: for each sender in its order, nothing twice, nothing late.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrived {
    /// A letter, as it was sent.
    Letter {
        /// Who sent it.
        from: NodeRun,
        /// What was sent.
        payload: Bytes,
    },
    /// Something that this node sent did not arrive, or may not have: numbers were skipped.
    Gap {
        /// Who sent it.
        from: NodeRun,
    },
}

/// Who carries at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// Redis.
    Redis,
    /// PostgreSQL.
    Postgres {
        /// Whether a Redis is set, and carries again as soon as it answers.
        redis_is_set: bool,
    },
}

/// Finds out whether a Redis takes what it is given and gives it back, as a node of the cluster with this key would; the error
/// says why not. An address that cannot be read is [`StoreError::Unfit`].
pub async fn check_redis(url: &str, key: [u8; 32]) -> Result<Result<(), String>, StoreError> {
    // No node has this number.
    let nobody = NodeRun { node: NodeId::from_store(0), incarnation: Incarnation::from_store(0) };
    let redis = Redis::at(url, &ClusterKey::new(key), nobody)?;
    Ok(redis.check_once().await.map_err(|why| why.to_string()))
}

/// One node's end of the bus.
pub struct Bus {
    shared: Arc<Shared>,
    now: Arc<dyn Fn() -> UnixMs + Send + Sync>,
    carrier: watch::Receiver<Carrier>,
    /// Ends the bus's thread with the last holder.
    _stop: DropGuard,
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").field("carrier", &*self.carrier.borrow()).finish_non_exhaustive()
    }
}

impl Bus {
    /// Starts the bus on a thread of its own; it ends with `stop`, or when nobody holds it any more.
    ///
    /// What arrives waits in the receiver within a bound; that it ends without `stop` means that the bus has failed. A
    /// `redis_url` that cannot be read is [`StoreError::Unfit`]; a Redis that is not there is none.
    pub async fn start(
        own: NodeRun,
        settings: BusSettings,
        stop: CancellationToken,
    ) -> Result<(Arc<Self>, mpsc::Receiver<Arrived>), StoreError> {
        let BusSettings { pool, connector, redis_url, now } = settings;
        let key = ClusterKey::new(cluster_key(&pool, rand::random()).await?);
        let redis = redis_url.map(|url| Redis::at(&url, &key, own)).transpose()?;
        let (carrier, carriers) =
            watch::channel(Carrier::Postgres { redis_is_set: redis.is_some() });
        let shared = Arc::new(Shared::new(Outbox::new(own)));
        let (arrived, arrivals) = mpsc::channel(limits::BUS_ARRIVED);
        let (raws, read) = mpsc::channel(limits::BUS_READ_AHEAD);
        let receiver = Receiver { own, key: key.clone(), now: now.clone(), arrived };
        let stop = stop.child_token();

        let failed = |error: std::io::Error| StoreError::Unavailable { reason: error.to_string() };
        let runtime =
            runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (at_work, of_bus, clock) = (shared.clone(), stop.clone(), now.clone());
        let work = async move {
            let reading_postgres = postgres::read(connector.clone(), own, raws.clone());
            let redis_to_read = redis.clone();
            let reading_redis = async {
                if let Some(redis) = redis_to_read {
                    redis.read(raws).await;
                }
            };
            let postgres = Postgres::new(connector);
            let carry = Carry::new(key, at_work, clock, carrier, redis, postgres);
            tokio::select! {
                () = carry.run(of_bus) => {}
                // Who takes nothing any more may still send.
                () = async {
                    tokio::join!(reading_postgres, reading_redis, receiver.run(read));
                    std::future::pending().await
                } => {}
            }
        };
        // Signing and opening large letters keeps a thread busy; no session waits for that here.
        std::thread::Builder::new()
            .name("bus".to_owned())
            .spawn(move || runtime.block_on(work))
            .map_err(failed)?;
        let bus = Self { shared, now, carrier: carriers, _stop: stop.drop_guard() };
        Ok((Arc::new(bus), arrivals))
    }

    /// Queues a letter. Never waits; false when it found no room: the receiver then sees a gap.
    pub fn send(&self, to: NodeRun, payload: Bytes) -> bool {
        let deadline = deadline((self.now)());
        match self.shared.with(|outbox| outbox.put(to, payload, deadline, Instant::now())) {
            Ok(()) => {
                self.shared.filled();
                true
            }
            Err(why) => {
                count_unsent(why, 1);
                false
            }
        }
    }

    /// Who is there, told by whoever reads the nodes' leases: beats go to these, links to others are dropped.
    pub fn set_peers(&self, peers: &[NodeRun]) {
        let dropped = self.shared.with(|outbox| outbox.set_peers(peers, Instant::now()));
        count_unsent(Unsent::Gone, dropped);
    }

    /// Who carries at the moment, and its changes.
    pub fn carrier(&self) -> watch::Receiver<Carrier> {
        self.carrier.clone()
    }
}
