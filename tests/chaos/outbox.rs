//! What a client has to send, and in which order it may: pure, so that the model and the real clients share it.
//!
//! Within a conversation messages leave in the order in which they were written. After a refusal that a retry can cure
//! nothing more leaves until all answers are there and the wait is over; then all of them come again, oldest first.

use std::collections::{BTreeMap, VecDeque};

use rookery::protocol::Code;

use super::history::Log;

/// Sends of one conversation that may be unanswered.
const WINDOW: usize = 4;

/// A client's messages that were not settled yet.
#[derive(Debug, Default)]
pub struct Outbox {
    lanes: BTreeMap<Log, Lane>,
}

/// A message that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub key: String,
    pub body: String,
}

#[derive(Debug, Default)]
struct Lane {
    items: VecDeque<(Message, Option<u64>)>,
    /// From a refusal on, until it is sent again: not before this time.
    again_at_us: Option<u64>,
}

impl Outbox {
    /// Takes a message, which leaves behind those before it.
    pub fn write(&mut self, log: &Log, message: Message) {
        self.lanes.entry(log.clone()).or_default().items.push_back((message, None));
    }

    /// The next message that may leave, as command `id`.
    pub fn next(&mut self, now_us: u64, id: u64) -> Option<(Log, Message)> {
        for (log, lane) in &mut self.lanes {
            let waiting = lane.items.iter().filter(|(_, id)| id.is_some()).count();
            match lane.again_at_us {
                Some(at) if waiting == 0 && at <= now_us => lane.again_at_us = None,
                Some(_) => continue,
                None if waiting >= WINDOW => continue,
                None => {}
            }
            if let Some((message, own)) = lane.items.iter_mut().find(|(_, id)| id.is_none()) {
                *own = Some(id);
                return Some((log.clone(), message.clone()));
            }
        }
        None
    }

    /// A send was acked or refused for good; it, if it was known.
    pub fn settled(&mut self, id: u64) -> Option<(Log, Message)> {
        for (log, lane) in &mut self.lanes {
            if let Some(place) = lane.items.iter().position(|(_, own)| *own == Some(id)) {
                let (message, _) = lane.items.remove(place)?;
                return Some((log.clone(), message));
            }
        }
        None
    }

    /// A send was refused and comes again, at this time at the earliest.
    pub fn again(&mut self, id: u64, at_us: u64) {
        for lane in self.lanes.values_mut() {
            if let Some((_, own)) = lane.items.iter_mut().find(|(_, own)| *own == Some(id)) {
                *own = None;
                lane.again_at_us = Some(lane.again_at_us.unwrap_or_default().max(at_us));
            }
        }
    }

    /// The connection is another one: all comes again.
    pub fn start_again(&mut self) {
        for lane in self.lanes.values_mut() {
            lane.again_at_us = None;
            lane.items.iter_mut().for_each(|(_, id)| *id = None);
        }
    }

    /// Messages that were not settled yet.
    pub fn len(&self) -> usize {
        self.lanes.values().map(|lane| lane.items.len()).sum()
    }
}

/// Whether a message that was refused so comes again.
pub fn comes_again(code: Code) -> bool {
    code.is_curable() || code == Code::TokenExpired
}
