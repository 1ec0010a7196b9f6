//! When to pull what is lacking: after a short wait, since what was overtaken may still come by itself.
//!
//! Belongs to one connection. Time is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::places::Log;
use crate::limits;

/// The logs that lack something, each with when to pull it or the pull that is under way.
#[derive(Debug, Default)]
pub struct Pulls {
    open: BTreeMap<Log, Pull>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pull {
    DueAt(Instant),
    UnderWay,
}

impl Pulls {
    /// The log that shall be pulled now, if one is due; it counts as under way until its answer. `random` is from 0 to 1.
    pub fn next_due(
        &mut self,
        lacking: &BTreeSet<Log>,
        now: Instant,
        random: impl Fn() -> f64,
    ) -> Option<Log> {
        self.open.retain(|log, pull| *pull == Pull::UnderWay || lacking.contains(log));
        for log in
            lacking.iter().filter(|log| !self.open.contains_key(log)).cloned().collect::<Vec<_>>()
        {
            let wait = limits::GAP_WAIT.mul_f64(0.5 + random());
            self.open.insert(log, Pull::DueAt(now + wait));
        }
        if self.is_full() {
            return None;
        }
        let is_due = |pull: &Pull| matches!(pull, Pull::DueAt(at) if *at <= now);
        let (log, pull) = self.open.iter_mut().find(|(_, pull)| is_due(pull))?;
        *pull = Pull::UnderWay;
        Some(log.clone())
    }

    /// When the next pull becomes due.
    pub fn due_at(&self) -> Option<Instant> {
        if self.is_full() {
            return None;
        }
        let due = self.open.values().filter_map(|pull| match pull {
            Pull::DueAt(at) => Some(*at),
            Pull::UnderWay => None,
        });
        due.min()
    }

    /// What these lack does not come by itself: they are pulled at once.
    pub fn hurry<'a>(&mut self, logs: impl IntoIterator<Item = &'a Log>, now: Instant) {
        for log in logs {
            let pull = self.open.entry(log.clone()).or_insert(Pull::DueAt(now));
            if let Pull::DueAt(at) = pull {
                *at = now.min(*at);
            }
        }
    }

    /// The pull of a log was answered; another one waits at least for `wait`.
    pub fn answered(&mut self, log: Log, wait: Duration, now: Instant) {
        self.open.insert(log, Pull::DueAt(now + wait));
    }

    /// More reads at once would only keep the server from reading what else this client sends.
    fn is_full(&self) -> bool {
        let under_way = self.open.values().filter(|pull| **pull == Pull::UnderWay);
        under_way.count() >= limits::PAGES_AT_ONCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::GroupId;

    fn group(n: usize) -> Log {
        Log::Group(GroupId::parse(&format!("g{n}")).unwrap())
    }

    #[test]
    fn a_gap_waits_before_it_is_pulled_and_is_forgotten_when_it_closes() {
        let (mut pulls, now) = (Pulls::default(), Instant::now());
        let lacking: BTreeSet<Log> = [Log::Inbox].into();

        assert_eq!(pulls.next_due(&lacking, now, || 0.5), None);
        assert_eq!(pulls.due_at(), Some(now + limits::GAP_WAIT));
        assert_eq!(pulls.next_due(&BTreeSet::new(), now, || 0.5), None);
        assert_eq!(pulls.due_at(), None);

        pulls.next_due(&lacking, now, || 0.5);
        let later = now + limits::GAP_WAIT;
        assert_eq!(pulls.next_due(&lacking, later, || 0.5), Some(Log::Inbox));
        assert_eq!(pulls.next_due(&lacking, later, || 0.5), None);
    }

    #[test]
    fn what_a_sync_told_is_pulled_at_once_and_only_so_many_at_a_time() {
        let (mut pulls, now) = (Pulls::default(), Instant::now());
        let lacking: BTreeSet<Log> = (0..9).map(group).collect();

        pulls.hurry(&lacking, now);
        let asked: Vec<Log> =
            std::iter::from_fn(|| pulls.next_due(&lacking, now, || 0.5)).collect();
        assert_eq!(asked.len(), limits::PAGES_AT_ONCE);
        assert_eq!(pulls.due_at(), None);

        pulls.answered(group(0), Duration::from_secs(1), now);
        assert_eq!(pulls.next_due(&lacking, now, || 0.5), Some(group(4)));
    }
}
