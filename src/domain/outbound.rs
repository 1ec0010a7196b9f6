//! What waits for a session's socket: bounded, replies before nothing is lost, events until there are too many.
//!
//! A reader that stops reading costs a fixed amount: its events give way to one `sync.needed`, and none are queued until
//! the client's `sync` arrives. Never touches a socket or a clock.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::limits;

/// The frames that wait for one socket.
#[derive(Default)]
pub struct Outbound {
    frames: VecDeque<(Kind, Bytes)>,
    bytes: usize,
    events: usize,
    /// Events were left out; none are queued until the client has synced.
    behind: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Answers a command, which counts as in flight until it is handed over.
    Reply,
    /// Must arrive, but answers nothing.
    Notice,
    /// So many that travel as one.
    Events(usize),
}

/// What was handed over to the socket.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The frames, in order.
    pub frames: Vec<Bytes>,
    /// How many of them answer commands.
    pub replies: usize,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queued {
    /// It waits for the socket.
    Yes,
    /// There was no room: it and all that waited were left out. Queue `sync.needed`, once.
    Collapsed,
    /// The client has yet to sync: it was left out.
    Behind,
}

impl Outbound {
    /// Queues the reply to a command. Replies are bounded by the commands in flight, so there is always room.
    pub fn reply(&mut self, frame: Bytes) {
        self.push(Kind::Reply, frame);
    }

    /// Queues the reply to a login: before the events that came since the session is known to its user.
    pub fn first(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.frames.push_front((Kind::Reply, frame));
    }

    /// Queues what must arrive: kicks, closings, `sync.needed`.
    pub fn notice(&mut self, frame: Bytes) {
        self.push(Kind::Notice, frame);
    }

    /// Queues events that travel as one, if there is room for so many.
    pub fn events(&mut self, frame: Bytes, events: usize) -> Queued {
        if self.behind {
            return Queued::Behind;
        }
        let full = self.events + events > limits::OUTBOUND_FRAMES
            || self.bytes + frame.len() > limits::OUTBOUND_BYTES;
        if full && sabotaged!(FullQueueWithoutMarker) {
            return Queued::Behind;
        }
        if full {
            self.collapse();
            return Queued::Collapsed;
        }
        self.events += events;
        self.push(Kind::Events(events), frame);
        Queued::Yes
    }

    /// Leaves out all events that wait, and those to come until [`Self::synced`]. False when that was so before, and the
    /// client was told.
    pub fn collapse(&mut self) -> bool {
        let is_news = !std::mem::replace(&mut self.behind, true);
        self.frames.retain(|(kind, _)| !matches!(kind, Kind::Events(_)));
        self.events = 0;
        self.bytes = self.frames.iter().map(|(_, frame)| frame.len()).sum();
        is_news
    }

    /// The client syncs: events are queued again.
    pub fn synced(&mut self) {
        self.behind = false;
    }

    /// Drops all that waits: the session was ended, and acks nothing from now on.
    pub fn clear(&mut self) {
        *self = Self { behind: true, ..Self::default() };
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Takes what goes to the socket at once: as many frames as fit, at least one.
    pub fn take(&mut self) -> Batch {
        let mut batch = Batch::default();
        let mut taken = 0;
        while let Some((_, frame)) = self.frames.front() {
            if taken > 0 && taken + frame.len() > limits::WRITE_BATCH_BYTES {
                break;
            }
            let Some((kind, frame)) = self.frames.pop_front() else { break };
            taken += frame.len();
            match kind {
                Kind::Reply => batch.replies += 1,
                Kind::Events(events) => self.events -= events,
                Kind::Notice => {}
            }
            batch.frames.push(frame);
        }
        self.bytes -= taken;
        batch
    }

    fn push(&mut self, kind: Kind, frame: Bytes) {
        self.bytes += frame.len();
        self.frames.push_back((kind, frame));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(len: usize) -> Bytes {
        Bytes::from(vec![b'x'; len])
    }

    #[test]
    fn events_beyond_the_bound_collapse_and_replies_stay() {
        let mut outbound = Outbound::default();
        outbound.reply(frame(1));
        for _ in 0..limits::OUTBOUND_FRAMES {
            assert_eq!(outbound.events(frame(10), 1), Queued::Yes);
        }

        assert_eq!(outbound.events(frame(10), 1), Queued::Collapsed);
        assert_eq!(outbound.events(frame(10), 1), Queued::Behind);
        assert!(!outbound.collapse(), "the client is told once");
        outbound.notice(frame(2));

        let batch = outbound.take();
        assert_eq!((batch.frames.len(), batch.replies, outbound.bytes()), (2, 1, 0));
        outbound.synced();
        assert_eq!(outbound.events(frame(10), 1), Queued::Yes);
        assert!(outbound.collapse());
    }

    #[test]
    fn events_that_travel_as_one_count_each() {
        let mut outbound = Outbound::default();
        assert_eq!(outbound.events(frame(10), limits::OUTBOUND_FRAMES - 1), Queued::Yes);
        assert_eq!(outbound.events(frame(10), 1), Queued::Yes);
        assert_eq!(outbound.take().frames.len(), 2);
        assert_eq!(outbound.events(frame(10), limits::OUTBOUND_FRAMES), Queued::Yes);

        assert_eq!(outbound.events(frame(10), 1), Queued::Collapsed);
    }

    #[test]
    fn events_are_bounded_in_bytes_too() {
        let mut outbound = Outbound::default();
        let large = limits::SERVER_FRAME_BYTES;
        for _ in 0..limits::OUTBOUND_BYTES / large {
            assert_eq!(outbound.events(frame(large), 1), Queued::Yes);
        }

        assert_eq!(outbound.events(frame(large), 1), Queued::Collapsed);
    }

    #[test]
    fn a_batch_holds_as_much_as_fits_and_at_least_one_frame() {
        let mut outbound = Outbound::default();
        outbound.events(frame(limits::WRITE_BATCH_BYTES + 1), 1);
        outbound.events(frame(limits::WRITE_BATCH_BYTES / 2), 1);
        outbound.events(frame(limits::WRITE_BATCH_BYTES / 2), 1);

        assert_eq!(outbound.take().frames.len(), 1);
        assert_eq!(outbound.take().frames.len(), 2);
        assert!(outbound.is_empty());
    }
}
