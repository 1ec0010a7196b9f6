//! A client that follows the protocol whatever happens to it, and in between does what people do.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use rookery::client::raw::{Opening, Transport};
use rookery::ids::{ClientMsgId, UnixMs};
use rookery::protocol::Code;
use rookery::protocol::codec::Codec;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::super::common::chat::now;
use super::super::common::groups::Random;
use super::habits::{Habit, another_is_in};
use super::history::{Log, Presence, Stream, What};
use super::outbox::{Message, Outbox, comes_again};
use super::position::Position;
use super::recorder::{Device, Recorded, presences};
use super::workload::{Phase, Shared, Status};

/// How often a client looks whether there is something to do.
const TURN: Duration = Duration::from_millis(20);
/// Commands that are unanswered at most, fewer than the server reads at once.
const IN_FLIGHT: usize = 24;
/// Messages that are not settled at most; people wait then.
const UNSETTLED: usize = 12;
/// People say what they have to say in one line or in a few, each sent while the one before is on its way.
const MORE_LINES: usize = 4;
const PING_EVERY: Duration = Duration::from_secs(5);
/// A connection of which nothing is heard for so long is dead.
const DEAD_AFTER: Duration = Duration::from_secs(20);
/// What is missing is pulled when it has not come by itself.
const PULL_AFTER: Duration = Duration::from_millis(200);
/// How often it asks how others are, until that is true.
const ASKS_EVERY: Duration = Duration::from_millis(200);
const LOGIN_WITHIN: Duration = Duration::from_secs(20);

/// What a command was for.
enum Purpose {
    Send,
    Pull,
    Sync,
    Ping,
    SetStatus(String),
    Presence,
    Other,
}

/// A client, and what it keeps over its connections.
pub struct Client {
    pub(super) device: Device,
    pub(super) shared: Shared,
    phase: watch::Receiver<Phase>,
    status: watch::Sender<Status>,
    pub(super) random: Random,
    pub(super) logs: Vec<Log>,
    /// Beside this device the user has phones, which push each other out.
    phones: Vec<String>,
    is_phone: bool,
    pub(super) outbox: Outbox,
    acked: Vec<(Log, Message)>,
    position: Position,
    login_no: Option<String>,
    pub(super) written: u64,
    /// Where it has more to say, a line each turn.
    more_for: Vec<Log>,
    /// What it wants to be said of its user, and what was confirmed.
    wanted: Option<String>,
    confirmed: Option<String>,
    /// Whether it has said it once more since all that was wrong is over: what it said before without an answer may have
    /// been written after what it said then.
    has_said_again: bool,
    told: HashMap<String, Presence>,
    pub(super) habit: Habit,
    /// Whether it leaves in peace only when it is told to: what it was not pushed must not be put down to that.
    stays_in_peace: bool,
    /// When it first did something in peace.
    pub(super) in_peace: Option<Instant>,
}

/// What belongs to one connection.
pub(super) struct Session {
    pub(super) conn: Recorded,
    asked: HashMap<u64, Purpose>,
    heard: Instant,
    pinged: Instant,
    pulled: Instant,
    /// The node that it is with.
    node: String,
    /// In which phase it last asked for the heads, and whether it has to.
    synced_in: Option<Phase>,
    must_sync: bool,
    /// The highest seq shown of each log, and up to where it was answered for.
    shown: BTreeMap<Log, (u64, u64)>,
    receipts: Instant,
}

/// How a session came to its end, as far as it matters for the next.
pub(super) enum End {
    /// It may be resumed.
    Broken,
    /// A person has to log in again.
    Decided,
    /// There is nothing more to do.
    Done,
}

impl Client {
    pub fn new(
        device: Device,
        shared: Shared,
        phase: watch::Receiver<Phase>,
        seed: u64,
        logs: Vec<Log>,
        phones: Vec<String>,
        habit: Habit,
    ) -> (Self, watch::Receiver<Status>) {
        let is_phone = phones.contains(&device.id);
        let (status, told) = watch::channel(Status::default());
        let client = Self {
            device,
            shared,
            phase,
            status,
            random: Random(seed),
            logs,
            phones,
            is_phone,
            outbox: Outbox::default(),
            acked: Vec::new(),
            position: Position::default(),
            login_no: None,
            written: 0,
            more_for: Vec::new(),
            wanted: None,
            confirmed: None,
            has_said_again: false,
            told: HashMap::new(),
            stays_in_peace: habit == Habit::Slow,
            habit,
            in_peace: None,
        };
        (client, told)
    }

    /// Lives until the run is over.
    pub async fn live(mut self) {
        while !self.is_over() {
            // One that was pushed out has no reason to come back before it is to look whether it has all.
            let phase = *self.phase.borrow();
            let may_rest = self.is_phone && phase == Phase::Settling && self.outbox.len() == 0;
            if may_rest {
                self.tell(true, false);
                self.pause(20, 60).await;
                continue;
            }
            let end = match self.log_in().await {
                Ok(session) => self.take_part(session).await,
                Err(end) => end,
            };
            match end {
                End::Broken => self.pause(20, 400).await,
                End::Decided => {
                    self.login_no = None;
                    self.pause(300, 1_500).await;
                }
                End::Done => break,
            }
        }
    }

    pub(super) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    fn is_over(&self) -> bool {
        self.phase() == Phase::Over
    }

    async fn pause(&mut self, least_ms: usize, most_ms: usize) {
        let wait = least_ms + self.random.below(most_ms - least_ms);
        tokio::time::sleep(Duration::from_millis(wait as u64)).await;
    }

    async fn log_in(&mut self) -> Result<Session, End> {
        let door = &self.shared.doors[self.random.below(self.shared.doors.len())];
        let codec = [Codec::Json, Codec::MessagePack][self.random.below(2)];
        let receive_buffer = self.habit.receive_buffer();
        let opening = Opening { receive_buffer, ..Opening::by(Transport::WebSocket, codec) };
        let opened = self.shared.recorder.open(&self.device, door, &opening).await;
        let mut conn = opened.map_err(|_| End::Broken)?;
        let user = &self.device.user;
        let mut body = json!({
            "user": user,
            "token": (self.shared.token)(user),
            "device": {"id": self.device.id, "platform": self.device.platform},
            "sync": self.position.body(),
        });
        if let Some(login_no) = &self.login_no {
            body["resume"] = json!({"login_no": login_no});
        }
        let reply = tokio::time::timeout(LOGIN_WITHIN, async {
            let id = conn.submit("login", body).await?;
            loop {
                let frame = conn.frame().await?;
                if frame["re"] == id {
                    return Ok::<_, rookery::client::raw::Parted>(frame);
                }
            }
        });
        let reply = match reply.await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) => return Err(End::Broken),
            Err(_) => {
                conn.give_up();
                return Err(End::Broken);
            }
        };
        let ok = &reply["ok"];
        if !ok.is_object() {
            let is_lost = reply["error"]["code"] == "conflict";
            return Err(if is_lost { End::Decided } else { End::Broken });
        }
        self.login_no = ok["login_no"].as_str().map(str::to_owned);
        if self.is_phone
            && let Some(phones) = self.shared.phones_in.get(&self.device.user)
        {
            phones.send_replace(self.device.id.clone());
        }
        self.position.synced(&ok["sync"]);
        self.outbox.start_again();
        let now = Instant::now();
        let mut session = Session {
            conn,
            asked: HashMap::new(),
            heard: now,
            pinged: now,
            pulled: now,
            node: door.node.clone(),
            synced_in: None,
            must_sync: false,
            shown: BTreeMap::new(),
            receipts: now,
        };
        if !self.is_phone {
            self.told.clear();
            let others: Vec<_> = self.shared.users.iter().filter(|it| **it != *user).collect();
            let watch = json!({"users": others, "ttl_s": 3_600});
            session.ask("presence.watch", watch, Purpose::Presence).await?;
        }
        Ok(session)
    }

    async fn take_part(&mut self, mut session: Session) -> End {
        let mut turn = tokio::time::interval(TURN);
        turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut phones = self.phones_in();
        loop {
            let step = tokio::select! {
                frame = session.conn.frame() => match frame {
                    Ok(frame) => self.heard(&mut session, &frame),
                    Err(parted) if parted.code().is_some_and(|code| code >= 4500) => {
                        Err(End::Decided)
                    }
                    Err(_) => Err(End::Broken),
                },
                () = another_is_in(&mut phones, &self.device.id), if self.is_phone => {
                    self.insist(&mut session).await
                }
                _ = turn.tick() => self.act(&mut session).await,
            };
            if let Err(end) = step {
                return end;
            }
            if session.heard.elapsed() > DEAD_AFTER {
                session.conn.give_up();
                return End::Broken;
            }
        }
    }

    fn heard(&mut self, session: &mut Session, frame: &Value) -> Result<(), End> {
        session.heard = Instant::now();
        if let Some(id) = frame["re"].as_u64() {
            let purpose = session.asked.remove(&id);
            return self.answered(session, id, purpose, frame);
        }
        let body = &frame["body"];
        match frame["event"].as_str().unwrap_or_default() {
            "message.new" => self.show(session, body),
            "presence.changed" => self.told.extend(presences(body)),
            "sync.needed" => session.must_sync = true,
            "session.kicked" => return Err(End::Decided),
            _ => {}
        }
        Ok(())
    }

    fn answered(
        &mut self,
        session: &mut Session,
        id: u64,
        purpose: Option<Purpose>,
        frame: &Value,
    ) -> Result<(), End> {
        let (ok, error) = (&frame["ok"], &frame["error"]);
        match purpose {
            Some(Purpose::Send) if ok.is_object() => {
                self.position.saw(ok);
                let settled = self.outbox.settled(id);
                self.acked.extend(settled);
            }
            Some(Purpose::Send) => {
                let code: Code =
                    serde_json::from_value(error["code"].clone()).unwrap_or(Code::Unknown);
                if comes_again(code) {
                    let wait_ms = error["retry_after_ms"].as_u64().unwrap_or(50);
                    let at_us = self.shared.recorder.now_us() + 1_000 * wait_ms;
                    self.outbox.again(id, at_us);
                } else {
                    self.outbox.settled(id);
                }
            }
            Some(Purpose::Pull) => {
                for message in ok["messages"].as_array().into_iter().flatten() {
                    self.show(session, message);
                }
            }
            Some(Purpose::Sync) if ok.is_object() => self.position.synced(ok),
            Some(Purpose::Sync) => session.must_sync = true,
            Some(Purpose::Ping) => self.position.is_behind(&ok["behind"]),
            Some(Purpose::SetStatus(text)) if ok.is_object() => self.confirmed = Some(text),
            Some(Purpose::Presence) if !ok.is_object() => return Err(End::Broken),
            Some(Purpose::Presence) => self.told.extend(presences(ok)),
            _ => {}
        }
        Ok(())
    }

    fn show(&mut self, session: &mut Session, message: &Value) {
        self.position.saw(message);
        let name = message["conversation"].as_str().unwrap_or_default();
        if let (Some(log), Some(seq)) =
            (Log::seen_by(&self.device.user, name), message["seq"].as_u64())
        {
            let (shown, _) = session.shown.entry(log).or_default();
            *shown = (*shown).max(seq);
        }
    }

    /// Does what is due, and what comes to mind.
    async fn act(&mut self, session: &mut Session) -> Result<(), End> {
        let phase = *self.phase.borrow();
        if phase == Phase::Peace {
            let just_begun = self.in_peace.is_none();
            self.follow_habit().await;
            // A session that began in peace: of one that came when nodes did not answer in time nothing is judged.
            if just_begun && self.stays_in_peace {
                return Err(End::Broken);
            }
        }
        if phase <= Phase::Talking {
            self.come_to_mind(session).await?;
        }
        self.send_on(session).await?;
        self.keep_up(session, phase).await?;
        if self.confirmed != self.wanted
            && let Some(text) = self.wanted.clone()
            && !session.asked.values().any(|it| matches!(it, Purpose::SetStatus(_)))
        {
            let body = json!({"status": "busy", "text": text});
            session.ask("presence.set", body, Purpose::SetStatus(text)).await?;
        }
        self.end_well(session, phase).await
    }

    /// Sends of what was written as much as may be unanswered.
    pub(super) async fn send_on(&mut self, session: &mut Session) -> Result<(), End> {
        while session.asked.len() < IN_FLIGHT {
            let id = session.conn.next_id();
            let Some((log, message)) = self.outbox.next(self.shared.recorder.now_us(), id) else {
                break;
            };
            let to = log.name_for(&self.device.user);
            let content = json!({"type": "text", "text": message.body});
            let send = json!({"to": to, "client_msg_id": message.key, "content": content});
            session.ask("message.send", send, Purpose::Send).await?;
        }
        Ok(())
    }

    /// Receipts, heartbeats, and what is missing.
    async fn keep_up(&mut self, session: &mut Session, phase: Phase) -> Result<(), End> {
        if session.receipts.elapsed() >= Duration::from_millis(500) {
            session.receipts = Instant::now();
            let new: Vec<_> =
                session.shown.iter_mut().filter(|(_, (shown, told))| shown > told).collect();
            let mut receipts = Vec::new();
            for (log, (shown, told)) in new {
                *told = *shown;
                receipts.push((log.clone(), *shown));
            }
            for (log, seq) in receipts {
                let is_read = self.random.below(2) == 0 || log.users().is_none();
                let cmd = if is_read { "message.read" } else { "message.received" };
                let own = log.users().is_some_and(|(one, other)| one == other);
                if !own {
                    let conversation = log.name_for(&self.device.user);
                    let body = json!({"conversation": conversation, "seq": seq});
                    session.ask(cmd, body, Purpose::Other).await?;
                }
            }
        }
        if session.pinged.elapsed() >= PING_EVERY {
            session.pinged = Instant::now();
            let position = self.position.body();
            let body = json!({"inbox": position["inbox"], "groups": position["groups"]});
            session.ask("ping", body, Purpose::Ping).await?;
        }
        // After `sync.needed`, and for the heads as they are when others have ceased to speak.
        let is_new = phase > Phase::Talking && session.synced_in != Some(phase);
        if session.must_sync || is_new {
            session.must_sync = false;
            session.synced_in = Some(phase);
            session.ask("sync", self.position.body(), Purpose::Sync).await?;
        }
        let is_pulling = session.asked.values().any(|it| matches!(it, Purpose::Pull));
        let lacking = self.position.lacking();
        if is_pulling || lacking.is_empty() {
            session.pulled = Instant::now();
        } else if session.pulled.elapsed() >= PULL_AFTER {
            for (group, after) in lacking {
                let (cmd, body) = match group {
                    None => ("message.inbox", json!({"after": after, "limit": 200})),
                    Some(id) => {
                        let conversation = format!("group:{id}");
                        let body = json!({"conversation": conversation, "after": after});
                        ("message.history", body)
                    }
                };
                session.ask(cmd, body, Purpose::Pull).await?;
            }
        }
        Ok(())
    }

    async fn come_to_mind(&mut self, session: &mut Session) -> Result<(), End> {
        let may_write = self.outbox.len() < UNSETTLED;
        if may_write && let Some(log) = self.more_for.pop() {
            self.write(&log);
            return Ok(());
        }
        let log = self.logs[self.random.below(self.logs.len())].clone();
        let stays = self.stays_in_peace && self.phase() == Phase::Peace;
        match self.random.below(200) {
            0..12 if may_write => {
                self.write(&log);
                let more = self.random.below(MORE_LINES);
                self.more_for = vec![log; more];
            }
            24..27 => {
                let conversation = log.name_for(&self.device.user);
                let page = json!({"conversation": conversation, "limit": 20});
                session.ask("message.history", page, Purpose::Pull).await?;
            }
            27 if !self.is_phone => {
                self.written += 1;
                self.wanted = Some(format!("status {}", self.written));
            }
            28 if !self.is_phone && !self.phones.is_empty() && self.random.below(4) == 0 => {
                let phone = &self.phones[self.random.below(self.phones.len())];
                session.ask("device.kick", json!({"device": phone}), Purpose::Other).await?;
            }
            // An old receipt that was long on its way.
            30 if log.users().is_some_and(|(one, other)| one != other) => {
                let shown = session.shown.get(&log).map_or(0, |(shown, _)| *shown);
                let conversation = log.name_for(&self.device.user);
                let seq = 1 + self.random.below(shown.max(1) as usize);
                let body = json!({"conversation": conversation, "seq": seq});
                session.ask("message.read", body, Purpose::Other).await?;
            }
            // The network is gone for a moment.
            29 if self.random.below(4) == 0 && !stays => return Err(End::Broken),
            _ => {}
        }
        Ok(())
    }

    /// Writes something new, or sends something old again: as it was, or with another body.
    fn write(&mut self, log: &Log) {
        self.written += 1;
        let body = format!("{}/{} {}", self.device.user, self.device.id, self.written);
        let again = self.random.below(20);
        let old = self.acked.len().checked_sub(1).map(|last| {
            let from = last.saturating_sub(10);
            self.acked[from + self.random.below(last - from + 1)].clone()
        });
        match old {
            Some((log, message)) if again < 2 => self.outbox.write(&log, message),
            Some((log, Message { key, .. })) if again == 2 => {
                self.outbox.write(&log, Message { key, body });
            }
            _ => self.write_new(log, body),
        }
    }

    pub(super) fn write_new(&mut self, log: &Log, body: String) {
        let mut bytes = [0; 10];
        bytes.fill_with(|| self.random.below(256) as u8);
        let at = UnixMs::new(now().get());
        let key = ClientMsgId::mint(at, bytes).to_string();
        self.outbox.write(log, Message { key, body });
    }

    fn tell(&self, is_drained: bool, has_all: bool) {
        let (text, knows_all) = (self.confirmed.clone(), false);
        let status = Status { is_drained, has_all, text, knows_all };
        self.status.send_if_modified(|own| {
            let is_new = *own != status;
            *own = status;
            is_new
        });
    }

    /// Comes to rest, as far as the phase asks for it.
    async fn end_well(&mut self, session: &mut Session, phase: Phase) -> Result<(), End> {
        let is_drained = self.outbox.len() == 0 && self.confirmed == self.wanted;
        let is_quiet = is_drained && session.asked.is_empty();
        let has_all =
            is_quiet && session.has_synced_in(phase) && self.position.lacking().is_empty();
        match phase {
            Phase::Peace | Phase::Talking => {}
            // Others still speak: what it has then is not all.
            Phase::Settling => self.tell(is_drained, false),
            Phase::Settled if !self.has_said_again => {
                self.has_said_again = true;
                if self.wanted.is_some() {
                    self.written += 1;
                    self.wanted = Some(format!("status {}", self.written));
                }
            }
            Phase::Settled if has_all && !self.status.borrow().has_all => {
                self.tell_position();
                self.tell(true, true);
                if self.is_phone {
                    session.ask("logout", json!({}), Purpose::Other).await?;
                    while session.conn.frame().await.is_ok() {}
                    return Err(End::Done);
                }
            }
            Phase::Settled => {}
            Phase::Watching if !self.status.borrow().knows_all => {
                self.look_at_others(session).await?;
                // It stays, for the others look at it.
                self.status.send_modify(|status| status.knows_all = true);
            }
            Phase::Watching => {}
            Phase::Over => return Err(End::Done),
        }
        Ok(())
    }

    fn tell_position(&self) {
        for (group, place) in self.position.places() {
            let of = group.map_or(Stream::Inbox, |id| Stream::Log(Log::group(id)));
            let (user, device) = (self.device.user.clone(), self.device.id.clone());
            let (from, to) = (place.from, place.to);
            self.shared.recorder.see(What::Position { user, device, of, from, to });
        }
    }
}

impl Client {
    /// Waits until its user was told the truth of all others, for as long as that may take, and takes down what it was
    /// told; then asks, again and again for as long as that.
    async fn look_at_others(&mut self, session: &mut Session) -> Result<(), End> {
        let truth = self.shared.truth.lock().unwrap().clone();
        let others: Vec<_> = truth.keys().filter(|user| **user != self.device.user).collect();
        let (since, mut asked) = (Instant::now(), Instant::now());
        let mut is_asking = false;
        loop {
            let is_right = others.iter().all(|user| self.told.get(*user) == truth.get(*user));
            let is_waiting = session.asked.values().any(|it| matches!(it, Purpose::Presence));
            let is_over = is_right || since.elapsed() > self.shared.true_within;
            if !is_waiting && is_over {
                self.tell_seen(session, &others, is_asking);
                if is_asking {
                    return Ok(());
                }
            }
            let is_due = if is_asking { asked.elapsed() > ASKS_EVERY } else { is_over };
            if !is_waiting && is_due {
                (is_asking, asked) = (true, Instant::now());
                let body = json!({"users": others});
                session.ask("presence.get", body, Purpose::Presence).await?;
            }
            match tokio::time::timeout(TURN, session.conn.frame()).await {
                Ok(frame) => {
                    let frame = frame.map_err(|_| End::Broken)?;
                    self.heard(session, &frame)?;
                }
                Err(_) => self.keep_up(session, Phase::Watching).await?,
            }
        }
    }

    fn tell_seen(&self, session: &Session, others: &[&String], asked: bool) {
        for user in others {
            let nobody = || Presence {
                state: "unknown".to_owned(),
                platforms: Vec::new(),
                status: None,
                text: None,
            };
            let (watcher, node) = (self.device.user.clone(), session.node.clone());
            let presence = self.told.get(*user).cloned().unwrap_or_else(nobody);
            let user = (*user).clone();
            self.shared.recorder.see(What::Seen { watcher, node, user, presence, asked });
        }
    }
}

impl Session {
    fn has_synced_in(&self, phase: Phase) -> bool {
        !self.must_sync && self.synced_in == Some(phase)
    }

    async fn ask(&mut self, cmd: &str, body: Value, purpose: Purpose) -> Result<(), End> {
        let id = self.conn.submit(cmd, body).await.map_err(|_| End::Broken)?;
        self.asked.insert(id, purpose);
        Ok(())
    }
}
