//! What can happen in the world, and when.

use rookery::ids::ShardEpoch;

use super::World;
use super::client::{State, WishState};
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
    /// The client asks for a change.
    Wish {
        device: usize,
        wish: usize,
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
    OwnerHears {
        slot: usize,
    },
    /// A letter that waited for room gets it.
    OwnerHasRoom {
        slot: usize,
        letter: usize,
    },
    /// Its mailbox takes so many more messages, then one finds it full.
    OwnerIsFull {
        slot: usize,
        after: u32,
    },
    /// The group's actor is replaced by one that knows nothing.
    OwnerIsReplaced {
        slot: usize,
    },
    /// The same in order, for it has nothing to do.
    OwnerSleeps {
        slot: usize,
    },
    StoreEpochChanges {
        slot: usize,
    },
    ReadRuns {
        read: usize,
    },
    ReadReturns {
        read: usize,
    },
    ReadFails {
        read: usize,
    },
    OtherNodeClaims,
    OtherNodeWrites {
        slot: usize,
        what: usize,
    },
    /// This node takes back what another had, and learns what is its own.
    NodeRenews,
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
pub enum Urgency {
    Step,
    Retry,
    HastyRetry,
    Fault,
}

impl World {
    /// What can happen now: steps first, then retries, then faults.
    pub fn acts(&self) -> Vec<(Act, Urgency)> {
        let mut acts = Vec::new();
        // First, for what waits gets room in time.
        for (slot, it) in self.owners.iter().enumerate() {
            let has_room = |letter| (Act::OwnerHasRoom { slot, letter }, Urgency::Step);
            acts.extend((0..it.waiting.len()).map(has_room));
        }
        let has_room = |letter| (Act::JournalHasRoom { letter }, Urgency::Step);
        acts.extend((0..self.line.waiting.len()).map(has_room));
        self.acts_of_devices(&mut acts);
        self.acts_of_owners(&mut acts);
        self.acts_of_journal(&mut acts);
        for (session, it) in self.sessions.iter().enumerate().filter(|(_, it)| it.alive) {
            if !it.verdicts.is_empty() {
                acts.push((Act::SessionHears { session }, Urgency::Step));
                acts.push((Act::VerdictIsLost { session }, Urgency::Fault));
            }
            if self.devices[it.device].session != Some(session) {
                acts.push((Act::SessionEnds { session }, Urgency::Step));
            }
        }
        acts.sort_by_key(|(_, urgency)| *urgency);
        acts
    }

    fn acts_of_devices(&self, acts: &mut Vec<(Act, Urgency)>) {
        for (device, it) in self.devices.iter().enumerate() {
            if it.session.is_none() {
                if !it.is_done() {
                    acts.push((Act::Connect { device }, Urgency::Step));
                }
                continue;
            }
            if !it.replies.is_empty() {
                acts.push((Act::ClientHears { device }, Urgency::Step));
            }
            let mut first_to_send = true;
            for (message, sent) in it.outbox.iter().enumerate() {
                let send = Act::Send { device, message };
                match sent.state {
                    State::ToSend if first_to_send => {
                        first_to_send = false;
                        acts.push((send, Urgency::Step));
                        acts.push((Act::SendTooFast { device, message }, Urgency::Fault));
                    }
                    // In any order: that the right one comes first is the session's business.
                    State::Refused => {
                        let is_due = self.elapsed > sent.refused_at;
                        let retry = if is_due { Urgency::Retry } else { Urgency::HastyRetry };
                        acts.push((send, retry));
                        acts.push((Act::GiveUp { device, message }, Urgency::Fault));
                    }
                    State::Unanswered => acts.push((send, Urgency::Fault)),
                    _ => {}
                }
            }
            for (wish, it) in it.wishes.iter().enumerate() {
                if it.state == WishState::ToAsk {
                    acts.push((Act::Wish { device, wish }, Urgency::Step));
                }
            }
            if !it.is_done() {
                acts.push((Act::Disconnect { device }, Urgency::Fault));
            }
        }
    }

    fn acts_of_owners(&self, acts: &mut Vec<(Act, Urgency)>) {
        for (slot, it) in self.owners.iter().enumerate() {
            if !it.mailbox.is_empty() {
                acts.push((Act::OwnerHears { slot }, Urgency::Step));
            }
            acts.extend((0..3).map(|after| (Act::OwnerIsFull { slot, after }, Urgency::Fault)));
            acts.push((Act::OwnerIsReplaced { slot }, Urgency::Fault));
            acts.push((Act::StoreEpochChanges { slot }, Urgency::Fault));
            if it.may_sleep() {
                acts.push((Act::OwnerSleeps { slot }, Urgency::Fault));
            }
            if !self.store.ours {
                let write = |what| (Act::OtherNodeWrites { slot, what }, Urgency::Fault);
                acts.extend((0..4).map(write));
            }
        }
        for (read, it) in self.reads.iter().enumerate() {
            let act = if it.answer.is_some() {
                Act::ReadReturns { read }
            } else {
                Act::ReadRuns { read }
            };
            acts.push((act, Urgency::Step));
            acts.push((Act::ReadFails { read }, Urgency::Fault));
        }
        if self.store.ours {
            acts.push((Act::OtherNodeClaims, Urgency::Fault));
        }
        if !self.store.ours || self.ours != Some(ShardEpoch::from_store(self.store.epoch)) {
            acts.push((Act::NodeRenews, Urgency::Step));
        }
    }

    fn acts_of_journal(&self, acts: &mut Vec<(Act, Urgency)>) {
        let line = &self.line;
        if !line.mailbox.is_empty() {
            acts.push((Act::JournalHears, Urgency::Step));
            acts.extend((0..3).map(|after| (Act::JournalIsFull { after }, Urgency::Fault)));
        }
        match &line.statement {
            Some(Statement { outcome: None, .. }) => {
                acts.push((Act::StatementRuns, Urgency::Step));
                acts.push((Act::StatementIsRefused, Urgency::Fault));
                acts.push((Act::NoIdIsMinted, Urgency::Fault));
                acts.push((Act::StatementFindsNoConnection, Urgency::Fault));
                acts.push((Act::ConnectionBreaks, Urgency::Fault));
                acts.push((Act::SomebodyElseClaims, Urgency::Fault));
            }
            Some(Statement { outcome: Some(_), .. }) => {
                acts.push((Act::JournalHearsOutcome, Urgency::Step));
                acts.push((Act::ConnectionBreaks, Urgency::Fault));
            }
            None if line.connecting.is_none() => {
                acts.push((Act::IdleConnectionEnds, Urgency::Fault));
            }
            None => {}
        }
        match (&line.connecting, &line.found) {
            (Some(_), None) => acts.push((Act::JournalClaims, Urgency::Step)),
            (Some(_), Some(_)) => acts.push((Act::JournalHearsOfClaim, Urgency::Step)),
            (None, _) => {}
        }
        for orphan in 0..line.orphans.len() {
            acts.push((Act::OrphanRuns { orphan }, Urgency::Step));
        }
    }
}
