//! Envelopes that lie in PostgreSQL until their reader takes them, and the key that signs them.
//!
//! Never opens one. What lies here is not logged: a crash of the database loses it, as a crash of Redis would.

use deadpool_postgres::Pool;
use tokio_postgres::{Client, Statement};

use super::StoreError;
use super::connect::Connector;
use super::query::{get, rows};
use crate::ids::NodeRun;
use crate::limits;

const OFFER_CLUSTER_KEY: &str = include_str!("../../sql/queries/offer_cluster_key.sql");
const CLUSTER_KEY: &str = include_str!("../../sql/queries/cluster_key.sql");
const BUS_OPENED: &str = include_str!("../../sql/queries/bus_opened.sql");
const PUT_ENVELOPES: &str = include_str!("../../sql/queries/put_envelopes.sql");
const WAKE_READERS: &str = include_str!("../../sql/queries/wake_readers.sql");
const LISTEN_FOR_ENVELOPES: &str = include_str!("../../sql/queries/listen_for_envelopes.sql");
const TAKE_ENVELOPES: &str = include_str!("../../sql/queries/take_envelopes.sql");
const SWEEP_ENVELOPES: &str = include_str!("../../sql/queries/sweep_envelopes.sql");

/// The key that all nodes of this database share: `offered`, if there was none yet.
pub async fn cluster_key(pool: &Pool, offered: [u8; 32]) -> Result<[u8; 32], StoreError> {
    rows(pool, OFFER_CLUSTER_KEY, &[&offered.as_slice()]).await?;
    let found = rows(pool, CLUSTER_KEY, &[]).await?;
    let key: Option<&[u8]> = found.first().map(|row| get(row, "key")).transpose()?;
    key.and_then(|key| key.try_into().ok())
        .ok_or_else(|| StoreError::Refused { reason: "the cluster's key is gone".to_owned() })
}

/// The same, by a connection of one who offers none.
pub async fn known_cluster_key(client: &Client) -> Result<Option<[u8; 32]>, StoreError> {
    let found =
        client.query_opt(CLUSTER_KEY, &[]).await.map_err(|error| StoreError::of_read(&error))?;
    let key: Option<&[u8]> = found.as_ref().map(|row| get(row, "key")).transpose()?;
    Ok(key.and_then(|key| key.try_into().ok()))
}

/// A connection that puts envelopes.
pub struct Outgoing {
    client: Client,
    put: Statement,
    wake: Statement,
}

impl Outgoing {
    /// Opens one.
    pub async fn open(connector: &Connector) -> Result<Self, StoreError> {
        let client = connector.open().await?;
        let failed = |error: tokio_postgres::Error| StoreError::of_read(&error);
        client.batch_execute(BUS_OPENED).await.map_err(failed)?;
        let put = client.prepare(PUT_ENVELOPES).await.map_err(failed)?;
        let wake = client.prepare(WAKE_READERS).await.map_err(failed)?;
        Ok(Self { client, put, wake })
    }

    /// Puts envelopes for their readers, in this order.
    ///
    /// An error says nothing about whether they were put: readers know what they have had.
    pub async fn put(&self, to: &[NodeRun], envelopes: &[&[u8]]) -> Result<(), StoreError> {
        let (nodes, incarnations) = columns(to);
        self.client
            .execute(&self.put, &[&nodes, &incarnations, &envelopes])
            .await
            .map_err(|error| StoreError::of_read(&error))?;
        Ok(())
    }

    /// Tells readers that something waits for them; who does not hear it looks by itself.
    pub async fn wake(&self, readers: &[NodeRun]) -> Result<(), StoreError> {
        let (nodes, incarnations) = columns(readers);
        self.client
            .query(&self.wake, &[&nodes, &incarnations])
            .await
            .map_err(|error| StoreError::of_read(&error))?;
        Ok(())
    }
}

fn columns(runs: &[NodeRun]) -> (Vec<i64>, Vec<i64>) {
    runs.iter().map(|run| (run.node.get(), run.incarnation.get())).unzip()
}

/// A connection that takes the envelopes for one run.
pub struct Incoming {
    client: Client,
    own: NodeRun,
    take: Statement,
}

impl Incoming {
    /// Opens one. `heard` is called whenever something was put for `own`, until the connection ends.
    pub async fn open(
        connector: &Connector,
        own: NodeRun,
        heard: impl Fn() + Send + 'static,
    ) -> Result<Self, StoreError> {
        let client = connector.open_listening(heard).await?;
        let failed = |error: tokio_postgres::Error| StoreError::of_read(&error);
        client.batch_execute(BUS_OPENED).await.map_err(failed)?;
        let take = client.prepare(TAKE_ENVELOPES).await.map_err(failed)?;
        let run = (own.node.get(), own.incarnation.get());
        client.query(LISTEN_FOR_ENVELOPES, &[&run.0, &run.1]).await.map_err(failed)?;
        Ok(Self { client, own, take })
    }

    /// Takes the oldest envelopes that are there; none when nothing is. Those that are lost on the way here are lost.
    pub async fn take(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        let (node, incarnation) = (self.own.node.get(), self.own.incarnation.get());
        let count = limits::BUS_BATCH as i64;
        let bytes = limits::BUS_BATCH_BYTES as i64;
        let rows = self
            .client
            .query(&self.take, &[&node, &incarnation, &count, &bytes])
            .await
            .map_err(|error| StoreError::of_read(&error))?;
        rows.iter().map(|row| get(row, "envelope")).collect()
    }

    /// Drops what nobody has taken for long, whoever it is for.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        self.client
            .execute(SWEEP_ENVELOPES, &[&limits::BUS_ROWS_KEPT.as_secs_f64()])
            .await
            .map_err(|error| StoreError::of_read(&error))?;
        Ok(())
    }
}
