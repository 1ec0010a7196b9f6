//! A user's one-to-one sends: which are taken, which are repeats, which are refused.
//!
//! [`super::intake`] has the rules that hold for every owner; here a new send waits until its pair is known. What the store
//! decides (seqs, keys that are stored already) comes back as an [`Input::Settled`].
//!
//! Never touches a clock, a socket or the store: time is an argument, and the user's actor performs the effects.

use std::collections::HashMap;

use super::intake::{
    Ack, Intake, Outcome, Recent, Refusal, SendHash, SessionNo, Submitted, Waiter,
};
use super::order::Verdict;
use crate::ids::{ClientMsgId, ConversationNo, UnixMs, UserId, UserNo};
use crate::limits;

/// The other side of a pair, once it was looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pair {
    /// The pair's number.
    pub no: ConversationNo,
    /// The other side's number; the user's own in a pair with oneself.
    pub peer: UserNo,
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
    /// The store has lost data: what it had is no longer proof.
    EpochChanged,
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

/// A send whose peer is being looked up.
struct Unsent<P> {
    key: ClientMsgId,
    hash: SendHash,
    payload: P,
}

/// A user's one-to-one sends; `P` is what is to be stored.
pub struct Sends<P> {
    intake: Intake<UserId, ()>,
    /// Sends whose peer is being looked up, oldest first.
    looked_up: HashMap<UserId, Vec<Unsent<P>>>,
    pairs: Recent<UserId, Pair>,
}

impl<P> Sends<P> {
    /// Nothing sent yet. `window_ms` is the dedup window.
    pub fn new(window_ms: i64) -> Self {
        Self {
            intake: Intake::new(window_ms, limits::KNOWN_RUNS, limits::RECENT_KEYS),
            looked_up: HashMap::new(),
            pairs: Recent::new(limits::KNOWN_PEERS),
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
        self.intake.is_settled()
    }

    /// Turns what happened into what is to be done.
    pub fn decide(&mut self, now: UnixMs, input: Input<P>, effects: &mut Vec<Effect<P>>) {
        match input {
            Input::Submitted { waiter, to, key, hash, payload } => {
                match self.intake.submit(now, waiter, (), &to, key, hash) {
                    Submitted::Answered((), verdict) => {
                        effects.push(Effect::Tell { waiter, to, key, verdict });
                    }
                    Submitted::Nothing => {}
                    Submitted::New => self.append(to, Unsent { key, hash, payload }, effects),
                }
            }
            Input::Found { to, pair: Some(pair) } => {
                self.pairs.insert(to.clone(), pair);
                for Unsent { key, hash, payload } in self.looked_up.remove(&to).unwrap_or_default()
                {
                    effects.push(Effect::Append { pair, to: to.clone(), key, hash, payload });
                }
            }
            Input::Found { to, pair: None } => {
                self.refuse_looked_up(&to, Refusal::NotFound, effects)
            }
            Input::NotLookedUp { to, why } => self.refuse_looked_up(&to, why, effects),
            Input::Settled { to, key, outcome } => self.settled(&to, key, outcome, effects),
            Input::Ended(session) => self.intake.ended(session),
            Input::EpochChanged => self.intake.forget_stored(),
        }
    }

    fn append(&mut self, to: UserId, unsent: Unsent<P>, effects: &mut Vec<Effect<P>>) {
        match self.pairs.get(&to) {
            // While others wait for the look-up, a later send must not overtake them.
            Some(pair) if !self.looked_up.contains_key(&to) => {
                let Unsent { key, hash, payload } = unsent;
                effects.push(Effect::Append { pair: *pair, to, key, hash, payload });
            }
            _ => {
                let waiting = self.looked_up.entry(to.clone()).or_default();
                if waiting.is_empty() {
                    effects.push(Effect::LookUp(to));
                }
                waiting.push(unsent);
            }
        }
    }

    fn refuse_looked_up(&mut self, to: &UserId, why: Refusal, effects: &mut Vec<Effect<P>>) {
        for unsent in self.looked_up.remove(to).unwrap_or_default() {
            self.settled(to, unsent.key, Outcome::Refused(why), effects);
        }
    }

    fn settled(
        &mut self,
        to: &UserId,
        key: ClientMsgId,
        outcome: Outcome,
        effects: &mut Vec<Effect<P>>,
    ) {
        self.intake.settle(to, key, outcome, |waiter, (), verdict| {
            effects.push(Effect::Tell { waiter, to: to.clone(), key, verdict });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::order::Place;
    use crate::ids::{InboxSeq, MessageId, Seq};

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
            inbox: Some(InboxSeq::new(seq + 10)),
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
        let again = Verdict::Stored(Ack { inbox: None, duplicate: true, ..first });
        assert_eq!(told, [(at(1, 0), Verdict::Stored(first)), (other, again)]);
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
}
