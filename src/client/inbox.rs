//! The client's place in its inbox: the highest number without a gap, and what is held back beyond it.
//!
//! Pushes may be lost, late or repeated; what comes out of [`Inbox::take`] is each entry once, in rising order. Reads no
//! clock and no socket: its owner pulls what [`Inbox::lacks`] names.

use std::collections::BTreeMap;

use crate::ids::{Epoch, InboxSeq};
use crate::limits;

/// What a client brings along when it comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The history of the store that the number belongs to.
    pub epoch: Epoch,
    /// The inbox number up to which the client has everything.
    pub inbox: InboxSeq,
}

/// What a `sync` told about the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learned {
    /// The place still means what it meant.
    Same,
    /// There was no place yet: it is now the head, and what is older is read from the history.
    First,
    /// The store lost data: the place meant another history and is now the head of this one.
    OtherEpoch,
}

/// The place, and the entries beyond it.
#[derive(Debug)]
pub struct Inbox<T> {
    position: Option<Position>,
    /// The highest number that is known to exist.
    head: InboxSeq,
    held: BTreeMap<InboxSeq, T>,
}

impl<T> Inbox<T> {
    /// Goes on from `position`, or from the head of the first sync.
    pub fn new(position: Option<Position>) -> Self {
        let head = position.as_ref().map_or(InboxSeq::ZERO, |position| position.inbox);
        Self { position, head, held: BTreeMap::new() }
    }

    /// The place: everything up to it was taken.
    pub fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    fn at(&self) -> Option<InboxSeq> {
        self.position.as_ref().map(|position| position.inbox)
    }

    /// Takes in an entry that was pushed or pulled; one that is known is ignored.
    ///
    /// At most [`limits::CLIENT_HELD_BACK`] are held; the furthest give way and are pulled later.
    pub fn offer(&mut self, number: InboxSeq, entry: T) {
        if self.at().is_some_and(|at| number <= at) {
            return;
        }
        self.head = self.head.max(number);
        self.held.entry(number).or_insert(entry);
        while self.held.len() > limits::CLIENT_HELD_BACK {
            self.held.pop_last();
        }
    }

    /// The next entry, which the place then includes.
    pub fn take(&mut self) -> Option<T> {
        let position = self.position.as_mut()?;
        let next = position.inbox.next();
        let entry = self.held.remove(&next)?;
        position.inbox = next;
        Some(entry)
    }

    /// Whether [`Inbox::take`] has something.
    pub fn has_next(&self) -> bool {
        self.at().is_some_and(|at| self.held.contains_key(&at.next()))
    }

    /// The number after which entries must be pulled, when the next one exists and is not here.
    pub fn lacks(&self) -> Option<InboxSeq> {
        self.at().filter(|at| *at < self.head && !self.held.contains_key(&at.next()))
    }

    /// Takes note of the epoch and head that a `login` or `sync` told.
    pub fn synced(&mut self, epoch: &Epoch, head: InboxSeq) -> Learned {
        match &self.position {
            Some(position) if position.epoch == *epoch => {
                self.saw_head(head);
                return Learned::Same;
            }
            _ => {}
        }
        let learned = match self.position {
            None => Learned::First,
            // Numbers held from the other history must not be shown as this one's.
            Some(_) => {
                self.held.clear();
                Learned::OtherEpoch
            }
        };
        self.held = self.held.split_off(&head.next());
        self.head = self.held.keys().next_back().copied().unwrap_or(head).max(head);
        self.position = Some(Position { epoch: epoch.clone(), inbox: head });
        learned
    }

    /// Takes note that the inbox reaches as far as `head`.
    pub fn saw_head(&mut self, head: InboxSeq) {
        self.head = self.head.max(head);
    }

    /// Takes note that the store holds nothing after the place before `first`. True when something was left out.
    pub fn skip_to(&mut self, first: InboxSeq) -> bool {
        let Some(position) = self.position.as_mut().filter(|own| own.inbox.next() < first) else {
            return false;
        };
        position.inbox = InboxSeq::new(first.get() - 1);
        self.held = self.held.split_off(&first);
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn epoch(name: &str) -> Epoch {
        Epoch::from_store(name)
    }

    fn n(number: u64) -> InboxSeq {
        InboxSeq::new(number)
    }

    fn taken(inbox: &mut Inbox<u64>) -> Vec<u64> {
        std::iter::from_fn(|| inbox.take()).collect()
    }

    #[test]
    fn a_device_without_a_place_starts_at_the_head_and_drops_what_was_before() {
        let mut inbox = Inbox::new(None);
        inbox.offer(n(7), 7);
        inbox.offer(n(8), 8);

        assert_eq!(taken(&mut inbox), [0u64; 0]);
        assert_eq!(inbox.synced(&epoch("a"), n(7)), Learned::First);
        assert_eq!(taken(&mut inbox), [8]);
        assert_eq!(inbox.lacks(), None);
    }

    #[test]
    fn another_epoch_ends_the_place_and_what_was_held() {
        let mut inbox = Inbox::new(Some(Position { epoch: epoch("a"), inbox: n(5) }));
        inbox.offer(n(7), 7);

        assert_eq!(inbox.synced(&epoch("b"), n(2)), Learned::OtherEpoch);
        assert_eq!(taken(&mut inbox), [0u64; 0]);
        inbox.offer(n(3), 3);
        assert_eq!(taken(&mut inbox), [3]);
    }

    #[test]
    fn a_head_beyond_the_place_is_lacking_until_it_is_there() {
        let mut inbox = Inbox::new(Some(Position { epoch: epoch("a"), inbox: n(5) }));

        assert_eq!(inbox.synced(&epoch("a"), n(7)), Learned::Same);
        assert_eq!(inbox.lacks(), Some(n(5)));
        inbox.offer(n(6), 6);
        assert_eq!(inbox.lacks(), None);
        assert_eq!(taken(&mut inbox), [6]);
        assert_eq!(inbox.lacks(), Some(n(6)));
    }

    #[test]
    fn what_the_store_no_longer_holds_is_skipped_once() {
        let mut inbox = Inbox::new(Some(Position { epoch: epoch("a"), inbox: n(5) }));
        inbox.offer(n(9), 9);

        assert!(inbox.skip_to(n(9)));
        assert!(!inbox.skip_to(n(9)));
        assert_eq!(taken(&mut inbox), [9]);
    }

    proptest! {
        #[test]
        fn whatever_is_lost_late_or_repeated_each_entry_comes_once_and_in_order(
            last in 1u64..400,
            pushes in proptest::collection::vec((1u64..400, any::<bool>()), 0..800),
        ) {
            let mut inbox = Inbox::new(Some(Position { epoch: epoch("a"), inbox: n(0) }));
            let mut seen = Vec::new();
            for (number, is_taken) in pushes.into_iter().filter(|(number, _)| *number <= last) {
                inbox.offer(n(number), number);
                prop_assert!(inbox.held.len() <= limits::CLIENT_HELD_BACK);
                if is_taken {
                    seen.extend(taken(&mut inbox));
                }
            }
            inbox.saw_head(n(last));
            seen.extend(taken(&mut inbox));
            while let Some(after) = inbox.lacks() {
                (after.get() + 1..=last.min(after.get() + 50)).for_each(|k| inbox.offer(n(k), k));
                seen.extend(taken(&mut inbox));
            }

            prop_assert_eq!(seen, (1..=last).collect::<Vec<_>>());
        }
    }
}
