//! Faults that are put in on purpose, one at a time, to see whether the chaos run finds them: `ROOKERY_SABOTAGE` names the
//! one. Compiled only with the feature of that name, and never into a release.

use std::sync::OnceLock;

/// What can be wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A message to a group is acked when its statement is sent.
    AckBeforeCommit,
    /// An append is taken for committed at the first rows of its answer, which come before the commit.
    AckOnFirstRows,
    /// A node that does not own a group any more goes on appending to it.
    NoEpochCheck,
    /// `FOR KEY SHARE` for `FOR SHARE`: a claim does not wait for the appends in flight.
    KeyShare,
    /// The keys of messages to groups are known to the memory of their owner alone.
    DedupInMemory,
    /// Of a statement whose connection broke it is taken that it was committed.
    GuessSuccess,
    /// A login reads the heads first, and has what is committed from then on sent to it only after that.
    SyncBeforeRegistration,
    /// A login is answered before the sessions that it ended know of it.
    EarlyWinner,
    /// What finds no room in a session's queue is left out, and its client is not told to sync.
    FullQueueWithoutMarker,
    /// Cursors of one-to-one conversations go to where they are asked to.
    FallingCursors,
    /// After a conflict the journal goes on with what waits from that group.
    KeptQueue,
}

/// By the names that `ROOKERY_SABOTAGE` has for them.
const FAULTS: [(&str, Fault); 11] = [
    ("ack-before-commit", Fault::AckBeforeCommit),
    ("ack-on-first-rows", Fault::AckOnFirstRows),
    ("no-epoch-check", Fault::NoEpochCheck),
    ("key-share", Fault::KeyShare),
    ("dedup-in-memory", Fault::DedupInMemory),
    ("guess-success", Fault::GuessSuccess),
    ("sync-before-registration", Fault::SyncBeforeRegistration),
    ("early-winner", Fault::EarlyWinner),
    ("full-queue-without-marker", Fault::FullQueueWithoutMarker),
    ("falling-cursors", Fault::FallingCursors),
    ("kept-queue", Fault::KeptQueue),
];

/// Whether this is the fault of this process.
pub(crate) fn is(fault: Fault) -> bool {
    static CHOSEN: OnceLock<Option<Fault>> = OnceLock::new();
    *CHOSEN.get_or_init(chosen) == Some(fault)
}

#[allow(clippy::panic, reason = "a run without its fault would show that it is not found")]
fn chosen() -> Option<Fault> {
    let name = std::env::var("ROOKERY_SABOTAGE").ok()?;
    let known = FAULTS.iter().find(|(known, _)| *known == name);
    let Some((_, fault)) = known else { panic!("ROOKERY_SABOTAGE is {name}, which is no fault") };
    tracing::warn!(?fault, "this node is sabotaged");
    Some(*fault)
}
