//! The owner's half of send order, the same for a user's one-to-one sends and for a group's: which send's turn it is, what
//! is a repeat, who waits for which outcome.
//!
//! The owner takes number 0 of a newer run, or the next number, and asks to resubmit otherwise ([`super::order`] is the
//! session's half). A known key is answered before anything else is asked. What is not known here may be known to the
//! store: a hit is proof, a miss is not.
//!
//! Never touches a clock, a socket or the store; [`super::sends`] and [`super::group`] build on it.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::hash::Hash;

use foldhash::{HashMap, HashMapExt};
use smallvec::{SmallVec, smallvec};

use super::order::{Place, Verdict};
use crate::ids::{ClientMsgId, InboxSeq, Incarnation, MessageId, Seq, UnixMs};
use crate::limits;

/// Names a session, on whichever node, for as long as that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SessionNo(pub u64);

impl SessionNo {
    /// The first of a node's run. Owners of groups know sessions of all nodes: those of two nodes, or of two runs of one,
    /// never have the same number. 10 bits say the node, 22 its run, and 32 count.
    pub fn first(node_number: i16, incarnation: Incarnation) -> Self {
        let node = (node_number.unsigned_abs() as u64 & 0x3ff) << 54;
        let run = (incarnation.get().unsigned_abs() & 0x3f_ffff) << 32;
        Self(node | run | 1)
    }
}

/// The first 16 bytes of SHA-256 over what was sent.
pub type SendHash = [u8; 16];

/// What a send is acked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// Its place in the conversation.
    pub seq: Seq,
    /// Its place in the sender's inbox; none in a repeat, and none in a group.
    pub inbox: Option<InboxSeq>,
    /// Its id, which holds the time.
    pub message_id: MessageId,
    /// Whether it was stored before.
    pub duplicate: bool,
}

/// Why a send, or a change of a group, was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The key is known with other content.
    KeyReused,
    /// The key is older than the dedup window.
    StaleKey,
    /// The key was minted too far ahead of the server's time.
    ClockAhead {
        /// The server's time.
        now: UnixMs,
    },
    /// There is no such user or group, or one that may not be seen.
    NotFound,
    /// One who is not, or no longer, a member.
    NotAMember,
    /// The rules of the group say no.
    Forbidden,
    /// The group has ended. Told to those who may know: to others it is not there.
    Dissolved,
    /// There is no room for more members, or for more groups of one of them.
    Full,
    /// The id of a group to be made is taken.
    Taken,
    /// A queue is full.
    Busy,
    /// The store is away, and the send was not handed to it.
    Unavailable,
    /// The store went away while it had the send, and did not come back in time.
    OutcomeUnknown,
    /// The group's log is not where its owner thought: it loads the head and numbers anew. Never told to a client.
    Moved,
}

impl Refusal {
    /// Whether the same send can succeed later.
    pub fn is_curable(self) -> bool {
        match self {
            Self::Busy | Self::Unavailable | Self::OutcomeUnknown | Self::Moved => true,
            Self::KeyReused
            | Self::StaleKey
            | Self::ClockAhead { .. }
            | Self::NotFound
            | Self::NotAMember
            | Self::Forbidden
            | Self::Dissolved
            | Self::Full
            | Self::Taken => false,
        }
    }
}

/// What the store made of a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It has it now.
    Stored {
        /// Its place in the conversation.
        seq: Seq,
        /// Its place in the sender's inbox; none in a group.
        inbox: Option<InboxSeq>,
        /// Its id.
        message_id: MessageId,
        /// What its content hashes to.
        hash: SendHash,
    },
    /// It had the key before.
    Known {
        /// The first one's place.
        seq: Seq,
        /// The first one's id.
        message_id: MessageId,
        /// What the first one's content hashed to.
        hash: SendHash,
    },
    /// It was not stored, or nobody knows.
    Refused(Refusal),
}

/// Whoever waits for the outcome of a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiter {
    /// The session.
    pub session: SessionNo,
    /// The place from which it passed the send on.
    pub place: Place,
}

/// What becomes of a send that was submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted<R> {
    /// Its sender, reached so, is told this.
    Answered(R, Verdict<Ack, Refusal>),
    /// It waits for the outcome of the same key, or is of a run that is over: the session has answered it, or passed it
    /// on anew.
    Nothing,
    /// It is new, and pending until it is settled.
    New,
}

struct Run {
    run: u64,
    last: u64,
    /// Ended by a curable refusal: the rest of the run is dropped, the session answers it itself.
    closed: bool,
    /// One of it was refused for good. Its session may not have heard that, having passed everything on again before: then
    /// the one comes again, and nothing that followed it may be stored before.
    refused: bool,
}

struct Pending<R> {
    /// The session whose send it is; for the others it is a repeat.
    first: SessionNo,
    /// Who waits, with the hash of what it sent: which of them is stored only the store can say.
    waiters: SmallVec<[(Waiter, SendHash, R); 1]>,
}

struct Remembered {
    seq: Seq,
    message_id: MessageId,
    hash: SendHash,
}

/// The sends of one owner. `L` tells apart the lines of sends that keep their order and the keys that may be equal: the
/// peer of a user's sends, the sender of a group's. `R` is how a waiter is reached.
pub struct Intake<L, R> {
    window_ms: i64,
    runs: Recent<(SessionNo, L), Run>,
    pending: HashMap<(L, ClientMsgId), Pending<R>>,
    stored: Recent<(L, ClientMsgId), Remembered>,
}

impl<L: Clone + Eq + Hash, R> Intake<L, R> {
    /// Nothing sent yet. `window_ms` is the dedup window; so many runs and stored keys are remembered.
    pub fn new(window_ms: i64, runs: usize, keys: usize) -> Self {
        let (runs, stored) = (Recent::new(runs), Recent::new(keys));
        Self { window_ms, runs, pending: HashMap::new(), stored }
    }

    /// Whether no send waits for its outcome.
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    /// Gives back the room of sends that waited.
    pub fn rest(&mut self) {
        self.pending.shrink_to_fit();
    }

    /// A session passes a send on.
    pub fn submit(
        &mut self,
        now: UnixMs,
        waiter: Waiter,
        reply_to: R,
        line: &L,
        key: ClientMsgId,
        hash: SendHash,
    ) -> Submitted<R> {
        match self.take_place(waiter, line) {
            Turn::Next => {}
            Turn::Past => return Submitted::Nothing,
            Turn::TooFar => return Submitted::Answered(reply_to, Verdict::Resubmit),
        }
        let id = (line.clone(), key);
        if let Some(first) = self.stored.get(&id) {
            let verdict = repeat(first.hash == hash, first.seq, first.message_id);
            return Submitted::Answered(reply_to, verdict);
        }
        if let Some(pending) = self.pending.get_mut(&id) {
            pending.waiters.retain(|(known, _, _)| known.session != waiter.session);
            pending.waiters.push((waiter, hash, reply_to));
            return Submitted::Nothing;
        }
        if let Some(refusal) = self.refuse_by_time(now, key) {
            return Submitted::Answered(reply_to, Verdict::Final(refusal));
        }
        let waiters = smallvec![(waiter, hash, reply_to)];
        self.pending.insert(id, Pending { first: waiter.session, waiters });
        Submitted::New
    }

    /// What became of a send: each of those who wait for it is told.
    pub fn settle(
        &mut self,
        line: &L,
        key: ClientMsgId,
        outcome: Outcome,
        mut tell: impl FnMut(Waiter, R, Verdict<Ack, Refusal>),
    ) {
        if let Outcome::Stored { seq, message_id, hash, .. }
        | Outcome::Known { seq, message_id, hash } = outcome
        {
            self.stored.insert((line.clone(), key), Remembered { seq, message_id, hash });
        }
        let Some(pending) = self.pending.remove(&(line.clone(), key)) else { return };
        for (waiter, sent, reply_to) in pending.waiters {
            let verdict = match outcome {
                Outcome::Stored { seq, inbox, message_id, hash }
                    if hash == sent && waiter.session == pending.first =>
                {
                    Verdict::Stored(Ack { seq, inbox, message_id, duplicate: false })
                }
                Outcome::Stored { seq, message_id, hash, .. }
                | Outcome::Known { seq, message_id, hash } => repeat(hash == sent, seq, message_id),
                Outcome::Refused(refusal) if refusal.is_curable() => {
                    self.mark_run(waiter, line, |run| run.closed = true);
                    Verdict::Curable(refusal)
                }
                Outcome::Refused(refusal) => {
                    self.mark_run(waiter, line, |run| run.refused = true);
                    Verdict::Final(refusal)
                }
            };
            tell(waiter, reply_to, verdict);
        }
    }

    /// Whether a send follows one of its run that was refused for good. What could be stored must be passed on again then.
    pub fn follows_refused(&self, line: &L, key: ClientMsgId) -> bool {
        let Some(pending) = self.pending.get(&(line.clone(), key)) else { return false };
        pending.waiters.iter().any(|(waiter, _, _)| {
            let run = self.runs.get(&(waiter.session, line.clone()));
            run.is_some_and(|run| run.refused && waiter.place.run <= run.run)
        })
    }

    /// Those who wait for a send pass on again what they have, in order.
    pub fn resubmit(
        &mut self,
        line: &L,
        key: ClientMsgId,
        mut tell: impl FnMut(Waiter, R, Verdict<Ack, Refusal>),
    ) {
        let Some(pending) = self.pending.remove(&(line.clone(), key)) else { return };
        for (waiter, _, reply_to) in pending.waiters {
            self.mark_run(waiter, line, |run| run.refused = true);
            tell(waiter, reply_to, Verdict::Resubmit);
        }
    }

    /// A session is over.
    pub fn ended(&mut self, session: SessionNo) {
        self.runs.retain(|(of, _)| *of != session);
    }

    /// The store has lost data: what it had is no longer proof.
    pub fn forget_stored(&mut self) {
        self.stored.clear();
    }

    fn take_place(&mut self, waiter: Waiter, line: &L) -> Turn {
        let Waiter { session, place } = waiter;
        if place == Place::ALONE {
            // It needs no run, and must not push out those of others.
            return Turn::Next;
        }
        let id = (session, line.clone());
        if let Some(known) = self.runs.get_mut(&id)
            && place.run <= known.run
        {
            if place.run < known.run || known.closed {
                return Turn::Past;
            }
            if place.n == known.last + 1 {
                known.last = place.n;
                return Turn::Next;
            }
            return Turn::TooFar;
        }
        if place.n != 0 {
            return Turn::TooFar;
        }
        // Of the former run some still wait, in places that may be ahead of the refused one's.
        let refused = self.runs.get(&id).is_some_and(|run| run.refused) && self.waits(waiter, line);
        // Forgetting another run costs one resubmission.
        self.runs.insert(id, Run { run: place.run, last: 0, closed: false, refused });
        Turn::Next
    }

    fn waits(&self, waiter: Waiter, line: &L) -> bool {
        let of_line = self.pending.iter().filter(|((of, _), _)| of == line);
        of_line
            .flat_map(|(_, pending)| &pending.waiters)
            .any(|(other, _, _)| other.session == waiter.session)
    }

    fn refuse_by_time(&self, now: UnixMs, key: ClientMsgId) -> Option<Refusal> {
        let age = now.since(key.minted_at());
        if age > self.window_ms {
            Some(Refusal::StaleKey)
        } else if age < -limits::CLOCK_AHEAD_MS {
            Some(Refusal::ClockAhead { now })
        } else {
            None
        }
    }

    fn mark_run(&mut self, waiter: Waiter, line: &L, mark: impl FnOnce(&mut Run)) {
        if let Some(run) = self.runs.get_mut(&(waiter.session, line.clone()))
            && run.run == waiter.place.run
        {
            mark(run);
        }
    }
}

enum Turn {
    Next,
    /// Of a run that is over: the session has answered it, or passed it on anew.
    Past,
    TooFar,
}

fn repeat(same: bool, seq: Seq, message_id: MessageId) -> Verdict<Ack, Refusal> {
    if same {
        Verdict::Stored(Ack { seq, inbox: None, message_id, duplicate: true })
    } else {
        Verdict::Final(Refusal::KeyReused)
    }
}

/// The last values that were put in, by key; the oldest is forgotten first.
pub(super) struct Recent<K, V> {
    values: HashMap<K, V>,
    oldest_first: VecDeque<K>,
    most: usize,
}

impl<K: Clone + Eq + Hash, V> Recent<K, V> {
    pub(super) fn new(most: usize) -> Self {
        Self { values: HashMap::new(), oldest_first: VecDeque::new(), most }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.values.get(key)
    }

    fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.values.get_mut(key)
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        if self.values.insert(key.clone(), value).is_none() {
            self.oldest_first.push_back(key);
        }
        if self.oldest_first.len() > self.most
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.values.remove(&oldest);
        }
    }

    fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.values.retain(|key, _| keep(key));
        self.oldest_first.retain(|key| keep(key));
    }

    fn clear(&mut self) {
        self.values.clear();
        self.oldest_first.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_the_oldest_is_forgotten_first() {
        let mut recent = Recent::new(2);
        for n in 1..=3 {
            recent.insert(n, n * 10);
        }

        assert_eq!((recent.get(&1), recent.get(&2), recent.get(&3)), (None, Some(&20), Some(&30)));
        recent.retain(|key| *key != 2);
        recent.insert(4, 40);
        assert_eq!((recent.get(&3), recent.get(&4)), (Some(&30), Some(&40)));
        assert_eq!(recent.values.len(), recent.oldest_first.len());
    }
}
