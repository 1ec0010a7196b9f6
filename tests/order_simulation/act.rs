//! What can happen in the world, and when.

use super::World;
use super::client::State;
use super::line::Statement;

/// Something that can happen now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Connect {
        device: usize,
    },
    /// The client's connection breaks; the session has yet to notice.
    Disconnect {
        device: usize,
    },
    SessionEnds {
        session: usize,
    },
    Send {
        device: usize,
        message: usize,
    },
    /// The session itself refuses it, for the client is too fast.
    SendTooFast {
        device: usize,
        message: usize,
    },
    GiveUp {
        device: usize,
        message: usize,
    },
    ClientHears {
        device: usize,
    },
    SessionHears {
        session: usize,
    },
    VerdictIsLost {
        session: usize,
    },
    UserHears {
        user: usize,
    },
    /// A letter that waited for room gets it.
    UserHasRoom {
        user: usize,
        letter: usize,
    },
    /// Its mailbox takes so many more messages, then one finds it full.
    UserIsFull {
        user: usize,
        after: u32,
    },
    /// The user's actor is replaced by one that knows nothing.
    UserIsReplaced {
        user: usize,
    },
    PeerIsFound {
        look_up: usize,
    },
    /// A receipt has found the pair while a send waits for it to be looked up.
    PairIsRemembered {
        look_up: usize,
    },
    PeerIsNotLookedUp {
        look_up: usize,
    },
    JournalHears,
    JournalHasRoom {
        letter: usize,
    },
    JournalIsFull {
        after: u32,
    },
    StatementRuns,
    StatementIsRefused,
    NoIdIsMinted,
    /// The connection had ended before the statement was handed to it.
    StatementFindsNoConnection,
    IdleConnectionEnds,
    JournalHearsOutcome,
    /// Before the statement ran, or after it; one that has not run may still do so.
    ConnectionBreaks,
    OrphanRuns {
        orphan: usize,
    },
    JournalClaims,
    JournalHearsOfClaim,
    SomebodyElseClaims,
    SecondsPass(u64),
}

/// What makes it happen. In a fair schedule each step comes in time, and a client tries again after a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Step,
    Retry,
    HastyRetry,
    Fault,
}

impl World {
    /// What can happen now: steps first, then retries, then faults.
    pub fn acts(&self) -> Vec<(Act, Kind)> {
        let mut acts = Vec::new();
        self.acts_of_devices(&mut acts);
        self.acts_of_journal(&mut acts);
        for (session, it) in self.sessions.iter().enumerate().filter(|(_, it)| it.alive) {
            if !it.verdicts.is_empty() {
                acts.push((Act::SessionHears { session }, Kind::Step));
                acts.push((Act::VerdictIsLost { session }, Kind::Fault));
            }
            if self.devices[it.device].session != Some(session) {
                acts.push((Act::SessionEnds { session }, Kind::Step));
            }
        }
        for (user, it) in self.users.iter().enumerate() {
            if !it.mailbox.is_empty() {
                acts.push((Act::UserHears { user }, Kind::Step));
            }
            for letter in 0..it.waiting.len() {
                acts.push((Act::UserHasRoom { user, letter }, Kind::Step));
            }
            if self.devices.iter().any(|device| device.user == user && device.session.is_some()) {
                let full = |after| (Act::UserIsFull { user, after }, Kind::Fault);
                acts.extend((0..3).map(full));
                acts.push((Act::UserIsReplaced { user }, Kind::Fault));
            }
        }
        for look_up in 0..self.look_ups.len() {
            acts.push((Act::PeerIsFound { look_up }, Kind::Step));
            acts.push((Act::PeerIsNotLookedUp { look_up }, Kind::Fault));
            acts.push((Act::PairIsRemembered { look_up }, Kind::Fault));
        }
        acts.sort_by_key(|(_, kind)| *kind);
        acts
    }

    fn acts_of_devices(&self, acts: &mut Vec<(Act, Kind)>) {
        for (device, it) in self.devices.iter().enumerate() {
            if it.session.is_none() {
                if !it.is_done() {
                    acts.push((Act::Connect { device }, Kind::Step));
                }
                continue;
            }
            if !it.replies.is_empty() {
                acts.push((Act::ClientHears { device }, Kind::Step));
            }
            let mut first_to_send = true;
            for (message, sent) in it.outbox.iter().enumerate() {
                let send = Act::Send { device, message };
                match sent.state {
                    State::ToSend if first_to_send => {
                        first_to_send = false;
                        acts.push((send, Kind::Step));
                        acts.push((Act::SendTooFast { device, message }, Kind::Fault));
                    }
                    // In any order: that the right one comes first is the session's business.
                    State::Refused => {
                        let is_due = self.elapsed > sent.refused_at;
                        acts.push((send, if is_due { Kind::Retry } else { Kind::HastyRetry }));
                        acts.push((Act::GiveUp { device, message }, Kind::Fault));
                    }
                    State::Unanswered => acts.push((send, Kind::Fault)),
                    _ => {}
                }
            }
            if !it.is_done() {
                acts.push((Act::Disconnect { device }, Kind::Fault));
            }
        }
    }

    fn acts_of_journal(&self, acts: &mut Vec<(Act, Kind)>) {
        let line = &self.line;
        if !line.mailbox.is_empty() {
            acts.push((Act::JournalHears, Kind::Step));
            acts.extend((0..3).map(|after| (Act::JournalIsFull { after }, Kind::Fault)));
        }
        for letter in 0..line.waiting.len() {
            acts.push((Act::JournalHasRoom { letter }, Kind::Step));
        }
        match &line.statement {
            Some(Statement { outcome: None, .. }) => {
                acts.push((Act::StatementRuns, Kind::Step));
                acts.push((Act::StatementIsRefused, Kind::Fault));
                acts.push((Act::NoIdIsMinted, Kind::Fault));
                acts.push((Act::StatementFindsNoConnection, Kind::Fault));
                acts.push((Act::ConnectionBreaks, Kind::Fault));
                acts.push((Act::SomebodyElseClaims, Kind::Fault));
            }
            Some(Statement { outcome: Some(_), .. }) => {
                acts.push((Act::JournalHearsOutcome, Kind::Step));
                acts.push((Act::ConnectionBreaks, Kind::Fault));
            }
            None if line.connecting.is_none() => acts.push((Act::IdleConnectionEnds, Kind::Fault)),
            None => {}
        }
        match (&line.connecting, &line.found) {
            (Some(_), None) => acts.push((Act::JournalClaims, Kind::Step)),
            (Some(_), Some(_)) => acts.push((Act::JournalHearsOfClaim, Kind::Step)),
            (None, _) => {}
        }
        for orphan in 0..line.orphans.len() {
            acts.push((Act::OrphanRuns { orphan }, Kind::Step));
        }
    }
}
