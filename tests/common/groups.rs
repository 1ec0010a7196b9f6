//! Groups of a running server, as bare connections see them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rookery::client::{Client, Posted};
use rookery::ids::{ClientMsgId, Conversation};
use rookery::protocol::Content;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::chat::{Raw, patience};

/// The body of a `message.send` to a group.
pub fn to_group(group: &str, key: ClientMsgId, text: &str) -> Value {
    let content = json!({"type": "text", "text": text});
    json!({"to": format!("group:{group}"), "client_msg_id": key, "content": content})
}

/// Makes a group.
pub async fn create(owner: &mut Raw, group: &str, kind: &str, members: &[&str]) {
    let body = json!({"group": group, "kind": kind, "name": "Team", "members": members});
    let made = owner.ok("group.create", body).await;
    assert_eq!(made["conversation"], format!("group:{group}"));
}

/// The next reply; events are thrown away.
pub async fn next_reply(raw: &mut Raw) -> Value {
    loop {
        let frame = patience("a reply", raw.0.frame()).await.unwrap();
        if frame.get("re").is_some() {
            return frame;
        }
    }
}

/// The reply to this command; whatever comes before it is thrown away.
pub async fn reply_to(raw: &mut Raw, id: u64) -> Value {
    loop {
        let reply = next_reply(raw).await;
        if reply["re"] == id {
            return reply;
        }
    }
}

/// Sends a command; its reply. Whatever comes before that is thrown away.
pub async fn call(raw: &mut Raw, cmd: &str, body: Value) -> Value {
    let id = raw.0.submit(cmd, body).await.unwrap();
    reply_to(raw, id).await
}

/// The log of a group from the first entry that the reader may see, which has no gap.
pub async fn whole_log(raw: &mut Raw, group: &str) -> Vec<Value> {
    let mut log: Vec<Value> = Vec::new();
    let mut after = 0;
    loop {
        let ask = json!({"conversation": format!("group:{group}"), "after": after, "limit": 200});
        let mut reply = call(raw, "message.history", ask).await;
        let page = &mut reply["ok"];
        assert!(page.is_object(), "{reply}");
        let first = page["min_seq"].as_u64().unwrap();
        let Value::Array(messages) = page["messages"].take() else { panic!("{reply}") };
        for message in messages {
            let seq = message["seq"].as_u64().unwrap();
            assert_eq!(seq, first + log.len() as u64, "a gap before {message}");
            log.push(message);
            after = seq;
        }
        if page["has_more"] == false {
            assert_eq!(page["head"], after, "the page ends before the head");
            return log;
        }
    }
}

/// Walks through a log from its first entry: who is a member after each notice, and that nobody else has written.
///
/// Fails as well at a notice that moves somebody who was there already, or not there.
pub fn follow(log: &[Value]) -> HashSet<String> {
    let mut members: HashSet<String> = HashSet::new();
    let mut keys = HashSet::new();
    let mut dissolved = false;
    for entry in log {
        let from = entry["from"].as_str().unwrap();
        let content = &entry["content"];
        assert!(keys.insert(entry["client_msg_id"].to_string()), "stored twice: {entry}");
        assert!(!dissolved, "written after the end: {entry}");
        if content["type"] != "notice" {
            assert!(members.contains(from), "written by one who was not a member: {entry}");
            continue;
        }
        let action = content["action"].as_str().unwrap();
        let users = content["users"].as_array().map_or(&[][..], Vec::as_slice);
        let users = users.iter().map(|user| user.as_str().unwrap().to_owned());
        match action {
            "created" | "added" | "joined" => {
                let rightful = action != "added" || members.contains(from);
                assert!(rightful, "added by one who was not a member: {entry}");
                users.for_each(|user| assert!(members.insert(user), "was a member: {entry}"));
            }
            "left" | "removed" => {
                assert!(members.contains(from), "done by one who was not a member: {entry}");
                users.for_each(|user| assert!(members.remove(&user), "was no member: {entry}"));
            }
            "renamed" => assert!(members.contains(from), "renamed by an outsider: {entry}"),
            "dissolved" => {
                assert!(members.contains(from), "ended by an outsider: {entry}");
                members.clear();
                dissolved = true;
            }
            other => panic!("unknown action {other}: {entry}"),
        }
    }
    members
}

/// SplitMix64: what a seed gives must not change with a crate's version.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

/// What is going on in a test: how much was said, and when it is enough.
#[derive(Debug)]
pub struct Talk {
    stop: AtomicBool,
    posted: AtomicU64,
    acked: watch::Sender<u64>,
}

/// What one has said to groups, in order, with the seqs of the acks.
pub type Said = Vec<(Conversation, ClientMsgId, u64)>;

impl Default for Talk {
    fn default() -> Self {
        let (posted, acked) = (AtomicU64::new(0), watch::Sender::new(0));
        Self { stop: AtomicBool::new(false), posted, acked }
    }
}

impl Talk {
    /// Sends that wait for their ack.
    pub fn unanswered(&self) -> u64 {
        self.posted.load(Ordering::SeqCst) - *self.acked.borrow()
    }

    /// Waits for so many more acks.
    pub async fn acks(&self, more: u64) {
        let mut acked = self.acked.subscribe();
        let goal = *acked.borrow() + more;
        patience("acks", acked.wait_for(|acked| *acked >= goal)).await.unwrap();
    }

    /// Waits until so many sends are unanswered.
    pub async fn under_way(&self, least: u64) {
        let enough = async {
            while self.unanswered() < least {
                tokio::task::yield_now().await;
            }
        };
        patience("sends are under way", enough).await;
    }

    /// Nobody begins to say anything more.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Talks to these in turn, with so many unanswered at most, until it is stopped and all is acked.
    pub async fn join_in(&self, client: &Client, to: &[Conversation], window: usize) -> Said {
        let mut said: Said = Vec::new();
        let mut waiting: VecDeque<(usize, Posted)> = VecDeque::new();
        let mut turns = to.iter().cycle();
        loop {
            let stopped = self.stop.load(Ordering::SeqCst);
            if stopped && waiting.is_empty() {
                return said;
            }
            while !stopped && waiting.len() < window {
                let to = turns.next().unwrap();
                let content = Content::Text { text: format!("{}", said.len()) };
                let posted = client.post(to, content).await.unwrap();
                self.posted.fetch_add(1, Ordering::SeqCst);
                waiting.push_back((said.len(), posted));
                let (_, posted) = waiting.back().unwrap();
                said.push((to.clone(), posted.client_msg_id, 0));
            }
            if let Some((place, posted)) = waiting.pop_front() {
                let sent = patience("an ack", posted.acked()).await.expect("acked in the end");
                said[place].2 = sent.seq.get();
                self.acked.send_modify(|acked| *acked += 1);
            }
        }
    }

    /// Says so many things at once, and the same again as soon as all of them are acked and the time has come, until it is
    /// stopped.
    pub async fn in_bursts(
        &self,
        client: &Client,
        to: &Conversation,
        burst: usize,
        every: Duration,
    ) -> Said {
        let mut said = Said::new();
        let mut turns = tokio::time::interval(every);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.stop.load(Ordering::SeqCst) {
            let mut waiting = Vec::new();
            for _ in 0..burst {
                let content = Content::Text { text: format!("{}", said.len() + waiting.len()) };
                waiting.push(client.post(to, content).await.unwrap());
                self.posted.fetch_add(1, Ordering::SeqCst);
            }
            for posted in waiting {
                let key = posted.client_msg_id;
                let sent = patience("an ack", posted.acked()).await.expect("acked in the end");
                said.push((to.clone(), key, sent.seq.get()));
                self.acked.send_modify(|acked| *acked += 1);
            }
            turns.tick().await;
        }
        said
    }
}

/// Holds a log without a gap against what was said by one: everything acked is there once, in the order in which it was said.
pub fn hold_against(log: &[Value], group: &Conversation, said: &Said) -> usize {
    let at: HashMap<&str, u64> = log
        .iter()
        .map(|entry| (entry["client_msg_id"].as_str().unwrap(), entry["seq"].as_u64().unwrap()))
        .collect();
    let mut last = 0;
    let to_group = said.iter().filter(|(to, _, _)| to == group);
    let count = to_group.clone().count();
    for (_, key, seq) in to_group {
        assert_eq!(at.get(key.to_string().as_str()), Some(seq), "{key} was acked at {seq}");
        assert!(*seq > last, "{key} at {seq} overtook one that was said before it");
        last = *seq;
    }
    count
}
