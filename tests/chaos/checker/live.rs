//! While nothing is wrong nobody has to look for what is new: it comes, or the word to sync does.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use rookery::limits;

use super::super::history::{Answer, Conn, Entry, Event, Heads, Log, Push, What};
use super::index::{Index, Session};
use super::{PUSHED_WITHIN, Rule, Violation};

const LATE_US: u64 = PUSHED_WITHIN.as_micros() as u64;
/// A node that did not answer in time is not waited for as long by the logins that come next.
const UNSURE_FOR: Duration = Duration::from_secs(3);

/// What was sent and acked in a calm is pushed to all sessions that were in and stay so.
pub fn pushed(index: &Index<'_>, found: &mut Vec<Violation>) {
    let calms: Vec<Calm<'_>> = index.events.iter().enumerate().filter_map(Calm::of).collect();
    if calms.is_empty() {
        return;
    }
    let told = Told::of(index);
    let mut acked: HashMap<(&Log, u64), usize> = HashMap::new();
    for ack in index.acks.iter().filter(|ack| ack.epoch == index.epoch) {
        acked.entry((ack.log, ack.seq)).or_insert(ack.at);
    }
    for (log, stored) in &index.stored {
        for (seq, (_, entry)) in &stored.entries {
            let copies = index.copies.get(&(*log, entry.from.as_str(), entry.key.as_str()));
            let sent = copies.and_then(|copies| copies.iter().map(|copy| copy.sent).min());
            let (Some(sent), Some(acked)) = (sent, acked.get(&(*log, *seq)).copied()) else {
                continue;
            };
            let due_us = index.time_us(acked) + LATE_US;
            let Some(calm) = calms.iter().find(|calm| calm.holds(log, index.time_us(sent), due_us))
            else {
                continue;
            };
            let from: HashSet<Conn> = copies.into_iter().flatten().map(|copy| copy.conn).collect();
            let new = New { entry, sent, due_us };
            for session in index.sessions.values().filter(|it| !from.contains(&it.conn)) {
                if let Some(lacks) = told.lacks(index, session, &new) {
                    let (user, device) = (session.user, session.device);
                    let says = format!(
                        "{user}/{device} was online and neither pushed {seq} of {log} nor told to sync"
                    );
                    let witness = [sent, acked, lacks, calm.at];
                    let violation = Violation::new(Rule::Pushed, says, &witness);
                    found.push(violation.about(log, *seq));
                }
            }
        }
    }
}

/// A time in which nothing was wrong.
struct Calm<'h> {
    at: usize,
    moved: &'h [Log],
    from_us: u64,
    to_us: u64,
}

impl<'h> Calm<'h> {
    fn of((at, event): (usize, &'h Event)) -> Option<Self> {
        let What::Calm { lasted_us, moved, told_us } = &event.what else { return None };
        let to_us = event.at_us;
        let from_us = to_us.saturating_sub(*lasted_us);
        Some(Self { at, moved, from_us, to_us: to_us.min(from_us + told_us + LATE_US) })
    }

    fn holds(&self, log: &Log, from_us: u64, to_us: u64) -> bool {
        self.from_us <= from_us && to_us <= self.to_us && !self.moved.contains(log)
    }
}

/// An entry that is to be pushed.
struct New<'h> {
    entry: &'h Entry,
    sent: usize,
    due_us: u64,
}

/// What connections were told.
struct Told<'h> {
    pushes: HashMap<(Conn, &'h Log, u64), usize>,
    /// What they were told of heads, by the places of the answers.
    heads: HashMap<Conn, Vec<(usize, &'h Heads)>>,
    sync_needed: HashMap<Conn, Vec<usize>>,
    /// When the server ended a session.
    ended: HashMap<Conn, usize>,
    /// Logins that did not wait for nodes which did not answer, or may not have: what these have for them may be lost.
    unsure: HashSet<Conn>,
    /// Who may see a group.
    members: BTreeMap<&'h Log, BTreeSet<&'h str>>,
    /// Where entries are in the inboxes of users.
    inboxes: HashMap<(&'h str, &'h Log, u64), u64>,
}

impl<'h> Told<'h> {
    fn of(index: &Index<'h>) -> Self {
        let mut told = Self {
            pushes: HashMap::new(),
            heads: HashMap::new(),
            sync_needed: HashMap::new(),
            ended: HashMap::new(),
            unsure: unsure(index),
            members: BTreeMap::new(),
            inboxes: HashMap::new(),
        };
        for (at, event) in index.events.iter().enumerate() {
            match &event.what {
                What::Answered {
                    conn,
                    answer: Answer::LoggedIn { heads, .. } | Answer::Synced { heads, .. },
                    ..
                } => told.heads.entry(*conn).or_default().push((at, heads)),
                What::Pushed { conn, push: Push::Message { entry } } => {
                    told.pushes.entry((*conn, &entry.log, entry.seq)).or_insert(at);
                }
                What::Pushed { conn, push: Push::SyncNeeded } => {
                    told.sync_needed.entry(*conn).or_default().push(at);
                }
                What::Pushed { conn, push } if is_end(push) => {
                    told.ended.entry(*conn).or_insert(at);
                }
                What::Parted { conn, .. } => {
                    told.ended.entry(*conn).or_insert(at);
                }
                What::ReadBack { user, log, .. } => {
                    told.members.entry(log).or_default().insert(user);
                }
                What::InboxBack { user, entries, .. } => {
                    let places = entries.iter().filter_map(|entry| {
                        entry.inbox.map(|place| ((user.as_str(), &entry.log, entry.seq), place))
                    });
                    told.inboxes.extend(places);
                }
                _ => {}
            }
        }
        told
    }

    /// Where a session was told of heads that do not reach up to an entry, if the entry or the word to sync should have
    /// come and did not.
    fn lacks(&self, index: &Index<'_>, session: &Session<'_>, new: &New<'_>) -> Option<usize> {
        let New { entry, sent, due_us } = *new;
        let (conn, log, seq) = (session.conn, &entry.log, entry.seq);
        let is_in_time = |at: usize| index.time_us(at) <= due_us;
        if self.unsure.contains(&conn)
            || self.ended.get(&conn).is_some_and(|at| is_in_time(*at))
            || self.pushes.get(&(conn, log, seq)).is_some_and(|at| is_in_time(*at))
        {
            return None;
        }
        let is_told = |at: &usize| *at > sent && is_in_time(*at);
        if self.sync_needed.get(&conn).is_some_and(|all| all.iter().any(is_told)) {
            return None;
        }
        let head_of = |heads: &Heads| match log.users() {
            Some(_) => Some(heads.inbox),
            None => heads.groups.get(log).copied(),
        };
        let place = match log.users() {
            Some(_) => self.inboxes.get(&(session.user, log, seq)).copied()?,
            None if self.members.get(log)?.contains(session.user) => seq,
            None => return None,
        };
        let heads = self.heads.get(&conn)?.iter().filter(|(at, _)| is_in_time(*at));
        let told: Option<Vec<(usize, u64)>> =
            heads.map(|(at, heads)| Some((*at, head_of(heads)?))).collect();
        // What it was not told of it, it may see since a moment ago.
        let told = told?;
        let last = told.last()?.0;
        told.iter().all(|(_, head)| *head < place).then_some(last)
    }
}

/// That a node does not answer in time shows in how long a login takes.
fn unsure(index: &Index<'_>) -> HashSet<Conn> {
    let logins = index.sessions.values().filter_map(|session| {
        let login = session.login.as_ref()?;
        Some((session.conn, index.time_us(login.sent), index.time_us(login.replied)))
    });
    let logins: Vec<(Conn, u64, u64)> = logins.collect();
    let is_slow =
        |sent: u64, replied: u64| u128::from(replied - sent) >= limits::HEARD_WITHIN.as_micros();
    let slow: Vec<_> =
        logins.iter().filter(|(_, sent, replied)| is_slow(*sent, *replied)).collect();
    let since = UNSURE_FOR.as_micros() as u64;
    let is_unsure = |(_, sent, replied): &&(Conn, u64, u64)| {
        slow.iter().any(|(_, from, to)| to + since > *sent && from < replied)
    };
    logins.iter().filter(is_unsure).map(|(conn, ..)| *conn).collect()
}

/// Whether nothing is pushed behind this.
fn is_end(push: &Push) -> bool {
    match push {
        Push::Kicked { .. } => true,
        Push::Other { name } => name == "session.closing" || name == "session.draining",
        _ => false,
    }
}
