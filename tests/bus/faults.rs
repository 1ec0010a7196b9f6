//! Redis and PostgreSQL go away in the middle of a flow of letters: what did not arrive was told, and it heals by itself.

use std::time::{Duration, Instant};

use rookery::cluster::bus::{Arrived, Carrier};

use super::world::{End, World, letter, number_of, run};

const FAILED: Carrier = Carrier::Postgres { redis_is_set: true };
/// From the end of a fault until Redis carries again.
const HEALS_WITHIN: Duration = Duration::from_secs(15);

/// A flow before, in and after a fault. Letters go out the whole time, and none is missing untold.
struct Flow {
    one: End,
    two: End,
    told: Told,
    sent: u64,
}

impl Flow {
    async fn begin(world: &World) -> Self {
        let (one, two) = world.pair().await;
        let mut flow = Self { one, two, told: Told::default(), sent: 0 };
        flow.go_on(500).await;
        flow
    }

    async fn go_on(&mut self, letters: u64) {
        for _ in 0..letters {
            self.sent += 1;
            // Without room it is missing like any other.
            self.one.bus.send(self.two.run, letter(self.sent));
            self.told.take_what_is_there(&mut self.two);
        }
    }

    /// Goes on slowly until another one carries.
    async fn until_carried_by(&mut self, carrier: Carrier) {
        let carriers = self.one.bus.carrier();
        let since = Instant::now();
        while *carriers.borrow() != carrier {
            self.go_on(1).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert!(since.elapsed() < HEALS_WITHIN, "{carrier:?} does not carry");
        }
    }

    /// Waits until all that was sent arrived or was told as missing.
    async fn settle(&mut self) {
        let fence = self.sent + 1;
        self.sent = fence;
        assert!(self.one.bus.send(self.two.run, letter(fence)));
        while self.told.last < fence {
            let arrived = self.two.next().await;
            // The fence itself may be lost: then it is told, and another one is sent.
            let is_gap = matches!(arrived, Arrived::Gap { .. });
            self.told.take(&arrived);
            if is_gap && self.told.last < fence {
                self.sent += 1;
                assert!(self.one.bus.send(self.two.run, letter(self.sent)));
            }
        }
    }

    /// After a fault: all is accounted for, Redis carries, and nothing is missing from then on.
    async fn has_healed(mut self) {
        self.until_carried_by(Carrier::Redis).await;
        self.settle().await;
        let gaps = self.told.gaps;
        self.go_on(1000).await;
        self.settle().await;
        assert_eq!(self.told.gaps, gaps, "nothing is lost while nothing is broken");
        assert!(self.told.letters > 1500, "{:?}", self.told);
    }
}

/// What a receiver was told of a flow, and whether that is the truth.
#[derive(Debug, Default)]
struct Told {
    last: u64,
    letters: u64,
    gaps: u64,
    is_after_gap: bool,
}

impl Told {
    fn take(&mut self, arrived: &Arrived) {
        match arrived {
            Arrived::Gap { .. } => {
                self.gaps += 1;
                self.is_after_gap = true;
            }
            Arrived::Letter { payload, .. } => {
                let number = number_of(payload);
                assert!(number > self.last, "{number} after {}", self.last);
                if number > self.last + 1 {
                    assert!(self.is_after_gap, "{} to {number} are missing untold", self.last);
                }
                (self.last, self.is_after_gap) = (number, false);
                self.letters += 1;
            }
        }
    }

    fn take_what_is_there(&mut self, end: &mut End) {
        while let Ok(arrived) = end.arrived.try_recv() {
            self.take(&arrived);
        }
    }
}

#[tokio::test]
async fn nothing_is_missing_untold_when_redis_is_killed() {
    let mut world = World::with_redis().await;
    let mut flow = Flow::begin(&world).await;

    let redis = world.redis.as_mut().unwrap();
    redis.kill().await;
    flow.until_carried_by(FAILED).await;
    flow.settle().await;
    flow.go_on(500).await;
    redis.start_again().await;

    flow.has_healed().await;
}

#[tokio::test]
async fn nothing_is_missing_untold_when_redis_is_frozen() {
    let world = World::with_redis().await;
    let mut flow = Flow::begin(&world).await;

    let redis = world.redis.as_ref().unwrap();
    redis.pause();
    flow.until_carried_by(FAILED).await;
    flow.go_on(500).await;
    flow.settle().await;
    redis.resume();

    flow.has_healed().await;
}

#[tokio::test]
async fn nothing_is_missing_untold_when_redis_is_emptied() {
    let world = World::with_redis().await;
    let mut flow = Flow::begin(&world).await;

    for _ in 0..5 {
        flow.go_on(200).await;
        world.redis.as_ref().unwrap().flush().await;
    }
    flow.settle().await;

    assert_eq!(*flow.one.bus.carrier().borrow(), Carrier::Redis);
    flow.has_healed().await;
}

#[tokio::test]
async fn nothing_is_missing_untold_when_redis_has_no_memory_left() {
    let world = World::with_redis().await;
    let mut flow = Flow::begin(&world).await;

    let redis = world.redis.as_ref().unwrap();
    redis.set_max_memory(1).await;
    flow.until_carried_by(FAILED).await;
    flow.go_on(500).await;
    flow.settle().await;
    redis.set_max_memory(0).await;

    flow.has_healed().await;
}

#[tokio::test]
async fn nothing_is_missing_untold_when_redis_is_killed_and_there_again_at_once() {
    let mut world = World::with_redis().await;
    let mut flow = Flow::begin(&world).await;

    for _ in 0..3 {
        let redis = world.redis.as_mut().unwrap();
        redis.kill().await;
        redis.start_again().await;
        flow.go_on(300).await;
    }

    flow.has_healed().await;
}

#[tokio::test]
async fn a_redis_that_nobody_needs_is_missed_all_the_same() {
    let mut world = World::with_redis().await;
    let alone = world.start(run(1, 1)).await;
    alone.carried_by(Carrier::Redis).await;

    world.redis.as_mut().unwrap().kill().await;
    alone.carried_by(FAILED).await;
    world.redis.as_mut().unwrap().start_again().await;

    alone.carried_by(Carrier::Redis).await;
}

#[tokio::test]
async fn nothing_is_missing_untold_when_postgresql_is_started_again() {
    let mut world = World::without_redis().await;
    let mut flow = Flow::begin(&world).await;

    world.postgres.pause().await;
    flow.go_on(300).await;
    world.postgres.start_again().await;

    flow.settle().await;
    let gaps = flow.told.gaps;
    flow.go_on(300).await;
    flow.settle().await;
    assert_eq!(flow.told.gaps, gaps);
}

#[tokio::test]
async fn nothing_is_missing_untold_when_connections_are_ended() {
    let world = World::without_redis().await;
    let mut flow = Flow::begin(&world).await;
    let client = world.postgres.connect().await;

    for _ in 0..5 {
        flow.go_on(200).await;
        let end =
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()";
        client.query(end, &[]).await.unwrap();
    }

    flow.settle().await;
}

#[tokio::test]
async fn frozen_listener_does_not_block_notify() {
    const ROUNDS: u64 = 300;
    let world = World::without_redis().await;
    let frozen = run(3, 1);
    let config: tokio_postgres::Config = world.postgres.url().parse().unwrap();
    let (client, mut connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    let listening = client.query("select bus_listen(3, 1)", &[]);
    tokio::select! {
        listening = listening => drop(listening.unwrap()),
        _ = &mut connection => panic!("it goes on"),
    }
    // From here on nobody polls the connection.
    let (one, mut two) = world.pair().await;

    for number in 1..=ROUNDS {
        assert!(one.bus.send(frozen, letter(number)));
        assert!(one.bus.send(two.run, letter(number)));
        assert_eq!(two.numbers(1).await, [number]);
    }

    drop((client, connection));
}
