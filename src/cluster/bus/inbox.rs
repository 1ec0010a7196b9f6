//! The other end of the links: puts what arrives in order, drops repeats, and finds out what is missing.
//!
//! Knows no carrier and no clock. An envelope that overtook others waits for them a little, as happens when another carrier
//! takes over; then they count as missing.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use bytes::Bytes;

use super::envelope::{Content, Envelope};
use crate::ids::{NodeRun, UnixMs};
use crate::limits;

/// What is to be handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) from: NodeRun,
    pub(super) what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    Letter { payload: Bytes, deadline: UnixMs },
    Gap,
}

/// What became of an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was handed over or waits for others.
    New,
    /// It, or a later one, was here before.
    Repeat,
}

/// What arrived from all senders.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    links: HashMap<NodeRun, Link>,
}

#[derive(Debug)]
struct Link {
    /// The last number that was handed over or told as missing.
    last: u64,
    heard_at: Instant,
    /// Beyond a gap, by number.
    held: BTreeMap<u64, Held>,
    held_bytes: usize,
}

#[derive(Debug)]
struct Held {
    content: Content,
    deadline: UnixMs,
    at: Instant,
}

impl Inbox {
    /// Takes an envelope in; what is to be handed over because of it goes to `due`.
    pub(super) fn take(&mut self, envelope: Envelope, at: Instant, due: &mut Vec<Due>) -> Taken {
        let Envelope { from, number, deadline, content, .. } = envelope;
        let link = self.links.entry(from).or_insert_with(|| Link::new(at));
        // By then its sender may have forgotten us as well, and count anew.
        if at.duration_since(link.heard_at) > limits::BUS_SILENT_FOR {
            link.release(from, due);
            *link = Link::new(at);
        }
        link.heard_at = at;
        if number <= link.last || link.held.contains_key(&number) {
            return Taken::Repeat;
        }
        if let Content::Letter(payload) = &content {
            link.held_bytes += payload.len();
        }
        link.held.insert(number, Held { content, deadline, at });
        link.hand_over(from, due);
        while link.held.len() > limits::BUS_HELD || link.held_bytes > limits::BUS_HELD_BYTES {
            link.skip(from, due);
        }
        Taken::New
    }

    /// When something that waits for others has waited long enough.
    pub(super) fn next_release(&self) -> Option<Instant> {
        self.links.values().filter_map(Link::waits_until).min()
    }

    /// Tells as missing what was waited for long enough, and hands over what waited for it.
    pub(super) fn release(&mut self, at: Instant, due: &mut Vec<Due>) {
        for (from, link) in &mut self.links {
            while link.waits_until().is_some_and(|until| until <= at) {
                link.skip(*from, due);
            }
        }
        self.links.retain(|_, link| {
            !link.held.is_empty() || at.duration_since(link.heard_at) <= limits::BUS_SILENT_FOR
        });
    }
}

impl Link {
    fn new(at: Instant) -> Self {
        Self { last: 0, heard_at: at, held: BTreeMap::new(), held_bytes: 0 }
    }

    /// The oldest decides, whichever number it has: no later one can make it wait longer.
    fn waits_until(&self) -> Option<Instant> {
        self.held.values().map(|held| held.at).min().map(|at| at + limits::BUS_HELD_FOR)
    }

    /// Hands over what follows the last one without a gap.
    fn hand_over(&mut self, from: NodeRun, due: &mut Vec<Due>) {
        while let Some(held) = self.held.remove(&(self.last + 1)) {
            self.last += 1;
            if let Content::Letter(payload) = held.content {
                self.held_bytes -= payload.len();
                due.push(Due { from, what: What::Letter { payload, deadline: held.deadline } });
            }
        }
    }

    /// Gives up what is missing before the first one that waits.
    fn skip(&mut self, from: NodeRun, due: &mut Vec<Due>) {
        let Some((first, _)) = self.held.first_key_value() else { return };
        self.last = first - 1;
        due.push(Due { from, what: What::Gap });
        self.hand_over(from, due);
    }

    fn release(&mut self, from: NodeRun, due: &mut Vec<Due>) {
        while !self.held.is_empty() {
            self.skip(from, due);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::{Incarnation, NodeId};

    const DEADLINE: UnixMs = UnixMs::new(1_000_000);

    fn run(node: i64) -> NodeRun {
        NodeRun { node: NodeId::from_store(node), incarnation: Incarnation::from_store(1) }
    }

    fn envelope(number: u64, content: Content) -> Envelope {
        Envelope { from: run(1), to: run(0), number, deadline: DEADLINE, content }
    }

    fn letter(number: u64) -> Envelope {
        envelope(number, Content::Letter(number.to_be_bytes().to_vec().into()))
    }

    /// The numbers of the letters, and 0 for each gap.
    fn told(due: &mut Vec<Due>) -> Vec<u64> {
        let number = |payload: &Bytes| u64::from_be_bytes(payload[..].try_into().unwrap());
        due.drain(..)
            .map(|due| match due.what {
                What::Letter { payload, .. } => number(&payload),
                What::Gap => 0,
            })
            .collect()
    }

    #[test]
    fn what_was_overtaken_is_waited_for_and_then_missed() {
        let (mut inbox, at, mut due) = (Inbox::default(), Instant::now(), Vec::new());
        for number in [2, 1, 1, 5, 4] {
            inbox.take(letter(number), at, &mut due);
        }
        assert_eq!(told(&mut due), [1, 2]);

        let until = inbox.next_release().unwrap();
        inbox.release(until, &mut due);

        assert_eq!(told(&mut due), [0, 4, 5]);
        assert_eq!(inbox.next_release(), None);
        assert_eq!(inbox.take(letter(3), until, &mut due), Taken::Repeat, "it was told as missing");
    }

    #[test]
    fn a_beat_shows_that_the_last_letter_is_missing() {
        let (mut inbox, at, mut due) = (Inbox::default(), Instant::now(), Vec::new());
        inbox.take(letter(1), at, &mut due);
        inbox.take(envelope(3, Content::Beat), at, &mut due);
        inbox.release(at + limits::BUS_HELD_FOR, &mut due);
        inbox.take(envelope(4, Content::Beat), at, &mut due);

        assert_eq!(told(&mut due), [1, 0]);
    }

    #[test]
    fn not_much_waits_for_what_is_missing() {
        let (mut inbox, at, mut due) = (Inbox::default(), Instant::now(), Vec::new());
        for number in 2..=limits::BUS_HELD as u64 + 2 {
            inbox.take(letter(number), at, &mut due);
        }

        assert_eq!(told(&mut due)[..2], [0, 2]);
        assert!(inbox.links[&run(1)].held.is_empty());
        assert_eq!(inbox.links[&run(1)].held_bytes, 0);
    }

    #[test]
    fn who_was_silent_for_long_may_count_anew() {
        let (mut inbox, at, mut due) = (Inbox::default(), Instant::now(), Vec::new());
        inbox.take(letter(1), at, &mut due);
        let later = at + 2 * limits::BUS_SILENT_FOR;

        assert_eq!(inbox.take(letter(1), later, &mut due), Taken::New);

        assert_eq!(told(&mut due), [1, 1]);
        inbox.release(later + 2 * limits::BUS_SILENT_FOR, &mut due);
        assert!(inbox.links.is_empty());
    }

    proptest! {
        /// Whatever was lost, doubled or overtaken: the numbers rise, and each hole among them was told.
        #[test]
        fn every_letter_arrives_once_and_in_order_or_a_gap_is_told(
            numbers in proptest::collection::vec(1u64..30, 0..80),
            waits in proptest::collection::vec(any::<bool>(), 80),
        ) {
            let (mut inbox, mut at, mut due) = (Inbox::default(), Instant::now(), Vec::new());
            for (number, waits) in numbers.iter().zip(waits) {
                inbox.take(letter(*number), at, &mut due);
                if waits {
                    at += limits::BUS_HELD_FOR;
                    inbox.release(at, &mut due);
                }
            }
            inbox.take(envelope(31, Content::Beat), at, &mut due);
            inbox.release(at + limits::BUS_HELD_FOR, &mut due);

            let (mut last, mut was_gap) = (0, false);
            for number in told(&mut due) {
                if number == 0 {
                    was_gap = true;
                    continue;
                }
                prop_assert!(number > last);
                prop_assert_eq!(number > last + 1, was_gap);
                (last, was_gap) = (number, false);
            }
            prop_assert!(last == 30 || was_gap);
        }
    }
}
