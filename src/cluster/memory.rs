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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ConversationNo, Epoch, Incarnation, MessageId, NodeId, Seq, UnixMs};

    const HERE: Identity = Identity { system_identifier: 7, timeline: 1 };
    const RUN: NodeRun =
        NodeRun { node: NodeId::from_store(1), incarnation: Incarnation::from_store(1) };

    fn verified(epoch: &str, flushed: WalPosition) -> Verified {
        let (epoch, now) = (Epoch::from_store(epoch), UnixMs::new(0));
        Verified { epoch, identity: HERE, flushed, now, verdict: Verdict::Same }
    }

    fn renewed(lease_until_us: i64) -> Renewed {
        Renewed { now: UnixMs::new(0), lease_until_us, flushed: 0, has_lapsed: false }
    }

    fn entry(seq: u64) -> Committed {
        let conversation = ConversationNo::from_store(1);
        Committed { conversation, seq: Seq::new(seq), message_id: MessageId::from_store(1) }
    }

    /// One that has renewed its lease.
    fn memory() -> Memory {
        let memory = Memory::new(RUN, &verified("a", 100));
        memory.renewed(Instant::now(), &renewed(5));
        memory
    }

    #[test]
    fn the_last_commit_of_each_journal_is_remembered_and_complete_once_the_lease_was_renewed() {
        let memory = Memory::new(RUN, &verified("a", 100));
        memory.committed(0, entry(1));
        memory.committed(1, entry(7));
        memory.committed(0, entry(2));
        assert!(!memory.witness().is_complete, "of what came before it nothing is known yet");

        memory.renewed(Instant::now(), &renewed(5));

        let witness = memory.witness();
        assert_eq!((witness.last, witness.is_complete), (vec![entry(2), entry(7)], true));
        assert_eq!(witness.lease_until_us, Some(5));
    }

    #[test]
    fn what_others_committed_leaves_a_gap_until_a_later_commit_or_renewal() {
        let memory = memory();
        let before = Instant::now();
        memory.repeated(0);
        memory.repeated(1);
        assert!(!memory.witness().is_complete);

        memory.committed(0, entry(1));
        memory.renewed(before, &renewed(6));
        assert!(!memory.witness().is_complete, "the renewal was asked for before the repeat");

        memory.renewed(Instant::now(), &renewed(7));
        assert!(memory.witness().is_complete);
    }

    #[test]
    fn another_epoch_ends_what_was_told_in_the_one_before() {
        let memory = memory();
        memory.committed(0, entry(1));

        memory.verified(&verified("b", 50));

        let witness = memory.witness();
        assert_eq!((witness.epoch.as_str(), witness.last), ("b", vec![]));
        assert_eq!((witness.lease_until_us, witness.is_complete), (None, false));
        assert_eq!(memory.mark().borrow().flushed, 50, "the mark is that of the new history");
    }

    #[test]
    fn a_lease_that_the_node_has_ended_itself_proves_nothing() {
        let memory = memory();

        memory.leaves();

        assert_eq!(memory.witness().lease_until_us, None);
    }

    #[test]
    fn the_mark_only_rises_within_an_epoch() {
        let memory = memory();

        memory.seen(HERE, 120);
        memory.seen(Identity { timeline: 2, ..HERE }, 900);
        memory.verified(&verified("a", 110));

        assert_eq!(memory.mark().borrow().flushed, 120);
    }
}
