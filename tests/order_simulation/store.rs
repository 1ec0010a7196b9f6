//! What the store promises: a fence, one order for each conversation, each key once.

use std::collections::{BTreeMap, HashSet};

use rookery::domain::intake::SendHash;
use rookery::domain::journal::{Appended, Found, Known, Placed, Row};
use rookery::ids::{ClientMsgId, ConversationNo, InboxSeq, MessageId, Seq, UserNo};

/// A stored message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub sender: UserNo,
    pub key: ClientMsgId,
    pub hash: SendHash,
}

#[derive(Default)]
pub struct Store {
    fence: u64,
    logs: BTreeMap<ConversationNo, Vec<Entry>>,
}

impl Store {
    /// Raises the fence; what it gives back must come along with an append.
    pub fn claim(&mut self) -> u64 {
        self.fence += 1;
        self.fence
    }

    /// One statement: all rows or none. A writer that was fenced learns nothing, which is an unknown outcome to it.
    pub fn append<P>(&mut self, fence: u64, rows: &[Row<P>]) -> Appended {
        if fence != self.fence {
            return Appended::Unknown;
        }
        let known: Vec<Known> =
            rows.iter().enumerate().filter_map(|(i, row)| self.known(i, row)).collect();
        if !known.is_empty() {
            return Appended::Known(known);
        }
        let distinct: HashSet<_> =
            rows.iter().map(|row| (row.target.conversation(), row.sender, row.key)).collect();
        if distinct.len() < rows.len() {
            return Appended::Refused;
        }
        let placed = rows.iter().map(|row| {
            let log = self.logs.entry(row.target.conversation()).or_default();
            log.push(Entry { sender: row.sender, key: row.key, hash: row.hash });
            placed(log.len())
        });
        Appended::Stored(placed.collect())
    }

    /// Which of these rows are stored, by index.
    pub fn find<P>(&self, rows: &[Row<P>]) -> Vec<Found> {
        let found = |(index, row): (usize, &Row<P>)| {
            let seq = self.seq(row.target.conversation(), row.sender, row.key)?;
            let hash = self.log(row.target.conversation())[seq - 1].hash;
            Some(Found { index, placed: placed(seq), hash, is_own: true })
        };
        rows.iter().enumerate().filter_map(found).collect()
    }

    /// The place of a send in its conversation, from 1.
    pub fn seq(&self, at: ConversationNo, sender: UserNo, key: ClientMsgId) -> Option<usize> {
        let is_it = |entry: &Entry| entry.sender == sender && entry.key == key;
        self.log(at).iter().position(is_it).map(|index| index + 1)
    }

    pub fn log(&self, at: ConversationNo) -> &[Entry] {
        self.logs.get(&at).map_or(&[], Vec::as_slice)
    }

    pub fn logs(&self) -> impl Iterator<Item = &Vec<Entry>> {
        self.logs.values()
    }

    fn known<P>(&self, index: usize, row: &Row<P>) -> Option<Known> {
        let seq = self.seq(row.target.conversation(), row.sender, row.key)?;
        let Placed { seq, message_id, .. } = placed(seq);
        let hash = self.log(row.target.conversation())[seq.get() as usize - 1].hash;
        Some(Known { index, seq, message_id, hash })
    }
}

fn placed(seq: usize) -> Placed {
    Placed {
        seq: Seq::new(seq as u64),
        inbox_low: Some(InboxSeq::new(seq as u64)),
        inbox_high: Some(InboxSeq::new(seq as u64)),
        message_id: MessageId::from_store(seq as i64),
    }
}
