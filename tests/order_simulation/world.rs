//! Clients, sessions, users, a journal and a store, in which one thing happens at a time.
//!
//! The rules are the real ones of `domain`; what stands around them here does what the actors do: mailboxes that may be
//! full, letters that wait for room and are overtaken, answers that are lost, connections that break.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use rookery::domain::journal::{self, Appended, Found, Journal, Life, Placed, Row};
use rookery::domain::order::{self, Order, Taken, Verdict};
use rookery::domain::sends::{
    Ack, Effect, Input, Outcome, Pair, Refusal, SendHash, Sends, SessionNo, Waiter,
};
use rookery::ids::{ClientMsgId, ConversationNo, UnixMs, UserId, UserNo};

use super::store::Store;

const NOW: UnixMs = UnixMs::new(1_700_000_000_000);
const WINDOW_MS: i64 = 7 * 86_400_000;

/// Something that can happen now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Connect {
        device: usize,
    },
    /// The client's connection breaks; the session has yet to notice.
    Disconnect {
        device: usize,
    },
    SessionEnds {
        session: usize,
    },
    Send {
        device: usize,
        message: usize,
    },
    /// The session itself refuses it, for the client is too fast.
    SendTooFast {
        device: usize,
        message: usize,
    },
    GiveUp {
        device: usize,
        message: usize,
    },
    ClientHears {
        device: usize,
    },
    SessionHears {
        session: usize,
    },
    VerdictIsLost {
        session: usize,
    },
    UserHears {
        user: usize,
    },
    /// A letter that waited for room gets it.
    UserHasRoom {
        user: usize,
        letter: usize,
    },
    /// Its mailbox takes so many more messages, then one finds it full.
    UserIsFull {
        user: usize,
        after: u32,
    },
    /// The user's actor is replaced by one that knows nothing.
    UserIsReplaced {
        user: usize,
    },
    PeerIsFound {
        look_up: usize,
    },
    /// A receipt has found the pair while a send waits for it to be looked up.
    PairIsRemembered {
        look_up: usize,
    },
    PeerIsNotLookedUp {
        look_up: usize,
    },
    JournalHears,
    JournalHasRoom {
        letter: usize,
    },
    JournalIsFull {
        after: u32,
    },
    StatementRuns,
    StatementIsRefused,
    NoIdIsMinted,
    JournalHearsOutcome,
    /// Before the statement ran, or after it; one that has not run may still do so.
    ConnectionBreaks,
    OrphanRuns {
        orphan: usize,
    },
    JournalClaims,
    JournalHearsOfClaim,
    SomebodyElseClaims,
    SecondsPass(u64),
}

/// What makes it happen. In a fair schedule each step comes in time, and a client tries again after a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Step,
    Retry,
    HastyRetry,
    Fault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
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
    state: State,
    times_sent: u32,
    refused_at: Duration,
    /// Another device sends this key too: it has no place of its own.
    shared: bool,
    /// Its place was given up.
    struck_off: bool,
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
    user: usize,
    outbox: Vec<Message>,
    session: Option<usize>,
    replies: VecDeque<(usize, Answer)>,
}

#[derive(Debug, Clone, Copy)]
enum Answer {
    Acked,
    Curable,
    Final,
}

struct Session {
    device: usize,
    alive: bool,
    order: Order<UserId, SendHash>,
    verdicts: VecDeque<(UserId, order::Place, ClientMsgId, Verdict<Ack, Refusal>)>,
    commands: HashMap<u64, usize>,
}

fn pair(user: usize, to: &UserId) -> Option<Pair> {
    let peer = index(to);
    (peer != NOBODY).then(|| Pair { no: conversation(user, peer), peer: no(peer) })
}

/// How many messages a mailbox takes before one finds it full.
#[derive(Default)]
struct Room(Option<u32>);

impl Room {
    fn take(&mut self) -> bool {
        let has_room = self.0 != Some(0);
        self.0 = self.0.and_then(|left| left.checked_sub(1));
        has_room
    }
}

enum ToUser {
    Submit { waiter: Waiter, to: UserId, key: ClientMsgId, hash: SendHash },
    LookedUp { to: UserId, found: Result<Option<Pair>, Refusal> },
    Written(Vec<(UserId, ClientMsgId, Life, Outcome)>),
    Ended(SessionNo),
}

struct User {
    sends: Sends<()>,
    life: Life,
    sessions: HashSet<SessionNo>,
    mailbox: VecDeque<ToUser>,
    waiting: Vec<ToUser>,
    room: Room,
}

enum ToJournal {
    Append(Row<UserId>),
    Heard { sender: UserNo, life: Life, refused: usize },
}

struct Statement {
    rows: Vec<Row<UserId>>,
    fence: u64,
    outcome: Option<Appended>,
}

struct JournalLine {
    journal: Journal<UserId>,
    mailbox: VecDeque<ToJournal>,
    waiting: Vec<ToJournal>,
    room: Room,
    fence: u64,
    statement: Option<Statement>,
    /// The rows to look up, while there is no connection.
    connecting: Option<Vec<Row<UserId>>>,
    found: Option<Vec<Found>>,
    orphans: Vec<Statement>,
}

/// The users by index; the last does not exist.
pub const USERS: [&str; 4] = ["alice", "bob", "carol", "nobody"];
const NOBODY: usize = 3;

fn id(user: usize) -> UserId {
    UserId::parse(USERS[user]).unwrap()
}

fn no(user: usize) -> UserNo {
    UserNo::from_store(user as i64 + 1)
}

fn index(id: &UserId) -> usize {
    USERS.iter().position(|name| *name == id.as_str()).unwrap()
}

fn conversation(one: usize, other: usize) -> ConversationNo {
    ConversationNo::from_store((one.min(other) * 10 + one.max(other)) as i64)
}

pub struct World {
    start: Instant,
    elapsed: Duration,
    devices: Vec<Device>,
    sessions: Vec<Session>,
    users: Vec<User>,
    look_ups: Vec<(usize, Life, UserId)>,
    line: JournalLine,
    store: Store,
    lives: u64,
    commands: u64,
}

impl World {
    /// Nothing has happened yet; each device is a user's index and what it sends.
    pub fn new(devices: Vec<(usize, Vec<Message>)>) -> Self {
        let start = Instant::now();
        let mut seen = HashMap::new();
        let identity = |user: usize, message: &Message| (user, message.to, message.key);
        for (user, outbox) in &devices {
            for message in outbox {
                *seen.entry(identity(*user, message)).or_insert(0) += 1;
            }
        }
        let devices = devices.into_iter().map(|(user, mut outbox)| {
            for message in &mut outbox {
                message.shared = seen[&identity(user, message)] > 1;
            }
            Device { user, outbox, session: None, replies: VecDeque::new() }
        });
        let users = (0..NOBODY).map(|user| User {
            sends: Sends::new(WINDOW_MS),
            life: Life(user as u64),
            sessions: HashSet::new(),
            mailbox: VecDeque::new(),
            waiting: Vec::new(),
            room: Room::default(),
        });
        Self {
            start,
            elapsed: Duration::ZERO,
            devices: devices.collect(),
            sessions: Vec::new(),
            users: users.collect(),
            look_ups: Vec::new(),
            line: JournalLine {
                journal: Journal::new(start),
                mailbox: VecDeque::new(),
                waiting: Vec::new(),
                room: Room::default(),
                fence: 0,
                statement: None,
                connecting: Some(Vec::new()),
                found: None,
                orphans: Vec::new(),
            },
            store: Store::default(),
            lives: NOBODY as u64,
            commands: 0,
        }
    }

    /// What can happen now: steps first, then retries, then faults.
    pub fn acts(&self) -> Vec<(Act, Kind)> {
        let mut acts = Vec::new();
        self.acts_of_devices(&mut acts);
        self.acts_of_journal(&mut acts);
        for (session, it) in self.sessions.iter().enumerate().filter(|(_, it)| it.alive) {
            if !it.verdicts.is_empty() {
                acts.push((Act::SessionHears { session }, Kind::Step));
                acts.push((Act::VerdictIsLost { session }, Kind::Fault));
            }
            if self.devices[it.device].session != Some(session) {
                acts.push((Act::SessionEnds { session }, Kind::Step));
            }
        }
        for (user, it) in self.users.iter().enumerate() {
            if !it.mailbox.is_empty() {
                acts.push((Act::UserHears { user }, Kind::Step));
            }
            for letter in 0..it.waiting.len() {
                acts.push((Act::UserHasRoom { user, letter }, Kind::Step));
            }
            if self.devices.iter().any(|device| device.user == user && device.session.is_some()) {
                let full = |after| (Act::UserIsFull { user, after }, Kind::Fault);
                acts.extend((0..3).map(full));
                acts.push((Act::UserIsReplaced { user }, Kind::Fault));
            }
        }
        for look_up in 0..self.look_ups.len() {
            acts.push((Act::PeerIsFound { look_up }, Kind::Step));
            acts.push((Act::PeerIsNotLookedUp { look_up }, Kind::Fault));
            acts.push((Act::PairIsRemembered { look_up }, Kind::Fault));
        }
        acts.sort_by_key(|(_, kind)| *kind);
        acts
    }

    fn acts_of_devices(&self, acts: &mut Vec<(Act, Kind)>) {
        for (device, it) in self.devices.iter().enumerate() {
            if it.session.is_none() {
                if !it.is_done() {
                    acts.push((Act::Connect { device }, Kind::Step));
                }
                continue;
            }
            if !it.replies.is_empty() {
                acts.push((Act::ClientHears { device }, Kind::Step));
            }
            let mut first_to_send = true;
            for (message, sent) in it.outbox.iter().enumerate() {
                let send = Act::Send { device, message };
                match sent.state {
                    State::ToSend if first_to_send => {
                        first_to_send = false;
                        acts.push((send, Kind::Step));
                        acts.push((Act::SendTooFast { device, message }, Kind::Fault));
                    }
                    // In any order: that the right one comes first is the session's business.
                    State::Refused => {
                        let is_due = self.elapsed > sent.refused_at;
                        acts.push((send, if is_due { Kind::Retry } else { Kind::HastyRetry }));
                        acts.push((Act::GiveUp { device, message }, Kind::Fault));
                    }
                    State::Unanswered => acts.push((send, Kind::Fault)),
                    _ => {}
                }
            }
            if !it.is_done() {
                acts.push((Act::Disconnect { device }, Kind::Fault));
            }
        }
    }

    fn acts_of_journal(&self, acts: &mut Vec<(Act, Kind)>) {
        let line = &self.line;
        if !line.mailbox.is_empty() {
            acts.push((Act::JournalHears, Kind::Step));
            acts.extend((0..3).map(|after| (Act::JournalIsFull { after }, Kind::Fault)));
        }
        for letter in 0..line.waiting.len() {
            acts.push((Act::JournalHasRoom { letter }, Kind::Step));
        }
        match &line.statement {
            Some(Statement { outcome: None, .. }) => {
                acts.push((Act::StatementRuns, Kind::Step));
                acts.push((Act::StatementIsRefused, Kind::Fault));
                acts.push((Act::NoIdIsMinted, Kind::Fault));
                acts.push((Act::ConnectionBreaks, Kind::Fault));
                acts.push((Act::SomebodyElseClaims, Kind::Fault));
            }
            Some(Statement { outcome: Some(_), .. }) => {
                acts.push((Act::JournalHearsOutcome, Kind::Step));
                acts.push((Act::ConnectionBreaks, Kind::Fault));
            }
            None => {}
        }
        match (&line.connecting, &line.found) {
            (Some(_), None) => acts.push((Act::JournalClaims, Kind::Step)),
            (Some(_), Some(_)) => acts.push((Act::JournalHearsOfClaim, Kind::Step)),
            (None, _) => {}
        }
        for orphan in 0..line.orphans.len() {
            acts.push((Act::OrphanRuns { orphan }, Kind::Step));
        }
    }

    /// Whether every client has its answers and nothing is under way.
    pub fn is_settled(&self) -> bool {
        self.devices.iter().all(|device| device.is_done())
            && self.users.iter().all(|user| user.sends.is_settled())
            && self.line.journal.is_settled()
            && self.sessions.iter().all(|session| !session.alive || session.order.is_idle())
    }

    /// Does it, and fails if a promise is broken.
    pub fn perform(&mut self, act: Act) {
        match act {
            Act::Connect { device } => self.connect(device),
            Act::Disconnect { device } => {
                self.devices[device].session = None;
                self.devices[device].replies.clear();
            }
            Act::SessionEnds { session } => {
                self.sessions[session].alive = false;
                let user = self.devices[self.sessions[session].device].user;
                self.insist_user(user, ToUser::Ended(SessionNo(session as u64)));
            }
            Act::Send { device, message } => self.send(device, message, false),
            Act::SendTooFast { device, message } => self.send(device, message, true),
            Act::GiveUp { device, message } => {
                self.devices[device].outbox[message].state = State::GivenUp;
            }
            Act::ClientHears { device } => self.client_hears(device),
            Act::SessionHears { session } => self.session_hears(session),
            Act::VerdictIsLost { session } => {
                self.sessions[session].verdicts.pop_front();
            }
            Act::UserHears { user } => self.user_hears(user),
            Act::UserHasRoom { user, letter } => {
                let letter = self.users[user].waiting.remove(letter);
                self.users[user].mailbox.push_back(letter);
            }
            Act::UserIsFull { user, after } => self.users[user].room = Room(Some(after)),
            Act::UserIsReplaced { user } => self.replace_user(user),
            Act::PeerIsFound { look_up } => {
                let (user, life, to) = self.look_ups.remove(look_up);
                let found = Ok(pair(user, &to));
                self.looked_up(user, life, to, found);
            }
            Act::PairIsRemembered { look_up } => {
                let (user, _, to) = self.look_ups[look_up].clone();
                if let Some(pair) = pair(user, &to) {
                    self.users[user].sends.remember_pair(to, pair);
                }
            }
            Act::PeerIsNotLookedUp { look_up } => {
                let (user, life, to) = self.look_ups.remove(look_up);
                self.looked_up(user, life, to, Err(Refusal::Unavailable));
            }
            Act::JournalHears => match self.line.mailbox.pop_front() {
                Some(ToJournal::Append(row)) => self.journal(journal::Input::Append(row)),
                Some(ToJournal::Heard { sender, life, refused }) => {
                    self.journal(journal::Input::Heard { sender, life, refused });
                }
                None => {}
            },
            Act::JournalHasRoom { letter } => {
                let letter = self.line.waiting.remove(letter);
                self.line.mailbox.push_back(letter);
            }
            Act::JournalIsFull { after } => self.line.room = Room(Some(after)),
            Act::StatementRuns => {
                if let Some(mut statement) = self.line.statement.take() {
                    statement.outcome = Some(self.run(&statement));
                    self.line.statement = Some(statement);
                }
            }
            Act::StatementIsRefused => self.end_statement(Appended::Refused),
            Act::NoIdIsMinted => self.end_statement(Appended::NotTried),
            Act::JournalHearsOutcome => {
                if let Some(outcome) = self.line.statement.as_mut().and_then(|it| it.outcome.take())
                {
                    self.end_statement(outcome);
                }
            }
            Act::ConnectionBreaks => {
                if let Some(statement) = self.line.statement.take() {
                    if statement.outcome.is_none() {
                        self.line.orphans.push(statement);
                    }
                    self.journal(journal::Input::Appended(Appended::Unknown));
                }
            }
            Act::OrphanRuns { orphan } => {
                let orphan = self.line.orphans.remove(orphan);
                self.run(&orphan);
            }
            Act::JournalClaims => {
                self.line.fence = self.store.claim();
                let rows = self.line.connecting.as_deref().unwrap_or_default();
                self.line.found = Some(self.store.find(rows));
            }
            Act::JournalHearsOfClaim => {
                self.line.connecting = None;
                let found = self.line.found.take().unwrap_or_default();
                self.journal(journal::Input::Fenced(found));
            }
            Act::SomebodyElseClaims => {
                self.store.claim();
            }
            Act::SecondsPass(seconds) => self.pass(seconds),
        }
    }

    // The client.

    fn connect(&mut self, device: usize) {
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

    fn send(&mut self, device: usize, message: usize, too_fast: bool) {
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

    fn client_hears(&mut self, device: usize) {
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

    // The session.

    fn session_hears(&mut self, session: usize) {
        let now = self.now();
        let it = &mut self.sessions[session];
        let Some((to, place, key, verdict)) = it.verdicts.pop_front() else { return };
        let mut effects = Vec::new();
        it.order.verdict(now, &to, place, key, verdict, &mut effects);
        self.perform_session(session, effects);
    }

    fn perform_session(
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

    fn answer(&mut self, session: usize, commands: &[u64], answer: Answer) {
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

    // The user.

    fn try_user(&mut self, user: usize, message: ToUser) -> bool {
        let user = &mut self.users[user];
        let has_room = user.room.take();
        if has_room {
            user.mailbox.push_back(message);
        }
        has_room
    }

    fn insist_user(&mut self, user: usize, message: ToUser) {
        let user = &mut self.users[user];
        if user.room.take() {
            user.mailbox.push_back(message);
        } else {
            user.waiting.push(message);
        }
    }

    fn user_hears(&mut self, user: usize) {
        let Some(message) = self.users[user].mailbox.pop_front() else { return };
        match message {
            ToUser::Submit { waiter, to, key, hash } => {
                self.decide(user, Input::Submitted { waiter, to, key, hash, payload: () });
            }
            ToUser::LookedUp { to, found: Ok(pair) } => {
                self.decide(user, Input::Found { to, pair })
            }
            ToUser::LookedUp { to, found: Err(why) } => {
                self.decide(user, Input::NotLookedUp { to, why });
            }
            ToUser::Ended(session) => {
                self.users[user].sessions.remove(&session);
                self.decide(user, Input::Ended(session));
            }
            ToUser::Written(settlements) => {
                let mine = self.users[user].life;
                let mut refused = 0;
                for (to, key, life, outcome) in settlements {
                    if matches!(outcome, Outcome::Refused(_)) {
                        if life != mine {
                            continue;
                        }
                        refused += 1;
                    }
                    self.decide(user, Input::Settled { to, key, outcome });
                }
                if refused > 0 {
                    let heard = ToJournal::Heard { sender: no(user), life: mine, refused };
                    self.insist_journal(heard);
                }
            }
        }
    }

    fn decide(&mut self, user: usize, input: Input<()>) {
        let mut effects = Vec::new();
        let now = UnixMs::new(NOW.get() + self.elapsed.as_millis() as i64);
        self.users[user].sends.decide(now, input, &mut effects);
        let mut refused: Vec<(UserId, ClientMsgId)> = Vec::new();
        for effect in effects {
            match effect {
                Effect::Tell { waiter, to, key, verdict } => {
                    let session = &mut self.sessions[waiter.session.0 as usize];
                    if self.users[user].sessions.contains(&waiter.session) && session.alive {
                        session.verdicts.push_back((to, waiter.place, key, verdict));
                    }
                }
                Effect::LookUp(to) => self.look_ups.push((user, self.users[user].life, to)),
                Effect::Append { pair, to, key, hash, payload: () } => {
                    let row = Row {
                        conversation: pair.no,
                        low: no(user).min(pair.peer),
                        high: no(user).max(pair.peer),
                        sender: no(user),
                        life: self.users[user].life,
                        key,
                        hash,
                        body_bytes: 1,
                        payload: to.clone(),
                    };
                    let follows_refused = refused.iter().any(|(other, _)| *other == to);
                    if follows_refused || !self.try_journal(ToJournal::Append(row)) {
                        refused.push((to, key));
                    }
                }
            }
        }
        for (to, key) in refused {
            let outcome = Outcome::Refused(Refusal::Busy);
            self.decide(user, Input::Settled { to, key, outcome });
        }
    }

    fn looked_up(
        &mut self,
        user: usize,
        life: Life,
        to: UserId,
        found: Result<Option<Pair>, Refusal>,
    ) {
        if self.users[user].life == life {
            // A note to itself: it waits in no mailbox.
            self.users[user].mailbox.push_back(ToUser::LookedUp { to, found });
        }
    }

    fn replace_user(&mut self, user: usize) {
        self.lives += 1;
        let it = &mut self.users[user];
        it.sends = Sends::new(WINDOW_MS);
        it.life = Life(self.lives);
        it.sessions.clear();
        it.mailbox.clear();
        it.waiting.clear();
        for session in &mut self.sessions {
            if self.devices[session.device].user == user {
                session.alive = false;
            }
        }
        for device in self.devices.iter_mut().filter(|device| device.user == user) {
            device.session = None;
            device.replies.clear();
        }
    }

    // The journal.

    fn try_journal(&mut self, message: ToJournal) -> bool {
        let has_room = self.line.room.take();
        if has_room {
            self.line.mailbox.push_back(message);
        }
        has_room
    }

    fn insist_journal(&mut self, message: ToJournal) {
        if self.line.room.take() {
            self.line.mailbox.push_back(message);
        } else {
            self.line.waiting.push(message);
        }
    }

    fn journal(&mut self, input: journal::Input<UserId>) {
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

    fn end_statement(&mut self, outcome: Appended) {
        self.line.statement = None;
        self.journal(journal::Input::Appended(outcome));
    }

    fn run(&mut self, statement: &Statement) -> Appended {
        let outcome = self.store.append(statement.fence, &statement.rows);
        if let Appended::Stored(_) = outcome {
            self.check_log();
        }
        outcome
    }

    // Time.

    fn now(&self) -> Instant {
        self.start + self.elapsed
    }

    fn pass(&mut self, seconds: u64) {
        self.elapsed += Duration::from_secs(seconds);
        let now = self.now();
        self.journal(journal::Input::Tick);
        for session in 0..self.sessions.len() {
            if !self.sessions[session].alive {
                continue;
            }
            let it = &mut self.sessions[session];
            let before = it.awaited();
            let mut effects = Vec::new();
            it.order.tick(now, &mut effects);
            let after = it.awaited();
            let mut struck_off = HashSet::new();
            for message in &mut self.devices[it.device].outbox {
                let it = (message.to, message.key);
                if before.contains(&it) && !after.contains(&it) {
                    assert!(message.state != State::Acked, "waited for one that was acked");
                    message.struck_off = true;
                    assert!(struck_off.insert(message.to), "more than the first was struck off");
                }
            }
            self.perform_session(session, effects);
        }
    }

    // The promises.

    /// Acked is stored, at its acked place.
    fn check_ack(&self, session: usize, to: &UserId, commands: &[u64], ack: Ack) {
        let it = &self.sessions[session];
        let device = &self.devices[it.device];
        let message = &device.outbox[it.commands[&commands[0]]];
        let log = self.store.log(conversation(device.user, index(to)));
        let entry = log.get(ack.seq.get() as usize - 1).expect("acked beyond the head");
        assert_eq!(
            (entry.sender, entry.key, entry.hash),
            (no(device.user), message.key, message.hash),
            "acked with another message's place"
        );
    }

    /// What is refused for good is not stored.
    fn check_final(&self, session: usize, message: usize) {
        let device = &self.devices[self.sessions[session].device];
        let message = &device.outbox[message];
        if message.to == NOBODY {
            return;
        }
        let at = conversation(device.user, message.to);
        let stored = self.store.seq(at, no(device.user), message.key);
        let same = stored.is_some_and(|seq| self.store.log(at)[seq - 1].hash == message.hash);
        assert!(!same, "a stored message was refused for good");
    }

    /// Each key once, and each client's messages in the order in which it sent them.
    fn check_log(&self) {
        for log in self.store.logs() {
            let keys: HashSet<_> = log.iter().map(|entry| (entry.sender, entry.key)).collect();
            assert_eq!(keys.len(), log.len(), "a key is stored twice");
        }
        for device in &self.devices {
            for (n, later) in device.outbox.iter().enumerate() {
                let at = conversation(device.user, later.to);
                let place = |message: &Message| self.store.seq(at, no(device.user), message.key);
                let Some(later_at) = place(later) else { continue };
                let same = self.store.log(at)[later_at - 1].hash == later.hash;
                let refused = later.state == State::RefusedForGood && later.times_sent == 1;
                assert!(
                    !(same && refused && !later.shared),
                    "stored after it was refused for good"
                );
                if later.shared {
                    continue;
                }
                for earlier in &device.outbox[..n] {
                    let counts = earlier.to == later.to && !earlier.shared && !earlier.struck_off;
                    if counts && let Some(earlier_at) = place(earlier) {
                        assert!(earlier_at < later_at, "a message overtook an earlier one");
                    }
                }
            }
        }
    }

    /// At the end: what was acked is there, and every command of a session that lives was answered.
    pub fn check_end(&self) {
        assert!(self.is_settled(), "not everything was answered");
        for device in &self.devices {
            for message in device.outbox.iter().filter(|message| message.state == State::Acked) {
                let at = conversation(device.user, message.to);
                let stored = self.store.seq(at, no(device.user), message.key);
                assert!(stored.is_some(), "an acked message is not stored");
            }
        }
    }
}

impl Session {
    fn awaited(&self) -> HashSet<(usize, ClientMsgId)> {
        let mut all = HashSet::new();
        for to in 0..USERS.len() {
            all.extend(self.order.awaited(&id(to)).map(|key| (to, key)));
        }
        all
    }
}

impl Device {
    fn is_done(&self) -> bool {
        let done = |message: &Message| {
            matches!(message.state, State::Acked | State::RefusedForGood | State::GivenUp)
        };
        self.outbox.iter().all(done)
    }
}
