//! A history, looked through once: what belongs together, found from either end.

use std::collections::{BTreeMap, HashMap};

use rookery::ids::Platform;
use rookery::protocol::Code;

use super::super::history::{
    Answer, Command, Conn, Entry, Event, History, Log, Parting, Push, What,
};

/// A connection, and the session that it became.
pub struct Session<'h> {
    pub conn: Conn,
    pub user: &'h str,
    pub device: &'h str,
    pub platform: Platform,
    pub login: Option<Login<'h>>,
    /// Where the last frame of the server stands.
    pub last_heard: Option<usize>,
    pub parted: Option<(usize, Parting)>,
}

/// A login that was answered with ok.
pub struct Login<'h> {
    pub sent: usize,
    pub replied: usize,
    pub no: u64,
    pub resume: Option<u64>,
    pub epoch: &'h str,
}

/// A command and its answer, if one came.
pub struct Asked<'h> {
    pub conn: Conn,
    pub sent: usize,
    pub command: &'h Command,
    pub answer: Option<(usize, &'h Answer)>,
    /// The epoch that the session knew when the answer came.
    pub epoch: &'h str,
}

/// A message as its sender names it: where to, by whom, under which client message id.
pub type Key<'h> = (&'h Log, &'h str, &'h str);

/// One time that a message was sent.
pub struct Copy<'h> {
    pub conn: Conn,
    pub sent: usize,
    pub body: &'h str,
    pub answer: Option<(usize, &'h Answer)>,
    pub epoch: &'h str,
}

/// The ok of a send.
pub struct Ack<'h> {
    pub at: usize,
    pub sent: usize,
    pub conn: Conn,
    pub key: Key<'h>,
    pub body: &'h str,
    pub epoch: &'h str,
    pub log: &'h Log,
    pub seq: u64,
    pub inbox: Option<u64>,
    pub message_id: u64,
    pub sent_at_ms: i64,
    pub duplicate: bool,
}

/// An entry that somebody was shown.
#[derive(Clone, Copy)]
pub struct Sight<'h> {
    pub at: usize,
    pub entry: &'h Entry,
    pub epoch: &'h str,
    /// Who saw it, and from which device unless it was read back in the end.
    pub user: &'h str,
    pub device: Option<&'h str>,
}

/// A log as it was read back in the end, by all who did so.
#[derive(Default)]
pub struct Stored<'h> {
    pub entries: BTreeMap<u64, (usize, &'h Entry)>,
    pub seqs: HashMap<(&'h str, &'h str), u64>,
    /// Where it was read back.
    pub read_at: Vec<usize>,
    pub first: u64,
    pub head: u64,
}

pub struct Index<'h> {
    pub events: &'h [Event],
    pub mode: &'h str,
    pub sessions: BTreeMap<Conn, Session<'h>>,
    pub asked: Vec<Asked<'h>>,
    /// Answers to what was not asked, or was answered already.
    pub unasked: Vec<usize>,
    pub copies: BTreeMap<Key<'h>, Vec<Copy<'h>>>,
    pub acks: Vec<Ack<'h>>,
    pub sights: Vec<Sight<'h>>,
    /// The epoch of the store at the end.
    pub epoch: &'h str,
    pub stored: BTreeMap<&'h Log, Stored<'h>>,
}

impl<'h> Index<'h> {
    pub fn of(history: &'h History) -> Self {
        let mut index = Self {
            events: &history.events,
            mode: "all",
            sessions: BTreeMap::new(),
            asked: Vec::new(),
            unasked: Vec::new(),
            copies: BTreeMap::new(),
            acks: Vec::new(),
            sights: Vec::new(),
            epoch: "",
            stored: BTreeMap::new(),
        };
        index.look_through();
        index.gather_sends();
        index.gather_stored();
        index
    }

    fn look_through(&mut self) {
        let mut epochs: HashMap<Conn, &str> = HashMap::new();
        let mut open: HashMap<(Conn, u64), usize> = HashMap::new();
        for (at, event) in self.events.iter().enumerate() {
            if let (What::Answered { conn, .. } | What::Pushed { conn, .. }, Some(session)) =
                (&event.what, event.what.conn().and_then(|conn| self.sessions.get_mut(&conn)))
            {
                debug_assert_eq!(*conn, session.conn);
                session.last_heard = Some(at);
            }
            match &event.what {
                What::Began { mode, .. } => self.mode = mode,
                What::Opened { conn, user, device, platform, .. } => {
                    let (conn, platform) = (*conn, *platform);
                    let (login, last_heard, parted) = (None, None, None);
                    let session =
                        Session { conn, user, device, platform, login, last_heard, parted };
                    self.sessions.insert(conn, session);
                }
                What::Sent { conn, id, command } => {
                    open.insert((*conn, *id), self.asked.len());
                    let (conn, sent, answer) = (*conn, at, None);
                    self.asked.push(Asked { conn, sent, command, answer, epoch: "" });
                }
                What::Answered { conn, id, answer } => {
                    let Some(place) = open.remove(&(*conn, *id)) else {
                        self.unasked.push(at);
                        continue;
                    };
                    if let Answer::LoggedIn { epoch, .. } | Answer::Synced { epoch, .. } = answer {
                        epochs.insert(*conn, epoch);
                        self.epoch = epoch;
                    }
                    let asked = &mut self.asked[place];
                    asked.answer = Some((at, answer));
                    asked.epoch = epochs.get(conn).copied().unwrap_or_default();
                    self.answered(*conn, place, at, answer);
                }
                What::Pushed { conn, push: Push::Message { entry } } => {
                    let epoch = epochs.get(conn).copied().unwrap_or_default();
                    self.see(*conn, at, epoch, std::slice::from_ref(entry));
                }
                What::Parted { conn, how } => {
                    if let Some(session) = self.sessions.get_mut(conn) {
                        session.parted = Some((at, *how));
                    }
                }
                What::ReadBack { user, epoch, entries, .. }
                | What::InboxBack { user, epoch, entries, .. } => {
                    self.epoch = epoch;
                    let sight = |entry| Sight { at, entry, epoch, user, device: None };
                    self.sights.extend(entries.iter().map(sight));
                }
                What::StoreEpoch { epoch } => self.epoch = epoch,
                _ => {}
            }
        }
    }

    fn answered(&mut self, conn: Conn, place: usize, at: usize, answer: &'h Answer) {
        let asked = &self.asked[place];
        let (sent, epoch) = (asked.sent, asked.epoch);
        match (asked.command, answer) {
            (Command::Login { resume }, Answer::LoggedIn { login_no, epoch, .. }) => {
                if let Some(session) = self.sessions.get_mut(&conn) {
                    let (no, resume) = (*login_no, *resume);
                    session.login = Some(Login { sent, replied: at, no, resume, epoch });
                }
            }
            (_, Answer::Page { entries, .. } | Answer::InboxPage { entries, .. }) => {
                self.see(conn, at, epoch, entries);
            }
            _ => {}
        }
    }

    fn see(&mut self, conn: Conn, at: usize, epoch: &'h str, entries: &'h [Entry]) {
        let Some(session) = self.sessions.get(&conn) else { return };
        let (user, device) = (session.user, Some(session.device));
        self.sights.extend(entries.iter().map(|entry| Sight { at, entry, epoch, user, device }));
    }

    fn gather_sends(&mut self) {
        for asked in &self.asked {
            let (Command::Send { log, key, body }, Some(session)) =
                (asked.command, self.sessions.get(&asked.conn))
            else {
                continue;
            };
            let key: Key<'_> = (log, session.user, key);
            let Asked { conn, sent, answer, epoch, .. } = *asked;
            self.copies.entry(key).or_default().push(Copy { conn, sent, body, answer, epoch });
            if let Some((
                at,
                Answer::Acked { log, seq, inbox, message_id, sent_at_ms, duplicate },
            )) = answer
            {
                self.acks.push(Ack {
                    at,
                    sent,
                    conn,
                    key,
                    body,
                    epoch,
                    log,
                    seq: *seq,
                    inbox: *inbox,
                    message_id: *message_id,
                    sent_at_ms: *sent_at_ms,
                    duplicate: *duplicate,
                });
            }
        }
        self.acks.sort_by_key(|ack| ack.at);
    }

    fn gather_stored(&mut self) {
        for (at, event) in self.events.iter().enumerate() {
            let What::ReadBack { epoch, log, min_seq, head, entries, .. } = &event.what else {
                continue;
            };
            if epoch != self.epoch {
                continue;
            }
            let new = || Stored { first: *min_seq, ..Stored::default() };
            let stored = self.stored.entry(log).or_insert_with(new);
            stored.read_at.push(at);
            stored.first = stored.first.min(*min_seq);
            stored.head = stored.head.max(*head);
            for entry in entries {
                stored.entries.entry(entry.seq).or_insert((at, entry));
                stored.seqs.entry((&entry.from, &entry.key)).or_insert(entry.seq);
            }
        }
    }

    /// Microseconds since the run began.
    pub fn time_us(&self, at: usize) -> u64 {
        self.events[at].at_us
    }
}

impl Copy<'_> {
    /// Whether this copy was certainly not stored.
    ///
    /// `order_broken` says only that another message must come first: this one may have been in the very batch of which
    /// the outcome is unknown.
    pub fn is_refused(&self) -> bool {
        match self.answer {
            Some((_, Answer::Refused { code, .. })) => {
                !matches!(code, Code::OutcomeUnknown | Code::OrderBroken | Code::Unknown)
            }
            _ => false,
        }
    }

    /// Whether this copy was refused for good: what the session sends after it does not wait for it.
    pub fn is_final(&self) -> bool {
        match self.answer {
            Some((_, Answer::Refused { code, .. })) => {
                // A session awaits what it refused because its token had run out.
                !code.is_curable() && *code != Code::TokenExpired
            }
            _ => false,
        }
    }
}
