//! The high-water mark that all nodes share, in Redis: one that starts without its folder, or was away, sees by it
//! that the database lost something.
//!
//! Never needed: each node has a mark of its own besides. What Redis loses of it is written again within seconds.

use deadpool_postgres::Pool;
use redis::aio::MultiplexedConnection;
use tokio::sync::watch;

use super::envelope::ClusterKey;
use super::redis::{Failure, Redis};
use crate::domain::epoch::HighWater;
use crate::ids::{Incarnation, NodeId, NodeRun};
use crate::store::StoreError;
use crate::store::bus::cluster_key;
use crate::store::identity::{mark_from_bytes, mark_to_bytes};

/// The mark in a Redis that may or may not be there.
#[derive(Debug, Clone)]
pub struct SharedMark {
    redis: Redis,
    key: ClusterKey,
}

impl SharedMark {
    /// That of the cluster of this database, in the Redis at `url`. An address that cannot be read is
    /// [`StoreError::Unfit`].
    pub async fn at(url: &str, pool: &Pool) -> Result<Self, StoreError> {
        let key = ClusterKey::new(cluster_key(pool, rand::random()).await?);
        // It is nobody's own.
        let nobody =
            NodeRun { node: NodeId::from_store(0), incarnation: Incarnation::from_store(0) };
        Ok(Self { redis: Redis::at(url, &key, nobody)?, key })
    }

    /// Reads the mark; none when there is none, or when Redis does not say so soon.
    pub async fn load(&self) -> Option<HighWater> {
        let reading = async {
            let mut connection = self.redis.open().await?;
            self.read(&mut connection).await
        };
        reading
            .await
            .inspect_err(
                |error| tracing::warn!(%error, "the shared high-water mark cannot be read"),
            )
            .ok()
            .flatten()
    }

    /// Raises the mark with that of a node, for as long as the node is there.
    pub async fn keep(self, mut own: watch::Receiver<HighWater>) {
        let (mut open, mut was_there) = (None, true);
        while own.changed().await.is_ok() {
            let mark = own.borrow_and_update().clone();
            let raised = self.raise(&mut open, &mark).await;
            if let Err(error) = &raised {
                open = None;
                if was_there {
                    tracing::warn!(%error, "the shared high-water mark cannot be written");
                }
            }
            was_there = raised.is_ok();
        }
    }

    /// Raises the mark once.
    pub async fn note(&self, mark: &HighWater) {
        if let Err(error) = self.raise(&mut None, mark).await {
            tracing::warn!(%error, "the shared high-water mark cannot be written");
        }
    }

    /// Two that raise it at once may leave the lower one; they differ by moments, and the next one follows in seconds.
    async fn raise(
        &self,
        open: &mut Option<MultiplexedConnection>,
        mark: &HighWater,
    ) -> Result<(), Failure> {
        let connection = match open {
            Some(connection) => connection,
            None => open.insert(self.redis.open().await?),
        };
        let is_raised = self.read(connection).await?.is_some_and(|shared| {
            let is_of_this = shared.epoch == mark.epoch && shared.identity == mark.identity;
            is_of_this && shared.flushed >= mark.flushed
        });
        if is_raised {
            return Ok(());
        }
        self.redis.write_mark(connection, &self.key.seal_mark(&mark_to_bytes(mark))).await
    }

    async fn read(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<Option<HighWater>, Failure> {
        let Some(raw) = self.redis.read_mark(connection).await? else { return Ok(None) };
        let mark = self.key.open_mark(&raw).map_err(|why| why.to_string());
        let mark = mark.and_then(|mark| mark_from_bytes(mark).map_err(|why| why.to_string()));
        // Whoever else wrote there can at most have it written again.
        Ok(mark
            .inspect_err(|why| tracing::warn!(why, "the shared high-water mark is refused"))
            .ok())
    }
}
