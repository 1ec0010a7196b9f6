//! The life of a client: it connects, converses, waits and comes back, until something ends it for good.
//!
//! Owns all that outlives a connection: the outbox, the places in the inbox and in groups, the receipts. What happens on
//! one connection is in `session`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::backoff::Backoff;
use super::clock::ServerClock;
use super::membership;
use super::outbox::Outbox;
use super::places::{Learned, Log, Places, Taken};
use super::raw::{Connection, OpenError, Opening};
use super::receipts::Receipts;
use super::session::{Departure, Session};
use super::update::Waiting;
use super::{CallError, Ended, Options, Request, SendError, Status, Update};
use crate::ids::{ClientMsgId, Conversation, InboxSeq, LoginNo, Seq};
use crate::limits;
use crate::protocol::codec::Codec;
use crate::protocol::{Message, Send, Sent};

/// An entry of a log, and whose doing it is.
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
    pub(super) places: Places<Entry>,
    pub(super) outbox: Outbox,
    pub(super) receipts: Receipts,
    /// Given at every login but the first.
    pub(super) resume: Option<LoginNo>,
    acks: HashMap<ClientMsgId, oneshot::Sender<Result<Sent, SendError>>>,
    /// Own messages that were acked as repeats and whose place in the inbox is not known yet.
    unplaced: HashSet<ClientMsgId>,
    /// Updates besides entries that wait for room.
    waiting: Waiting,
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
            places: Places::new(options.position.clone()),
            outbox: Outbox::new(backoff.clone()),
            receipts: Receipts::default(),
            resume: None,
            acks: HashMap::new(),
            unplaced: HashSet::new(),
            waiting: Waiting::default(),
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
        let token = match self.options.token.asked().await {
            Ok(token) => token,
            Err(error) => {
                tracing::warn!(%error, "no token to log in with");
                return Departure::Lost { retry_in: None };
            }
        };
        let opening = Opening::by(self.options.transport, Codec::Json);
        let connection = match Connection::open_with(&self.options.address, &opening).await {
            Ok(connection) => connection,
            Err(error) => {
                tracing::debug!(%error, "no connection");
                let retry_in = match error {
                    // Whatever stands in between may say anything.
                    OpenError::Refused { retry_in, .. } => {
                        retry_in.map(|told| told.min(self.options.backoff.1))
                    }
                    _ => None,
                };
                return Departure::Lost { retry_in };
            }
        };
        let mut session = Session::new(connection, &self.options);
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
        self.waiting.push(Update::Ended(ended));
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

    /// The server has stored a message: its first answer, or a repeat of it. False when a `sync` must tell where its group
    /// begins.
    pub(super) fn acked(&mut self, key: ClientMsgId, sent: Sent) -> bool {
        let was_seen = self.outbox.is_stored(key);
        let Some(send) = self.outbox.finished(key) else { return true };
        let place = match (&sent.conversation, sent.inbox) {
            (Conversation::Group(group), _) => Some((Log::Group(group.clone()), sent.seq.get())),
            (Conversation::User(_), Some(number)) => Some((Log::Inbox, number.get())),
            (Conversation::User(_), None) => None,
        };
        let is_placed = match place {
            // Seen in the log, it was offered then; its group may have been left since, and is not taken up again.
            Some(_) if was_seen => true,
            Some((log, number)) => {
                let message = self.own_message(send, &sent);
                self.places.offer(&log, number, Entry::Own(message), membership::Change::None)
            }
            // Its entry is somewhere in the inbox, perhaps beyond what this client has.
            None => {
                self.unplaced.insert(key);
                true
            }
        };
        self.answer(key, Ok(sent));
        is_placed
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

    fn own_message(&self, send: Send, sent: &Sent) -> Message {
        Message {
            conversation: sent.conversation.clone(),
            seq: sent.seq,
            inbox: sent.inbox,
            message_id: sent.message_id,
            client_msg_id: send.client_msg_id,
            from: self.options.user.clone(),
            sent_at_ms: sent.sent_at_ms,
            content: send.content,
            mentions: send.mentions,
            reply_to: send.reply_to,
        }
    }

    /// Takes in an entry that was pushed or pulled. False when a `sync` must tell where its group begins.
    pub(super) fn offer(&mut self, message: Message) -> bool {
        let Some((log, number)) = place_of(&message) else { return true };
        let key = message.client_msg_id;
        let is_own = message.from == self.options.user
            && (self.unplaced.remove(&key) || self.outbox.get(key).is_some());
        // Seen in the log, it is stored, whatever becomes of its ack.
        if is_own && self.outbox.stored(key) {
            let sent = Sent {
                conversation: message.conversation.clone(),
                seq: message.seq,
                inbox: message.inbox,
                message_id: message.message_id,
                sent_at_ms: message.sent_at_ms,
                duplicate: false,
            };
            self.answer(key, Ok(sent));
        }
        let change = membership::change(&message, &self.options.user);
        let entry = if is_own { Entry::Own(message) } else { Entry::Foreign(message) };
        self.places.offer(&log, number, entry, change)
    }

    pub(super) fn logged_in(&mut self, login_no: LoginNo) {
        self.resume = Some(login_no);
        self.status.send_modify(|status| status.online = Some(login_no));
        self.tell(Update::Online { login_no });
        self.publish_position();
    }

    pub(super) fn learned(&mut self, learned: Learned) {
        if let (Learned::OtherEpoch, Some(epoch)) = (learned, self.places.epoch().cloned()) {
            self.unplaced.clear();
            self.tell(Update::EpochChanged { epoch });
        }
        self.publish_position();
    }

    fn publish_position(&mut self) {
        let position = self.places.position();
        self.status.send_modify(|status| status.position = position);
    }

    /// Takes note that entries of a log before `first` are not to be had.
    pub(super) fn skip_missing(&mut self, log: &Log, first: u64) {
        let after = self.places.at(log).unwrap_or(0);
        if !self.places.skip_to(log, first) {
            return;
        }
        self.tell(match log {
            Log::Inbox => {
                let (after, before) = (InboxSeq::new(after), InboxSeq::new(first));
                Update::Missing { after, before }
            }
            Log::Group(group) => {
                let (after, before) = (Seq::new(after), Seq::new(first));
                Update::MissingInGroup { group: group.clone(), after, before }
            }
        });
    }

    /// Puts an update behind those that wait.
    pub(super) fn tell(&mut self, update: Update) {
        self.waiting.push(update);
    }

    /// Hands updates and entries to the app while it has room; the places advance with what it took.
    pub(super) fn hand_out(&mut self) {
        let mut moved = Vec::new();
        while self.has_updates() {
            let Ok(permit) = self.updates.try_reserve() else { break };
            if let Some(update) = self.waiting.pop() {
                permit.send(update);
                continue;
            }
            match self.places.take() {
                Some(Taken::Entry { log, number, entry }) => {
                    let (message, is_own) = match entry {
                        Entry::Own(message) => (message, true),
                        Entry::Foreign(message) => (message, false),
                    };
                    if membership::change(&message, &self.options.user) == membership::Change::Ends
                    {
                        self.places.left_at(&log, number);
                    }
                    if log == Log::Inbox && message.from != self.options.user {
                        let conversation = message.conversation.clone();
                        self.receipts.has(conversation, message.seq, Instant::now());
                    }
                    moved.push((log, Some(number)));
                    permit.send(if is_own {
                        Update::Sent(message)
                    } else {
                        Update::Received(message)
                    });
                }
                Some(Taken::Over { group, last }) => {
                    moved.push((Log::Group(group.clone()), None));
                    permit.send(Update::GroupLeft { group, last });
                }
                None => break,
            }
        }
        if !moved.is_empty() {
            self.publish_moves(moved);
        }
    }

    /// The same as a whole position anew, without copying the places of hundreds of groups for each message.
    fn publish_moves(&mut self, moved: Vec<(Log, Option<u64>)>) {
        self.status.send_modify(|status| {
            if let Some(position) = &mut status.position {
                moved.into_iter().for_each(|(log, number)| position.moved(log, number));
            }
        });
    }

    pub(super) fn has_updates(&self) -> bool {
        !self.waiting.is_empty() || self.places.has_next()
    }
}

/// The log that an entry belongs to, and its number there.
fn place_of(message: &Message) -> Option<(Log, u64)> {
    match &message.conversation {
        Conversation::Group(group) => Some((Log::Group(group.clone()), message.seq.get())),
        Conversation::User(_) => Some((Log::Inbox, message.inbox?.get())),
    }
}

/// Waits until the app has taken something. Waits for ever once it takes nothing more.
pub(super) async fn room(updates: &mpsc::Sender<Update>) {
    if updates.reserve().await.is_err() {
        std::future::pending::<()>().await;
    }
}
