//! Users of a running server: well-behaved ones on the client library, and bare connections for the others.

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use rookery::client::raw::{Connection, Opening, Parted, Transport};
use rookery::client::{Client, Ended, Options, TokenSource, Update, Updates};
use rookery::domain::usersig;
use rookery::ids::{AppId, ClientMsgId, Conversation, DeviceId, Seq, UnixMs, UserId};
use rookery::protocol::codec::Codec;
use rookery::protocol::{Content, DeliveredBy, Device, Message, Platform, Sent};
use serde_json::{Value, json};

use super::GIVE_UP_AFTER;
use super::node::Node;

/// The test's own clock.
pub fn now() -> UnixMs {
    UnixMs::new(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64)
}

/// Awaits what must come, and fails when it does not.
pub async fn patience<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(GIVE_UP_AFTER, work).await {
        Ok(done) => done,
        Err(_) => panic!("gave up waiting: {what}"),
    }
}

/// The pair with that user.
pub fn with(user: &str) -> Conversation {
    Conversation::parse(&format!("user:{user}")).unwrap()
}

/// The text of a message.
pub fn text_of(message: &Message) -> &str {
    match &message.content {
        Content::Text { text } => text,
        Content::Custom { data } => data,
        other => panic!("expected a text: {other:?}"),
    }
}

/// A new client message id, minted this many milliseconds from now.
pub fn key_minted_in(millis: i64) -> ClientMsgId {
    ClientMsgId::mint(UnixMs::new(now().get() + millis), rand::random())
}

/// A new client message id.
pub fn key() -> ClientMsgId {
    key_minted_in(0)
}

/// The body of a `message.send`.
pub fn text(to: &str, key: ClientMsgId, text: &str) -> Value {
    let content = json!({"type": "text", "text": text});
    json!({"to": format!("user:{to}"), "client_msg_id": key, "content": content})
}

/// The four ways to talk to a server.
pub const WAYS: [(Transport, Codec); 4] = [
    (Transport::WebSocket, Codec::Json),
    (Transport::WebSocket, Codec::MessagePack),
    (Transport::Tcp, Codec::Json),
    (Transport::Tcp, Codec::MessagePack),
];

/// App 1 of a server, as its backend sees it: it holds the key, and signs tokens.
#[derive(Debug, Clone)]
pub struct App {
    address: String,
    tcp_address: String,
    secret: String,
    /// How bare connections are opened.
    way: (Transport, Codec),
}

impl App {
    /// Asks the program for the key, as an operator does.
    pub fn of(node: &Node) -> Self {
        let output = node.run(&["key", "show"]);
        let shown = String::from_utf8(output.stdout).unwrap();
        let secret = shown.lines().find_map(|line| line.strip_prefix("secret="));
        let Some(secret) = secret else {
            panic!("no key in {shown:?}: {}", String::from_utf8_lossy(&output.stderr));
        };
        Self {
            address: node.http().to_string(),
            tcp_address: node.tcp().to_string(),
            secret: secret.to_owned(),
            way: WAYS[0],
        }
    }

    /// The same app, on a server that has moved to another port.
    pub fn moved_to(&self, node: &Node) -> Self {
        let (address, tcp_address) = (node.http().to_string(), node.tcp().to_string());
        Self { address, tcp_address, ..self.clone() }
    }

    /// The same app, to which bare connections are opened in this way.
    pub fn by(&self, way: (Transport, Codec)) -> Self {
        Self { way, ..self.clone() }
    }

    /// How bare connections are opened.
    pub fn opening(&self) -> Opening {
        Opening::by(self.way.0, self.way.1)
    }

    /// Where clients connect.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A token that holds for an hour.
    pub fn token(&self, user: &str) -> String {
        self.token_signed_at(user, now(), 3600)
    }

    /// A token as a backend with another clock would sign it.
    pub fn token_signed_at(&self, user: &str, at: UnixMs, expire_s: u64) -> String {
        usersig::sign(&self.secret, AppId::DEFAULT, &UserId::parse(user).unwrap(), at, expire_s)
    }

    /// How a client of this user logs in, from a device of this name.
    pub fn options(&self, user: &str, device: &str) -> Options {
        let (app, name) = (self.clone(), user.to_owned());
        let token = TokenSource::new(move || std::future::ready(Ok(app.token(&name))));
        let mut options = Options::new(&self.address, UserId::parse(user).unwrap(), token);
        options.device = Device {
            id: DeviceId::parse(device).unwrap(),
            platform: Platform::Web,
            name: Some(format!("{user}'s {device}")),
        };
        options
    }

    /// Logs a user in, from a device of their own.
    pub async fn user(&self, user: &str) -> User {
        self.device(user, "main").await
    }

    /// Logs a user in from this device.
    pub async fn device(&self, user: &str, device: &str) -> User {
        User::log_in(self.options(user, device)).await
    }

    /// Opens a connection that has said nothing yet.
    pub async fn connect(&self) -> Raw {
        self.connect_with(&self.opening()).await
    }

    /// Opens a connection in a way of one's own.
    pub async fn connect_with(&self, opening: &Opening) -> Raw {
        let address = match opening.transport {
            Transport::WebSocket => &self.address,
            Transport::Tcp => &self.tcp_address,
        };
        let opened = patience("a connection", Connection::open_with(address, opening)).await;
        Raw(opened.unwrap())
    }

    /// The body of a `login`, from a browser.
    pub fn login(&self, user: &str, device: &str) -> Value {
        self.login_from(user, Platform::Web, device)
    }

    /// The same, from a device of this kind.
    pub fn login_from(&self, user: &str, platform: Platform, device: &str) -> Value {
        let device = json!({"id": device, "platform": platform});
        json!({"user": user, "token": self.token(user), "device": device})
    }

    /// Opens a bare connection and logs in on it, from a device of this kind.
    pub async fn raw_from(&self, user: &str, platform: Platform, device: &str) -> Raw {
        let mut raw = self.connect().await;
        raw.ok("login", self.login_from(user, platform, device)).await;
        raw
    }

    /// Opens a bare connection and logs in on it.
    pub async fn raw(&self, user: &str, device: &str) -> Raw {
        let mut raw = self.connect().await;
        raw.ok("login", self.login(user, device)).await;
        raw
    }
}

/// A bare connection: does what it is told, and expects what it is told.
pub struct Raw(pub Connection);

impl Raw {
    /// The `ok` of a command.
    pub async fn ok(&mut self, cmd: &str, body: Value) -> Value {
        let mut reply = patience(cmd, self.0.call(cmd, body)).await.unwrap();
        assert!(reply.get("ok").is_some(), "{cmd}: {reply}");
        reply["ok"].take()
    }

    /// The `error` of a command.
    pub async fn error(&mut self, cmd: &str, body: Value) -> Value {
        let mut reply = patience(cmd, self.0.call(cmd, body)).await.unwrap();
        assert!(reply.get("error").is_some(), "{cmd}: {reply}");
        reply["error"].take()
    }

    /// The code of the error of a command.
    pub async fn code(&mut self, cmd: &str, body: Value) -> String {
        self.error(cmd, body).await["code"].as_str().unwrap().to_owned()
    }

    /// Sends messages, many under way at once: fast enough for one who does not read not to be given up before all of
    /// them are there, on a busy machine too. The `ok` of the last.
    pub async fn send_all(&mut self, sends: impl IntoIterator<Item = Value>) -> Value {
        const UNDER_WAY: usize = 16;
        let (mut under_way, mut last) = (VecDeque::new(), Value::Null);
        for send in sends {
            under_way.push_back(self.0.submit("message.send", send).await.unwrap());
            if under_way.len() == UNDER_WAY {
                last = self.sent(under_way.pop_front().unwrap()).await;
            }
        }
        for id in under_way {
            last = self.sent(id).await;
        }
        last
    }

    async fn sent(&mut self, id: u64) -> Value {
        let mut reply = self.reply(id).await;
        assert!(reply.get("ok").is_some(), "message.send: {reply}");
        reply["ok"].take()
    }

    /// The reply to a command that was submitted before.
    pub async fn reply(&mut self, id: u64) -> Value {
        patience("a reply", self.0.reply(id)).await.unwrap()
    }

    /// The body of the next event of this name; others are kept.
    pub async fn event(&mut self, name: &str) -> Value {
        let mut event = patience(name, self.0.first(|frame| frame["event"] == name)).await.unwrap();
        event["body"].take()
    }

    /// The body of the next event, which must have this name. How others are comes when it comes, and is passed over.
    pub async fn next_event(&mut self, name: &str) -> Value {
        let is_it = |frame: &Value| {
            frame["event"] == name
                || frame["event"].is_string() && frame["event"] != "presence.changed"
        };
        let mut event = patience(name, self.0.first(is_it)).await.unwrap();
        assert_eq!(event["event"], name, "{event}");
        event["body"].take()
    }

    /// How the connection ends.
    pub async fn ending(&mut self) -> Parted {
        patience("the end of a connection", self.0.ending()).await
    }

    /// The close code with which the connection ends, `session.closing` having told it.
    pub async fn closed(&mut self) -> u16 {
        let parted = self.ending().await;
        let Some(code) = parted.code() else { panic!("{parted}") };
        let told = self.event("session.closing").await;
        assert_eq!(told["code"], code, "{told}");
        code
    }
}

/// A user on the client library.
pub struct User {
    pub client: Client,
    updates: Updates,
    kept: VecDeque<Update>,
}

impl User {
    /// Logs in.
    pub async fn log_in(options: Options) -> Self {
        Self::try_log_in(options).await.unwrap()
    }

    /// Logs in, or learns why not.
    pub async fn try_log_in(options: Options) -> Result<Self, Ended> {
        let (client, updates) = patience("a login", Client::connect(options)).await?;
        Ok(Self { client, updates, kept: VecDeque::new() })
    }

    /// Sends a text, and waits until it is stored.
    pub async fn say(&self, to: &str, text: &str) -> Sent {
        patience("an ack", self.client.send_text(&with(to), text)).await.unwrap()
    }

    /// Says that everything up to `seq` was read; the cursor as it then stands.
    pub async fn read(&self, of: &str, seq: Seq) -> Seq {
        patience("a receipt", self.client.read(&with(of), seq)).await.unwrap().seq
    }

    /// The next update of which `pick` makes something; others are kept for later.
    pub async fn first<T>(&mut self, what: &str, pick: impl Fn(&Update) -> Option<T>) -> T {
        if let Some((place, found)) =
            self.kept.iter().enumerate().find_map(|(place, own)| Some((place, pick(own)?)))
        {
            self.kept.remove(place);
            return found;
        }
        loop {
            let Some(update) = patience(what, self.updates.next()).await else {
                panic!("the client has ended: {what}");
            };
            if let Some(found) = pick(&update) {
                return found;
            }
            self.kept.push_back(update);
        }
    }

    /// The next message that came, not one that this client sent.
    pub async fn next_message(&mut self) -> Message {
        self.first("a message", |update| match update {
            Update::Received(message) => Some(message.clone()),
            _ => None,
        })
        .await
    }

    /// The next receipt of a device or of the server.
    pub async fn next_delivered(&mut self) -> (Conversation, Seq, DeliveredBy) {
        self.first("a receipt of delivery", |update| match update {
            Update::Delivered { conversation, seq, by, .. } => {
                Some((conversation.clone(), *seq, *by))
            }
            _ => None,
        })
        .await
    }

    /// The next receipt of reading: in which conversation, up to where, by whom.
    pub async fn next_read(&mut self) -> (Conversation, Seq, UserId) {
        self.first("a receipt of reading", |update| match update {
            Update::Read { conversation, seq, user } => {
                Some((conversation.clone(), *seq, user.clone()))
            }
            _ => None,
        })
        .await
    }

    /// How the client ended.
    pub async fn ended(&mut self) -> Ended {
        self.first("the end of a client", |update| match update {
            Update::Ended(ended) => Some(ended.clone()),
            _ => None,
        })
        .await
    }
}
