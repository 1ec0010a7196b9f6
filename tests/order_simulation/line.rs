//! The journal, its connection to the store, and what is on its way to it.

use std::collections::VecDeque;
use std::sync::Arc;

use rookery::domain::intake::Outcome;
use rookery::domain::journal::{self, Appended, Found, Journal, Life, Owner, Placed, Row};
use rookery::ids::UserId;

use super::user::ToUser;
use super::{Room, World};

pub(super) enum ToJournal {
    Append(Row<UserId>),
    Heard { owner: Owner, life: Life, refused: usize },
}

pub(super) struct Statement {
    pub(super) rows: Arc<Vec<Row<UserId>>>,
    pub(super) fence: u64,
    pub(super) outcome: Option<Appended>,
}

pub(super) struct JournalLine {
    pub(super) journal: Journal<UserId>,
    pub(super) mailbox: VecDeque<ToJournal>,
    pub(super) waiting: Vec<ToJournal>,
    pub(super) room: Room,
    pub(super) fence: u64,
    pub(super) statement: Option<Statement>,
    /// The rows to look up, while there is no connection.
    pub(super) connecting: Option<Vec<Row<UserId>>>,
    pub(super) found: Option<Vec<Found>>,
    pub(super) orphans: Vec<Statement>,
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

    pub(super) fn journal(&mut self, input: journal::Input<UserId>) {
        let mut effects = Vec::new();
        let now = self.now();
        self.line.journal.decide(now, input, &mut effects);
        let mut letters: Vec<Vec<_>> = self.users.iter().map(|_| Vec::new()).collect();
        for effect in effects {
            match effect {
                journal::Effect::Run(rows) => {
                    assert!(self.line.statement.is_none(), "two statements in flight");
                    let fence = self.line.fence;
                    self.line.statement = Some(Statement { rows, fence, outcome: None });
                }
                journal::Effect::Stored {
                    row,
                    placed: Placed { seq, inbox_low, message_id, .. },
                } => {
                    let outcome =
                        Outcome::Stored { seq, inbox: inbox_low, message_id, hash: row.hash };
                    let sender = row.sender.get() as usize - 1;
                    letters[sender].push((row.payload, row.key, row.life, outcome));
                }
                journal::Effect::Settled { row, outcome } => {
                    let sender = row.sender.get() as usize - 1;
                    letters[sender].push((row.payload, row.key, row.life, outcome));
                }
                journal::Effect::Reconnect => {
                    self.line.connecting = Some(self.line.journal.unresolved().to_vec());
                    self.line.found = None;
                }
            }
        }
        for (user, letter) in letters.into_iter().enumerate() {
            if !letter.is_empty() {
                self.insist_user(user, ToUser::Written(letter));
            }
        }
    }

    pub(super) fn end_statement(&mut self, outcome: Appended) {
        self.line.statement = None;
        self.journal(journal::Input::Appended(outcome));
    }

    pub(super) fn run(&mut self, statement: &Statement) -> Appended {
        let outcome = self.store.append(statement.fence, &statement.rows);
        if let Appended::Stored(_) = outcome {
            self.check_log();
        }
        outcome
    }
}
