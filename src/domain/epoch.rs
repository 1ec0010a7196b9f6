//! When the store's epoch must change: when the database is not, or not wholly, the one that acked.

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

/// Why a new epoch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The store has none yet.
    First,
    /// Another database, or another branch of its history.
    OtherDatabase,
    /// The database lacks what it had on disk when this node last looked: an older copy was put in its place.
    Behind,
}

/// Whether a new epoch must begin before anything is appended.
///
/// `stored` is the identity under which the store's epoch was set, `seen` what the database says now with the position
/// up to which its log is on disk, `mark` what this node remembers.
pub fn must_change(
    stored: Option<(&str, Identity)>,
    seen: Identity,
    flushed: WalPosition,
    mark: Option<&HighWater>,
) -> Option<Reason> {
    let Some((epoch, identity)) = stored else { return Some(Reason::First) };
    if identity != seen {
        return Some(Reason::OtherDatabase);
    }
    match mark {
        // A mark of another epoch speaks of a history that has already been given up.
        Some(mark) if mark.identity == seen && mark.epoch == epoch && flushed < mark.flushed => {
            Some(Reason::Behind)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Identity = Identity { system_identifier: 7, timeline: 1 };

    fn mark(epoch: &str, flushed: WalPosition) -> HighWater {
        HighWater { epoch: epoch.into(), identity: HERE, flushed }
    }

    #[test]
    fn an_empty_store_begins_its_first_epoch() {
        assert_eq!(must_change(None, HERE, 100, None), Some(Reason::First));
    }

    #[test]
    fn the_same_database_keeps_its_epoch() {
        assert_eq!(must_change(Some(("a", HERE)), HERE, 100, None), None);
        assert_eq!(must_change(Some(("a", HERE)), HERE, 100, Some(&mark("a", 100))), None);
    }

    #[test]
    fn another_database_or_timeline_begins_a_new_epoch() {
        let promoted = Identity { timeline: 2, ..HERE };
        let other = Identity { system_identifier: 8, ..HERE };
        for seen in [promoted, other] {
            let reason = must_change(Some(("a", HERE)), seen, 100, None);
            assert_eq!(reason, Some(Reason::OtherDatabase));
        }
    }

    #[test]
    fn an_older_copy_in_the_databases_place_begins_a_new_epoch_once() {
        let stored = Some(("a", HERE));
        assert_eq!(must_change(stored, HERE, 99, Some(&mark("a", 100))), Some(Reason::Behind));
        assert_eq!(must_change(Some(("b", HERE)), HERE, 99, Some(&mark("a", 100))), None);
    }
}
