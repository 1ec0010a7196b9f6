//! The player of messages: lanes send, ears listen, and everything that was sent, acknowledged and heard is counted.
//!
//! A *lane* is what one session sends into one conversation. Every session of a conversation has an *ear* for each lane of
//! others: it knows which message of the lane must come next, so that one that is missing, doubled or out of order shows
//! at once. A message is *finished* when it was acknowledged and every listener has read it.

use hdrhistogram::Histogram;
use serde_json::json;

use super::crowd::{Crowd, Player};
use super::link::CALLS_FROM;
use super::stamp::{LANES, NUMBERS, Stamp};
use super::wire::{Frame, Send};
use crate::bench::errors::BenchError;
use crate::protocol::codec::Codec;

/// The longest latency that is told apart, in µs.
const LATENCY_MAX_US: u64 = 600_000_000;
/// How often a client tells of what it received, for each conversation, in µs: as docs/protocol.md asks.
const RECEIPT_EVERY_US: u64 = 1_000_000;
/// Ids of receipts; what they are answered is of no interest.
const RECEIPT_ID: u64 = CALLS_FROM + 1;
/// The id of the `sync` of a session that fell behind.
const SYNC_ID: u64 = CALLS_FROM + 2;

/// A conversation, before anything is sent.
#[derive(Debug, Clone)]
pub struct Conversation {
    /// Who is in it: the session, and how that one names the conversation.
    pub members: Vec<(usize, String)>,
    /// Which of `members`, by place, have a lane.
    pub senders: Vec<usize>,
}

/// What a talk is about.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The user of each session, in order.
    pub users: Vec<String>,
    /// The epoch of the store, which a login tells.
    pub epoch: String,
    /// The conversations.
    pub conversations: Vec<Conversation>,
    /// How frames are read.
    pub codec: Codec,
    /// The text of each message: letters, digits and spaces.
    pub text: String,
}

/// How many messages of a lane may be in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// So many.
    pub most: usize,
    /// When one is in flight no more.
    pub until: Until,
}

/// Up to when a message counts as in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Its acknowledgement: as for a client that keeps so many sends unanswered.
    Acked,
    /// Its acknowledgement and the last of its readers.
    Read,
}

/// What one session sends into one conversation.
#[derive(Debug)]
pub struct Lane {
    /// The session.
    pub who: usize,
    /// Its conversation.
    pub conversation: usize,
    /// How the sender names it.
    to: String,
    /// Sessions that have to read each message.
    listeners: u32,
    /// By number.
    pub sent: Vec<Sent>,
    /// Not in flight any more.
    landed: usize,
    /// How many messages may be in flight, while it sends by itself.
    window: Window,
}

/// A message.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    due_us: u64,
    /// The seq that it was acknowledged with, or 0.
    pub seq: u64,
    heard: u32,
}

#[derive(Debug)]
struct Ear {
    lane: u16,
    next: u32,
    /// Where the session keeps what it knows of the conversation.
    place: usize,
}

#[derive(Debug)]
struct Place {
    /// How the session names the conversation.
    name: String,
    seq: u64,
    /// Whether the session tells of what it received: in conversations of two.
    tells: bool,
    receipt_at_us: u64,
}

#[derive(Debug, Default)]
struct Session {
    /// In the order of their lanes.
    ears: Vec<Ear>,
    places: Vec<Place>,
    /// It was told to sync: what was left out is in the store, and no fault.
    is_behind: bool,
    /// Nobody waits for it.
    is_ignored: bool,
}

/// What was counted since the run began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages that were sent.
    pub sent: u64,
    /// That were acknowledged.
    pub acked: u64,
    /// Messages read, by each listener.
    pub heard: u64,
    /// Messages that were acknowledged and read by all who listen.
    pub finished: u64,
}

impl std::ops::Sub for Tally {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            sent: self.sent - before.sent,
            acked: self.acked - before.acked,
            heard: self.heard - before.heard,
            finished: self.finished - before.finished,
        }
    }
}

/// How long things took since they were last reset, in µs from when a message was due.
#[derive(Debug, Clone)]
pub struct Times {
    /// Up to the acknowledgement.
    pub ack: Histogram<u64>,
    /// Up to when a listener read it.
    pub delivery: Histogram<u64>,
    /// Up to when it was sent: how late the load itself was. The others contain it.
    pub sending: Histogram<u64>,
}

impl Times {
    fn new() -> Result<Self, BenchError> {
        let empty = || {
            Histogram::new_with_bounds(1, LATENCY_MAX_US, 3)
                .map_err(|error| BenchError::Options(error.to_string()))
        };
        Ok(Self { ack: empty()?, delivery: empty()?, sending: empty()? })
    }
}

/// The player.
#[derive(Debug)]
pub struct Talk {
    setup: Setup,
    /// The lanes, by number.
    pub lanes: Vec<Lane>,
    sessions: Vec<Session>,
    began_ms: u64,
    /// What was counted.
    pub tally: Tally,
    /// What was measured.
    pub times: Times,
    /// Which messages are measured: those that were due from then on.
    measured_from_us: u64,
    /// Pushes that came in another order than their seqs.
    pub out_of_order: u64,
    /// Pushes that a listener should have had before another one.
    pub missed: u64,
    /// Pushes that were left out because a client fell behind and was told so.
    pub left_out: u64,
}

impl Talk {
    /// A talk in which nothing was said, with the time of now in ms since 1970.
    pub fn new(setup: Setup, now_ms: u64) -> Result<Self, BenchError> {
        let mut sessions: Vec<Session> = setup.users.iter().map(|_| Session::default()).collect();
        let mut lanes: Vec<Lane> = Vec::new();
        for (number, conversation) in setup.conversations.iter().enumerate() {
            let mut places = Vec::new();
            for (who, name) in &conversation.members {
                let session = sessions.get_mut(*who).ok_or_else(|| no_such("session"))?;
                let tells = name.starts_with("user:");
                let place = Place { name: name.clone(), seq: 0, tells, receipt_at_us: 0 };
                session.places.push(place);
                places.push(session.places.len() - 1);
            }
            for &sender in &conversation.senders {
                let (who, to) =
                    conversation.members.get(sender).ok_or_else(|| no_such("member"))?;
                let lane = u16::try_from(lanes.len()).map_err(|_| too_many_lanes())?;
                for ((listener, _), &place) in conversation.members.iter().zip(&places) {
                    if let Some(session) = sessions.get_mut(*listener).filter(|_| listener != who) {
                        session.ears.push(Ear { lane, next: 0, place });
                    }
                }
                lanes.push(Lane {
                    who: *who,
                    conversation: number,
                    to: to.clone(),
                    listeners: conversation.members.len() as u32 - 1,
                    sent: Vec::new(),
                    landed: 0,
                    window: Window { most: 0, until: Until::Read },
                });
            }
        }
        Ok(Self {
            setup,
            lanes,
            sessions,
            began_ms: now_ms,
            tally: Tally::default(),
            times: Times::new()?,
            measured_from_us: 0,
            out_of_order: 0,
            missed: 0,
            left_out: 0,
        })
    }

    /// The conversations, as they were set up.
    pub fn conversations(&self) -> &[Conversation] {
        &self.setup.conversations
    }

    /// The user of a session.
    pub fn user(&self, who: usize) -> &str {
        self.setup.users.get(who).map_or("", String::as_str)
    }

    /// Lets a lane send by itself, with so many messages in flight, until [`Talk::hush`].
    pub fn let_send(&mut self, crowd: &mut Crowd, lane: usize, window: Window) {
        if let Some(own) = self.lanes.get_mut(lane) {
            own.window = window;
        }
        self.refill(crowd, lane);
    }

    /// Has nobody send by themselves any more.
    pub fn hush(&mut self) {
        for lane in &mut self.lanes {
            lane.window.most = 0;
        }
    }

    /// Sends the next message of a lane, which was due at `due_us`.
    pub fn send(&mut self, crowd: &mut Crowd, lane: usize, due_us: u64) {
        let Some(own) = self.lanes.get_mut(lane) else { return };
        let number = own.sent.len();
        if number >= NUMBERS {
            return;
        }
        own.sent.push(Sent { due_us, seq: 0, heard: 0 });
        self.tally.sent += 1;
        let (lane, number) = (lane as u16, number as u32);
        let (stamp, now_us) = (Stamp { lane, number, due_us }, crowd.now_us());
        if due_us >= self.measured_from_us {
            self.times.sending.saturating_record(now_us.saturating_sub(due_us));
        }
        let client_msg_id = stamp.id(self.began_ms + now_us / 1000);
        let (id, text) = (command_id(stamp), self.setup.text.as_str());
        crowd.send(own.who, Send { id, to: &own.to, client_msg_id, text });
    }

    /// Waits for session `who` no longer: it stopped reading, and that is what is measured.
    pub fn ignore(&mut self, who: usize) {
        let Some(session) = self.sessions.get_mut(who) else { return };
        session.is_ignored = true;
        for ear in &session.ears {
            if let Some(lane) = self.lanes.get_mut(usize::from(ear.lane)) {
                lane.listeners -= 1;
            }
        }
    }

    /// Forgets the latencies so far, and those of all messages that were due before now.
    pub fn measure_from(&mut self, now_us: u64) {
        self.measured_from_us = now_us;
        self.times.ack.reset();
        self.times.delivery.reset();
        self.times.sending.reset();
    }

    /// Whether every message was acknowledged and read by all who listen, but for who fell behind.
    pub fn is_settled(&self) -> bool {
        self.tally.acked == self.tally.sent
            && (self.tally.finished == self.tally.sent || self.left_out > 0)
    }

    /// Messages that were sent and got no answer.
    pub fn unanswered(&self) -> u64 {
        self.tally.sent - self.tally.acked
    }

    /// Messages that never came to a listener who was there.
    pub fn never_heard(&self) -> u64 {
        let there =
            self.sessions.iter().filter(|session| !session.is_behind && !session.is_ignored);
        let missing = there.flat_map(|session| &session.ears).map(|ear| {
            let lane = self.lanes.get(usize::from(ear.lane));
            lane.map_or(0, |lane| lane.sent.len() as u64 - u64::from(ear.next))
        });
        missing.sum::<u64>() + self.missed
    }

    fn refill(&mut self, crowd: &mut Crowd, lane: usize) {
        while self.lanes.get(lane).is_some_and(|lane| {
            lane.sent.len() - lane.landed < lane.window.most && lane.sent.len() < NUMBERS
        }) {
            self.send(crowd, lane, crowd.now_us());
        }
    }

    fn on_ack(&mut self, crowd: &mut Crowd, id: u64, seq: u64, now_us: u64) {
        let (lane, number) = of_command(id);
        let Some(own) = self.lanes.get_mut(lane) else { return };
        let Some(sent) = own.sent.get_mut(number).filter(|sent| sent.seq == 0) else { return };
        sent.seq = seq;
        self.tally.acked += 1;
        if sent.due_us >= self.measured_from_us {
            self.times.ack.saturating_record(now_us.saturating_sub(sent.due_us));
        }
        let is_finished = sent.heard >= own.listeners;
        self.tally.finished += u64::from(is_finished);
        if is_finished || own.window.until == Until::Acked {
            self.land(crowd, lane);
        }
    }

    fn on_message(
        &mut self,
        crowd: &mut Crowd,
        who: usize,
        (stamp, seq, from): (Stamp, u64, &str),
        now_us: u64,
    ) {
        let lane = usize::from(stamp.lane);
        let Some(session) = self.sessions.get_mut(who) else { return };
        let Ok(ear) = session.ears.binary_search_by_key(&stamp.lane, |ear| ear.lane) else {
            return;
        };
        let (Some(ear), Some(own)) = (session.ears.get_mut(ear), self.lanes.get_mut(lane)) else {
            return;
        };
        let (Some(place), Some(sent)) =
            (session.places.get_mut(ear.place), own.sent.get_mut(stamp.number as usize))
        else {
            return;
        };
        // The protocol lets a message be pushed again; clients ignore what they know.
        if stamp.number < ear.next
            || Some(from) != self.setup.users.get(own.who).map(String::as_str)
        {
            return;
        }
        let skipped = u64::from(stamp.number - ear.next);
        if session.is_behind {
            self.left_out += skipped;
        } else {
            self.missed += skipped;
        }
        if seq <= place.seq {
            self.out_of_order += 1;
        }
        ear.next = stamp.number + 1;
        place.seq = seq;
        self.tally.heard += 1;
        if stamp.due_us >= self.measured_from_us {
            self.times.delivery.saturating_record(now_us.saturating_sub(stamp.due_us));
        }
        if place.tells && now_us - place.receipt_at_us >= RECEIPT_EVERY_US {
            place.receipt_at_us = now_us;
            let body = json!({"conversation": place.name, "seq": seq});
            crowd.command(who, RECEIPT_ID, "message.received", body);
        }
        sent.heard += 1;
        if sent.heard == own.listeners && sent.seq != 0 {
            self.tally.finished += 1;
            if own.window.until == Until::Read {
                self.land(crowd, lane);
            }
        }
    }

    fn land(&mut self, crowd: &mut Crowd, lane: usize) {
        if let Some(own) = self.lanes.get_mut(lane) {
            own.landed += 1;
        }
        self.refill(crowd, lane);
    }

    /// Receipts and hints cost what they cost, and are of no interest here.
    fn on_event(&mut self, crowd: &mut Crowd, who: usize, frame: &Frame<'_>) {
        if frame.event == Some("sync.needed") {
            if let Some(session) = self.sessions.get_mut(who) {
                session.is_behind = true;
            }
            let body = json!({"epoch": self.setup.epoch, "inbox": 0});
            crowd.command(who, SYNC_ID, "sync", body);
        }
    }
}

impl Player for Talk {
    fn hear(
        &mut self,
        crowd: &mut Crowd,
        who: usize,
        payload: &[u8],
        now_us: u64,
    ) -> Result<(), BenchError> {
        let frame = Frame::read(payload, self.setup.codec).map_err(|why| BenchError::Session {
            who: self.user(who).to_owned(),
            why: format!("a frame cannot be read: {why}"),
        })?;
        if let Some(trouble) = frame.trouble(self.user(who)) {
            return Err(trouble);
        }
        match (frame.re, &frame.ok) {
            (Some(id), Some(answer)) if id < CALLS_FROM => {
                self.on_ack(crowd, id, answer.seq.unwrap_or_default(), now_us);
            }
            (Some(_), _) => {}
            (None, _) => match frame.message() {
                Some(message) => self.on_message(crowd, who, message, now_us),
                None => self.on_event(crowd, who, &frame),
            },
        }
        Ok(())
    }
}

/// Bits of a message's number in the id of its command.
const NUMBER_BITS: u32 = NUMBERS.trailing_zeros();
const _: () = assert!(LANES.trailing_zeros() + NUMBER_BITS < CALLS_FROM.trailing_zeros());

fn command_id(stamp: Stamp) -> u64 {
    u64::from(stamp.lane) << NUMBER_BITS | u64::from(stamp.number)
}

fn of_command(id: u64) -> (usize, usize) {
    ((id >> NUMBER_BITS) as usize, (id & ((1 << NUMBER_BITS) - 1)) as usize)
}

fn no_such(what: &str) -> BenchError {
    BenchError::Options(format!("a conversation names a {what} that is not there"))
}

fn too_many_lanes() -> BenchError {
    BenchError::Options(format!("more than {LANES} senders times conversations"))
}
