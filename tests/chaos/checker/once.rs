//! A message is one message, however often it is sent.

use std::collections::HashMap;

use rookery::protocol::Code;

use super::super::history::{Answer, Entry, Log, What};
use super::index::{Ack, Index, Key};
use super::{Rule, Violation};

/// No log has a message at two places.
pub fn stored_once(index: &Index<'_>, found: &mut Vec<Violation>) {
    for (at, event) in index.events.iter().enumerate() {
        let What::ReadBack { entries, .. } = &event.what else { continue };
        let mut places: HashMap<(&str, &str), &Entry> = HashMap::new();
        for entry in entries {
            let first = *places.entry((&entry.from, &entry.key)).or_insert(entry);
            if first.seq != entry.seq {
                let (one, other, key) = (first.seq, entry.seq, &entry.key);
                let says = format!("{key} is in {} at {one} and at {other}", entry.log);
                let violation = Violation::new(Rule::Once, says, &[at]);
                found.push(violation.about(&entry.log, one).about(&entry.log, other));
            }
        }
    }
}

/// Each repeat is answered with what the first one became, and only the first is no repeat.
pub fn answered_alike(index: &Index<'_>, found: &mut Vec<Violation>) {
    let mut first: HashMap<(&str, Key<'_>), &Ack<'_>> = HashMap::new();
    let mut stored_by: HashMap<(&str, Key<'_>), &Ack<'_>> = HashMap::new();
    let answer = |ack: &Ack<'_>| (ack.seq, ack.message_id, ack.sent_at_ms);
    for ack in &index.acks {
        let (key, log) = (ack.key.2, ack.log);
        let mut tell = |says: String, witness: &[usize], other: &Ack<'_>| {
            let violation = Violation::new(Rule::Once, says, witness);
            found.push(violation.about(log, ack.seq).about(other.log, other.seq));
        };
        let before = *first.entry((ack.epoch, ack.key)).or_insert(ack);
        if answer(before) != answer(ack) {
            let says = format!("{key} to {log} was answered in two ways");
            tell(says, &[before.at, ack.at], before);
            continue;
        }
        if before.body != ack.body {
            let says = format!("{key} to {log} was acked with two bodies");
            tell(says, &[before.sent, before.at, ack.sent, ack.at], before);
        }
        if !ack.duplicate {
            let other = *stored_by.entry((ack.epoch, ack.key)).or_insert(ack);
            if other.at != ack.at {
                let says = format!("{key} to {log} was acked twice as if it were new");
                tell(says, &[other.at, ack.at], other);
            }
        }
    }
    wrongly_refused(index, found);
}

/// Only where an id was used with another body is it refused as used.
fn wrongly_refused(index: &Index<'_>, found: &mut Vec<Violation>) {
    for ((log, _, key), copies) in &index.copies {
        for copy in copies {
            let Some((at, Answer::Refused { code: Code::KeyReused, .. })) = copy.answer else {
                continue;
            };
            let mut before = copies.iter().filter(|other| other.sent < at);
            if before.all(|other| other.body == copy.body) {
                let says =
                    format!("{key} to {log} was refused as used, and never had another body");
                found.push(Violation::new(Rule::Once, says, &[copy.sent, at]));
            }
        }
    }
}

/// A message id is of one message.
pub fn one_message_id(index: &Index<'_>, found: &mut Vec<Violation>) {
    let mut of: HashMap<u64, (usize, Key<'_>, u64)> = HashMap::new();
    let shown = index.sights.iter().map(|sight| {
        let Entry { log, from, key, seq, message_id, .. } = sight.entry;
        (sight.at, (log, from.as_str(), key.as_str()), *seq, *message_id)
    });
    let acked = index.acks.iter().map(|ack| (ack.at, ack.key, ack.seq, ack.message_id));
    for (at, key, seq, id) in shown.chain(acked) {
        let (first_at, first, first_seq) = *of.entry(id).or_insert((at, key, seq));
        if first != key {
            let named = |key: Key<'_>| format!("{} to {}", key.2, key.0);
            let says = format!("{} and {} have one message id", named(first), named(key));
            let violation = Violation::new(Rule::OneMessageId, says, &[first_at, at]);
            let log: &Log = key.0;
            found.push(violation.about(first.0, first_seq).about(log, seq));
        }
    }
}
