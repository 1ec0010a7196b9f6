//! Reads whole histories back: every message that was acknowledged must be there, under its seq, once and in order.

use std::collections::HashMap;

use futures_util::StreamExt;
use serde_json::{Value, json};
use uuid::Uuid;

use super::errors::BenchError;
use super::figure::Proof;
use super::load::link::Link;
use super::load::stamp::Stamp;
use super::load::talk::{Conversation, Talk};
use super::progress::Progress;

/// Entries that are asked for at once.
const PAGE: u64 = 200;
/// Histories that are read at once.
const AT_ONCE: usize = 8;

/// Checks a talk that has settled against the store, with the sessions that took part in it.
pub async fn histories(
    talk: &Talk,
    links: Vec<Link>,
    progress: Progress,
) -> Result<Proof, BenchError> {
    let step = progress.step("reading histories", talk.conversations().len() as u64);
    let mut proof = Proof {
        deliveries: talk.tally.heard,
        missed_deliveries: talk.never_heard(),
        out_of_order: talk.out_of_order,
        unanswered: talk.unanswered(),
        ..Proof::default()
    };
    // Each session reads those conversations whose first member it is, one after the other.
    let mut readings: HashMap<usize, Vec<(usize, &Conversation)>> = HashMap::new();
    for (number, conversation) in talk.conversations().iter().enumerate() {
        if let Some((who, _)) = conversation.members.first() {
            readings.entry(*who).or_default().push((number, conversation));
        }
    }
    let readings = links.into_iter().enumerate().filter_map(|(who, link)| {
        let conversations = readings.remove(&who)?;
        Some(read(talk, who, link, conversations))
    });
    let mut readings = futures_util::stream::iter(readings).buffer_unordered(AT_ONCE);
    while let Some(read) = readings.next().await {
        let (read, conversations) = read?;
        proof += read;
        step.advance(conversations);
    }
    Ok(proof)
}

async fn read(
    talk: &Talk,
    who: usize,
    mut link: Link,
    conversations: Vec<(usize, &Conversation)>,
) -> Result<(Proof, u64), BenchError> {
    let (mut proof, count) = (Proof::default(), conversations.len() as u64);
    for (number, conversation) in conversations {
        let Some((_, name)) = conversation.members.first() else { continue };
        let mut check = Check::new(talk, number);
        let mut after = 0;
        loop {
            let body = json!({"conversation": name, "after": after, "limit": PAGE});
            let page = link.call(talk.user(who), "message.history", body).await?;
            for entry in page["messages"].as_array().into_iter().flatten() {
                after = check.see(entry);
            }
            if page["has_more"] != true {
                break;
            }
        }
        proof += check.end();
    }
    Ok((proof, count))
}

/// What is known of one conversation while its history is read in rising order.
struct Check<'a> {
    talk: &'a Talk,
    conversation: usize,
    /// For each lane of the conversation: which messages were seen, and the highest number.
    seen: HashMap<u16, (Vec<bool>, Option<u32>)>,
    last_seq: u64,
    proof: Proof,
}

impl<'a> Check<'a> {
    fn new(talk: &'a Talk, conversation: usize) -> Self {
        let lanes = talk.lanes.iter().enumerate();
        let own = lanes.filter(|(_, lane)| lane.conversation == conversation);
        let seen = own.map(|(number, lane)| (number as u16, (vec![false; lane.sent.len()], None)));
        let proof = Proof::default();
        Self { talk, conversation, seen: seen.collect(), last_seq: 0, proof }
    }

    /// Looks at the next entry and returns its seq.
    fn see(&mut self, entry: &Value) -> u64 {
        let seq = entry["seq"].as_u64().unwrap_or_default();
        if seq <= self.last_seq {
            self.proof.out_of_order += 1;
        }
        self.last_seq = seq;
        let id = entry["client_msg_id"].as_str().and_then(|id| Uuid::try_parse(id).ok());
        let Some(stamp) = id.filter(|_| entry["content"]["type"] != "notice").map(Stamp::of) else {
            return seq;
        };
        let lane = self.talk.lanes.get(usize::from(stamp.lane));
        let Some(lane) = lane.filter(|lane| lane.conversation == self.conversation) else {
            return seq;
        };
        let Some((seen, highest)) = self.seen.get_mut(&stamp.lane) else { return seq };
        let number = stamp.number as usize;
        let (Some(seen), Some(sent)) = (seen.get_mut(number), lane.sent.get(number)) else {
            return seq;
        };
        if *seen {
            self.proof.doubled += 1;
            return seq;
        }
        *seen = true;
        if highest.is_some_and(|highest| stamp.number < highest) {
            self.proof.out_of_order += 1;
        }
        *highest = (*highest).max(Some(stamp.number));
        // Whoever was acknowledged another seq than it has was told of a place that it is not at.
        if sent.seq == seq {
            self.proof.found += 1;
        }
        seq
    }

    fn end(mut self) -> Proof {
        let acked = self.seen.keys().filter_map(|lane| self.talk.lanes.get(usize::from(*lane)));
        let acked = acked.flat_map(|lane| &lane.sent).filter(|sent| sent.seq != 0).count() as u64;
        self.proof.acked = acked;
        self.proof.lost = acked - self.proof.found;
        self.proof
    }
}
