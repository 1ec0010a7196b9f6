//! PostgreSQL as a carrier: a table in which envelopes lie until their reader takes them.
//!
//! Slower than Redis, and always there: where it is not, nothing else of the engine works either.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};

use super::carry::Sealed;
use super::receive::{Raw, Via};
use crate::ids::NodeRun;
use crate::limits;
use crate::store::StoreError;
use crate::store::bus::{Incoming, Outgoing};
use crate::store::connect::Connector;

/// Puts envelopes, on a connection that is opened when it is needed.
pub(super) struct Postgres {
    connector: Connector,
    outgoing: Option<Outgoing>,
}

impl Postgres {
    pub(super) fn new(connector: Connector) -> Self {
        Self { connector, outgoing: None }
    }

    /// Puts envelopes for their readers, in this order, and wakes these. An error says nothing about whether they were put.
    pub(super) async fn put(&mut self, batch: &[Sealed]) -> Result<(), StoreError> {
        // Taken out, so that a connection on which a statement broke, or was given up, is not used again.
        let outgoing = match self.outgoing.take() {
            Some(outgoing) => outgoing,
            None => Outgoing::open(&self.connector).await?,
        };
        let mut readers: Vec<NodeRun> = batch.iter().map(|sealed| sealed.to).collect();
        let envelopes: Vec<&[u8]> = batch.iter().map(|sealed| &sealed.raw[..]).collect();
        in_time(outgoing.put(&readers, &envelopes)).await?;
        readers.sort_unstable();
        readers.dedup();
        match in_time(outgoing.wake(&readers)).await {
            Ok(()) => self.outgoing = Some(outgoing),
            // They look by themselves, a second later.
            Err(error) => tracing::debug!(%error, "readers of the bus could not be woken"),
        }
        Ok(())
    }
}

/// Reads what is for us for ever, across whatever happens to PostgreSQL.
pub(super) async fn read(connector: Connector, own: NodeRun, raws: mpsc::Sender<Raw>) {
    let mut was_there = true;
    loop {
        match read_until_it_fails(&connector, own, &raws, &mut was_there).await {
            Ok(()) => return,
            Err(error) if was_there => {
                tracing::warn!(%error, "the bus cannot be read from PostgreSQL");
                was_there = false;
            }
            Err(_) => {}
        }
        sleep(limits::BUS_PROBE_EVERY).await;
    }
}

/// Ends well only when nobody takes what is read.
async fn read_until_it_fails(
    connector: &Connector,
    own: NodeRun,
    raws: &mpsc::Sender<Raw>,
    was_there: &mut bool,
) -> Result<(), StoreError> {
    let heard = Arc::new(Notify::new());
    let told = heard.clone();
    let incoming = Incoming::open(connector, own, move || told.notify_one()).await?;
    let mut swept_at: Option<Instant> = None;
    loop {
        let taken = in_time(incoming.take()).await?;
        if !std::mem::replace(was_there, true) {
            tracing::info!("the bus is read from PostgreSQL again");
        }
        let is_empty = taken.is_empty();
        for envelope in taken {
            if raws.send(Raw { bytes: envelope.into(), via: Via::Postgres }).await.is_err() {
                return Ok(());
            }
        }
        if swept_at.is_none_or(|at| at.elapsed() > limits::BUS_ROWS_KEPT) {
            in_time(incoming.sweep()).await?;
            swept_at = Some(Instant::now());
        }
        if is_empty {
            // A notice may have been lost with its sender.
            let _ = timeout(limits::BUS_LOOK_EVERY, heard.notified()).await;
        }
    }
}

/// Awaits the store for as long as a statement may take.
async fn in_time<T>(asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    match timeout(limits::STATEMENT_WITHIN, asked).await {
        Ok(outcome) => outcome,
        Err(_) => Err(StoreError::Unavailable { reason: "no answer in time".to_owned() }),
    }
}
