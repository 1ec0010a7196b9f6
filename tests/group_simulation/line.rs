//! The journal, its connection to the store, and what is on its way to it.

use std::collections::VecDeque;
use std::sync::Arc;

use rookery::domain::intake::Outcome;
use rookery::domain::journal::{self, Appended, Found, Journal, Life, Owner, Row};

use super::World;
use super::owner::{Settled, ToOwner};

pub(super) enum ToJournal {
    Append(Row<usize>),
    Heard { owner: Owner, life: Life, refused: usize },
}

pub(super) struct Statement {
    pub(super) rows: Arc<Vec<Row<usize>>>,
    pub(super) fence: u64,
    pub(super) outcome: Option<Appended>,
}

pub(super) struct JournalLine {
    pub(super) journal: Journal<usize>,
    pub(super) mailbox: VecDeque<ToJournal>,
    pub(super) waiting: Vec<ToJournal>,
    pub(super) room: super::Room,
    pub(super) fence: u64,
    pub(super) statement: Option<Statement>,
    /// The rows to look up, while there is no connection.
    pub(super) connecting: Option<Vec<Row<usize>>>,
    pub(super) found: Option<Vec<Found>>,
    pub(super) orphans: Vec<Statement>,
    /// The last place of each group that its members were told of.
    pub(super) published: Vec<u64>,
}

impl World {
    pub(super) fn try_journal(&mut self, message: ToJournal) -> bool {
        let has_room = self.line.room.take();
        if has_room {
            self.line.mailbox.push_back(message);
        }
        has_room
    }

    pub(super) fn insist_journal(&mut self, message: ToJournal) {
        if self.line.room.take() {
            self.line.mailbox.push_back(message);
        } else {
            self.line.waiting.push(message);
        }
    }

    pub(super) fn journal(&mut self, input: journal::Input<usize>) {
        let mut effects = Vec::new();
        let now = self.now();
        self.line.journal.decide(now, input, &mut effects);
        // As the actor does: one letter for each start of each group's actor.
        let mut letters: Vec<((usize, Life), Vec<Settled>)> = Vec::new();
        for effect in effects {
            let (row, outcome) = match effect {
                journal::Effect::Run(rows) => {
                    assert!(self.line.statement.is_none(), "two statements in flight");
                    let fence = self.line.fence;
                    self.line.statement = Some(Statement { rows, fence, outcome: None });
                    continue;
                }
                journal::Effect::Reconnect => {
                    self.line.connecting = Some(self.line.journal.unresolved().to_vec());
                    self.line.found = None;
                    continue;
                }
                journal::Effect::Stored { row, placed } => {
                    self.check_published(&row, placed.seq);
                    let (seq, message_id) = (placed.seq, placed.message_id);
                    let hash = row.hash;
                    (row, Outcome::Stored { seq, inbox: None, message_id, hash })
                }
                journal::Effect::Settled { row, outcome } => (row, outcome),
            };
            let (journal::Target::Post(place) | journal::Target::Change { place, .. }) =
                &row.target
            else {
                continue;
            };
            let to = (row.payload, row.life);
            let settled = Settled { seq: place.seq, key: row.key, sender: row.sender, outcome };
            match letters.iter_mut().find(|(known, _)| *known == to) {
                Some((_, letter)) => letter.push(settled),
                None => letters.push((to, vec![settled])),
            }
        }
        for ((slot, life), letter) in letters {
            if self.owners[slot].life == life {
                self.insist_owner(slot, ToOwner::Settled(letter));
            }
        }
    }

    pub(super) fn end_statement(&mut self, outcome: Appended) {
        self.line.statement = None;
        self.journal(journal::Input::Appended(outcome));
    }

    pub(super) fn run(&mut self, statement: &Statement) -> Appended {
        let outcome = self.store.append(statement.fence, &statement.rows);
        self.check_logs();
        outcome
    }
}
