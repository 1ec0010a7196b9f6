//! One thing changed in a good history, so that it is bad.

use std::collections::{HashMap, HashSet};

use rookery::limits;
use rookery::protocol::Code;

use super::chaos::checker::{PUSHED_WITHIN, Rule};
use super::chaos::history::{Answer, Command, Conn, Entry, Event, History, Log, Push, What};
use super::common::groups::Random;

/// A kind of change.
#[derive(Debug, Clone, Copy)]
pub enum Mutation {
    /// An acked entry is in no log in the end.
    DropAcked,
    /// The log ends before its last entry, which somebody has seen.
    CutOff,
    /// Two entries change places in what is read back, through all nodes or through one.
    Swap,
    SwapAtOneNode,
    /// Two acked messages of a session change places for everybody.
    Overtake,
    /// A message is in the log once more, at the next seq or at its own.
    StoreAgain,
    StoreBeside,
    /// What is shown or stored is something else.
    ChangeBodyShown,
    ChangeBodyStored,
    ChangeSender,
    ShareMessageId,
    /// What nobody sent is pushed.
    Invent,
    /// A repeat is answered otherwise.
    ChangeRepeat,
    /// A stored message is refused.
    Refuse,
    DropAnswer,
    AnswerAgain,
    LowerCursor,
    RaiseCursor,
    DropFromInbox,
    AckLoser,
    ChangePresence,
    LowerOwner,
    /// An entry is appended by another node than the one that has the shard, or while that changes.
    ChangeOwner,
    ClaimInBetween,
    /// Somebody who is online is not pushed something while nothing is wrong.
    DropPush,
}

pub const KINDS: [Mutation; 25] = [
    Mutation::DropAcked,
    Mutation::CutOff,
    Mutation::Swap,
    Mutation::SwapAtOneNode,
    Mutation::Overtake,
    Mutation::StoreAgain,
    Mutation::StoreBeside,
    Mutation::ChangeBodyShown,
    Mutation::ChangeBodyStored,
    Mutation::ChangeSender,
    Mutation::ShareMessageId,
    Mutation::Invent,
    Mutation::ChangeRepeat,
    Mutation::Refuse,
    Mutation::DropAnswer,
    Mutation::AnswerAgain,
    Mutation::LowerCursor,
    Mutation::RaiseCursor,
    Mutation::DropFromInbox,
    Mutation::AckLoser,
    Mutation::ChangePresence,
    Mutation::LowerOwner,
    Mutation::ChangeOwner,
    Mutation::ClaimInBetween,
    Mutation::DropPush,
];

/// An ack of the last epoch: where it stands, on which connection, and what was acked.
struct Acked {
    at: usize,
    conn: Conn,
    user: String,
    log: Log,
    key: String,
    seq: u64,
    duplicate: bool,
}

impl Mutation {
    /// The rules by which it may be found.
    pub fn breaks(self) -> &'static [Rule] {
        match self {
            Self::DropAcked => &[Rule::AckedIsThere],
            Self::CutOff => &[Rule::AckedIsThere, Rule::OneLog],
            Self::Swap | Self::SwapAtOneNode => &[Rule::AckedIsThere, Rule::OneLog],
            // A page that shows one of the two alone has a hole then.
            Self::Overtake => &[Rule::OneOrder, Rule::NoHoles],
            Self::StoreAgain => &[Rule::Once],
            Self::StoreBeside => &[Rule::OnePlace],
            Self::ChangeBodyShown | Self::ChangeBodyStored | Self::ChangeSender => {
                &[Rule::NothingInvented]
            }
            Self::ShareMessageId => &[Rule::OneMessageId],
            Self::Invent => &[Rule::NothingInvented],
            Self::ChangeRepeat => &[Rule::Once, Rule::OnePlace, Rule::AckedIsThere],
            Self::Refuse => &[Rule::RefusedIsAbsent],
            Self::DropAnswer | Self::AnswerAgain => &[Rule::Answered],
            Self::LowerCursor | Self::RaiseCursor => &[Rule::Cursors],
            Self::DropFromInbox => &[Rule::NoHoles],
            Self::AckLoser => &[Rule::OneWinner],
            Self::ChangePresence => &[Rule::Presence],
            Self::LowerOwner | Self::ChangeOwner | Self::ClaimInBetween => &[Rule::OneOwner],
            Self::DropPush => &[Rule::Pushed],
        }
    }

    /// Changes it; says what, unless there is nothing of the kind.
    pub fn apply(self, history: &mut History, random: &mut Random) -> Option<String> {
        let acked = acks(history);
        match self {
            Self::DropAcked => {
                let ack = pick(&acked, random)?;
                for entries in read_backs(history, &ack.log) {
                    entries.retain(|entry| entry.seq != ack.seq);
                }
                Some(ack.key.clone())
            }
            Self::CutOff => {
                let ack = pick(&acked, random)?;
                for event in &mut history.events {
                    if let What::ReadBack { log, head, entries, .. } = &mut event.what
                        && *log == ack.log
                    {
                        entries.truncate(ack.seq as usize - 1);
                        *head = entries.len() as u64;
                    }
                }
                Some(ack.key.clone())
            }
            Self::Swap | Self::SwapAtOneNode => {
                let ack = pick(&acked, random)?;
                let nodes = if matches!(self, Self::Swap) { usize::MAX } else { 1 };
                let mut is_done = false;
                for entries in read_backs(history, &ack.log).take(nodes) {
                    if let [one, other, ..] = &mut entries[ack.seq as usize - 1..] {
                        std::mem::swap(&mut one.seq, &mut other.seq);
                        entries.sort_by_key(|entry| entry.seq);
                        is_done = true;
                    }
                }
                is_done.then(|| ack.key.clone())
            }
            Self::Overtake => overtake(history, &acked),
            Self::StoreAgain | Self::StoreBeside => {
                let ack = pick(&acked, random)?;
                for event in &mut history.events {
                    if let What::ReadBack { log, head, entries, .. } = &mut event.what
                        && *log == ack.log
                    {
                        let mut again = entries[ack.seq as usize - 1].clone();
                        if matches!(self, Self::StoreAgain) {
                            *head += 1;
                            again.seq = *head;
                        }
                        entries.push(again);
                    }
                }
                Some(ack.key.clone())
            }
            Self::ChangeBodyShown | Self::ChangeSender => {
                let mut shown: Vec<_> =
                    history.events.iter_mut().filter_map(|event| shown(&mut event.what)).collect();
                let place = (!shown.is_empty()).then(|| random.below(shown.len()))?;
                if matches!(self, Self::ChangeSender) {
                    "mallory".clone_into(&mut shown[place].from);
                } else {
                    shown[place].body.push('!');
                }
                Some(shown[place].key.clone())
            }
            Self::ChangeBodyStored => {
                let ack = pick(&acked, random)?;
                for entries in read_backs(history, &ack.log) {
                    entries[ack.seq as usize - 1].body.push('!');
                }
                Some(ack.key.clone())
            }
            Self::ShareMessageId => {
                let ack = pick(&acked, random)?;
                let other = acked.iter().find(|other| other.key != ack.key)?;
                let id = read_backs(history, &other.log).next()?[other.seq as usize - 1].message_id;
                for entries in read_backs(history, &ack.log) {
                    entries[ack.seq as usize - 1].message_id = id;
                }
                Some(ack.key.clone())
            }
            Self::Invent => {
                let ack = pick(&acked, random)?;
                let mut entry = read_backs(history, &ack.log).next()?[ack.seq as usize - 1].clone();
                "invented".clone_into(&mut entry.key);
                let conn = ack.conn;
                insert(history, ack.at, What::Pushed { conn, push: Push::Message { entry } });
                Some(ack.key.clone())
            }
            Self::ChangeRepeat => {
                let repeats: Vec<_> = acked.iter().filter(|ack| ack.duplicate).collect();
                let ack = pick(&repeats, random)?;
                let What::Answered { answer: Answer::Acked { seq, message_id, .. }, .. } =
                    &mut history.events[ack.at].what
                else {
                    return None;
                };
                *(if random.below(2) == 0 { seq } else { message_id }) += 1_000_000;
                Some(ack.key.clone())
            }
            Self::Refuse => {
                let once = |ack: &&Acked| sends(history, ack) == 1;
                let only: Vec<_> = acked.iter().filter(once).collect();
                let ack = pick(&only, random)?;
                let What::Answered { answer, .. } = &mut history.events[ack.at].what else {
                    return None;
                };
                *answer = Answer::Refused { code: Code::Forbidden, awaited: None };
                Some(ack.key.clone())
            }
            Self::DropAnswer => {
                let ack = pick(&acked, random)?;
                history.events.remove(ack.at);
                let conn = ack.conn;
                history.events.retain(
                    |event| !matches!(event.what, What::Parted { conn: own, .. } if own == conn),
                );
                Some(ack.key.clone())
            }
            Self::AnswerAgain => {
                let ack = pick(&acked, random)?;
                let again = history.events[ack.at].what.clone();
                insert(history, ack.at + 1, again);
                Some(ack.key.clone())
            }
            Self::LowerCursor => lower_cursor(history, random),
            Self::RaiseCursor => {
                let cursors = cursors(history);
                let (_, at, log) = pick(&cursors, random)?;
                read_backs(history, log).next()?;
                set_cursor(history, *at, 1_000);
                Some(format!("{at}"))
            }
            Self::DropFromInbox => {
                let mut inboxes: Vec<_> = history
                    .events
                    .iter_mut()
                    .filter_map(|event| match &mut event.what {
                        What::InboxBack { entries, .. } if !entries.is_empty() => Some(entries),
                        _ => None,
                    })
                    .collect();
                let place = (!inboxes.is_empty()).then(|| random.below(inboxes.len()))?;
                let gone = random.below(inboxes[place].len());
                Some(inboxes[place].remove(gone).key)
            }
            Self::AckLoser => ack_loser(history, &acked),
            Self::ChangePresence => {
                let mut seen: Vec<_> = history
                    .events
                    .iter_mut()
                    .filter_map(|event| match &mut event.what {
                        What::Seen { presence, .. } => Some(presence),
                        _ => None,
                    })
                    .collect();
                let place = (!seen.is_empty()).then(|| random.below(seen.len()))?;
                "gone".clone_into(&mut seen[place].state);
                Some(format!("{place}"))
            }
            Self::LowerOwner => {
                let mut owned: Vec<_> = history
                    .events
                    .iter_mut()
                    .filter_map(|event| match &mut event.what {
                        What::Owned { under, until, node, .. } => Some((under, until, node)),
                        _ => None,
                    })
                    .collect();
                let [(under, until, node), .., (last, ..)] = &mut owned[..] else { return None };
                let highest = last.shard_epoch;
                (under.shard_epoch, until.shard_epoch, **node) = (highest + 1, highest + 1, None);
                Some(format!("{highest}"))
            }
            Self::ChangeOwner | Self::ClaimInBetween => {
                let mut owned: Vec<_> = history
                    .events
                    .iter_mut()
                    .filter_map(|event| match &mut event.what {
                        What::Owned { until, node, seq, .. } => Some((until, node, *seq)),
                        _ => None,
                    })
                    .collect();
                let place = (!owned.is_empty()).then(|| random.below(owned.len()))?;
                let (until, node, seq) = &mut owned[place];
                if matches!(self, Self::ChangeOwner) {
                    **node = Some("n9".to_owned());
                } else {
                    until.fence += 1;
                }
                Some(format!("{seq}"))
            }
            Self::DropPush => drop_push(history, &acked, random),
        }
    }
}

fn pick<'a, T>(all: &'a [T], random: &mut Random) -> Option<&'a T> {
    (!all.is_empty()).then(|| &all[random.below(all.len())])
}

/// The acks of the last epoch whose logs were read back.
fn acks(history: &History) -> Vec<Acked> {
    let mut acked = Vec::new();
    let is_over = |event: &Event| matches!(event.what, What::StoreEpoch { .. });
    let from = history.events.iter().rposition(is_over).unwrap_or_default();
    for (at, event) in history.events.iter().enumerate().skip(from) {
        let What::Answered { conn, id, answer: Answer::Acked { log, seq, duplicate, .. } } =
            &event.what
        else {
            continue;
        };
        let sent = history.events.iter().find_map(|event| match &event.what {
            What::Sent { conn: own, id: asked, command: Command::Send { key, .. } }
                if own == conn && asked == id =>
            {
                Some(key.clone())
            }
            _ => None,
        });
        let (Some(key), Some(user)) = (sent, user_of(history, *conn)) else { continue };
        let (conn, log, seq, duplicate) = (*conn, log.clone(), *seq, *duplicate);
        acked.push(Acked { at, conn, user, log, key, seq, duplicate });
    }
    acked
}

fn user_of(history: &History, conn: Conn) -> Option<String> {
    history.events.iter().find_map(|event| match &event.what {
        What::Opened { conn: own, user, .. } if *own == conn => Some(user.clone()),
        _ => None,
    })
}

fn read_backs<'h>(
    history: &'h mut History,
    of: &Log,
) -> impl Iterator<Item = &'h mut Vec<Entry>> + use<'h> {
    let of = of.clone();
    history.events.iter_mut().filter_map(move |event| match &mut event.what {
        What::ReadBack { log, entries, .. } if *log == of => Some(entries),
        _ => None,
    })
}

fn shown(what: &mut What) -> Option<&mut Entry> {
    match what {
        What::Pushed { push: Push::Message { entry }, .. } => Some(entry),
        What::Answered {
            answer: Answer::Page { entries, .. } | Answer::InboxPage { entries, .. },
            ..
        } => entries.first_mut(),
        _ => None,
    }
}

fn insert(history: &mut History, at: usize, what: What) {
    let at_us = history.events[at.min(history.events.len() - 1)].at_us;
    history.events.insert(at, Event { at_us, what });
}

/// How often a message was sent, under whatever body.
fn sends(history: &History, ack: &Acked) -> usize {
    let is_copy = |event: &&Event| match &event.what {
        What::Sent { conn, command: Command::Send { log, key, .. }, .. } => {
            *log == ack.log
                && *key == ack.key
                && user_of(history, *conn).as_deref() == Some(&ack.user)
        }
        _ => false,
    };
    history.events.iter().filter(is_copy).count()
}

/// Two messages that a session sent one after the other, each only once, change places.
fn overtake(history: &mut History, acked: &[Acked]) -> Option<String> {
    let only = |ack: &Acked| !ack.duplicate && sends(history, ack) == 1;
    let (one, other) = acked.iter().enumerate().find_map(|(place, one)| {
        let mut later = acked[place + 1..].iter();
        let other = later.find(|other| other.conn == one.conn && other.log == one.log)?;
        (only(one) && only(other)).then_some((one, other))
    })?;
    let swap = |entry: &mut Entry| {
        if entry.log == one.log && entry.from == one.user {
            if entry.key == one.key {
                entry.seq = other.seq;
            } else if entry.key == other.key {
                entry.seq = one.seq;
            }
        }
    };
    for event in &mut history.events {
        match &mut event.what {
            What::Pushed { push: Push::Message { entry }, .. } => swap(entry),
            What::ReadBack { entries, .. } | What::InboxBack { entries, .. } => {
                entries.iter_mut().for_each(swap);
            }
            What::Answered {
                answer: Answer::Page { entries, .. } | Answer::InboxPage { entries, .. },
                ..
            } => entries.iter_mut().for_each(swap),
            _ => {}
        }
    }
    for (ack, seq) in [(one, other.seq), (other, one.seq)] {
        if let What::Answered { answer: Answer::Acked { seq: own, .. }, .. } =
            &mut history.events[ack.at].what
        {
            *own = seq;
        }
    }
    Some(format!("{} and {}", one.key, other.key))
}

/// Where cursors of reading were asked for and answered in the last epoch.
fn cursors(history: &History) -> Vec<(usize, usize, Log)> {
    let is_over = |event: &Event| matches!(event.what, What::StoreEpoch { .. });
    let from = history.events.iter().rposition(is_over).unwrap_or_default();
    let mut all = Vec::new();
    for (asked, event) in history.events.iter().enumerate().skip(from) {
        let What::Sent { conn, id, command: Command::Read { log, .. } } = &event.what else {
            continue;
        };
        let is_answer = |event: &Event| {
            matches!(&event.what, What::Answered { conn: own, id: re, answer: Answer::Cursor { .. } }
                if own == conn && re == id)
        };
        if let Some(at) = history.events.iter().position(is_answer) {
            all.push((asked, at, log.clone()));
        }
    }
    all
}

fn cursor(history: &History, at: usize) -> Option<u64> {
    match &history.events[at].what {
        What::Answered { answer: Answer::Cursor { seq, .. }, .. } => Some(*seq),
        _ => None,
    }
}

fn set_cursor(history: &mut History, at: usize, to: u64) {
    if let What::Answered { answer: Answer::Cursor { seq, .. }, .. } = &mut history.events[at].what
    {
        *seq = to;
    }
}

/// A cursor is shown lower than it was when it was asked for.
fn lower_cursor(history: &mut History, random: &mut Random) -> Option<String> {
    let all = cursors(history);
    let user =
        |asked: usize| history.events[asked].what.conn().and_then(|conn| user_of(history, conn));
    let mut pairs = Vec::new();
    for (asked, at, log) in &all {
        for (before_asked, before, own_log) in &all {
            let is_before = before < asked && own_log == log && user(*before_asked) == user(*asked);
            if is_before && cursor(history, *before).is_some_and(|seq| seq > 0) {
                pairs.push((*before, *at));
            }
        }
    }
    let (before, at) = *pick(&pairs, random)?;
    let to = cursor(history, before)? - 1;
    set_cursor(history, at, to);
    Some(format!("{at} to {to}"))
}

/// Of those who are online for all of a calm one is not pushed a message that is acked in its beginning.
fn drop_push(history: &mut History, acked: &[Acked], random: &mut Random) -> Option<String> {
    let late_us = PUSHED_WITHIN.as_micros() as u64;
    let calms = history.events.iter().enumerate().filter_map(|(at, event)| match &event.what {
        What::Calm { lasted_us, .. } => Some((at, event.at_us - lasted_us, event.at_us - late_us)),
        _ => None,
    });
    let calms: Vec<(usize, u64, u64)> = calms.collect();
    let unsure = unsure_logins(history);
    let mut owed = Vec::new();
    for (calm_at, from_us, to_us) in calms {
        let heard: HashSet<Conn> = history.events[..calm_at]
            .iter()
            .filter(|event| event.at_us <= to_us + late_us && is_unsure(&event.what))
            .filter_map(|event| event.what.conn())
            .collect();
        for ack in acked.iter().filter(|ack| ack.at < calm_at && !ack.duplicate) {
            let first_sent = sent_first(history, ack)?;
            let (sent_us, acked_us) =
                (history.events[first_sent].at_us, history.events[ack.at].at_us);
            if sent_us < from_us || acked_us > to_us {
                continue;
            }
            let pushes = history.events[first_sent..calm_at].iter().filter_map(|event| {
                let What::Pushed { conn, push: Push::Message { entry } } = &event.what else {
                    return None;
                };
                (entry.log == ack.log && entry.seq == ack.seq).then_some(*conn)
            });
            let is_owed =
                |conn: &Conn| !heard.contains(conn) && !unsure.contains(conn) && *conn != ack.conn;
            owed.extend(pushes.filter(is_owed).map(|conn| (conn, ack.log.clone(), ack.seq)));
        }
    }
    let (of, log, seq) = pick(&owed, random)?.clone();
    history.events.retain(|event| {
        !matches!(&event.what, What::Pushed { conn, push: Push::Message { entry } }
            if *conn == of && entry.log == log && entry.seq == seq)
    });
    Some(format!("{seq} of {log}"))
}

/// Logins that took long, and those that came soon after them: nothing is owed where a node did not answer.
fn unsure_logins(history: &History) -> HashSet<Conn> {
    let mut sent = HashMap::new();
    let mut all = Vec::new();
    for event in &history.events {
        match &event.what {
            What::Sent { conn, command: Command::Login { .. }, .. } => {
                sent.insert(*conn, event.at_us);
            }
            What::Answered { conn, answer: Answer::LoggedIn { .. }, .. } => {
                all.extend(sent.get(conn).map(|sent| (*conn, *sent, event.at_us)));
            }
            _ => {}
        }
    }
    let slow_us = limits::HEARD_WITHIN.as_micros() as u64;
    let slow: Vec<_> = all.iter().filter(|(_, sent, replied)| replied - sent >= slow_us).collect();
    let is_unsure = |(_, sent, replied): &&(Conn, u64, u64)| {
        slow.iter().any(|(_, from, to)| to + 3 * slow_us > *sent && from < replied)
    };
    all.iter().filter(is_unsure).map(|(conn, ..)| *conn).collect()
}

/// What excuses a push that does not come.
fn is_unsure(what: &What) -> bool {
    matches!(
        what,
        What::Parted { .. }
            | What::Pushed { push: Push::Kicked { .. } | Push::SyncNeeded, .. }
            | What::Answered { answer: Answer::Synced { .. }, .. }
    )
}

fn sent_first(history: &History, ack: &Acked) -> Option<usize> {
    history.events.iter().position(|event| match &event.what {
        What::Sent { conn, command: Command::Send { log, key, .. }, .. } => {
            *log == ack.log
                && *key == ack.key
                && user_of(history, *conn).as_deref() == Some(&ack.user)
        }
        _ => false,
    })
}

/// A phone goes on sending, and is acked, when the user's other phone is in.
fn ack_loser(history: &mut History, acked: &[Acked]) -> Option<String> {
    let phones = |history: &History, conn: Conn| {
        history.events.iter().find_map(|event| match &event.what {
            What::Opened { conn: own, user, device, .. } if *own == conn => {
                Some((user.clone(), device.clone())).filter(|(_, device)| device.contains("phone"))
            }
            _ => None,
        })
    };
    let login_no = |of: Conn| {
        history.events.iter().find_map(|event| match &event.what {
            What::Answered { conn, answer: Answer::LoggedIn { login_no, .. }, .. }
                if *conn == of =>
            {
                Some(*login_no)
            }
            _ => None,
        })
    };
    let (at, loser) = acked.iter().find_map(|ack| {
        let (user, device) = phones(history, ack.conn)?;
        let won = history.events.iter().enumerate().skip(ack.at).find_map(|(at, event)| {
            let What::Answered { conn, answer: Answer::LoggedIn { .. }, .. } = &event.what else {
                return None;
            };
            let (other, by) = phones(history, *conn)?;
            let is_later = login_no(*conn) > login_no(ack.conn);
            (other == user && by != device && is_later).then_some(at)
        })?;
        Some((won, ack))
    })?;
    let (conn, id) = (loser.conn, u64::MAX);
    let What::Answered { id: first, answer, .. } = history.events[loser.at].what.clone() else {
        return None;
    };
    let command = history.events.iter().find_map(|event| match &event.what {
        What::Sent { conn: own, id, command } if *own == conn && *id == first => {
            Some(command.clone())
        }
        _ => None,
    })?;
    let Answer::Acked { log, seq, message_id, sent_at_ms, .. } = answer else { return None };
    let (inbox, duplicate) = (None, true);
    let answer = Answer::Acked { log, seq, inbox, message_id, sent_at_ms, duplicate };
    insert(history, at + 1, What::Sent { conn, id, command });
    insert(history, at + 2, What::Answered { conn, id, answer });
    Some(loser.key.clone())
}
