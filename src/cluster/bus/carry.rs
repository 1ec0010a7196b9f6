//! Gives what waits to whoever carries at the moment, and decides who that is.
//!
//! Redis carries until it fails once; from that moment on PostgreSQL does, until Redis has taken a real write again. What
//! Redis did not confirm is given to PostgreSQL too: its receiver knows what it has had.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::Carrier;
use super::envelope::{ClusterKey, is_late};
use super::outbox::{Outbox, Unsent};
use super::postgres::Postgres;
use super::receive::Via;
use super::redis::{Failure, Redis};
use crate::ids::{NodeRun, UnixMs};
use crate::limits;

/// An envelope as it is carried.
#[derive(Debug, Clone)]
pub(super) struct Sealed {
    pub(super) to: NodeRun,
    pub(super) deadline: UnixMs,
    pub(super) raw: Bytes,
}

/// What those who send share with the one who carries.
#[derive(Debug)]
pub(super) struct Shared {
    outbox: Mutex<Outbox>,
    filled: Notify,
}

impl Shared {
    pub(super) fn new(outbox: Outbox) -> Self {
        Self { outbox: Mutex::new(outbox), filled: Notify::new() }
    }

    /// Does something with what waits.
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut Outbox) -> T) -> T {
        change(&mut self.outbox.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has whoever carries look at what waits.
    pub(super) fn filled(&self) {
        self.filled.notify_one();
    }
}

/// Counts letters that were not sent.
pub(super) fn count_unsent(why: Unsent, letters: usize) {
    if letters > 0 {
        metrics::counter!("rookery_bus_unsent_total", "why" => why.as_str())
            .increment(letters as u64);
    }
}

/// A Redis that is set, as it stands.
enum Line {
    /// It carries.
    Open(MultiplexedConnection),
    /// It failed, and is asked until it answers.
    Broken(JoinHandle<MultiplexedConnection>),
}

pub(super) struct Carry {
    key: ClusterKey,
    shared: Arc<Shared>,
    now: Arc<dyn Fn() -> UnixMs + Send + Sync>,
    carrier: watch::Sender<Carrier>,
    redis: Option<(Redis, Line)>,
    postgres: Postgres,
    /// What was taken out and nobody has confirmed yet.
    batch: Vec<Sealed>,
    beat_at: Instant,
    /// Whether Redis was asked anything since the last beat.
    redis_was_asked: bool,
    postgres_failed: bool,
}

impl Carry {
    /// To be called where it runs: it begins to ask Redis.
    pub(super) fn new(
        key: ClusterKey,
        shared: Arc<Shared>,
        now: Arc<dyn Fn() -> UnixMs + Send + Sync>,
        carrier: watch::Sender<Carrier>,
        redis: Option<Redis>,
        postgres: Postgres,
    ) -> Self {
        let redis = redis.map(|redis| {
            let line = Line::Broken(tokio::spawn(redis.clone().until_it_answers()));
            (redis, line)
        });
        Self {
            key,
            shared,
            now,
            carrier,
            redis,
            postgres,
            batch: Vec::new(),
            beat_at: Instant::now(),
            redis_was_asked: false,
            postgres_failed: false,
        }
    }

    /// Carries until `stop`, and then what still waits, if that is quick.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = self.carry_on() => {}
            () = stop.cancelled() => {}
        }
        let last = async {
            loop {
                self.refill();
                if self.batch.is_empty() || !self.carry().await {
                    break;
                }
            }
        };
        let _ = timeout(limits::BUS_ANSWER_WITHIN, last).await;
    }

    async fn carry_on(&mut self) {
        loop {
            if Instant::now() >= self.beat_at {
                self.beat().await;
            }
            self.refill();
            if self.batch.is_empty() {
                self.wait().await;
            } else if !self.carry().await {
                // Not for long: who sent this waits, and Redis may be back meanwhile.
                tokio::select! {
                    () = sleep(limits::RECONNECT_EVERY) => {}
                    () = mended(&mut self.redis, &self.carrier) => {}
                }
            }
        }
    }

    async fn wait(&mut self) {
        tokio::select! {
            () = self.shared.filled.notified() => {}
            () = sleep_until(self.beat_at.into()) => {}
            () = mended(&mut self.redis, &self.carrier) => {}
        }
    }

    /// Lets the peers hear of us, and finds out whether a Redis that nobody needed lately is still there.
    async fn beat(&mut self) {
        let at = Instant::now();
        self.beat_at = at + limits::BUS_BEAT_EVERY;
        let deadline = deadline((self.now)());
        self.shared.with(|outbox| outbox.beat(deadline, at));
        if std::mem::take(&mut self.redis_was_asked) {
            return;
        }
        if let Some((redis, Line::Open(connection))) = &mut self.redis
            && let Err(error) = redis.check(connection).await
        {
            self.break_line(&error);
        }
    }

    /// Takes out what is carried next, unless something is left over.
    fn refill(&mut self) {
        let now = (self.now)();
        let before = self.batch.len();
        self.batch.retain(|sealed| !is_late(sealed.deadline, now));
        count_unsent(Unsent::Late, before - self.batch.len());
        if !self.batch.is_empty() {
            return;
        }
        let (envelopes, late) = self.shared.with(|outbox| outbox.gather(now));
        count_unsent(Unsent::Late, late);
        let seal = |envelope| Sealed {
            raw: self.key.seal(&envelope),
            to: envelope.to,
            deadline: envelope.deadline,
        };
        self.batch = envelopes.into_iter().map(seal).collect();
    }

    /// Has the batch carried; false when nobody does at the moment.
    async fn carry(&mut self) -> bool {
        let Some(via) = self.by_anyone().await else { return false };
        let bytes: usize = self.batch.iter().map(|sealed| sealed.raw.len()).sum();
        metrics::counter!("rookery_bus_sent_total", "carrier" => via.as_str())
            .increment(self.batch.len() as u64);
        metrics::counter!("rookery_bus_sent_bytes_total", "carrier" => via.as_str())
            .increment(bytes as u64);
        self.batch.clear();
        true
    }

    async fn by_anyone(&mut self) -> Option<Via> {
        loop {
            if let Some(via) = self.by_redis().await {
                return Some(via);
            }
            let put = tokio::select! {
                put = self.postgres.put(&self.batch) => put,
                // Whatever PostgreSQL makes of what it was given: it is given to Redis once more.
                () = mended(&mut self.redis, &self.carrier) => continue,
            };
            let was_failing = std::mem::replace(&mut self.postgres_failed, put.is_err());
            match put {
                Ok(()) => return Some(Via::Postgres),
                Err(error) if !was_failing => {
                    tracing::warn!(%error, "nobody carries what this node sends to others");
                }
                Err(_) => {}
            }
            return None;
        }
    }

    async fn by_redis(&mut self) -> Option<Via> {
        let Some((redis, Line::Open(connection))) = &mut self.redis else { return None };
        self.redis_was_asked = true;
        let added = match redis.add(connection, &self.batch).await {
            // The server closed it, perhaps long ago and for no reason of ours: that alone is no failure.
            Err(Failure::Redis(error)) if error.is_connection_dropped() => {
                match redis.open().await {
                    Ok(opened) => {
                        *connection = opened;
                        redis.add(connection, &self.batch).await
                    }
                    Err(error) => Err(error),
                }
            }
            added => added,
        };
        match added {
            Ok(()) => Some(Via::Redis),
            Err(error) => {
                self.break_line(&error);
                None
            }
        }
    }

    fn break_line(&mut self, error: &Failure) {
        tracing::warn!(%error, "Redis failed; PostgreSQL carries what nodes send each other");
        if let Some((redis, line)) = &mut self.redis {
            let redis = redis.clone();
            *line = Line::Broken(tokio::spawn(async move {
                // One that takes some writes and refuses others must not be tried for each batch.
                sleep(limits::BUS_PROBE_EVERY).await;
                redis.until_it_answers().await
            }));
        }
        self.carrier.send_replace(Carrier::Postgres { redis_is_set: true });
    }
}

/// Waits until a Redis that failed can carry again, and lets it.
async fn mended(redis: &mut Option<(Redis, Line)>, carrier: &watch::Sender<Carrier>) {
    let Some((redis, line)) = redis else { return std::future::pending().await };
    let Line::Broken(asking) = line else { return std::future::pending().await };
    match asking.await {
        Ok(connection) => {
            *line = Line::Open(connection);
            carrier.send_replace(Carrier::Redis);
            tracing::info!("Redis carries what nodes send each other");
        }
        // Whatever broke there, Redis is asked on.
        Err(_) => *line = Line::Broken(tokio::spawn(redis.clone().until_it_answers())),
    }
}

/// Until when what is sent now may arrive.
pub(super) fn deadline(now: UnixMs) -> UnixMs {
    UnixMs::new(now.get().saturating_add(limits::BUS_DEADLINE.as_millis() as i64))
}
