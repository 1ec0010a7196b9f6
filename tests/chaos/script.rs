//! Histories written by hand: who did what, one line each.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use rookery::ids::Platform;
use rookery::protocol::Code;

use super::chaos::checker::{Rule, Violation, check};
use super::chaos::history::{
    Answer, Command, Conn, Entry, Event, Heads, History, Log, Parting, Push, What,
};

/// Between two events of a script.
const STEP_US: u64 = 1_000;
/// No violation needs more events than these to be seen.
const WITNESS: usize = 4;

/// A history that is being written.
pub struct Script {
    pub history: History,
    pub epoch: String,
    /// What those who log in are told.
    pub heads: Heads,
    now_us: u64,
    commands: u64,
    logins: HashMap<String, u64>,
    /// Connections that have not ended, with whose they are.
    open: Vec<(Conn, String)>,
}

/// A command that waits for its answer.
#[derive(Clone, Copy)]
pub struct Asked {
    pub conn: Conn,
    pub id: u64,
}

/// The entry that a message becomes at this place; its message id follows from its key.
pub fn entry(log: &Log, seq: u64, from: &str, key: &str, body: &str) -> Entry {
    let mut hasher = DefaultHasher::new();
    (log, from, key).hash(&mut hasher);
    Entry {
        log: log.clone(),
        seq,
        inbox: None,
        from: from.to_owned(),
        key: key.to_owned(),
        message_id: hasher.finish() >> 1,
        sent_at_ms: seq as i64,
        body: body.to_owned(),
        notice: false,
    }
}

/// How an entry is acked.
pub fn ack(entry: &Entry, duplicate: bool) -> Answer {
    Answer::Acked {
        log: entry.log.clone(),
        seq: entry.seq,
        inbox: entry.inbox.filter(|_| !duplicate),
        message_id: entry.message_id,
        sent_at_ms: entry.sent_at_ms,
        duplicate,
    }
}

impl Script {
    pub fn new() -> Self {
        Self::in_mode("per_class")
    }

    pub fn in_mode(mode: &str) -> Self {
        let mut script = Self {
            history: History::default(),
            epoch: "e1".to_owned(),
            heads: Heads::default(),
            now_us: 0,
            commands: 0,
            logins: HashMap::new(),
            open: Vec::new(),
        };
        script.see(What::Began { seed: 0, mode: mode.to_owned() });
        script
    }

    /// Writes down an event; its place.
    pub fn see(&mut self, what: What) -> usize {
        self.now_us += STEP_US;
        self.history.events.push(Event { at_us: self.now_us, what });
        self.history.events.len() - 1
    }

    pub fn wait(&mut self, time: Duration) {
        self.now_us += time.as_micros() as u64;
    }

    /// All that time until now, and since the beginning, nothing was wrong.
    pub fn be_calm(&mut self, time: Duration) {
        self.wait(time);
        let lasted_us = self.now_us;
        self.see(What::Calm { lasted_us, moved: Vec::new(), told_us: lasted_us });
    }

    pub fn open(&mut self, user: &str, device: &str, platform: Platform) -> Conn {
        let conn = self.history.events.len() as Conn;
        let (user, device) = (user.to_owned(), device.to_owned());
        self.open.push((conn, user.clone()));
        self.see(What::Opened { conn, user, device, platform, node: "n1".to_owned() });
        conn
    }

    /// Opens a connection and logs in on it.
    pub fn log_in(&mut self, user: &str, device: &str, platform: Platform) -> Conn {
        self.come_back(user, device, platform, None)
    }

    /// The same as the client does it by itself.
    pub fn come_back(
        &mut self,
        user: &str,
        device: &str,
        platform: Platform,
        resume: Option<u64>,
    ) -> Conn {
        let conn = self.open(user, device, platform);
        let asked = self.ask(conn, Command::Login { resume });
        self.logged_in(asked, user);
        conn
    }

    pub fn logged_in(&mut self, asked: Asked, user: &str) {
        let login_no = self.logins.entry(user.to_owned()).or_default();
        *login_no += 1;
        let (login_no, epoch) = (*login_no, self.epoch.clone());
        let heads = self.heads.clone();
        self.answer(asked, Answer::LoggedIn { login_no, epoch, heads });
    }

    pub fn ask(&mut self, conn: Conn, command: Command) -> Asked {
        self.commands += 1;
        let id = self.commands;
        self.see(What::Sent { conn, id, command });
        Asked { conn, id }
    }

    pub fn answer(&mut self, asked: Asked, answer: Answer) {
        let Asked { conn, id } = asked;
        self.see(What::Answered { conn, id, answer });
    }

    /// Sends a message that would become this entry.
    pub fn send(&mut self, conn: Conn, entry: &Entry) -> Asked {
        let (log, key, body) = (entry.log.clone(), entry.key.clone(), entry.body.clone());
        self.ask(conn, Command::Send { log, key, body })
    }

    /// Sends it and has it acked.
    pub fn store(&mut self, conn: Conn, entry: &Entry) {
        let asked = self.send(conn, entry);
        self.answer(asked, ack(entry, false));
    }

    pub fn refuse(&mut self, asked: Asked, code: Code) {
        self.answer(asked, Answer::Refused { code, awaited: None });
    }

    pub fn push(&mut self, conn: Conn, push: Push) {
        self.see(What::Pushed { conn, push });
    }

    pub fn show(&mut self, conn: Conn, entry: &Entry) {
        self.push(conn, Push::Message { entry: entry.clone() });
    }

    pub fn part(&mut self, conn: Conn, how: Parting) {
        self.open.retain(|(own, _)| *own != conn);
        self.see(What::Parted { conn, how });
    }

    /// A page of the log behind a seq, with nothing behind it.
    pub fn page(&mut self, conn: Conn, log: &Log, after: u64, entries: &[Entry]) {
        let asked =
            self.ask(conn, Command::History { log: log.clone(), after: Some(after), before: None });
        let head = entries.last().map_or(after, |entry| entry.seq);
        let page = Answer::Page {
            log: log.clone(),
            min_seq: 1,
            head,
            has_more: false,
            entries: entries.to_vec(),
            peer: None,
        };
        self.answer(asked, page);
    }

    /// A log as it is read in the end.
    pub fn read_back(&mut self, node: &str, log: &Log, entries: &[Entry]) {
        self.see(What::ReadBack {
            node: node.to_owned(),
            user: "alice".to_owned(),
            epoch: self.epoch.clone(),
            log: log.clone(),
            min_seq: 1,
            head: entries.last().map_or(0, |entry| entry.seq),
            entries: entries.to_vec(),
        });
    }

    /// A user's inbox as it is read in the end.
    pub fn inbox_back(&mut self, user: &str, entries: &[Entry]) {
        self.see(What::InboxBack {
            node: "n1".to_owned(),
            user: user.to_owned(),
            epoch: self.epoch.clone(),
            head: entries.last().and_then(|entry| entry.inbox).unwrap_or_default(),
            entries: entries.to_vec(),
        });
    }

    /// Ends all connections, and says what was not kept.
    pub fn judged(mut self) -> (History, Vec<Violation>) {
        for (conn, _) in std::mem::take(&mut self.open) {
            self.part(conn, Parting::Client);
        }
        let violations = check(&self.history);
        (self.history, violations)
    }

    /// One thing was not kept, by this rule, and few events show it.
    #[track_caller]
    pub fn breaks(self, rule: Rule) -> Violation {
        let (history, mut violations) = self.judged();
        let told: Vec<_> = violations.iter().map(|it| it.tell(&history)).collect();
        assert_eq!(violations.len(), 1, "{}", told.join("\n"));
        let violation = violations.remove(0);
        assert_eq!(violation.rule, rule, "{}", told[0]);
        assert!((1..=WITNESS).contains(&violation.witness.len()), "{}", told[0]);
        violation
    }

    /// All was kept.
    #[track_caller]
    pub fn holds(self) {
        let (history, violations) = self.judged();
        let told: Vec<_> = violations.iter().map(|it| it.tell(&history)).collect();
        assert!(violations.is_empty(), "{}", told.join("\n"));
    }
}
