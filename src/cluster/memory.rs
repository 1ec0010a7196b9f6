//! What a node remembers of the store outside it: by this it is seen whether a database has lost something.
//!
//! Never asks the database itself, and decides nothing; [`crate::domain::epoch`] does.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use crate::domain::epoch::{Committed, HighWater, Identity, Verdict, WalPosition, Witness};
use crate::ids::NodeRun;
use crate::limits;
use crate::store::identity::Verified;
use crate::store::nodes::Renewed;

/// The memory of one run of a node.
pub(super) struct Memory {
    run: NodeRun,
    mark: watch::Sender<HighWater>,
    told: Mutex<Told>,
}

/// What the node was told is committed.
#[derive(Default)]
struct Told {
    lease_until_us: Option<i64>,
    /// By the number of the journal.
    last: BTreeMap<usize, Committed>,
    /// When a journal last acked what others had committed, if it has committed nothing itself since.
    repeats: BTreeMap<usize, Instant>,
    /// Since when others are waited for, and at which database.
    waits: Option<(Identity, Instant)>,
    /// Whether the node has ended its lease itself.
    has_left: bool,
}

impl Memory {
    /// One that begins with a database that was verified.
    pub(super) fn new(run: NodeRun, verified: &Verified) -> Self {
        Self { run, mark: watch::Sender::new(mark_of(verified)), told: Mutex::default() }
    }

    /// The high-water mark, and its changes.
    pub(super) fn mark(&self) -> watch::Receiver<HighWater> {
        self.mark.subscribe()
    }

    /// What has to be in the store, if nothing of it was lost.
    pub(super) fn witness(&self) -> Witness {
        let told = self.told();
        let lease_until_us = told.lease_until_us.filter(|_| !told.has_left);
        Witness {
            epoch: self.mark.borrow().epoch.clone(),
            run: self.run,
            lease_until_us,
            last: told.last.values().copied().collect(),
            is_complete: told.repeats.is_empty() && lease_until_us.is_some(),
            waits: told
                .waits
                .is_none_or(|(_, since)| since.elapsed() < limits::OTHERS_PROVE_WITHIN),
        }
    }

    /// A journal was told that this is committed; before anybody is acked.
    pub(super) fn committed(&self, journal: usize, last: Committed) {
        let mut told = self.told();
        told.last.insert(journal, last);
        // They were committed before it.
        told.repeats.remove(&journal);
    }

    /// A journal was told that what it was to commit had been committed before, by whomever; before anybody is acked.
    pub(super) fn repeated(&self, journal: usize) {
        self.told().repeats.insert(journal, Instant::now());
    }

    /// The lease was renewed by what was asked then: whatever had been told before that was committed before it.
    pub(super) fn renewed(&self, asked: Instant, renewed: &Renewed) {
        let mut told = self.told();
        told.lease_until_us = Some(renewed.lease_until_us);
        told.repeats.retain(|_, at| *at >= asked);
        drop(told);
        self.mark.send_if_modified(|mark| raise(mark, renewed.flushed));
    }

    /// The node ends its lease: that it runs less long than before is no loss.
    pub(super) fn leaves(&self) {
        self.told().has_left = true;
    }

    /// The database was seen so far on disk.
    pub(super) fn seen(&self, identity: Identity, flushed: WalPosition) {
        self.mark.send_if_modified(|mark| mark.identity == identity && raise(mark, flushed));
    }

    /// A database was verified, by whatever verdict.
    pub(super) fn verified(&self, verified: &Verified) {
        let mut told = self.told();
        if let Verdict::Wait { .. } = verified.verdict {
            if told.waits.is_none_or(|(identity, _)| identity != verified.identity) {
                told.waits = Some((verified.identity, Instant::now()));
            }
            return;
        }
        told.waits = None;
        let seen = mark_of(verified);
        if self.mark.borrow().epoch != seen.epoch {
            // It belongs to a history that has been given up, here or by another node.
            told.lease_until_us = None;
            told.last.clear();
            told.repeats.clear();
        }
        self.mark.send_if_modified(|mark| {
            // A renewal may have seen more meanwhile.
            if mark.epoch == seen.epoch && mark.identity == seen.identity {
                return raise(mark, seen.flushed);
            }
            *mark = seen;
            true
        });
        drop(told);
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn mark_of(verified: &Verified) -> HighWater {
    HighWater {
        epoch: verified.epoch.as_str().to_owned(),
        identity: verified.identity,
        flushed: verified.flushed,
    }
}

/// Raises the mark; whether it rose.
fn raise(mark: &mut HighWater, flushed: WalPosition) -> bool {
    let rises = mark.flushed < flushed;
    mark.flushed = mark.flushed.max(flushed);
    rises
}
