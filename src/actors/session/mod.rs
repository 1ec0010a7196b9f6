//! One connection's session: checks what comes in, relays it to whoever owns the matter, and what comes back to the socket.
//!
//! Knows no transport: frames come in and go out through an adapter, one batch at a time, so that a socket that does not
//! read costs a bounded queue here and nothing anywhere else. Knows nothing of SQL.

mod account;
mod groups;
mod handle;
mod login;
mod presence;
mod sends;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use actix::prelude::*;
use bytes::Bytes;
use futures_util::future::{LocalBoxFuture, ready};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::oneshot;

pub use self::handle::{Handed, SessionHandle, Transport};
pub use self::sends::Verdict;
use crate::actors::draft::Draft;
use crate::actors::engine::{Engine, Shared};
use crate::actors::mailbox::{self, TellError};
use crate::actors::outlet::Outlet;
use crate::actors::reads::{self, Identity};
use crate::actors::user::{self, Detach, Receipt, ReceiptKind, UserActor};
use crate::actors::{errors, wire};
use crate::domain::group::{ChangeRefused, Changed};
use crate::domain::intake::{Ack, SessionNo};
use crate::domain::login_policy::EndedBy;
use crate::domain::order::{Effect, Order, Taken};
use crate::domain::outbound::{Outbound as Queue, Queued};
use crate::ids::{Conversation, DeviceId, GroupId, InboxSeq, Seq, UnixMs};
use crate::limits;
use crate::protocol::codec::{Codec, Inbound, Outbound};
use crate::protocol::framing::Dialect;
use crate::protocol::{
    CloseCode, Code, Command, CursorCommand, CursorReply, Empty, ErrorBody, Event, GroupSeqs,
    Reply, Sync,
};

/// A frame from the peer.
#[derive(Message)]
#[rtype(result = "()")]
struct Frame(Bytes);

/// The peer speaks this codec.
#[derive(Message)]
#[rtype(result = "()")]
struct Speak(Codec);

/// The peer has broken the transport's rules.
#[derive(Message)]
#[rtype(result = "()")]
struct Break(CloseCode);

/// Something from the peer that is no frame.
#[derive(Message)]
#[rtype(result = "()")]
struct Heard;

/// What was handed to the adapter is on its way.
#[derive(Message)]
#[rtype(result = "()")]
struct TransportReady;

/// The connection is over.
#[derive(Message)]
#[rtype(result = "()")]
struct TransportGone;

/// The user has let the session in.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Attached {
    /// The user.
    pub user: Addr<UserActor>,
}

/// The user could not let the session in.
#[derive(Message)]
#[rtype(result = "()")]
pub struct EnterRefused;

/// The user no longer knows the session.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Detached;

/// What became of a receipt.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ReceiptDone {
    /// The command.
    pub command: u64,
    /// The conversation.
    pub conversation: Conversation,
    /// The cursor as it now stands, or why not.
    pub outcome: Result<Seq, ErrorBody>,
}

/// What became of a change of a group.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ChangeDone {
    /// The command.
    pub command: u64,
    /// The group.
    pub group: GroupId,
    /// What came of it.
    pub outcome: Result<Changed, ChangeRefused>,
}

/// What the relays of one thread know of groups that a ping named.
#[derive(Message)]
#[rtype(result = "()")]
pub struct HeadsKnown {
    /// The command.
    pub command: u64,
    /// Heads beyond what the client has.
    pub behind: GroupSeqs,
}

/// Events for the client, encoded.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Push {
    /// Their frames, which travel as one.
    pub frames: Bytes,
    /// How many there are.
    pub events: usize,
    /// The inbox number that they carry.
    pub inbox: Option<InboxSeq>,
}

/// Something could not be told: the client must sync.
#[derive(Message)]
#[rtype(result = "()")]
pub struct NeedSync;

/// The session is ended by a decision.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Kick {
    /// Why.
    pub why: EndedBy,
    /// By which device.
    pub by: Option<DeviceId>,
    /// When.
    pub at: UnixMs,
}

/// The node is about to stop.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SessionShut;

/// Others took this node for gone and ended the session in the store. Its client comes back, and hears there what became of
/// it.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SessionLost;

#[derive(Message)]
#[rtype(result = "()")]
struct ReadDone {
    command: u64,
    outcome: Result<Reply, ErrorBody>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct ClockDue;

/// What the user knows the session by.
struct Membership {
    /// Known once the user has let the session in.
    user: Option<Addr<UserActor>>,
}

enum Phase {
    /// No login yet.
    Fresh,
    /// The token is being checked.
    Checking { command: u64, ask: Arc<Sync> },
    /// The user is being told, then the heads are read.
    Entering { command: u64, who: Arc<Identity>, ask: Arc<Sync> },
    /// Logged in.
    Open { who: Arc<Identity>, user: Addr<UserActor> },
    /// `logout` was asked; the user is being told.
    LeavingFor { command: u64, since: Instant },
    /// Nothing that comes in counts any more; what waits goes out, then the connection is closed.
    Closing { code: CloseCode, since: Instant, told: bool },
}

/// The actor of one connection.
pub struct SessionActor {
    engine: Engine,
    no: SessionNo,
    transport: Box<dyn Transport>,
    dialect: Dialect,
    phase: Phase,
    /// From the moment at which the user is told of the session until it is told that the session is over.
    membership: Option<Membership>,
    outbound: Queue,
    /// Since when the adapter has frames that it has not yet taken care of.
    writing_since: Option<Instant>,
    in_flight: usize,
    pages: usize,
    /// The adapter waits here until there is room for a frame.
    parked: Option<oneshot::Sender<()>>,
    /// How others reach it, from the login on until its user is told that it is over.
    outlet: Option<Arc<Outlet>>,
    /// Whether it ever watched anyone.
    watches: bool,
    /// Changes of groups that are not yet answered.
    changes: Vec<groups::WaitingChange>,
    pings: Vec<groups::WaitingPing>,
    order: Order<Conversation, Draft>,
    effects: Vec<Effect<Conversation, Draft, Ack, ErrorBody>>,
    /// Whether acks of sends may be among what waits for the adapter.
    has_acks: bool,
    /// From the login on.
    token: Option<account::Token>,
    send_rate: DefaultDirectRateLimiter,
    behind: Arc<AtomicBool>,
    known_inbox: InboxSeq,
    opened: Instant,
    heard: Instant,
    /// Up to which sign of life the board was told of it.
    shown: Instant,
}

impl SessionActor {
    /// Starts a session on the caller's thread.
    pub fn open(engine: &Engine, transport: Box<dyn Transport>, dialect: Dialect) -> SessionHandle {
        let now = Instant::now();
        let settings = engine.shared().settings;
        let per_second = NonZeroU32::new(settings.sends_per_s).unwrap_or(NonZeroU32::MIN);
        let burst = NonZeroU32::new(settings.sends_burst).unwrap_or(NonZeroU32::MIN);
        let engine = engine.clone();
        let address = Self::create(|ctx| {
            ctx.set_mailbox_capacity(limits::SESSION_MAILBOX);
            Self {
                no: engine.shared().next_session(),
                engine,
                transport,
                dialect,
                phase: Phase::Fresh,
                membership: None,
                outbound: Queue::default(),
                writing_since: None,
                in_flight: 0,
                pages: 0,
                parked: None,
                outlet: None,
                watches: false,
                changes: Vec::new(),
                pings: Vec::new(),
                order: Order::default(),
                effects: Vec::new(),
                has_acks: false,
                token: None,
                send_rate: RateLimiter::direct(Quota::per_second(per_second).allow_burst(burst)),
                behind: Arc::new(AtomicBool::new(false)),
                known_inbox: InboxSeq::ZERO,
                opened: now,
                heard: now,
                shown: now,
            }
        });
        SessionHandle { address }
    }
}

impl Actor for SessionActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.shared().directory.session_began();
        ctx.run_interval(limits::SESSION_TICK, |_, ctx| ctx.notify(ClockDue));
        // What came together leaves together.
        ctx.spawn(mailbox::behind_mailbox(|session: &mut Self, _| session.pump()));
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.leave(None);
        self.shared().directory.session_ended();
    }
}

impl Handler<Frame> for SessionActor {
    type Result = LocalBoxFuture<'static, ()>;

    fn handle(&mut self, Frame(frame): Frame, ctx: &mut Self::Context) -> Self::Result {
        self.heard = Instant::now();
        if !matches!(self.phase, Phase::Closing { .. } | Phase::LeavingFor { .. }) {
            self.receive(&frame, ctx);
            self.pump();
        }
        if self.has_room() {
            return Box::pin(ready(()));
        }
        let (room, wait) = oneshot::channel();
        self.parked = Some(room);
        Box::pin(async move {
            // Dropped when the session ends; there is nothing to wait for then.
            let _ = wait.await;
        })
    }
}

impl Handler<Speak> for SessionActor {
    type Result = ();

    fn handle(&mut self, Speak(codec): Speak, _: &mut Self::Context) {
        self.dialect.codec = codec;
    }
}

impl Handler<Break> for SessionActor {
    type Result = ();

    fn handle(&mut self, Break(code): Break, _: &mut Self::Context) {
        self.close(code);
        self.pump();
    }
}

impl Handler<Heard> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: Heard, _: &mut Self::Context) {
        self.heard = Instant::now();
    }
}

impl Handler<TransportReady> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: TransportReady, _: &mut Self::Context) {
        self.writing_since = None;
        self.pump();
    }
}

impl Handler<TransportGone> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: TransportGone, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

impl Handler<Detached> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: Detached, _: &mut Self::Context) {
        if let Phase::LeavingFor { command, .. } = self.phase {
            self.reply(command, Ok(Reply::Empty(Empty {})));
            self.phase = closing(CloseCode::Normal);
            self.pump();
        }
    }
}

impl Handler<ReceiptDone> for SessionActor {
    type Result = ();

    fn handle(&mut self, done: ReceiptDone, _: &mut Self::Context) {
        let ReceiptDone { command, conversation, outcome } = done;
        let outcome = outcome.map(|seq| Reply::Cursor(CursorReply { conversation, seq }));
        self.reply(command, outcome);
    }
}

impl Handler<Push> for SessionActor {
    type Result = ();

    fn handle(&mut self, Push { frames, events, inbox }: Push, _: &mut Self::Context) {
        self.known_inbox = self.known_inbox.max(inbox.unwrap_or_default());
        if let Queued::Collapsed = self.outbound.events(frames, events) {
            self.say_sync_needed();
        }
        self.look_behind();
    }
}

impl Handler<NeedSync> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: NeedSync, _: &mut Self::Context) {
        self.fall_behind();
        self.pump();
    }
}

impl Handler<Kick> for SessionActor {
    type Result = ();

    fn handle(&mut self, Kick { why, by, at }: Kick, _: &mut Self::Context) {
        match self.phase {
            // Refused at its login, or ended by an earlier decision: it holds no acks, and is told why already.
            Phase::Closing {
                code: CloseCode::Kicked | CloseCode::Revoked | CloseCode::Banned,
                ..
            } => return self.pump(),
            // One that is closing for another reason still holds acks that must not go out.
            Phase::Closing { .. } => {
                self.outbound.clear();
                return self.pump();
            }
            _ => self.outbound.clear(),
        }
        tracing::info!(session = self.no.0, ?why, "ended by a decision");
        self.unsubscribe();
        if let Some(reason) = wire::kick_reason(why) {
            self.notice(Event::Kicked { reason, by, at_ms: at });
        }
        self.close(match why {
            EndedBy::Replaced | EndedBy::Policy | EndedBy::Kick => CloseCode::Kicked,
            EndedBy::Revocation => CloseCode::Revoked,
            EndedBy::Deactivation => CloseCode::Banned,
        });
        self.pump();
    }
}

impl Handler<SessionShut> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: SessionShut, _: &mut Self::Context) {
        self.notice(Event::Draining { reconnect_after_ms: reconnect_after_ms() });
        self.close(CloseCode::Draining);
        self.pump();
    }
}

impl Handler<SessionLost> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: SessionLost, _: &mut Self::Context) {
        // Acks may be among it.
        self.outbound.clear();
        self.unsubscribe();
        self.close(CloseCode::Internal);
        self.pump();
    }
}

impl Handler<ReadDone> for SessionActor {
    type Result = ();

    fn handle(&mut self, ReadDone { command, outcome }: ReadDone, _: &mut Self::Context) {
        self.pages = self.pages.saturating_sub(1);
        self.reply(command, outcome);
        self.pump();
    }
}

impl Handler<ClockDue> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: ClockDue, _: &mut Self::Context) {
        let now = Instant::now();
        self.renew_presence(now);
        if let Phase::Closing { since, .. } = self.phase {
            if now.duration_since(since) >= limits::CLOSE_WITHIN {
                self.transport.cut();
            }
            return;
        }
        if matches!(self.phase, Phase::Fresh) && self.shared().directory.is_draining() {
            // The others hear it from their users.
            self.notice(Event::Draining { reconnect_after_ms: reconnect_after_ms() });
            self.close(CloseCode::Draining);
        } else if matches!(self.phase, Phase::Fresh)
            && now.duration_since(self.opened) >= limits::LOGIN_WITHIN
        {
            self.close(CloseCode::NoLogin);
        } else if now.duration_since(self.heard) >= limits::IDLE_AFTER {
            self.close(CloseCode::Silent);
        } else if let Phase::LeavingFor { since, .. } = self.phase
            && now.duration_since(since) >= limits::CLOSE_WITHIN
        {
            // Its user's actor has panicked and will not say that the session is gone.
            self.close(CloseCode::Internal);
        } else if self
            .writing_since
            .is_some_and(|since| now.duration_since(since) >= limits::WRITE_WITHIN)
        {
            tracing::info!(session = self.no.0, "closed, its peer reads too slowly");
            metrics::counter!("rookery_slow_readers_total").increment(1);
            // It reads the word to sync and why it was closed if it goes on reading at all.
            self.outbound.collapse();
            self.close(CloseCode::TooSlow);
        } else if let Phase::Open { user, .. } = &self.phase
            && !user.connected()
        {
            // Its user's actor has panicked; the client comes back to a fresh one.
            self.close(CloseCode::Internal);
        } else {
            self.order(|order, now, effects| order.tick(now, effects));
            self.look_awaited(Taken::Yes);
            self.give_up_changes(now);
            self.look_behind();
            self.look_at_token();
        }
        self.pump();
    }
}

impl SessionActor {
    fn shared(&self) -> &Shared {
        self.engine.shared()
    }

    /// Whether another frame may be read.
    fn has_room(&self) -> bool {
        match self.phase {
            // What comes with the login waits for it.
            Phase::Checking { .. } | Phase::Entering { .. } => false,
            // What comes now is thrown away, and reading it lets the close through.
            Phase::Closing { .. } | Phase::LeavingFor { .. } => true,
            Phase::Fresh | Phase::Open { .. } => {
                self.in_flight < limits::IN_FLIGHT
                    && self.pages < limits::PAGES_AT_ONCE
                    && self.outbound.bytes() < limits::OUTBOUND_BYTES / 4
            }
        }
    }

    fn receive(&mut self, frame: &[u8], ctx: &mut Context<Self>) {
        self.in_flight += 1;
        let Inbound { id, command } = match self.dialect.codec.decode(frame) {
            Ok(inbound) => inbound,
            Err(rejected) => {
                self.send_frame(&Outbound::Error { re: rejected.re, error: rejected.error });
                return;
            }
        };
        let who = match (&self.phase, &command) {
            (Phase::Fresh, Command::Login(_)) => None,
            (Phase::Open { .. }, Command::Login(_)) => {
                let error = ErrorBody::new(Code::BadRequest, "this session is logged in already");
                return self.reply(id, Err(error.field("cmd")));
            }
            (Phase::Open { who, user }, _) => Some((who.clone(), user.clone())),
            _ => {
                let error = ErrorBody::new(Code::NotLoggedIn, "the first command is login");
                return self.reply(id, Err(error));
            }
        };
        if let Some(error) = self.token_refuses(&command) {
            // What is sent meanwhile is refused as by a rate: it keeps its order, and comes again.
            return self.refuse(id, command, error);
        }
        match (command, who) {
            (Command::Login(login), _) => self.log_in(id, *login, ctx),
            (_, None) => {}
            (Command::Logout(_), Some(_)) => {
                self.leave(Some(ctx.address()));
                self.phase = Phase::LeavingFor { command: id, since: Instant::now() };
            }
            (Command::Ping(ping), Some((who, _))) => self.ping(id, ping, who.app),
            (Command::Sync(ask), Some((who, _))) => {
                self.outbound.synced();
                self.read(id, ctx, move |engine| async move {
                    reads::sync(&engine, &who, &ask).await.map(Reply::Synced)
                });
            }
            (Command::Send(send), Some(_)) => self.send(id, *send),
            (Command::Received(cursor), Some((_, user))) => {
                self.receipt(id, ReceiptKind::Received, cursor, &user);
            }
            (Command::Read(cursor), Some((_, user))) => {
                self.receipt(id, ReceiptKind::Read, cursor, &user);
            }
            (Command::Inbox(ask), Some((who, _))) => {
                self.read(id, ctx, move |engine| async move {
                    reads::inbox(&engine, &who, ask).await.map(Reply::Inbox)
                });
            }
            (Command::History(ask), Some((who, _))) => {
                self.read(id, ctx, move |engine| async move {
                    reads::history(&engine, who.reader(), ask).await.map(Reply::History)
                });
            }
            (Command::ConversationList(ask), Some((who, _))) => {
                self.read(id, ctx, move |engine| async move {
                    reads::conversations(&engine, &who, ask).await.map(Reply::Conversations)
                });
            }
            (
                command
                @ (Command::TokenRenew(_) | Command::DeviceList(_) | Command::DeviceKick(_)),
                Some((who, _)),
            ) => self.account_command(id, command, who, ctx),
            (
                command @ (Command::FriendAdd(_)
                | Command::FriendRemove(_)
                | Command::FriendList(_)
                | Command::PresenceSet(_)
                | Command::PresenceGet(_)
                | Command::PresenceWatch(_)
                | Command::PresenceUnwatch(_)),
                Some((who, _)),
            ) => self.presence_command(id, command, who, ctx),
            (command, Some((who, _))) => self.group_command(id, command, who, ctx),
        }
    }

    fn receipt(
        &mut self,
        command: u64,
        kind: ReceiptKind,
        cursor: CursorCommand,
        user: &Addr<UserActor>,
    ) {
        let CursorCommand { conversation, seq } = cursor;
        if kind == ReceiptKind::Received && matches!(conversation, Conversation::Group(_)) {
            let message = "expected user: and a user id; groups have no receipts of delivery";
            let error = ErrorBody::new(Code::BadRequest, message).field("conversation");
            return self.reply(command, Err(error));
        }
        let receipt = Receipt { session: self.no, command, kind, conversation, seq };
        match mailbox::tell(user, receipt) {
            Ok(()) => {}
            Err(TellError::Full) => self.reply(command, Err(user::busy())),
            Err(TellError::Gone) => self.reply(command, Err(errors::unavailable())),
        }
    }

    fn read<F>(
        &mut self,
        command: u64,
        ctx: &mut Context<Self>,
        read: impl FnOnce(Engine) -> F + 'static,
    ) where
        F: Future<Output = Result<Reply, ErrorBody>> + 'static,
    {
        self.pages += 1;
        let engine = self.engine.clone();
        let read = async move { ReadDone { command, outcome: read(engine).await } };
        ctx.spawn(read.into_actor(self).map(|done, _, ctx| ctx.notify(done)));
    }

    fn reply(&mut self, re: u64, outcome: Result<Reply, ErrorBody>) {
        let frame = match outcome {
            Ok(ok) => Outbound::Ok { re, ok },
            Err(error) => Outbound::Error { re: Some(re), error },
        };
        self.send_frame(&frame);
    }

    fn send_frame(&mut self, frame: &Outbound) {
        if let Outbound::Error { error, .. } = frame {
            let code = error.code.as_str();
            metrics::counter!("rookery_errors_total", "code" => code).increment(1);
        }
        match wire::encode(self.dialect, frame) {
            Some(frame) => self.outbound.reply(frame),
            // A command that cannot be answered ends in a close.
            None => self.close(CloseCode::Internal),
        }
    }

    fn notice(&mut self, event: Event) {
        if let Some(frame) = wire::encode(self.dialect, &Outbound::Event(event)) {
            self.outbound.notice(frame);
        }
    }

    fn fall_behind(&mut self) {
        // The client learns the head by syncing. It may have fallen, and must not be told to have what is lost.
        self.known_inbox = InboxSeq::ZERO;
        if self.outbound.collapse() {
            self.say_sync_needed();
        }
    }

    fn say_sync_needed(&mut self) {
        metrics::counter!("rookery_sync_needed_total").increment(1);
        self.notice(Event::SyncNeeded {});
    }

    fn look_behind(&mut self) {
        if self.behind.swap(false, Ordering::AcqRel) {
            self.fall_behind();
        }
    }

    /// Ends the session: its user forgets it now, what waits goes out, then the connection is closed.
    fn close(&mut self, code: CloseCode) {
        if matches!(self.phase, Phase::Closing { .. }) {
            return;
        }
        if self.is_ended() {
            // Another session may be in for it by now, in whichever way it hears of that.
            self.outbound.clear();
        }
        self.leave(None);
        let reconnect_after_ms = code.may_come_back().then(reconnect_after_ms);
        let reason = code.reason().to_owned();
        self.notice(Event::Closing { code, reason, reconnect_after_ms });
        self.phase = closing(code);
        self.make_room();
    }

    /// Tells the user that the session is over, once; a user that has yet to let it in is told when it does.
    fn leave(&mut self, confirm: Option<Addr<Self>>) {
        self.unwatch();
        self.unsubscribe();
        let Some(Membership { user: Some(user) }) = &self.membership else { return };
        mailbox::insist(user, Detach { session: self.no, confirm });
        self.membership = None;
    }

    /// Whether a decision has ended it, of which it may not have heard yet.
    fn is_ended(&self) -> bool {
        self.outlet.as_ref().is_some_and(|outlet| outlet.is_ended())
    }

    /// Hands the adapter what waits, when it has taken care of the last batch.
    fn pump(&mut self) {
        // Events that came since the user knows the session wait for the login's reply.
        let holds = matches!(self.phase, Phase::Entering { .. })
            // What waits here is not told any more.
            || self.is_ended()
            // Somebody else may have been let in for it, at a node that took this one for gone.
            || (self.has_acks && !self.shared().node.holds_lease());
        while self.writing_since.is_none() && !self.outbound.is_empty() && !holds {
            let batch = self.outbound.take();
            self.in_flight = self.in_flight.saturating_sub(batch.replies);
            if self.transport.write(batch.frames) == Handed::Waiting {
                self.writing_since = Some(Instant::now());
            }
        }
        self.has_acks &= !self.outbound.is_empty();
        if let Phase::Closing { code, told, .. } = &mut self.phase
            && !*told
            && self.outbound.is_empty()
        {
            // Right behind the last batch: nothing that its peer sent later may be answered in between.
            *told = true;
            self.transport.close(code.number(), code.reason());
        }
        self.make_room();
    }

    fn make_room(&mut self) {
        if self.has_room()
            && let Some(parked) = self.parked.take()
        {
            // The adapter may be gone already.
            let _ = parked.send(());
        }
    }
}

fn closing(code: CloseCode) -> Phase {
    Phase::Closing { code, since: Instant::now(), told: false }
}

/// Spread, so that those who were closed together do not come back together.
fn reconnect_after_ms() -> u64 {
    rand::random_range(100..=2000)
}
