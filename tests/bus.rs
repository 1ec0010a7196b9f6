//! Letters between nodes, over a real PostgreSQL and a real Redis, while these go away and come back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should end"
)]

mod common;
#[path = "bus/faults.rs"]
mod faults;
#[path = "bus/world.rs"]
mod world;

use bytes::Bytes;
use common::postgres::Postgres;
use common::redis::Redis;
use futures_util::future::join;
use rookery::cluster::bus::envelope::{ClusterKey, Content, Envelope};
use rookery::cluster::bus::{Arrived, Carrier};
use rookery::ids::UnixMs;
use rookery::limits;

use world::{World, letter, now, number_of, run};

/// The same promises, whoever carries.
macro_rules! by_each_carrier {
    ($($test:ident),* $(,)?) => {
        mod by_redis {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::World::with_redis().await).await;
            })*
        }
        mod by_postgres {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::World::without_redis().await).await;
            })*
        }
    };
}

by_each_carrier!(
    letters_arrive_once_and_in_order_in_both_directions,
    a_lost_last_letter_shows_with_the_next_beat,
    large_letters_arrive_whole_between_small_ones,
    what_finds_no_room_is_told_as_a_gap,
    what_nobody_of_the_cluster_sent_or_what_is_late_is_refused_and_counted,
    a_node_that_left_and_came_back_is_not_counted_anew,
    what_was_sent_before_the_end_still_arrives,
);

async fn letters_arrive_once_and_in_order_in_both_directions(world: World) {
    const LETTERS: u64 = 3000;
    let (mut one, mut two) = world.pair().await;

    for number in 1..=LETTERS {
        assert!(one.bus.send(two.run, letter(number)));
        assert!(two.bus.send(one.run, letter(number)));
    }

    let all: Vec<u64> = (1..=LETTERS).collect();
    assert_eq!(join(one.numbers(LETTERS), two.numbers(LETTERS)).await, (all.clone(), all));
}

async fn a_lost_last_letter_shows_with_the_next_beat(world: World) {
    let (one, mut two) = world.pair().await;
    assert!(one.bus.send(two.run, letter(1)));

    assert!(!one.bus.send(two.run, vec![0; limits::BUS_LETTER_BYTES + 1].into()));

    assert_eq!(two.next().await, Arrived::Letter { from: one.run, payload: letter(1) });
    assert_eq!(two.next().await, Arrived::Gap { from: one.run });
}

async fn large_letters_arrive_whole_between_small_ones(world: World) {
    let (one, mut two) = world.pair().await;
    let large: Bytes = (0..limits::BUS_LETTER_BYTES).map(|at| (at % 251) as u8).collect();

    for payload in [letter(1), large.clone(), Bytes::new(), large.clone(), letter(2)] {
        assert!(one.bus.send(two.run, payload.clone()));

        assert!(two.next().await == Arrived::Letter { from: one.run, payload });
    }
}

async fn what_finds_no_room_is_told_as_a_gap(world: World) {
    let (one, mut two) = world.pair().await;
    let held_up = world.hold_everything_up().await;

    let mut taken = 0;
    while one.bus.send(two.run, letter(taken + 1)) {
        taken += 1;
    }
    assert!(taken >= limits::BUS_QUEUE as u64);
    held_up.let_go().await;

    // What waited too long is a gap as well; a letter that was refused is always one.
    let mut last = 0;
    loop {
        match two.next().await {
            Arrived::Letter { payload, .. } => {
                assert!(number_of(&payload) > last && number_of(&payload) <= taken);
                last = number_of(&payload);
            }
            Arrived::Gap { .. } if last == taken => break,
            Arrived::Gap { .. } => {}
        }
    }
    assert!(one.bus.send(two.run, letter(taken + 2)));
    assert_eq!(two.numbers(1).await, [taken + 2]);
}

async fn what_nobody_of_the_cluster_sent_or_what_is_late_is_refused_and_counted(world: World) {
    let counted = world::metrics();
    let mut two = world.start(run(2, 1)).await;
    let key = ClusterKey::new(world.cluster_key().await);
    let envelope = |number| Envelope {
        from: run(9, 1),
        to: two.run,
        number,
        deadline: UnixMs::new(now().get() + 5_000),
        content: Content::Letter(letter(number)),
    };
    let mut another_version = key.seal(&envelope(1)).to_vec();
    another_version[0] = 77;
    let mut changed = key.seal(&envelope(1)).to_vec();
    *changed.last_mut().unwrap() ^= 1;

    for (why, raw) in [
        ("malformed", Bytes::from_static(b"hello")),
        ("malformed", Bytes::new()),
        ("version", another_version.into()),
        ("forged", changed.into()),
        ("forged", ClusterKey::new([1; 32]).seal(&envelope(1))),
        ("misaddressed", key.seal(&Envelope { to: run(2, 2), ..envelope(1) })),
        ("late", key.seal(&Envelope { deadline: UnixMs::new(now().get() - 1), ..envelope(1) })),
    ] {
        let before = counted(why);
        world.slip_in(two.run, &raw).await;
        world.slip_in(two.run, &key.seal(&envelope(1))).await;
        world::until("it is counted", || (counted(why) > before).then_some(())).await;
    }
    let before = counted("repeat");
    world.slip_in(two.run, &key.seal(&envelope(1))).await;
    world::until("it is counted", || (counted("repeat") > before).then_some(())).await;
    world.slip_in(two.run, &key.seal(&envelope(3))).await;

    let from = run(9, 1);
    assert_eq!(two.next().await, Arrived::Letter { from, payload: letter(1) });
    assert_eq!(two.next().await, Arrived::Gap { from });
    assert_eq!(two.next().await, Arrived::Letter { from, payload: letter(3) });
}

async fn a_node_that_left_and_came_back_is_not_counted_anew(world: World) {
    let (one, mut two) = world.pair().await;
    assert!(one.bus.send(two.run, letter(1)));
    assert_eq!(two.numbers(1).await, [1]);

    one.bus.set_peers(&[]);
    one.bus.set_peers(&[two.run]);
    assert!(one.bus.send(two.run, letter(2)));

    assert_eq!(two.numbers(1).await, [2]);
}

async fn what_was_sent_before_the_end_still_arrives(world: World) {
    let (one, mut two) = world.pair().await;
    for number in 1..=100 {
        assert!(one.bus.send(two.run, letter(number)));
    }

    one.stop.cancel();

    assert_eq!(two.numbers(100).await, (1..=100).collect::<Vec<_>>());
}

#[tokio::test]
async fn two_clusters_share_a_redis_and_hear_nothing_of_each_other() {
    let redis = Redis::start().await;
    let ours = World::on(Postgres::start(&[]).await, Some(redis.url())).await;
    let theirs = World::on(Postgres::start(&[]).await, Some(redis.url())).await;
    let (one, mut two) = ours.pair().await;
    let (their_one, mut their_two) = theirs.pair().await;

    assert!(one.bus.send(two.run, letter(1)));
    assert_eq!(two.numbers(1).await, [1]);
    assert!(their_one.bus.send(their_two.run, letter(2)));

    assert_eq!(their_two.numbers(1).await, [2]);
    assert!(one.bus.send(two.run, letter(3)));
    assert_eq!(two.numbers(1).await, [3]);
}

#[tokio::test]
async fn a_redis_that_is_not_there_does_not_keep_a_node_from_starting() {
    let world = World::on(Postgres::start(&[]).await, Some("redis://127.0.0.1:1".to_owned())).await;
    let (one, mut two) = (world.start(run(1, 1)).await, world.start(run(2, 1)).await);

    assert!(one.bus.send(two.run, letter(1)));

    assert_eq!(two.numbers(1).await, [1]);
    assert_eq!(*one.bus.carrier().borrow(), Carrier::Postgres { redis_is_set: true });
}

#[tokio::test]
async fn an_address_of_redis_that_cannot_be_read_is_refused_and_not_repeated() {
    let world = World::on(Postgres::start(&[]).await, None).await;

    for url in ["http://app:hunter2@127.0.0.1", "rediss://app:hunter2@127.0.0.1", "nothing"] {
        let error = world.try_start(run(1, 1), Some(url.to_owned())).await.unwrap_err();

        assert!(error.to_string().contains("redis.url"), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
