//! What was said and is not yet known to be stored: kept in order, and sent again until it is acknowledged.
//!
//! Each conversation is a lane of its own. A refusal that a retry can cure stops the lane: once everything that is still
//! under way in it was answered and the server's wait is over, it starts again from its oldest message. So the messages
//! of a lane go out in the order in which they were put in, whatever was refused meanwhile. Time is an argument.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use super::backoff::Backoff;
use crate::ids::{ClientMsgId, Conversation};
use crate::limits;
use crate::protocol::Send;

/// Messages on their way, oldest first.
#[derive(Debug)]
pub struct Outbox {
    /// By the order in which they were put in.
    entries: BTreeMap<u64, Entry>,
    by_key: HashMap<ClientMsgId, u64>,
    lanes: HashMap<Conversation, Lane>,
    /// Those that may be sent now: waiting, and in a lane that is open.
    ready: BTreeSet<u64>,
    backoff: Backoff,
    next_number: u64,
}

#[derive(Debug)]
struct Entry {
    send: Send,
    /// The command under which it is under way, if it is.
    command: Option<u64>,
    /// It is known to be stored from another source than its ack; only this session's order may still need it.
    is_stored: bool,
}

#[derive(Debug)]
struct Lane {
    numbers: BTreeSet<u64>,
    under_way: usize,
    stopped: Option<Stop>,
    backoff: Backoff,
}

#[derive(Debug)]
struct Stop {
    until: Instant,
}

/// Why a message was not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutboxError {
    /// Too many wait already.
    #[error("{} messages wait to be sent", limits::CLIENT_OUTBOX)]
    Full,
    /// A message with that id waits already.
    #[error("a message with that client message id is on its way")]
    Known,
}

impl Outbox {
    /// An empty one; `backoff` spaces the retries of refusals that name no wait.
    pub fn new(backoff: Backoff) -> Self {
        Self {
            entries: BTreeMap::new(),
            by_key: HashMap::new(),
            lanes: HashMap::new(),
            ready: BTreeSet::new(),
            backoff,
            next_number: 0,
        }
    }

    /// Takes a message in, behind all that are here.
    pub fn push(&mut self, send: Send) -> Result<(), OutboxError> {
        if self.by_key.contains_key(&send.client_msg_id) {
            return Err(OutboxError::Known);
        }
        if self.entries.len() >= limits::CLIENT_OUTBOX {
            return Err(OutboxError::Full);
        }
        let number = self.next_number;
        self.next_number += 1;
        let lane = self.lanes.entry(send.to.clone()).or_insert_with(|| Lane {
            numbers: BTreeSet::new(),
            under_way: 0,
            stopped: None,
            backoff: self.backoff.clone(),
        });
        lane.numbers.insert(number);
        if lane.stopped.is_none() {
            self.ready.insert(number);
        }
        self.by_key.insert(send.client_msg_id, number);
        self.entries.insert(number, Entry { send, command: None, is_stored: false });
        Ok(())
    }

    /// The message with that id, if it is here.
    pub fn get(&self, key: ClientMsgId) -> Option<&Send> {
        self.by_key.get(&key).and_then(|number| self.entries.get(number)).map(|entry| &entry.send)
    }

    /// Whether the message with that id is here and was seen in its log.
    pub fn is_stored(&self, key: ClientMsgId) -> bool {
        let entry = self.by_key.get(&key).and_then(|number| self.entries.get(number));
        entry.is_some_and(|entry| entry.is_stored)
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The next message to send at `now`, which is then under way as command `id`.
    pub fn next_due(&mut self, id: u64, now: Instant) -> Option<&Send> {
        self.reopen(now);
        let number = self.ready.pop_first()?;
        let entry = self.entries.get_mut(&number)?;
        entry.command = Some(id);
        if let Some(lane) = self.lanes.get_mut(&entry.send.to) {
            lane.under_way += 1;
        }
        Some(&entry.send)
    }

    /// When a lane that only waits for its time may go on.
    pub fn due_at(&self) -> Option<Instant> {
        let stops = self.lanes.values().filter(|lane| lane.under_way == 0);
        stops.filter_map(|lane| lane.stopped.as_ref()).map(|stop| stop.until).min()
    }

    /// It is stored, or refused for good: it is no longer needed. An ack counts from any attempt.
    pub fn finished(&mut self, key: ClientMsgId) -> Option<Send> {
        let number = self.by_key.remove(&key)?;
        let entry = self.entries.remove(&number)?;
        self.ready.remove(&number);
        if let Some(lane) = self.lanes.get_mut(&entry.send.to) {
            lane.numbers.remove(&number);
            lane.under_way -= usize::from(entry.command.is_some());
            lane.backoff.reset();
            if lane.numbers.is_empty() {
                self.lanes.remove(&entry.send.to);
            }
        }
        Some(entry.send)
    }

    /// It was refused, and a retry can cure that: its lane stops, for `wait` where the server named one.
    ///
    /// `is_first` says that it was refused for its own sake, not because an earlier one must come first; only then does
    /// the lane wait without being told how long. A refusal counts only from the attempt that was made last.
    pub fn refused(
        &mut self,
        key: ClientMsgId,
        id: u64,
        wait: Option<Duration>,
        is_first: bool,
        now: Instant,
    ) {
        let Some(&number) = self.by_key.get(&key) else { return };
        let Some(entry) = self.entries.get_mut(&number).filter(|own| own.command == Some(id))
        else {
            return;
        };
        entry.command = None;
        let Some(lane) = self.lanes.get_mut(&entry.send.to) else { return };
        lane.under_way -= 1;
        let wait = match wait {
            Some(wait) => wait,
            None if is_first => lane.backoff.next(rand::random()),
            None => Duration::ZERO,
        };
        let until = lane.stopped.as_ref().map_or(now, |stop| stop.until).max(now + wait);
        lane.stopped = Some(Stop { until });
        for number in &lane.numbers {
            self.ready.remove(number);
        }
    }

    /// The entry was seen in the log. It stays while this session's order may still wait for it.
    ///
    /// True when that was news.
    pub fn stored(&mut self, key: ClientMsgId) -> bool {
        let Some(number) = self.by_key.get(&key) else { return false };
        let Some(entry) = self.entries.get_mut(number) else { return false };
        !std::mem::replace(&mut entry.is_stored, true)
    }

    /// The session is gone and with it what it knew of the order: all that is not stored goes out again, oldest first.
    pub fn disconnected(&mut self) {
        let is_stored = |entry: &&Entry| entry.is_stored;
        let stored: Vec<ClientMsgId> =
            self.entries.values().filter(is_stored).map(|entry| entry.send.client_msg_id).collect();
        for key in stored {
            self.finished(key);
        }
        for lane in self.lanes.values_mut() {
            lane.under_way = 0;
            lane.stopped = None;
        }
        self.entries.values_mut().for_each(|entry| entry.command = None);
        self.ready = self.entries.keys().copied().collect();
    }

    /// Opens the lanes in which everything was answered and whose wait is over.
    fn reopen(&mut self, now: Instant) {
        for lane in self.lanes.values_mut().filter(|lane| lane.under_way == 0) {
            if lane.stopped.as_ref().is_some_and(|stop| stop.until <= now) {
                lane.stopped = None;
                self.ready.extend(&lane.numbers);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::UnixMs;
    use crate::protocol::Content;

    fn message(to: &str, number: u64) -> Send {
        let mut random = [0; 10];
        random[..8].copy_from_slice(&number.to_be_bytes());
        random[9] = to.as_bytes()[0];
        Send {
            to: Conversation::parse(&format!("user:{to}")).unwrap(),
            client_msg_id: ClientMsgId::mint(UnixMs::new(0), random),
            content: Content::Text { text: number.to_string() },
            mentions: None,
            reply_to: None,
        }
    }

    fn outbox() -> Outbox {
        Outbox::new(Backoff::new(Duration::from_secs(1), Duration::from_secs(60)))
    }

    fn texts(sends: impl IntoIterator<Item = Send>) -> Vec<String> {
        let text = |send: Send| match send.content {
            Content::Text { text } => text,
            Content::Custom { data } => data,
            other => panic!("never sent: {other:?}"),
        };
        sends.into_iter().map(text).collect()
    }

    fn drain(outbox: &mut Outbox, first_id: u64, now: Instant) -> Vec<Send> {
        let mut id = first_id;
        std::iter::from_fn(|| {
            let send = outbox.next_due(id, now).cloned();
            id += 1;
            send
        })
        .collect()
    }

    #[test]
    fn a_cured_refusal_starts_its_conversation_anew_and_no_other() {
        let (mut outbox, now) = (outbox(), Instant::now());
        let bob: Vec<Send> = (1..=3).map(|number| message("bob", number)).collect();
        bob.iter().for_each(|send| outbox.push(send.clone()).unwrap());
        assert_eq!(texts(drain(&mut outbox, 1, now)), ["1", "2", "3"]);

        let second = Duration::from_secs(1);
        outbox.refused(bob[0].client_msg_id, 1, Some(second), true, now);
        outbox.push(message("carol", 7)).unwrap();
        outbox.push(message("bob", 4)).unwrap();
        assert_eq!(texts(drain(&mut outbox, 4, now)), ["7"]);
        outbox.refused(bob[1].client_msg_id, 2, None, false, now);
        outbox.refused(bob[2].client_msg_id, 3, None, false, now);

        assert_eq!(texts(drain(&mut outbox, 5, now)), Vec::<String>::new());
        assert_eq!(outbox.due_at(), Some(now + second));
        assert_eq!(texts(drain(&mut outbox, 5, now + second)), ["1", "2", "3", "4"]);
    }

    #[test]
    fn a_lane_waits_until_everything_under_way_was_answered() {
        let (mut outbox, now) = (outbox(), Instant::now());
        let [one, two] = [message("bob", 1), message("bob", 2)];
        outbox.push(one.clone()).unwrap();
        outbox.push(two.clone()).unwrap();
        drain(&mut outbox, 1, now);

        outbox.refused(two.client_msg_id, 2, None, false, now);
        assert!(drain(&mut outbox, 3, now).is_empty());
        outbox.finished(one.client_msg_id);

        assert_eq!(texts(drain(&mut outbox, 3, now)), ["2"]);
    }

    #[test]
    fn a_refusal_of_an_attempt_that_was_made_again_says_nothing() {
        let (mut outbox, now) = (outbox(), Instant::now());
        let one = message("bob", 1);
        outbox.push(one.clone()).unwrap();
        drain(&mut outbox, 1, now);
        outbox.disconnected();
        drain(&mut outbox, 9, now);

        outbox.refused(one.client_msg_id, 1, None, true, now);

        assert_eq!(outbox.due_at(), None);
        assert!(drain(&mut outbox, 10, now).is_empty());
    }

    #[test]
    fn one_seen_in_the_log_goes_on_in_its_session_and_not_in_the_next() {
        let (mut outbox, now) = (outbox(), Instant::now());
        let one = message("bob", 1);
        outbox.push(one.clone()).unwrap();
        drain(&mut outbox, 1, now);

        assert!(outbox.stored(one.client_msg_id));
        assert!(!outbox.stored(one.client_msg_id));
        outbox.refused(one.client_msg_id, 1, None, false, now);
        assert_eq!(texts(drain(&mut outbox, 2, now)), ["1"]);
        outbox.disconnected();

        assert!(outbox.is_empty());
    }

    #[test]
    fn it_is_bounded_and_takes_no_id_twice() {
        let mut outbox = outbox();
        for number in 0..limits::CLIENT_OUTBOX as u64 {
            outbox.push(message("bob", number)).unwrap();
        }

        assert_eq!(outbox.push(message("bob", 0)), Err(OutboxError::Known));
        assert_eq!(outbox.push(message("bob", u64::MAX)), Err(OutboxError::Full));
    }

    /// What a session of the server does with sends, cut down to its order: it refuses at random, then awaits.
    #[derive(Default)]
    struct Session {
        awaited: HashMap<Conversation, Vec<ClientMsgId>>,
    }

    enum Answer {
        Ok,
        Busy,
        OrderBroken,
    }

    impl Session {
        fn take(&mut self, send: &Send, refuse: bool, log: &mut Vec<Send>) -> Answer {
            let awaited = self.awaited.entry(send.to.clone()).or_default();
            let key = send.client_msg_id;
            if awaited.first().is_some_and(|first| *first != key) {
                if !awaited.contains(&key) {
                    awaited.push(key);
                }
                return Answer::OrderBroken;
            }
            if refuse {
                if awaited.is_empty() {
                    awaited.push(key);
                }
                return Answer::Busy;
            }
            awaited.retain(|awaited| *awaited != key);
            if !log.iter().any(|stored| stored.client_msg_id == key) {
                log.push(send.clone());
            }
            Answer::Ok
        }
    }

    proptest! {
        #[test]
        fn whatever_is_refused_or_cut_each_message_is_stored_once_and_in_order(
            lanes in proptest::collection::vec(prop_oneof![Just("bob"), Just("carol")], 1..40),
            // For each step: 0 answers, 1 refuses, 2 loses the answer by a cut, 3 answers the newest first.
            steps in proptest::collection::vec(0u8..4, 0..200),
        ) {
            let (mut outbox, mut now) = (outbox(), Instant::now());
            let (mut session, mut log) = (Session::default(), Vec::new());
            let mut under_way: std::collections::VecDeque<(u64, Send, Answer)> = Default::default();
            let all: Vec<Send> =
                lanes.iter().enumerate().map(|(n, to)| message(to, n as u64)).collect();
            all.iter().for_each(|send| outbox.push(send.clone()).unwrap());
            let mut steps = steps.into_iter().chain(std::iter::repeat(0));
            let mut id = 0;
            for _ in 0..10_000 {
                let step = steps.next().unwrap_or(0);
                while under_way.len() < 8 {
                    id += 1;
                    let Some(send) = outbox.next_due(id, now).cloned() else { break };
                    let answer = session.take(&send, step == 1, &mut log);
                    under_way.push_back((id, send, answer));
                }
                if step == 2 {
                    under_way.clear();
                    session = Session::default();
                    outbox.disconnected();
                }
                let answered =
                    if step == 3 { under_way.pop_back() } else { under_way.pop_front() };
                match answered {
                    Some((_, send, Answer::Ok)) => {
                        outbox.finished(send.client_msg_id);
                    }
                    Some((id, send, Answer::Busy)) => {
                        outbox.refused(send.client_msg_id, id, None, true, now);
                    }
                    Some((id, send, Answer::OrderBroken)) => {
                        outbox.refused(send.client_msg_id, id, None, false, now);
                    }
                    None => now += Duration::from_secs(60),
                }
                if outbox.is_empty() {
                    break;
                }
            }

            for to in ["bob", "carol"] {
                let to = Conversation::parse(&format!("user:{to}")).unwrap();
                let of = |sends: &[Send]| {
                    texts(sends.iter().filter(|send| send.to == to).cloned())
                };
                prop_assert_eq!(of(&log), of(&all));
            }
        }
    }
}
