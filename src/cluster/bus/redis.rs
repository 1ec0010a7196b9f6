//! Redis as a carrier: one stream for each run of a node, which its reader empties.
//!
//! Never retries for long: whoever sends turns to PostgreSQL at the first failure, and comes back when a probe succeeds.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Pipeline, RedisError};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::carry::Sealed;
use super::envelope::ClusterKey;
use super::receive::{Raw, Via};
use crate::ids::NodeRun;
use crate::limits;
use crate::store::StoreError;

/// Why Redis did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Redis(#[from] RedisError),
    #[error("no connection in time")]
    Connecting,
    #[error("it does not hold what it was given")]
    Forgetful,
}

/// What is read of a stream: its name, and for each entry the id and the field's name and value.
type Entries = Option<Vec<(Vec<u8>, Vec<(String, Vec<Vec<u8>>)>)>>;

/// A Redis that may or may not be there.
#[derive(Debug, Clone)]
pub(super) struct Redis {
    client: Client,
    prefix: String,
    own: NodeRun,
}

impl Redis {
    /// One at `url`, which nobody has asked yet.
    pub(super) fn at(url: &str, key: &ClusterKey, own: NodeRun) -> Result<Self, StoreError> {
        // The text itself may hold a password and is not repeated.
        let client = Client::open(url).map_err(|error| StoreError::Unfit {
            reason: format!("redis.url cannot be read: {error}"),
        })?;
        Ok(Self { client, prefix: key.prefix(), own })
    }

    fn stream(&self, run: NodeRun) -> String {
        format!("{}:bus:{run}", self.prefix)
    }

    /// Opens a connection whose answers come within `answer` beyond what a command waits by itself.
    async fn connect(&self, answer: Duration) -> Result<MultiplexedConnection, Failure> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(limits::BUS_CONNECT_WITHIN))
            .set_response_timeout(Some(answer));
        let connecting = self.client.get_multiplexed_async_connection_with_config(&config);
        // A frozen server is connected to by its kernel: the crate's limit ends before the first commands are answered.
        match timeout(limits::BUS_CONNECT_WITHIN, connecting).await {
            Ok(connected) => Ok(connected?),
            Err(_) => Err(Failure::Connecting),
        }
    }

    /// Opens a connection for sending.
    pub(super) async fn open(&self) -> Result<MultiplexedConnection, Failure> {
        self.connect(limits::BUS_ANSWER_WITHIN).await
    }

    /// Finds out whether Redis takes what it is given and gives it back.
    pub(super) async fn check(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), Failure> {
        let key = format!("{}:probe:{}", self.prefix, self.own);
        let written: u64 = rand::random();
        let kept = limits::BUS_STREAM_KEPT.as_secs();
        let mut asking = redis::pipe();
        asking.cmd("SET").arg(&key).arg(written).arg("EX").arg(kept).ignore().cmd("GET").arg(&key);
        let (read,): (Option<u64>,) = asking.query_async(connection).await?;
        if read == Some(written) { Ok(()) } else { Err(Failure::Forgetful) }
    }

    /// The same on a connection of its own, and why not.
    pub(super) async fn check_once(&self) -> Result<(), Failure> {
        let mut connection = self.open().await?;
        self.check(&mut connection).await
    }

    /// The mark that all nodes share, as it was written.
    pub(super) async fn read_mark(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<Option<Vec<u8>>, Failure> {
        Ok(redis::cmd("GET").arg(self.mark()).query_async(connection).await?)
    }

    /// Writes it. It stays until it is written again: what it says of an epoch does not become wrong.
    pub(super) async fn write_mark(
        &self,
        connection: &mut MultiplexedConnection,
        mark: &[u8],
    ) -> Result<(), Failure> {
        Ok(redis::cmd("SET").arg(self.mark()).arg(mark).exec_async(connection).await?)
    }

    fn mark(&self) -> String {
        format!("{}:mark", self.prefix)
    }

    /// Asks until Redis can carry.
    pub(super) async fn until_it_answers(self) -> MultiplexedConnection {
        loop {
            let probed = async {
                let mut connection = self.open().await?;
                self.check(&mut connection).await?;
                Ok::<_, Failure>(connection)
            };
            match probed.await {
                Ok(connection) => return connection,
                Err(error) => tracing::debug!(%error, "Redis does not answer yet"),
            }
            sleep(limits::BUS_PROBE_EVERY).await;
        }
    }

    /// Adds envelopes to their readers' streams, in this order. An error says nothing about whether they were added.
    pub(super) async fn add(
        &self,
        connection: &mut MultiplexedConnection,
        batch: &[Sealed],
    ) -> Result<(), Failure> {
        let mut adding = redis::pipe();
        let mut readers: Vec<NodeRun> = batch.iter().map(|sealed| sealed.to).collect();
        for sealed in batch {
            let stream = self.stream(sealed.to);
            adding.cmd("XADD").arg(stream).arg("MAXLEN").arg("~").arg(limits::BUS_STREAM);
            adding.arg("*").arg("e").arg(&sealed.raw[..]).ignore();
        }
        readers.sort_unstable();
        readers.dedup();
        for reader in readers {
            let kept = limits::BUS_STREAM_KEPT.as_secs();
            adding.cmd("EXPIRE").arg(self.stream(reader)).arg(kept).ignore();
        }
        Ok(adding.exec_async(connection).await?)
    }

    /// Reads our stream for ever, across whatever happens to Redis.
    pub(super) async fn read(self, raws: mpsc::Sender<Raw>) {
        let mut was_there = true;
        loop {
            match self.read_until_it_fails(&raws, &mut was_there).await {
                Ok(()) => return,
                Err(error) if was_there => {
                    tracing::warn!(%error, "the bus cannot be read from Redis");
                    was_there = false;
                }
                Err(_) => {}
            }
            sleep(limits::BUS_PROBE_EVERY).await;
        }
    }

    /// Ends well only when nobody takes what is read.
    async fn read_until_it_fails(
        &self,
        raws: &mpsc::Sender<Raw>,
        was_there: &mut bool,
    ) -> Result<(), Failure> {
        // A connection of its own: a blocking command holds up everything behind it.
        let answer = limits::BUS_LOOK_EVERY + limits::BUS_ANSWER_WITHIN;
        let mut connection = self.connect(answer).await?;
        let stream = self.stream(self.own);
        let mut read: Vec<String> = Vec::new();
        // Few at first: where the last read took too long, a smaller one gets through.
        let mut count = 1;
        loop {
            // Always from the beginning, and what was read is deleted: after Redis was emptied or started again,
            // perhaps with a clock that is behind, a place that was remembered would mean nothing.
            let mut asking = Pipeline::new();
            if !read.is_empty() {
                asking.cmd("XDEL").arg(&stream).arg(&read).ignore();
            }
            let block_ms = limits::BUS_LOOK_EVERY.as_millis() as u64;
            asking.cmd("XREAD").arg("COUNT").arg(count).arg("BLOCK").arg(block_ms);
            asking.arg("STREAMS").arg(&stream).arg("0");
            let (entries,): (Entries,) = asking.query_async(&mut connection).await?;
            if !std::mem::replace(was_there, true) {
                tracing::info!("the bus is read from Redis again");
            }
            count = limits::BUS_STREAM_READ.min(2 * count);
            read.clear();
            for (id, fields) in entries.into_iter().flatten().flat_map(|(_, entries)| entries) {
                read.push(id);
                // One that another program wrote has another form; what it holds is refused like any forged one.
                let bytes = fields.into_iter().nth(1).unwrap_or_default().into();
                if raws.send(Raw { bytes, via: Via::Redis }).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}
