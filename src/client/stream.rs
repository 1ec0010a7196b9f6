//! The client's place in one numbered log: the highest number without a gap, and what is held back beyond it.
//!
//! Pushes may be lost, late or repeated; what comes out of [`Stream::take`] is each entry once, in rising order. The
//! inbox is such a log and so is each group. Reads no clock and no socket: its owner pulls what [`Stream::lacks`] names.

use std::collections::BTreeMap;

use crate::limits;

/// The place, and the entries beyond it. Numbers are those of the log: 1, 2, 3 … without a gap.
#[derive(Debug)]
pub struct Stream<T> {
    /// Everything up to here was taken. None until it is known where to begin; until then all is held back.
    at: Option<u64>,
    /// The highest number that is known to exist.
    head: u64,
    /// The last number that there will be, once that is known.
    last: Option<u64>,
    held: BTreeMap<u64, T>,
}

impl<T> Stream<T> {
    /// Goes on from `at`, or holds everything back until [`Stream::start_at`].
    pub fn new(at: Option<u64>) -> Self {
        Self { at, head: at.unwrap_or(0), last: None, held: BTreeMap::new() }
    }

    /// The place: everything up to it was taken.
    pub fn at(&self) -> Option<u64> {
        self.at
    }

    /// The lowest number that is held back.
    pub fn first_held(&self) -> Option<u64> {
        self.held.keys().next().copied()
    }

    /// Takes in an entry that was pushed or pulled; one that is known is ignored.
    ///
    /// At most [`limits::CLIENT_HELD_BACK`] are held; the furthest give way and are pulled later.
    pub fn offer(&mut self, number: u64, entry: T) {
        if self.at.is_some_and(|at| number <= at) {
            return;
        }
        self.saw_head(number);
        self.held.entry(number).or_insert(entry);
        while self.held.len() > limits::CLIENT_HELD_BACK {
            self.held.pop_last();
        }
    }

    /// The next entry and its number, which the place then includes.
    pub fn take(&mut self) -> Option<(u64, T)> {
        let next = self.at? + 1;
        let entry = self.held.remove(&next)?;
        self.at = Some(next);
        Some((next, entry))
    }

    /// Whether [`Stream::take`] has something.
    pub fn has_next(&self) -> bool {
        self.at.is_some_and(|at| self.held.contains_key(&(at + 1)))
    }

    /// The number after which entries must be pulled, when the next one exists and is not here.
    pub fn lacks(&self) -> Option<u64> {
        self.at.filter(|at| *at < self.head && !self.held.contains_key(&(at + 1)))
    }

    /// Takes note that the log reaches as far as `head`.
    pub fn saw_head(&mut self, head: u64) {
        self.head = self.head.max(head);
        // One that goes on after its end was taken up again.
        self.last = self.last.filter(|last| self.head <= *last);
    }

    /// Takes note that nothing follows after `last`.
    pub fn ends_at(&mut self, last: u64) {
        self.head = self.head.max(last);
        self.last = Some(last).filter(|last| self.head <= *last);
    }

    /// Whether everything was taken and nothing follows.
    pub fn is_over(&self) -> bool {
        self.last.is_some() && self.at >= self.last
    }

    /// Takes this as the place, wherever it was before, and drops what it includes.
    pub fn start_at(&mut self, at: u64) {
        self.at = Some(at);
        self.held = self.held.split_off(&(at + 1));
        self.head = self.held.keys().next_back().copied().unwrap_or(at).max(at);
        self.last = None;
    }

    /// Ends where it stands: nothing more is to be had.
    pub fn stop(&mut self) {
        self.held.clear();
        self.head = self.at.unwrap_or(0);
        self.last = self.at;
    }

    /// Takes note that there is nothing to be had after the place before `first`. True when something was left out.
    pub fn skip_to(&mut self, first: u64) -> bool {
        let Some(at) = self.at.as_mut().filter(|at| **at + 1 < first) else { return false };
        *at = first - 1;
        self.head = self.head.max(*at);
        self.held = self.held.split_off(&first);
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn taken(stream: &mut Stream<u64>) -> Vec<u64> {
        std::iter::from_fn(|| stream.take().map(|(_, entry)| entry)).collect()
    }

    #[test]
    fn without_a_place_everything_is_held_and_what_is_before_the_start_is_dropped() {
        let mut stream = Stream::new(None);
        stream.offer(7, 7);
        stream.offer(8, 8);

        assert_eq!(taken(&mut stream), [0u64; 0]);
        stream.start_at(7);
        assert_eq!(taken(&mut stream), [8]);
        assert_eq!(stream.lacks(), None);
    }

    #[test]
    fn a_head_beyond_the_place_is_lacking_until_it_is_there() {
        let mut stream = Stream::new(Some(5));

        stream.saw_head(7);
        assert_eq!(stream.lacks(), Some(5));
        stream.offer(6, 6);
        assert_eq!(stream.lacks(), None);
        assert_eq!(taken(&mut stream), [6]);
        assert_eq!(stream.lacks(), Some(6));
    }

    #[test]
    fn what_is_not_to_be_had_is_skipped_once() {
        let mut stream = Stream::new(Some(5));
        stream.offer(9, 9);

        assert!(stream.skip_to(9));
        assert!(!stream.skip_to(9));
        assert_eq!(taken(&mut stream), [9]);
    }

    #[test]
    fn one_that_ends_is_over_when_its_last_entry_was_taken_unless_it_goes_on() {
        let mut stream = Stream::new(Some(5));
        stream.ends_at(6);
        assert_eq!((stream.is_over(), stream.lacks()), (false, Some(5)));

        stream.offer(6, 6);
        assert_eq!(taken(&mut stream), [6]);
        assert!(stream.is_over());
        stream.offer(8, 8);

        assert_eq!((stream.is_over(), stream.lacks()), (false, Some(6)));
    }

    proptest! {
        #[test]
        fn whatever_is_lost_late_or_repeated_each_entry_comes_once_and_in_order(
            last in 1u64..400,
            pushes in proptest::collection::vec((1u64..400, any::<bool>()), 0..800),
        ) {
            let mut stream = Stream::new(Some(0));
            let mut seen = Vec::new();
            for (number, is_taken) in pushes.into_iter().filter(|(number, _)| *number <= last) {
                stream.offer(number, number);
                prop_assert!(stream.held.len() <= limits::CLIENT_HELD_BACK);
                if is_taken {
                    seen.extend(taken(&mut stream));
                }
            }
            stream.saw_head(last);
            seen.extend(taken(&mut stream));
            while let Some(after) = stream.lacks() {
                (after + 1..=last.min(after + 50)).for_each(|k| stream.offer(k, k));
                seen.extend(taken(&mut stream));
            }

            prop_assert_eq!(seen, (1..=last).collect::<Vec<_>>());
        }
    }
}
