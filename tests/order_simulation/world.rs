//! Clients, sessions, users, a journal and a store, in which one thing happens at a time.
//!
//! The rules are the real ones of `domain`; what stands around them here does what the actors do: mailboxes that may be
//! full, letters that wait for room and are overtaken, answers that are lost, connections that break.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use rookery::domain::intake::{Refusal, SessionNo};
use rookery::domain::journal::{self, Appended, Journal, Life};
use rookery::domain::sends::{Pair, Sends};
use rookery::ids::{ConversationNo, UnixMs, UserId, UserNo};

use super::store::Store;

#[path = "act.rs"]
mod act;
#[path = "client.rs"]
mod client;
#[path = "line.rs"]
mod line;
#[path = "promises.rs"]
mod promises;
#[path = "user.rs"]
mod user;

pub use self::act::{Act, Kind};
pub use self::client::Message;
use self::client::{Device, Session, State};
use self::line::{JournalLine, ToJournal};
use self::user::{ToUser, User};

const NOW: UnixMs = UnixMs::new(1_700_000_000_000);
const WINDOW_MS: i64 = 7 * 86_400_000;

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
                Some(ToJournal::Append(row)) => self.journal(journal::Input::Append(vec![row])),
                Some(ToJournal::Heard { owner, life, refused }) => {
                    self.journal(journal::Input::Heard { owner, life, refused });
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
            Act::StatementFindsNoConnection => self.end_statement(Appended::Away),
            Act::IdleConnectionEnds => self.journal(journal::Input::Away),
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
            // The client may have had its ack through another session since.
            let is_present = self.devices[it.device].session == Some(session);
            let mut struck_off = HashSet::new();
            for message in &mut self.devices[it.device].outbox {
                let it = (message.to, message.key);
                if before.contains(&it) && !after.contains(&it) {
                    assert!(
                        !is_present || message.state != State::Acked,
                        "waited for one it acked"
                    );
                    message.struck_off = true;
                    assert!(struck_off.insert(message.to), "more than the first was struck off");
                }
            }
            self.perform_session(session, effects);
        }
    }
}
