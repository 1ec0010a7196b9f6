//! How things end: commands with an answer, presence with the truth, an owner's time with a higher epoch.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::super::history::{Answer, Command, Log, Presence, What};
use super::index::Index;
use super::{Rule, Violation};

/// A command is not answered any more when the server still speaks so long after it.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);

/// Each command was answered once, with what fits, or its connection ended.
pub fn commands(index: &Index<'_>, found: &mut Vec<Violation>) {
    for at in &index.unasked {
        let says = "an answer to what was not asked, or was answered before".to_owned();
        found.push(Violation::new(Rule::Answered, says, &[*at]));
    }
    for asked in &index.asked {
        let Some(session) = index.sessions.get(&asked.conn) else { continue };
        let user = session.user;
        if let Some((at, answer)) = asked.answer {
            if !fits(asked.command, answer) {
                let says = format!("{user} was answered something else");
                found.push(Violation::new(Rule::Answered, says, &[asked.sent, at]));
            }
            continue;
        }
        let heard = session.last_heard.filter(|at| *at > asked.sent).filter(|at| {
            let waited = index.time_us(*at) - index.time_us(asked.sent);
            waited > ANSWERED_WITHIN.as_micros() as u64
        });
        if let Some(at) = heard {
            let says = format!("{user} was not answered, and the server went on speaking");
            found.push(Violation::new(Rule::Answered, says, &[asked.sent, at]));
        } else if session.parted.is_none() {
            let says = format!("{user} was never answered");
            found.push(Violation::new(Rule::Answered, says, &[asked.sent]));
        }
    }
}

/// Whether an answer can be one to this command.
fn fits(command: &Command, answer: &Answer) -> bool {
    match (command, answer) {
        (_, Answer::Refused { .. }) | (Command::Other { .. }, _) => true,
        (Command::Login { .. }, Answer::LoggedIn { .. }) => true,
        (Command::Send { log, .. }, Answer::Acked { log: own, .. }) => log == own,
        (
            Command::Received { log, .. } | Command::Read { log, .. },
            Answer::Cursor { log: own, .. },
        ) => log == own,
        (Command::History { log, .. }, Answer::Page { log: own, entries, .. }) => {
            log == own && entries.iter().all(|entry| entry.log == *log)
        }
        (Command::Inbox { .. }, Answer::InboxPage { .. }) => true,
        (Command::Logout | Command::Kick { .. }, Answer::Done) => true,
        _ => false,
    }
}

/// What is seen of users in the end is true; along each log the epochs of its owners rise.
pub fn presence_and_owners(index: &Index<'_>, found: &mut Vec<Violation>) {
    presence(index, found);
    owners(index, found);
}

fn presence(index: &Index<'_>, found: &mut Vec<Violation>) {
    let mut truths: HashMap<&str, (usize, &Presence)> = HashMap::new();
    for (at, event) in index.events.iter().enumerate() {
        match &event.what {
            What::Truth { user, presence } => {
                truths.insert(user, (at, presence));
            }
            What::Seen { watcher, node, user, presence, asked } => {
                let Some((true_at, truth)) = truths.get(user.as_str()) else { continue };
                if presence != *truth {
                    let how = if *asked { "finds" } else { "was told" };
                    let says = format!("{watcher} at {node} {how} {user} otherwise than they are");
                    found.push(Violation::new(Rule::Presence, says, &[*true_at, at]));
                }
            }
            _ => {}
        }
    }
}

fn owners(index: &Index<'_>, found: &mut Vec<Violation>) {
    let mut logs: BTreeMap<&Log, Vec<(u64, u64, usize)>> = BTreeMap::new();
    let mut owners: HashMap<(u16, u64), (usize, &str)> = HashMap::new();
    let mut owns = |shard, epoch, at, node| {
        let (first, owner) = *owners.entry((shard, epoch)).or_insert((at, node));
        let says = format!("{owner} and {node} owned shard {shard} in one epoch");
        (owner != node).then(|| Violation::new(Rule::OneOwner, says, &[first, at]))
    };
    for (at, event) in index.events.iter().enumerate() {
        match &event.what {
            What::Claimed { shard, shard_epoch, node } => {
                found.extend(owns(*shard, *shard_epoch, at, node));
            }
            What::Owned { log, seq, shard, node, under, until } => {
                logs.entry(log).or_default().push((*seq, under.shard_epoch, at));
                if let Some(node) = node {
                    found.extend(owns(*shard, under.shard_epoch, at, node));
                }
                if under != until {
                    let says = format!("a claim did not wait for the append of {seq} to {log}");
                    found.push(Violation::new(Rule::OneOwner, says, &[at]));
                }
            }
            _ => {}
        }
    }
    for (log, mut owned) in logs {
        owned.sort_unstable();
        for (one, next) in owned.iter().zip(&owned[1..]) {
            if next.1 < one.1 {
                let says = format!(
                    "{log} was appended to at {} in epoch {} and at {} in epoch {}",
                    one.0, one.1, next.0, next.1
                );
                found.push(Violation::new(Rule::OneOwner, says, &[one.2, next.2]));
            }
        }
    }
}
