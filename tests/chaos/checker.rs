//! Judges a history, and nothing but it: what was promised and did not hold, each with the few events that show it.
//!
//! Never wrong about a run in which all was kept: whatever may have happened unseen (a reply that was lost, a message on
//! its way) is taken as having happened in the server's favour. In particular:
//!
//! - A send without an answer, or refused with `outcome_unknown` or `order_broken`, may be stored or not, at most once. Any
//!   other refusal says that this copy was not stored, and where all copies were refused so, the message is not there.
//! - What was seen of one store belongs to its epoch, the one that the session was told last. Only what was acked under
//!   another epoch than the last may be missing from the logs at the end.
//! - Of two things on different connections one came before the other only if it was over when the other was asked for.

mod cursors;
mod ends;
mod index;
mod live;
mod logins;
mod logs;
mod once;
mod order;
mod sights;

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::history::{History, Log};
use index::Index;

/// How long a push may take, on a machine that is busy and to a client that does not read for a while. Sooner than
/// nodes compare what came to them with the store.
pub const PUSHED_WITHIN: Duration = Duration::from_secs(10);

/// What can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// Each command ends in one ok, in one error, or with its connection.
    Answered,
    /// Nothing is shown that nobody had sent.
    NothingInvented,
    /// What was refused is not there.
    RefusedIsAbsent,
    /// No two entries have one place.
    OnePlace,
    /// A message is there once, and each repeat is answered as the first was.
    Once,
    /// No two messages have one message id.
    OneMessageId,
    /// What was acked is there, as it was acked.
    AckedIsThere,
    /// All see one log.
    OneLog,
    /// Nothing is missing in between: in a log, in an inbox, and in what was shown.
    NoHoles,
    /// What one session sends to one conversation keeps its order.
    OneOrder,
    /// Cursors only rise, and never pass the head.
    Cursors,
    /// Of sessions that conflict one stands, and from its login on nothing of the others is acked.
    OneWinner,
    /// In the end all see how everybody is.
    Presence,
    /// Along a log the epochs of its owners do not fall, each is of one owner, and a claim waits for the appends in
    /// flight.
    OneOwner,
    /// While nothing is wrong, what is new is pushed to all who are online, or they are told to sync.
    Pushed,
}

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub rule: Rule,
    /// For people.
    pub says: String,
    /// The events that show it, by their places in the history.
    pub witness: Vec<usize>,
    /// The entries that are concerned: what is wrong with one of them is told once, by the rule that says most.
    about: Vec<(Log, u64)>,
}

impl Violation {
    fn new(rule: Rule, says: String, witness: &[usize]) -> Self {
        let mut witness = witness.to_vec();
        witness.sort_unstable();
        witness.dedup();
        Self { rule, says, witness, about: Vec::new() }
    }

    fn about(mut self, log: &Log, seq: u64) -> Self {
        self.about.push((log.clone(), seq));
        self
    }

    /// With the events themselves, for people.
    pub fn tell(&self, history: &History) -> String {
        let events = self.witness.iter().map(|at| format!("\n  {}", history.tell(*at)));
        format!("{self}{}", events.collect::<String>())
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.says)
    }
}

/// All that was not kept in a history. What follows from something that is told already is left out.
pub fn check(history: &History) -> Vec<Violation> {
    let index = Index::of(history);
    // The rules that say most come first.
    let rules: [fn(&Index<'_>, &mut Vec<Violation>); 15] = [
        ends::commands,
        sights::nothing_invented,
        sights::refused_is_absent,
        logs::one_place,
        once::stored_once,
        once::answered_alike,
        once::one_message_id,
        logs::acked_is_there,
        sights::one_log,
        logs::no_holes,
        order::one_order,
        cursors::cursors,
        logins::one_winner,
        ends::presence_and_owners,
        live::pushed,
    ];
    let mut told = HashSet::new();
    let mut violations = Vec::new();
    for rule in rules {
        let mut found = Vec::new();
        rule(&index, &mut found);
        found.retain(|violation| !violation.about.iter().any(|entry| told.contains(entry)));
        // Seen once more is not another fault.
        let mut concerned = HashSet::new();
        found.retain(|violation| {
            violation.about.is_empty() || concerned.insert(violation.about.clone())
        });
        told.extend(found.iter().flat_map(|violation| violation.about.iter().cloned()));
        violations.append(&mut found);
    }
    violations
}

/// Fails, and says with what, when something was not kept; the history is kept then, to be judged again.
#[track_caller]
pub fn assert_kept(history: &History) {
    const TOLD: usize = 10;
    let violations = check(history);
    if violations.is_empty() {
        return;
    }
    let name = format!("chaos-{}.jsonl", std::process::id());
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    history.save(&file).unwrap();
    let told: Vec<_> = violations.iter().take(TOLD).map(|it| it.tell(history)).collect();
    let (count, told) = (violations.len(), told.join("\n"));
    panic!("{count} violations, of the history in {}:\n{told}", file.display());
}
