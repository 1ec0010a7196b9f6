//! Clients, which send in order and send again what was refused, and their sessions.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use rookery::domain::intake::{Ack, Refusal, SendHash, SessionNo, Waiter};
use rookery::domain::order::{self, Order, Taken, Verdict};
use rookery::ids::{ClientMsgId, UserId};

use super::user::ToUser;
use super::{NOW, USERS, World, id};

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
    /// Index into [`USERS`].
    pub to: usize,
    pub key: ClientMsgId,
    pub hash: SendHash,
    pub(super) state: State,
    pub(super) times_sent: u32,
    pub(super) refused_at: Duration,
    /// Another device sends this key too: it has no place of its own.
    pub(super) shared: bool,
    /// Its place was given up.
    pub(super) struck_off: bool,
}

impl Message {
    /// The `n`th message, to a user; `content` tells apart what is sent under one key.
    pub fn new(to: usize, n: u8, content: u8) -> Self {
        let mut hash = [n; 16];
        hash[0] = content;
        Self {
            to,
            key: ClientMsgId::mint(NOW, [n; 10]),
            hash,
            state: State::ToSend,
            times_sent: 0,
            refused_at: Duration::ZERO,
            shared: false,
            struck_off: false,
        }
    }
}

/// One client: it sends in order, and sends again what was refused.
pub struct Device {
    pub(super) user: usize,
    pub(super) outbox: Vec<Message>,
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
    pub(super) order: Order<UserId, SendHash>,
    pub(super) verdicts: VecDeque<(UserId, order::Place, ClientMsgId, Verdict<Ack, Refusal>)>,
    pub(super) commands: HashMap<u64, usize>,
}

impl Device {
    pub(super) fn is_done(&self) -> bool {
        let done = |message: &Message| {
            matches!(message.state, State::Acked | State::RefusedForGood | State::GivenUp)
        };
        self.outbox.iter().all(done)
    }
}

impl Session {
    pub(super) fn awaited(&self) -> HashSet<(usize, ClientMsgId)> {
        let mut all = HashSet::new();
        for to in 0..USERS.len() {
            all.extend(self.order.awaited(&id(to)).map(|key| (to, key)));
        }
        all
    }
}

impl World {
    pub(super) fn connect(&mut self, device: usize) {
        let session = self.sessions.len();
        let it = &mut self.devices[device];
        it.session = Some(session);
        for message in &mut it.outbox {
            if matches!(message.state, State::Unanswered | State::Refused) {
                message.state = State::ToSend;
            }
        }
        // A session of the same device is replaced: nothing that it sent is acked any more.
        let user = &mut self.users[it.user];
        for (no, other) in self.sessions.iter().enumerate() {
            if other.device == device {
                user.sessions.remove(&SessionNo(no as u64));
            }
        }
        user.sessions.insert(SessionNo(session as u64));
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
        sent.times_sent += 1;
        self.commands += 1;
        let command = self.commands;
        let (to, key, hash) = (id(sent.to), sent.key, sent.hash);
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
        mut effects: Vec<order::Effect<UserId, SendHash, Ack, Refusal>>,
    ) {
        while !effects.is_empty() {
            let mut refused = Vec::new();
            for effect in effects.drain(..) {
                match effect {
                    order::Effect::Forward { conversation, place, key, payload } => {
                        let waiter = Waiter { session: SessionNo(session as u64), place };
                        let to = conversation.clone();
                        let submit = ToUser::Submit { waiter, to, key, hash: payload };
                        let user = self.devices[self.sessions[session].device].user;
                        if !self.try_user(user, submit) {
                            refused.push((conversation, place, key));
                        }
                    }
                    order::Effect::Acked { conversation, commands, answer } => {
                        self.answer(session, &commands, Answer::Acked);
                        self.check_ack(session, &conversation, &commands, answer);
                    }
                    order::Effect::Refused { commands, reason } if reason.is_curable() => {
                        self.answer(session, &commands, Answer::Curable);
                    }
                    order::Effect::InDoubt { commands } => {
                        self.answer(session, &commands, Answer::Curable);
                    }
                    order::Effect::Refused { commands, .. } => {
                        self.answer(session, &commands, Answer::Final);
                    }
                    order::Effect::OrderBroken { commands, awaited } => {
                        let device = &self.devices[self.sessions[session].device];
                        let known = device.outbox.iter().any(|message| message.key == awaited);
                        assert!(known, "a send awaits one that this client never sent");
                        self.answer(session, &commands, Answer::Curable);
                    }
                }
            }
            let now = self.now();
            for (to, place, key) in refused {
                let verdict = Verdict::Curable(Refusal::Busy);
                self.sessions[session].order.verdict(now, &to, place, key, verdict, &mut effects);
            }
        }
    }

    pub(super) fn answer(&mut self, session: usize, commands: &[u64], answer: Answer) {
        for command in commands {
            let it = &mut self.sessions[session];
            let message = *it.commands.get(command).expect("a command is answered once");
            let device = &mut self.devices[it.device];
            if device.session == Some(session) {
                device.replies.push_back((message, answer));
            }
            if let Answer::Final = answer {
                self.check_final(session, message);
            }
        }
    }
}
