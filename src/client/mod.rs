//! A client of the protocol, as `docs/protocol.md` describes one: for tests, load generators and bots.
//!
//! [`Client`] keeps every rule: it resends until an ack, in order; finds gaps and pulls what is missing; tells what it
//! received; comes back after a loss and goes on from its place. [`raw`] is the bare connection underneath.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use rookery::client::{Client, Options, TokenSource, Update};
//! use rookery::ids::{Conversation, UserId};
//!
//! let token = TokenSource::fixed("what the app's backend signed");
//! let options = Options::new("127.0.0.1:8800", UserId::parse("alice")?, token);
//! let (client, mut updates) = Client::connect(options).await?;
//!
//! let sent = client.send_text(&Conversation::parse("user:bob")?, "hello").await?;
//! println!("stored as {}", sent.seq);
//! while let Some(update) = updates.next().await {
//!     if let Update::Received(message) = update {
//!         println!("{} wrote {:?}", message.from, message.content);
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod account;
pub(crate) mod backoff;
mod clock;
mod driver;
mod errors;
mod frame;
mod groups;
mod membership;
mod outbox;
mod places;
mod presence;
mod pulls;
pub mod raw;
mod receipts;
mod renewal;
mod session;
mod stream;
mod update;

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot, watch};

use crate::ids::{
    AppId, ClientMsgId, Conversation, DeviceId, InboxSeq, LoginNo, Seq, UnixMs, UserId,
};
use crate::limits;
use crate::protocol::{
    After, Content, ConversationList, ConversationsPage, CursorCommand, CursorReply, Device,
    History, HistoryPage, Inbox, InboxPage, Limit, Platform, Send, Sent,
};

use clock::ServerClock;
pub use errors::{CallError, Ended, SendError};
pub use outbox::OutboxError;
pub use places::Position;
pub use raw::Transport;
pub use update::Update;

/// Where a client gets a token from: each time that it logs in, and when the token of its session runs out.
#[derive(Clone)]
pub struct TokenSource(
    Arc<dyn Fn() -> BoxFuture<'static, Result<String, String>> + Sync + std::marker::Send>,
);

impl TokenSource {
    /// Always the same token.
    pub fn fixed(token: impl Into<String>) -> Self {
        let token = token.into();
        Self::new(move || std::future::ready(Ok(token.clone())))
    }

    /// Asks `source`, often the app's backend. An error is text for the log; the client tries again later.
    pub fn new<F>(source: impl Fn() -> F + Sync + std::marker::Send + 'static) -> Self
    where
        F: Future<Output = Result<String, String>> + std::marker::Send + 'static,
    {
        Self(Arc::new(move || Box::pin(source())))
    }

    fn asked(&self) -> BoxFuture<'static, Result<String, String>> {
        (self.0)()
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSource")
    }
}

/// How a client logs in and comes back.
#[derive(Debug, Clone)]
pub struct Options {
    /// Host and port, as `127.0.0.1:8800`, of the way in that is taken.
    pub address: String,
    /// The way in: a WebSocket, or frames over TCP.
    pub transport: Transport,
    /// The app; the default one when left out.
    pub app: Option<AppId>,
    /// Who logs in.
    pub user: UserId,
    /// From which device.
    pub device: Device,
    /// Where tokens come from.
    pub token: TokenSource,
    /// The place that an earlier run of this device came to; without one it starts at the head.
    pub position: Option<Position>,
    /// The first and the longest wait between attempts to come back.
    pub backoff: (Duration, Duration),
}

impl Options {
    /// A program's device with an id of its own, at the default app.
    pub fn new(address: impl Into<String>, user: UserId, token: TokenSource) -> Self {
        let device = Device { id: random_device(), platform: Platform::Api, name: None };
        Self {
            address: address.into(),
            transport: Transport::WebSocket,
            app: None,
            user,
            device,
            token,
            position: None,
            backoff: limits::CLIENT_BACKOFF,
        }
    }
}

fn random_device() -> DeviceId {
    let raw = format!("{:032x}", rand::random::<u128>());
    // Hexadecimal digits are in the alphabet of names; the fallback is never taken.
    DeviceId::parse(&raw).unwrap_or_else(|_| random_device())
}

/// How a client stands.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// The login number of the session, while there is one.
    pub online: Option<LoginNo>,
    /// Everything up to here was handed to the app.
    pub position: Option<Position>,
    /// Set once, at the end.
    pub ended: Option<Ended>,
}

/// What a handle asks of the driver.
enum Request {
    Post { send: Send, ack: oneshot::Sender<Result<Sent, SendError>> },
    Call { cmd: Cow<'static, str>, body: Box<RawValue>, answer: oneshot::Sender<Answer> },
    LogOut,
}

type Answer = Result<Box<RawValue>, CallError>;

/// A handle on a client that runs by itself; when the last one is dropped, the client goes away.
#[derive(Debug, Clone)]
pub struct Client {
    requests: mpsc::Sender<Request>,
    status: watch::Receiver<Status>,
    clock: Arc<ServerClock>,
}

/// What happens to a client, in order.
///
/// An app that does not take them loses nothing: entries stay in the store until there is room for them.
#[derive(Debug)]
pub struct Updates(mpsc::Receiver<Update>);

impl Updates {
    /// The next one; none after [`Update::Ended`]. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Update> {
        self.0.recv().await
    }
}

/// A message on its way.
#[derive(Debug)]
pub struct Posted {
    /// The id under which it is sent, for ever.
    pub client_msg_id: ClientMsgId,
    ack: oneshot::Receiver<Result<Sent, SendError>>,
    status: watch::Receiver<Status>,
}

impl Posted {
    /// Waits until it is stored, over as many connections as that takes.
    pub async fn acked(self) -> Result<Sent, SendError> {
        match self.ack.await {
            Ok(outcome) => outcome,
            Err(_) => Err(ended(&self.status).into()),
        }
    }
}

fn ended(status: &watch::Receiver<Status>) -> Ended {
    status.borrow().ended.clone().unwrap_or(Ended::Dropped)
}

impl Client {
    /// Logs in, trying as long as that can succeed, and goes on in the background.
    pub async fn connect(options: Options) -> Result<(Self, Updates), Ended> {
        let (client, updates) = Self::start(options);
        client.online().await?;
        Ok((client, updates))
    }

    /// Begins to log in and returns at once.
    pub fn start(options: Options) -> (Self, Updates) {
        let (requests, asked) = mpsc::channel(64);
        let (updates, updated) = mpsc::channel(limits::CLIENT_EVENTS);
        let (status, watched) = watch::channel(Status::default());
        let clock = Arc::new(ServerClock::new());
        let driver = driver::Driver::new(options, asked, updates, status, Arc::clone(&clock));
        tokio::spawn(driver.run());
        (Self { requests, status: watched, clock }, Updates(updated))
    }

    /// Waits until there is a session.
    pub async fn online(&self) -> Result<LoginNo, Ended> {
        let mut status = self.status.clone();
        loop {
            {
                let now = status.borrow_and_update();
                if let Some(ended) = &now.ended {
                    return Err(ended.clone());
                }
                if let Some(login_no) = now.online {
                    return Ok(login_no);
                }
            }
            if status.changed().await.is_err() {
                return Err(ended(&status));
            }
        }
    }

    /// How it stands now.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Sends a text and waits until it is stored.
    pub async fn send_text(&self, to: &Conversation, text: &str) -> Result<Sent, SendError> {
        self.send(to, Content::Text { text: text.to_owned() }).await
    }

    /// Sends a message and waits until it is stored.
    pub async fn send(&self, to: &Conversation, content: Content) -> Result<Sent, SendError> {
        self.post(to, content).await?.acked().await
    }

    /// Puts a message into the outbox, behind what is there, and returns at once, connected or not.
    pub async fn post(&self, to: &Conversation, content: Content) -> Result<Posted, SendError> {
        let client_msg_id = self.mint();
        let to = to.clone();
        let send = Send { to, client_msg_id, content, mentions: None, reply_to: None };
        self.post_as(send).await
    }

    /// Puts a message into the outbox under an id that was minted before.
    pub async fn post_as(&self, send: Send) -> Result<Posted, SendError> {
        let client_msg_id = send.client_msg_id;
        let (ack, acked) = oneshot::channel();
        if self.requests.send(Request::Post { send, ack }).await.is_err() {
            return Err(ended(&self.status).into());
        }
        Ok(Posted { client_msg_id, ack: acked, status: self.status.clone() })
    }

    /// A new client message id, with the server's time inside.
    pub fn mint(&self) -> ClientMsgId {
        ClientMsgId::mint(self.clock.now(), rand::random())
    }

    /// The server's time, as far as its last answer told it.
    pub fn server_time(&self) -> UnixMs {
        self.clock.now()
    }

    /// Says that everything up to `seq` was read.
    pub async fn read(&self, of: &Conversation, seq: Seq) -> Result<CursorReply, CallError> {
        self.call("message.read", &CursorCommand { conversation: of.clone(), seq }).await
    }

    /// A page of one conversation's log.
    pub async fn history(&self, page: &History) -> Result<HistoryPage, CallError> {
        self.call("message.history", page).await
    }

    /// The newest page of one conversation's log.
    pub async fn newest(&self, of: &Conversation) -> Result<HistoryPage, CallError> {
        let conversation = of.clone();
        let page = History { conversation, after: None, before: None, limit: Limit::default() };
        self.history(&page).await
    }

    /// A page of the inbox.
    pub async fn inbox(&self, after: InboxSeq, limit: Limit) -> Result<InboxPage, CallError> {
        self.call("message.inbox", &Inbox { after, limit }).await
    }

    /// A page of the conversations, newest first.
    pub async fn conversations(
        &self,
        after: Option<After>,
    ) -> Result<ConversationsPage, CallError> {
        let list = ConversationList { after, limit: Limit::default() };
        self.call("conversation.list", &list).await
    }

    /// Asks for what has no method here: any command and its body, both as on the wire. Messages are sent by
    /// [`Client::post_as`], which alone keeps their order, and what keeps a session going is the client's own matter.
    pub async fn command(
        &self,
        cmd: &str,
        body: Box<RawValue>,
    ) -> Result<Box<RawValue>, CallError> {
        self.ask(Cow::Owned(cmd.to_owned()), body).await
    }

    /// Ends the session and the client.
    pub async fn log_out(self) -> Ended {
        // When the driver is gone already, the status says why.
        let _ = self.requests.send(Request::LogOut).await;
        let mut status = self.status.clone();
        let ended = status.wait_for(|status| status.ended.is_some()).await;
        ended.ok().and_then(|status| status.ended.clone()).unwrap_or(Ended::Dropped)
    }

    async fn call<B: Serialize, R: DeserializeOwned>(
        &self,
        cmd: &'static str,
        body: &B,
    ) -> Result<R, CallError> {
        let unreadable = |error: serde_json::Error| CallError::Unreadable(error.to_string());
        let body = serde_json::value::to_raw_value(body).map_err(unreadable)?;
        let ok = self.ask(Cow::Borrowed(cmd), body).await?;
        serde_json::from_str(ok.get()).map_err(unreadable)
    }

    async fn ask(&self, cmd: Cow<'static, str>, body: Box<RawValue>) -> Answer {
        let (answer, answered) = oneshot::channel();
        if self.requests.send(Request::Call { cmd, body, answer }).await.is_err() {
            return Err(ended(&self.status).into());
        }
        match tokio::time::timeout(limits::CLIENT_ANSWER_WITHIN, answered).await {
            Err(_) => Err(CallError::TimedOut),
            Ok(Err(_)) => Err(ended(&self.status).into()),
            Ok(Ok(answer)) => answer,
        }
    }
}
