//! Where a client stands: its place in the inbox and in each of its groups, within one epoch of the store.
//!
//! Owns which logs there are, where each begins, and which of them have something to take or lack something. Reads no
//! clock and no socket; when to pull what is lacking is in `pulls`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::membership::Change;
use super::stream::Stream;
use crate::ids::{Epoch, GroupId, InboxSeq, Seq};
use crate::limits;
use crate::protocol::{GroupHead, GroupSeqs, Sync, Synced};

/// What a client brings along when it comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The history of the store that the numbers belong to.
    pub epoch: Epoch,
    /// The inbox number up to which the client has everything.
    pub inbox: InboxSeq,
    /// The seqs up to which it has everything of its groups.
    pub groups: GroupSeqs,
}

impl Position {
    /// Takes note that everything of a log was taken up to `number`, or that it is no longer followed.
    pub(super) fn moved(&mut self, log: Log, number: Option<u64>) {
        match (log, number) {
            (Log::Inbox, number) => self.inbox = InboxSeq::new(number.unwrap_or(0)),
            (Log::Group(group), Some(number)) => drop(self.groups.insert(group, Seq::new(number))),
            (Log::Group(group), None) => drop(self.groups.remove(&group)),
        }
    }
}

/// A numbered log that a client follows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Log {
    /// All one-to-one conversations.
    Inbox,
    /// A group.
    Group(GroupId),
}

/// What a `sync` told about the places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learned {
    /// They still mean what they meant.
    Same,
    /// There were none yet: they are now the heads, and what is older is read from the history.
    First,
    /// The store lost data: the places meant another history and are now the heads of this one.
    OtherEpoch,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken<T> {
    /// An entry, which its log's place now includes.
    Entry {
        /// The log.
        log: Log,
        /// The entry's number there.
        number: u64,
        /// The entry.
        entry: T,
    },
    /// Everything of a group was taken, and nothing follows for this user. It is no longer followed.
    Over {
        /// The group.
        group: GroupId,
        /// The last entry that the user may see.
        last: Seq,
    },
}

/// The places, and the entries beyond them.
#[derive(Debug)]
pub struct Places<T> {
    epoch: Option<Epoch>,
    streams: BTreeMap<Log, Stream<T>>,
    /// Those that [`Places::take`] has something of.
    ready: BTreeSet<Log>,
    /// Those that must be pulled from.
    lacking: BTreeSet<Log>,
    /// Whether every group's place is known: one that is heard of from then on was joined since.
    is_complete: bool,
    /// Whose entry was taken last, so that a busy group keeps no other waiting.
    turn: Option<Log>,
    /// The last group that was named on a ping.
    named: Option<Log>,
}

impl<T> Places<T> {
    /// Goes on from `position`, or from the heads of the first sync.
    pub fn new(position: Option<Position>) -> Self {
        let mut streams = BTreeMap::new();
        let (epoch, is_complete) = match position {
            None => {
                streams.insert(Log::Inbox, Stream::new(None));
                (None, false)
            }
            Some(Position { epoch, inbox, groups }) => {
                streams.insert(Log::Inbox, Stream::new(Some(inbox.get())));
                for (group, seq) in groups {
                    streams.insert(Log::Group(group), Stream::new(Some(seq.get())));
                }
                (Some(epoch), true)
            }
        };
        let (ready, lacking) = (BTreeSet::new(), BTreeSet::new());
        Self { epoch, streams, ready, lacking, is_complete, turn: None, named: None }
    }

    /// The epoch of the places, once there are any.
    pub fn epoch(&self) -> Option<&Epoch> {
        self.epoch.as_ref()
    }

    /// The whole of it, once every place is known.
    pub fn position(&self) -> Option<Position> {
        let epoch = self.epoch.clone().filter(|_| self.is_complete)?;
        Some(Position { epoch, inbox: self.inbox(), groups: self.groups().collect() })
    }

    /// The place in the inbox.
    pub fn inbox(&self) -> InboxSeq {
        InboxSeq::new(self.at(&Log::Inbox).unwrap_or(0))
    }

    /// The place in a log, if it is followed and its place is known.
    pub fn at(&self, log: &Log) -> Option<u64> {
        self.streams.get(log).and_then(Stream::at)
    }

    /// What to tell in `login` and `sync`; none before the first. More groups than that are compared all the same.
    pub fn sync(&self) -> Option<Sync> {
        let epoch = Some(self.epoch.clone()?);
        let groups = self.groups().take(limits::SYNC_GROUPS).collect();
        Some(Sync { epoch, inbox: Some(self.inbox()), groups, after: None })
    }

    /// The groups to name in the next `ping`: all of them, a part each time where there are many.
    pub fn on_screen(&mut self) -> GroupSeqs {
        let after = self.named.take().map_or(Bound::Unbounded, Bound::Excluded);
        let rest = self.streams.range((after, Bound::Unbounded)).filter_map(group_at);
        let part: GroupSeqs = rest.take(limits::PING_GROUPS).collect();
        let is_full = part.len() == limits::PING_GROUPS;
        self.named = part.keys().next_back().filter(|_| is_full).cloned().map(Log::Group);
        part
    }

    /// Takes in an entry that was pushed, pulled or acknowledged.
    ///
    /// False when nobody knows where its log begins, which a `sync` finds out; until then the entry is held back.
    pub fn offer(&mut self, log: &Log, number: u64, entry: T, change: Change) -> bool {
        let is_complete = self.is_complete;
        let stream = self.streams.entry(log.clone()).or_insert_with(|| {
            let begins = is_complete && change == Change::Begins;
            Stream::new(begins.then_some(number.saturating_sub(1)))
        });
        stream.offer(number, entry);
        let is_placed = stream.at().is_some() || !is_complete;
        self.note(log);
        is_placed
    }

    /// The next entry that has its turn.
    pub fn take(&mut self) -> Option<Taken<T>> {
        let after = self.turn.take().map_or(Bound::Unbounded, Bound::Excluded);
        let later = self.ready.range((after, Bound::Unbounded)).next();
        let log = later.or_else(|| self.ready.first())?.clone();
        let stream = self.streams.get_mut(&log)?;
        let taken = match (stream.take(), &log) {
            (Some((number, entry)), _) => {
                self.turn = Some(log.clone());
                Some(Taken::Entry { log: log.clone(), number, entry })
            }
            (None, Log::Group(group)) => {
                let last = Seq::new(stream.at().unwrap_or(0));
                self.streams.remove(&log);
                Some(Taken::Over { group: group.clone(), last })
            }
            (None, Log::Inbox) => None,
        };
        self.note(&log);
        taken
    }

    /// Whether [`Places::take`] has something.
    pub fn has_next(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The logs that must be pulled from.
    pub fn lacking(&self) -> &BTreeSet<Log> {
        &self.lacking
    }

    /// Takes note that a log reaches as far as `head`.
    pub fn saw_head(&mut self, log: &Log, head: u64) {
        self.change(log, |stream| stream.saw_head(head));
    }

    /// Takes note that there is nothing to be had of a log before `first`. True when something was left out.
    pub fn skip_to(&mut self, log: &Log, first: u64) -> bool {
        let mut skipped = false;
        self.change(log, |stream| skipped = stream.skip_to(first));
        skipped
    }

    /// Takes note that with this entry, which was taken, the user's membership ended; unless the group goes on for them.
    pub fn left_at(&mut self, log: &Log, number: u64) {
        self.change(log, |stream| stream.ends_at(number));
    }

    /// The user may see nothing more of a group: it is over where it stands.
    pub fn give_up(&mut self, log: &Log) {
        self.change(log, Stream::stop);
    }

    /// Takes note of a page of a `sync`. `is_last` says that no other page follows and no other sync is due.
    pub fn synced(&mut self, page: &Synced, is_last: bool) -> Learned {
        let learned = match &self.epoch {
            Some(epoch) if *epoch == page.epoch => Learned::Same,
            Some(_) => {
                // What is held from the other history must not be shown as this one's.
                self.streams.clear();
                self.ready.clear();
                self.lacking.clear();
                Learned::OtherEpoch
            }
            None => Learned::First,
        };
        if learned == Learned::Same {
            self.saw_head(&Log::Inbox, page.inbox.get());
        } else {
            self.epoch = Some(page.epoch.clone());
            self.is_complete = false;
            self.start(&Log::Inbox, page.inbox.get());
        }
        for head in &page.groups {
            self.synced_group(head);
        }
        if is_last {
            self.complete();
        }
        learned
    }

    fn synced_group(&mut self, told: &GroupHead) {
        let log = Log::Group(told.group.clone());
        let (head, first) = (told.head.get(), told.min_seq.get());
        match self.at(&log) {
            // One was a member and is not: whoever does not know the group has nothing to end.
            None if told.left => {}
            None if self.is_complete => self.start(&log, first.saturating_sub(1)),
            None => self.start(&log, head),
            // What one may not see is not missing.
            Some(_) => drop(self.skip_to(&log, first)),
        }
        self.change(
            &log,
            |stream| if told.left { stream.ends_at(head) } else { stream.saw_head(head) },
        );
    }

    /// From now on a group that is heard of is a new one. One that no page named begins with what was pushed of it.
    fn complete(&mut self) {
        self.is_complete = true;
        let unplaced = self.streams.iter().filter(|(_, stream)| stream.at().is_none());
        let unplaced: Vec<Log> = unplaced.map(|(log, _)| log.clone()).collect();
        for log in unplaced {
            match self.streams.get(&log).and_then(Stream::first_held) {
                Some(first) => self.start(&log, first - 1),
                None => drop(self.streams.remove(&log)),
            }
        }
    }

    fn start(&mut self, log: &Log, at: u64) {
        self.streams.entry(log.clone()).or_insert_with(|| Stream::new(None)).start_at(at);
        self.note(log);
    }

    fn change(&mut self, log: &Log, change: impl FnOnce(&mut Stream<T>)) {
        if let Some(stream) = self.streams.get_mut(log) {
            change(stream);
            self.note(log);
        }
    }

    /// Keeps the two sets in step with a stream that has changed.
    fn note(&mut self, log: &Log) {
        let stream = self.streams.get(log);
        let is_ready = stream.is_some_and(|stream| stream.has_next() || stream.is_over());
        let is_lacking = stream.is_some_and(|stream| stream.lacks().is_some());
        for (set, is_in) in [(&mut self.ready, is_ready), (&mut self.lacking, is_lacking)] {
            if !is_in {
                set.remove(log);
            } else if !set.contains(log) {
                set.insert(log.clone());
            }
        }
    }

    fn groups(&self) -> impl Iterator<Item = (GroupId, Seq)> {
        self.streams.iter().filter_map(group_at)
    }
}

fn group_at<T>((log, stream): (&Log, &Stream<T>)) -> Option<(GroupId, Seq)> {
    match log {
        Log::Inbox => None,
        Log::Group(group) => Some((group.clone(), Seq::new(stream.at()?))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAME: Change = Change::None;

    fn eng() -> GroupId {
        GroupId::parse("eng").unwrap()
    }

    fn log() -> Log {
        Log::Group(eng())
    }

    fn page(epoch: &str, inbox: u64, groups: &[(&str, u64, u64, bool)]) -> Synced {
        let head = |&(group, head, min_seq, left): &(&str, u64, u64, bool)| GroupHead {
            group: GroupId::parse(group).unwrap(),
            head: Seq::new(head),
            min_seq: Seq::new(min_seq),
            left,
        };
        let groups = groups.iter().map(head).collect();
        Synced { epoch: Epoch::from_store(epoch), inbox: InboxSeq::new(inbox), groups, next: None }
    }

    fn at(eng: u64) -> Places<u64> {
        let (epoch, inbox) = (Epoch::from_store("a"), InboxSeq::new(5));
        let groups = [(GroupId::parse("eng").unwrap(), Seq::new(eng))].into();
        Places::new(Some(Position { epoch, inbox, groups }))
    }

    fn taken(places: &mut Places<u64>) -> Vec<u64> {
        let entry = |taken| match taken {
            Taken::Entry { entry, .. } => entry,
            Taken::Over { .. } => 0,
        };
        std::iter::from_fn(|| places.take()).map(entry).collect()
    }

    #[test]
    fn a_device_without_places_takes_the_heads_of_its_first_sync_over_all_its_pages() {
        let mut places = Places::new(None);
        assert!(places.offer(&log(), 8, 8, SAME));

        assert_eq!(places.synced(&page("a", 7, &[("art", 3, 1, false)]), false), Learned::First);
        assert_eq!(places.position(), None);
        places.synced(&page("a", 7, &[("eng", 7, 2, false)]), true);

        assert_eq!(taken(&mut places), [8]);
        assert!(places.lacking().is_empty());
        let groups = places.position().unwrap().groups;
        let seqs: Vec<(&str, u64)> = groups.iter().map(|(g, s)| (g.as_str(), s.get())).collect();
        assert_eq!(seqs, [("art", 3), ("eng", 8)]);
    }

    #[test]
    fn a_group_joined_while_away_begins_with_the_first_entry_that_may_be_seen() {
        let mut places = at(3);

        places.synced(&page("a", 5, &[("new", 9, 7, false)]), true);

        let new = Log::Group(GroupId::parse("new").unwrap());
        assert_eq!(places.at(&new), Some(6));
        assert_eq!(places.lacking().iter().collect::<Vec<_>>(), [&new]);
    }

    #[test]
    fn a_group_just_joined_begins_with_its_own_notice_and_asks_for_nothing() {
        let mut places: Places<u64> = Places::new(None);
        places.synced(&page("a", 0, &[]), true);

        assert!(places.offer(&log(), 40, 40, Change::Begins));

        assert_eq!(taken(&mut places), [40]);
        assert!(places.lacking().is_empty());
    }

    #[test]
    fn an_entry_of_an_unknown_group_waits_for_a_sync_that_says_where_the_group_begins() {
        let mut places: Places<u64> = Places::new(None);
        places.synced(&page("a", 0, &[]), true);

        assert!(!places.offer(&log(), 41, 41, SAME));
        assert!(!places.has_next());
        places.synced(&page("a", 0, &[("eng", 41, 40, false)]), true);
        assert_eq!((places.at(&log()), places.lacking().len()), (Some(39), 1));
        places.offer(&log(), 40, 40, Change::Begins);
        assert_eq!(taken(&mut places), [40, 41]);

        assert!(!places.offer(&Log::Group(GroupId::parse("gone").unwrap()), 7, 7, SAME));
        places.synced(&page("a", 0, &[]), true);
        assert_eq!(taken(&mut places), [7]);
    }

    #[test]
    fn nothing_is_asked_for_below_what_may_be_seen() {
        let mut places = at(3);

        places.synced(&page("a", 5, &[("eng", 12, 10, false)]), true);

        assert_eq!(places.at(&log()), Some(9));
    }

    #[test]
    fn a_group_that_was_left_is_over_after_its_last_entry() {
        let mut places = at(3);

        places.synced(&page("a", 5, &[("eng", 4, 1, true)]), true);
        assert!(!places.has_next());
        places.offer(&log(), 4, 4, SAME);
        assert_eq!(taken(&mut places), [4, 0]);
        assert!(places.position().unwrap().groups.is_empty());

        let mut places = at(4);
        places.synced(&page("a", 5, &[("eng", 4, 1, true)]), true);
        assert_eq!(places.take(), Some(Taken::Over { group: eng(), last: Seq::new(4) }));
    }

    #[test]
    fn an_old_notice_of_leaving_ends_nothing_when_the_group_goes_on() {
        let mut places = at(3);
        places.saw_head(&log(), 9);
        places.offer(&log(), 4, 4, SAME);

        assert_eq!(taken(&mut places), [4]);
        places.left_at(&log(), 4);

        assert!(!places.has_next());
        assert_eq!(places.at(&log()), Some(4));
    }

    #[test]
    fn another_epoch_ends_all_places_and_what_was_held() {
        let mut places = at(3);
        places.offer(&log(), 5, 5, SAME);
        places.offer(&Log::Inbox, 7, 7, SAME);

        let learned = places.synced(&page("b", 2, &[("eng", 1, 1, false)]), true);

        assert_eq!((learned, taken(&mut places)), (Learned::OtherEpoch, vec![]));
        assert_eq!((places.at(&log()), places.inbox()), (Some(1), InboxSeq::new(2)));
        places.offer(&Log::Inbox, 3, 3, SAME);
        assert_eq!(taken(&mut places), [3]);
    }

    #[test]
    fn a_busy_group_keeps_no_other_waiting() {
        let mut places = at(0);
        for number in 1..=3 {
            places.offer(&log(), number, number, SAME);
            places.offer(&Log::Inbox, 5 + number, 5 + number, SAME);
        }

        assert_eq!(taken(&mut places), [6, 1, 7, 2, 8, 3]);
    }

    #[test]
    fn pings_name_all_groups_in_turn() {
        let name = |n: usize| GroupId::parse(&format!("g{n:03}")).unwrap();
        let groups = (0..120).map(|n| (name(n), Seq::new(1))).collect();
        let (epoch, inbox) = (Epoch::from_store("a"), InboxSeq::ZERO);
        let mut places: Places<u64> = Places::new(Some(Position { epoch, inbox, groups }));

        let named: Vec<usize> = (0..4).map(|_| places.on_screen().len()).collect();

        assert_eq!(named, [50, 50, 20, 50]);
    }

    /// A server with one group and one of its users, cut down to what it tells and shows.
    #[derive(Default)]
    struct Server {
        /// Entry n stands at n - 1.
        log: Vec<Change>,
        joined: Option<u64>,
        left: Option<u64>,
        /// Pushes were left out, and none come until a sync.
        is_behind: bool,
    }

    impl Server {
        fn is_member(&self) -> bool {
            self.joined.is_some() && self.left.is_none()
        }

        fn head(&self) -> u64 {
            self.left.unwrap_or(self.log.len() as u64)
        }

        /// Adds an entry; returns it when it is pushed.
        fn append(&mut self, change: Change) -> Option<(u64, Change)> {
            let was_member = self.is_member();
            self.log.push(change);
            let seq = self.log.len() as u64;
            match change {
                Change::None => {}
                Change::Begins => (self.joined, self.left) = (Some(seq), None),
                Change::Ends => self.left = Some(seq),
            }
            let is_seen = was_member || self.is_member();
            (is_seen && !self.is_behind).then_some((seq, change))
        }

        fn sync(&mut self, named: &Sync) -> Synced {
            self.is_behind = false;
            let has_left = !self.is_member();
            let is_told = self.joined.is_some() && (!has_left || named.groups.contains_key(&eng()));
            let told = ("eng", self.head(), self.joined.unwrap_or(0), has_left);
            page("a", 0, if is_told { std::slice::from_ref(&told) } else { &[] })
        }
    }

    /// A client's half of the same: what it does with pushes, pages and syncs, as `session` and `driver` do.
    struct Device {
        places: Places<(u64, Change)>,
        must_sync: bool,
        seen: Vec<u64>,
    }

    impl Device {
        fn offer(&mut self, (seq, change): (u64, Change)) {
            self.must_sync |= !self.places.offer(&log(), seq, (seq, change), change);
        }

        fn take(&mut self) {
            while let Some(taken) = self.places.take() {
                let Taken::Entry { log, number, entry: (seq, change) } = taken else { continue };
                self.seen.push(seq);
                if change == Change::Ends {
                    self.places.left_at(&log, number);
                }
            }
        }

        fn sync(&mut self, server: &mut Server) {
            self.must_sync = false;
            let page = server.sync(&self.places.sync().unwrap());
            self.places.synced(&page, true);
        }

        fn pull(&mut self, server: &Server) {
            if !self.places.lacking().contains(&log()) {
                return;
            }
            let Some(first) = server.joined else { return self.places.give_up(&log()) };
            self.places.skip_to(&log(), first);
            let after = self.places.at(&log()).unwrap();
            for seq in after + 1..=server.head().min(after + 3) {
                self.offer((seq, server.log[seq as usize - 1]));
            }
            self.places.saw_head(&log(), server.head());
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_lost_and_however_often_one_leaves_each_entry_comes_once_and_in_order(
            steps in proptest::collection::vec(0u8..10, 0..200),
        ) {
            let mut server = Server::default();
            let mut device = Device { places: Places::new(None), must_sync: false, seen: vec![] };
            device.places.synced(&page("a", 0, &[]), true);
            for step in steps {
                let pushed = match step {
                    0..=3 => server.append(Change::None),
                    4 if server.is_member() => server.append(Change::Ends),
                    4 => server.append(Change::Begins),
                    _ => None,
                };
                match (step, pushed) {
                    (5, _) => server.is_behind = true,
                    (6, _) => device.sync(&mut server),
                    (7, _) => device.pull(&server),
                    (8, _) => device.take(),
                    // The process ends: what was taken is kept, what was held is gone, and it logs in again.
                    (9, _) => {
                        device.places = Places::new(device.places.position());
                        device.sync(&mut server);
                    }
                    (_, Some(entry)) => device.offer(entry),
                    (_, None) => {}
                }
            }
            device.sync(&mut server);
            for _ in 0..200 {
                device.take();
                device.pull(&server);
                if std::mem::take(&mut device.must_sync) {
                    device.sync(&mut server);
                }
            }

            let seen = device.seen;
            proptest::prop_assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
            if let (true, Some(first)) = (server.is_member(), server.joined) {
                let now: Vec<u64> = seen.into_iter().filter(|seq| *seq >= first).collect();
                proptest::prop_assert_eq!(now, (first..=server.head()).collect::<Vec<_>>());
            }
        }
    }
}
