//! A user's one-to-one sends: which are taken, which are repeats, which are refused.
//!
//! The owner's half of the order rules ([`super::order`] is the session's): it takes number 0 of a newer run, or the
//! next number, and asks to resubmit otherwise. A known key is answered before anything else is asked. What the store
//! decides (seqs, keys that are stored already) comes back as an [`Input::Settled`].
//!
//! Never touches a clock, a socket or the store: time is an argument, and the user's actor performs the effects.

use std::collections::{HashMap, VecDeque};

use super::order::{Place, Verdict};
use crate::ids::{ClientMsgId, ConversationNo, InboxSeq, MessageId, Seq, UnixMs, UserId, UserNo};
use crate::limits;

/// Names a session on its node, for as long as the node runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionNo(pub u64);

/// The first 16 bytes of SHA-256 over what was sent.
pub type SendHash = [u8; 16];

/// The other side of a pair, once it was looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pair {
    /// The pair's number.
    pub no: ConversationNo,
    /// The other side's number; the user's own in a pair with oneself.
    pub peer: UserNo,
}

/// What a send is acked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// Its place in the conversation.
    pub seq: Seq,
    /// Its place in the sender's inbox; none in a repeat.
    pub inbox: Option<InboxSeq>,
    /// Its id, which holds the time.
    pub message_id: MessageId,
    /// Whether it was stored before.
    pub duplicate: bool,
}

/// Why a send was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// There is no such user.
    NotFound,
    /// A queue is full.
    Busy,
    /// The store is away, and the send was not handed to it.
    Unavailable,
    /// The store went away while it had the send, and did not come back in time.
    OutcomeUnknown,
}

impl Refusal {
    /// Whether the same send can succeed later.
    pub fn is_curable(self) -> bool {
        match self {
            Self::Busy | Self::Unavailable | Self::OutcomeUnknown => true,
            Self::KeyReused | Self::StaleKey | Self::ClockAhead { .. } | Self::NotFound => false,
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
        /// Its place in the sender's inbox.
        inbox: InboxSeq,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiter {
    /// The session.
    pub session: SessionNo,
    /// The place from which it passed the send on.
    pub place: Place,
}

/// What happens to a user's sends.
#[derive(Debug)]
pub enum Input<P> {
    /// A session passes a send on.
    Submitted {
        /// The session and the place.
        waiter: Waiter,
        /// To whom.
        to: UserId,
        /// Its key.
        key: ClientMsgId,
        /// What its content hashes to.
        hash: SendHash,
        /// What is to be stored.
        payload: P,
    },
    /// The peer was looked up; none when there is no such user.
    Found {
        /// Who was looked up.
        to: UserId,
        /// The pair with them.
        pair: Option<Pair>,
    },
    /// The peer could not be looked up.
    NotLookedUp {
        /// Who was looked up.
        to: UserId,
        /// Why not; curable.
        why: Refusal,
    },
    /// The journal says what became of a send.
    Settled {
        /// To whom.
        to: UserId,
        /// Its key.
        key: ClientMsgId,
        /// What became of it.
        outcome: Outcome,
    },
    /// A session is over.
    Ended(SessionNo),
}

/// What the user's actor shall do.
#[derive(Debug, PartialEq)]
pub enum Effect<P> {
    /// Tell a session what became of a send.
    Tell {
        /// The session, and the place of the send there.
        waiter: Waiter,
        /// To whom it went.
        to: UserId,
        /// Its key.
        key: ClientMsgId,
        /// What became of it.
        verdict: Verdict<Ack, Refusal>,
    },
    /// Look up a user and open the pair.
    LookUp(UserId),
    /// Hand a send to the pair's journal.
    Append {
        /// The pair.
        pair: Pair,
        /// To whom.
        to: UserId,
        /// Its key.
        key: ClientMsgId,
        /// What its content hashes to.
        hash: SendHash,
        /// What is to be stored.
        payload: P,
    },
}

struct Run {
    run: u64,
    last: u64,
    /// Ended by a curable refusal: the rest of the run is dropped, the session answers it itself.
    closed: bool,
}

struct Pending<P> {
    /// Of the first one's content, which is what is to be stored.
    hash: SendHash,
    /// The session whose send it is; for the others it is a repeat.
    first: SessionNo,
    /// Who waits, with the hash of what it sent: which of them is stored only the store can say.
    waiters: Vec<(Waiter, SendHash)>,
    /// Not yet handed to the journal: its peer is being looked up.
    unsent: Option<P>,
}

struct Remembered {
    seq: Seq,
    message_id: MessageId,
    hash: SendHash,
}

/// A user's one-to-one sends; `P` is what is to be stored.
pub struct Sends<P> {
    window_ms: i64,
    runs: HashMap<SessionNo, HashMap<UserId, Run>>,
    pending: HashMap<(UserId, ClientMsgId), Pending<P>>,
    /// Sends whose peer is being looked up, oldest first.
    looked_up: HashMap<UserId, Vec<ClientMsgId>>,
    pairs: Recent<UserId, Pair>,
    stored: Recent<(UserId, ClientMsgId), Remembered>,
}

impl<P> Sends<P> {
    /// Nothing sent yet. `window_ms` is the dedup window.
    pub fn new(window_ms: i64) -> Self {
        Self {
            window_ms,
            runs: HashMap::new(),
            pending: HashMap::new(),
            looked_up: HashMap::new(),
            pairs: Recent::new(limits::KNOWN_PEERS),
            stored: Recent::new(limits::RECENT_KEYS),
        }
    }

    /// The pair with a user, when it was looked up lately.
    pub fn pair(&self, to: &UserId) -> Option<Pair> {
        self.pairs.get(to).copied()
    }

    /// Remembers a pair that was looked up elsewhere.
    pub fn remember_pair(&mut self, to: UserId, pair: Pair) {
        self.pairs.insert(to, pair);
    }

    /// Whether no send waits for its outcome.
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    /// Turns what happened into what is to be done.
    pub fn decide(&mut self, now: UnixMs, input: Input<P>, effects: &mut Vec<Effect<P>>) {
        match input {
            Input::Submitted { waiter, to, key, hash, payload } => {
                match self.take_place(waiter, &to) {
                    Turn::Next => self.submitted(now, waiter, to, key, hash, payload, effects),
                    Turn::Past => {}
                    Turn::TooFar => {
                        let verdict = Verdict::Resubmit;
                        effects.push(Effect::Tell { waiter, to, key, verdict });
                    }
                }
            }
            Input::Found { to, pair: Some(pair) } => {
                self.pairs.insert(to.clone(), pair);
                for key in self.looked_up.remove(&to).unwrap_or_default() {
                    let Some(pending) = self.pending.get_mut(&(to.clone(), key)) else { continue };
                    let hash = pending.hash;
                    if let Some(payload) = pending.unsent.take() {
                        effects.push(Effect::Append { pair, to: to.clone(), key, hash, payload });
                    }
                }
            }
            Input::Found { to, pair: None } => {
                self.refuse_looked_up(to, Refusal::NotFound, effects)
            }
            Input::NotLookedUp { to, why } => self.refuse_looked_up(to, why, effects),
            Input::Settled { to, key, outcome } => self.settled(to, key, outcome, effects),
            Input::Ended(session) => {
                self.runs.remove(&session);
            }
        }
    }

    fn take_place(&mut self, waiter: Waiter, to: &UserId) -> Turn {
        let Waiter { session, place } = waiter;
        let runs = self.runs.entry(session).or_default();
        if let Some(known) = runs.get_mut(to)
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
        // Forgetting a run costs one resubmission; the session that has more than this under way does not exist.
        if runs.len() >= limits::KNOWN_RUNS
            && let Some(oldest) =
                runs.iter().min_by_key(|(_, run)| run.run).map(|(to, _)| to.clone())
        {
            runs.remove(&oldest);
        }
        runs.insert(to.clone(), Run { run: place.run, last: 0, closed: false });
        Turn::Next
    }

    #[allow(clippy::too_many_arguments)] // The fields of one input, taken apart by its only caller.
    fn submitted(
        &mut self,
        now: UnixMs,
        waiter: Waiter,
        to: UserId,
        key: ClientMsgId,
        hash: SendHash,
        payload: P,
        effects: &mut Vec<Effect<P>>,
    ) {
        let id = (to, key);
        if let Some(first) = self.stored.get(&id) {
            let verdict = repeat(first.hash == hash, first.seq, first.message_id);
            let (to, key) = id;
            effects.push(Effect::Tell { waiter, to, key, verdict });
            return;
        }
        if let Some(pending) = self.pending.get_mut(&id) {
            pending.waiters.retain(|(known, _)| known.session != waiter.session);
            pending.waiters.push((waiter, hash));
            return;
        }
        if let Some(refusal) = self.refuse_by_time(now, key) {
            let (to, key) = id;
            effects.push(Effect::Tell { waiter, to, key, verdict: Verdict::Final(refusal) });
            return;
        }
        let (to, _) = id.clone();
        let first = waiter.session;
        let mut pending = Pending { hash, first, waiters: vec![(waiter, hash)], unsent: None };
        match self.pairs.get(&to) {
            // While others wait for the look-up, a later send must not overtake them.
            Some(pair) if !self.looked_up.contains_key(&to) => {
                effects.push(Effect::Append { pair: *pair, to, key, hash, payload });
            }
            _ => {
                pending.unsent = Some(payload);
                let waiting = self.looked_up.entry(to.clone()).or_default();
                if waiting.is_empty() {
                    effects.push(Effect::LookUp(to));
                }
                waiting.push(key);
            }
        }
        self.pending.insert(id, pending);
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

    fn refuse_looked_up(&mut self, to: UserId, why: Refusal, effects: &mut Vec<Effect<P>>) {
        for key in self.looked_up.remove(&to).unwrap_or_default() {
            self.settled(to.clone(), key, Outcome::Refused(why), effects);
        }
    }

    fn settled(
        &mut self,
        to: UserId,
        key: ClientMsgId,
        outcome: Outcome,
        effects: &mut Vec<Effect<P>>,
    ) {
        let Some(pending) = self.pending.remove(&(to.clone(), key)) else { return };
        if let Outcome::Stored { seq, message_id, hash, .. }
        | Outcome::Known { seq, message_id, hash } = outcome
        {
            self.stored.insert((to.clone(), key), Remembered { seq, message_id, hash });
        }
        for (waiter, sent) in pending.waiters {
            let verdict = match outcome {
                Outcome::Stored { seq, inbox, message_id, hash }
                    if hash == sent && waiter.session == pending.first =>
                {
                    Verdict::Stored(Ack { seq, inbox: Some(inbox), message_id, duplicate: false })
                }
                Outcome::Stored { seq, message_id, hash, .. }
                | Outcome::Known { seq, message_id, hash } => repeat(hash == sent, seq, message_id),
                Outcome::Refused(refusal) if refusal.is_curable() => {
                    self.close_run(waiter, &to);
                    Verdict::Curable(refusal)
                }
                Outcome::Refused(refusal) => Verdict::Final(refusal),
            };
            effects.push(Effect::Tell { waiter, to: to.clone(), key, verdict });
        }
    }

    fn close_run(&mut self, waiter: Waiter, to: &UserId) {
        if let Some(run) = self.runs.get_mut(&waiter.session).and_then(|runs| runs.get_mut(to))
            && run.run == waiter.place.run
        {
            run.closed = true;
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
struct Recent<K, V> {
    values: HashMap<K, V>,
    oldest_first: VecDeque<K>,
    most: usize,
}

impl<K: Clone + Eq + std::hash::Hash, V> Recent<K, V> {
    fn new(most: usize) -> Self {
        Self { values: HashMap::new(), oldest_first: VecDeque::new(), most }
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.values.get(key)
    }

    fn insert(&mut self, key: K, value: V) {
        if self.values.insert(key.clone(), value).is_none() {
            self.oldest_first.push_back(key);
        }
        if self.oldest_first.len() > self.most
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.values.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs::new(1_700_000_000_000);
    const DAY_MS: i64 = 86_400_000;
    const PAIR: Pair = Pair { no: ConversationNo::from_store(5), peer: UserNo::from_store(2) };

    fn bob() -> UserId {
        UserId::parse("bob").unwrap()
    }

    fn key(n: u8) -> ClientMsgId {
        ClientMsgId::mint(NOW, [n; 10])
    }

    fn at(run: u64, n: u64) -> Waiter {
        Waiter { session: SessionNo(1), place: Place { run, n } }
    }

    struct User(Sends<u8>);

    impl User {
        fn knowing_bob() -> Self {
            let mut user = Self(Sends::new(7 * DAY_MS));
            user.0.remember_pair(bob(), PAIR);
            user
        }

        fn after(&mut self, input: Input<u8>) -> Vec<Effect<u8>> {
            let mut effects = Vec::new();
            self.0.decide(NOW, input, &mut effects);
            effects
        }

        fn submit(&mut self, waiter: Waiter, n: u8) -> Vec<Effect<u8>> {
            self.submit_key(waiter, key(n), [n; 16])
        }

        fn submit_key(
            &mut self,
            waiter: Waiter,
            key: ClientMsgId,
            hash: SendHash,
        ) -> Vec<Effect<u8>> {
            self.after(Input::Submitted { waiter, to: bob(), key, hash, payload: 0 })
        }

        fn settle(&mut self, n: u8, outcome: Outcome) -> Vec<Effect<u8>> {
            self.after(Input::Settled { to: bob(), key: key(n), outcome })
        }
    }

    fn stored(seq: u64) -> Outcome {
        Outcome::Stored {
            seq: Seq::new(seq),
            inbox: InboxSeq::new(seq + 10),
            message_id: MessageId::from_store(77),
            hash: [1; 16],
        }
    }

    fn verdicts(effects: &[Effect<u8>]) -> Vec<(Waiter, Verdict<Ack, Refusal>)> {
        effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Tell { waiter, verdict, .. } => Some((*waiter, *verdict)),
                _ => None,
            })
            .collect()
    }

    fn appended(effects: &[Effect<u8>]) -> Vec<ClientMsgId> {
        effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Append { key, .. } => Some(*key),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_send_is_acked_with_what_the_store_says_and_a_repeat_with_the_same() {
        let mut user = User::knowing_bob();
        assert_eq!(appended(&user.submit(at(1, 0), 1)), [key(1)]);

        let acked = user.settle(1, stored(4));
        let repeated = user.submit(at(2, 0), 1);

        let ack = |inbox, duplicate| {
            let message_id = MessageId::from_store(77);
            Verdict::Stored(Ack { seq: Seq::new(4), inbox, message_id, duplicate })
        };
        assert_eq!(verdicts(&acked), [(at(1, 0), ack(Some(InboxSeq::new(14)), false))]);
        assert_eq!(verdicts(&repeated), [(at(2, 0), ack(None, true))]);
    }

    #[test]
    fn other_content_under_a_known_key_is_refused_when_the_store_has_said_which_it_has() {
        let mut user = User::knowing_bob();
        let other = Waiter { session: SessionNo(2), place: Place { run: 8, n: 0 } };
        user.submit(at(1, 0), 1);

        assert_eq!(user.submit_key(other, key(1), [9; 16]), [], "nobody knows yet");
        let told = verdicts(&user.settle(1, stored(4)));

        assert!(matches!(told[0], (waiter, Verdict::Stored(_)) if waiter == at(1, 0)), "{told:?}");
        assert_eq!(told[1], (other, Verdict::Final(Refusal::KeyReused)));
        let refused = [(at(1, 1), Verdict::Final(Refusal::KeyReused))];
        assert_eq!(verdicts(&user.submit_key(at(1, 1), key(1), [9; 16])), refused);
    }

    #[test]
    fn other_content_under_a_key_whose_send_was_not_stored_may_come_again() {
        let mut user = User::knowing_bob();
        let other = Waiter { session: SessionNo(2), place: Place { run: 8, n: 0 } };
        user.submit(at(1, 0), 1);
        user.submit_key(other, key(1), [9; 16]);

        let told = verdicts(&user.settle(1, Outcome::Refused(Refusal::Unavailable)));

        assert_eq!(told[1], (other, Verdict::Curable(Refusal::Unavailable)));
    }

    #[test]
    fn two_sessions_that_send_the_same_key_at_once_hear_the_same_and_one_of_them_a_repeat() {
        let mut user = User::knowing_bob();
        let other = Waiter { session: SessionNo(2), place: Place { run: 8, n: 0 } };
        user.submit(at(1, 0), 1);

        assert_eq!(user.submit(other, 1), [], "nothing is appended twice");
        let told = verdicts(&user.settle(1, stored(4)));

        let message_id = MessageId::from_store(77);
        let first =
            Ack { seq: Seq::new(4), inbox: Some(InboxSeq::new(14)), message_id, duplicate: false };
        assert_eq!(
            told,
            [(at(1, 0), Verdict::Stored(first)), (other, repeat(true, first.seq, message_id))]
        );
    }

    #[test]
    fn a_send_is_never_acked_with_the_place_of_other_content_under_its_key() {
        let mut user = User::knowing_bob();
        user.submit(at(1, 0), 1);
        user.settle(1, Outcome::Refused(Refusal::OutcomeUnknown));
        user.submit_key(at(2, 0), key(1), [9; 16]);

        let found = user.settle(1, stored(4));

        assert_eq!(verdicts(&found), [(at(2, 0), Verdict::Final(Refusal::KeyReused))]);
    }

    #[test]
    fn only_number_zero_of_a_newer_run_or_the_next_number_is_taken() {
        let mut user = User::knowing_bob();
        let resubmit = |waiter| vec![(waiter, Verdict::Resubmit)];

        assert_eq!(verdicts(&user.submit(at(1, 1), 2)), resubmit(at(1, 1)));
        assert_eq!(appended(&user.submit(at(1, 0), 1)), [key(1)]);
        assert_eq!(verdicts(&user.submit(at(1, 2), 3)), resubmit(at(1, 2)));
        assert_eq!(appended(&user.submit(at(1, 1), 2)), [key(2)]);
        assert_eq!(user.submit(at(2, 0), 1), [], "pending, waits");
        assert_eq!(user.submit(at(1, 2), 3), [], "an older run is dropped");
    }

    #[test]
    fn a_curable_refusal_closes_the_run_from_which_the_send_came_last() {
        let mut user = User::knowing_bob();
        user.submit(at(1, 0), 1);
        user.submit(at(1, 1), 2);

        let told = verdicts(&user.settle(1, Outcome::Refused(Refusal::Unavailable)));

        assert_eq!(told, [(at(1, 0), Verdict::Curable(Refusal::Unavailable))]);
        assert_eq!(user.submit(at(1, 2), 3), [], "dropped: the session answers it");
        assert_eq!(user.submit(at(2, 0), 2), [], "still pending");
        assert_eq!(appended(&user.submit(at(2, 1), 3)), [key(3)]);
    }

    #[test]
    fn sends_wait_in_order_while_their_peer_is_looked_up() {
        let mut user = User(Sends::new(7 * DAY_MS));

        assert_eq!(user.submit(at(1, 0), 1), [Effect::LookUp(bob())]);
        assert_eq!(user.submit(at(1, 1), 2), []);
        let found = user.after(Input::Found { to: bob(), pair: Some(PAIR) });

        assert_eq!(appended(&found), [key(1), key(2)]);
        assert_eq!(appended(&user.submit(at(1, 2), 3)), [key(3)]);
    }

    #[test]
    fn a_peer_who_does_not_exist_refuses_for_good_and_one_not_looked_up_for_now() {
        let mut user = User(Sends::new(7 * DAY_MS));
        user.submit(at(1, 0), 1);
        let refused = user.after(Input::Found { to: bob(), pair: None });
        assert_eq!(verdicts(&refused), [(at(1, 0), Verdict::Final(Refusal::NotFound))]);

        user.submit(at(2, 0), 1);
        let why = Refusal::Unavailable;
        let refused = user.after(Input::NotLookedUp { to: bob(), why });
        assert_eq!(verdicts(&refused), [(at(2, 0), Verdict::Curable(why))]);
        assert!(user.0.is_settled());
    }

    #[test]
    fn a_key_outside_the_window_is_refused_but_a_stored_one_is_answered_first() {
        let mut user = User::knowing_bob();
        let minted =
            |offset_ms: i64| ClientMsgId::mint(UnixMs::new(NOW.get() + offset_ms), [1; 10]);

        let stale = user.submit_key(at(1, 0), minted(-7 * DAY_MS - 1), [0; 16]);
        assert_eq!(verdicts(&stale), [(at(1, 0), Verdict::Final(Refusal::StaleKey))]);
        let ahead = user.submit_key(at(1, 1), minted(limits::CLOCK_AHEAD_MS + 1), [0; 16]);
        let refusal = Refusal::ClockAhead { now: NOW };
        assert_eq!(verdicts(&ahead), [(at(1, 1), Verdict::Final(refusal))]);
        assert_eq!(appended(&user.submit_key(at(1, 2), minted(-7 * DAY_MS), [0; 16])).len(), 1);
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_is_forgotten_first() {
        let mut recent = Recent::new(2);
        for n in 1..=3 {
            recent.insert(n, n * 10);
        }

        assert_eq!((recent.get(&1), recent.get(&2), recent.get(&3)), (None, Some(&20), Some(&30)));
        assert_eq!(recent.values.len(), recent.oldest_first.len());
    }
}
