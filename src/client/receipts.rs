//! When to tell the server what this device has: at once when idle, at most once a second for each conversation.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::ids::{Conversation, Seq};
use crate::limits;

/// What this device has of each conversation and has not yet told for certain.
///
/// A conversation of which everything was told is forgotten once it is idle, so that this stays as small as what is new.
#[derive(Debug, Default)]
pub struct Receipts {
    open: HashMap<Conversation, Receipt>,
}

#[derive(Debug)]
struct Receipt {
    has: Seq,
    told: Seq,
    is_asked: bool,
    not_before: Instant,
}

impl Receipts {
    /// Takes note that the device has everything of `conversation` up to `seq`.
    pub fn has(&mut self, conversation: Conversation, seq: Seq, now: Instant) {
        let receipt = self.open.entry(conversation).or_insert(Receipt {
            has: seq,
            told: Seq::ZERO,
            is_asked: false,
            not_before: now,
        });
        receipt.has = receipt.has.max(seq);
    }

    /// The receipt that shall be sent now, if one is due; it counts as asked until its answer.
    pub fn next_due(&mut self, now: Instant) -> Option<(Conversation, Seq)> {
        self.open.retain(|_, receipt| receipt.is_needed() || receipt.not_before > now);
        let (conversation, receipt) = self
            .open
            .iter_mut()
            .find(|(_, receipt)| receipt.is_due() && receipt.not_before <= now)?;
        receipt.is_asked = true;
        receipt.not_before = now + limits::RECEIVED_EVERY;
        Some((conversation.clone(), receipt.has))
    }

    /// When the next receipt becomes due.
    pub fn due_at(&self) -> Option<Instant> {
        let due = self.open.values().filter(|receipt| receipt.is_due());
        due.map(|receipt| receipt.not_before).min()
    }

    /// The server has taken the receipt for `seq`.
    pub fn told(&mut self, conversation: &Conversation, seq: Seq) {
        if let Some(receipt) = self.open.get_mut(conversation) {
            receipt.is_asked = false;
            receipt.told = receipt.told.max(seq);
        }
    }

    /// The server has not taken it: it comes again after `wait`.
    pub fn refused(&mut self, conversation: &Conversation, wait: Duration, now: Instant) {
        if let Some(receipt) = self.open.get_mut(conversation) {
            receipt.is_asked = false;
            receipt.not_before = now + wait;
        }
    }

    /// The connection is gone, and with it every answer: what was not told for certain comes again.
    pub fn disconnected(&mut self) {
        self.open.values_mut().for_each(|receipt| receipt.is_asked = false);
    }
}

impl Receipt {
    fn is_needed(&self) -> bool {
        self.has > self.told
    }

    fn is_due(&self) -> bool {
        self.is_needed() && !self.is_asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bob() -> Conversation {
        Conversation::parse("user:bob").unwrap()
    }

    #[test]
    fn the_first_goes_at_once_and_the_rest_gathers_for_a_second() {
        let (mut receipts, now) = (Receipts::default(), Instant::now());

        receipts.has(bob(), Seq::new(1), now);
        assert_eq!(receipts.next_due(now), Some((bob(), Seq::new(1))));
        receipts.told(&bob(), Seq::new(1));
        for seq in 2..=9 {
            receipts.has(bob(), Seq::new(seq), now);
        }
        assert_eq!(receipts.next_due(now), None);
        assert_eq!(receipts.due_at(), Some(now + limits::RECEIVED_EVERY));
        let later = now + limits::RECEIVED_EVERY;
        assert_eq!(receipts.next_due(later), Some((bob(), Seq::new(9))));
    }

    #[test]
    fn one_without_an_answer_comes_again_on_the_next_connection() {
        let (mut receipts, now) = (Receipts::default(), Instant::now());
        receipts.has(bob(), Seq::new(1), now);
        receipts.next_due(now);

        assert_eq!(receipts.due_at(), None);
        receipts.disconnected();

        assert_eq!(receipts.next_due(now + limits::RECEIVED_EVERY), Some((bob(), Seq::new(1))));
    }

    #[test]
    fn what_was_told_is_forgotten_once_it_is_idle() {
        let (mut receipts, now) = (Receipts::default(), Instant::now());
        receipts.has(bob(), Seq::new(1), now);
        receipts.next_due(now);
        receipts.told(&bob(), Seq::new(1));

        assert_eq!(receipts.next_due(now + limits::RECEIVED_EVERY), None);

        assert!(receipts.open.is_empty());
    }
}
