//! Cursors only rise, and never pass the head.

use std::collections::{HashMap, HashSet};

use super::super::history::{Answer, Command, Conn, Log, Push, What};
use super::index::Index;
use super::{Rule, Violation};

/// Whose cursor it is, in which log, and which one.
type Cursor<'h> = (&'h str, &'h Log, Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// Up to where a device has it, as its own user is answered.
    Received,
    /// Up to where it was delivered, by a device or by the server: never less than what a device has.
    Delivered,
    Read,
}

/// A cursor that was shown at `shown`, and read after `asked`.
struct Shown<'h> {
    cursor: Cursor<'h>,
    seq: u64,
    asked: usize,
    shown: usize,
}

/// What was shown later is not lower, and nothing is higher than what was sent until then.
pub fn cursors(index: &Index<'_>, found: &mut Vec<Violation>) {
    let mut all = asked_for(index);
    for shown in &all {
        is_below_head(index, shown, found);
    }
    all.sort_by_key(|shown| shown.asked);
    let mut by_end: Vec<&Shown<'_>> = all.iter().collect();
    by_end.sort_by_key(|shown| shown.shown);
    let mut ended = by_end.into_iter().peekable();
    let mut highest: HashMap<Cursor<'_>, &Shown<'_>> = HashMap::new();
    for shown in &all {
        while let Some(before) = ended.next_if(|before| before.shown < shown.asked) {
            let (user, log, kind) = before.cursor;
            // What a device has counts as delivered as well.
            let also = (kind == Kind::Received).then_some((user, log, Kind::Delivered));
            for cursor in [Some(before.cursor), also].into_iter().flatten() {
                let own = highest.entry(cursor).or_insert(before);
                if before.seq > own.seq {
                    *own = before;
                }
            }
        }
        if let Some(before) = highest.get(&shown.cursor)
            && before.seq > shown.seq
        {
            let (user, log, kind) = shown.cursor;
            let (from, to) = (before.seq, shown.seq);
            let says = format!("the cursor {kind:?} of {user} in {log} fell from {from} to {to}");
            let witness = [before.shown, shown.asked, shown.shown];
            found.push(Violation::new(Rule::Cursors, says, &witness));
        }
    }
    pushed(index, found);
}

fn asked_for<'h>(index: &Index<'h>) -> Vec<Shown<'h>> {
    let mut all = Vec::new();
    for asked in &index.asked {
        let (Some(session), Some((at, answer))) = (index.sessions.get(&asked.conn), asked.answer)
        else {
            continue;
        };
        let mut show = |user, log, kind, seq| {
            all.push(Shown { cursor: (user, log, kind), seq, asked: asked.sent, shown: at });
        };
        match (asked.command, answer) {
            (Command::Received { .. }, Answer::Cursor { log, seq }) => {
                show(session.user, log, Kind::Received, *seq);
            }
            (Command::Read { .. }, Answer::Cursor { log, seq }) => {
                show(session.user, log, Kind::Read, *seq);
            }
            (_, Answer::Page { log, peer: Some(peer), .. }) => {
                let Some((one, other)) = log.users() else { continue };
                let user = if one == session.user { other } else { one };
                show(user, log, Kind::Delivered, peer.delivered);
                if let Some(read) = peer.read {
                    show(user, log, Kind::Read, read);
                }
            }
            _ => {}
        }
    }
    // Numbers of another epoch mean something else.
    let is_of_now = |shown: &Shown<'_>| {
        index.events[shown.asked].what.conn().is_some_and(|conn| is_of_the_last_epoch(index, conn))
    };
    all.retain(is_of_now);
    all
}

fn is_of_the_last_epoch(index: &Index<'_>, conn: Conn) -> bool {
    let login = index.sessions.get(&conn).and_then(|session| session.login.as_ref());
    login.is_some_and(|login| login.epoch == index.epoch)
}

/// What it points at was sent before it was shown, and is there in the end.
fn is_below_head(index: &Index<'_>, shown: &Shown<'_>, found: &mut Vec<Violation>) {
    let (user, log, kind) = shown.cursor;
    let Some(stored) = index.stored.get(log) else { return };
    let read_at = stored.read_at.first().copied().unwrap_or(shown.shown);
    if shown.seq > stored.head {
        let (seq, head) = (shown.seq, stored.head);
        let says = format!("the cursor {kind:?} of {user} in {log} is {seq}, the head is {head}");
        found.push(Violation::new(Rule::Cursors, says, &[shown.shown, read_at]));
    } else if let Some((_, entry)) = stored.entries.get(&shown.seq)
        && let Some(copies) = index.copies.get(&(log, entry.from.as_str(), entry.key.as_str()))
        && let Some(sent) = copies.iter().map(|copy| copy.sent).min()
        && sent > shown.shown
    {
        let seq = shown.seq;
        let says = format!("{user} had {seq} of {log} ({kind:?}) before it was sent");
        found.push(Violation::new(Rule::Cursors, says, &[shown.shown, sent, read_at]));
    }
}

/// What one session is told of a cursor does not fall either, unless it sent something again and is told anew.
fn pushed(index: &Index<'_>, found: &mut Vec<Violation>) {
    let repeats: HashSet<(Conn, &Log)> =
        index.acks.iter().filter(|ack| ack.duplicate).map(|ack| (ack.conn, ack.log)).collect();
    let mut told: HashMap<(Conn, &Log, &str, &str), (usize, u64)> = HashMap::new();
    for (at, event) in index.events.iter().enumerate() {
        let What::Pushed { conn, push } = &event.what else { continue };
        let (log, seq, user, by, kind) = match push {
            Push::Delivered { log, seq, user, by } => {
                (log, *seq, user.as_str(), by.as_str(), Kind::Delivered)
            }
            Push::Read { log, seq, user } => (log, *seq, user.as_str(), "", Kind::Read),
            _ => continue,
        };
        if !is_of_the_last_epoch(index, *conn) {
            continue;
        }
        let shown = Shown { cursor: (user, log, kind), seq, asked: at, shown: at };
        is_below_head(index, &shown, found);
        if repeats.contains(&(*conn, log)) {
            continue;
        }
        let last = told.entry((*conn, log, user, by)).or_insert((at, seq));
        let (before, from) = *last;
        if from > seq {
            let says = format!("the cursor {kind:?} of {user} in {log} fell from {from} to {seq}");
            found.push(Violation::new(Rule::Cursors, says, &[before, at]));
        }
        *last = (at, seq.max(from));
    }
}
