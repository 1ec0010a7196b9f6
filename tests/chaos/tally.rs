//! What a run came to, for people.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::chaos::checker::{Rule, Violation};
use super::chaos::history::{Answer, Command, Event, History, Log, What};
use super::nemesis::{Nemesis, Orphaned};

/// The sums over all rounds.
#[derive(Default)]
pub struct Tally {
    pub rounds: usize,
    faults: BTreeMap<&'static str, usize>,
    acked: usize,
    broken: BTreeMap<Rule, usize>,
    takeovers: Vec<Duration>,
    /// Those of them where nothing else was wrong.
    takeovers_alone: Vec<Duration>,
    /// From the last change until all were told of it, one for each round.
    presence: Vec<Duration>,
    ended_by_themselves: usize,
}

/// Messages that were acked for the first time.
pub fn acked(history: &History) -> usize {
    let is_ack = |event: &&Event| {
        matches!(event.what, What::Answered { answer: Answer::Acked { duplicate: false, .. }, .. })
    };
    history.events.iter().filter(is_ack).count()
}

impl Tally {
    pub fn add(&mut self, history: &History, nemesis: &Nemesis, violations: &[Violation]) {
        self.rounds += 1;
        for (kind, count) in &nemesis.done {
            *self.faults.entry(kind).or_default() += count;
        }
        self.acked += acked(history);
        for violation in violations {
            *self.broken.entry(violation.rule).or_default() += 1;
        }
        for (taken, is_alone) in takeovers(history, &nemesis.orphaned) {
            self.takeovers.push(taken);
            self.takeovers_alone.extend(is_alone.then_some(taken));
        }
        self.presence.extend(presence_true_after(history));
        self.ended_by_themselves +=
            nemesis.notes.iter().filter(|it| it.contains("ended by itself")).count();
    }

    fn count(&self, rule: Rule) -> usize {
        self.broken.get(&rule).copied().unwrap_or_default()
    }
}

/// From the loss of its owner until a group acks what was sent after that, where it does; and whether nothing else was
/// wrong.
fn takeovers(history: &History, orphaned: &[Orphaned]) -> Vec<(Duration, bool)> {
    let mut taken = Vec::new();
    for Orphaned { group, at_us, is_alone } in orphaned {
        let of = Log::group(group);
        let behind = history.events.partition_point(|event| event.at_us < *at_us);
        let mut sent = std::collections::HashSet::new();
        let first = history.events[behind..].iter().find(|event| match &event.what {
            What::Sent { conn, id, command: Command::Send { log, .. } } if *log == of => {
                sent.insert((*conn, *id));
                false
            }
            What::Answered { conn, id, answer: Answer::Acked { duplicate: false, .. } } => {
                sent.contains(&(*conn, *id))
            }
            _ => false,
        });
        let after = first.map(|event| Duration::from_micros(event.at_us - at_us));
        taken.extend(after.map(|after| (after, *is_alone)));
    }
    taken
}

fn presence_true_after(history: &History) -> Option<Duration> {
    let time = |is_it: fn(&What) -> bool| {
        let last = history.events.iter().rfind(|event| is_it(&event.what))?;
        Some(Duration::from_micros(last.at_us))
    };
    let changed = time(|what| matches!(what, What::Truth { .. }))?;
    let told = time(|what| matches!(what, What::Seen { asked: false, .. }))?;
    told.checked_sub(changed)
}

/// As `p50 9.2 s, p99 14.0 s of 12`.
struct Times<'t>(&'t [Duration]);

impl fmt::Display for Times<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted = self.0.to_vec();
        sorted.sort_unstable();
        let Some(last) = sorted.len().checked_sub(1) else { return write!(f, "none measured") };
        let at = |percent: usize| sorted[last * percent / 100].as_secs_f64();
        let (p50, p99, most) = (at(50), at(99), at(100));
        write!(f, "p50 {p50:.1} s, p99 {p99:.1} s, at most {most:.1} s of {}", sorted.len())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rounds, total) = (self.rounds, self.faults.values().sum::<usize>());
        let kinds: Vec<_> = self.faults.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        writeln!(f, "{rounds} rounds, {total} faults: {}", kinds.join(", "))?;
        let (lost, twice) = (self.count(Rule::AckedIsThere), self.count(Rule::Once));
        let holes = self.count(Rule::NoHoles);
        let others = self.broken.values().sum::<usize>() - lost - twice - holes;
        let acked = self.acked;
        writeln!(
            f,
            "  {acked} acked, {lost} lost, {twice} duplicates, {holes} holes, {others} other violations"
        )?;
        let ended = self.ended_by_themselves;
        writeln!(f, "  groups without their owner ack again after {}", Times(&self.takeovers))?;
        writeln!(f, "    where nothing else was wrong after {}", Times(&self.takeovers_alone))?;
        writeln!(f, "  presence true for all after {}", Times(&self.presence))?;
        write!(f, "  {ended} times a node ended by itself")
    }
}
