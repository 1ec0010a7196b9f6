//! A tiny model of the server and its clients, from which come histories of runs that kept everything.
//!
//! The server does one thing at a time; what makes it hard to judge is what is on its way: commands that have not
//! arrived, answers that were lost with their connection, pushes that come late, a store that is away or loses data.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rookery::ids::Platform;
use rookery::protocol::Code;

use super::chaos::history::{
    Answer, Claims, Command, Conn, Entry, Event, Heads, History, Log, Parting, Peer, Presence,
    Push, Stream, What,
};
use super::chaos::outbox::{Message, Outbox, comes_again};
use super::common::groups::Random;
use super::script::{ack, entry};

const USERS: [&str; 3] = ["alice", "bob", "carol"];
const DEVICES: [(&str, Platform); 3] =
    [("phone", Platform::Ios), ("other-phone", Platform::Android), ("tab", Platform::Web)];
const NODES: [&str; 2] = ["n1", "n2"];
const GROUP: &str = "eng";
/// How long a refused message is awaited.
const AWAITED_US: u64 = 30_000_000;

/// A good history from a seed.
pub fn history(seed: u64) -> History {
    let mut world = World::new(seed);
    for _ in 0..600 + world.random.below(900) {
        world.step();
    }
    world.end();
    world.history
}

struct World {
    random: Random,
    history: History,
    now_us: u64,
    devices: Vec<Device>,
    server: Server,
    sessions: BTreeMap<Conn, Session>,
    written: u64,
    commands: u64,
    /// Epochs that the store has had.
    epoch: u64,
    is_calm: bool,
}

struct Device {
    user: &'static str,
    device: &'static str,
    platform: Platform,
    conn: Option<Conn>,
    login_no: Option<u64>,
    outbox: Outbox,
    /// What was acked, to be sent again now and then.
    acked: Vec<(Log, Message)>,
}

/// One connection: what is on its way to the server and from it.
struct Session {
    device: usize,
    commands: VecDeque<(u64, Command)>,
    frames: VecDeque<Frame>,
    /// The server knows it: it is in, and was not ended.
    is_in: bool,
    login_no: u64,
    awaited: BTreeMap<Log, (VecDeque<String>, u64)>,
    closing: bool,
}

enum Frame {
    Answer(u64, Answer),
    Push(Push),
    Close(u16),
}

#[derive(Default)]
struct Server {
    logs: BTreeMap<Log, Vec<Entry>>,
    /// What was appended with which epoch of the owner.
    owned: Vec<(Log, u64, u64)>,
    owner: u64,
    inboxes: BTreeMap<&'static str, Vec<(Log, u64)>>,
    read: BTreeMap<(&'static str, Log), u64>,
    delivered: BTreeMap<(&'static str, Log), u64>,
    logins: BTreeMap<&'static str, u64>,
    is_away: bool,
    message_ids: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let device = |user, (device, platform)| Device {
            user,
            device,
            platform,
            conn: None,
            login_no: None,
            outbox: Outbox::default(),
            acked: Vec::new(),
        };
        let devices =
            USERS.iter().flat_map(|user| DEVICES.iter().map(move |own| device(*user, *own)));
        let mut world = Self {
            random: Random(seed),
            history: History::default(),
            now_us: 0,
            devices: devices.collect(),
            server: Server::default(),
            sessions: BTreeMap::new(),
            written: 0,
            commands: 0,
            epoch: 1,
            is_calm: false,
        };
        world.see(What::Began { seed, mode: "per_class".to_owned() });
        world
    }

    fn see(&mut self, what: What) {
        self.history.events.push(Event { at_us: self.now_us, what });
    }

    fn step(&mut self) {
        self.now_us += 1 + self.random.below(40_000) as u64;
        let device = self.random.below(self.devices.len());
        match self.random.below(100) {
            0..14 => self.write(device),
            14..40 => self.act(device),
            40..65 => self.serve(),
            65..92 => self.hear(),
            92..95 => self.break_connection(device),
            95 => self.server.is_away = !self.server.is_away,
            96 => self.rest(),
            97 => self.server.owner += 1,
            98 => self.kick(device),
            _ if self.random.below(12) == 0 => self.lose_data(),
            _ if self.random.below(3) == 0 => self.be_calm(),
            _ => {}
        }
    }

    /// For a while nothing is wrong: who is online is pushed all that is new.
    fn be_calm(&mut self) {
        self.all_arrives();
        self.now_us += 1;
        let from_us = self.now_us;
        (self.is_calm, self.server.is_away) = (true, false);
        for _ in 0..150 {
            self.now_us += 1 + self.random.below(5_000) as u64;
            let device = self.random.below(self.devices.len());
            match self.random.below(10) {
                0..2 => self.write(device),
                2..5 => self.act(device),
                5..7 => self.serve(),
                _ => self.hear(),
            }
        }
        self.all_arrives();
        self.now_us += 11_000_000;
        self.is_calm = false;
        let lasted_us = self.now_us - from_us;
        self.see(What::Calm { lasted_us, moved: Vec::new(), told_us: lasted_us });
    }

    /// All that is on its way arrives, and then nothing happens for a while.
    fn rest(&mut self) {
        self.all_arrives();
        self.now_us += self.random.below(40_000_000) as u64;
    }

    fn all_arrives(&mut self) {
        let conns: Vec<Conn> = self.sessions.keys().copied().collect();
        for conn in &conns {
            while self.sessions.get(conn).is_some_and(|it| !it.closing && !it.commands.is_empty()) {
                self.serve_one(*conn);
            }
        }
        for conn in &conns {
            while self.sessions.get(conn).is_some_and(|it| !it.frames.is_empty()) {
                self.hear_one(*conn);
            }
        }
    }

    fn some_log(&mut self, user: &str) -> Log {
        match self.random.below(5) {
            0 | 1 => Log::group(GROUP),
            _ => Log::pair(user, USERS[self.random.below(USERS.len())]),
        }
    }

    /// A person writes something, or an old message goes out again, with its body or with another.
    fn write(&mut self, device: usize) {
        let log = self.some_log(self.devices[device].user);
        self.written += 1;
        let (key, body) = (format!("k{}", self.written), format!("body {}", self.written));
        let again = self.random.below(8);
        let own = &mut self.devices[device];
        match own.acked.last().cloned() {
            Some((log, message)) if again == 0 => own.outbox.write(&log, message),
            Some((log, Message { key, .. })) if again == 1 => {
                own.outbox.write(&log, Message { key, body });
            }
            _ => own.outbox.write(&log, Message { key, body }),
        }
    }

    /// A client does what it has to do next.
    fn act(&mut self, device: usize) {
        let Some(conn) = self.devices[device].conn else {
            self.connect(device);
            return;
        };
        if self.devices[device].login_no.is_none() {
            return;
        }
        let id = self.commands + 1;
        let is_sending = self.random.below(3) > 0;
        let outbox = &mut self.devices[device].outbox;
        let command = match is_sending.then(|| outbox.next(self.now_us, id)).flatten() {
            Some((log, Message { key, body })) => Command::Send { log, key, body },
            None => self.some_command(device),
        };
        self.ask(conn, command);
    }

    fn some_command(&mut self, device: usize) -> Command {
        let log = self.some_log(self.devices[device].user);
        let seq = self.random.below(8) as u64;
        match self.random.below(8) {
            0..3 => Command::Read { log, seq },
            3 if log.users().is_some_and(|(one, other)| one != other) => {
                Command::Received { log, seq }
            }
            4 => Command::History { log, after: Some(seq), before: None },
            5 => Command::History { log, after: None, before: None },
            6 => Command::Inbox { after: seq },
            _ => Command::Other { name: "ping".to_owned() },
        }
    }

    fn ask(&mut self, conn: Conn, command: Command) {
        self.commands += 1;
        let id = self.commands;
        self.see(What::Sent { conn, id, command: command.clone() });
        if let Some(session) = self.sessions.get_mut(&conn) {
            session.commands.push_back((id, command));
        }
    }

    fn connect(&mut self, device: usize) {
        let conn = self.history.events.len() as Conn;
        let node = NODES[self.random.below(NODES.len())].to_owned();
        let own = &mut self.devices[device];
        own.conn = Some(conn);
        own.outbox.start_again();
        let resume = own.login_no.take();
        let (user, name, platform) = (own.user.to_owned(), own.device.to_owned(), own.platform);
        self.see(What::Opened { conn, user, device: name, platform, node });
        self.sessions.insert(
            conn,
            Session {
                device,
                commands: VecDeque::new(),
                frames: VecDeque::new(),
                is_in: false,
                login_no: 0,
                awaited: BTreeMap::new(),
                closing: false,
            },
        );
        self.ask(conn, Command::Login { resume });
    }

    fn some_conn(&mut self) -> Option<Conn> {
        let conns: Vec<Conn> = self.sessions.keys().copied().collect();
        (!conns.is_empty()).then(|| conns[self.random.below(conns.len())])
    }

    /// The server carries out the next command of a connection.
    fn serve(&mut self) {
        if let Some(conn) = self.some_conn() {
            self.serve_one(conn);
        }
    }

    fn serve_one(&mut self, conn: Conn) {
        let Some(session) = self.sessions.get_mut(&conn).filter(|session| !session.closing) else {
            return;
        };
        let Some((id, command)) = session.commands.pop_front() else { return };
        let device = session.device;
        let user = self.devices[device].user;
        let answer = match command {
            Command::Login { resume } => self.log_in(conn, resume),
            _ if !session.is_in => Answer::Refused { code: Code::NotLoggedIn, awaited: None },
            Command::Send { log, key, body } => self.take(conn, &log, &key, &body),
            Command::Read { log, seq } => {
                let head = self.server.logs.get(&log).map_or(0, Vec::len) as u64;
                let read = self.server.read.entry((user, log.clone())).or_default();
                *read = (*read).max(seq.min(head));
                let seq = *read;
                let delivered = self.server.delivered.entry((user, log.clone())).or_default();
                *delivered = (*delivered).max(seq);
                self.tell_read(&log, user, seq);
                Answer::Cursor { log, seq }
            }
            Command::Received { log, seq } => {
                let head = self.server.logs.get(&log).map_or(0, Vec::len) as u64;
                let cursor = self.server.delivered.entry((user, log.clone())).or_default();
                *cursor = (*cursor).max(seq.min(head));
                Answer::Cursor { seq: *cursor, log }
            }
            Command::History { log, after, .. } => self.page(user, log, after),
            Command::Inbox { after } => {
                let entries = self.inbox_of(user);
                let head = entries.len() as u64;
                let mut entries: Vec<_> = entries.into_iter().skip(after as usize).collect();
                let has_more = entries.len() > 3;
                entries.truncate(3);
                Answer::InboxPage { head, has_more, entries }
            }
            _ => Answer::Done,
        };
        if let Some(session) = self.sessions.get_mut(&conn) {
            let is_lost = matches!(answer, Answer::Refused { code: Code::Conflict, .. });
            session.frames.push_back(Frame::Answer(id, answer));
            if is_lost {
                session.frames.push_back(Frame::Close(4501));
                session.closing = true;
            }
        }
    }

    /// The policy: phones end each other, a device ends its own older session, and what comes back by itself gives way.
    fn log_in(&mut self, conn: Conn, resume: Option<u64>) -> Answer {
        let device = self.sessions[&conn].device;
        let user = self.devices[device].user;
        let is_phone = |device: usize| self.devices[device].platform != Platform::Web;
        let losers: Vec<Conn> = self
            .sessions
            .iter()
            .filter(|(_, other)| {
                other.is_in
                    && self.devices[other.device].user == user
                    && (other.device == device || is_phone(other.device) && is_phone(device))
            })
            .map(|(conn, _)| *conn)
            .collect();
        // Its session may have been ended while it was away; only the last login of the user can be sure of its place.
        let last = self.server.logins.entry(user).or_default();
        if resume.is_some_and(|resume| resume != *last) {
            return Answer::Refused { code: Code::Conflict, awaited: None };
        }
        *last += 1;
        let login_no = *last;
        for loser in losers {
            self.end_session(loser);
        }
        if let Some(session) = self.sessions.get_mut(&conn) {
            session.is_in = true;
            session.login_no = login_no;
        }
        Answer::LoggedIn { login_no, epoch: format!("e{}", self.epoch), heads: self.heads(user) }
    }

    fn heads(&self, user: &str) -> Heads {
        let group = Log::group(GROUP);
        let head = self.server.logs.get(&group).map_or(0, Vec::len) as u64;
        let inbox = self.server.inboxes.get(user).map_or(0, Vec::len) as u64;
        Heads { inbox, groups: [(group, head)].into() }
    }

    fn end_session(&mut self, conn: Conn) {
        if let Some(session) = self.sessions.get_mut(&conn) {
            session.is_in = false;
            session.closing = true;
            let reason = "policy".to_owned();
            session.frames.push_back(Frame::Push(Push::Kicked { reason }));
            session.frames.push_back(Frame::Close(4501));
        }
    }

    /// Takes a send: in order, once, and not while the store is away.
    fn take(&mut self, conn: Conn, log: &Log, key: &str, body: &str) -> Answer {
        let refused = |code, awaited| Answer::Refused { code, awaited };
        let (now, device) = (self.now_us, self.sessions[&conn].device);
        let user = self.devices[device].user;
        let (is_away, fault) = (self.server.is_away, self.random.below(12));
        let before = self.stored(log, user, key);
        let Some(session) = self.sessions.get_mut(&conn) else { return Answer::Done };
        let (awaited, since) =
            session.awaited.entry(log.clone()).or_insert_with(|| (VecDeque::new(), now));
        if !awaited.is_empty() && now - *since >= AWAITED_US {
            awaited.pop_front();
            *since = now;
        }
        if let Some(first) = awaited.front().filter(|first| *first != key) {
            let first = first.clone();
            if !awaited.iter().any(|own| own == key) {
                awaited.push_back(key.to_owned());
            }
            return refused(Code::OrderBroken, Some(first));
        }
        awaited.pop_front();
        if is_away || fault < 2 {
            awaited.push_front(key.to_owned());
            *since = now;
            // It may have been stored all the same.
            if fault < 2 && !is_away {
                if before.is_none() && fault == 0 {
                    self.append(device, log, key, body);
                }
                return refused(Code::OutcomeUnknown, None);
            }
            return refused(Code::Unavailable, None);
        }
        match before {
            Some(before) if before.body != body => refused(Code::KeyReused, None),
            Some(before) => ack(&before, true),
            None => {
                let stored = self.append(device, log, key, body);
                ack(&stored, false)
            }
        }
    }

    fn stored(&self, log: &Log, user: &str, key: &str) -> Option<Entry> {
        let mut entries = self.server.logs.get(log)?.iter();
        entries.find(|entry| entry.from == user && entry.key == key).cloned()
    }

    fn append(&mut self, device: usize, log: &Log, key: &str, body: &str) -> Entry {
        let user = self.devices[device].user;
        let seq = self.server.logs.get(log).map_or(0, Vec::len) as u64 + 1;
        self.server.message_ids += 1;
        let message_id = self.server.message_ids;
        let stored = Entry { message_id, ..entry(log, seq, user, key, body) };
        self.server.logs.entry(log.clone()).or_default().push(stored.clone());
        match log.users() {
            Some((one, other)) => {
                let owners: BTreeSet<&str> = [one, other].into();
                for owner in USERS.iter().filter(|user| owners.contains(**user)) {
                    self.server.inboxes.entry(owner).or_default().push((log.clone(), seq));
                }
            }
            None => self.server.owned.push((log.clone(), seq, self.server.owner)),
        }
        // A push may be left out where something is wrong: whoever misses it finds it later.
        let conns: Vec<Conn> = self.sessions.keys().copied().collect();
        for conn in conns {
            let own = &self.sessions[&conn];
            let viewer = self.devices[own.device].user;
            let sees = log.users().is_none_or(|(one, other)| one == viewer || other == viewer);
            if own.is_in
                && own.device != device
                && sees
                && (self.is_calm || self.random.below(10) > 0)
            {
                let entry = self.as_seen(viewer, &stored);
                if let Some(session) = self.sessions.get_mut(&conn) {
                    session.frames.push_back(Frame::Push(Push::Message { entry }));
                }
            }
        }
        self.as_seen(user, &stored)
    }

    /// An entry with the place that it has in a viewer's inbox.
    fn as_seen(&self, viewer: &str, entry: &Entry) -> Entry {
        let inbox = self.server.inboxes.get(viewer).and_then(|inbox| {
            inbox.iter().position(|(log, seq)| *log == entry.log && *seq == entry.seq)
        });
        Entry { inbox: inbox.map(|place| place as u64 + 1), ..entry.clone() }
    }

    fn inbox_of(&self, user: &str) -> Vec<Entry> {
        let places = self.server.inboxes.get(user).into_iter().flatten();
        places
            .map(|(log, seq)| self.as_seen(user, &self.server.logs[log][*seq as usize - 1]))
            .collect()
    }

    fn page(&self, user: &str, log: Log, after: Option<u64>) -> Answer {
        let all = self.server.logs.get(&log).map_or(&[][..], Vec::as_slice);
        let head = all.len() as u64;
        let from = after.unwrap_or(head.saturating_sub(3)).min(head) as usize;
        let to = all.len().min(from + 3);
        let entries = all[from..to].iter().map(|entry| self.as_seen(user, entry)).collect();
        let has_more = if after.is_some() { to < all.len() } else { from > 0 };
        let peer = log.users().filter(|(one, other)| one != other).map(|(one, other)| {
            let peer = if one == user { other } else { one };
            let of = |cursors: &BTreeMap<(&'static str, Log), u64>| {
                let mut own = cursors.iter().filter(|((own, at), _)| *own == peer && *at == log);
                own.next().map_or(0, |(_, seq)| *seq)
            };
            Peer { delivered: of(&self.server.delivered), read: Some(of(&self.server.read)) }
        });
        Answer::Page { log, min_seq: 1, head, has_more, entries, peer }
    }

    fn tell_read(&mut self, log: &Log, user: &str, seq: u64) {
        let Some((one, other)) = log.users().filter(|(one, other)| one != other) else { return };
        let peer = if one == user { other } else { one };
        for session in self.sessions.values_mut() {
            if session.is_in && self.devices[session.device].user == peer {
                let (log, user) = (log.clone(), user.to_owned());
                session.frames.push_back(Frame::Push(Push::Read { log, seq, user }));
            }
        }
    }

    /// A client sees the next frame of its connection.
    fn hear(&mut self) {
        if let Some(conn) = self.some_conn() {
            self.hear_one(conn);
        }
    }

    fn hear_one(&mut self, conn: Conn) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        let device = session.device;
        match session.frames.pop_front() {
            Some(Frame::Answer(id, answer)) => {
                self.see(What::Answered { conn, id, answer: answer.clone() });
                self.learn(device, id, answer);
            }
            Some(Frame::Push(push)) => self.see(What::Pushed { conn, push }),
            Some(Frame::Close(code)) => {
                self.part(device, Parting::Server { code });
                // A person logs in anew.
                self.devices[device].login_no = None;
            }
            None => {}
        }
    }

    fn learn(&mut self, device: usize, id: u64, answer: Answer) {
        let own = &mut self.devices[device];
        match answer {
            Answer::LoggedIn { login_no, .. } => own.login_no = Some(login_no),
            Answer::Acked { .. } => own.acked.extend(own.outbox.settled(id)),
            Answer::Refused { code, .. } if comes_again(code) => {
                own.outbox.again(id, self.now_us + 500_000);
            }
            Answer::Refused { .. } => {
                own.outbox.settled(id);
            }
            _ => {}
        }
    }

    fn part(&mut self, device: usize, how: Parting) {
        let Some(conn) = self.devices[device].conn.take() else { return };
        self.see(What::Parted { conn, how });
        if let Some(session) = self.sessions.remove(&conn) {
            // Some of what was on its way still arrives, and nobody hears of it.
            let arrives = self.random.below(session.commands.len() + 1);
            self.sessions.insert(conn, session);
            for _ in 0..arrives {
                self.serve_last(conn);
            }
            self.sessions.remove(&conn);
        }
    }

    fn serve_last(&mut self, conn: Conn) {
        let Some(session) = self.sessions.get_mut(&conn).filter(|it| it.is_in) else { return };
        if let Some((_, Command::Send { log, key, body })) = session.commands.pop_front() {
            self.take(conn, &log, &key, &body);
        }
    }

    fn break_connection(&mut self, device: usize) {
        let how = if self.random.below(4) == 0 { Parting::Client } else { Parting::Broken };
        self.part(device, how);
    }

    fn kick(&mut self, device: usize) {
        if let Some(conn) = self.devices[device].conn
            && self.sessions[&conn].is_in
        {
            let last = self.server.logins.entry(self.devices[device].user).or_default();
            *last += 1;
            self.end_session(conn);
        }
    }

    /// The store comes back with less than it had, under another epoch, and all sessions are gone.
    fn lose_data(&mut self) {
        for device in 0..self.devices.len() {
            // What was on its way went nowhere.
            if let Some(conn) = self.devices[device].conn.take() {
                self.see(What::Parted { conn, how: Parting::Broken });
                self.sessions.remove(&conn);
            }
        }
        let kept = self.random.below(4) as u64;
        for entries in self.server.logs.values_mut() {
            entries.truncate(entries.len().saturating_sub(kept as usize));
        }
        let logs = &self.server.logs;
        let is_there =
            |log: &Log, seq: u64| logs.get(log).is_some_and(|own| seq <= own.len() as u64);
        for inbox in self.server.inboxes.values_mut() {
            inbox.retain(|(log, seq)| is_there(log, *seq));
        }
        self.server.owned.retain(|(log, seq, _)| is_there(log, *seq));
        let fall = |cursors: &mut BTreeMap<(&'static str, Log), u64>| {
            for ((_, log), seq) in cursors {
                *seq = (*seq).min(logs.get(log).map_or(0, Vec::len) as u64);
            }
        };
        fall(&mut self.server.read);
        fall(&mut self.server.delivered);
        self.epoch += 1;
        self.see(What::StoreEpoch { epoch: format!("e{}", self.epoch) });
    }

    /// All comes to rest, and everything is read back.
    fn end(&mut self) {
        self.server.is_away = false;
        for conn in self.sessions.keys().copied().collect::<Vec<_>>() {
            let device = self.sessions[&conn].device;
            self.part(device, Parting::Client);
        }
        let epoch = format!("e{}", self.epoch);
        for node in NODES {
            for (log, entries) in self.server.logs.clone() {
                let readers = log.users().map_or(USERS.to_vec(), |(one, _)| vec![one]);
                let readers: Vec<String> = readers.into_iter().map(str::to_owned).collect();
                for user in readers {
                    let (node, epoch, log) = (node.to_owned(), epoch.clone(), log.clone());
                    let (min_seq, head, entries) = (1, entries.len() as u64, entries.clone());
                    self.see(What::ReadBack { node, user, epoch, log, min_seq, head, entries });
                }
            }
            for user in USERS {
                let entries = self.inbox_of(user);
                let (node, epoch, head) = (node.to_owned(), epoch.clone(), entries.len() as u64);
                self.see(What::InboxBack { node, user: user.to_owned(), epoch, head, entries });
            }
        }
        for user in USERS {
            let (state, platforms) = ("online".to_owned(), vec!["web:online".to_owned()]);
            let text = Some(format!("text {}", self.random.below(5)));
            let presence = Presence { state, platforms, status: None, text };
            self.see(What::Truth { user: user.to_owned(), presence: presence.clone() });
            for node in NODES {
                let (watcher, node, user) = ("bob".to_owned(), node.to_owned(), user.to_owned());
                let presence = presence.clone();
                self.see(What::Seen { watcher, node, user, presence, asked: false });
            }
        }
        for shard_epoch in 0..=self.server.owner {
            let node = NODES[shard_epoch as usize % NODES.len()].to_owned();
            self.see(What::Claimed { shard: 7, shard_epoch, node });
        }
        for (log, seq, shard_epoch) in self.server.owned.clone() {
            let node = Some(NODES[shard_epoch as usize % NODES.len()].to_owned());
            let under = Claims { shard_epoch, fence: seq };
            self.see(What::Owned { log, shard: 7, seq, node, under, until: under });
        }
        self.positions();
    }

    /// What of its inbox each device was shown in one piece from the beginning, where that is all.
    fn positions(&mut self) {
        for user in USERS {
            let head = self.inbox_of(user).len() as u64;
            for (device, _) in DEVICES {
                let seen = self.seen_by(user, device);
                if head > 0 && (1..=head).all(|place| seen.contains(&place)) {
                    let (user, device) = (user.to_owned(), device.to_owned());
                    let of = Stream::Inbox;
                    self.see(What::Position { user, device, of, from: 0, to: head });
                }
            }
        }
    }

    fn seen_by(&self, user: &str, device: &str) -> BTreeSet<u64> {
        let mut conns = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for event in &self.history.events {
            match &event.what {
                What::Opened { conn, user: own, device: name, .. }
                    if own == user && name == device =>
                {
                    conns.insert(*conn);
                }
                What::Pushed { conn, push: Push::Message { entry } } if conns.contains(conn) => {
                    seen.extend(entry.inbox);
                }
                What::Answered { conn, answer, .. } if conns.contains(conn) => match answer {
                    Answer::Acked { inbox, .. } => seen.extend(*inbox),
                    Answer::Page { entries, .. } | Answer::InboxPage { entries, .. } => {
                        seen.extend(entries.iter().filter_map(|entry| entry.inbox));
                    }
                    _ => {}
                },
                _ => {}
            }
        }
        seen
    }
}
