//! What a journal does next: which rows go into the next statement, and what follows from its outcome.
//!
//! One statement is in flight at most; what comes meanwhile gathers for the next. When the outcome of a statement is
//! unknown its rows wait, as the first, until the writer was fenced and their keys were looked up; whoever else waits
//! is handed back. An owner (the user whose one-to-one sends these are, or the group) to whom something was handed back is
//! not heard again until it says that it has heard of all of it: what it sent before that would overtake what it has to
//! send again.
//!
//! Never touches a clock or the store: time is an argument, and the journal's actor performs the effects.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};

use super::group::Edit;
use super::intake::{Outcome, Refusal, SendHash};
use crate::ids::{ClientMsgId, ConversationNo, InboxSeq, MessageId, Seq, ShardEpoch, UserNo};
use crate::limits;

/// Which start of its owner's actor sent a row. A fresh one has nothing under way, whatever became of a former one's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Life(pub u64);

/// Whose actor ordered a row, and hears what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The sender of a one-to-one message.
    User(UserNo),
    /// The group.
    Group(ConversationNo),
}

/// An entry on its way into the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row<P> {
    /// Where it goes.
    pub target: Target,
    /// Who sends it.
    pub sender: UserNo,
    /// Which start of its owner's actor.
    pub life: Life,
    /// Its key.
    pub key: ClientMsgId,
    /// What its content hashes to.
    pub hash: SendHash,
    /// The stored form's size, in bytes.
    pub body_bytes: usize,
    /// What else travels along.
    pub payload: P,
}

/// Where a row goes, and what was decided about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To a pair, whose numbers the store gives out.
    Pair {
        /// The pair.
        conversation: ConversationNo,
        /// Its users, the lower number first.
        low: UserNo,
        /// The same twice in a pair with oneself.
        high: UserNo,
    },
    /// To a group, at the place that its owner gave it.
    Post(GroupPlace),
    /// To a group, together with what it says: goes in a statement of its own.
    Change {
        /// Its place.
        place: GroupPlace,
        /// What it changes.
        edit: Box<Edit>,
    },
}

/// The place that a group's owner gave an entry; the store verifies it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupPlace {
    /// The group.
    pub group: ConversationNo,
    /// The claim of its shard under which this was decided.
    pub epoch: ShardEpoch,
    /// Its place in the log.
    pub seq: Seq,
    /// The running count of messages, this one included.
    pub counted: u64,
}

impl Target {
    /// The pair or group.
    pub fn conversation(&self) -> ConversationNo {
        match self {
            Self::Pair { conversation, .. } => *conversation,
            Self::Post(place) | Self::Change { place, .. } => place.group,
        }
    }

    /// Whether an entry at this place can be the row itself. A group's row that is stored elsewhere was stored before.
    fn may_be_at(&self, seq: Seq) -> bool {
        match self {
            Self::Pair { .. } => true,
            Self::Post(place) | Self::Change { place, .. } => place.seq == seq,
        }
    }
}

impl<P> Row<P> {
    /// Whose actor ordered it.
    pub fn owner(&self) -> Owner {
        match &self.target {
            Target::Pair { .. } => Owner::User(self.sender),
            Target::Post(place) | Target::Change { place, .. } => Owner::Group(place.group),
        }
    }
}

/// Where the store put a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Its place in the conversation.
    pub seq: Seq,
    /// Its place in the inbox of a pair's lower user; none in a group.
    pub inbox_low: Option<InboxSeq>,
    /// Its place in the inbox of a pair's higher user; none in a pair with oneself.
    pub inbox_high: Option<InboxSeq>,
    /// Its id.
    pub message_id: MessageId,
}

/// What one row of a statement about groups came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is committed.
    Stored(Placed),
    /// Its key was stored before.
    Known {
        /// The first one's place.
        seq: Seq,
        /// The first one's id.
        message_id: MessageId,
        /// What the first one's content hashed to.
        hash: SendHash,
    },
    /// Nothing of its group was written: the log is not where its owner thought, or a key of the batch is known.
    Moved,
    /// It was not written, by the store's own rules; nothing else of its group is on its way.
    Declined(Refusal),
}

/// A row whose key the store had before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its index in the statement.
    pub index: usize,
    /// The first one's place.
    pub seq: Seq,
    /// The first one's id.
    pub message_id: MessageId,
    /// What the first one's content hashed to.
    pub hash: SendHash,
}

/// A row of a broken statement whose key is stored, by that statement or before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Its index among the unresolved rows.
    pub index: usize,
    /// Where the store has it.
    pub placed: Placed,
    /// What the stored content hashes to.
    pub hash: SendHash,
    /// By its id it is the row of that statement. Else its key was stored before, perhaps by another node, and who sent it
    /// then was told.
    pub is_own: bool,
}

/// What came of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// All rows are committed; one entry a row.
    Stored(Vec<Placed>),
    /// These keys were stored before; nothing was written.
    Known(Vec<Known>),
    /// One entry a row: each group of the statement has its own outcome.
    Each(Vec<Fate>),
    /// Nothing was written, and the connection goes on.
    Refused,
    /// The connection, or the claim to write, is gone; nobody knows.
    Unknown,
    /// It was not even tried: no message id could be minted.
    NotTried,
    /// It was not even tried: the connection had ended before.
    Away,
}

/// What happens to a journal.
#[derive(Debug)]
pub enum Input<P> {
    /// Rows to be stored, which came together: they go into one statement if there is room.
    Append(Vec<Row<P>>),
    /// The owner has heard of so many rows that were refused. Told in any order: only the sum counts.
    Heard {
        /// The owner.
        owner: Owner,
        /// Which start of its actor.
        life: Life,
        /// Rows.
        refused: usize,
    },
    /// The statement's outcome.
    Appended(Appended),
    /// The writer was fenced on a new connection; what of the unresolved rows is stored, by index.
    Fenced(Vec<Found>),
    /// The connection has ended while nothing was in flight on it.
    Away,
    /// Time has passed.
    Tick,
}

/// What the journal's actor shall do.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect<P> {
    /// Run one statement with these rows, in this order: all of pairs, or all posts of groups, or one change of a group.
    Run(Arc<Vec<Row<P>>>),
    /// The row is committed: ack it and push it.
    Stored {
        /// The row.
        row: Row<P>,
        /// Where it is.
        placed: Placed,
    },
    /// Tell its owner what became of it; nothing is pushed.
    Settled {
        /// The row.
        row: Row<P>,
        /// What became of it.
        outcome: Outcome,
    },
    /// Connect anew, raise the fence, then look these rows up.
    Reconnect,
}

enum Line<P> {
    /// No statement in flight.
    Idle,
    /// These rows are in flight.
    Busy(Arc<Vec<Row<P>>>),
    /// No connection; these rows' outcome is unknown, since then. `told`: their owners were told so.
    Down { unresolved: Vec<Row<P>>, since: Instant, told: bool },
}

/// An owner that is not heard: what it sends now it sent before it heard of what was refused.
struct Closed {
    life: Life,
    /// Refused rows of which it has not heard.
    unheard: usize,
    /// What the next one is refused with: an owner that numbers anew does so for all of them, in order.
    why: Refusal,
}

/// One journal.
pub struct Journal<P> {
    line: Line<P>,
    /// Rows of pairs, and rows of groups: a statement takes from one of them, by turns. No order is promised between the
    /// two, since no conversation is in both.
    queues: [VecDeque<Row<P>>; 2],
    /// Which queue comes next, if both have something.
    turn: usize,
    closed: HashMap<Owner, Closed>,
    /// Rows in a statement at most: less than the limit after a refusal, until the row at fault is found.
    batch_most: usize,
}

impl<P: Clone> Journal<P> {
    /// Not connected yet.
    pub fn new(now: Instant) -> Self {
        Self {
            line: Line::Down { unresolved: Vec::new(), since: now, told: false },
            queues: [VecDeque::new(), VecDeque::new()],
            turn: 0,
            closed: HashMap::new(),
            batch_most: limits::JOURNAL_BATCH,
        }
    }

    /// The rows whose outcome is unknown, oldest first.
    pub fn unresolved(&self) -> &[Row<P>] {
        match &self.line {
            Line::Down { unresolved, .. } => unresolved,
            Line::Idle | Line::Busy(_) => &[],
        }
    }

    /// Whether nothing waits and nothing is in flight.
    pub fn is_settled(&self) -> bool {
        self.queued() == 0 && !matches!(self.line, Line::Busy(_)) && self.unresolved().is_empty()
    }

    /// Whether a statement is in flight.
    pub fn is_busy(&self) -> bool {
        matches!(self.line, Line::Busy(_))
    }

    /// Whether there is a connection.
    pub fn is_up(&self) -> bool {
        !matches!(self.line, Line::Down { .. })
    }

    /// Rows that wait for a statement.
    pub fn queued(&self) -> usize {
        self.queues.iter().map(VecDeque::len).sum()
    }

    /// Turns what happened into what is to be done.
    pub fn decide(&mut self, now: Instant, input: Input<P>, effects: &mut Vec<Effect<P>>) {
        match input {
            Input::Append(rows) => {
                for row in rows {
                    self.append(row, effects);
                }
            }
            Input::Heard { owner, life, refused } => self.heard(owner, life, refused),
            Input::Appended(appended) => self.appended(now, appended, effects),
            Input::Fenced(found) => self.fenced(found, effects),
            Input::Away if matches!(self.line, Line::Idle) => {
                self.go_down(now, Vec::new(), effects);
            }
            // In flight, the statement tells; down, it is known.
            Input::Away => {}
            Input::Tick => self.give_up(now, effects),
        }
        self.run_next(effects);
    }

    fn append(&mut self, row: Row<P>, effects: &mut Vec<Effect<P>>) {
        if let Some(why) = self.is_closed(&row) {
            self.hand_back(row, why, effects);
        } else if !self.is_up() {
            self.hand_back(row, Refusal::Unavailable, effects);
        } else if self.queued() >= limits::JOURNAL_QUEUE {
            self.hand_back(row, Refusal::Busy, effects);
        } else {
            self.queues[queue_of(&row)].push_back(row);
        }
    }

    fn appended(&mut self, now: Instant, appended: Appended, effects: &mut Vec<Effect<P>>) {
        let Line::Busy(rows) = std::mem::replace(&mut self.line, Line::Idle) else { return };
        // Whoever ran the statement has let go of them.
        let rows = Arc::unwrap_or_clone(rows);
        match appended {
            Appended::Stored(places) => {
                self.batch_most = (self.batch_most * 2).min(limits::JOURNAL_BATCH);
                for (row, placed) in rows.into_iter().zip(places) {
                    effects.push(Effect::Stored { row, placed });
                }
            }
            Appended::Known(known) => {
                let mut again = Vec::new();
                for (index, row) in rows.into_iter().enumerate() {
                    match known.iter().find(|known| known.index == index) {
                        Some(&Known { seq, message_id, hash, .. }) => {
                            let outcome = Outcome::Known { seq, message_id, hash };
                            effects.push(Effect::Settled { row, outcome });
                        }
                        None => again.push(row),
                    }
                }
                self.put_back(again);
            }
            Appended::Each(fates) => self.each(rows, fates, effects),
            Appended::Refused if rows.len() > 1 => {
                // One row's fault must not cost the others their turn: halve until it stands alone.
                self.batch_most = rows.len() / 2;
                self.put_back(rows);
            }
            Appended::Refused | Appended::NotTried => {
                self.batch_most = limits::JOURNAL_BATCH;
                let owners: HashSet<Owner> = rows.iter().map(Row::owner).collect();
                for row in rows {
                    self.hand_back(row, Refusal::Unavailable, effects);
                }
                self.take_out(&owners, Refusal::Unavailable, effects);
            }
            Appended::Away => {
                for row in rows {
                    self.hand_back(row, Refusal::Unavailable, effects);
                }
                self.go_down(now, Vec::new(), effects);
            }
            Appended::Unknown => self.go_down(now, rows, effects),
        }
    }

    /// For each group all or nothing: one that moved is heard again when it has numbered anew.
    fn each(&mut self, rows: Vec<Row<P>>, fates: Vec<Fate>, effects: &mut Vec<Effect<P>>) {
        self.batch_most = (self.batch_most * 2).min(limits::JOURNAL_BATCH);
        let mut moved = HashSet::new();
        for (row, fate) in rows.into_iter().zip(fates) {
            match fate {
                Fate::Stored(placed) => effects.push(Effect::Stored { row, placed }),
                Fate::Known { seq, message_id, hash } => {
                    // Its place stays empty, so whatever follows it has to be numbered anew.
                    moved.insert(row.owner());
                    let outcome = Outcome::Known { seq, message_id, hash };
                    effects.push(Effect::Settled { row, outcome });
                }
                Fate::Moved => {
                    moved.insert(row.owner());
                    self.hand_back(row, Refusal::Moved, effects);
                }
                Fate::Declined(why) => {
                    effects.push(Effect::Settled { row, outcome: Outcome::Refused(why) });
                }
            }
        }
        self.take_out(&moved, Refusal::Moved, effects);
    }

    /// The connection is gone, and with it the outcome of these rows; what waits has never been handed to it.
    fn go_down(&mut self, now: Instant, unresolved: Vec<Row<P>>, effects: &mut Vec<Effect<P>>) {
        self.line = Line::Down { unresolved, since: now, told: false };
        for row in self.queues.iter_mut().flat_map(std::mem::take).collect::<Vec<_>>() {
            self.hand_back(row, Refusal::Unavailable, effects);
        }
        effects.push(Effect::Reconnect);
    }

    fn fenced(&mut self, found: Vec<Found>, effects: &mut Vec<Effect<P>>) {
        let Line::Down { unresolved, told, .. } = std::mem::replace(&mut self.line, Line::Idle)
        else {
            return;
        };
        let mut again = Vec::new();
        for (index, row) in unresolved.into_iter().enumerate() {
            match found.iter().find(|found| found.index == index) {
                Some(&Found { placed, hash, is_own: true, .. })
                    if hash == row.hash && row.target.may_be_at(placed.seq) =>
                {
                    effects.push(Effect::Stored { row, placed });
                }
                Some(&Found { placed: Placed { seq, message_id, .. }, hash, .. }) => {
                    let outcome = Outcome::Known { seq, message_id, hash };
                    effects.push(Effect::Settled { row, outcome });
                }
                // Its sender sends it again, and perhaps something else before it.
                None if told => {}
                None => again.push(row),
            }
        }
        self.put_back(again);
    }

    fn give_up(&mut self, now: Instant, effects: &mut Vec<Effect<P>>) {
        let rows = match &mut self.line {
            Line::Down { unresolved, since, told }
                if !*told && now.saturating_duration_since(*since) >= limits::OUTCOME_WITHIN =>
            {
                *told = true;
                // Kept all the same: the receivers of what is found stored must hear of it.
                unresolved.clone()
            }
            _ => return,
        };
        for row in rows {
            self.hand_back(row, Refusal::OutcomeUnknown, effects);
        }
    }

    fn hand_back(&mut self, row: Row<P>, why: Refusal, effects: &mut Vec<Effect<P>>) {
        let later = if why == Refusal::Moved { why } else { Refusal::Unavailable };
        let fresh = || Closed { life: row.life, unheard: 0, why: later };
        let closed = self.closed.entry(row.owner()).or_insert_with(fresh);
        if closed.life < row.life {
            *closed = fresh();
        }
        if closed.life == row.life {
            closed.unheard += 1;
            closed.why = later;
        }
        effects.push(Effect::Settled { row, outcome: Outcome::Refused(why) });
    }

    /// With what a row is refused because something of its owner was.
    fn is_closed(&self, row: &Row<P>) -> Option<Refusal> {
        let closed = self.closed.get(&row.owner())?;
        (closed.life == row.life).then_some(closed.why)
    }

    fn heard(&mut self, owner: Owner, life: Life, refused: usize) {
        if let Some(closed) = self.closed.get_mut(&owner)
            && closed.life == life
        {
            closed.unheard = closed.unheard.saturating_sub(refused);
            if closed.unheard == 0 {
                self.closed.remove(&owner);
            }
        }
    }

    /// Hands back, in order, all that waits from these owners: it must not overtake what was refused.
    fn take_out(&mut self, owners: &HashSet<Owner>, why: Refusal, effects: &mut Vec<Effect<P>>) {
        if owners.is_empty() || sabotaged!(KeptQueue) {
            return;
        }
        for queue in 0..self.queues.len() {
            let (out, stay) = std::mem::take(&mut self.queues[queue])
                .into_iter()
                .partition::<VecDeque<_>, _>(|row| owners.contains(&row.owner()));
            self.queues[queue] = stay;
            for row in out {
                self.hand_back(row, why, effects);
            }
        }
    }

    fn put_back(&mut self, rows: Vec<Row<P>>) {
        for row in rows.into_iter().rev() {
            self.queues[queue_of(&row)].push_front(row);
        }
    }

    fn run_next(&mut self, effects: &mut Vec<Effect<P>>) {
        if !matches!(self.line, Line::Idle) {
            return;
        }
        if self.queues[self.turn].is_empty() {
            self.turn = 1 - self.turn;
        }
        let queue = &mut self.queues[self.turn];
        self.turn = 1 - self.turn;
        let mut bytes = 0;
        let mut count = 0;
        for row in queue.iter().take(self.batch_most.max(1)) {
            bytes += row.body_bytes;
            let alone = matches!(row.target, Target::Change { .. });
            if count > 0 && (alone || bytes > limits::JOURNAL_BATCH_BYTES) {
                break;
            }
            count += 1;
            if alone {
                break;
            }
        }
        if count == 0 {
            return;
        }
        let rows: Arc<Vec<_>> = Arc::new(queue.drain(..count).collect());
        self.line = Line::Busy(rows.clone());
        effects.push(Effect::Run(rows));
    }
}

fn queue_of<P>(row: &Row<P>) -> usize {
    match row.target {
        Target::Pair { .. } => 0,
        Target::Post(_) | Target::Change { .. } => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::UnixMs;

    const ALICE: UserNo = UserNo::from_store(1);
    const BOB: UserNo = UserNo::from_store(2);

    fn row(sender: UserNo, n: u8) -> Row<u8> {
        Row {
            target: Target::Pair {
                conversation: ConversationNo::from_store(5),
                low: ALICE,
                high: BOB,
            },
            sender,
            life: Life(1),
            key: ClientMsgId::mint(UnixMs::new(1_700_000_000_000), [n; 10]),
            hash: [n; 16],
            body_bytes: 100,
            payload: n,
        }
    }

    fn placed(seq: u64) -> Placed {
        Placed {
            seq: Seq::new(seq),
            inbox_low: Some(InboxSeq::new(seq)),
            inbox_high: Some(InboxSeq::new(seq)),
            message_id: MessageId::from_store(seq as i64),
        }
    }

    fn found(n: u8, seq: u64) -> Found {
        Found { index: 0, placed: placed(seq), hash: [n; 16], is_own: true }
    }

    struct Line {
        journal: Journal<u8>,
        now: Instant,
    }

    impl Line {
        fn up() -> Self {
            let now = Instant::now();
            let mut line = Self { journal: Journal::new(now), now };
            line.after(Input::Fenced(Vec::new()));
            line
        }

        fn after(&mut self, input: Input<u8>) -> Vec<Effect<u8>> {
            let mut effects = Vec::new();
            self.journal.decide(self.now, input, &mut effects);
            effects
        }

        fn append(&mut self, sender: UserNo, n: u8) -> Vec<Effect<u8>> {
            self.after(Input::Append(vec![row(sender, n)]))
        }

        fn heard(&mut self, sender: UserNo, refused: usize) {
            self.after(Input::Heard { owner: Owner::User(sender), life: Life(1), refused });
        }
    }

    fn run(effects: &[Effect<u8>]) -> Vec<u8> {
        effects
            .iter()
            .find_map(|effect| match effect {
                Effect::Run(rows) => Some(rows.iter().map(|row| row.payload).collect()),
                _ => None,
            })
            .unwrap_or_default()
    }

    fn refused(effects: &[Effect<u8>]) -> Vec<(u8, Refusal)> {
        effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Settled { row, outcome: Outcome::Refused(why) } => {
                    Some((row.payload, *why))
                }
                _ => None,
            })
            .collect()
    }

    fn stored(effects: &[Effect<u8>]) -> Vec<u8> {
        effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Stored { row, .. } => Some(row.payload),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn what_comes_while_a_statement_is_in_flight_gathers_for_the_next() {
        let mut line = Line::up();

        assert_eq!(run(&line.append(ALICE, 1)), [1]);
        assert_eq!(line.append(ALICE, 2), []);
        assert_eq!(line.append(BOB, 3), []);
        let effects = line.after(Input::Appended(Appended::Stored(vec![placed(1)])));

        assert_eq!(stored(&effects), [1]);
        assert_eq!(run(&effects), [2, 3]);
    }

    #[test]
    fn known_keys_are_answered_and_the_rest_goes_again_in_order_before_what_waited() {
        let mut line = Line::up();
        line.append(ALICE, 0);
        for n in 1..=3 {
            line.append(ALICE, n);
        }
        line.after(Input::Appended(Appended::Stored(vec![placed(1)])));
        line.append(ALICE, 4);
        let known = Known {
            index: 1,
            seq: Seq::new(9),
            message_id: MessageId::from_store(9),
            hash: [2; 16],
        };

        let effects = line.after(Input::Appended(Appended::Known(vec![known])));

        assert!(matches!(effects[0], Effect::Settled { row: Row { payload: 2, .. }, .. }));
        assert_eq!(run(&effects), [1, 3, 4]);
    }

    #[test]
    fn an_unknown_outcome_holds_its_rows_hands_the_others_back_and_reconnects() {
        let mut line = Line::up();
        line.append(ALICE, 1);
        line.append(BOB, 2);

        let effects = line.after(Input::Appended(Appended::Unknown));

        assert_eq!(refused(&effects), [(2, Refusal::Unavailable)]);
        assert!(effects.contains(&Effect::Reconnect));
        assert_eq!(line.journal.unresolved().len(), 1);
        assert_eq!(refused(&line.append(ALICE, 3)), [(3, Refusal::Unavailable)]);
    }

    #[test]
    fn a_connection_that_ended_before_the_hand_over_leaves_nothing_unknown() {
        let mut line = Line::up();
        assert_eq!(line.after(Input::Away), [Effect::Reconnect]);
        assert_eq!(line.after(Input::Away), []);
        line.after(Input::Fenced(Vec::new()));
        line.append(ALICE, 1);
        line.append(BOB, 2);

        let effects = line.after(Input::Appended(Appended::Away));

        let away = Refusal::Unavailable;
        assert_eq!(refused(&effects), [(1, away), (2, away)]);
        assert!(effects.contains(&Effect::Reconnect));
        assert!(line.journal.unresolved().is_empty());
    }

    #[test]
    fn after_the_fence_what_is_stored_is_acked_and_the_rest_goes_first() {
        let mut line = Line::up();
        line.append(ALICE, 0);
        line.append(ALICE, 1);
        line.append(BOB, 2);
        line.after(Input::Appended(Appended::Stored(vec![placed(1)])));
        line.after(Input::Appended(Appended::Unknown));

        let effects = line.after(Input::Fenced(vec![found(1, 2)]));

        assert_eq!(stored(&effects), [1]);
        assert_eq!(run(&effects), [2]);
    }

    #[test]
    fn a_row_of_a_broken_statement_whose_key_another_statement_had_stored_is_a_repeat() {
        let mut line = Line::up();
        line.append(ALICE, 1);
        line.after(Input::Appended(Appended::Unknown));

        // Another node has stored it and told who sent it, and this statement would have found that.
        let elsewhere = Found { is_own: false, ..found(1, 2) };
        let effects = line.after(Input::Fenced(vec![elsewhere]));

        let message_id = MessageId::from_store(2);
        let outcome = Outcome::Known { seq: Seq::new(2), message_id, hash: [1; 16] };
        assert!(
            effects
                .iter()
                .any(|it| matches!(it, Effect::Settled { outcome: own, .. } if *own == outcome)),
            "{effects:?}"
        );
        assert!(!effects.iter().any(|it| matches!(it, Effect::Stored { .. })), "{effects:?}");
    }

    #[test]
    fn what_was_stored_under_its_key_before_with_other_content_is_not_taken_for_the_row() {
        let mut line = Line::up();
        line.append(ALICE, 1);
        line.after(Input::Appended(Appended::Unknown));

        let effects = line.after(Input::Fenced(vec![found(9, 2)]));

        assert!(stored(&effects).is_empty());
        let known =
            |outcome: &Outcome| matches!(outcome, Outcome::Known { hash, .. } if *hash == [9; 16]);
        assert!(matches!(&effects[..], [Effect::Settled { outcome, .. }] if known(outcome)));
    }

    #[test]
    fn a_group_row_that_is_found_at_another_place_was_stored_before_and_is_a_repeat() {
        let mut line = Line::up();
        let group = ConversationNo::from_store(7);
        let epoch = ShardEpoch::from_store(1);
        let place = GroupPlace { group, epoch, seq: Seq::new(5), counted: 5 };
        line.after(Input::Append(vec![Row { target: Target::Post(place), ..row(ALICE, 1) }]));
        line.after(Input::Appended(Appended::Unknown));

        let effects = line.after(Input::Fenced(vec![found(1, 2)]));

        assert!(stored(&effects).is_empty(), "its members know it");
        let known =
            |outcome: &Outcome| matches!(outcome, Outcome::Known { seq, .. } if seq.get() == 2);
        assert!(matches!(&effects[..], [Effect::Settled { outcome, .. }] if known(outcome)));
    }

    #[test]
    fn who_was_handed_something_back_is_not_heard_until_it_knows() {
        let mut line = Line::up();
        line.append(BOB, 0);
        line.append(ALICE, 1);
        line.after(Input::Appended(Appended::Unknown));
        line.after(Input::Fenced(vec![found(1, 1)]));

        assert_eq!(refused(&line.append(ALICE, 2)), [(2, Refusal::Unavailable)]);
        line.heard(ALICE, 1);
        assert_eq!(
            refused(&line.append(ALICE, 3)),
            [(3, Refusal::Unavailable)],
            "sent before it heard of 2"
        );
        line.heard(ALICE, 2);
        assert_eq!(run(&line.append(ALICE, 1)), [1]);
    }

    #[test]
    fn what_a_former_start_of_a_sender_left_behind_does_not_close_the_next_one() {
        let mut line = Line::up();
        line.append(BOB, 0);
        line.append(ALICE, 1);
        line.after(Input::Appended(Appended::Unknown));
        line.after(Input::Fenced(vec![found(1, 1)]));

        let next = Row { life: Life(2), ..row(ALICE, 1) };

        assert_eq!(run(&line.after(Input::Append(vec![next]))), [1]);
    }

    #[test]
    fn a_row_that_the_store_refuses_is_found_by_halving_and_takes_only_its_senders_rows_along() {
        let mut line = Line::up();
        line.append(BOB, 0);
        for n in 1..=4 {
            line.append(if n % 2 == 0 { BOB } else { ALICE }, n);
        }
        line.after(Input::Appended(Appended::Stored(vec![placed(1)])));

        assert_eq!(run(&line.after(Input::Appended(Appended::Refused))), [1, 2]);
        assert_eq!(run(&line.after(Input::Appended(Appended::Refused))), [1]);
        let effects = line.after(Input::Appended(Appended::Refused));

        assert_eq!(refused(&effects), [(1, Refusal::Unavailable), (3, Refusal::Unavailable)]);
        assert_eq!(run(&effects), [2, 4]);
    }

    #[test]
    fn an_outcome_that_stays_unknown_is_told_so_in_time() {
        let mut line = Line::up();
        line.append(ALICE, 1);
        line.after(Input::Appended(Appended::Unknown));

        assert_eq!(line.after(Input::Tick), []);
        line.now += limits::OUTCOME_WITHIN;
        assert_eq!(refused(&line.after(Input::Tick)), [(1, Refusal::OutcomeUnknown)]);
        assert_eq!(line.after(Input::Tick), [], "once");
        assert_eq!(refused(&line.append(ALICE, 2)), [(2, Refusal::Unavailable)]);
    }

    #[test]
    fn after_its_sender_was_told_a_row_is_pushed_if_it_is_stored_and_never_appended_again() {
        let mut line = Line::up();
        line.append(ALICE, 0);
        line.append(ALICE, 1);
        line.append(BOB, 2);
        line.after(Input::Appended(Appended::Stored(vec![placed(1)])));
        line.after(Input::Appended(Appended::Unknown));
        line.now += limits::OUTCOME_WITHIN;
        line.after(Input::Tick);

        let effects = line.after(Input::Fenced(vec![found(1, 2)]));

        assert_eq!(stored(&effects), [1]);
        assert!(run(&effects).is_empty());
    }

    #[test]
    fn a_full_queue_is_busy() {
        let mut line = Line::up();
        line.append(ALICE, 0);
        for _ in 0..limits::JOURNAL_QUEUE {
            line.append(ALICE, 1);
        }

        assert_eq!(refused(&line.append(BOB, 2)), [(2, Refusal::Busy)]);
    }

    #[test]
    fn a_statement_holds_so_many_bytes_at_most_and_one_row_at_least() {
        let mut line = Line::up();
        line.append(ALICE, 0);
        for n in 1..=3 {
            let body_bytes = limits::JOURNAL_BATCH_BYTES / 2 + 1;
            line.after(Input::Append(vec![Row { body_bytes, ..row(ALICE, n) }]));
        }

        let effects = line.after(Input::Appended(Appended::Stored(vec![placed(1)])));

        assert_eq!(run(&effects), [1]);
    }
}
