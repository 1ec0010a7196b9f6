//! Clients, sessions, the owners of two groups, a journal and a store, in which one thing happens at a time.
//!
//! The rules are the real ones of `domain`; what stands around them here does what the actors do: mailboxes that may be
//! full, letters that wait for room and are overtaken, reads that come back late, answers that are lost, connections that
//! break, actors that are replaced, and another node that takes the shard and writes.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use rookery::domain::group::Edit;
use rookery::domain::journal::{self, Appended, Journal};
use rookery::domain::policy::Kind;
use rookery::ids::{ClientMsgId, GroupId, ShardEpoch, UnixMs, UserId, UserNo};

use super::store::{Entry, Store};

#[path = "act.rs"]
mod act;
#[path = "client.rs"]
mod client;
#[path = "line.rs"]
mod line;
#[path = "owner.rs"]
mod owner;
#[path = "promises.rs"]
mod promises;

pub use self::act::{Act, Urgency};
pub use self::client::{Device, Message, Wish};
use self::client::{Session, State};
use self::line::{JournalLine, ToJournal};
use self::owner::{Owner, Read, ToOwner};

pub const NOW: UnixMs = UnixMs::new(1_700_000_000_000);
const WINDOW_MS: i64 = 7 * 86_400_000;

/// The groups, by the place of their ids.
pub const SLOTS: usize = 2;
/// The users by index; one beyond them does not exist.
pub const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];

pub fn user_id(user: usize) -> UserId {
    UserId::parse(USERS.get(user).copied().unwrap_or("nobody")).unwrap()
}

pub fn no(user: usize) -> UserNo {
    UserNo::from_store(user as i64 + 1)
}

fn index(id: &UserId) -> usize {
    USERS.iter().position(|name| *name == id.as_str()).unwrap_or(USERS.len())
}

fn group_id(slot: usize) -> GroupId {
    GroupId::parse(["eng", "art"][slot]).unwrap()
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

pub struct World {
    start: Instant,
    elapsed: Duration,
    devices: Vec<Device>,
    sessions: Vec<Session>,
    owners: Vec<Owner>,
    reads: Vec<Read>,
    line: JournalLine,
    store: Store,
    /// Under which epoch this node believes to own the shard.
    ours: Option<ShardEpoch>,
    lives: u64,
    commands: u64,
    others_entries: u8,
    /// Whose actor has ended in the middle: what it had under way may be stored behind the next one's back.
    replaced: [bool; SLOTS],
}

impl World {
    /// Nothing has happened yet. The first group is there, with these members, the second is not.
    pub fn new(kind: Kind, members: &[usize], mut devices: Vec<Device>) -> Self {
        let start = Instant::now();
        let mut seen = HashMap::new();
        for device in &devices {
            for message in &device.outbox {
                *seen.entry((device.user, message.to, message.key)).or_insert(0) += 1;
            }
        }
        for device in &mut devices {
            for message in &mut device.outbox {
                message.shared = seen[&(device.user, message.to, message.key)] > 1;
            }
        }
        let mut store = Store::new();
        store.make(0, kind, members);
        Self {
            start,
            elapsed: Duration::ZERO,
            devices,
            sessions: Vec::new(),
            owners: (0..SLOTS).map(|slot| Owner::new(slot, slot as u64)).collect(),
            reads: Vec::new(),
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
                published: vec![0; SLOTS],
            },
            ours: Some(ShardEpoch::from_store(store.epoch)),
            store,
            lives: SLOTS as u64,
            commands: 0,
            others_entries: 0,
            replaced: [false; SLOTS],
        }
    }

    /// Whether every client has its answers and nothing is under way.
    pub fn is_settled(&self) -> bool {
        self.devices.iter().all(Device::is_done)
            && self.owners.iter().all(Owner::may_sleep)
            && self.line.journal.is_settled()
            && self.sessions.iter().all(|session| !session.alive || session.order.is_idle())
    }

    /// Does it, and fails if a promise is broken.
    pub fn perform(&mut self, act: Act) {
        self.store.step += 1;
        match act {
            Act::Connect { device } => self.connect(device),
            Act::Disconnect { device } => {
                self.devices[device].session = None;
                self.devices[device].replies.clear();
            }
            Act::SessionEnds { session } => self.sessions[session].alive = false,
            Act::Send { device, message } => self.send(device, message, false),
            Act::SendTooFast { device, message } => self.send(device, message, true),
            Act::GiveUp { device, message } => {
                self.devices[device].outbox[message].state = State::GivenUp;
            }
            Act::Wish { device, wish } => self.wish(device, wish),
            Act::ClientHears { device } => self.client_hears(device),
            Act::SessionHears { session } => self.session_hears(session),
            Act::VerdictIsLost { session } => {
                self.sessions[session].verdicts.pop_front();
            }
            Act::OwnerHears { slot } => self.owner_hears(slot),
            Act::OwnerHasRoom { slot, letter } => {
                let letter = self.owners[slot].waiting.remove(letter);
                self.owners[slot].mailbox.push_back(letter);
            }
            Act::OwnerIsFull { slot, after } => self.owners[slot].room = Room(Some(after)),
            Act::OwnerIsReplaced { slot } => {
                self.replaced[slot] = true;
                self.replace_owner(slot);
            }
            Act::OwnerSleeps { slot } => self.replace_owner(slot),
            Act::StoreEpochChanges { slot } => self.insist_owner(slot, ToOwner::StoreChanged),
            Act::ReadRuns { read } => self.read_runs(read),
            Act::ReadReturns { read } => self.read_returns(read),
            Act::ReadFails { read } => self.read_fails(read),
            Act::OtherNodeClaims => {
                self.store.epoch += 1;
                self.store.ours = false;
            }
            Act::OtherNodeWrites { slot, what } => self.other_writes(slot, what),
            Act::NodeRenews => self.renew(),
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

    /// What another owner does: a message of its own, a removal or an addition, or what a client of ours sent to it too.
    fn other_writes(&mut self, slot: usize, what: usize) {
        self.others_entries = self.others_entries.wrapping_add(1);
        let key = ClientMsgId::mint(NOW, [2, self.others_entries, 0, 0, 0, 0, 0, 0, 0, 0]);
        let members: Vec<usize> =
            (0..USERS.len()).filter(|user| self.store.is_member(slot, no(*user))).collect();
        let outsider = (0..USERS.len()).find(|user| !members.contains(user));
        let Some(first) = members.first() else { return };
        let sender = no(*first);
        let notice = |edit: Edit| Entry { sender, key, hash: [0; 16], edit: Some(edit) };
        let entry = match what {
            0 => Entry { sender, key, hash: [9; 16], edit: None },
            1 => {
                // Not the owner: who that is then is another story.
                let Some(leaver) = members.get(1) else { return };
                notice(Edit { remove: vec![no(*leaver)], ..Edit::default() })
            }
            2 => {
                let Some(outsider) = outsider else { return };
                notice(Edit { add: vec![no(outsider)], ..Edit::default() })
            }
            _ => {
                let Some(entry) = self.next_to_store(slot) else { return };
                entry
            }
        };
        self.store.write_as_other(slot, entry);
        self.check_logs();
    }

    /// The first message of a member to the group that is under way and not stored.
    fn next_to_store(&self, slot: usize) -> Option<Entry> {
        self.devices.iter().find_map(|device| {
            let sender = no(device.user);
            let open = |message: &&Message| {
                let gone = matches!(message.state, State::RefusedForGood | State::GivenUp);
                let stored = self.store.entry(slot, sender, message.key).is_some();
                message.to == slot && !gone && !message.struck_off && !stored
            };
            let message = device.outbox.iter().find(open)?;
            let sent = matches!(message.state, State::Unanswered | State::Refused);
            let may = sent && !message.shared && self.store.is_member(slot, sender);
            may.then_some(Entry { sender, key: message.key, hash: message.hash, edit: None })
        })
    }

    // Time.

    fn now(&self) -> Instant {
        self.start + self.elapsed
    }

    fn pass(&mut self, seconds: u64) {
        self.elapsed += Duration::from_secs(seconds);
        let now = self.now();
        self.journal(journal::Input::Tick);
        self.give_up_wishes();
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
                    message.struck_off = true;
                    assert!(struck_off.insert(message.to), "more than the first was struck off");
                }
            }
            self.perform_session(session, effects);
        }
    }
}
