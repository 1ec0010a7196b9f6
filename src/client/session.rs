//! One connection of a client: commands under way, their answers, events, and what is due when.

mod answers;

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use futures_util::FutureExt;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::driver::{Driver, room};
use super::frame::{self, Incoming};
use super::places::Log;
use super::pulls::Pulls;
use super::raw::{Connection, Parted, WsMessage};
use super::renewal::Renewal;
use super::{Answer, CallError, Ended, Options, Request};
use crate::ids::{ClientMsgId, Conversation, GroupId, InboxSeq, Seq};
use crate::limits;
use crate::protocol::{
    CloseCode, Code, CursorCommand, History, Inbox, Limit, Login, Logout, Ping, Resume, Sync,
    TokenRenew,
};

/// How a connection ended, as the client's life goes on from there.
#[derive(Debug)]
pub enum Departure {
    /// For good.
    Ended(Ended),
    /// The client comes back; after this long, where the server said so.
    Lost {
        /// What the server said.
        retry_in: Option<Duration>,
    },
}

/// A command that waits for its answer.
struct UnderWay {
    since: Instant,
    what: What,
}

enum What {
    Login,
    Send(ClientMsgId),
    Received(Conversation, Seq),
    Ping,
    Sync,
    Pull(Log),
    Call(Call),
    Renew,
    Logout,
}

struct Call {
    cmd: Cow<'static, str>,
    body: Box<RawValue>,
    answer: oneshot::Sender<Answer>,
}

pub(super) struct Session {
    connection: Connection,
    last_id: u64,
    under_way: BTreeMap<u64, UnderWay>,
    calls: VecDeque<Call>,
    is_logged_in: bool,
    most_under_way: usize,
    heartbeat: Duration,
    heard_at: Instant,
    ping_at: Instant,
    pulls: Pulls,
    /// The `sync` that is under way, over all its pages; the next of them is asked for when it has an `after`.
    sync: Option<Sync>,
    must_sync: bool,
    /// When `sync` may go out, after the server asked to wait.
    sync_at: Instant,
    must_log_out: bool,
    renewal: Renewal,
    /// What the server said of a decision, before it closed.
    kicked: Option<Ended>,
    /// What the server said before it closed: over TCP there is no other close code.
    closing: Option<(CloseCode, String)>,
    come_back_in: Option<Duration>,
}

impl Session {
    pub(super) fn new(connection: Connection, options: &Options) -> Self {
        let now = Instant::now();
        let (base, cap) = options.backoff;
        let renewal = Renewal::new(options.token.clone(), Backoff::new(base, cap), now);
        Self {
            connection,
            last_id: 0,
            under_way: BTreeMap::new(),
            calls: VecDeque::new(),
            is_logged_in: false,
            most_under_way: 1,
            heartbeat: limits::HEARTBEAT_EVERY,
            heard_at: now,
            ping_at: now + limits::HEARTBEAT_EVERY,
            pulls: Pulls::default(),
            sync: None,
            must_sync: false,
            sync_at: now,
            must_log_out: false,
            renewal,
            kicked: None,
            closing: None,
            come_back_in: None,
        }
    }

    /// Logs in and converses until the connection ends.
    pub(super) async fn converse(&mut self, driver: &mut Driver, token: String) -> Departure {
        let parted = match self.log_in(driver, token).await {
            Ok(()) => self.talk(driver).await,
            Err(parted) => self.hear_out(driver, parted).await,
        };
        for call in self.calls.drain(..) {
            // The asker may have given up; then nobody needs the answer.
            let _ = call.answer.send(Err(CallError::NotConnected));
        }
        for (_, UnderWay { what, .. }) in std::mem::take(&mut self.under_way) {
            if let What::Call(call) = what {
                let _ = call.answer.send(Err(CallError::NotConnected));
            }
        }
        let parted = match parted {
            Leaving::Departure(departure) => return departure,
            Leaving::Parted(parted) => parted,
        };
        if let Some(kicked) = self.kicked.take() {
            return Departure::Ended(kicked);
        }
        // However it ended: the app has asked for no other.
        if self.must_log_out {
            return Departure::Ended(Ended::LoggedOut);
        }
        let closed = match (parted, self.closing.take()) {
            (Parted::Closed { code, reason }, _) => Some((code, reason)),
            (Parted::Lost(_), told) => told.map(|(code, reason)| (code.number(), reason)),
        };
        match closed {
            // No token came before the old one ran out. The next login asks for one again.
            Some((4500, _)) if self.is_logged_in && self.renewal.is_lacking() => {
                Departure::Lost { retry_in: None }
            }
            Some((code @ 4500..=4999, reason)) => Departure::Ended(Ended::Closed { code, reason }),
            _ => Departure::Lost { retry_in: self.come_back_in },
        }
    }

    async fn log_in(&mut self, driver: &Driver, token: String) -> Result<(), Parted> {
        let sync = driver.places.sync();
        self.sync = Some(sync.clone().unwrap_or_default());
        let login = Login {
            app: driver.options.app,
            user: driver.options.user.clone(),
            token,
            device: driver.options.device.clone(),
            resume: driver.resume.map(|login_no| Resume { login_no }),
            sync,
        };
        self.feed("login", &login, What::Login).await?;
        self.connection.flush().await
    }

    async fn talk(&mut self, driver: &mut Driver) -> Leaving {
        loop {
            driver.hand_out();
            if let Err(parted) = self.send_what_is_due(driver).await {
                return self.hear_out(driver, parted).await;
            }
            if self.is_dead(Instant::now()) {
                return Parted::Lost("nothing was heard for too long".to_owned()).into();
            }
            let (next_look, has_updates) = (self.next_look(driver), driver.has_updates());
            tokio::select! {
                text = self.connection.text() => {
                    if let Err(leaving) = self.take_frames(driver, text) {
                        return leaving;
                    }
                }
                request = driver.requests.recv() => match request {
                    None => {
                        // A farewell, if it can still be said.
                        let _ = self.connection.send(WsMessage::Close(None)).await;
                        return Leaving::Departure(Departure::Ended(Ended::Dropped));
                    }
                    Some(Request::LogOut) => self.must_log_out = true,
                    Some(Request::Post { send, ack }) => driver.post(send, ack),
                    Some(Request::Call { cmd, body, answer }) => {
                        self.call(Call { cmd, body, answer });
                    }
                },
                () = self.renewal.ready() => {}
                () = room(&driver.updates), if has_updates => {}
                () = tokio::time::sleep_until(next_look) => {}
            }
        }
    }

    /// Takes what had come before writing failed: the server may have said why it hung up, and when to come again.
    async fn hear_out(&mut self, driver: &mut Driver, parted: Parted) -> Leaving {
        let hearing = async {
            loop {
                let text = self.connection.text().await;
                if let Err(leaving) = self.take_frames(driver, text) {
                    return leaving;
                }
            }
        };
        tokio::time::timeout(limits::CLIENT_HEARS_OUT_FOR, hearing).await.unwrap_or(parted.into())
    }

    fn call(&mut self, call: Call) {
        if self.calls.len() >= limits::CLIENT_CALLS {
            let _ = call.answer.send(Err(CallError::Busy));
        } else {
            self.calls.push_back(call);
        }
    }

    /// Takes one frame, and those that are there already, so that they are answered with one write.
    fn take_frames(
        &mut self,
        driver: &mut Driver,
        first: Result<String, Parted>,
    ) -> Result<(), Leaving> {
        let mut text = first?;
        for _ in 0..limits::IN_FLIGHT {
            self.heard_at = Instant::now();
            self.take_frame(driver, &text)?;
            match self.connection.text().now_or_never() {
                Some(next) => text = next?,
                None => break,
            }
        }
        Ok(())
    }

    fn take_frame(&mut self, driver: &mut Driver, text: &str) -> Result<(), Leaving> {
        match frame::read(text) {
            Incoming::Ok { re, ok } => match self.under_way.remove(&re) {
                Some(UnderWay { what, .. }) => self.on_ok(driver, what, &ok)?,
                None => tracing::warn!(re, "an answer to nothing"),
            },
            Incoming::Error { re, error } => {
                match re.and_then(|re| Some((re, self.under_way.remove(&re)?))) {
                    Some((id, UnderWay { what, .. })) => self.on_error(driver, id, what, error)?,
                    // Over TCP who is not let in is told so; over HTTP the upgrade is refused.
                    None if !self.is_logged_in && error.code == Code::Busy => {
                        self.come_back_in = error.retry_after_ms.map(Duration::from_millis);
                    }
                    None => tracing::warn!(?re, ?error, "an error about nothing"),
                }
            }
            Incoming::Event(event) => self.on_event(driver, event),
            Incoming::Unknown => tracing::debug!("a frame that this client does not know"),
        }
        Ok(())
    }

    /// Sends everything that is due, most urgent first, while there is room under way.
    async fn send_what_is_due(&mut self, driver: &mut Driver) -> Result<(), Parted> {
        let before = self.last_id;
        while self.is_logged_in && self.has_room() && self.feed_next(driver).await? {}
        if self.last_id == before {
            return Ok(());
        }
        match tokio::time::timeout(limits::CLIENT_ANSWER_WITHIN, self.connection.flush()).await {
            Ok(flushed) => flushed,
            Err(_) => Err(Parted::Lost("the server takes no more".to_owned())),
        }
    }

    fn has_room(&self) -> bool {
        self.under_way.len() < self.most_under_way
    }

    /// Feeds the next command that is due. False when nothing more may follow now.
    async fn feed_next(&mut self, driver: &mut Driver) -> Result<bool, Parted> {
        let now = Instant::now();
        if self.must_log_out {
            if !self.under_way.values().any(|own| matches!(own.what, What::Logout)) {
                self.feed("logout", &Logout {}, What::Logout).await?;
            }
            return Ok(false);
        }
        if let Some(token) = self.renewal.take() {
            self.feed("token.renew", &TokenRenew { token }, What::Renew).await?;
            return Ok(true);
        }
        if self.ping_at <= now {
            self.ping_at = now + self.heartbeat;
            let inbox = driver.places.epoch().is_some().then(|| driver.places.inbox());
            let ping = Ping { inbox, groups: driver.places.on_screen() };
            self.feed("ping", &ping, What::Ping).await?;
            return Ok(true);
        }
        if self.renewal.holds_back() {
            return Ok(false);
        }
        if let Some(sync) = self.sync_due(driver, now) {
            self.feed("sync", &sync, What::Sync).await?;
            return Ok(true);
        }
        if let Some(log) = self.pulls.next_due(driver.places.lacking(), now, rand::random) {
            self.pull(driver, log).await?;
            return Ok(true);
        }
        if let Some((conversation, seq)) = driver.receipts.next_due(now) {
            let received = CursorCommand { conversation: conversation.clone(), seq };
            self.feed("message.received", &received, What::Received(conversation, seq)).await?;
            return Ok(true);
        }
        if let Some(call) = self.calls.pop_front() {
            let text = self.write(&call.cmd, &call.body)?;
            self.feed_text(text, What::Call(call)).await?;
            return Ok(true);
        }
        let id = self.last_id + 1;
        if let Some(send) = driver.outbox.next_due(id, now) {
            self.feed("message.send", send, What::Send(send.client_msg_id)).await?;
            return Ok(true);
        }
        Ok(false)
    }

    /// The `sync` that shall go out now: the next page of the one that is under way, or a new one.
    fn sync_due(&mut self, driver: &Driver, now: Instant) -> Option<Sync> {
        if self.is_syncing() || self.sync_at > now {
            return None;
        }
        if self.sync.is_none() && std::mem::take(&mut self.must_sync) {
            self.sync = Some(driver.places.sync().unwrap_or_default());
        }
        self.sync.clone()
    }

    fn is_syncing(&self) -> bool {
        self.under_way.values().any(|own| matches!(own.what, What::Sync))
    }

    async fn pull(&mut self, driver: &Driver, log: Log) -> Result<(), Parted> {
        let after = driver.places.at(&log).unwrap_or(0);
        let limit = Limit::new(limits::CLIENT_HELD_BACK);
        match &log {
            Log::Inbox => {
                let page = Inbox { after: InboxSeq::new(after), limit };
                self.feed("message.inbox", &page, What::Pull(log)).await
            }
            Log::Group(group) => {
                let conversation = Conversation::Group(GroupId::clone(group));
                let after = Some(Seq::new(after));
                let page = History { conversation, after, before: None, limit };
                self.feed("message.history", &page, What::Pull(log)).await
            }
        }
    }

    /// When to look again, if nothing happens before.
    fn next_look(&self, driver: &Driver) -> Instant {
        let answers_by =
            self.under_way.values().next().map(|own| own.since + limits::CLIENT_ANSWER_WITHIN);
        let mut looks = vec![Some(self.heard_at + self.silence()), answers_by];
        // Without room nothing can be sent, whatever is due: an answer comes first.
        if self.is_logged_in && self.has_room() && !self.must_log_out {
            looks.push(Some(self.ping_at));
            if !self.renewal.holds_back() {
                looks.push(self.pulls.due_at());
                looks.push(Some(self.sync_at).filter(|_| self.must_sync && !self.is_syncing()));
                looks.push(driver.receipts.due_at());
                looks.push(driver.outbox.due_at());
            }
        }
        looks.into_iter().flatten().min().unwrap_or(self.heard_at)
    }

    /// Two lost heartbeats and some slack, as the server counts it too.
    fn silence(&self) -> Duration {
        self.heartbeat * 5 / 2
    }

    fn is_dead(&self, now: Instant) -> bool {
        let is_late = |own: &UnderWay| own.since + limits::CLIENT_ANSWER_WITHIN <= now;
        self.heard_at + self.silence() <= now || self.under_way.values().next().is_some_and(is_late)
    }

    async fn feed<B: Serialize>(&mut self, cmd: &str, body: &B, what: What) -> Result<(), Parted> {
        let text = self.write(cmd, body)?;
        self.feed_text(text, what).await
    }

    /// The next command.
    fn write<B: Serialize>(&mut self, cmd: &str, body: &B) -> Result<String, Parted> {
        self.last_id += 1;
        frame::write(self.last_id, cmd, body)
            .map_err(|error| Parted::Lost(format!("{cmd} cannot be written: {error}")))
    }

    async fn feed_text(&mut self, text: String, what: What) -> Result<(), Parted> {
        self.under_way.insert(self.last_id, UnderWay { since: Instant::now(), what });
        self.connection.feed_text(text).await
    }
}

/// What ends a conversation: the connection itself, or what was said.
enum Leaving {
    Parted(Parted),
    Departure(Departure),
}

impl From<Parted> for Leaving {
    fn from(parted: Parted) -> Self {
        Self::Parted(parted)
    }
}
