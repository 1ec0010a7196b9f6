//! Asks of groups that another node owns: passed on, and answered.

use std::sync::Arc;
use std::time::Duration;

use super::Exchange;
use super::letter::{Asked, Letter, Ticket};
use super::tickets::Waiting;
use crate::actors::asker::{ChangeAsker, ChangeOutcome, SendVerdict, Submitter};
use crate::actors::draft::Draft;
use crate::actors::engine::Engine;
use crate::actors::group::GroupRequest;
use crate::actors::relay::GroupKey;
use crate::domain::intake::Refusal;
use crate::ids::{Conversation, ConversationNo, NodeRun, Shard};
use crate::limits;
use crate::protocol::Body;

/// How long it is waited to learn who owns a group after the wrong node was asked.
const OWNERS_KNOWN_WITHIN: Duration = Duration::from_millis(500);

/// Where the answer to what another node asked goes.
pub struct Return {
    exchange: Arc<Exchange>,
    to: NodeRun,
    ticket: Ticket,
}

impl Return {
    /// A send came to this.
    pub fn judged(self, verdict: SendVerdict) {
        self.exchange.write(self.to, &Letter::Verdict { ticket: self.ticket, verdict });
    }

    /// A change came to this.
    pub fn changed(self, outcome: ChangeOutcome) {
        self.exchange.write(self.to, &Letter::Changed { ticket: self.ticket, outcome });
    }
}

impl Exchange {
    /// A group's number, if it was seen.
    pub(in crate::actors) fn number_of(&self, key: &GroupKey) -> Option<ConversationNo> {
        self.numbers.get(key).map(|no| *no)
    }

    /// A group's number was seen.
    pub(in crate::actors) fn saw_number(&self, key: GroupKey, no: ConversationNo) {
        if self.numbers.len() >= limits::GROUP_NUMBERS {
            // Each is looked up again when it is needed.
            self.numbers.clear();
        }
        self.numbers.insert(key, no);
    }

    /// The store has lost data: a number may be another group's now.
    pub(in crate::actors) fn forget_numbers(&self) {
        self.numbers.clear();
    }

    /// Asks the node that owns a group whose number is known. Given back when that is this one.
    pub(in crate::actors) fn ask(
        &self,
        key: &GroupKey,
        no: ConversationNo,
        request: GroupRequest,
    ) -> Option<GroupRequest> {
        let shard = Shard::of(no);
        if self.node.ownership().epoch_of(shard).is_some() {
            return Some(request);
        }
        match self.node.peers().known().owner_of(shard) {
            Some(owner) => self.ask_of(owner, key, Some(no), request),
            None => {
                // Its owner is gone, and nobody has taken its place yet.
                self.node.look_at_owners();
                request.refuse(key, Refusal::Unavailable);
            }
        }
        None
    }

    /// Asks a node that has shards, of a group that is not there: it may be about to be made. Given back when this one has
    /// shards, too.
    pub(in crate::actors) fn ask_to_make(
        &self,
        key: &GroupKey,
        request: GroupRequest,
    ) -> Option<GroupRequest> {
        if self.node.ownership().count() > 0 {
            return Some(request);
        }
        let known = self.node.peers().known();
        match Shard::all().find_map(|shard| known.owner_of(shard)) {
            Some(owner) => self.ask_of(owner, key, None, request),
            None => return Some(request),
        }
        None
    }

    fn ask_of(
        &self,
        owner: NodeRun,
        key: &GroupKey,
        no: Option<ConversationNo>,
        request: GroupRequest,
    ) {
        let (waiting, asked) = match request {
            GroupRequest::Submit { submitter, waiter, by, key: msg, draft } => {
                let conversation = Conversation::Group(key.id.clone());
                let place = waiter.place;
                let waiting = Waiting::Send { submitter, conversation, place, key: msg };
                (waiting, Asked::Send { waiter, by, key: msg, stored: draft.stored })
            }
            GroupRequest::Change { asker, by, change } => {
                (Waiting::Change { asker, group: key.id.clone() }, Asked::Change { by, change })
            }
        };
        let ticket = match self.tickets.draw(owner, waiting) {
            Ok(ticket) => ticket,
            Err(waiting) => return waiting.refused(Refusal::Busy),
        };
        metrics::counter!("rookery_asks_to_nodes_total").increment(1);
        if !self.write(owner, &Letter::Ask { ticket, key: key.clone(), no, asked })
            && let Some(waiting) = self.tickets.take(ticket, owner)
        {
            waiting.refused(Refusal::Busy);
        }
    }

    /// Another node asks something of a group.
    pub(super) fn asked(
        self: &Arc<Self>,
        engine: &Engine,
        from: NodeRun,
        ticket: Ticket,
        (key, no): (GroupKey, Option<ConversationNo>),
        asked: Asked,
    ) {
        let ownership = self.node.ownership();
        let is_ours = match no {
            Some(no) => ownership.epoch_of(Shard::of(no)).is_some(),
            None => ownership.count() > 0,
        };
        if !is_ours {
            // Unless it was given to us a moment ago.
            self.node.look_at_owners();
            self.write(from, &Letter::NotOwner { ticket });
            return;
        }
        let to = Box::new(Return { exchange: self.clone(), to: from, ticket });
        let request = match asked {
            Asked::Send { waiter, by, key, stored } => match Body::decode(&stored) {
                Ok(body) => {
                    let hash = Body::hash(&stored);
                    let draft = Draft { body: Arc::new(body), stored, hash };
                    let submitter = Submitter::Elsewhere(to);
                    GroupRequest::Submit { submitter, waiter, by, key, draft }
                }
                Err(error) => {
                    tracing::error!(%error, "a send of another node cannot be read");
                    return;
                }
            },
            Asked::Change { by, change } => {
                GroupRequest::Change { asker: ChangeAsker::Elsewhere(to), by, change }
            }
        };
        if let Some(no) = no {
            self.saw_number(key.clone(), no);
        }
        self.directory.ask_group(engine, key, request);
    }

    /// The node that was asked does not own the group: it is looked who does, and tried again.
    pub(super) fn not_owner(self: &Arc<Self>, from: NodeRun, ticket: Ticket) {
        let Some(waiting) = self.tickets.take(ticket, from) else { return };
        let mut changes = self.node.peers().changes();
        self.node.look_at_owners();
        actix::spawn(async move {
            // Whatever is known by then; a session that is sent to the wrong node once more comes here again.
            let _ = tokio::time::timeout(OWNERS_KNOWN_WITHIN, changes.changed()).await;
            waiting.try_again();
        });
    }
}
