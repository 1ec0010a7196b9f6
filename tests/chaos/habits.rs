//! What some do beside what all do: a crowd that talks to one who reads slowly, and a phone whose place another takes.

use std::time::Duration;

use tokio::sync::watch;

use super::client::{Client, End, Session};
use super::history::Log;
use super::workload::Phase;

/// When the crowd begins to talk, and when what it says becomes long and the slow one reads no more.
const BEGINS_AFTER: Duration = Duration::from_secs(1);
pub const LONG_AFTER: Duration = Duration::from_secs(4);
/// What waits to be said at most, while it is short.
const SHORT: usize = 8;
/// What each of a crowd says then: together more than what may wait for one who does not read.
const LONG: usize = 20;
const LONG_BYTES: usize = 28_000;
/// Until all that is said, for so long at most, and a while longer, in which it arrives: a session whose peer reads
/// nothing for ten seconds is closed.
const READS_NOT_FOR: Duration = Duration::from_millis(5_500);
const ARRIVES_WITHIN: Duration = Duration::from_millis(1_500);
const NARROW_BYTES: u32 = 8 * 1024;
/// What a phone says when it sees another one in its place.
const INSISTS: usize = 3;

/// What a client does once, in peace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Habit {
    None,
    /// It does not read for a while.
    Slow,
    /// It talks much in this conversation.
    Crowd(Log),
    /// It has yet to send the last of it.
    Long,
}

impl Habit {
    /// The browser of the first user reads slowly, and all other browsers talk to that user.
    pub fn of(nth: usize, is_browser: bool, first: &str, user: &str) -> Self {
        match nth {
            _ if !is_browser => Self::None,
            0 => Self::Slow,
            _ => Self::Crowd(Log::pair(first, user)),
        }
    }

    /// What the kernel keeps for a client, if not what it likes.
    pub fn receive_buffer(&self) -> Option<u32> {
        (*self == Self::Slow).then_some(NARROW_BYTES)
    }
}

/// Resolves when another phone of the user has logged in.
pub async fn another_is_in(phones: &mut watch::Receiver<String>, own: &str) {
    loop {
        // The workload keeps the other end for as long as anybody lives.
        if phones.changed().await.is_err() {
            return std::future::pending().await;
        }
        if *phones.borrow_and_update() != own {
            return;
        }
    }
}

impl Client {
    /// Who is in from a phone of its user, from now on.
    pub(super) fn phones_in(&self) -> watch::Receiver<String> {
        let phones = self.shared.phones_in.get(&self.device.user);
        let mut phones =
            phones.map_or_else(|| watch::channel(String::new()).1, |it| it.subscribe());
        phones.mark_unchanged();
        phones
    }

    /// Does what it does in peace, when the time has come.
    pub(super) async fn follow_habit(&mut self) {
        let since = *self.in_peace.get_or_insert_with(tokio::time::Instant::now);
        self.habit = match std::mem::replace(&mut self.habit, Habit::None) {
            Habit::Slow if since.elapsed() >= LONG_AFTER => {
                let mut crowd = self.shared.crowd.subscribe();
                let are_through = crowd.wait_for(|talking| *talking == 0);
                // However that ends, it reads on.
                let _ = tokio::time::timeout(READS_NOT_FOR, are_through).await;
                tokio::time::sleep(ARRIVES_WITHIN).await;
                Habit::None
            }
            Habit::Crowd(log) if since.elapsed() >= LONG_AFTER => {
                (0..LONG).for_each(|_| self.say(&log, LONG_BYTES));
                Habit::Long
            }
            Habit::Crowd(log) => {
                let begins = since.elapsed() >= BEGINS_AFTER;
                if begins && self.outbox.len() < SHORT {
                    self.say(&log, 0);
                }
                Habit::Crowd(log)
            }
            Habit::Long if self.outbox.len() <= LONG / 4 => {
                self.shared.crowd.send_modify(|talking| *talking = talking.saturating_sub(1));
                Habit::None
            }
            other => other,
        };
    }

    fn say(&mut self, log: &Log, more: usize) {
        self.written += 1;
        let (user, written) = (&self.device.user, self.written);
        let body = format!("{user} {written} {}", ".".repeat(more));
        self.write_new(log, body);
    }

    /// Somebody goes on typing on a phone though another one is in: if that has its place, none of it may be acked.
    pub(super) async fn insist(&mut self, session: &mut Session) -> Result<(), End> {
        if self.phase() > Phase::Talking {
            return Ok(());
        }
        for _ in 0..INSISTS {
            let log = self.logs[self.random.below(self.logs.len())].clone();
            self.written += 1;
            let (user, device, written) = (&self.device.user, &self.device.id, self.written);
            let body = format!("{user}/{device} {written}");
            self.write_new(&log, body);
        }
        self.send_on(session).await
    }
}
