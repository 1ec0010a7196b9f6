//! What comes of answers and events: to the driver what outlives the connection, to the session what is due next.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::{Departure, Leaving, Session, What};
use crate::client::driver::Driver;
use crate::client::places::{Learned, Log};
use crate::client::raw::Parted;
use crate::client::{CallError, Ended, SendError, Update};
use crate::ids::InboxSeq;
use crate::limits;
use crate::protocol::{
    Code, ErrorBody, Event, HistoryPage, InboxPage, LoggedIn, Message, Pong, Presences, ReadEvent,
    Sync, Synced,
};

impl Session {
    pub(super) fn on_ok(
        &mut self,
        driver: &mut Driver,
        what: What,
        ok: &RawValue,
    ) -> Result<(), Leaving> {
        let now = Instant::now();
        match what {
            What::Login => {
                let login: LoggedIn = parse(ok)?;
                driver.clock.told(login.server_time_ms);
                self.is_logged_in = true;
                self.most_under_way = usize::try_from(login.limits.in_flight).unwrap_or(1).max(1);
                self.heartbeat = Duration::from_secs(u64::from(login.heartbeat_s).max(1));
                self.ping_at = now + self.heartbeat;
                self.on_synced(driver, login.sync);
                driver.logged_in(login.login_no);
            }
            What::Send(key) => {
                self.must_sync |= !driver.acked(key, parse(ok)?);
                if driver.is_unplaced(key) {
                    // The answer says whether its place lies beyond what this client has.
                    self.ping_at = now;
                }
            }
            What::Received(conversation, seq) => driver.receipts.told(&conversation, seq),
            What::Ping => {
                let pong: Pong = parse(ok)?;
                driver.clock.told(pong.server_time_ms);
                if let Some(behind) = pong.behind {
                    if let Some(head) = behind.inbox {
                        driver.places.saw_head(&Log::Inbox, head.get());
                    }
                    for (group, head) in behind.groups {
                        driver.places.saw_head(&Log::Group(group), head.get());
                    }
                    self.pulls.hurry(driver.places.lacking(), now);
                }
            }
            What::Sync => self.on_synced(driver, parse(ok)?),
            What::Pull(Log::Inbox) => {
                let InboxPage { messages, head, .. } = parse(ok)?;
                self.on_page(driver, Log::Inbox, messages, head.get());
            }
            What::Pull(log @ Log::Group(_)) => {
                let HistoryPage { messages, head, min_seq, .. } = parse(ok)?;
                // What one may not see is not missing.
                driver.places.skip_to(&log, min_seq.get());
                self.on_page(driver, log, messages, head.get());
            }
            What::Call(call) => drop(call.answer.send(Ok(ok.to_owned()))),
            What::Renew => self.renewal.taken(),
            What::Logout => {}
        }
        Ok(())
    }

    fn on_synced(&mut self, driver: &mut Driver, page: Synced) {
        let is_last = page.next.is_none() && !self.must_sync;
        let learned = driver.places.synced(&page, is_last);
        if learned == Learned::OtherEpoch {
            // What was pushed of this epoch before we knew of it was taken for known by its number.
            self.must_sync = true;
        }
        driver.learned(learned);
        // All else is sent again unchanged, whatever the places have become meanwhile.
        self.sync =
            self.sync.take().zip(page.next).map(|(sync, next)| Sync { after: Some(next), ..sync });
        self.pulls.hurry(driver.places.lacking(), Instant::now());
    }

    fn on_page(&mut self, driver: &mut Driver, log: Log, messages: Vec<Message>, head: u64) {
        self.pulls.answered(log.clone(), Duration::ZERO, Instant::now());
        if driver.places.at(&log).is_none() {
            // It was left while the page was on its way, and must not be taken up again.
            return;
        }
        let first = messages.first().and_then(|first| match &log {
            Log::Inbox => first.inbox.map(InboxSeq::get),
            Log::Group(_) => Some(first.seq.get()),
        });
        if let Some(first) = first {
            driver.skip_missing(&log, first);
        }
        for message in messages {
            self.must_sync |= !driver.offer(message);
        }
        driver.places.saw_head(&log, head);
        if first.is_none() {
            // A page without entries, though some were told of, must not be asked for in a tight circle.
            self.pulls.answered(log, limits::RETRY_AFTER, Instant::now());
        }
    }

    pub(super) fn on_error(
        &mut self,
        driver: &mut Driver,
        id: u64,
        what: What,
        error: ErrorBody,
    ) -> Result<(), Leaving> {
        let now = Instant::now();
        let ran_out = error.code == Code::TokenExpired && !matches!(what, What::Login);
        // A new token cures it, and nothing is sent before that was taken.
        let wait = if ran_out { Some(0) } else { error.retry_after_ms };
        let wait = wait.map(Duration::from_millis);
        let is_curable = ran_out || error.code.is_curable();
        if ran_out {
            self.renewal.ran_out();
        }
        match what {
            What::Login if is_curable => {
                return Err(Leaving::Departure(Departure::Lost { retry_in: wait }));
            }
            // One that is turned away is told by whom; one that goes on with its session is told that it is over.
            What::Login
                if error.code == Code::Conflict
                    && error.devices.is_none()
                    && driver.resume.is_some() =>
            {
                return Err(Leaving::Departure(Departure::Ended(Ended::Overtaken(error))));
            }
            What::Login => {
                return Err(Leaving::Departure(Departure::Ended(Ended::Refused(error))));
            }
            What::Send(key) if is_curable => {
                let is_first = error.code != Code::OrderBroken;
                driver.outbox.refused(key, id, wait, is_first, now);
            }
            What::Send(key) => driver.refused(key, SendError::Refused(error)),
            What::Received(conversation, seq) => {
                if is_curable {
                    let wait = wait.unwrap_or(limits::RETRY_AFTER);
                    driver.receipts.refused(&conversation, wait, now);
                } else {
                    driver.receipts.told(&conversation, seq);
                }
            }
            What::Call(call) if ran_out => self.calls.push_front(call),
            What::Call(call) => drop(call.answer.send(Err(CallError::Refused(error)))),
            What::Renew => self.renewal.refused(now),
            What::Ping if ran_out => {}
            What::Pull(log) if is_curable => {
                self.pulls.answered(log, wait.unwrap_or(limits::RETRY_AFTER), now);
            }
            // Nothing more of this group is for this user: not a member, or not any longer.
            What::Pull(log @ Log::Group(_)) => {
                driver.places.give_up(&log);
                self.pulls.answered(log, limits::RETRY_AFTER, now);
            }
            What::Sync if is_curable => {
                self.must_sync = true;
                self.sync = None;
                self.sync_at = now + wait.unwrap_or(limits::RETRY_AFTER);
            }
            What::Ping | What::Pull(Log::Inbox) | What::Sync | What::Logout => {
                let refused = format!("refused: {} ({:?})", error.message, error.code);
                return Err(Parted::Lost(refused).into());
            }
        }
        Ok(())
    }

    pub(super) fn on_event(&mut self, driver: &mut Driver, event: Event) {
        match event {
            Event::MessageNew(message) => self.must_sync |= !driver.offer(message),
            Event::Delivered { conversation, seq, user, by } => {
                driver.tell(Update::Delivered { conversation, seq, user, by });
            }
            Event::Read(ReadEvent::Cursor { conversation, seq, user }) => {
                driver.tell(Update::Read { conversation, seq, user });
            }
            Event::Read(ReadEvent::Counts { conversation, counts }) => {
                driver.tell(Update::ReadCounts { conversation, counts });
            }
            Event::GroupChanged { group } => driver.tell(Update::GroupChanged { group }),
            Event::FriendChanged { user, state } => {
                driver.tell(Update::FriendChanged { user, state });
            }
            Event::PresenceChanged(Presences { presences }) => {
                presences.into_iter().for_each(|one| driver.tell(Update::PresenceChanged(one)));
            }
            Event::TokenExpiring { .. } => self.renewal.needed(),
            Event::SyncNeeded {} => self.must_sync = true,
            Event::Kicked { reason, by, at_ms } => {
                self.kicked = Some(Ended::Kicked { reason, by, at_ms });
            }
            Event::Draining { reconnect_after_ms } => {
                self.come_back_in = Some(Duration::from_millis(reconnect_after_ms));
            }
            Event::Closing { code, reason, reconnect_after_ms } => {
                self.closing = Some((code, reason));
                let told = reconnect_after_ms.map(Duration::from_millis);
                self.come_back_in = told.or(self.come_back_in);
            }
        }
    }
}

fn parse<T: DeserializeOwned>(ok: &RawValue) -> Result<T, Parted> {
    serde_json::from_str(ok.get())
        .map_err(|error| Parted::Lost(format!("an answer that is not readable: {error}")))
}
