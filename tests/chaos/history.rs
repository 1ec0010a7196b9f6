//! What was seen of a run from outside: by its clients, and by whoever looked into the store at its end.
//!
//! A history holds all that the checker judges by, so that one which failed can be kept as lines of JSON and judged again.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use rookery::ids::Platform;
use rookery::protocol::Code;
use serde::{Deserialize, Serialize};

/// All that was seen, in the order in which it was.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    pub events: Vec<Event>,
}

/// One thing that was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Microseconds since the run began, by a clock that never goes back.
    pub at_us: u64,
    #[serde(flatten)]
    pub what: What,
}

/// A connection of a run. What is said on one after its login is said in one session.
pub type Conn = u32;

/// What was seen. What a client sends stands before the moment at which it leaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// The run begins: under which seed, and with which mode of the login policy.
    Began { seed: u64, mode: String },
    /// A connection was opened for a device of a user.
    Opened { conn: Conn, user: String, device: String, platform: Platform, node: String },
    /// A command is about to leave.
    Sent { conn: Conn, id: u64, command: Command },
    /// The reply to a command came.
    Answered { conn: Conn, id: u64, answer: Answer },
    /// An event came.
    Pushed { conn: Conn, push: Push },
    /// A connection ended.
    Parted { conn: Conn, how: Parting },
    /// At the end: a device that follows the protocol has all from behind `from` up to `to`.
    Position { user: String, device: String, of: Stream, from: u64, to: u64 },
    /// At the end: the whole of a log, as a user reads it through a node.
    ReadBack {
        node: String,
        user: String,
        epoch: String,
        log: Log,
        min_seq: u64,
        head: u64,
        entries: Vec<Entry>,
    },
    /// At the end: the whole of a user's inbox, through a node.
    InboxBack { node: String, user: String, epoch: String, head: u64, entries: Vec<Entry> },
    /// How a user really is, from now on.
    Truth { user: String, presence: Presence },
    /// How somebody else sees a user: what a session was told last (`asked` is false), or what it gets for asking.
    Seen { watcher: String, node: String, user: String, presence: Presence, asked: bool },
    /// By whom an entry of a group's log was appended, and which claims stood then and when it was committed, if the
    /// harness can find out.
    Owned { log: Log, seq: u64, shard: u16, node: Option<String>, under: Claims, until: Claims },
    /// The store names this node as the owner of a shard, for as long as the shard has this epoch.
    Claimed { shard: u16, shard_epoch: u64, node: String },
    /// Until now nothing was wrong with any node or with what it needs. Of these groups the owners changed all the
    /// same: nodes share them out while they have more than others. For so long from its beginning nodes lost nothing
    /// of what they told each other.
    Calm { lasted_us: u64, moved: Vec<Log>, told_us: u64 },
    /// The store has another epoch: it lost committed data.
    StoreEpoch { epoch: String },
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "snake_case")]
pub enum Command {
    Login { resume: Option<u64> },
    Logout,
    Send { log: Log, key: String, body: String },
    Received { log: Log, seq: u64 },
    Read { log: Log, seq: u64 },
    History { log: Log, after: Option<u64>, before: Option<u64> },
    Inbox { after: u64 },
    Kick { device: Option<String> },
    Other { name: String },
}

/// What a client is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    LoggedIn {
        login_no: u64,
        epoch: String,
        heads: Heads,
    },
    Synced {
        epoch: String,
        heads: Heads,
    },
    Acked {
        log: Log,
        seq: u64,
        inbox: Option<u64>,
        message_id: u64,
        sent_at_ms: i64,
        duplicate: bool,
    },
    Cursor {
        log: Log,
        seq: u64,
    },
    Page {
        log: Log,
        min_seq: u64,
        head: u64,
        has_more: bool,
        entries: Vec<Entry>,
        peer: Option<Peer>,
    },
    InboxPage {
        head: u64,
        has_more: bool,
        entries: Vec<Entry>,
    },
    Done,
    Refused {
        code: Code,
        awaited: Option<String>,
    },
}

/// What a client is told without asking.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Push {
    Message { entry: Entry },
    Delivered { log: Log, seq: u64, user: String, by: String },
    Read { log: Log, seq: u64, user: String },
    Presence { users: Vec<(String, Presence)> },
    Kicked { reason: String },
    SyncNeeded,
    Other { name: String },
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Parting {
    /// The server closed it with this code.
    Server { code: u16 },
    /// It broke, or nothing more came of it.
    Broken,
    /// The client closed it.
    Client,
}

/// What has places that a device counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    Inbox,
    Log(Log),
}

/// An entry of a log, as it was shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub log: Log,
    pub seq: u64,
    /// Its place in the inbox of the one who sees it, where it has one.
    pub inbox: Option<u64>,
    pub from: String,
    pub key: String,
    pub message_id: u64,
    pub sent_at_ms: i64,
    pub body: String,
    /// The server wrote it.
    pub notice: bool,
}

/// Up to where there was something when a client asked, as far as it could know by the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heads {
    pub inbox: u64,
    pub groups: BTreeMap<Log, u64>,
}

/// Under what an entry of a group is appended: the epoch of the group's shard, and the fence of the journal that
/// appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub shard_epoch: u64,
    pub fence: u64,
}

/// How far the other side of a pair is, as a page says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    pub delivered: u64,
    pub read: Option<u64>,
}

/// How a user is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    pub state: String,
    /// Each as `web:online`, in the order of the alphabet.
    pub platforms: Vec<String>,
    pub status: Option<String>,
    pub text: Option<String>,
}

/// A conversation by one name for all who see it: `group:eng`, or the two users of a pair in the order of the alphabet.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Log(String);

impl Log {
    pub fn pair(one: &str, other: &str) -> Self {
        Self(format!("{},{}", one.min(other), one.max(other)))
    }

    pub fn group(id: &str) -> Self {
        Self(format!("group:{id}"))
    }

    /// The one that `viewer` calls by this name, as `user:bob`.
    pub fn seen_by(viewer: &str, conversation: &str) -> Option<Self> {
        match conversation.split_once(':')? {
            ("user", other) => Some(Self::pair(viewer, other)),
            ("group", id) => Some(Self::group(id)),
            _ => None,
        }
    }

    /// The two of a pair; the same twice, where one talks to oneself.
    pub fn users(&self) -> Option<(&str, &str)> {
        self.0.split_once(',')
    }

    /// What `viewer` calls it.
    pub fn name_for(&self, viewer: &str) -> String {
        match self.users() {
            Some((one, other)) => format!("user:{}", if one == viewer { other } else { one }),
            None => self.0.clone(),
        }
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl What {
    /// The connection on which it was seen, if it was on one.
    pub fn conn(&self) -> Option<Conn> {
        match self {
            Self::Opened { conn, .. }
            | Self::Sent { conn, .. }
            | Self::Answered { conn, .. }
            | Self::Pushed { conn, .. }
            | Self::Parted { conn, .. } => Some(*conn),
            _ => None,
        }
    }
}

impl History {
    /// One event a line.
    pub fn to_lines(&self) -> String {
        let line = |event: &Event| serde_json::to_string(event).unwrap() + "\n";
        self.events.iter().map(line).collect()
    }

    pub fn from_lines(lines: &str) -> Result<Self, serde_json::Error> {
        let events: Result<_, _> = lines.lines().map(serde_json::from_str).collect();
        Ok(Self { events: events? })
    }

    /// Keeps it in a file.
    pub fn save(&self, path: &Path) -> std::io::Result<()> {
        std::fs::write(path, self.to_lines())
    }

    /// What a run came to, in one line: what it was that was judged.
    pub fn sum(&self) -> String {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for event in &self.events {
            let kind = match &event.what {
                What::Opened { .. } => "connections".to_owned(),
                What::Answered { answer: Answer::LoggedIn { .. }, .. } => "logins".to_owned(),
                What::Answered { answer: Answer::Acked { duplicate, .. }, .. } => {
                    if *duplicate { "repeats" } else { "acks" }.to_owned()
                }
                What::Answered { answer: Answer::Refused { code, .. }, .. } => {
                    code.as_str().to_owned()
                }
                What::Answered { answer: Answer::Cursor { .. }, .. } => "cursors".to_owned(),
                What::Pushed { push: Push::Message { .. }, .. } => "pushes".to_owned(),
                What::Pushed { push: Push::Kicked { .. }, .. } => "kicks".to_owned(),
                What::Pushed { push: Push::SyncNeeded, .. } => "told to sync".to_owned(),
                What::Owned { .. } => "owned".to_owned(),
                What::Parted { how: Parting::Broken, .. } => "broken connections".to_owned(),
                What::StoreEpoch { .. } => "store epochs".to_owned(),
                _ => continue,
            };
            *counts.entry(kind).or_default() += 1;
        }
        let counts: Vec<_> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        format!("{} events: {}", self.events.len(), counts.join(", "))
    }

    /// One event for people: when, who, what.
    pub fn tell(&self, at: usize) -> String {
        let event = &self.events[at];
        let who = event.what.conn().and_then(|conn| {
            self.events.iter().find_map(|other| match &other.what {
                What::Opened { conn: own, user, device, node, .. } if *own == conn => {
                    Some(format!("{user}/{device}@{node} "))
                }
                _ => None,
            })
        });
        let what = serde_json::to_string(&event.what).unwrap();
        format!("{at:6} {:>12} µs  {}{what}", event.at_us, who.unwrap_or_default())
    }
}
