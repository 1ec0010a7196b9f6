//! The life of a client: it connects, converses, waits and comes back, until something ends it for good.
//!
//! Owns all that outlives a connection: the outbox, the place in the inbox, the receipts. What happens on one connection
//! is in `session`.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::backoff::Backoff;
use super::clock::ServerClock;
use super::inbox::{Inbox, Learned};
use super::outbox::Outbox;
use super::raw::Connection;
use super::receipts::Receipts;
use super::session::{Departure, Session};
use super::{CallError, Ended, Options, Request, SendError, Status, Update};
use crate::ids::{ClientMsgId, Conversation, InboxSeq, LoginNo};
use crate::limits;
use crate::protocol::{Message, Send, Sent};

/// An entry of the inbox, and whose doing it is.
#[derive(Debug)]
pub enum Entry {
    /// Sent by this client.
    Own(Message),
    /// Sent by someone else, or by another device of the user.
    Foreign(Message),
}

pub(super) struct Driver {
    pub(super) options: Options,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) clock: Arc<ServerClock>,
    pub(super) inbox: Inbox<Entry>,
    pub(super) outbox: Outbox,
    pub(super) receipts: Receipts,
    /// Given at every login but the first.
    pub(super) resume: Option<LoginNo>,
    acks: HashMap<ClientMsgId, oneshot::Sender<Result<Sent, SendError>>>,
    /// Own messages that were acked as repeats and whose place in the inbox is not known yet.
    unplaced: HashSet<ClientMsgId>,
    /// Updates besides entries that wait for room.
    waiting: VecDeque<Update>,
    pub(super) updates: mpsc::Sender<Update>,
    status: watch::Sender<Status>,
    backoff: Backoff,
}

impl Driver {
    pub(super) fn new(
        options: Options,
        requests: mpsc::Receiver<Request>,
        updates: mpsc::Sender<Update>,
        status: watch::Sender<Status>,
        clock: Arc<ServerClock>,
    ) -> Self {
        let (base, cap) = options.backoff;
        let backoff = Backoff::new(base, cap);
        Self {
            inbox: Inbox::new(options.position.clone()),
            outbox: Outbox::new(backoff.clone()),
            receipts: Receipts::default(),
            resume: None,
            acks: HashMap::new(),
            unplaced: HashSet::new(),
            waiting: VecDeque::new(),
            options,
            requests,
            clock,
            updates,
            status,
            backoff,
        }
    }

    pub(super) async fn run(mut self) {
        let ended = loop {
            let retry_in = match self.one_connection().await {
                Departure::Ended(ended) => break ended,
                // What the server says leads; the jitter keeps those it told the same apart.
                Departure::Lost { retry_in: Some(told) } => {
                    told.mul_f64(1.0 + rand::random::<f64>() / 4.0)
                }
                Departure::Lost { retry_in: None } => self.backoff.next(rand::random()),
            };
            self.outbox.disconnected();
            self.receipts.disconnected();
            if self.status.borrow().online.is_some() {
                self.status.send_modify(|status| status.online = None);
                self.tell(Update::Offline { retry_in });
            }
            if let Some(ended) = self.wait(retry_in).await {
                break ended;
            }
        };
        self.finish(ended).await;
    }

    async fn one_connection(&mut self) -> Departure {
        let token = match self.options.token.token().await {
            Ok(token) => token,
            Err(error) => {
                tracing::warn!(%error, "no token to log in with");
                return Departure::Lost { retry_in: None };
            }
        };
        let connection = match Connection::open(&self.options.address).await {
            Ok(connection) => connection,
            Err(error) => {
                tracing::debug!(%error, "no connection");
                return Departure::Lost { retry_in: None };
            }
        };
        let mut session = Session::new(connection);
        let began = Instant::now();
        let departure = session.converse(self, token).await;
        tracing::debug!(?departure, "connection ended");
        if began.elapsed() >= limits::CLIENT_STABLE_AFTER {
            self.backoff.reset();
        }
        departure
    }

    /// Waits before the next attempt, and goes on taking requests and handing out updates.
    async fn wait(&mut self, retry_in: Duration) -> Option<Ended> {
        let until = Instant::now() + retry_in;
        loop {
            self.hand_out();
            let has_updates = self.has_updates();
            tokio::select! {
                () = tokio::time::sleep_until(until) => return None,
                () = room(&self.updates), if has_updates => {}
                request = self.requests.recv() => match request {
                    None => return Some(Ended::Dropped),
                    Some(Request::LogOut) => return Some(Ended::LoggedOut),
                    Some(Request::Post { send, ack }) => self.post(send, ack),
                    // The asker may have given up; then nobody needs the answer.
                    Some(Request::Call { answer, .. }) => {
                        let _ = answer.send(Err(CallError::NotConnected));
                    }
                },
            }
        }
    }

    async fn finish(mut self, ended: Ended) {
        self.status.send_modify(|status| {
            status.online = None;
            status.ended = Some(ended.clone());
        });
        self.requests.close();
        for ack in std::mem::take(&mut self.acks).into_values() {
            let _ = ack.send(Err(SendError::Ended(ended.clone())));
        }
        while let Some(request) = self.requests.recv().await {
            match request {
                Request::Post { ack, .. } => drop(ack.send(Err(SendError::Ended(ended.clone())))),
                Request::Call { answer, .. } => {
                    drop(answer.send(Err(CallError::Ended(ended.clone()))));
                }
                Request::LogOut => {}
            }
        }
        self.waiting.push_back(Update::Ended(ended));
        self.hand_out();
        while self.has_updates() && !self.updates.is_closed() {
            tokio::select! {
                () = room(&self.updates) => self.hand_out(),
                () = self.updates.closed() => {}
            }
        }
    }

    /// Takes a message into the outbox.
    pub(super) fn post(&mut self, send: Send, ack: oneshot::Sender<Result<Sent, SendError>>) {
        let key = send.client_msg_id;
        match self.outbox.push(send) {
            Ok(()) => drop(self.acks.insert(key, ack)),
            Err(error) => drop(ack.send(Err(error.into()))),
        }
    }

    /// The server has stored a message: its first answer, or a repeat of it.
    pub(super) fn acked(&mut self, key: ClientMsgId, sent: Sent) {
        let Some(send) = self.outbox.finished(key) else { return };
        match sent.inbox {
            Some(number) => {
                let message = self.own_message(send, &sent, number);
                self.inbox.offer(number, Entry::Own(message));
            }
            // Its entry is somewhere in the inbox, perhaps beyond what this client has.
            None => {
                self.unplaced.insert(key);
            }
        }
        self.answer(key, Ok(sent));
    }

    /// Whether the place of a message that was acked is still unknown.
    pub(super) fn is_unplaced(&self, key: ClientMsgId) -> bool {
        self.unplaced.contains(&key)
    }

    /// The server refuses a message, and would again.
    pub(super) fn refused(&mut self, key: ClientMsgId, error: SendError) {
        self.outbox.finished(key);
        self.answer(key, Err(error));
    }

    fn answer(&mut self, key: ClientMsgId, outcome: Result<Sent, SendError>) {
        if let Some(ack) = self.acks.remove(&key) {
            // Whoever posted it may not care.
            let _ = ack.send(outcome);
        }
    }

    fn own_message(&self, send: Send, sent: &Sent, number: InboxSeq) -> Message {
        Message {
            conversation: sent.conversation.clone(),
            seq: sent.seq,
            inbox: Some(number),
            message_id: sent.message_id,
            client_msg_id: send.client_msg_id,
            from: self.options.user.clone(),
            sent_at_ms: sent.sent_at_ms,
            content: send.content,
            mentions: send.mentions,
            reply_to: send.reply_to,
        }
    }

    /// Takes in an entry that was pushed or pulled.
    pub(super) fn offer(&mut self, message: Message) {
        let Some(number) = message.inbox else { return };
        let key = message.client_msg_id;
        let is_own = message.from == self.options.user
            && (self.unplaced.remove(&key) || self.outbox.get(key).is_some());
        // Seen in the log, it is stored, whatever becomes of its ack.
        if is_own && self.outbox.stored(key) {
            let sent = Sent {
                conversation: message.conversation.clone(),
                seq: message.seq,
                inbox: Some(number),
                message_id: message.message_id,
                sent_at_ms: message.sent_at_ms,
                duplicate: false,
            };
            self.answer(key, Ok(sent));
        }
        let entry = if is_own { Entry::Own(message) } else { Entry::Foreign(message) };
        self.inbox.offer(number, entry);
    }

    pub(super) fn logged_in(&mut self, login_no: LoginNo) {
        self.resume = Some(login_no);
        self.status.send_modify(|status| status.online = Some(login_no));
        self.tell(Update::Online { login_no });
        self.publish_position();
    }

    pub(super) fn learned(&mut self, learned: Learned) {
        let position = self.inbox.position().cloned();
        if let (Learned::OtherEpoch, Some(position)) = (learned, position) {
            self.unplaced.clear();
            self.tell(Update::EpochChanged { epoch: position.epoch });
        }
        self.publish_position();
    }

    fn publish_position(&mut self) {
        let position = self.inbox.position().cloned();
        self.status.send_modify(|status| status.position = position);
    }

    /// Puts an update behind those that wait. A newer cursor takes the place of an older one of its kind.
    pub(super) fn tell(&mut self, update: Update) {
        let place = self.waiting.iter().position(|own| cursor_of(own) == cursor_of(&update));
        match place.filter(|_| cursor_of(&update).is_some()) {
            Some(place) => self.waiting[place] = update,
            None => self.waiting.push_back(update),
        }
        // Cursors and states can be asked for again; entries never wait here.
        if self.waiting.len() > limits::CLIENT_EVENTS {
            self.waiting.pop_front();
        }
    }

    /// Hands updates and entries to the app while it has room; the place advances with what it took.
    pub(super) fn hand_out(&mut self) {
        let before = self.inbox.position().map(|position| position.inbox);
        while self.has_updates() {
            let Ok(permit) = self.updates.try_reserve() else { break };
            if let Some(update) = self.waiting.pop_front() {
                permit.send(update);
                continue;
            }
            let Some(entry) = self.inbox.take() else { break };
            permit.send(match entry {
                Entry::Own(message) => Update::Sent(message),
                Entry::Foreign(message) => {
                    if message.from != self.options.user {
                        let conversation = message.conversation.clone();
                        self.receipts.has(conversation, message.seq, Instant::now());
                    }
                    Update::Received(message)
                }
            });
        }
        if self.inbox.position().map(|position| position.inbox) != before {
            self.publish_position();
        }
    }

    pub(super) fn has_updates(&self) -> bool {
        !self.waiting.is_empty() || self.inbox.has_next()
    }
}

/// Waits until the app has taken something. Waits for ever once it takes nothing more.
pub(super) async fn room(updates: &mpsc::Sender<Update>) {
    if updates.reserve().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// What a cursor update is about: its kind and its conversation.
fn cursor_of(update: &Update) -> Option<(bool, &Conversation)> {
    match update {
        Update::Delivered { conversation, .. } => Some((true, conversation)),
        Update::Read { conversation, .. } => Some((false, conversation)),
        _ => None,
    }
}
