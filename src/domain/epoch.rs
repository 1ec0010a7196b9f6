//! When the store's epoch must change: when the database is not, or not wholly, the one that acked.
//!
//! A promoted standby has the log of its primary up to some place, and nothing behind it. So whoever knows the last
//! thing that was committed need only look whether that is there: then so is all that was committed before it.

use crate::ids::{ConversationNo, MessageId, NodeRun, Seq};

/// Which database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Made by initdb; a copy keeps it.
    pub system_identifier: i64,
    /// Raised by each promotion and point-in-time recovery.
    pub timeline: i32,
}

/// A place in the database's log, in bytes: everything before it is on disk.
pub type WalPosition = i64;

/// What a node remembers of the database outside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HighWater {
    /// The epoch it belongs to.
    pub epoch: String,
    /// The database that it was read from.
    pub identity: Identity,
    /// How far the log was on disk: what was acked lies before it.
    pub flushed: WalPosition,
}

/// An entry of a log that a journal was told is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The pair or group.
    pub conversation: ConversationNo,
    /// Its place.
    pub seq: Seq,
    /// Its id, which no other entry is given.
    pub message_id: MessageId,
}

/// What a running node knows to be in the store, if nothing of it was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// The epoch in which it was told so.
    pub epoch: String,
    /// The node.
    pub run: NodeRun,
    /// Until when its lease ran when it was last renewed, in microseconds of the database's time; none before the
    /// first time, or when the node has ended it.
    pub lease_until_us: Option<i64>,
    /// An entry of the last commit of each journal.
    pub last: Vec<Committed>,
    /// Whether nothing was acked that may have been committed after these.
    pub is_complete: bool,
    /// Whether it still waits for other nodes to say the same.
    pub waits: bool,
}

/// What became of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// Nobody remembers anything: the node has just started, or another process took its place.
    None,
    /// Something is not there: so many entries, or the lease alone.
    Lacking {
        /// Entries that are not there.
        entries: i64,
    },
    /// All is there, but the node may have acked more.
    Incomplete,
    /// All that the node acked is there.
    Whole {
        /// Other nodes that have not said so.
        others: i64,
        /// Whether they are still waited for.
        waits: bool,
    },
}

/// Why a new epoch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The store has none yet.
    First,
    /// Another database.
    OtherDatabase,
    /// The database's log ends before the place up to which it was on disk: an older copy was put in its place.
    Behind {
        /// By how much, at least.
        bytes: i64,
    },
    /// The database does not have what a node was told is committed.
    Lacking {
        /// How many of its journals' last entries are not there; there may be more before them. None: its lease is an
        /// older one.
        entries: i64,
    },
    /// It is another branch of the database's history, and nobody can say that nothing was lost.
    Unproved,
}

impl Reason {
    /// As it is counted.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::OtherDatabase => "other_database",
            Self::Behind { .. } => "behind",
            Self::Lacking { .. } => "lacking",
            Self::Unproved => "unproved",
        }
    }
}

/// What is to be done before anything is appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: it is the same database.
    Same,
    /// It goes on where the other ended: the epoch stays, and is from now on that of this one.
    Continued,
    /// Others have yet to say that it has all that they acked.
    Wait {
        /// How many.
        others: i64,
    },
    /// A new epoch begins.
    Anew(Reason),
}

/// Whether a new epoch must begin before anything is appended.
///
/// `stored` is the identity under which the store's epoch was set, `seen` what the database says now with the position
/// up to which its log is on disk, `marks` and `evidence` what is remembered outside it.
pub fn judge(
    stored: Option<(&str, Identity)>,
    seen: Identity,
    flushed: WalPosition,
    marks: &[HighWater],
    evidence: Evidence,
) -> Verdict {
    let Some((epoch, identity)) = stored else { return Verdict::Anew(Reason::First) };
    if identity.system_identifier != seen.system_identifier {
        return Verdict::Anew(Reason::OtherDatabase);
    }
    // A mark of another epoch speaks of a history that has already been given up. One of another timeline counts:
    // where a branch ends, the place at which it began is even further back.
    let of_this = marks.iter().filter(|mark| mark.identity == identity && mark.epoch == epoch);
    if let Some(bytes) = of_this.map(|mark| mark.flushed - flushed).max().filter(|bytes| *bytes > 0)
    {
        return Verdict::Anew(Reason::Behind { bytes });
    }
    match evidence {
        Evidence::Lacking { entries } => Verdict::Anew(Reason::Lacking { entries }),
        _ if identity == seen => Verdict::Same,
        Evidence::Whole { others: 0, .. } => Verdict::Continued,
        Evidence::Whole { others, waits: true } => Verdict::Wait { others },
        Evidence::Whole { .. } | Evidence::Incomplete | Evidence::None => {
            Verdict::Anew(Reason::Unproved)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Identity = Identity { system_identifier: 7, timeline: 1 };
    const PROMOTED: Identity = Identity { timeline: 2, ..HERE };
    const WHOLE: Evidence = Evidence::Whole { others: 0, waits: true };

    fn mark(epoch: &str, flushed: WalPosition) -> HighWater {
        HighWater { epoch: epoch.into(), identity: HERE, flushed }
    }

    fn after(seen: Identity, evidence: Evidence) -> Verdict {
        judge(Some(("a", HERE)), seen, 100, &[mark("a", 100)], evidence)
    }

    #[test]
    fn an_empty_store_begins_its_first_epoch() {
        let verdict = judge(None, HERE, 100, &[], Evidence::None);
        assert_eq!(verdict, Verdict::Anew(Reason::First));
    }

    #[test]
    fn the_same_database_keeps_its_epoch_whoever_looks() {
        assert_eq!(judge(Some(("a", HERE)), HERE, 100, &[], Evidence::None), Verdict::Same);
        for evidence in [
            Evidence::None,
            Evidence::Incomplete,
            WHOLE,
            Evidence::Whole { others: 1, waits: false },
        ] {
            assert_eq!(after(HERE, evidence), Verdict::Same);
        }
    }

    #[test]
    fn another_database_begins_a_new_epoch() {
        let other = Identity { system_identifier: 8, ..HERE };
        assert_eq!(after(other, WHOLE), Verdict::Anew(Reason::OtherDatabase));
    }

    #[test]
    fn an_older_copy_in_the_databases_place_begins_a_new_epoch_once() {
        let judge = |epoch, seen, marks: &[HighWater]| {
            judge(Some((epoch, HERE)), seen, 99, marks, Evidence::None)
        };
        let behind = Verdict::Anew(Reason::Behind { bytes: 1 });
        assert_eq!(judge("a", HERE, &[mark("a", 100)]), behind);
        assert_eq!(judge("a", HERE, &[mark("a", 98), mark("a", 100), mark("z", 200)]), behind);
        assert_eq!(judge("a", PROMOTED, &[mark("a", 100)]), behind);
        assert_eq!(judge("b", HERE, &[mark("a", 100)]), Verdict::Same);
    }

    #[test]
    fn what_was_committed_and_is_not_there_begins_a_new_epoch_on_any_timeline() {
        for seen in [HERE, PROMOTED] {
            let verdict = after(seen, Evidence::Lacking { entries: 1 });
            assert_eq!(verdict, Verdict::Anew(Reason::Lacking { entries: 1 }));
        }
    }

    #[test]
    fn a_promoted_standby_keeps_the_epoch_only_when_every_node_says_that_nothing_is_lost() {
        assert_eq!(after(PROMOTED, WHOLE), Verdict::Continued);
        let others = |waits| Evidence::Whole { others: 2, waits };
        assert_eq!(after(PROMOTED, others(true)), Verdict::Wait { others: 2 });
        for evidence in [others(false), Evidence::Incomplete, Evidence::None] {
            assert_eq!(after(PROMOTED, evidence), Verdict::Anew(Reason::Unproved));
        }
    }
}
