//! Logs and inboxes: one entry at each place, no place empty, and all there that was acked.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::super::history::{Answer, Command, Entry, Log, Stream, What};
use super::index::{Ack, Index, Sight};
use super::{Rule, Violation};

/// No list has a place twice, and no two messages are acked with one place.
pub fn one_place(index: &Index<'_>, found: &mut Vec<Violation>) {
    for (at, list) in lists(index) {
        let mut seen = HashSet::new();
        for entry in list.entries {
            if !seen.insert(list.place(entry)) {
                let place = list.place(entry);
                let says = format!("{} has two entries at {place}", list.name);
                let violation = Violation::new(Rule::OnePlace, says, &[at]);
                found.push(violation.about(&entry.log, entry.seq));
            }
        }
    }
    let mut by_place: HashMap<(&str, &Log, u64), &Ack<'_>> = HashMap::new();
    for ack in &index.acks {
        let first = by_place.entry((ack.epoch, ack.log, ack.seq)).or_insert(ack);
        if first.key != ack.key {
            let (one, other) = (first.key.2, ack.key.2);
            let says = format!("{one} and {other} were both acked at {} of {}", ack.seq, ack.log);
            let witness = [first.sent, first.at, ack.sent, ack.at];
            found.push(Violation::new(Rule::OnePlace, says, &witness).about(ack.log, ack.seq));
        }
    }
}

/// What was acked under the last epoch is in the log at the end, as it was acked.
pub fn acked_is_there(index: &Index<'_>, found: &mut Vec<Violation>) {
    let mut told = HashSet::new();
    for ack in index.acks.iter().filter(|ack| ack.epoch == index.epoch) {
        // Repeats are held against the first answer.
        if !told.insert(ack.key) {
            continue;
        }
        let (seq, log, key) = (ack.seq, ack.log, ack.key.2);
        let mut tell = |says: String, more: &[usize]| {
            let witness = [&[ack.sent, ack.at], more].concat();
            found.push(Violation::new(Rule::AckedIsThere, says, &witness).about(log, seq));
        };
        let Some(stored) = index.stored.get(log) else {
            tell(format!("{key} was acked, and nobody read {log} back"), &[]);
            continue;
        };
        // Nobody who read it back may see what was before.
        if seq < stored.first {
            continue;
        }
        match stored.entries.get(&seq) {
            None => {
                // As those have it who should have seen it.
                let read_at = stored.read_at.first().copied().into_iter().collect::<Vec<_>>();
                tell(format!("{key} was acked at {seq} of {log}, where nothing is"), &read_at);
            }
            Some((at, entry)) if !is_acked_as(ack, entry) => {
                tell(format!("{key} was acked at {seq} of {log}, where something else is"), &[*at]);
            }
            Some(_) => {}
        }
    }
}

/// Whether this entry is what was acked.
pub fn is_acked_as(ack: &Ack<'_>, entry: &Entry) -> bool {
    entry.from == ack.key.1
        && entry.key == ack.key.2
        && entry.body == ack.body
        && entry.message_id == ack.message_id
        && entry.sent_at_ms == ack.sent_at_ms
}

/// Every place up to the head is taken, in what was read back, in each page, and in what a device was shown.
pub fn no_holes(index: &Index<'_>, found: &mut Vec<Violation>) {
    for (at, list) in lists(index) {
        let places: BTreeSet<u64> = list.entries.iter().map(|entry| list.place(entry)).collect();
        let last = places.last().copied().unwrap_or_default();
        let first = list.first.or(places.first().copied()).unwrap_or(1);
        let to = list.last.unwrap_or(last).max(last);
        if let Some(hole) = (first..=to).find(|place| !places.contains(place)) {
            let says = format!("{} has nothing at {hole}", list.name);
            let violation = Violation::new(Rule::NoHoles, says, &[list.asked, at]);
            found.push(match &list.log {
                Some(log) => violation.about(log, hole),
                None => violation,
            });
        } else if last > list.head {
            let says = format!("{} goes on behind its head {}", list.name, list.head);
            found.push(Violation::new(Rule::NoHoles, says, &[at]));
        }
    }
    whole_inboxes(index, found);
    shown_without_holes(index, found);
}

/// What shows the entries of a stream side by side.
struct List<'h> {
    name: String,
    /// The log; none for an inbox, whose places are its own.
    log: Option<Log>,
    entries: &'h [Entry],
    head: u64,
    /// Where it was asked for.
    asked: usize,
    /// The place that must come first, where that is known, and the one that must be there as the last.
    first: Option<u64>,
    last: Option<u64>,
}

impl List<'_> {
    fn place(&self, entry: &Entry) -> u64 {
        match self.log {
            Some(_) => entry.seq,
            None => entry.inbox.unwrap_or_default(),
        }
    }
}

fn lists<'h>(index: &Index<'h>) -> Vec<(usize, List<'h>)> {
    let mut lists = Vec::new();
    for (at, event) in index.events.iter().enumerate() {
        let list = match &event.what {
            What::ReadBack { node, log, min_seq, head, entries, .. } => List {
                name: format!("{log}, read back through {node},"),
                log: Some(log.clone()),
                entries,
                head: *head,
                asked: at,
                first: Some(*min_seq),
                last: Some(*head),
            },
            What::InboxBack { node, user, head, entries, .. } => List {
                name: format!("the inbox of {user}, read back through {node},"),
                log: None,
                entries,
                head: *head,
                asked: at,
                first: Some(1),
                last: Some(*head),
            },
            _ => continue,
        };
        lists.push((at, list));
    }
    for asked in &index.asked {
        let list = match (asked.command, asked.answer) {
            (
                Command::History { after, before, .. },
                Some((at, Answer::Page { log, min_seq, head, has_more, entries, .. })),
            ) => {
                let list = List {
                    name: format!("a page of {log}"),
                    log: Some(log.clone()),
                    entries,
                    head: *head,
                    asked: asked.sent,
                    first: after.map(|after| (after + 1).max(*min_seq)),
                    last: match (after, before) {
                        (Some(_), _) => (!has_more).then_some(*head),
                        (None, Some(before)) => Some(before.saturating_sub(1).min(*head)),
                        (None, None) => Some(*head),
                    }
                    // An empty page says only that nobody may see anything there.
                    .filter(|_| after.is_some() || !entries.is_empty()),
                };
                (at, list)
            }
            (
                Command::Inbox { after },
                Some((at, Answer::InboxPage { head, has_more, entries })),
            ) => {
                let list = List {
                    name: "a page of an inbox".to_owned(),
                    log: None,
                    entries,
                    head: *head,
                    asked: asked.sent,
                    first: Some(after + 1),
                    last: (!has_more).then_some(*head),
                };
                (at, list)
            }
            _ => continue,
        };
        lists.push(list);
    }
    lists
}

/// Each entry of a pair is in the inboxes of both.
fn whole_inboxes(index: &Index<'_>, found: &mut Vec<Violation>) {
    for (at, event) in index.events.iter().enumerate() {
        let What::InboxBack { user, epoch, entries, .. } = &event.what else { continue };
        if epoch != index.epoch {
            continue;
        }
        let inbox: HashSet<(&Log, u64)> =
            entries.iter().map(|entry| (&entry.log, entry.seq)).collect();
        let own = index.stored.iter().filter(|(log, _)| {
            log.users().is_some_and(|(one, other)| one == user || other == user)
        });
        for (log, stored) in own {
            for (seq, (read_at, _)) in &stored.entries {
                if !inbox.contains(&(*log, *seq)) {
                    let says = format!("the inbox of {user} lacks {seq} of {log}");
                    let violation = Violation::new(Rule::NoHoles, says, &[*read_at, at]);
                    found.push(violation.about(log, *seq));
                }
            }
        }
    }
}

/// A device that follows the protocol was shown all from where it began, up to the head.
fn shown_without_holes(index: &Index<'_>, found: &mut Vec<Violation>) {
    let mut shown: BTreeMap<(&str, &str), Vec<&Sight<'_>>> = BTreeMap::new();
    for sight in &index.sights {
        if let Some(device) = sight.device {
            shown.entry((sight.user, device)).or_default().push(sight);
        }
    }
    for (at, event) in index.events.iter().enumerate() {
        let What::Position { user, device, of, from, to } = &event.what else { continue };
        let sights = shown.get(&(user, device)).map_or(&[][..], Vec::as_slice);
        let own = index.acks.iter().filter(|ack| {
            let session = index.sessions.get(&ack.conn);
            session.is_some_and(|session| session.user == user && session.device == device)
        });
        let (places, head, head_at): (HashSet<u64>, u64, Option<usize>) = match of {
            Stream::Log(log) => {
                let seen = sights.iter().filter(|sight| sight.entry.log == *log);
                let own = own.filter(|ack| ack.log == log).map(|ack| ack.seq);
                let stored = index.stored.get(log);
                let head = stored.map_or(0, |stored| stored.head);
                let head_at = stored.and_then(|stored| stored.read_at.first().copied());
                (seen.map(|sight| sight.entry.seq).chain(own).collect(), head, head_at)
            }
            Stream::Inbox => {
                let seen = sights.iter().filter_map(|sight| sight.entry.inbox);
                let back =
                    index.events.iter().enumerate().find_map(|(at, event)| match &event.what {
                        What::InboxBack { user: own, head, .. } if own == user => Some((*head, at)),
                        _ => None,
                    });
                let head = back.map_or(0, |(head, _)| head);
                let seen = seen.chain(own.filter_map(|ack| ack.inbox)).collect();
                (seen, head, back.map(|(_, at)| at))
            }
        };
        if let Some(hole) = (from + 1..=*to).find(|place| !places.contains(place)) {
            let says = format!("{user}/{device} was never shown {hole} of {of:?}");
            found.push(Violation::new(Rule::NoHoles, says, &[at]));
        } else if *to < head {
            let says = format!("{user}/{device} has {of:?} up to {to}, its head is {head}");
            let witness: Vec<usize> = head_at.into_iter().chain([at]).collect();
            found.push(Violation::new(Rule::NoHoles, says, &witness));
        }
    }
}
