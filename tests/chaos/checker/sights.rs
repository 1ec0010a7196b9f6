//! What was shown: only what was sent, and to all the same.

use std::collections::{HashMap, HashSet};

use super::super::history::{Entry, Log, What};
use super::index::{Copy, Index, Sight};
use super::logs::is_acked_as;
use super::{Rule, Violation};

/// Whatever is shown was sent before, to there, by that user, with that body. Notices are the server's own.
pub fn nothing_invented(index: &Index<'_>, found: &mut Vec<Violation>) {
    for_each_message(index, |sight, copies| {
        let entry = sight.entry;
        let with_body = || copies.iter().filter(|copy| copy.body == entry.body);
        let (seq, log, from, key) = (entry.seq, &entry.log, &entry.from, &entry.key);
        let (says, witness) = if copies.is_empty() {
            (format!("{from} never sent {key}, shown at {seq} of {log}"), vec![sight.at])
        } else if with_body().next().is_none() {
            let says = format!("{from} sent {key} otherwise than it is shown at {seq} of {log}");
            (says, vec![copies[0].sent, sight.at])
        } else if with_body().all(|copy| copy.sent > sight.at) {
            let sent = with_body().map(|copy| copy.sent).min().unwrap_or_default();
            (format!("{key} was shown at {seq} of {log} before it was sent"), vec![sight.at, sent])
        } else {
            return;
        };
        found.push(Violation::new(Rule::NothingInvented, says, &witness).about(log, seq));
    });
}

/// What is shown was sent at least once without being refused.
pub fn refused_is_absent(index: &Index<'_>, found: &mut Vec<Violation>) {
    for_each_message(index, |sight, copies| {
        let entry = sight.entry;
        let could_be = |copy: &&Copy<'_>| copy.body == entry.body && copy.sent < sight.at;
        let mut sent = copies.iter().filter(could_be).peekable();
        let last = sent.peek().copied();
        if let Some(last) = last.filter(|_| sent.all(Copy::is_refused)) {
            let (seq, log, key) = (entry.seq, &entry.log, &entry.key);
            let says = format!("{key} was refused, and is shown at {seq} of {log}");
            let answered = last.answer.map_or(last.sent, |(at, _)| at);
            let witness = [last.sent, answered, sight.at];
            found.push(Violation::new(Rule::RefusedIsAbsent, says, &witness).about(log, seq));
        }
    });
}

/// Each message that is shown, with all the times that it was sent; the same again at the same place only once.
fn for_each_message<'h>(index: &Index<'h>, mut look: impl FnMut(&Sight<'h>, &[Copy<'h>])) {
    let mut seen = HashSet::new();
    for sight in index.sights.iter().filter(|sight| !sight.entry.notice) {
        let Entry { log, seq, from, key, body, .. } = sight.entry;
        if seen.insert((log, seq, from, key, body)) {
            let copies = index.copies.get(&(log, from, key));
            look(sight, copies.map_or(&[], Vec::as_slice));
        }
    }
}

/// Whoever sees a place of a log sees the same there, and so it is in the log at the end.
pub fn one_log(index: &Index<'_>, found: &mut Vec<Violation>) {
    let mut first: HashMap<(&str, &Log, u64), Sight<'_>> = HashMap::new();
    let mut inbox: HashMap<(&str, &str, u64), (usize, &Log, u64)> = HashMap::new();
    for sight in &index.sights {
        let entry = sight.entry;
        let (log, seq) = (&entry.log, entry.seq);
        let before = *first.entry((sight.epoch, log, seq)).or_insert(*sight);
        if !is_same(before.entry, entry) {
            let says = format!("two entries were shown at {seq} of {log}");
            let violation = Violation::new(Rule::OneLog, says, &[before.at, sight.at]);
            found.push(violation.about(log, seq));
        }
        if let Some(place) = entry.inbox {
            let place_of = inbox.entry((sight.epoch, sight.user, place));
            let (at, own_log, own_seq) = *place_of.or_insert((sight.at, log, seq));
            if (own_log, own_seq) != (log, seq) {
                let user = sight.user;
                let says = format!("{user} was shown two entries at {place} of their inbox");
                let violation = Violation::new(Rule::OneLog, says, &[at, sight.at]);
                found.push(violation.about(log, seq));
            }
        }
        if sight.epoch == index.epoch {
            is_in_the_end(index, sight, found);
        }
    }
    for ack in &index.acks {
        if let Some(sight) = first.get(&(ack.epoch, ack.log, ack.seq))
            && !is_acked_as(ack, sight.entry)
        {
            let (seq, log) = (ack.seq, ack.log);
            let says = format!("what was acked at {seq} of {log} is not what was shown there");
            let violation = Violation::new(Rule::OneLog, says, &[ack.sent, ack.at, sight.at]);
            found.push(violation.about(log, seq));
        }
        if let Some(place) = ack.inbox
            && let Some((at, log, seq)) = inbox.get(&(ack.epoch, ack.key.1, place))
            && (*log, *seq) != (ack.log, ack.seq)
        {
            let user = ack.key.1;
            let says = format!("at {place} of their inbox {user} was acked one and shown another");
            let violation = Violation::new(Rule::OneLog, says, &[ack.at, *at]);
            found.push(violation.about(ack.log, ack.seq));
        }
    }
    one_head(index, found);
}

/// What was shown is still there at the end.
fn is_in_the_end(index: &Index<'_>, sight: &Sight<'_>, found: &mut Vec<Violation>) {
    let (log, seq) = (&sight.entry.log, sight.entry.seq);
    if let Some(stored) = index.stored.get(log)
        && seq >= stored.first
        && !stored.entries.contains_key(&seq)
    {
        let says = format!("what was shown at {seq} of {log} is not there in the end");
        let read_at = stored.read_at.first().copied().unwrap_or(sight.at);
        let violation = Violation::new(Rule::OneLog, says, &[sight.at, read_at]);
        found.push(violation.about(log, seq));
    }
}

/// A user reads one head of a log, through whichever node.
fn one_head(index: &Index<'_>, found: &mut Vec<Violation>) {
    let mut heads: HashMap<(&str, &str, &Log), (usize, u64)> = HashMap::new();
    for (at, event) in index.events.iter().enumerate() {
        let What::ReadBack { user, epoch, log, head, .. } = &event.what else { continue };
        let (first_at, first) = *heads.entry((user, epoch, log)).or_insert((at, *head));
        if first != *head {
            let says = format!("{user} reads {log} up to {first} and up to {head}");
            let violation = Violation::new(Rule::OneLog, says, &[first_at, at]);
            found.push(violation.about(log, first.min(*head) + 1));
        }
    }
}

fn is_same(one: &Entry, other: &Entry) -> bool {
    let parts = |entry: &Entry| (entry.message_id, entry.sent_at_ms, entry.notice);
    one.from == other.from
        && one.key == other.key
        && one.body == other.body
        && parts(one) == parts(other)
}
