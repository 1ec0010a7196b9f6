//! Who is there, as bare connections hear and ask.

use serde_json::{Value, json};

use super::chat::Raw;

/// How a user is, as the next event that names them says; other events of presence are thrown away.
pub async fn told(raw: &mut Raw, user: &str) -> Value {
    loop {
        let mut changed = raw.event("presence.changed").await;
        let presences = changed["presences"].as_array_mut().unwrap();
        assert!((1..=200).contains(&presences.len()), "{presences:?}");
        if let Some(presence) = presences.iter_mut().find(|presence| presence["user"] == user) {
            return presence.take();
        }
    }
}

/// Whom the next event of presence names.
pub async fn named(raw: &mut Raw) -> Vec<String> {
    let changed = raw.event("presence.changed").await;
    let presences = changed["presences"].as_array().unwrap();
    presences.iter().map(|presence| presence["user"].as_str().unwrap().to_owned()).collect()
}

/// How users are, by asking.
pub async fn get(raw: &mut Raw, users: &[&str]) -> Vec<Value> {
    let mut reply = raw.ok("presence.get", json!({"users": users})).await;
    let presences = reply["presences"].as_array_mut().unwrap();
    let named: Vec<_> = presences.iter().map(|presence| presence["user"].clone()).collect();
    assert_eq!(named, users);
    std::mem::take(presences)
}

/// How one user is, by asking.
pub async fn get_one(raw: &mut Raw, user: &str) -> Value {
    get(raw, &[user]).await.remove(0)
}

/// Makes somebody a friend.
pub async fn befriend(raw: &mut Raw, user: &str) {
    let reply = raw.ok("friend.add", json!({"user": user})).await;
    assert_eq!(reply, json!({"state": "friends"}));
}

/// What one sees of somebody who is not there, whether or not they exist.
pub fn offline(user: &str) -> Value {
    json!({"user": user, "state": "offline"})
}

/// The same without when that was last otherwise, which must be a minute.
pub fn without_last_seen(mut presence: Value) -> Value {
    let last_seen = presence.as_object_mut().unwrap().remove("last_seen_ms");
    let last_seen = last_seen.map(|last_seen| last_seen.as_i64().unwrap());
    assert!(last_seen.is_none_or(|last_seen| last_seen % 60_000 == 0), "{last_seen:?}");
    presence
}
