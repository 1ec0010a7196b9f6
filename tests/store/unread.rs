//! What a user sees of conversations (which, in what order, from where to where, how much of it unread) is what counting the
//! slow way gives, whatever was sent, read, joined and left before.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rookery::domain::policy::{History, Kind};
use rookery::domain::sends::Pair;
use rookery::ids::{AppId, ConversationNo, Seq, UserNo};
use rookery::store::conversations::{self, ListPlace, Listed};
use rookery::store::cursors::{CursorKey, CursorWriter, Cursors};
use rookery::store::group_changes::GroupChanged;
use rookery::store::pairs::From;
use rookery::store::writer::Writer;
use rookery::store::{groups, users};

use super::base::{Base, id, stored as stored_pairs};
use super::group_base::{Change, Group, own_all_shards, stored};

const CASES: u32 = 256;
const STEPS: usize = 60;
const USERS: usize = 4;
const KINDS: [Kind; 3] = [Kind::Work, Kind::Meeting, Kind::Work];

/// One thing that happens. Numbers beyond what there is wrap around; what is not allowed is left out.
#[derive(Debug, Clone, Copy)]
enum Step {
    Send { user: usize, group: usize, count: usize },
    Rename { user: usize, group: usize },
    Read { user: usize, group: usize, seq: u64 },
    Add { user: usize, group: usize },
    Leave { user: usize, group: usize },
    Dissolve { group: usize },
    SendTo { user: usize, peer: usize },
    ReadOf { user: usize, peer: usize, seq: u64 },
    Look { a_page: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let (user, group) = (0..USERS, 0..KINDS.len());
    let both = (user.clone(), group.clone());
    let pair = (user.clone(), user);
    // Beyond the head too, and now and then far beyond.
    let seq = prop_oneof![9 => 0..30u64, 1 => Just(u64::MAX)];
    prop_oneof![
        6 => (both.clone(), 1..4usize).prop_map(|((user, group), count)| Step::Send { user, group, count }),
        1 => both.clone().prop_map(|(user, group)| Step::Rename { user, group }),
        4 => (both.clone(), seq.clone()).prop_map(|((user, group), seq)| Step::Read { user, group, seq }),
        4 => both.clone().prop_map(|(user, group)| Step::Add { user, group }),
        3 => both.prop_map(|(user, group)| Step::Leave { user, group }),
        1 => group.prop_map(|group| Step::Dissolve { group }),
        3 => pair.clone().prop_map(|(user, peer)| Step::SendTo { user, peer }),
        2 => (pair, seq).prop_map(|((user, peer), seq)| Step::ReadOf { user, peer, seq }),
        2 => (1..6usize).prop_map(|a_page| Step::Look { a_page }),
    ]
}

/// An entry of a log, and when it was written.
#[derive(Clone, Copy)]
struct Entry {
    sender: usize,
    is_message: bool,
    at: u64,
}

/// A membership as the notices tell it, in seqs.
#[derive(Clone, Copy)]
struct Member {
    join: u64,
    left: Option<u64>,
    min: u64,
}

/// A group, kept the slow way.
#[derive(Default)]
struct NaiveGroup {
    log: Vec<Entry>,
    owner: Option<usize>,
    members: BTreeMap<usize, Member>,
    read: BTreeMap<usize, u64>,
}

impl NaiveGroup {
    fn is_member(&self, user: usize) -> bool {
        self.members.get(&user).is_some_and(|member| member.left.is_none())
    }

    fn head_of(&self, member: Member) -> u64 {
        member.left.unwrap_or(self.log.len() as u64)
    }

    /// The entries that a user may see.
    fn visible(&self, user: usize) -> impl Iterator<Item = (u64, &Entry)> {
        let member = self.members[&user];
        (1..)
            .zip(&self.log)
            .filter(move |(seq, _)| (member.min..=self.head_of(member)).contains(seq))
    }

    fn unread(&self, user: usize) -> u64 {
        let floor = self.read_of(user).max(self.members[&user].join - 1);
        let unread =
            |(seq, entry): &(u64, &Entry)| *seq > floor && entry.is_message && entry.sender != user;
        self.visible(user).filter(unread).count() as u64
    }

    fn read_of(&self, user: usize) -> u64 {
        self.read.get(&user).copied().unwrap_or_default()
    }

    /// Who follows the owner: the one who joined first.
    fn senior(&self, users: &[UserNo], leaver: usize) -> Option<usize> {
        let others =
            self.members.iter().filter(|(user, member)| **user != leaver && member.left.is_none());
        others.min_by_key(|(user, member)| (member.join, users[**user])).map(|(user, _)| *user)
    }
}

/// A pair, kept the slow way.
#[derive(Default)]
struct NaivePair {
    log: Vec<Entry>,
    read: BTreeMap<usize, u64>,
}

/// A row of the list, as both sides tell it.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    name: String,
    head: u64,
    unread: u64,
    read: u64,
    left: bool,
    min_seq: u64,
}

/// One case: the store and the slow way side by side.
struct World<'a> {
    base: &'a Base,
    writer: &'a Writer,
    cursors: &'a CursorWriter,
    users: Vec<UserNo>,
    names: Vec<String>,
    groups: Vec<(Group, NaiveGroup)>,
    /// By the two users, the lower first.
    pairs: BTreeMap<(usize, usize), (Option<ConversationNo>, NaivePair)>,
    clock: u64,
}

impl<'a> World<'a> {
    async fn begin(
        base: &'a Base,
        writer: &'a Writer,
        cursors: &'a CursorWriter,
        case: u32,
    ) -> Self {
        let names: Vec<String> = (0..USERS).map(|user| format!("case{case}-user{user}")).collect();
        let mut users = Vec::new();
        for name in &names {
            users.push(users::open(&base.pool, AppId::DEFAULT, &id(name)).await.unwrap());
        }
        let mut world = Self {
            base,
            writer,
            cursors,
            users,
            names,
            groups: Vec::new(),
            pairs: BTreeMap::new(),
            clock: 0,
        };
        for (n, kind) in KINDS.into_iter().enumerate() {
            let name = format!("case{case}-group{n}");
            let owner = world.users[0];
            let group = Group::create(base, writer, &name, kind, owner, &[]).await;
            let mut naive = NaiveGroup { owner: Some(0), ..NaiveGroup::default() };
            let at = world.tick();
            naive.log.push(Entry { sender: 0, is_message: false, at });
            naive.members.insert(0, Member { join: 1, left: None, min: 1 });
            world.groups.push((group, naive));
        }
        world
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Send { user, group, count } => self.send(user, group, count).await,
            Step::Rename { user, group } => {
                if self.groups[group].1.is_member(user) {
                    self.change(user, group, |by| Change { name: Some("Other"), ..by }).await;
                }
            }
            Step::Read { user, group, seq } => self.read(user, group, seq).await,
            Step::Add { user, group } => self.add(user, group).await,
            Step::Leave { user, group } => self.leave(user, group).await,
            Step::Dissolve { group } => {
                if let Some(owner) = self.groups[group].1.owner {
                    self.dissolve(owner, group).await;
                }
            }
            Step::SendTo { user, peer } => self.send_to(user, peer).await,
            Step::ReadOf { user, peer, seq } => self.read_of(user, peer, seq).await,
            Step::Look { a_page } => self.look(a_page).await,
        }
    }

    async fn send(&mut self, user: usize, group: usize, count: usize) {
        if !self.groups[group].1.is_member(user) {
            return;
        }
        let (no, mut posts) = (self.users[user], Vec::new());
        for _ in 0..count {
            let at = self.tick();
            let (held, naive) = &mut self.groups[group];
            posts.push(held.post(self.base, no));
            naive.log.push(Entry { sender: user, is_message: true, at });
        }
        stored(self.writer, &posts).await;
    }

    /// Commits a notice; the seq that it got.
    async fn change<'b>(
        &mut self,
        user: usize,
        group: usize,
        what: impl FnOnce(Change<'b>) -> Change<'b>,
    ) -> u64 {
        let at = self.tick();
        let change = what(Change::by(self.users[user]));
        let (held, naive) = &mut self.groups[group];
        let outcome = held.change(self.base, self.writer, change).await;
        assert_eq!(outcome, GroupChanged::Stored);
        naive.log.push(Entry { sender: user, is_message: false, at });
        held.head
    }

    async fn add(&mut self, user: usize, group: usize) {
        let (held, naive) = &self.groups[group];
        let Some(owner) = naive.owner else { return };
        if naive.is_member(user) {
            return;
        }
        let history = held.kind.policy().history;
        let no = [self.users[user]];
        let join = self.change(owner, group, |by| Change { add: &no, ..by }).await;
        let min = if history == History::Whole { 1 } else { join };
        self.groups[group].1.members.insert(user, Member { join, left: None, min });
    }

    async fn leave(&mut self, user: usize, group: usize) {
        let (held, naive) = &self.groups[group];
        if !naive.is_member(user) {
            return;
        }
        let (no, mut owner) = ([self.users[user]], None);
        if naive.owner == Some(user) {
            if held.kind == Kind::Meeting {
                return;
            }
            owner = naive.senior(&self.users, user);
            if owner.is_none() {
                return self.dissolve(user, group).await;
            }
        }
        let follower = owner.map(|user| self.users[user]);
        let what = |by| Change { remove: &no, owner: follower, ..by };
        let left = self.change(user, group, what).await;
        let naive = &mut self.groups[group].1;
        naive.owner = owner.or(naive.owner);
        naive.members.get_mut(&user).unwrap().left = Some(left);
    }

    async fn dissolve(&mut self, owner: usize, group: usize) {
        let left = self.change(owner, group, |by| Change { dissolve: true, ..by }).await;
        let naive = &mut self.groups[group].1;
        naive.owner = None;
        for member in naive.members.values_mut() {
            member.left = member.left.or(Some(left));
        }
    }

    async fn read(&mut self, user: usize, group: usize, seq: u64) {
        let (held, naive) = &mut self.groups[group];
        let key = CursorKey { owner: self.users[user], conversation: held.no };
        let raised = self.cursors.raise_groups(&[(key, Seq::new(seq))]).await.unwrap();

        let Some(member) = naive.members.get(&user) else {
            return assert_eq!(raised, []);
        };
        let before = naive.read_of(user);
        let after = before.max(seq.min(naive.head_of(*member)));
        naive.read.insert(user, after);
        assert_eq!((raised[0].before.get(), raised[0].after.get()), (before, after));
    }

    async fn pair(&mut self, user: usize, peer: usize) -> Pair {
        let pair = self.base.pair(self.users[user], &self.names[peer]).await;
        let sides = (user.min(peer), user.max(peer));
        self.pairs.entry(sides).or_default().0 = Some(pair.no);
        pair
    }

    async fn send_to(&mut self, user: usize, peer: usize) {
        let pair = self.pair(user, peer).await;
        let row = self.base.row(self.users[user], pair);
        stored_pairs(self.writer, &[row]).await;
        let at = self.tick();
        let naive = &mut self.pairs.get_mut(&(user.min(peer), user.max(peer))).unwrap().1;
        naive.log.push(Entry { sender: user, is_message: true, at });
    }

    async fn read_of(&mut self, user: usize, peer: usize, seq: u64) {
        let pair = self.pair(user, peer).await;
        let key = CursorKey { owner: self.users[user], conversation: pair.no };
        let wanted = Cursors { read: Seq::new(seq), ..Cursors::default() };
        self.cursors.raise(&[(key, wanted)]).await.unwrap();
        let naive = &mut self.pairs.get_mut(&(user.min(peer), user.max(peer))).unwrap().1;
        let read = naive.read.entry(user).or_default();
        *read = (*read).max(seq.min(naive.log.len() as u64));
    }

    /// Compares what everyone sees.
    async fn look(&self, a_page: usize) {
        for user in 0..USERS {
            assert_eq!(self.listed(user, a_page).await, self.expected(user), "the list of {user}");
            self.look_at_heads(user, a_page).await;
            for (held, naive) in &self.groups {
                if naive.members.contains_key(&user) {
                    self.look_at_log(user, held, naive).await;
                }
            }
        }
    }

    async fn listed(&self, user: usize, a_page: usize) -> Vec<Row> {
        let (mut rows, mut after) = (Vec::new(), ListPlace::START);
        loop {
            let page = conversations::list(&self.base.pool, self.users[user], after, a_page);
            let page = page.await.unwrap();
            let ended = page.len() < a_page;
            after = page.last().map_or(after, Listed::place);
            rows.extend(page.into_iter().map(|listed| match listed {
                Listed::Pair(pair) => Row {
                    name: pair.last.peer.to_string(),
                    head: pair.last.seq.get(),
                    unread: pair.unread,
                    read: pair.read.get(),
                    left: false,
                    min_seq: 1,
                },
                Listed::Group(group) => Row {
                    name: group.id.to_string(),
                    head: group.last.seq.get(),
                    unread: group.unread,
                    read: group.read.get(),
                    left: group.left,
                    min_seq: group.min_seq.get(),
                },
            }));
            if ended {
                return rows;
            }
        }
    }

    fn expected(&self, user: usize) -> Vec<Row> {
        let mut rows: Vec<(u64, Row)> = Vec::new();
        for ((low, high), (_, naive)) in &self.pairs {
            let Some(last) = naive.log.last() else { continue };
            if *low != user && *high != user {
                continue;
            }
            let peer = if *low == user { *high } else { *low };
            let read = naive.read.get(&user).copied().unwrap_or_default();
            let unread = naive.log.iter().skip(read as usize).filter(|entry| entry.sender != user);
            let row = Row {
                name: self.names[peer].clone(),
                head: naive.log.len() as u64,
                unread: unread.count() as u64,
                read,
                left: false,
                min_seq: 1,
            };
            rows.push((last.at, row));
        }
        for (held, naive) in &self.groups {
            let Some(member) = naive.members.get(&user) else { continue };
            let (head, last) = naive.visible(user).last().unwrap();
            let row = Row {
                name: held.id.to_string(),
                head,
                unread: if held.kind.policy().counts_unread { naive.unread(user) } else { 0 },
                read: naive.read_of(user),
                left: member.left.is_some(),
                min_seq: member.min,
            };
            rows.push((last.at, row));
        }
        rows.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        rows.into_iter().map(|(_, row)| row).collect()
    }

    /// To a client that named each second group, rightly or wrongly.
    async fn look_at_heads(&self, user: usize, a_page: usize) {
        let seq_named = |n: usize, naive: &NaiveGroup| {
            let behind = a_page as u64 / 4;
            (n % 2 == a_page % 2).then_some((naive.log.len() as u64).saturating_sub(behind))
        };
        let named: Vec<_> = self
            .groups
            .iter()
            .enumerate()
            .filter_map(|(n, (held, naive))| Some((&held.id, Seq::new(seq_named(n, naive)?))))
            .collect();
        let mut expected = Vec::new();
        for (n, (held, naive)) in self.groups.iter().enumerate() {
            let Some(member) = naive.members.get(&user) else { continue };
            let (seq, head) = (seq_named(n, naive), naive.head_of(*member));
            let told = if member.left.is_some() { seq.is_some() } else { seq != Some(head) };
            if told {
                expected.push((held.id.clone(), head, member.min, member.left.is_some()));
            }
        }

        let (mut moved, mut after) = (Vec::new(), ConversationNo::from_store(0));
        loop {
            let page = groups::moved(
                &self.base.pool,
                AppId::DEFAULT,
                self.users[user],
                &named,
                after,
                a_page,
            );
            let page = page.await.unwrap();
            let ended = page.len() < a_page;
            after = page.last().map_or(after, |moved| moved.no);
            moved.extend(
                page.into_iter()
                    .map(|moved| (moved.id, moved.head.get(), moved.min_seq.get(), moved.left)),
            );
            if ended {
                break;
            }
        }

        assert_eq!(moved, expected, "the heads of {user}");
    }

    async fn look_at_log(&self, user: usize, held: &Group, naive: &NaiveGroup) {
        let pool = &self.base.pool;
        let info = groups::info(pool, AppId::DEFAULT, &held.id, self.users[user]).await.unwrap();
        let window = info.unwrap().window().unwrap();
        let entries = groups::history(pool, held.no, window, From::After(Seq::ZERO), 200, 1 << 20);

        let seen: Vec<_> = entries
            .await
            .unwrap()
            .into_iter()
            .map(|entry| (entry.seq.get(), entry.sender_no))
            .collect();
        let visible: Vec<_> =
            naive.visible(user).map(|(seq, entry)| (seq, self.users[entry.sender])).collect();
        assert_eq!(seen, visible, "the log of {} to {user}", held.id);
    }
}

#[test]
fn everyone_sees_what_counting_the_slow_way_gives() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (base, writer, cursors) = runtime.block_on(async {
        let base = Base::start().await;
        own_all_shards(&base).await;
        let writer = base.writer(0).await;
        let cursors = CursorWriter::new(base.connector.open().await.unwrap()).await.unwrap();
        (base, writer, cursors)
    });
    let case = std::cell::Cell::new(0);

    let config = Config { failure_persistence: None, ..Config::with_cases(CASES) };
    let outcome = TestRunner::new(config).run(&prop::collection::vec(step(), 1..STEPS), |steps| {
        case.set(case.get() + 1);
        runtime.block_on(async {
            let mut world = World::begin(&base, &writer, &cursors, case.get()).await;
            for step in steps {
                world.take(step).await;
            }
            world.look(50).await;
        });
        Ok(())
    });

    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    runtime.block_on(async {
        assert_eq!(base.broken().await, []);
        base.postgres.stop().await;
    });
}
