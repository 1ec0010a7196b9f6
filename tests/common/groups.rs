//! Groups of a running server, as bare connections see them.

use std::collections::HashSet;

use rookery::ids::ClientMsgId;
use serde_json::{Value, json};

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
