//! A session's sends: in which order they may be passed on, and what is answered when one of them failed.
//!
//! For each conversation a session numbers its sends in *runs*. A run starts at 0 with the oldest unanswered send; the
//! owner of the conversation takes only number 0 of a newer run, or the next number. A refusal that a retry can cure
//! ends the run, and its id and all later ones are *awaited*: they must come again, in the order first sent, before
//! anything new. An exhaustive model of these rules found simpler ones (one awaited id, or the gate at the owner) to
//! reorder messages after two faults.
//!
//! Never touches a clock, a socket or the store: time is an argument, and the session's actor performs the effects.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::hash::Hash;
use std::time::Instant;

use foldhash::{HashSet, HashSetExt};

use crate::ids::ClientMsgId;
use crate::limits;

/// One send's place: the conversation's run, and its number in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Rises within a session, over all its conversations.
    pub run: u64,
    /// From 0 within the run.
    pub n: u64,
}

impl Place {
    /// The place of a send that comes alone: nothing before or behind it keeps an order with it. Sessions count their runs
    /// from 1.
    pub const ALONE: Self = Self { run: 0, n: 0 };
}

/// What the owner of a conversation answers to a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict<A, R> {
    /// It is stored. Counts from whichever run it comes.
    Stored(A),
    /// It was refused for good.
    Final(R),
    /// It was refused, and the same send can succeed later.
    Curable(R),
    /// The owner is out of step: pass everything on again.
    Resubmit,
}

/// What the session shall do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect<C, P, A, R> {
    /// Pass a send on to the owner of its conversation.
    Forward {
        /// The conversation.
        conversation: C,
        /// Its place.
        place: Place,
        /// Its key.
        key: ClientMsgId,
        /// What is to be stored.
        payload: P,
    },
    /// Answer commands: the send is stored.
    Acked {
        /// The conversation.
        conversation: C,
        /// The commands that asked, the one that sent it first.
        commands: Vec<u64>,
        /// The owner's answer.
        answer: A,
    },
    /// Answer commands: the send was refused.
    Refused {
        /// The commands that asked.
        commands: Vec<u64>,
        /// The owner's reason.
        reason: R,
    },
    /// Answer commands: the send was refused for now, but it had been passed on before, to an owner who was not heard of
    /// again and may have stored it.
    InDoubt {
        /// The commands that asked.
        commands: Vec<u64>,
    },
    /// Answer commands: another send must come first.
    OrderBroken {
        /// The commands that asked.
        commands: Vec<u64>,
        /// The send that must come first.
        awaited: ClientMsgId,
    },
}

struct Unanswered<P> {
    place: Place,
    key: ClientMsgId,
    payload: P,
    commands: Vec<u64>,
    /// Sends of the same key with other payloads: what is to be said of them depends on what becomes of this one.
    others: Vec<(P, u64)>,
    passed_on: Instant,
    /// How often. What became of it the times before the last nobody has said.
    passes: u32,
}

struct Lane<P> {
    run: u64,
    next: u64,
    /// Ended by a refusal: the next send starts a new run.
    broken: bool,
    unanswered: VecDeque<Unanswered<P>>,
    awaited: VecDeque<ClientMsgId>,
    /// Since when the first of `awaited` is awaited.
    awaited_since: Option<Instant>,
}

/// The sends of one session.
///
/// `C` names a conversation, `P` is what is passed on, `A` an owner's ack and `R` its reason to refuse.
pub struct Order<C, P> {
    lanes: BTreeMap<C, Lane<P>>,
    runs: u64,
    awaited: usize,
    answered: Answered<C>,
}

/// Sends that were acked or finally refused lately: a copy of one that was still under way is never awaited again.
struct Answered<C> {
    sends: HashSet<(C, ClientMsgId)>,
    oldest_first: VecDeque<(C, ClientMsgId)>,
}

impl<C: Clone + Ord + Hash> Answered<C> {
    fn insert(&mut self, conversation: C, key: ClientMsgId) {
        if self.sends.insert((conversation.clone(), key)) {
            self.oldest_first.push_back((conversation, key));
        }
        // Copies that can still be under way were sent within one window of commands.
        if self.oldest_first.len() > 2 * limits::IN_FLIGHT
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.sends.remove(&oldest);
        }
    }

    fn contains(&self, conversation: &C, key: ClientMsgId) -> bool {
        self.sends.contains(&(conversation.clone(), key))
    }
}

impl<C: Clone + Ord + Hash, P: Clone + PartialEq> Default for Order<C, P> {
    fn default() -> Self {
        let answered = Answered { sends: HashSet::new(), oldest_first: VecDeque::new() };
        Self { lanes: BTreeMap::new(), runs: 0, awaited: 0, answered }
    }
}

/// What became of a send that the client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The effects say what to do.
    Yes,
    /// More ids are awaited than a session may have: close it.
    TooManyAwaited,
}

impl<C: Clone + Ord + Hash, P: Clone + PartialEq> Order<C, P> {
    /// A send came from the client, as command `command`.
    pub fn send<A, R>(
        &mut self,
        now: Instant,
        conversation: C,
        key: ClientMsgId,
        payload: P,
        command: u64,
        effects: &mut Vec<Effect<C, P, A, R>>,
    ) -> Taken {
        let lane = self.lanes.entry(conversation.clone()).or_insert_with(Lane::new);
        if let Some(same) = lane.unanswered.iter_mut().find(|sent| sent.key == key) {
            if same.payload == payload {
                // Its answer answers both.
                same.commands.push(command);
            } else {
                same.others.push((payload, command));
            }
            return Taken::Yes;
        }
        if let Some(&first) = lane.awaited.front() {
            if first != key {
                if !lane.awaited.contains(&key) && !self.answered.contains(&conversation, key) {
                    lane.awaited.push_back(key);
                    self.awaited += 1;
                }
                effects.push(Effect::OrderBroken { commands: vec![command], awaited: first });
                return if self.awaited > limits::AWAITED {
                    Taken::TooManyAwaited
                } else {
                    Taken::Yes
                };
            }
            lane.awaited.pop_front();
            self.awaited -= 1;
            lane.awaited_since = (!lane.awaited.is_empty()).then_some(now);
        }
        let place = Place { run: lane.run, n: lane.next };
        let fresh = lane.unanswered.is_empty() || lane.broken;
        let commands = vec![command];
        let payload_to_keep = payload.clone();
        lane.unanswered.push_back(Unanswered {
            place,
            key,
            payload: payload_to_keep,
            commands,
            others: Vec::new(),
            passed_on: now,
            passes: u32::from(!fresh),
        });
        if fresh {
            submit_again(&mut self.runs, now, &conversation, lane, effects);
        } else {
            lane.next += 1;
            effects.push(Effect::Forward { conversation, place, key, payload });
        }
        Taken::Yes
    }

    /// A send came that the session itself refuses for now: as if the owner had.
    pub fn refuse<A, R>(
        &mut self,
        now: Instant,
        conversation: C,
        key: ClientMsgId,
        command: u64,
        reason: R,
        effects: &mut Vec<Effect<C, P, A, R>>,
    ) {
        let lane = self.lanes.entry(conversation.clone()).or_insert_with(Lane::new);
        let commands = vec![command];
        if lane.unanswered.iter().any(|sent| sent.key == key) {
            // A copy: the send itself is under way, and nothing waits for this one.
            effects.push(Effect::Refused { commands, reason });
            return;
        }
        match lane.awaited.front() {
            Some(&first) if first != key => {
                effects.push(Effect::OrderBroken { commands, awaited: first });
            }
            _ => {
                // It came, if too soon: from now on it is awaited anew.
                lane.awaited_since = Some(now);
                effects.push(Effect::Refused { commands, reason });
            }
        }
        if !lane.awaited.contains(&key) && !self.answered.contains(&conversation, key) {
            lane.awaited.push_back(key);
            self.awaited += 1;
        }
        lane.broken = true;
        if lane.awaited.is_empty() {
            lane.awaited_since = None;
        }
        self.forget_if_idle(&conversation);
    }

    /// The owner's verdict on a send that was passed on from `place`.
    pub fn verdict<A, R: Clone>(
        &mut self,
        now: Instant,
        conversation: &C,
        place: Place,
        key: ClientMsgId,
        verdict: Verdict<A, R>,
        effects: &mut Vec<Effect<C, P, A, R>>,
    ) {
        let Some(lane) = self.lanes.get_mut(conversation) else { return };
        // Once the key was answered, an ack that comes late may speak of another payload than the one that waits now.
        let from_any_run =
            matches!(verdict, Verdict::Stored(_)) && !self.answered.contains(conversation, key);
        let Some(index) = lane
            .unanswered
            .iter()
            .position(|sent| sent.key == key && (from_any_run || sent.place == place))
        else {
            return;
        };
        let mut others = Vec::new();
        match verdict {
            Verdict::Stored(answer) => {
                let commands = take(lane, index, &mut others);
                self.answered.insert(conversation.clone(), key);
                let conversation = conversation.clone();
                effects.push(Effect::Acked { conversation, commands, answer });
            }
            Verdict::Final(reason) => {
                let commands = take(lane, index, &mut others);
                self.answered.insert(conversation.clone(), key);
                effects.push(Effect::Refused { commands, reason });
            }
            Verdict::Curable(reason) => {
                let refused: Vec<_> = lane.unanswered.drain(index..).collect();
                lane.broken = true;
                let already = std::mem::take(&mut lane.awaited);
                self.awaited -= already.len();
                for sent in refused {
                    let others = sent.others.into_iter().map(|(_, command)| command);
                    let commands = sent.commands.into_iter().chain(others).collect();
                    // A copy of one that was answered need not come again: the next one is the first that must.
                    let first = lane.awaited.front().copied();
                    if !self.answered.contains(conversation, sent.key) {
                        lane.awaited.push_back(sent.key);
                    }
                    let reason = reason.clone();
                    effects.push(match first {
                        Some(awaited) => Effect::OrderBroken { commands, awaited },
                        None if sent.passes > 1 => Effect::InDoubt { commands },
                        None => Effect::Refused { commands, reason },
                    });
                }
                for key in already {
                    if !lane.awaited.contains(&key) {
                        lane.awaited.push_back(key);
                    }
                }
                self.awaited += lane.awaited.len();
                lane.awaited_since = (!lane.awaited.is_empty()).then_some(now);
            }
            Verdict::Resubmit => {
                // A broken run is over already; what is left of it goes along with the next send.
                if !lane.broken {
                    submit_again(&mut self.runs, now, conversation, lane, effects);
                }
            }
        }
        for (payload, command) in others {
            // Only the owner knows what is stored under the key now.
            self.send(now, conversation.clone(), key, payload, command, effects);
        }
        self.forget_if_idle(conversation);
    }

    /// Looks at the clocks: passes on again what had no answer in time, and gives up what was awaited for too long.
    pub fn tick<A, R>(&mut self, now: Instant, effects: &mut Vec<Effect<C, P, A, R>>) {
        let mut idle = Vec::new();
        for (conversation, lane) in &mut self.lanes {
            let late = |sent: &Unanswered<P>| {
                now.saturating_duration_since(sent.passed_on) >= limits::ANSWER_WITHIN
            };
            if lane.unanswered.front().is_some_and(late) {
                submit_again(&mut self.runs, now, conversation, lane, effects);
            }
            let overdue =
                |since: Instant| now.saturating_duration_since(since) >= limits::AWAITED_FOR;
            if lane.awaited_since.is_some_and(overdue) {
                // The one awaited is struck off; the rest keep their order.
                lane.awaited.pop_front();
                self.awaited -= 1;
                lane.awaited_since = (!lane.awaited.is_empty()).then_some(now);
                if lane.is_idle() {
                    idle.push(conversation.clone());
                }
            }
        }
        for conversation in idle {
            self.lanes.remove(&conversation);
        }
    }

    /// The sends to a conversation that must come again before anything new, the first of them first.
    pub fn awaited(&self, conversation: &C) -> impl Iterator<Item = ClientMsgId> {
        self.lanes.get(conversation).into_iter().flat_map(|lane| lane.awaited.iter().copied())
    }

    /// Whether more ids are awaited than a session may have: a refusal can add a whole window at once.
    pub fn awaits_too_many(&self) -> bool {
        self.awaited > limits::AWAITED
    }

    /// Whether nothing is unanswered and nothing awaited.
    pub fn is_idle(&self) -> bool {
        self.lanes.is_empty()
    }

    fn forget_if_idle(&mut self, conversation: &C) {
        if self.lanes.get(conversation).is_some_and(Lane::is_idle) {
            self.lanes.remove(conversation);
        }
    }
}

impl<P> Lane<P> {
    fn new() -> Self {
        Self {
            run: 0,
            next: 0,
            broken: true,
            unanswered: VecDeque::new(),
            awaited: VecDeque::new(),
            awaited_since: None,
        }
    }

    fn is_idle(&self) -> bool {
        self.unanswered.is_empty() && self.awaited.is_empty()
    }
}

fn take<P>(lane: &mut Lane<P>, index: usize, others: &mut Vec<(P, u64)>) -> Vec<u64> {
    let Some(sent) = lane.unanswered.remove(index) else { return Vec::new() };
    *others = sent.others;
    sent.commands
}

/// Starts a new run with all that is unanswered, oldest first.
fn submit_again<C: Clone, P: Clone, A, R>(
    runs: &mut u64,
    now: Instant,
    conversation: &C,
    lane: &mut Lane<P>,
    effects: &mut Vec<Effect<C, P, A, R>>,
) {
    *runs += 1;
    lane.run = *runs;
    lane.next = 0;
    lane.broken = false;
    for sent in &mut lane.unanswered {
        sent.place = Place { run: lane.run, n: lane.next };
        sent.passed_on = now;
        sent.passes = sent.passes.saturating_add(1);
        lane.next += 1;
        effects.push(Effect::Forward {
            conversation: conversation.clone(),
            place: sent.place,
            key: sent.key,
            payload: sent.payload.clone(),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ids::UnixMs;

    type Effects = Vec<Effect<&'static str, u32, u64, &'static str>>;

    fn key(n: u8) -> ClientMsgId {
        ClientMsgId::mint(UnixMs::new(1_700_000_000_000), [n; 10])
    }

    struct Session {
        order: Order<&'static str, u32>,
        now: Instant,
    }

    impl Session {
        fn new() -> Self {
            Self { order: Order::default(), now: Instant::now() }
        }

        fn send(&mut self, n: u8) -> (Taken, Effects) {
            let mut effects = Vec::new();
            let taken =
                self.order.send(self.now, "user:bob", key(n), n.into(), n.into(), &mut effects);
            (taken, effects)
        }

        fn verdict(&mut self, place: Place, n: u8, verdict: Verdict<u64, &'static str>) -> Effects {
            let mut effects = Vec::new();
            self.order.verdict(self.now, &"user:bob", place, key(n), verdict, &mut effects);
            effects
        }

        fn tick_after(&mut self, wait: Duration) -> Effects {
            self.now += wait;
            let mut effects = Vec::new();
            self.order.tick(self.now, &mut effects);
            effects
        }
    }

    fn places(effects: &Effects) -> Vec<(ClientMsgId, Place)> {
        effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Forward { key, place, .. } => Some((*key, *place)),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn sends_are_numbered_in_one_run_while_something_is_unanswered() {
        let mut session = Session::new();

        let (_, first) = session.send(1);
        let (_, second) = session.send(2);

        assert_eq!(places(&first), [(key(1), Place { run: 1, n: 0 })]);
        assert_eq!(places(&second), [(key(2), Place { run: 1, n: 1 })]);
    }

    #[test]
    fn what_was_passed_on_twice_and_then_refused_for_now_may_be_stored_all_the_same() {
        let mut session = Session::new();
        session.send(1);
        // The owner has stored it, and is gone with its verdict.
        session.tick_after(limits::ANSWER_WITHIN);
        session.send(2);

        let refused = Verdict::Curable("unavailable");
        let effects = session.verdict(Place { run: 2, n: 0 }, 1, refused);

        let in_doubt = Effect::InDoubt { commands: vec![1] };
        assert_eq!(effects, [in_doubt, Effect::OrderBroken { commands: vec![2], awaited: key(1) }]);
        session.send(1);
        let effects = session.verdict(Place { run: 3, n: 0 }, 1, refused);
        let refused = Effect::Refused { commands: vec![1], reason: "unavailable" };
        assert_eq!(effects, [refused], "this copy of it was passed on once");
    }

    #[test]
    fn a_curable_refusal_makes_the_refused_and_all_later_ones_come_again_in_order() {
        let mut session = Session::new();
        session.send(1);
        session.send(2);
        session.send(3);

        let effects = session.verdict(Place { run: 1, n: 1 }, 2, Verdict::Curable("busy"));

        assert_eq!(
            effects,
            [
                Effect::Refused { commands: vec![2], reason: "busy" },
                Effect::OrderBroken { commands: vec![3], awaited: key(2) },
            ]
        );
        let (_, new) = session.send(4);
        assert_eq!(new, [Effect::OrderBroken { commands: vec![4], awaited: key(2) }]);
        let (_, again) = session.send(2);
        assert_eq!(
            places(&again),
            [(key(1), Place { run: 2, n: 0 }), (key(2), Place { run: 2, n: 1 })],
            "the oldest unanswered one starts the new run"
        );
        let (_, skipping) = session.send(4);
        assert_eq!(skipping, [Effect::OrderBroken { commands: vec![4], awaited: key(3) }]);
        let (_, next) = session.send(3);
        assert_eq!(places(&next), [(key(3), Place { run: 2, n: 2 })]);
        let (_, last) = session.send(4);
        assert_eq!(places(&last), [(key(4), Place { run: 2, n: 3 })]);
    }

    #[test]
    fn a_refusal_from_an_older_run_is_ignored_and_an_ack_is_not() {
        let mut session = Session::new();
        session.send(1);
        session.tick_after(limits::ANSWER_WITHIN);
        let old = Place { run: 1, n: 0 };

        assert_eq!(session.verdict(old, 1, Verdict::Curable("busy")), []);
        assert_eq!(session.verdict(old, 1, Verdict::Final("muted")), []);
        assert_eq!(
            session.verdict(old, 1, Verdict::Stored(7)),
            [Effect::Acked { conversation: "user:bob", commands: vec![1], answer: 7 }]
        );
        assert!(session.order.is_idle());
    }

    #[test]
    fn a_send_repeated_while_unanswered_is_answered_with_the_first() {
        let mut session = Session::new();
        session.send(1);

        let (taken, effects) = session.send(1);
        assert_eq!((taken, effects), (Taken::Yes, vec![]));
        let acked = session.verdict(Place { run: 1, n: 0 }, 1, Verdict::Stored(7));
        let commands = vec![1, 1];
        assert_eq!(acked, [Effect::Acked { conversation: "user:bob", commands, answer: 7 }]);
    }

    #[test]
    fn other_content_under_a_key_that_is_under_way_is_passed_on_when_that_was_answered() {
        for verdict in [Verdict::Stored(7), Verdict::Final("key_reused")] {
            let mut session = Session::new();
            session.send(1);
            let mut effects: Effects = Vec::new();
            session.order.send(session.now, "user:bob", key(1), 99, 9, &mut effects);
            assert_eq!(effects, [], "what is stored under the key is not known yet");

            let answered = session.verdict(Place { run: 1, n: 0 }, 1, verdict);

            assert_eq!(answered.len(), 2);
            assert_eq!(places(&answered), [(key(1), Place { run: 2, n: 0 })]);
            // An ack that comes twice speaks of the first.
            assert_eq!(session.verdict(Place { run: 1, n: 0 }, 1, Verdict::Stored(7)), []);
            let told = session.verdict(Place { run: 2, n: 0 }, 1, Verdict::Final("key_reused"));
            assert_eq!(told, [Effect::Refused { commands: vec![9], reason: "key_reused" }]);
        }
    }

    #[test]
    fn other_content_is_refused_for_now_along_with_the_send_that_it_waits_for() {
        let mut session = Session::new();
        session.send(1);
        let mut effects: Effects = Vec::new();
        session.order.send(session.now, "user:bob", key(1), 99, 9, &mut effects);

        let refused = session.verdict(Place { run: 1, n: 0 }, 1, Verdict::Curable("busy"));

        assert_eq!(refused, [Effect::Refused { commands: vec![1, 9], reason: "busy" }]);
    }

    #[test]
    fn what_was_answered_for_good_is_never_awaited() {
        let mut session = Session::new();
        session.send(1);
        session.verdict(Place { run: 1, n: 0 }, 1, Verdict::Stored(7));
        session.send(2);
        session.send(1); // a copy that was under way when the ack left

        session.verdict(Place { run: 2, n: 0 }, 2, Verdict::Curable("busy"));

        session.send(2);
        let (_, new) = session.send(3);
        assert_eq!(places(&new).len(), 1, "{new:?}");
    }

    #[test]
    fn the_same_id_in_another_conversation_is_another_send() {
        let mut session = Session::new();
        session.send(1);
        session.verdict(Place { run: 1, n: 0 }, 1, Verdict::Stored(7));
        let mut effects: Effects = Vec::new();

        session.order.refuse(session.now, "user:carol", key(1), 1, "rate_limited", &mut effects);

        assert_eq!(session.order.awaited(&"user:carol").collect::<Vec<_>>(), [key(1)]);
    }

    #[test]
    fn a_copy_of_an_answered_send_that_is_refused_leaves_nothing_behind() {
        let mut session = Session::new();
        session.send(1);
        session.verdict(Place { run: 1, n: 0 }, 1, Verdict::Stored(7));
        let mut effects: Effects = Vec::new();

        session.order.refuse(session.now, "user:bob", key(1), 2, "rate_limited", &mut effects);

        assert_eq!(effects, [Effect::Refused { commands: vec![2], reason: "rate_limited" }]);
        assert!(session.order.is_idle());
    }

    #[test]
    fn behind_a_refused_copy_of_an_answered_send_the_first_that_must_come_again_is_named() {
        let mut session = Session::new();
        session.send(1);
        session.verdict(Place { run: 1, n: 0 }, 1, Verdict::Stored(7));
        for n in 1..=3 {
            session.send(n);
        }

        let effects = session.verdict(Place { run: 2, n: 0 }, 1, Verdict::Curable("busy"));

        assert_eq!(
            effects,
            [
                Effect::Refused { commands: vec![1], reason: "busy" },
                Effect::Refused { commands: vec![2], reason: "busy" },
                Effect::OrderBroken { commands: vec![3], awaited: key(2) },
            ]
        );
    }

    #[test]
    fn a_final_refusal_closes_nothing() {
        let mut session = Session::new();
        session.send(1);
        session.verdict(Place { run: 1, n: 0 }, 1, Verdict::Final("muted"));

        let (_, effects) = session.send(2);

        assert_eq!(places(&effects), [(key(2), Place { run: 2, n: 0 })]);
    }

    #[test]
    fn one_awaited_for_thirty_seconds_is_struck_off_and_the_next_is_awaited() {
        let mut session = Session::new();
        session.send(1);
        session.send(2);
        session.verdict(Place { run: 1, n: 0 }, 1, Verdict::Curable("busy"));

        session.tick_after(limits::AWAITED_FOR - Duration::from_millis(1));
        assert!(
            matches!(session.send(3).1[..], [Effect::OrderBroken { awaited, .. }] if awaited == key(1))
        );
        session.tick_after(Duration::from_millis(1));
        assert!(
            matches!(session.send(3).1[..], [Effect::OrderBroken { awaited, .. }] if awaited == key(2))
        );
        assert_eq!(places(&session.send(2).1).len(), 1);
        assert_eq!(places(&session.send(3).1).len(), 1);
    }

    #[test]
    fn one_that_keeps_coming_and_is_refused_keeps_its_place() {
        let mut session = Session::new();
        for _ in 0..5 {
            let mut effects: Effects = Vec::new();
            let reason = "rate_limited";
            session.order.refuse(session.now, "user:bob", key(1), 1, reason, &mut effects);
            session.tick_after(limits::AWAITED_FOR / 2);
        }

        assert_eq!(session.order.awaited(&"user:bob").collect::<Vec<_>>(), [key(1)]);
    }

    #[test]
    fn what_the_session_itself_refuses_is_awaited_like_any_other() {
        let mut session = Session::new();
        let mut effects: Effects = Vec::new();

        session.order.refuse(session.now, "user:bob", key(1), 1, "rate_limited", &mut effects);

        assert_eq!(effects, [Effect::Refused { commands: vec![1], reason: "rate_limited" }]);
        let (_, other) = session.send(2);
        assert_eq!(other, [Effect::OrderBroken { commands: vec![2], awaited: key(1) }]);
        assert_eq!(places(&session.send(1).1).len(), 1);
        assert_eq!(places(&session.send(2).1).len(), 1);
    }

    #[test]
    fn more_awaited_ids_than_the_bound_end_the_session() {
        let mut session = Session::new();
        session.send(0);
        session.verdict(Place { run: 1, n: 0 }, 0, Verdict::Curable("busy"));
        for n in 1..limits::AWAITED as u8 {
            assert_eq!(session.send(n).0, Taken::Yes);
        }

        assert_eq!(session.send(200).0, Taken::TooManyAwaited);
    }

    #[test]
    fn without_an_answer_in_time_everything_is_passed_on_in_a_new_run() {
        let mut session = Session::new();
        session.send(1);
        session.send(2);

        let effects = session.tick_after(limits::ANSWER_WITHIN);

        assert_eq!(
            places(&effects),
            [(key(1), Place { run: 2, n: 0 }), (key(2), Place { run: 2, n: 1 })]
        );
    }

    #[test]
    fn resubmit_is_obeyed_once_and_not_after_a_refusal_ended_the_run() {
        let mut session = Session::new();
        session.send(1);
        session.send(2);
        let resubmitted = session.verdict(Place { run: 1, n: 1 }, 2, Verdict::Resubmit);
        assert_eq!(places(&resubmitted).len(), 2);
        assert_eq!(session.verdict(Place { run: 1, n: 0 }, 1, Verdict::Resubmit), []);

        session.verdict(Place { run: 2, n: 1 }, 2, Verdict::Curable("busy"));
        assert_eq!(session.verdict(Place { run: 2, n: 0 }, 1, Verdict::Resubmit), []);
    }
}
