//! A session that has to go for another one, while it sends as fast as it can: nothing that it sends is acked from the
//! reply to the winner's login on.
//!
//! `cargo test --test losers -- --nocapture` prints how much was sent and acked meanwhile.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should end"
)]

mod common;

use std::collections::HashMap;

use common::chat::{App, Raw, key, patience, text};
use common::groups::{create, to_group, whole_log};
use common::node::{Node, Options};
use rookery::client::raw::Parted;
use rookery::ids::ClientMsgId;
use rookery::limits;
use rookery::protocol::Platform;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const CONVERSATIONS: [&str; 2] = ["user:bob", "group:crew"];

/// A message that was acked: in which conversation, where, when, under which id.
struct Acked {
    conversation: &'static str,
    seq: u64,
    at_ms: i64,
    key: ClientMsgId,
}

impl Acked {
    /// Whether it was stored when these were the heads.
    fn is_within(&self, heads: [u64; 2]) -> bool {
        CONVERSATIONS
            .iter()
            .zip(heads)
            .any(|(of, head)| *of == self.conversation && self.seq <= head)
    }
}

/// A session that sends as fast as it can, to a user and to a group, until it is ended.
struct Sender {
    raw: Raw,
    under_way: HashMap<u64, (&'static str, ClientMsgId)>,
    sent: usize,
    acked: Vec<Acked>,
    /// Told with the first ack.
    begin: Option<oneshot::Sender<()>>,
}

/// It, from outside.
struct Loser {
    began: oneshot::Receiver<()>,
    sending: JoinHandle<Sender>,
}

impl Loser {
    /// Starts to send, and waits until something was acked.
    async fn at_it(raw: Raw) -> Self {
        let (begin, mut began) = oneshot::channel();
        let (under_way, acked) = (HashMap::new(), Vec::new());
        let sender = Sender { raw, under_way, sent: 0, acked, begin: Some(begin) };
        let sending = tokio::spawn(sender.send_until_ended());
        patience("a first ack", &mut began).await.unwrap();
        Self { began, sending }
    }

    async fn ended(self) -> Sender {
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
        let (conversation, key) = (CONVERSATIONS[self.sent % 2], key());
        let send = match conversation {
            "group:crew" => to_group("crew", key, "?"),
            _ => text("bob", key, "?"),
        };
        let id = self.raw.0.submit("message.send", send).await?;
        self.under_way.insert(id, (conversation, key));
        self.sent += 1;
        Ok(())
    }

    fn take(&mut self, frame: &Value) {
        let Some((conversation, key)) =
            frame["re"].as_u64().and_then(|id| self.under_way.remove(&id))
        else {
            return;
        };
        let Some(seq) = frame["ok"]["seq"].as_u64() else {
            let code = &frame["error"]["code"];
            assert!(code == "busy" || code == "order_broken", "{frame}");
            return;
        };
        let at_ms = frame["ok"]["sent_at_ms"].as_i64().unwrap();
        self.acked.push(Acked { conversation, seq, at_ms, key });
        if let Some(begin) = self.begin.take() {
            let _ = begin.send(());
        }
    }
}

/// A login, and in the same breath a question for the heads; when it came in, and the heads.
async fn win(app: &App, login: Value) -> (Raw, i64, [u64; 2]) {
    let mut raw = app.connect().await;
    let login = raw.0.submit("login", login).await.unwrap();
    let asked = ask_heads(&mut raw).await;
    let reply = raw.reply(login).await;
    let at_ms = reply["ok"]["server_time_ms"].as_i64().unwrap_or_else(|| panic!("{reply}"));
    let heads = heads(&mut raw, asked).await;
    (raw, at_ms, heads)
}

/// Asks for the heads of both conversations.
async fn ask_heads(raw: &mut Raw) -> Vec<u64> {
    let mut asked = Vec::new();
    for conversation in CONVERSATIONS {
        let newest = json!({"conversation": conversation, "limit": 1});
        asked.push(raw.0.submit("message.history", newest).await.unwrap());
    }
    asked
}

async fn heads(raw: &mut Raw, asked: Vec<u64>) -> [u64; 2] {
    let mut heads = [0; 2];
    for (head, id) in heads.iter_mut().zip(asked) {
        *head = raw.reply(id).await["ok"]["head"].as_u64().unwrap();
    }
    heads
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_loser_sends_is_acked_from_the_winners_reply_on_a_thousand_times() {
    const ROUNDS: usize = 1000;
    let node = Node::start_with(Options::default().env("ROOKERY__LIMITS__SENDS_PER_S", "1000000"));
    let app = App::of(&node);
    let bob = app.raw("bob", "main").await;
    let mut raw = app.raw_from("alice", Platform::Ios, "phone-0").await;
    create(&mut raw, "crew", "work", &["bob"]).await;
    drop(bob);
    let (mut sent, mut acked) = (0, Vec::new());

    for round in 0..ROUNDS {
        let loser = Loser::at_it(raw).await;
        // Now the same phone, now another one.
        let phone = format!("phone-{}", round.div_ceil(2));
        let (winner, at_ms, heads) =
            win(&app, app.login_from("alice", Platform::Ios, &phone)).await;

        let loser = loser.ended().await;
        for one in &loser.acked {
            assert!(one.is_within(heads), "round {round}: {} beyond {heads:?}", one.seq);
            assert!(one.at_ms <= at_ms, "round {round}: {} is later than {at_ms}", one.at_ms);
        }
        sent += loser.sent;
        acked.extend(loser.acked);
        raw = winner;
    }

    // And all that was acked is there, at its place.
    let mut stored = 0;
    for (conversation, log) in [
        ("group:crew", whole_log(&mut raw, "crew").await),
        ("user:bob", whole_history(&mut raw, "user:bob").await),
    ] {
        let places: HashMap<&str, u64> = log
            .iter()
            .map(|entry| (entry["client_msg_id"].as_str().unwrap(), entry["seq"].as_u64().unwrap()))
            .collect();
        assert_eq!(places.len(), log.len(), "{conversation} holds something twice");
        stored += log.len();
        for one in acked.iter().filter(|one| one.conversation == conversation) {
            assert_eq!(places.get(one.key.to_string().as_str()), Some(&one.seq), "{conversation}");
        }
    }
    println!("{ROUNDS} rounds: sent {sent}, stored {stored}, acked {}, all before", acked.len());
}

/// The log of a pair.
async fn whole_history(raw: &mut Raw, conversation: &str) -> Vec<Value> {
    let mut log: Vec<Value> = Vec::new();
    loop {
        let page = json!({"conversation": conversation, "after": log.len(), "limit": 200});
        let mut page = raw.ok("message.history", page).await;
        log.append(page["messages"].as_array_mut().unwrap());
        if page["has_more"] == false {
            return log;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_kicked_device_is_acked_from_the_reply_to_the_kick_on() {
    const ROUNDS: usize = 100;
    let node = Node::start_with(Options::default().env("ROOKERY__LIMITS__SENDS_PER_S", "1000000"));
    let app = App::of(&node);
    let bob = app.raw("bob", "main").await;
    let mut raw = app.raw("alice", "tab").await;
    create(&mut raw, "crew", "work", &["bob"]).await;
    drop(bob);
    for round in 0..ROUNDS {
        let loser = app.raw_from("alice", Platform::Ios, "phone").await;
        let loser = Loser::at_it(loser).await;
        let kick = raw.0.submit("device.kick", json!({"device": "phone"})).await.unwrap();
        let ended = raw.reply(kick).await;
        assert_eq!(ended["ok"]["ended"].as_array().unwrap().len(), 1, "{ended}");
        let asked = ask_heads(&mut raw).await;
        let heads = heads(&mut raw, asked).await;
        for one in loser.ended().await.acked {
            assert!(one.is_within(heads), "round {round}: {} beyond {heads:?}", one.seq);
        }
    }
}
