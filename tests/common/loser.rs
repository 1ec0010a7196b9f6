//! A session that has to go for another one, while it sends as fast as it can.

use std::collections::HashMap;

use rookery::client::raw::Parted;
use rookery::ids::ClientMsgId;
use rookery::limits;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::chat::{App, Raw, key, patience, text};
use super::groups::to_group;

/// Where one sends to: a user and a group, in turn.
#[derive(Debug, Clone)]
pub struct Places {
    peer: String,
    group: String,
}

impl Places {
    /// These two.
    pub fn new(peer: &str, group: &str) -> Self {
        Self { peer: peer.to_owned(), group: group.to_owned() }
    }

    /// Both conversations.
    pub fn conversations(&self) -> [String; 2] {
        [format!("user:{}", self.peer), format!("group:{}", self.group)]
    }

    /// The body of a `message.send` to one of the two.
    pub fn send(&self, place: usize, key: ClientMsgId) -> Value {
        match place {
            0 => text(&self.peer, key, "?"),
            _ => to_group(&self.group, key, "?"),
        }
    }

    /// Asks for the heads of both.
    pub async fn ask_heads(&self, raw: &mut Raw) -> [u64; 2] {
        let mut asked = [0; 2];
        for (asked, conversation) in asked.iter_mut().zip(self.conversations()) {
            let newest = json!({"conversation": conversation, "limit": 1});
            *asked = raw.0.submit("message.history", newest).await.unwrap();
        }
        asked
    }

    /// A login, and in the same breath a question for the heads; when it came in, and the heads.
    pub async fn win(&self, app: &App, login: Value) -> (Raw, i64, [u64; 2]) {
        let mut raw = app.connect().await;
        let login = raw.0.submit("login", login).await.unwrap();
        let asked = self.ask_heads(&mut raw).await;
        let reply = raw.reply(login).await;
        let at_ms = reply["ok"]["server_time_ms"].as_i64().unwrap_or_else(|| panic!("{reply}"));
        let heads = heads(&mut raw, asked).await;
        (raw, at_ms, heads)
    }
}

/// The heads that were asked for.
pub async fn heads(raw: &mut Raw, asked: [u64; 2]) -> [u64; 2] {
    let mut heads = [0; 2];
    for (head, id) in heads.iter_mut().zip(asked) {
        *head = raw.reply(id).await["ok"]["head"].as_u64().unwrap();
    }
    heads
}

/// A message that was acked: to which of the two places, where, when, under which id.
pub struct Acked {
    pub place: usize,
    pub seq: u64,
    pub at_ms: i64,
    pub key: ClientMsgId,
}

impl Acked {
    /// Whether it was stored when these were the heads.
    pub fn is_within(&self, heads: [u64; 2]) -> bool {
        self.seq <= heads[self.place]
    }
}

/// A session that sends as fast as it can, to a user and to a group, until it is ended.
pub struct Sender {
    raw: Raw,
    to: Places,
    under_way: HashMap<u64, (usize, ClientMsgId)>,
    pub sent: usize,
    pub acked: Vec<Acked>,
    /// Told with the first ack.
    begin: Option<oneshot::Sender<()>>,
}

/// It, from outside.
pub struct Loser {
    began: oneshot::Receiver<()>,
    sending: JoinHandle<Sender>,
}

impl Loser {
    /// Starts to send, and waits until something was acked.
    pub async fn at_it(raw: Raw, to: &Places) -> Self {
        let (begin, mut began) = oneshot::channel();
        let (under_way, acked, to) = (HashMap::new(), Vec::new(), to.clone());
        let sender = Sender { raw, to, under_way, sent: 0, acked, begin: Some(begin) };
        let sending = tokio::spawn(sender.send_until_ended());
        patience("a first ack", &mut began).await.unwrap();
        Self { began, sending }
    }

    /// What it did, once it was ended.
    pub async fn ended(self) -> Sender {
        drop(self.began);
        patience("the end of the loser", self.sending).await.unwrap()
    }
}

impl Sender {
    async fn send_until_ended(mut self) -> Self {
        let parted = loop {
            if self.under_way.len() < limits::IN_FLIGHT {
                // Closed by now, perhaps; what came before that is still to be read.
                if self.send_one().await.is_ok() {
                    continue;
                }
            }
            match patience("a frame", self.raw.0.frame()).await {
                Ok(frame) => self.take(&frame),
                Err(parted) => break parted,
            }
        };
        assert!(matches!(parted, Parted::Closed { code: 4501, .. }), "{parted}");
        self
    }

    async fn send_one(&mut self) -> Result<(), Parted> {
        let (place, key) = (self.sent % 2, key());
        let id = self.raw.0.submit("message.send", self.to.send(place, key)).await?;
        self.under_way.insert(id, (place, key));
        self.sent += 1;
        Ok(())
    }

    fn take(&mut self, frame: &Value) {
        let Some((place, key)) = frame["re"].as_u64().and_then(|id| self.under_way.remove(&id))
        else {
            return;
        };
        let Some(seq) = frame["ok"]["seq"].as_u64() else {
            let code = &frame["error"]["code"];
            assert!(code == "busy" || code == "order_broken", "{frame}");
            return;
        };
        let at_ms = frame["ok"]["sent_at_ms"].as_i64().unwrap();
        self.acked.push(Acked { place, seq, at_ms, key });
        if let Some(begin) = self.begin.take() {
            let _ = begin.send(());
        }
    }
}
