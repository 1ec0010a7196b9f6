//! What a device has, stream by stream, and what it lacks.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// The place in one stream up to which a device has everything, from where it began.
#[derive(Debug, Clone, Default)]
pub struct Place {
    pub from: u64,
    pub to: u64,
    /// Seen beyond a gap.
    held: BTreeSet<u64>,
    head: u64,
}

impl Place {
    fn beginning_at(head: u64) -> Self {
        Self { from: head, to: head, held: BTreeSet::new(), head }
    }

    fn saw(&mut self, number: u64) {
        self.head = self.head.max(number);
        if number > self.to {
            self.held.insert(number);
        }
        while self.held.remove(&(self.to + 1)) {
            self.to += 1;
        }
    }

    fn lacks(&self) -> bool {
        self.to < self.head
    }
}

/// The position of a device, as the protocol calls it.
#[derive(Debug, Default)]
pub struct Position {
    epoch: Option<String>,
    inbox: Option<Place>,
    groups: BTreeMap<String, Place>,
}

impl Position {
    /// The `sync` of a login, and the body of the command.
    pub fn body(&self) -> Value {
        let (Some(epoch), Some(inbox)) = (&self.epoch, &self.inbox) else { return json!({}) };
        let groups: serde_json::Map<String, Value> =
            self.groups.iter().map(|(id, place)| (id.clone(), place.to.into())).collect();
        json!({"epoch": epoch, "inbox": inbox.to, "groups": groups})
    }

    /// What a `sync` answered: the heads. Another epoch ends the position.
    pub fn synced(&mut self, answer: &Value) {
        let epoch = answer["epoch"].as_str().unwrap_or_default();
        if self.epoch.as_deref() != Some(epoch) {
            *self = Self { epoch: Some(epoch.to_owned()), ..Self::default() };
        }
        let head = answer["inbox"].as_u64().unwrap_or_default();
        let inbox = self.inbox.get_or_insert_with(|| Place::beginning_at(head));
        inbox.head = inbox.head.max(head);
        for group in answer["groups"].as_array().into_iter().flatten() {
            let (Some(id), Some(head)) = (group["group"].as_str(), group["head"].as_u64()) else {
                continue;
            };
            let new = || Place::beginning_at(head);
            let place = self.groups.entry(id.to_owned()).or_insert_with(new);
            place.head = place.head.max(head);
        }
    }

    /// A ping told what the device is behind.
    pub fn is_behind(&mut self, behind: &Value) {
        if let (Some(inbox), Some(head)) = (&mut self.inbox, behind["inbox"].as_u64()) {
            inbox.head = inbox.head.max(head);
        }
        for (id, head) in behind["groups"].as_object().into_iter().flatten() {
            if let (Some(place), Some(head)) = (self.groups.get_mut(id), head.as_u64()) {
                place.head = place.head.max(head);
            }
        }
    }

    /// An entry was shown, or a message of its own acked.
    pub fn saw(&mut self, entry: &Value) {
        if let (Some(inbox), Some(number)) = (&mut self.inbox, entry["inbox"].as_u64()) {
            inbox.saw(number);
        }
        let conversation = entry["conversation"].as_str().unwrap_or_default();
        if let (Some(group), Some(seq)) =
            (conversation.strip_prefix("group:"), entry["seq"].as_u64())
        {
            // A group that is new begins right before the first entry that is shown.
            let new = || Place::beginning_at(seq.saturating_sub(1));
            self.groups.entry(group.to_owned()).or_insert_with(new).saw(seq);
        }
    }

    /// From where to pull: the streams that lack something, groups by their ids.
    pub fn lacking(&self) -> Vec<(Option<String>, u64)> {
        let inbox = self.inbox.iter().filter(|place| place.lacks()).map(|place| (None, place.to));
        let groups = self.groups.iter().filter(|(_, place)| place.lacks());
        inbox.chain(groups.map(|(id, place)| (Some(id.clone()), place.to))).collect()
    }

    /// All places, groups by their ids.
    pub fn places(&self) -> impl Iterator<Item = (Option<&str>, &Place)> {
        let inbox = self.inbox.iter().map(|place| (None, place));
        inbox.chain(self.groups.iter().map(|(id, place)| (Some(id.as_str()), place)))
    }
}
