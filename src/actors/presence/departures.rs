//! When users who left were last seen: what the store has yet to hear, and whom the board has to remember meanwhile.
//!
//! Never touches the board or the store.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use crate::ids::{UnixMs, UserNo};
use crate::limits;

/// Users who left, from when that was told until whoever asks finds it in the store.
#[derive(Default)]
pub(super) struct Departures {
    /// What the store has yet to confirm.
    unstored: HashMap<UserNo, UnixMs>,
    /// Until when those whom the store has confirmed stay on the board.
    kept_until: HashMap<UserNo, Instant>,
    /// The same by time; of one who left again the earlier ones mean nothing.
    ends: VecDeque<(Instant, UserNo)>,
}

impl Departures {
    /// A user left, and was last seen then.
    pub(super) fn left(&mut self, user: UserNo, seen: UnixMs) {
        self.unstored.insert(user, seen);
    }

    /// A user left another node, which tells the store.
    pub(super) fn left_elsewhere(&mut self, user: UserNo, now: Instant) {
        self.keep(user, now);
    }

    /// Whether somebody may still look for this user on the board, in vain if it were not there.
    pub(super) fn holds(&self, user: UserNo) -> bool {
        self.unstored.contains_key(&user) || self.kept_until.contains_key(&user)
    }

    /// What the store has yet to hear, at most so much. It is here until [`Self::stored`] says that the store has it.
    pub(super) fn unstored(&self, most: usize) -> Vec<(UserNo, UnixMs)> {
        self.unstored.iter().take(most).map(|(user, seen)| (*user, *seen)).collect()
    }

    /// All that the store has yet to hear.
    pub(super) fn take_unstored(&mut self) -> HashMap<UserNo, UnixMs> {
        std::mem::take(&mut self.unstored)
    }

    /// The store has these. Who asks may have begun to read it before, so they are held for as long as that may take.
    pub(super) fn stored(&mut self, users: Vec<(UserNo, UnixMs)>, now: Instant) {
        for (user, seen) in users {
            // One who left again meanwhile did so later, which the store does not have yet.
            if self.unstored.get(&user) == Some(&seen) {
                self.unstored.remove(&user);
            }
            self.keep(user, now);
        }
    }

    fn keep(&mut self, user: UserNo, now: Instant) {
        let until = now + limits::PRESENCE_KEPT;
        self.kept_until.insert(user, until);
        self.ends.push_back((until, user));
    }

    /// The next user who need not be held any more.
    pub(super) fn next_over(&mut self, now: Instant) -> Option<UserNo> {
        while self.ends.front().is_some_and(|(until, _)| *until <= now) {
            let (until, user) = self.ends.pop_front()?;
            if self.kept_until.get(&user) == Some(&until) {
                self.kept_until.remove(&user);
                if !self.holds(user) {
                    return Some(user);
                }
            }
        }
        None
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const BOB: UserNo = UserNo::from_store(2);

    fn minute(n: i64) -> UnixMs {
        UnixMs::new(n * 60_000)
    }

    #[test]
    fn who_left_is_held_until_no_one_can_have_read_the_store_before() {
        let mut departures = Departures::default();
        let start = Instant::now();
        departures.left(BOB, minute(1));

        let noted = departures.unstored(9);
        assert!(departures.holds(BOB), "while the store is told");
        departures.stored(noted, start);

        assert!(departures.unstored(9).is_empty());
        assert_eq!(departures.next_over(start + limits::READ_WITHIN), None);
        assert!(departures.holds(BOB));
        assert_eq!(departures.next_over(start + limits::PRESENCE_KEPT), Some(BOB));
        assert!(!departures.holds(BOB));
    }

    #[test]
    fn who_left_another_node_is_held_until_that_has_told_the_store() {
        let mut departures = Departures::default();
        let start = Instant::now();
        departures.left_elsewhere(BOB, start);

        assert!(departures.holds(BOB));
        assert!(departures.unstored(9).is_empty(), "the other node notes it");
        assert_eq!(departures.next_over(start + limits::PRESENCE_KEPT), Some(BOB));
    }

    #[test]
    fn one_who_left_again_meanwhile_is_held_from_the_later_one_on() {
        let mut departures = Departures::default();
        let start = Instant::now();
        departures.left(BOB, minute(1));
        let noted = departures.unstored(9);
        departures.left(BOB, minute(2));
        departures.stored(noted, start);

        let first_is_over = start + limits::PRESENCE_KEPT;
        assert_eq!(departures.next_over(first_is_over), None, "the store has the first alone");
        let noted = departures.unstored(9);
        assert_eq!(noted, [(BOB, minute(2))]);
        departures.stored(noted, first_is_over);

        assert_eq!(departures.next_over(first_is_over), None);
        assert_eq!(departures.next_over(first_is_over + limits::PRESENCE_KEPT), Some(BOB));
    }
}
