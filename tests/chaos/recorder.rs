//! Bare connections whose every frame goes into a history.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rookery::client::raw::{Connection, OpenError, Opening, Parted};
use rookery::ids::Platform;
use rookery::protocol::Code;
use serde_json::{Value, json};

use super::history::{
    Answer, Command, Conn, Entry, Event, Heads, History, Log, Parting, Peer, Presence, Push, What,
};

/// What a text says that is longer is told by what it hashes to.
const TEXT_BYTES: usize = 200;

/// Takes down what is seen of a run, in the order in which it is seen. Its clones write into one history.
#[derive(Clone)]
pub struct Recorder(Arc<Inner>);

struct Inner {
    began: Instant,
    events: Mutex<Vec<Event>>,
    conns: AtomicU32,
}

/// A device of a user.
#[derive(Debug, Clone)]
pub struct Device {
    pub user: String,
    pub id: String,
    pub platform: Platform,
}

/// Where a node's clients connect.
#[derive(Debug, Clone)]
pub struct Door {
    /// The node's name in the history.
    pub node: String,
    /// As `127.0.0.1:8800`.
    pub address: String,
}

impl Recorder {
    /// Begins a history of a run with this seed, under this mode of the login policy.
    pub fn new(seed: u64, mode: &str) -> Self {
        let (events, conns) = (Mutex::default(), AtomicU32::default());
        let recorder = Self(Arc::new(Inner { began: Instant::now(), events, conns }));
        recorder.see(What::Began { seed, mode: mode.to_owned() });
        recorder
    }

    /// Takes something down.
    pub fn see(&self, what: What) {
        let mut events = self.0.events.lock().unwrap();
        // Read under the lock, so that times rise along the history.
        events.push(Event { at_us: self.now_us(), what });
    }

    /// Microseconds since the run began.
    pub fn now_us(&self) -> u64 {
        self.0.began.elapsed().as_micros() as u64
    }

    /// All that was seen until now.
    pub fn history(&self) -> History {
        History { events: self.0.events.lock().unwrap().clone() }
    }

    /// Opens a connection for a device.
    pub async fn open(
        &self,
        device: &Device,
        door: &Door,
        opening: &Opening,
    ) -> Result<Recorded, OpenError> {
        let connection = Connection::open_with(&door.address, opening).await?;
        let conn = self.0.conns.fetch_add(1, Ordering::Relaxed);
        self.see(What::Opened {
            conn,
            user: device.user.clone(),
            device: device.id.clone(),
            platform: device.platform,
            node: door.node.clone(),
        });
        let (recorder, user) = (self.clone(), device.user.clone());
        let (asked, had, last_id, has_parted) = (HashMap::new(), HashMap::new(), 0, false);
        Ok(Recorded { recorder, conn, user, connection, asked, had, last_id, has_parted })
    }
}

/// A connection of which all is taken down, its end as well.
pub struct Recorded {
    recorder: Recorder,
    conn: Conn,
    user: String,
    connection: Connection,
    asked: HashMap<u64, Command>,
    /// What the client had when it asked for heads.
    had: HashMap<u64, Heads>,
    last_id: u64,
    has_parted: bool,
}

impl Recorded {
    /// The id of the next command.
    pub fn next_id(&self) -> u64 {
        self.last_id + 1
    }

    /// Sends a command and does not wait; its id.
    pub async fn submit(&mut self, cmd: &str, body: Value) -> Result<u64, Parted> {
        self.last_id += 1;
        let (conn, id) = (self.conn, self.last_id);
        let command = command(&self.user, cmd, &body);
        self.asked.insert(id, command.clone());
        if let Some(position) = position(cmd, &body) {
            self.had.insert(id, position);
        }
        // Before it leaves: nobody may see what comes of it earlier.
        self.recorder.see(What::Sent { conn, id, command });
        let frame = json!({"id": id, "cmd": cmd, "body": body});
        let sent = self.connection.send_frame(&frame).await;
        sent.inspect_err(|parted| self.part(how(parted)))?;
        Ok(id)
    }

    /// The next frame. Nothing is lost when the future is dropped.
    pub async fn frame(&mut self) -> Result<Value, Parted> {
        let came = self.connection.frame().await;
        match &came {
            Ok(frame) => self.heard(frame),
            Err(parted) => self.part(how(parted)),
        }
        came
    }

    /// Ends it without a word, as one of which nothing more came.
    pub fn give_up(mut self) {
        self.part(Parting::Broken);
    }

    fn heard(&mut self, frame: &Value) {
        let conn = self.conn;
        if let Some(id) = frame["re"].as_u64() {
            let asked = self.asked.remove(&id);
            let mut answer = answer(&self.user, asked.as_ref(), frame);
            if let Some(had) = self.had.remove(&id) {
                add_position(&mut answer, had);
            }
            self.recorder.see(What::Answered { conn, id, answer });
        } else {
            let push = push(&self.user, frame);
            self.recorder.see(What::Pushed { conn, push });
        }
    }

    fn part(&mut self, how: Parting) {
        if !std::mem::replace(&mut self.has_parted, true) {
            self.recorder.see(What::Parted { conn: self.conn, how });
        }
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        self.part(Parting::Client);
    }
}

fn how(parted: &Parted) -> Parting {
    parted.code().map_or(Parting::Broken, |code| Parting::Server { code })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A number, or one that travels as a string.
fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_default()
}

fn log(user: &str, value: &Value) -> Log {
    let name = value.as_str().unwrap_or_default();
    Log::seen_by(user, name).unwrap_or_else(|| Log::group(&format!("unreadable {name}")))
}

fn body_of(content: &Value) -> String {
    match content["type"].as_str() {
        Some("text") => {
            let text = text(&content["text"]);
            if text.len() <= TEXT_BYTES { text } else { hash_of(&text) }
        }
        _ => content.to_string(),
    }
}

fn hash_of(text: &str) -> String {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("{} bytes, {:016x}", text.len(), hasher.finish())
}

/// What a client says that it has when it asks for the heads.
fn position(cmd: &str, body: &Value) -> Option<Heads> {
    let position = match cmd {
        "login" => &body["sync"],
        "sync" => body,
        _ => return None,
    };
    let groups = position["groups"].as_object().into_iter().flatten();
    let groups = groups.map(|(id, seq)| (Log::group(id), number(seq))).collect();
    Some(Heads { inbox: number(&position["inbox"]), groups })
}

/// A group that an answer does not name has nothing that the client does not have.
fn add_position(answer: &mut Answer, had: Heads) {
    if let Answer::LoggedIn { heads, .. } | Answer::Synced { heads, .. } = answer {
        for (log, seq) in had.groups {
            heads.groups.entry(log).or_insert(seq);
        }
    }
}

/// The heads that an answer names.
fn heads(synced: &Value) -> Heads {
    let named = synced["groups"].as_array().into_iter().flatten();
    let head = |group: &Value| (Log::group(&text(&group["group"])), number(&group["head"]));
    Heads { inbox: number(&synced["inbox"]), groups: named.map(head).collect() }
}

fn command(user: &str, cmd: &str, body: &Value) -> Command {
    let conversation = || log(user, &body["conversation"]);
    match cmd {
        "login" => Command::Login { resume: body.get("resume").map(|it| number(&it["login_no"])) },
        "logout" => Command::Logout,
        "message.send" => Command::Send {
            log: log(user, &body["to"]),
            key: text(&body["client_msg_id"]),
            body: body_of(&body["content"]),
        },
        "message.received" => Command::Received { log: conversation(), seq: number(&body["seq"]) },
        "message.read" => Command::Read { log: conversation(), seq: number(&body["seq"]) },
        "message.history" => Command::History {
            log: conversation(),
            after: body["after"].as_u64(),
            before: body["before"].as_u64(),
        },
        "message.inbox" => Command::Inbox { after: number(&body["after"]) },
        "device.kick" => Command::Kick { device: body["device"].as_str().map(str::to_owned) },
        name => Command::Other { name: name.to_owned() },
    }
}

fn answer(user: &str, asked: Option<&Command>, frame: &Value) -> Answer {
    let ok = &frame["ok"];
    if !ok.is_object() {
        let error = &frame["error"];
        let code = serde_json::from_value(error["code"].clone()).unwrap_or(Code::Unknown);
        let awaited = error["client_msg_id"].as_str().map(str::to_owned);
        return Answer::Refused { code, awaited };
    }
    let conversation = || log(user, &ok["conversation"]);
    match asked {
        Some(Command::Login { .. }) => {
            let (login_no, epoch) = (number(&ok["login_no"]), text(&ok["epoch"]));
            Answer::LoggedIn { login_no, epoch, heads: heads(&ok["sync"]) }
        }
        Some(Command::Send { .. }) => Answer::Acked {
            log: conversation(),
            seq: number(&ok["seq"]),
            inbox: ok["inbox"].as_u64(),
            message_id: number(&ok["message_id"]),
            sent_at_ms: ok["sent_at_ms"].as_i64().unwrap_or_default(),
            duplicate: ok["duplicate"] == true,
        },
        Some(Command::Received { .. } | Command::Read { .. }) => {
            Answer::Cursor { log: conversation(), seq: number(&ok["seq"]) }
        }
        Some(Command::History { log, .. }) => Answer::Page {
            log: log.clone(),
            min_seq: number(&ok["min_seq"]),
            head: number(&ok["head"]),
            has_more: ok["has_more"] == true,
            entries: entries(user, &ok["messages"]),
            peer: ok.get("peer").map(|peer| Peer {
                delivered: number(&peer["delivered"]),
                read: peer["read"].as_u64(),
            }),
        },
        Some(Command::Inbox { .. }) => Answer::InboxPage {
            head: number(&ok["head"]),
            has_more: ok["has_more"] == true,
            entries: entries(user, &ok["messages"]),
        },
        Some(Command::Other { name }) if name == "sync" => {
            Answer::Synced { epoch: text(&ok["epoch"]), heads: heads(ok) }
        }
        Some(Command::Logout | Command::Kick { .. } | Command::Other { .. }) | None => Answer::Done,
    }
}

fn push(user: &str, frame: &Value) -> Push {
    let body = &frame["body"];
    let conversation = || log(user, &body["conversation"]);
    match frame["event"].as_str().unwrap_or_default() {
        "message.new" => Push::Message { entry: entry(user, body) },
        "message.delivered" => Push::Delivered {
            log: conversation(),
            seq: number(&body["seq"]),
            user: text(&body["user"]),
            by: text(&body["by"]),
        },
        "message.read" if body.get("user").is_some() => {
            Push::Read { log: conversation(), seq: number(&body["seq"]), user: text(&body["user"]) }
        }
        "presence.changed" => Push::Presence { users: presences(body) },
        "session.kicked" => Push::Kicked { reason: text(&body["reason"]) },
        "sync.needed" => Push::SyncNeeded,
        name => Push::Other { name: name.to_owned() },
    }
}

/// Entries as a user is shown them.
pub fn entries(user: &str, messages: &Value) -> Vec<Entry> {
    messages.as_array().into_iter().flatten().map(|message| entry(user, message)).collect()
}

fn entry(user: &str, message: &Value) -> Entry {
    let content = &message["content"];
    Entry {
        log: log(user, &message["conversation"]),
        seq: number(&message["seq"]),
        inbox: message["inbox"].as_u64(),
        from: text(&message["from"]),
        key: text(&message["client_msg_id"]),
        message_id: number(&message["message_id"]),
        sent_at_ms: message["sent_at_ms"].as_i64().unwrap_or_default(),
        body: body_of(content),
        notice: content["type"] == "notice",
    }
}

/// How users are, by an answer or an event that says it.
pub fn presences(body: &Value) -> Vec<(String, Presence)> {
    let presence = |one: &Value| {
        let platforms = one["platforms"].as_array().into_iter().flatten();
        let mut platforms: Vec<String> = platforms
            .map(|it| format!("{}:{}", text(&it["platform"]), text(&it["state"])))
            .collect();
        platforms.sort_unstable();
        let (status, words) = (one["status"].as_str(), one["text"].as_str());
        let presence = Presence {
            state: text(&one["state"]),
            platforms,
            status: status.map(str::to_owned),
            text: words.map(str::to_owned),
        };
        (text(&one["user"]), presence)
    };
    body["presences"].as_array().into_iter().flatten().map(presence).collect()
}
