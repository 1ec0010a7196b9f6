//! One end of the links: letters get their numbers here, and wait within bounds until they are carried.
//!
//! Knows no carrier and no clock. A number that was given out is never given again: what finds no room, or is dropped,
//! leaves a gap that its receiver notices.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Instant;

use bytes::Bytes;

use super::envelope::{Content, Envelope, is_late};
use crate::ids::{NodeRun, UnixMs};
use crate::limits;

/// Why a letter is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsent {
    /// It is larger than a letter may be.
    TooLarge,
    /// Too much waits for this node, or too many nodes are known.
    NoRoom,
    /// Its time was over before anybody carried it.
    Late,
    /// Its receiver is not there any more.
    Gone,
}

impl Unsent {
    /// As it is counted.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::NoRoom => "no_room",
            Self::Late => "late",
            Self::Gone => "gone",
        }
    }
}

/// What waits to be carried, for all receivers.
#[derive(Debug)]
pub(super) struct Outbox {
    own: NodeRun,
    links: HashMap<NodeRun, Link>,
    /// In the order in which it was sent, so that no receiver waits for another one's queue.
    waiting: VecDeque<Envelope>,
}

#[derive(Debug, Default)]
struct Link {
    /// The last number that was given out.
    number: u64,
    is_peer: bool,
    envelopes: usize,
    bytes: usize,
    /// When the last envelope was put in.
    fed_at: Option<Instant>,
    /// When it was last no peer any more; none for what never was one.
    left_at: Option<Instant>,
}

impl Link {
    fn next(&mut self) -> u64 {
        self.number += 1;
        self.number
    }
}

impl Outbox {
    pub(super) fn new(own: NodeRun) -> Self {
        Self { own, links: HashMap::new(), waiting: VecDeque::new() }
    }

    /// Puts a letter in, if there is room.
    pub(super) fn put(
        &mut self,
        to: NodeRun,
        payload: Bytes,
        deadline: UnixMs,
        at: Instant,
    ) -> Result<(), Unsent> {
        let link = self.link(to).ok_or(Unsent::NoRoom)?;
        // Given out before room is looked for: a letter without room is one that its receiver must miss.
        let number = link.next();
        if payload.len() > limits::BUS_LETTER_BYTES {
            return Err(Unsent::TooLarge);
        }
        if link.envelopes >= limits::BUS_QUEUE
            || link.bytes + payload.len() > limits::BUS_QUEUE_BYTES
        {
            return Err(Unsent::NoRoom);
        }
        link.envelopes += 1;
        link.bytes += payload.len();
        link.fed_at = Some(at);
        let content = Content::Letter(payload);
        self.waiting.push_back(Envelope { from: self.own, to, number, deadline, content });
        Ok(())
    }

    fn link(&mut self, to: NodeRun) -> Option<&mut Link> {
        if !self.links.contains_key(&to) && self.links.len() >= limits::BUS_LINKS {
            let gone = self.links.iter().filter(|(_, link)| !link.is_peer && link.envelopes == 0);
            let gone = gone.min_by_key(|(_, link)| link.left_at).map(|(run, _)| *run)?;
            self.links.remove(&gone);
        }
        Some(self.links.entry(to).or_default())
    }

    /// Says who is there. What waits for others is dropped; their numbers are remembered, for a node whose lease was over
    /// may renew it. Returns how many letters were dropped.
    pub(super) fn set_peers(&mut self, peers: &[NodeRun], at: Instant) -> usize {
        let peers: HashSet<NodeRun> =
            peers.iter().copied().filter(|peer| *peer != self.own).collect();
        for (run, link) in &mut self.links {
            if !peers.contains(run) {
                if link.is_peer {
                    link.left_at = Some(at);
                }
                *link = Link { number: link.number, left_at: link.left_at, ..Link::default() };
            }
        }
        for peer in &peers {
            if let Some(link) = self.link(*peer) {
                link.is_peer = true;
            }
        }
        let before = self.waiting.len();
        self.waiting.retain(|envelope| peers.contains(&envelope.to));
        before - self.waiting.len()
    }

    /// Puts a beat in for each peer that nothing was sent to lately.
    pub(super) fn beat(&mut self, deadline: UnixMs, at: Instant) {
        for (to, link) in &mut self.links {
            let is_fed =
                link.fed_at.is_some_and(|fed| at.duration_since(fed) < limits::BUS_BEAT_EVERY);
            // What waits already shows its number when it is carried.
            if link.is_peer && link.envelopes == 0 && !is_fed {
                let number = link.next();
                link.envelopes += 1;
                link.fed_at = Some(at);
                let content = Content::Beat;
                self.waiting.push_back(Envelope {
                    from: self.own,
                    to: *to,
                    number,
                    deadline,
                    content,
                });
            }
        }
    }

    /// Takes out what is carried next, and counts what is too late to be carried.
    pub(super) fn gather(&mut self, now: UnixMs) -> (Vec<Envelope>, usize) {
        let (mut batch, mut bytes, mut late) = (Vec::new(), 0, 0);
        while let Some(envelope) = self.waiting.front() {
            let is_late = is_late(envelope.deadline, now);
            let payload_bytes = match &envelope.content {
                Content::Beat => 0,
                Content::Letter(payload) => payload.len(),
            };
            let is_full = batch.len() >= limits::BUS_BATCH
                || !batch.is_empty() && bytes + payload_bytes > limits::BUS_BATCH_BYTES;
            if is_full && !is_late {
                break;
            }
            let Some(envelope) = self.waiting.pop_front() else { break };
            if let Some(link) = self.links.get_mut(&envelope.to) {
                link.envelopes = link.envelopes.saturating_sub(1);
                link.bytes = link.bytes.saturating_sub(payload_bytes);
            }
            if is_late {
                late += 1;
            } else {
                bytes += payload_bytes;
                batch.push(envelope);
            }
        }
        (batch, late)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ids::{Incarnation, NodeId};

    const NOW: UnixMs = UnixMs::new(1_000_000);
    const LATER: UnixMs = UnixMs::new(1_000_001);

    fn run(node: i64) -> NodeRun {
        NodeRun { node: NodeId::from_store(node), incarnation: Incarnation::from_store(1) }
    }

    fn letter(bytes: usize) -> Bytes {
        vec![0; bytes].into()
    }

    fn numbers(outbox: &mut Outbox) -> Vec<(i64, u64)> {
        outbox.gather(NOW).0.iter().map(|e| (e.to.node.get(), e.number)).collect()
    }

    #[test]
    fn each_link_counts_from_one() {
        let (mut outbox, at) = (Outbox::new(run(0)), Instant::now());

        for to in [1, 2, 1] {
            outbox.put(run(to), letter(1), NOW, at).unwrap();
        }

        assert_eq!(numbers(&mut outbox), [(1, 1), (2, 1), (1, 2)]);
    }

    #[test]
    fn a_letter_without_room_leaves_its_number_out() {
        let (mut outbox, at) = (Outbox::new(run(0)), Instant::now());
        let full = limits::BUS_QUEUE_BYTES / limits::BUS_LETTER_BYTES;
        for _ in 0..full {
            outbox.put(run(1), letter(limits::BUS_LETTER_BYTES), NOW, at).unwrap();
        }

        assert_eq!(outbox.put(run(1), letter(1), NOW, at), Err(Unsent::NoRoom));
        let huge = letter(limits::BUS_LETTER_BYTES + 1);
        assert_eq!(outbox.put(run(1), huge, NOW, at), Err(Unsent::TooLarge));
        assert_eq!(outbox.put(run(2), letter(1), NOW, at), Ok(()), "another node has its own room");

        let most = limits::BUS_BATCH_BYTES / limits::BUS_LETTER_BYTES;
        assert_eq!(numbers(&mut outbox).len(), most, "a batch has its bounds too");
        outbox.put(run(1), letter(1), NOW, at).unwrap();
        let rest: Vec<_> = std::iter::repeat_with(|| numbers(&mut outbox)).take(full).collect();
        assert_eq!(rest.concat().last(), Some(&(1, full as u64 + 3)));
    }

    #[test]
    fn only_peers_to_whom_nothing_was_sent_get_a_beat() {
        let (mut outbox, at) = (Outbox::new(run(0)), Instant::now());
        outbox.set_peers(&[run(0), run(1), run(2)], at);
        outbox.put(run(1), letter(1), NOW, at).unwrap();
        outbox.put(run(3), letter(1), NOW, at).unwrap();

        outbox.beat(NOW, at);
        outbox.beat(NOW, at + limits::BUS_BEAT_EVERY);
        assert_eq!(numbers(&mut outbox), [(1, 1), (3, 1), (2, 1)]);
        outbox.put(run(2), letter(1), NOW, at + limits::BUS_BEAT_EVERY).unwrap();
        outbox.beat(NOW, at + limits::BUS_BEAT_EVERY);
        assert_eq!(numbers(&mut outbox), [(2, 2), (1, 2)]);
    }

    #[test]
    fn a_node_that_comes_back_is_not_counted_anew() {
        let (mut outbox, at) = (Outbox::new(run(0)), Instant::now());
        outbox.set_peers(&[run(1)], at);
        outbox.put(run(1), letter(1), NOW, at).unwrap();

        assert_eq!(outbox.set_peers(&[], at), 1);
        assert_eq!(numbers(&mut outbox), []);
        outbox.set_peers(&[run(1)], at + Duration::from_secs(1));
        outbox.put(run(1), letter(1), NOW, at).unwrap();

        assert_eq!(numbers(&mut outbox), [(1, 2)]);
    }

    #[test]
    fn what_is_late_is_not_carried() {
        let (mut outbox, at) = (Outbox::new(run(0)), Instant::now());
        outbox.put(run(1), letter(1), NOW, at).unwrap();
        outbox.put(run(1), letter(1), LATER, at).unwrap();

        let (batch, late) = outbox.gather(LATER);

        assert_eq!((batch.len(), late), (1, 1));
        assert_eq!(batch[0].number, 2);
    }

    #[test]
    fn the_oldest_link_gives_way_and_never_a_peer() {
        let (mut outbox, at) = (Outbox::new(run(0)), Instant::now());
        let all: Vec<NodeRun> = (1..=limits::BUS_LINKS as i64).map(run).collect();
        outbox.set_peers(&all, at);
        assert_eq!(outbox.put(run(-1), letter(1), NOW, at), Err(Unsent::NoRoom));

        outbox.set_peers(&all[1..], at);

        assert_eq!(outbox.put(run(-1), letter(1), NOW, at), Ok(()));
        assert!(!outbox.links.contains_key(&all[0]));
    }
}
