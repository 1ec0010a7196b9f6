//! Opens what was read, whoever carried it, and hands it over in order.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout_at;

use super::Arrived;
use super::envelope::{ClusterKey, is_late};
use super::inbox::{Due, Inbox, Taken, What};
use crate::ids::{NodeRun, UnixMs};
use crate::limits;

/// Bytes as they were read.
pub(super) struct Raw {
    pub(super) bytes: Bytes,
    pub(super) via: Via,
}

/// Who carried something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Via {
    Redis,
    Postgres,
}

impl Via {
    /// As it is counted.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Postgres => "postgres",
        }
    }
}

pub(super) struct Receiver {
    pub(super) own: NodeRun,
    pub(super) key: ClusterKey,
    pub(super) now: Arc<dyn Fn() -> UnixMs + Send + Sync>,
    pub(super) arrived: mpsc::Sender<Arrived>,
}

impl Receiver {
    /// Opens and hands over until nobody takes anything any more.
    pub(super) async fn run(self, mut raws: mpsc::Receiver<Raw>) {
        let mut inbox = Inbox::default();
        let mut due = Vec::new();
        loop {
            let tidy_at = Instant::now() + limits::BUS_SILENT_FOR;
            let until = inbox.next_release().map_or(tidy_at, |release| release.min(tidy_at));
            match timeout_at(until.into(), raws.recv()).await {
                Ok(Some(raw)) => self.open(&raw, &mut inbox, &mut due),
                Ok(None) => return,
                Err(_) => {}
            }
            inbox.release(Instant::now(), &mut due);
            for due in due.drain(..) {
                let Ok(room) = self.arrived.reserve().await else { return };
                room.send(self.now_or_never(due));
            }
        }
    }

    fn open(&self, raw: &Raw, inbox: &mut Inbox, due: &mut Vec<Due>) {
        let via = raw.via.as_str();
        metrics::counter!("rookery_bus_received_total", "carrier" => via).increment(1);
        metrics::counter!("rookery_bus_received_bytes_total", "carrier" => via)
            .increment(raw.bytes.len() as u64);
        let refused = match self.key.open(&raw.bytes, self.own, (self.now)()) {
            Ok(envelope) => match inbox.take(envelope, Instant::now(), due) {
                Taken::New => return,
                // What one carrier was given in vain came by the other one too.
                Taken::Repeat => "repeat",
            },
            Err(why) => why.as_str(),
        };
        metrics::counter!("rookery_bus_refused_total", "why" => refused).increment(1);
    }

    /// What waited too long for its place in the queue did not arrive.
    fn now_or_never(&self, due: Due) -> Arrived {
        let from = due.from;
        match due.what {
            What::Letter { payload, deadline } if !is_late(deadline, (self.now)()) => {
                Arrived::Letter { from, payload }
            }
            What::Letter { .. } | What::Gap => {
                metrics::counter!("rookery_bus_gaps_total").increment(1);
                Arrived::Gap { from }
            }
        }
    }
}
