//! One sender's order, as promised: what one session sends to one conversation stays in the order in which it sent it.
//!
//! A message may stand before an earlier one of its session only if it can have come from a session that did not promise
//! otherwise: one that had not sent the earlier one before it, one that was refused it for good, or one that awaited it
//! for so long that its place was given up.

use std::collections::{BTreeMap, HashMap, HashSet};

use rookery::limits;

use super::super::history::{Answer, Conn, Log, What};
use super::index::{Copy, Index, Key, Stored};
use super::{Rule, Violation};

/// A message of a lane: where it was first sent, which one it is, and its seq.
type Sent<'h> = (usize, Key<'h>, u64);

/// No message overtakes an earlier one.
pub fn one_order(index: &Index<'_>, found: &mut Vec<Violation>) {
    let facts = Facts::of(index);
    let mut lanes: BTreeMap<(Conn, &Log), Vec<Sent<'_>>> = BTreeMap::new();
    for (key, copies) in &index.copies {
        let Some(seq) = facts.stored_at(*key) else { continue };
        let mut conns = HashSet::new();
        for copy in copies.iter().filter(|copy| conns.insert(copy.conn)) {
            lanes.entry((copy.conn, key.0)).or_default().push((copy.sent, *key, seq));
        }
    }
    let mut told = HashSet::new();
    for lane in lanes.values_mut() {
        lane.sort_unstable();
        let mut highest = 0;
        for (place, (sent, later, seq)) in lane.iter().enumerate() {
            let overtaken = |(_, earlier, own_seq): &&Sent<'_>| {
                own_seq > seq && !facts.may_overtake(*later, *earlier)
            };
            // Most overtake nothing.
            if *seq > highest {
                highest = *seq;
            } else if let Some((earlier_sent, earlier, at)) = lane[..place].iter().find(overtaken)
                && told.insert(*later)
            {
                let log = later.0;
                let says = format!(
                    "{} at {seq} of {log} overtook {} at {at}, which was sent before it",
                    later.2, earlier.2
                );
                let read_at = index.stored.get(log).and_then(|stored| stored.read_at.first());
                let witness: Vec<usize> =
                    [*earlier_sent, *sent].into_iter().chain(read_at.copied()).collect();
                let violation = Violation::new(Rule::OneOrder, says, &witness);
                found.push(violation.about(log, *seq).about(log, *at));
            }
        }
    }
}

struct Facts<'i, 'h> {
    index: &'i Index<'h>,
    /// When something was first known to be stored.
    known: HashMap<Key<'h>, usize>,
    /// Who may have been refused something for good without having heard of it: in which log.
    unsure: HashSet<(&'h Log, &'h str)>,
}

impl<'i, 'h> Facts<'i, 'h> {
    fn of(index: &'i Index<'h>) -> Self {
        let mut known: HashMap<Key<'_>, usize> = HashMap::new();
        // What the store has lost since may be stored once more, under the same key and with another body.
        let shown = index.sights.iter().filter(|sight| sight.epoch == index.epoch).map(|sight| {
            let entry = sight.entry;
            (sight.at, (&entry.log, entry.from.as_str(), entry.key.as_str()))
        });
        let acked = index.acks.iter().filter(|ack| ack.epoch == index.epoch);
        for (at, key) in shown.chain(acked.map(|ack| (ack.at, ack.key))) {
            let first = known.entry(key).or_insert(at);
            *first = at.min(*first);
        }
        let mut unsure = HashSet::new();
        for ((log, user, _), copies) in &index.copies {
            if copies.iter().any(Copy::is_final) {
                unsure.insert((*log, *user));
            }
        }
        for event in index.events {
            let What::ReadBack { log, entries, .. } = &event.what else { continue };
            let notices = entries.iter().filter(|entry| entry.notice);
            let gone: HashSet<String> = notices.flat_map(|entry| gone_by(&entry.body)).collect();
            let senders = index.copies.keys().filter(|(own, _, _)| *own == log);
            let senders = senders.filter(|(_, user, _)| gone.contains(*user));
            unsure.extend(senders.map(|(log, user, _)| (*log, *user)));
        }
        Self { index, known, unsure }
    }

    fn stored_at(&self, (log, user, key): Key<'h>) -> Option<u64> {
        self.stored(log)?.seqs.get(&(user, key)).copied()
    }

    fn stored(&self, log: &Log) -> Option<&'i Stored<'h>> {
        self.index.stored.get(log)
    }

    /// The times that a message was sent as it is stored.
    fn copies(&self, key: Key<'h>) -> impl Iterator<Item = &'i Copy<'h>> {
        let stored = self.stored(key.0);
        let body = stored.and_then(|stored| {
            let seq = stored.seqs.get(&(key.1, key.2))?;
            Some(stored.entries.get(seq)?.1.body.as_str())
        });
        let copies = self.index.copies.get(&key).into_iter().flatten();
        copies.filter(move |copy| Some(copy.body) == body)
    }

    /// Whether `later`, which stands before `earlier`, can have come from a session that did not promise otherwise.
    fn may_overtake(&self, later: Key<'h>, earlier: Key<'h>) -> bool {
        let known = self.known.get(&later).copied().unwrap_or(usize::MAX);
        // What was stored before the store lost data may have been stored anew.
        if self.copies(later).chain(self.copies(earlier)).any(|copy| self.is_of_the_past(copy)) {
            return true;
        }
        self.copies(later)
            .filter(|copy| copy.sent < known && !copy.is_refused())
            .any(|copy| !self.promises(copy, later, earlier, known))
    }

    fn is_of_the_past(&self, copy: &Copy<'_>) -> bool {
        let session = self.index.sessions.get(&copy.conn);
        let login = session.and_then(|session| session.login.as_ref());
        login.is_none_or(|login| login.epoch != self.index.epoch)
    }

    /// Whether the session of `copy`, which is of `later`, promised that `earlier` stands before it; it was known to be
    /// stored at `known`.
    fn promises(&self, copy: &Copy<'h>, later: Key<'h>, earlier: Key<'h>, known: usize) -> bool {
        // What comes again has the place of its first time.
        let own = self.copies(later).filter(|own| own.conn == copy.conn);
        let first = own.map(|own| own.sent).min().unwrap_or(copy.sent);
        let before: Vec<_> =
            self.copies(earlier).filter(|own| own.conn == copy.conn && own.sent < first).collect();
        let Some(last) = before.last() else { return false };
        if before.iter().any(|own| own.is_final()) {
            return false;
        }
        let is_acked = |own: &&'i Copy<'h>| matches!(own.answer, Some((_, Answer::Acked { .. })));
        if before.iter().any(is_acked) {
            return true;
        }
        let is_open = before.iter().any(|own| own.answer.is_none());
        if is_open && self.unsure.contains(&(earlier.0, earlier.1)) {
            return false;
        }
        // Its place was given up at the earliest so long after it was sent for the last time.
        let waited_us = if known == usize::MAX {
            u64::MAX
        } else {
            self.index.time_us(known) - self.index.time_us(last.sent)
        };
        u128::from(waited_us) < limits::AWAITED_FOR.as_micros()
    }
}

/// Who ceased to be a member by a notice.
fn gone_by(body: &str) -> Vec<String> {
    let notice: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    if !matches!(notice["action"].as_str(), Some("left" | "removed")) {
        return Vec::new();
    }
    let users = notice["users"].as_array().map_or(&[][..], Vec::as_slice);
    users.iter().filter_map(|user| user.as_str()).map(str::to_owned).collect()
}
