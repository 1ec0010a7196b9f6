//! One online user on one node: its sessions, its one-to-one sends, what its devices have received and read.
//!
//! Hears from the journals what was written to its inbox and passes it on to its sessions, encoded once. Waits for
//! nothing: look-ups run beside it and come back as messages. Never touches a socket.

mod devices;
mod presence;
mod receipts;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use self::devices::{Admission, Devices};
pub use self::devices::{Decided, Lost};
use self::receipts::{Told, Unreceived, WaitingReceipt};
use crate::actors::asker::{SendVerdict, Submitter};
use crate::actors::draft::Draft;
use crate::actors::engine::{Engine, Shared};
use crate::actors::holds::Held;
use crate::actors::journal::{Append, Destination, Outgoing, RefusalsHeard};
use crate::actors::mailbox::{self, TellError};
use crate::actors::outlet::Outlet;
use crate::actors::registry::{Arrival, Enter, Finished, Idle, UserState};
use crate::actors::session::{Detached, EnterRefused, SessionActor, SessionShut};
use crate::actors::{reads, wire};
use crate::domain::intake::{Ack, Outcome, Refusal, SendHash, SessionNo, Waiter};
use crate::domain::journal::{Life, Owner, Row, Target};
use crate::domain::order;
use crate::domain::sends::{Effect, Input, Pair, Sends};
use crate::ids::{
    AppId, ClientMsgId, Conversation, ConversationNo, GroupId, InboxSeq, LoginNo, MessageId, Seq,
    UserId, UserNo,
};
use crate::limits;
use crate::protocol::{Body, Code, DeliveredBy, ErrorBody, Event};
use crate::store::cursors::Cursors;
use crate::store::pairs::StoredSend;
use crate::store::{StoreError, pairs};

/// A session that has logged in and wants its user's messages.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Attach {
    /// The session.
    pub outlet: Arc<Outlet>,
    /// What the store has it as.
    pub held: Held,
    /// The sessions of the user that stand as of that login, this one included.
    pub standing: Vec<LoginNo>,
    /// The node is stopping: the session is turned away at once.
    pub shut: bool,
}

impl Attach {
    /// Turns the session away; its client tries again.
    pub fn refuse(self) {
        self.outlet.insist(EnterRefused);
    }
}

/// A session is over.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Detach {
    /// The session.
    pub session: SessionNo,
    /// Told when the session is gone, if it wants to know.
    pub confirm: Option<Addr<SessionActor>>,
}

/// The store has decided which sessions of the user stand.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SessionsDecided {
    /// What was decided.
    pub decided: Decided,
    /// Dropped when the sessions that do not stand ack nothing any more.
    pub done: oneshot::Sender<()>,
}

/// The node's lease had run out, and others ended a session in the store meanwhile.
#[derive(Message)]
#[rtype(result = "()")]
pub struct UserSessionLost {
    /// Which.
    pub lost: Lost,
    /// Dropped when it acks nothing any more.
    pub done: oneshot::Sender<()>,
}

/// A session, or a request, passes on a send.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Submit {
    /// The session and the place from which it comes.
    pub waiter: Waiter,
    /// To whom.
    pub to: UserId,
    /// Its key.
    pub key: ClientMsgId,
    /// What is to be stored.
    pub draft: Draft,
    /// Where a request, which has no session here, waits for the verdict.
    pub request: Option<oneshot::Sender<SendVerdict>>,
}

impl Submit {
    /// Answers it without the user; the request comes again. A session's that is lost is submitted again in time.
    pub fn refuse(self, why: Refusal) {
        if let Some(request) = self.request {
            // Nobody waits any more when the request has taken too long.
            let _ = request.send(order::Verdict::Curable(why));
        }
    }
}

/// Which cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptKind {
    /// `message.received`
    Received,
    /// `message.read`
    Read,
}

/// A device has received or read.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Receipt {
    /// The session.
    pub session: SessionNo,
    /// The command to answer.
    pub command: u64,
    /// Which cursor.
    pub kind: ReceiptKind,
    /// The pair or group.
    pub conversation: Conversation,
    /// Up to which seq.
    pub seq: Seq,
}

/// What a journal has done: what became of the user's own sends, and what is new in its inbox, in the order of the log.
#[derive(Default, Message)]
#[rtype(result = "()")]
pub struct Written {
    /// The journal.
    pub journal: usize,
    /// Outcomes of the user's sends.
    pub settlements: Vec<Settlement>,
    /// New entries of the inbox.
    pub entries: Vec<Entry>,
}

/// What became of a send.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// To whom it went.
    pub to: UserId,
    /// The pair.
    pub pair: Pair,
    /// Its key.
    pub key: ClientMsgId,
    /// Which start of the sender's actor sent it.
    pub life: Life,
    /// What became of it.
    pub outcome: Outcome,
}

/// A committed message, on its way to one owner's devices.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// The pair.
    pub conversation: ConversationNo,
    /// Who sent it.
    pub sender: UserNo,
    /// Its place in the pair.
    pub seq: Seq,
    /// Its place in the owner's inbox.
    pub inbox: InboxSeq,
    /// Its id.
    pub message_id: MessageId,
    /// Its sender's key.
    pub key: ClientMsgId,
    /// The sender.
    pub from: UserId,
    /// The other side.
    pub to: UserId,
    /// What it says.
    pub body: Arc<Body>,
    /// The session that gets the ack instead.
    pub origin: Option<SessionNo>,
}

/// Cursors of the user, or of the other side of one of its pairs, were raised or refused.
#[derive(Debug, Clone, Message, Serialize, Deserialize)]
#[rtype(result = "()")]
pub struct CursorsMoved {
    /// The pair or group.
    pub conversation: ConversationNo,
    /// Whose cursors.
    pub reader: UserId,
    /// The conversation, as whoever is told names it.
    pub of: Conversation,
    /// How they stood.
    pub before: Cursors,
    /// How they stand, or why not.
    pub outcome: Result<Cursors, Refusal>,
    /// The owner's latest ticket that this answers.
    pub ticket: Option<u64>,
}

/// Something could not be told: all clients must sync.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SyncNeeded;

/// The epoch of the store has changed: what it had is no longer proof.
#[derive(Message)]
#[rtype(result = "()")]
pub struct EpochOver;

/// The node is about to stop.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Shut;

/// The registry has taken the user out of the directory: end.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Finish;

#[derive(Message)]
#[rtype(result = "()")]
struct LookedUp {
    to: UserId,
    found: Result<Option<Pair>, StoreError>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Revisited {
    session: SessionNo,
    to: UserId,
    pair: Pair,
    stored: StoredSend,
}

#[derive(Message)]
#[rtype(result = "()")]
struct IdleCheckDue;

#[derive(Message)]
#[rtype(result = "()")]
struct ReplacementOverdue(SessionNo);

/// How often a user looks whether it is still needed.
const IDLE_CHECK_EVERY: Duration = Duration::from_secs(10);

/// The actor of one user.
pub struct UserActor {
    engine: Engine,
    no: UserNo,
    id: UserId,
    app: AppId,
    life: Life,
    state: Arc<UserState>,
    devices: Devices,
    sends: Sends<(SessionNo, Draft)>,
    effects: Vec<Effect<(SessionNo, Draft)>>,
    receipts: HashMap<ConversationNo, Vec<WaitingReceipt>>,
    /// The numbers of groups in which the user has read lately.
    groups: HashMap<GroupId, ConversationNo>,
    unreceived: Unreceived,
    told: Told,
    /// Requests that wait for the verdict on their send.
    requests: HashMap<SessionNo, oneshot::Sender<SendVerdict>>,
    tickets: u64,
    idle_since: Instant,
    /// Set once the registry was asked to end this actor.
    leaving: bool,
    /// What came since.
    late: Vec<Arrival>,
}

impl UserActor {
    /// Starts a user on a thread.
    pub fn start_on(
        arbiter: &ArbiterHandle,
        engine: Engine,
        no: UserNo,
        id: UserId,
        app: AppId,
        state: Arc<UserState>,
    ) -> Addr<Self> {
        mailbox::start_on(arbiter, limits::USER_MAILBOX, move || {
            let window_ms = engine.shared().settings.dedup_window_ms();
            Self {
                life: engine.shared().next_life(),
                engine,
                no,
                id,
                app,
                devices: Devices::new(state.clone()),
                state,
                sends: Sends::new(window_ms),
                effects: Vec::new(),
                receipts: HashMap::new(),
                groups: HashMap::new(),
                unreceived: Unreceived::default(),
                told: Told::default(),
                requests: HashMap::new(),
                tickets: 0,
                idle_since: Instant::now(),
                leaving: false,
                late: Vec::new(),
            }
        })
    }
}

impl Actor for UserActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(IDLE_CHECK_EVERY, |_, ctx| ctx.notify(IdleCheckDue));
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.devices.end_all();
        self.state.set_outlets(Vec::new());
        self.hide_devices();
        let late = std::mem::take(&mut self.late).into_iter().map(|arrival| Enter {
            engine: self.engine.clone(),
            user: self.no,
            id: self.id.clone(),
            app: self.app,
            near: None,
            arrival,
        });
        let finished = Finished { user: self.no, late: late.collect() };
        mailbox::insist(&self.shared().registry, finished);
    }
}

impl Handler<Attach> for UserActor {
    type Result = ();

    fn handle(&mut self, attach: Attach, ctx: &mut Self::Context) {
        if attach.shut {
            attach.outlet.insist(SessionShut);
            return;
        }
        if self.leaving {
            // The registry is about to take this actor out of the directory; the next one lets the session in.
            self.late.push(Arrival::Session(attach));
            return;
        }
        let session = attach.outlet.no;
        let now = self.shared().node.now();
        if self.devices.attach(attach, now, &ctx.address()) == Admission::Waits {
            let overdue = ReplacementOverdue(session);
            ctx.run_later(limits::REPLACED_WITHIN, |_, ctx| ctx.notify(overdue));
        }
        self.sessions_moved();
    }
}

impl Handler<Detach> for UserActor {
    type Result = ();

    fn handle(&mut self, detach: Detach, ctx: &mut Self::Context) {
        let Detach { session, confirm } = detach;
        self.decide(Input::Ended(session), ctx);
        let held = self.devices.detach(session, &ctx.address());
        self.sessions_moved();
        if let Some(confirm) = confirm {
            actix::spawn(async move {
                // Whoever logs out may log in elsewhere at once, where this session must not be in the way.
                if let Some(held) = held {
                    held.let_go().await;
                }
                mailbox::insist(&confirm, Detached);
            });
        }
    }
}

impl Handler<SessionsDecided> for UserActor {
    type Result = ();

    fn handle(&mut self, decided: SessionsDecided, _: &mut Self::Context) {
        let SessionsDecided { decided, done } = decided;
        let now = self.shared().node.now();
        self.devices.decided(decided, now);
        drop(done);
        self.sessions_moved();
    }
}

impl Handler<UserSessionLost> for UserActor {
    type Result = ();

    fn handle(&mut self, UserSessionLost { lost, done }: UserSessionLost, _: &mut Self::Context) {
        let now = self.shared().node.now();
        self.devices.lose(&lost, now);
        drop(done);
        self.sessions_moved();
    }
}

impl Handler<ReplacementOverdue> for UserActor {
    type Result = ();

    fn handle(&mut self, ReplacementOverdue(no): ReplacementOverdue, ctx: &mut Self::Context) {
        self.devices.stop_waiting(no, &ctx.address());
        self.sessions_moved();
    }
}

impl Handler<Submit> for UserActor {
    type Result = ();

    fn handle(&mut self, submit: Submit, ctx: &mut Self::Context) {
        if self.leaving && submit.request.is_some() {
            self.late.push(Arrival::Request(submit));
            return;
        }
        let Submit { waiter, to, key, draft, request } = submit;
        if let Some(request) = request {
            self.requests.insert(waiter.session, request);
        }
        let hash = draft.hash;
        let payload = (waiter.session, draft);
        self.decide(Input::Submitted { waiter, to, key, hash, payload }, ctx);
    }
}

impl Handler<LookedUp> for UserActor {
    type Result = ();

    fn handle(&mut self, LookedUp { to, found }: LookedUp, ctx: &mut Self::Context) {
        let input = match found {
            Ok(pair) => Input::Found { to, pair },
            Err(error) => {
                tracing::debug!(%error, "a peer could not be looked up");
                Input::NotLookedUp { to, why: Refusal::Unavailable }
            }
        };
        self.decide(input, ctx);
    }
}

impl Handler<Written> for UserActor {
    type Result = ();

    fn handle(&mut self, written: Written, ctx: &mut Self::Context) {
        let mut server_receipts: HashMap<ConversationNo, Settlement> = HashMap::new();
        let mut refused = 0;
        for settlement in written.settlements {
            let Settlement { to, pair, key, life, outcome } = settlement.clone();
            if matches!(outcome, Outcome::Refused(_)) {
                if life != self.life {
                    // A former actor's row. This one's own row of the same key has an outcome of its own.
                    continue;
                }
                refused += 1;
            }
            self.decide(Input::Settled { to, key, outcome }, ctx);
            if matches!(outcome, Outcome::Stored { .. })
                && pair.peer != self.no
                && !self.shared().is_online(pair.peer)
            {
                // The last of a pair is the highest.
                server_receipts.insert(pair.no, settlement);
            }
        }
        if refused > 0 {
            // Behind all that was sent to the journal before this was heard of.
            let heard = RefusalsHeard { owner: Owner::User(self.no), life: self.life, refused };
            mailbox::insist(&self.shared().journals[written.journal], heard);
        }
        for Settlement { to, pair, outcome, .. } in server_receipts.into_values() {
            if let Outcome::Stored { seq, .. } = outcome {
                self.answer_for(to, pair, seq);
            }
        }
        for entry in written.entries {
            self.state.saw_inbox(entry.inbox);
            self.devices.push_entry(&self.id, &entry);
            if entry.sender != self.no {
                self.unreceived.pushed(&entry);
            }
        }
        self.answer_for_unreceived();
        self.look_behind();
    }
}

impl Handler<Revisited> for UserActor {
    type Result = ();

    fn handle(&mut self, revisited: Revisited, _: &mut Self::Context) {
        let Revisited { session, to, pair, stored } = revisited;
        let StoredSend { entry, by_device, by_server } = stored;
        let delivered =
            |seq, by| Event::Delivered { conversation: wire::with(&to), seq, user: to.clone(), by };
        if by_device >= entry.seq {
            self.devices.push_to(session, delivered(by_device, DeliveredBy::Device));
            return;
        }
        if by_server >= entry.seq {
            self.devices.push_to(session, delivered(by_server, DeliveredBy::Server));
        } else if !self.shared().is_online(pair.peer) {
            self.answer_for(to.clone(), pair, entry.seq);
        }
        // No device of the receiver has acknowledged it: push it again, to all of them; they ignore what they know.
        let Some(body) = wire::body(&entry.body) else { return };
        let inbox = if pair.peer.get() <= self.no.get() {
            entry.inbox_low
        } else {
            entry.inbox_high.unwrap_or_default()
        };
        let again = Entry {
            conversation: pair.no,
            sender: self.no,
            seq: entry.seq,
            inbox,
            message_id: entry.message_id,
            key: entry.key,
            from: self.id.clone(),
            to,
            body: Arc::new(body),
            origin: None,
        };
        let written = Written { entries: vec![again], ..Written::default() };
        self.shared().directory.written(pair.peer, written);
    }
}

impl Handler<SyncNeeded> for UserActor {
    type Result = ();

    fn handle(&mut self, _: SyncNeeded, _: &mut Self::Context) {
        self.devices.must_sync();
    }
}

impl Handler<EpochOver> for UserActor {
    type Result = ();

    fn handle(&mut self, _: EpochOver, ctx: &mut Self::Context) {
        self.told = Told::default();
        self.decide(Input::EpochChanged, ctx);
    }
}

impl Handler<Shut> for UserActor {
    type Result = ();

    fn handle(&mut self, _: Shut, _: &mut Self::Context) {
        self.devices.shut();
    }
}

impl Handler<Finish> for UserActor {
    type Result = ();

    fn handle(&mut self, _: Finish, ctx: &mut Self::Context) {
        // It asked for this with nothing under way, and without sessions nothing has come since.
        ctx.stop();
    }
}

impl Handler<IdleCheckDue> for UserActor {
    type Result = ();

    fn handle(&mut self, _: IdleCheckDue, ctx: &mut Self::Context) {
        for session in self.devices.take_gone() {
            self.decide(Input::Ended(session), ctx);
        }
        self.sessions_moved();
        self.look_behind();
        let needed =
            !self.devices.is_empty() || !self.sends.is_settled() || !self.receipts.is_empty();
        if needed {
            self.idle_since = Instant::now();
        } else if self.idle_since.elapsed() >= limits::USER_LINGER && !self.leaving {
            // Full: the next check asks again.
            self.leaving = mailbox::tell(&self.shared().registry, Idle(self.no)).is_ok();
        }
    }
}

impl UserActor {
    fn shared(&self) -> &Shared {
        self.engine.shared()
    }

    fn decide(&mut self, input: Input<(SessionNo, Draft)>, ctx: &mut Context<Self>) {
        let mut effects = std::mem::take(&mut self.effects);
        self.sends.decide(self.shared().node.now(), input, &mut effects);
        let mut refused = Vec::new();
        for effect in effects.drain(..) {
            match effect {
                Effect::Tell { waiter, to, key, verdict } => {
                    self.tell_verdict(waiter, to, key, verdict, ctx);
                }
                Effect::LookUp(to) => self.look_up(to, ctx),
                // What follows one that was refused must not overtake it, even if there is room again.
                Effect::Append { to, key, .. }
                    if refused.iter().any(|(other, _, _)| *other == to) =>
                {
                    refused.push((to, key, Refusal::Busy));
                }
                Effect::Append { pair, to, key, hash, payload: (origin, draft) } => {
                    let row = self.row(pair, &to, key, hash, origin, draft);
                    match mailbox::tell(self.shared().journal_of_pair(pair.no), Append(row)) {
                        Ok(()) => {}
                        Err(TellError::Full) => refused.push((to, key, Refusal::Busy)),
                        Err(TellError::Gone) => refused.push((to, key, Refusal::Unavailable)),
                    }
                }
            }
        }
        self.effects = effects;
        for (to, key, why) in refused {
            self.decide(Input::Settled { to, key, outcome: Outcome::Refused(why) }, ctx);
        }
    }

    fn row(
        &self,
        pair: Pair,
        to: &UserId,
        key: ClientMsgId,
        hash: SendHash,
        origin: SessionNo,
        draft: Draft,
    ) -> Row<Outgoing> {
        Row {
            target: Target::Pair {
                conversation: pair.no,
                low: self.no.min(pair.peer),
                high: self.no.max(pair.peer),
            },
            sender: self.no,
            life: self.life,
            key,
            hash,
            body_bytes: draft.stored.len(),
            payload: Outgoing {
                from: self.id.clone(),
                to: Destination::User(to.clone()),
                origin: Some(origin),
                body: draft.body,
                stored: draft.stored,
            },
        }
    }

    fn tell_verdict(
        &mut self,
        waiter: Waiter,
        to: UserId,
        key: ClientMsgId,
        verdict: order::Verdict<Ack, Refusal>,
        ctx: &mut Context<Self>,
    ) {
        let Waiter { session, place } = waiter;
        let submitter = match (self.requests.remove(&session), self.devices.get(session)) {
            (Some(request), _) => Submitter::Request(request),
            (None, Some(slot)) => Submitter::Session(slot.outlet.clone()),
            (None, None) => return,
        };
        if let order::Verdict::Stored(Ack { duplicate: true, seq, .. }) = verdict
            && let Some(pair) = self.sends.pair(&to)
            && pair.peer != self.no
        {
            self.revisit(session, to.clone(), pair, seq, ctx);
        }
        submitter.tell(wire::with(&to), place, key, verdict);
    }

    fn look_up(&mut self, to: UserId, ctx: &mut Context<Self>) {
        let (engine, app, no) = (self.engine.clone(), self.app, self.no);
        let look_up = async move {
            let found = reads::bounded(pairs::open(&engine.shared().pool, app, no, &to)).await;
            LookedUp { to, found }
        };
        ctx.spawn(look_up.into_actor(self).map(|found, _, ctx| ctx.notify(found)));
    }

    /// A stored send came again: its second ack, and its push, may have been lost.
    fn revisit(
        &self,
        session: SessionNo,
        to: UserId,
        pair: Pair,
        seq: Seq,
        ctx: &mut Context<Self>,
    ) {
        let engine = self.engine.clone();
        let read = async move {
            let pool = &engine.shared().pool;
            reads::bounded(pairs::stored_send(pool, pair.no, seq, pair.peer)).await
        };
        ctx.spawn(read.into_actor(self).map(move |stored, _, ctx| match stored {
            Ok(Some(stored)) => ctx.notify(Revisited { session, to, pair, stored }),
            Ok(None) => tracing::error!(pair = %pair.no, %seq, "an acked entry is not in its log"),
            // The sender repeats until it has its second ack.
            Err(error) => tracing::debug!(%error, "a repeat could not be looked up"),
        }));
    }

    fn look_behind(&self) {
        if self.state.take_behind() {
            self.devices.must_sync();
        }
    }

    fn sessions_moved(&mut self) {
        self.show_devices();
        self.answer_for_unreceived();
    }
}

/// What is said when a session's mailbox for its user is full.
pub(super) fn busy() -> ErrorBody {
    ErrorBody::new(Code::Busy, "too much waits for this user").retry_after(limits::RETRY_AFTER)
}
