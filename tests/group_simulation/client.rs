//! Clients, which send in order and send again what was refused, and their sessions.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use rookery::domain::group::{Authority, Change, ChangeRefused, Changed, Post};
use rookery::domain::intake::{Ack, Refusal, SendHash, SessionNo, Waiter};
use rookery::domain::order::{self, Order, Taken, Verdict};
use rookery::ids::ClientMsgId;
use rookery::limits;

use super::owner::{ReplyTo, ToOwner};
use super::{NOW, SLOTS, World, no};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    ToSend,
    Unanswered,
    Refused,
    Acked,
    RefusedForGood,
    GivenUp,
}

/// What a client wants to send.
pub struct Message {
    /// The place of the group's id.
    pub to: usize,
    pub key: ClientMsgId,
    pub hash: SendHash,
    pub(super) state: State,
    pub(super) times_sent: u32,
    /// The step at which it was sent first.
    pub(super) sent_at: usize,
    pub(super) refused_at: Duration,
    /// Another device sends this key too: it has no place of its own.
    pub(super) shared: bool,
    /// Its place was given up, or it was told that it was refused for good: if it comes again, it comes later.
    pub(super) struck_off: bool,
}

impl Message {
    /// The `n`th message, to a group; `content` tells apart what is sent under one key.
    pub fn new(to: usize, n: u8, content: u8) -> Self {
        let mut hash = [n; 16];
        hash[0] = content;
        Self {
            to,
            key: ClientMsgId::mint(NOW, [n; 10]),
            hash,
            state: State::ToSend,
            times_sent: 0,
            sent_at: 0,
            refused_at: Duration::ZERO,
            shared: false,
            struck_off: false,
        }
    }
}

/// A change that a client wants.
pub struct Wish {
    pub to: usize,
    pub change: Change,
    pub(super) key: ClientMsgId,
    pub(super) state: WishState,
    /// Whether it was refused: then it must not happen.
    pub(super) refused: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WishState {
    ToAsk,
    Asked { session: usize, at: Duration },
    Answered,
}

impl Wish {
    /// The `n`th, of a group.
    pub fn new(to: usize, n: u8, change: Change) -> Self {
        let mut random = [n; 10];
        random[0] = 1;
        let key = ClientMsgId::mint(NOW, random);
        Self { to, change, key, state: WishState::ToAsk, refused: false }
    }
}

/// One client: it sends in order, and sends again what was refused.
pub struct Device {
    pub user: usize,
    pub outbox: Vec<Message>,
    pub wishes: Vec<Wish>,
    pub(super) session: Option<usize>,
    pub(super) replies: VecDeque<(usize, Answer)>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Answer {
    Acked,
    Curable,
    Final,
}

pub(super) struct Session {
    pub(super) device: usize,
    pub(super) alive: bool,
    pub(super) order: Order<usize, SendHash>,
    pub(super) verdicts: VecDeque<(usize, order::Place, ClientMsgId, Verdict<Ack, Refusal>)>,
    pub(super) commands: HashMap<u64, usize>,
}

impl Device {
    pub fn new(user: usize, outbox: Vec<Message>, wishes: Vec<Wish>) -> Self {
        Self { user, outbox, wishes, session: None, replies: VecDeque::new() }
    }

    pub(super) fn is_done(&self) -> bool {
        let done = |message: &Message| {
            matches!(message.state, State::Acked | State::RefusedForGood | State::GivenUp)
        };
        self.outbox.iter().all(done)
            && self.wishes.iter().all(|wish| wish.state == WishState::Answered)
    }
}

impl Session {
    pub(super) fn awaited(&self) -> HashSet<(usize, ClientMsgId)> {
        let mut all = HashSet::new();
        for to in 0..SLOTS {
            all.extend(self.order.awaited(&to).map(|key| (to, key)));
        }
        all
    }
}

impl World {
    pub(super) fn connect(&mut self, device: usize) {
        // Whatever a former session of the device hears from now on counts no more.
        for other in self.sessions.iter_mut().filter(|other| other.device == device) {
            other.alive = false;
        }
        let session = self.sessions.len();
        let it = &mut self.devices[device];
        it.session = Some(session);
        for message in &mut it.outbox {
            if matches!(message.state, State::Unanswered | State::Refused) {
                message.state = State::ToSend;
            }
        }
        for wish in &mut it.wishes {
            if let WishState::Asked { .. } = wish.state {
                wish.state = WishState::Answered;
            }
        }
        self.sessions.push(Session {
            device,
            alive: true,
            order: Order::default(),
            verdicts: VecDeque::new(),
            commands: HashMap::new(),
        });
    }

    pub(super) fn send(&mut self, device: usize, message: usize, too_fast: bool) {
        let now = self.now();
        let Some(session) = self.devices[device].session else { return };
        let sent = &mut self.devices[device].outbox[message];
        sent.state = State::Unanswered;
        if sent.times_sent == 0 {
            sent.sent_at = self.store.step;
        }
        sent.times_sent += 1;
        self.commands += 1;
        let command = self.commands;
        let (to, key, hash) = (sent.to, sent.key, sent.hash);
        let it = &mut self.sessions[session];
        it.commands.insert(command, message);
        let mut effects = Vec::new();
        if too_fast {
            it.order.refuse(now, to, key, command, Refusal::Busy, &mut effects);
        } else {
            let taken = it.order.send(now, to, key, hash, command, &mut effects);
            assert_eq!(taken, Taken::Yes);
        }
        self.perform_session(session, effects);
    }

    pub(super) fn wish(&mut self, device: usize, wish: usize) {
        let Some(session) = self.devices[device].session else { return };
        let by = self.devices[device].user;
        let it = &mut self.devices[device].wishes[wish];
        it.state = WishState::Asked { session, at: self.elapsed };
        let (to, change, key) = (it.to, it.change.clone(), it.key);
        let reply_to = (device, wish);
        if self.try_owner(to, ToOwner::Change { by, change, key, reply_to }).is_err() {
            self.change_done(reply_to, Err(ChangeRefused::NotNow(Refusal::Busy)));
        }
    }

    pub(super) fn change_done(
        &mut self,
        (device, wish): ReplyTo,
        outcome: Result<Changed, ChangeRefused>,
    ) {
        let by = self.devices[device].user;
        let it = &self.devices[device].wishes[wish];
        self.check_change(it.to, by, it.key, &it.change, &outcome);
        let known = !matches!(outcome, Err(ChangeRefused::NotNow(Refusal::OutcomeUnknown)));
        let it = &mut self.devices[device].wishes[wish];
        it.refused = outcome.is_err() && known;
        it.state = WishState::Answered;
    }

    pub(super) fn client_hears(&mut self, device: usize) {
        let it = &mut self.devices[device];
        let Some((message, answer)) = it.replies.pop_front() else { return };
        let sent = &mut it.outbox[message];
        sent.refused_at = self.elapsed;
        sent.state = match (answer, sent.state) {
            (_, State::GivenUp) => State::GivenUp,
            (Answer::Acked, _) => State::Acked,
            (Answer::Final, State::Acked) => State::Acked,
            (Answer::Final, _) => State::RefusedForGood,
            (Answer::Curable, State::Unanswered) => State::Refused,
            (Answer::Curable, state) => state,
        };
    }

    pub(super) fn session_hears(&mut self, session: usize) {
        let now = self.now();
        let it = &mut self.sessions[session];
        let Some((to, place, key, verdict)) = it.verdicts.pop_front() else { return };
        let mut effects = Vec::new();
        it.order.verdict(now, &to, place, key, verdict, &mut effects);
        self.perform_session(session, effects);
    }

    pub(super) fn perform_session(
        &mut self,
        session: usize,
        effects: Vec<order::Effect<usize, SendHash, Ack, Refusal>>,
    ) {
        for effect in effects {
            match effect {
                order::Effect::Forward { conversation: to, place, key, payload: hash } => {
                    let waiter = Waiter { session: SessionNo(session as u64), place };
                    let sender = no(self.devices[self.sessions[session].device].user);
                    let authority = Authority::Member;
                    let post = Post { sender, authority, key, hash, payload: () };
                    if self.try_owner(to, ToOwner::Submit { waiter, post }).is_err() {
                        // Told by a message of its own, which comes when the session looks.
                        let verdict = Verdict::Curable(Refusal::Busy);
                        self.sessions[session].verdicts.push_back((to, place, key, verdict));
                    }
                }
                order::Effect::Acked { conversation, commands, answer } => {
                    self.answer(session, &commands, Answer::Acked);
                    self.check_ack(session, conversation, &commands, answer);
                }
                order::Effect::Refused { commands, reason } if reason.is_curable() => {
                    assert_ne!(reason, Refusal::Moved, "told to a client");
                    self.answer(session, &commands, Answer::Curable);
                }
                order::Effect::InDoubt { commands } => {
                    self.answer(session, &commands, Answer::Curable);
                }
                order::Effect::Refused { commands, reason } => {
                    self.answer(session, &commands, Answer::Final);
                    self.check_final(session, &commands, reason);
                }
                order::Effect::OrderBroken { commands, .. } => {
                    self.answer(session, &commands, Answer::Curable);
                }
            }
        }
    }

    fn answer(&mut self, session: usize, commands: &[u64], answer: Answer) {
        for command in commands {
            let it = &mut self.sessions[session];
            let message = *it.commands.get(command).expect("a command is answered once");
            let device = &mut self.devices[it.device];
            if device.session == Some(session) {
                device.replies.push_back((message, answer));
            }
        }
    }

    /// A session gives up waiting for the answer to a change.
    pub(super) fn give_up_wishes(&mut self) {
        for wish in self.devices.iter_mut().flat_map(|device| &mut device.wishes) {
            if let WishState::Asked { at, .. } = wish.state
                && self.elapsed - at >= limits::CHANGE_WITHIN
            {
                wish.state = WishState::Answered;
            }
        }
    }
}
