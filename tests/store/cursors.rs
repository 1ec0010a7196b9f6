//! Cursors only rise and never pass the head, and the list of conversations counts what they leave unread.

use std::collections::BTreeMap;

use rookery::domain::sends::Pair;
use rookery::ids::{ConversationNo, Seq, UserNo};
use rookery::store::conversations::{self, ConversationEntry, ListPlace};
use rookery::store::cursors::{CursorKey, CursorWriter, Cursors, Raised};
use rookery::store::pairs::{self, PeerCursors};

use super::base::{Base, Random, stored};

fn cursors(by_device: u64, by_server: u64, read: u64) -> Cursors {
    Cursors { by_device: Seq::new(by_device), by_server: Seq::new(by_server), read: Seq::new(read) }
}

async fn writer(base: &Base) -> CursorWriter {
    CursorWriter::new(base.connector.open().await.unwrap()).await.unwrap()
}

#[tokio::test]
async fn cursors_only_rise_never_pass_the_head_and_read_implies_delivered() {
    let base = Base::start().await;
    let alice = base.user("alice").await;
    base.user("bob").await;
    let pair = base.pair(alice, "bob").await;
    let rows: Vec<_> = (0..5).map(|_| base.row(alice, pair)).collect();
    stored(&base.writer(0).await, &rows).await;
    let writer = writer(&base).await;
    let key = CursorKey { owner: pair.peer, conversation: pair.no };
    let raise = async |wanted| writer.raise(&[(key, wanted)]).await.unwrap();

    for (wanted, expected) in [
        (cursors(2, 0, 0), cursors(2, 0, 0)),
        (cursors(1, 1, 0), cursors(2, 1, 0)),
        (cursors(0, 0, 4), cursors(4, 1, 4)),
        (cursors(0, 0, 3), cursors(4, 1, 4)),
        (cursors(u64::MAX, 9, 9), cursors(5, 5, 5)),
        (cursors(0, 0, 0), cursors(5, 5, 5)),
    ] {
        let raised: [Raised; 1] = raise(wanted).await.try_into().unwrap();
        assert_eq!((raised[0].key, raised[0].peer, raised[0].after), (key, alice, expected));
    }

    let nothing = CursorKey { owner: pair.peer, conversation: ConversationNo::from_store(99) };
    assert_eq!(writer.raise(&[(nothing, cursors(1, 1, 1))]).await.unwrap(), []);
    assert_eq!(base.broken().await, []);
    base.postgres.stop().await;
}

#[tokio::test]
async fn two_that_raise_the_same_cursors_at_once_in_other_orders_lose_nothing() {
    let base = Base::start().await;
    let alice = base.user("alice").await;
    let mut keys = Vec::new();
    let appends = base.writer(0).await;
    for name in ["bob", "carol", "dave"] {
        base.user(name).await;
        let pair = base.pair(alice, name).await;
        let rows: Vec<_> = (0..40).map(|_| base.row(alice, pair)).collect();
        stored(&appends, &rows).await;
        keys.push(CursorKey { owner: pair.peer, conversation: pair.no });
        keys.push(CursorKey { owner: alice, conversation: pair.no });
    }
    let (first, second) = (writer(&base).await, writer(&base).await);
    let all = async |writer: &CursorWriter, seed: u64| {
        let mut random = Random(seed);
        let mut last: BTreeMap<CursorKey, Cursors> = BTreeMap::new();
        for _ in 0..60 {
            let mut wanted: Vec<_> = keys
                .iter()
                .map(|key| (*key, cursors(random.below(42) as u64, 0, random.below(42) as u64)))
                .collect();
            wanted.rotate_left(random.below(keys.len()));
            for raised in writer.raise(&wanted).await.unwrap() {
                let before = last.insert(raised.key, raised.after).unwrap_or_default();
                assert_eq!(raised.before.at_least(before), raised.before, "a cursor fell");
                assert_eq!(raised.after.at_least(raised.before), raised.after, "a cursor fell");
            }
        }
        last
    };

    let (one, other) = tokio::join!(all(&first, 1), all(&second, 2));

    let idle: Vec<_> = keys.iter().map(|key| (*key, Cursors::default())).collect();
    for raised in first.raise(&idle).await.unwrap() {
        assert_eq!(raised.after, one[&raised.key].at_least(other[&raised.key]));
    }
    assert_eq!(base.broken().await, []);
    base.postgres.stop().await;
}

/// What a list must show, counted the slow way.
#[derive(Default)]
struct Naive {
    /// Each pair's log: who sent.
    logs: BTreeMap<ConversationNo, Vec<UserNo>>,
    cursors: BTreeMap<(UserNo, ConversationNo), Cursors>,
    /// Pairs by their last message, the latest last.
    order: Vec<ConversationNo>,
}

impl Naive {
    fn send(&mut self, sender: UserNo, pair: ConversationNo) {
        self.logs.entry(pair).or_default().push(sender);
        self.order.retain(|other| *other != pair);
        self.order.push(pair);
    }

    fn raise(&mut self, owner: UserNo, pair: ConversationNo, wanted: Cursors) {
        let head = Seq::new(self.logs.get(&pair).map_or(0, Vec::len) as u64);
        let capped = Cursors {
            by_device: wanted.by_device.max(wanted.read).min(head),
            by_server: wanted.by_server.min(head),
            read: wanted.read.min(head),
        };
        let held = self.cursors.entry((owner, pair)).or_default();
        *held = held.at_least(capped);
    }

    fn of(&self, owner: UserNo, pair: ConversationNo) -> Cursors {
        self.cursors.get(&(owner, pair)).copied().unwrap_or_default()
    }

    fn unread(&self, owner: UserNo, pair: ConversationNo) -> u64 {
        let read = self.of(owner, pair).read.get() as usize;
        self.logs[&pair].iter().skip(read).filter(|sender| **sender != owner).count() as u64
    }
}

async fn list(base: &Base, owner: UserNo, a_page: usize) -> Vec<ConversationEntry> {
    let mut all: Vec<ConversationEntry> = Vec::new();
    loop {
        let after = all.last().map_or(ListPlace::START, |entry| entry.place);
        let page = conversations::page(&base.pool, owner, after, a_page).await.unwrap();
        let ended = page.len() < a_page;
        all.extend(page);
        if ended {
            return all;
        }
    }
}

#[tokio::test]
async fn the_list_shows_of_each_conversation_what_counting_the_slow_way_gives() {
    let base = Base::start().await;
    let names = ["alice", "bob", "carol"];
    let mut users = Vec::new();
    for name in names {
        users.push(base.user(name).await);
    }
    let mut sides: Vec<(UserNo, Pair)> = Vec::new();
    for user in &users {
        for name in names {
            sides.push((*user, base.pair(*user, name).await));
        }
    }
    let (appends, raises) = (base.writer(0).await, writer(&base).await);
    let mut naive = Naive::default();

    for seed in 0..60 {
        let mut random = Random(seed);
        for _ in 0..1 + random.below(8) {
            let (user, pair) = sides[random.below(sides.len())];
            if random.below(3) > 0 {
                stored(&appends, &[base.row(user, pair)]).await;
                naive.send(user, pair.no);
            } else {
                let some = |random: &mut Random| random.below(30) as u64;
                let wanted = cursors(some(&mut random), some(&mut random), some(&mut random));
                let key = CursorKey { owner: user, conversation: pair.no };
                raises.raise(&[(key, wanted)]).await.unwrap();
                naive.raise(user, pair.no, wanted);
            }
        }
        for owner in &users {
            let shown = list(&base, *owner, 1 + random.below(4)).await;
            let of_owner: Vec<Pair> =
                sides.iter().filter(|(user, _)| user == owner).map(|(_, pair)| *pair).collect();
            let expected: Vec<Pair> = naive
                .order
                .iter()
                .rev()
                .filter_map(|no| of_owner.iter().find(|pair| pair.no == *no).copied())
                .collect();
            assert_eq!(
                shown.iter().map(|entry| entry.place.no).collect::<Vec<_>>(),
                expected.iter().map(|pair| pair.no).collect::<Vec<_>>()
            );
            for (entry, pair) in shown.iter().zip(expected) {
                let own = naive.of(*owner, pair.no);
                assert_eq!(entry.unread, naive.unread(*owner, pair.no), "seed {seed}");
                assert_eq!(entry.last.seq.get(), naive.logs[&pair.no].len() as u64);
                assert_eq!(
                    (entry.read, entry.delivered),
                    (own.read, own.by_device.max(own.by_server))
                );
                let peer = (pair.peer != *owner).then(|| {
                    let Cursors { by_device, by_server, read } = naive.of(pair.peer, pair.no);
                    PeerCursors { by_device, by_server, read }
                });
                assert_eq!(entry.peer, peer);
                let (head, state) = pairs::state(&base.pool, *owner, pair.no).await.unwrap();
                assert_eq!((head, state), (entry.last.seq, peer));
            }
        }
    }
    assert_eq!(base.broken().await, []);
    base.postgres.stop().await;
}
