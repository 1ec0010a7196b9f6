//! What a user's devices have received and read: asked of the writer of cursors, answered after its commit, and told to
//! the user's other devices and to the other sides.

use std::collections::HashMap;

use actix::prelude::*;

use super::{CursorsMoved, Entry, Receipt, ReceiptKind, UserActor};
use crate::actors::cursors::{Of, Raise};
use crate::actors::relay::GroupKey;
use crate::actors::session::ReceiptDone;
use crate::actors::{errors, group_reads, mailbox, reads};
use crate::domain::intake::{Refusal, SessionNo};
use crate::domain::sends::Pair;
use crate::ids::{Conversation, ConversationNo, GroupId, Seq, UserId, UserNo};
use crate::limits;
use crate::protocol::{DeliveredBy, ErrorBody, Event, ReadEvent};
use crate::store::cursors::{CursorKey, Cursors};
use crate::store::pairs::Found;
use crate::store::{StoreError, pairs};

#[derive(Message)]
#[rtype(result = "()")]
struct ReceiptPairFound {
    receipt: Receipt,
    peer: UserId,
    found: Result<Found, StoreError>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct ReceiptGroupFound {
    receipt: Receipt,
    group: GroupId,
    found: Result<ConversationNo, ErrorBody>,
}

/// What others sent and no device of the user has acknowledged yet. When the last session ends without having done so,
/// the server answers for the user after all.
#[derive(Default)]
pub(super) struct Unreceived(HashMap<ConversationNo, Pushed>);

struct Pushed {
    sender_no: UserNo,
    sender: UserId,
    seq: Seq,
}

impl Unreceived {
    /// An entry of somebody else is on its way to the devices.
    pub(super) fn pushed(&mut self, entry: &Entry) {
        // Beyond the bound the sender has to repeat, which asks for the receipt again.
        if self.0.len() < limits::KNOWN_PEERS || self.0.contains_key(&entry.conversation) {
            let pushed =
                Pushed { sender_no: entry.sender, sender: entry.from.clone(), seq: entry.seq };
            self.0.insert(entry.conversation, pushed);
        }
    }

    fn received(&mut self, conversation: ConversationNo, up_to: Seq) {
        if self.0.get(&conversation).is_some_and(|pushed| pushed.seq <= up_to) {
            self.0.remove(&conversation);
        }
    }
}

/// How far the devices were told lately that cursors stand. What nodes say of them overtakes each other on the way.
#[derive(Default)]
pub(super) struct Told {
    own: HashMap<ConversationNo, Cursors>,
    peers: HashMap<ConversationNo, Cursors>,
}

impl Told {
    /// How the cursors stood for the devices before they moved: not behind what these were told already.
    fn before(
        told: &mut HashMap<ConversationNo, Cursors>,
        no: ConversationNo,
        before: Cursors,
        after: Cursors,
    ) -> Cursors {
        if told.len() >= limits::KNOWN_PEERS && !told.contains_key(&no) {
            told.clear();
        }
        let last = told.entry(no).or_default();
        let before = last.at_least(before);
        *last = before.at_least(after);
        before
    }
}

/// A command that is answered when its cursor was written.
pub(super) struct WaitingReceipt {
    ticket: u64,
    session: SessionNo,
    command: u64,
    kind: ReceiptKind,
}

impl Handler<Receipt> for UserActor {
    type Result = ();

    fn handle(&mut self, receipt: Receipt, ctx: &mut Self::Context) {
        match receipt.conversation.clone() {
            Conversation::User(peer) => self.receipt_of_pair(receipt, peer, ctx),
            Conversation::Group(group) => self.receipt_of_group(receipt, group, ctx),
        }
    }
}

impl Handler<ReceiptPairFound> for UserActor {
    type Result = ();

    fn handle(&mut self, found: ReceiptPairFound, _: &mut Self::Context) {
        let ReceiptPairFound { receipt, peer, found } = found;
        match found {
            Ok(Found::Pair(pair)) => {
                self.sends.remember_pair(peer.clone(), pair);
                self.raise(receipt, pair.no, Of::Pair { peer_no: pair.peer, peer });
            }
            // Nothing was ever said, so the head is 0, and the cursor with it.
            Ok(Found::Strangers) => self.answer_receipt(&receipt, Ok(Seq::ZERO)),
            Ok(Found::Nobody) => self.answer_receipt(&receipt, Err(errors::not_found())),
            Err(error) => self.answer_receipt(&receipt, Err(errors::of_store(&error))),
        }
    }
}

impl Handler<ReceiptGroupFound> for UserActor {
    type Result = ();

    fn handle(&mut self, found: ReceiptGroupFound, _: &mut Self::Context) {
        let ReceiptGroupFound { receipt, group, found } = found;
        match found {
            Ok(no) => {
                if self.groups.len() >= limits::KNOWN_PEERS {
                    self.groups.clear();
                }
                self.groups.insert(group.clone(), no);
                self.raise(receipt, no, Of::Group(GroupKey { app: self.app, id: group }));
            }
            Err(error) => self.answer_receipt(&receipt, Err(error)),
        }
    }
}

impl Handler<CursorsMoved> for UserActor {
    type Result = ();

    fn handle(&mut self, moved: CursorsMoved, _: &mut Self::Context) {
        if moved.reader == self.id {
            self.own_cursors_moved(moved);
        } else {
            self.peer_cursors_moved(moved);
        }
        self.look_behind();
    }
}

impl UserActor {
    fn receipt_of_pair(&mut self, receipt: Receipt, peer: UserId, ctx: &mut Context<Self>) {
        if let Some(pair) = self.sends.pair(&peer) {
            return self.raise(receipt, pair.no, Of::Pair { peer_no: pair.peer, peer });
        }
        let (engine, app, no) = (self.engine.clone(), self.app, self.no);
        let look_up = async move {
            let found = reads::bounded(pairs::find(&engine.shared().pool, app, no, &peer)).await;
            ReceiptPairFound { receipt, peer, found }
        };
        ctx.spawn(look_up.into_actor(self).map(|found, _, ctx| ctx.notify(found)));
    }

    fn receipt_of_group(&mut self, receipt: Receipt, group: GroupId, ctx: &mut Context<Self>) {
        if let Some(no) = self.groups.get(&group) {
            let of = Of::Group(GroupKey { app: self.app, id: group });
            return self.raise(receipt, *no, of);
        }
        let (engine, app, no) = (self.engine.clone(), self.app, self.no);
        let look_up = async move {
            let found = group_reads::number(&engine, app, no, &group).await;
            ReceiptGroupFound { receipt, group, found }
        };
        ctx.spawn(look_up.into_actor(self).map(|found, _, ctx| ctx.notify(found)));
    }

    fn raise(&mut self, receipt: Receipt, conversation: ConversationNo, of: Of) {
        let Receipt { session, command, kind, seq, .. } = receipt;
        self.tickets += 1;
        let ticket = self.tickets;
        let cursors = match kind {
            ReceiptKind::Received => Cursors { by_device: seq, ..Cursors::default() },
            ReceiptKind::Read => Cursors { read: seq, ..Cursors::default() },
        };
        let raise = Raise {
            key: CursorKey { owner: self.no, conversation },
            app: self.app,
            owner: self.id.clone(),
            of,
            cursors,
            ticket: Some(ticket),
        };
        if mailbox::tell(&self.shared().cursors, raise).is_err() {
            let busy = errors::of_refusal(Refusal::Busy);
            self.answer_receipt(&receipt, Err(busy));
            return;
        }
        let waiting = WaitingReceipt { ticket, session, command, kind };
        self.receipts.entry(conversation).or_default().push(waiting);
    }

    /// The server answers for a receiver who is not online.
    pub(super) fn answer_for(&self, receiver: UserId, pair: Pair, seq: Seq) {
        self.raise_by_server(Raise {
            key: CursorKey { owner: pair.peer, conversation: pair.no },
            app: self.app,
            owner: receiver,
            of: Of::Pair { peer_no: self.no, peer: self.id.clone() },
            cursors: Cursors { by_server: seq, ..Cursors::default() },
            ticket: None,
        });
    }

    /// The same for this user, once no session is left, and what was pushed to those that were was not acknowledged.
    pub(super) fn answer_for_unreceived(&mut self) {
        // Where devices are elsewhere, that node has pushed it to them, and answers when they leave.
        if !self.devices.is_empty() || self.shared().board.is_elsewhere(self.no) {
            return;
        }
        for (conversation, pushed) in std::mem::take(&mut self.unreceived.0) {
            self.raise_by_server(Raise {
                key: CursorKey { owner: self.no, conversation },
                app: self.app,
                owner: self.id.clone(),
                of: Of::Pair { peer_no: pushed.sender_no, peer: pushed.sender },
                cursors: Cursors { by_server: pushed.seq, ..Cursors::default() },
                ticket: None,
            });
        }
    }

    fn raise_by_server(&self, raise: Raise) {
        if mailbox::tell(&self.shared().cursors, raise).is_err() {
            // A sender that wants its second ack repeats the send, which asks for this again.
            metrics::counter!("rookery_receipts_dropped_total").increment(1);
        }
    }

    fn own_cursors_moved(&mut self, moved: CursorsMoved) {
        if let Ok(after) = moved.outcome {
            self.unreceived.received(moved.conversation, after.by_device);
        }
        let mut readers = Vec::new();
        if let Some(ticket) = moved.ticket
            && let Some(waiting) = self.receipts.remove(&moved.conversation)
        {
            let (answered, later): (Vec<_>, Vec<_>) =
                waiting.into_iter().partition(|receipt| receipt.ticket <= ticket);
            if !later.is_empty() {
                self.receipts.insert(moved.conversation, later);
            }
            for WaitingReceipt { session, command, kind, .. } in answered {
                let outcome = match (&moved.outcome, kind) {
                    (Ok(cursors), ReceiptKind::Received) => Ok(cursors.by_device),
                    (Ok(cursors), ReceiptKind::Read) => {
                        readers.push(session);
                        Ok(cursors.read)
                    }
                    (Err(why), _) => Err(errors::of_refusal(*why)),
                };
                let conversation = moved.of.clone();
                let receipt = Receipt { session, command, kind, conversation, seq: Seq::ZERO };
                self.answer_receipt(&receipt, outcome);
            }
        }
        let Ok(after) = moved.outcome else { return };
        let before = Told::before(&mut self.told.own, moved.conversation, moved.before, after);
        if after.read > before.read {
            let event = Event::Read(ReadEvent::Cursor {
                conversation: moved.of.clone(),
                seq: after.read,
                user: self.id.clone(),
            });
            self.devices.push_to_all_but(&readers, event);
        }
    }

    fn peer_cursors_moved(&mut self, moved: CursorsMoved) {
        let CursorsMoved { conversation: no, reader, of: conversation, .. } = moved;
        let Ok(after) = moved.outcome else { return };
        let before = Told::before(&mut self.told.peers, no, moved.before, after);
        let delivered = |seq, by| Event::Delivered {
            conversation: conversation.clone(),
            seq,
            user: reader.clone(),
            by,
        };
        if after.by_server > before.by_server && after.by_server > after.by_device {
            self.devices.push_to_all_but(&[], delivered(after.by_server, DeliveredBy::Server));
        }
        if after.by_device > before.by_device {
            self.devices.push_to_all_but(&[], delivered(after.by_device, DeliveredBy::Device));
        }
        if after.read > before.read {
            let (conversation, user) = (conversation.clone(), reader.clone());
            let event = Event::Read(ReadEvent::Cursor { conversation, seq: after.read, user });
            self.devices.push_to_all_but(&[], event);
        }
    }

    fn answer_receipt(&self, receipt: &Receipt, outcome: Result<Seq, ErrorBody>) {
        let Some(slot) = self.devices.get(receipt.session) else { return };
        let conversation = receipt.conversation.clone();
        slot.outlet.insist(ReceiptDone { command: receipt.command, conversation, outcome });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_late_of_a_cursor_is_not_told_again() {
        let mut told = HashMap::new();
        let no = ConversationNo::from_store(7);
        let read = |seq| Cursors { read: Seq::new(seq), ..Cursors::default() };

        assert_eq!(Told::before(&mut told, no, read(3), read(5)), read(3));
        // One node wrote 4, another 5, and the word of the first was longer on its way.
        assert_eq!(Told::before(&mut told, no, read(3), read(4)), read(5));
        assert_eq!(Told::before(&mut told, no, read(5), read(6)), read(5));
    }
}
