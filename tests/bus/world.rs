//! Ends of the bus on one database, with or without a Redis, and ways to meddle with what is between them.

use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use deadpool_postgres::Pool;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use rookery::cluster::bus::envelope::ClusterKey;
use rookery::cluster::bus::{Arrived, Bus, BusSettings, Carrier};
use rookery::ids::{Incarnation, NodeId, NodeRun, UnixMs};
use rookery::store::connect::{Connector, MessageLoss};
use rookery::store::{StoreError, bus, migrate};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::common::GIVE_UP_AFTER;
use super::common::postgres::Postgres;
use super::common::redis::Redis;

/// A database, and perhaps a Redis.
pub struct World {
    pub postgres: Postgres,
    pub redis: Option<Redis>,
    redis_url: Option<String>,
    pub connector: Connector,
    pool: Pool,
}

/// One node's end.
#[derive(Debug)]
pub struct End {
    pub run: NodeRun,
    pub bus: Arc<Bus>,
    pub arrived: mpsc::Receiver<Arrived>,
    pub stop: CancellationToken,
}

/// Nothing is carried until it is let go.
pub struct HeldUp<'a> {
    world: &'a World,
    locked: tokio_postgres::Client,
}

impl World {
    pub async fn with_redis() -> Self {
        let redis = Redis::start().await;
        let world = Self::on(Postgres::start(&[]).await, Some(redis.url())).await;
        Self { redis: Some(redis), ..world }
    }

    pub async fn without_redis() -> Self {
        Self::on(Postgres::start(&[]).await, None).await
    }

    pub async fn on(postgres: Postgres, redis_url: Option<String>) -> Self {
        let connector =
            Connector::from_url(&postgres.url(), "rookery:bus", MessageLoss::Refuse).unwrap();
        migrate::run(&mut connector.open().await.unwrap()).await.unwrap();
        let pool = connector.pool(4).unwrap();
        Self { postgres, redis: None, redis_url, connector, pool }
    }

    /// Nodes 1 and 2, who know each other, once who shall carry does.
    pub async fn pair(&self) -> (End, End) {
        let (one, two) =
            futures_util::future::join(self.start(run(1, 1)), self.start(run(2, 1))).await;
        for end in [&one, &two] {
            end.bus.set_peers(&[one.run, two.run]);
            if self.redis_url.is_some() {
                end.carried_by(Carrier::Redis).await;
            }
        }
        (one, two)
    }

    pub async fn start(&self, run: NodeRun) -> End {
        self.try_start(run, self.redis_url.clone()).await.unwrap()
    }

    pub async fn try_start(
        &self,
        run: NodeRun,
        redis_url: Option<String>,
    ) -> Result<End, StoreError> {
        let settings = BusSettings {
            pool: self.pool.clone(),
            connector: self.connector.clone(),
            redis_url,
            now: Arc::new(now),
        };
        let stop = CancellationToken::new();
        let (bus, arrived) = Bus::start(run, settings, stop.clone()).await?;
        Ok(End { run, bus, arrived, stop })
    }

    /// The key that the nodes of this world share.
    pub async fn cluster_key(&self) -> [u8; 32] {
        bus::cluster_key(&self.pool, [0; 32]).await.unwrap()
    }

    /// Puts bytes where a node reads, past all other nodes.
    pub async fn slip_in(&self, to: NodeRun, raw: &[u8]) {
        if let Some(url) = &self.redis_url {
            let prefix = ClusterKey::new(self.cluster_key().await).prefix();
            let client = redis::Client::open(url.as_str()).unwrap();
            let mut connection = client.get_multiplexed_async_connection().await.unwrap();
            let mut adding = redis::cmd("XADD");
            adding.arg(format!("{prefix}:bus:{to}")).arg("*").arg("e").arg(raw);
            adding.exec_async(&mut connection).await.unwrap();
        } else {
            let outgoing = bus::Outgoing::open(&self.connector).await.unwrap();
            outgoing.put(&[to], &[raw]).await.unwrap();
            outgoing.wake(&[to]).await.unwrap();
        }
    }

    /// Keeps both carriers from carrying, as if they were very slow.
    pub async fn hold_everything_up(&self) -> HeldUp<'_> {
        if let Some(redis) = &self.redis {
            redis.pause();
        }
        let locked = self.postgres.connect().await;
        locked.batch_execute("begin; lock table bus_envelopes").await.unwrap();
        HeldUp { world: self, locked }
    }
}

impl HeldUp<'_> {
    pub async fn let_go(self) {
        self.locked.batch_execute("commit").await.unwrap();
        if let Some(redis) = &self.world.redis {
            redis.resume();
        }
    }
}

impl End {
    pub async fn next(&mut self) -> Arrived {
        timeout(GIVE_UP_AFTER, self.arrived.recv())
            .await
            .expect("something arrives")
            .expect("the bus runs")
    }

    /// The numbers of the next letters; a gap is none of them.
    pub async fn numbers(&mut self, letters: u64) -> Vec<u64> {
        let mut numbers = Vec::new();
        while (numbers.len() as u64) < letters {
            match self.next().await {
                Arrived::Letter { payload, .. } => numbers.push(number_of(&payload)),
                gap @ Arrived::Gap { .. } => panic!("{gap:?} after {numbers:?}"),
            }
        }
        numbers
    }

    pub async fn carried_by(&self, carrier: Carrier) {
        let mut carriers = self.bus.carrier();
        let waited = timeout(GIVE_UP_AFTER, carriers.wait_for(|now| *now == carrier)).await;
        waited.expect("the carrier changes").expect("the bus runs");
    }
}

pub fn run(node: i64, incarnation: i64) -> NodeRun {
    NodeRun { node: NodeId::from_store(node), incarnation: Incarnation::from_store(incarnation) }
}

pub fn letter(number: u64) -> Bytes {
    number.to_be_bytes().to_vec().into()
}

pub fn number_of(payload: &Bytes) -> u64 {
    u64::from_be_bytes(payload[..].try_into().unwrap())
}

pub fn now() -> UnixMs {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    UnixMs::new(since.as_millis().try_into().unwrap())
}

/// How many envelopes were refused in this process, by reason.
pub fn metrics() -> impl Fn(&str) -> u64 {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    let handle = RECORDER.get_or_init(|| PrometheusBuilder::new().install_recorder().unwrap());
    |why| {
        let line = format!("rookery_bus_refused_total{{why=\"{why}\"}} ");
        let text = handle.render();
        text.lines().find_map(|text| text.strip_prefix(&line)).map_or(0, |n| n.parse().unwrap())
    }
}

/// Looks until something is so that nobody tells of.
pub async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(since.elapsed() < GIVE_UP_AFTER, "gave up waiting: {what}");
        sleep(std::time::Duration::from_millis(5)).await;
    }
}
