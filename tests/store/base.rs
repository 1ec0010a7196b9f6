//! A migrated database with users and pairs, and what must hold in it at any time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use deadpool_postgres::Pool;
use rookery::domain::journal::{Life, Placed, Row, Target};
use rookery::domain::sends::Pair;
use rookery::domain::snowflake::Snowflakes;
use rookery::ids::{
    AppId, ClientMsgId, DeviceId, Incarnation, LoginNo, MessageId, NodeId, Platform, UnixMs,
    UserId, UserNo,
};
use rookery::store::connect::{Connector, MessageLoss};
use rookery::store::logins::{self, Ask, Entered, Entering, Facts};
use rookery::store::pairs::{self, AppendOutcome};
use rookery::store::writer::Writer;
use rookery::store::{StoreError, apps, dedup, migrate};

use super::common::postgres::Postgres;

pub const NODE: NodeId = NodeId::from_store(7);
pub const WINDOW_DAYS: u32 = 7;
pub const DAY_MS: i64 = 86_400_000;

/// What is stored of a message.
pub type Body = Vec<u8>;

pub struct Base {
    pub postgres: Postgres,
    pub connector: Connector,
    pub pool: Pool,
    minted: AtomicU64,
}

impl Base {
    pub async fn start() -> Self {
        Self::on(Postgres::start(&[]).await).await
    }

    /// Brings a server's database up to the present.
    pub async fn on(postgres: Postgres) -> Self {
        let connector =
            Connector::from_url(&postgres.url(), "rookery:7:1", MessageLoss::Refuse).unwrap();
        migrate::run(&mut connector.open().await.unwrap()).await.unwrap();
        let pool = connector.pool(8).unwrap();
        apps::ensure_default(&pool, "secret").await.unwrap();
        dedup::keep_days(&pool, now(), WINDOW_DAYS).await.unwrap();
        Self { postgres, connector, pool, minted: AtomicU64::new(0) }
    }

    /// What logins of a user of app 1 are decided by.
    pub async fn facts(&self, user: &str) -> Facts {
        let ask = Ask { app: AppId::DEFAULT, user: id(user) };
        logins::facts(&self.pool, &[ask]).await.unwrap().remove(0).unwrap()
    }

    /// Enters logins on the node of these tests.
    pub async fn enter(&self, logins: &[Entering]) -> Vec<Entered> {
        logins::enter(&self.pool, NODE, Incarnation::from_store(1), logins).await.unwrap()
    }

    pub async fn user(&self, user: &str) -> UserNo {
        self.login(user, "phone").await.0
    }

    pub async fn login(&self, user: &str, device: &str) -> (UserNo, LoginNo) {
        loop {
            let login = entering(&self.facts(user).await, Platform::Web, device);
            // Another login came in between: this one is decided again.
            if let Entered::In { login_no, .. } = &self.enter(std::slice::from_ref(&login)).await[0]
            {
                return (login.user, *login_no);
            }
        }
    }

    pub async fn pair(&self, own: UserNo, peer: &str) -> Pair {
        pairs::open(&self.pool, AppId::DEFAULT, own, &id(peer)).await.unwrap().unwrap()
    }

    pub async fn writer(&self, journal: i32) -> Writer {
        Writer::claim(self.connector.open().await.unwrap(), NODE, journal).await.unwrap()
    }

    pub fn key(&self) -> ClientMsgId {
        self.key_at(now())
    }

    pub fn key_at(&self, at: UnixMs) -> ClientMsgId {
        let n = self.minted.fetch_add(1, Ordering::Relaxed);
        let mut random = [0; 10];
        random[2..].copy_from_slice(&n.to_be_bytes());
        ClientMsgId::mint(at, random)
    }

    /// A message of `sender` in a pair.
    pub fn row(&self, sender: UserNo, pair: Pair) -> Row<Body> {
        self.row_with(sender, pair, self.key())
    }

    pub fn row_with(&self, sender: UserNo, pair: Pair, key: ClientMsgId) -> Row<Body> {
        let body = key.to_string().into_bytes();
        Row {
            target: Target::Pair {
                conversation: pair.no,
                low: sender.min(pair.peer),
                high: sender.max(pair.peer),
            },
            sender,
            life: Life(1),
            key,
            hash: [7; 16],
            body_bytes: body.len(),
            payload: body,
        }
    }

    /// Rows that break what must always hold, by what they break.
    pub async fn broken(&self) -> Vec<(String, i64)> {
        let client = self.connector.open().await.unwrap();
        let rows = client.query(include_str!("whole.sql"), &[]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).filter(|(_, n)| *n > 0).collect()
    }

    pub async fn count(&self, sql: &str) -> i64 {
        self.connector.open().await.unwrap().query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Waits until so many statements wait for a lock.
    pub async fn await_lock_waits(&self, waits: i64) {
        let client = self.connector.open().await.unwrap();
        let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'";
        while client.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) < waits {}
    }
}

pub async fn append(writer: &Writer, rows: &[Row<Body>]) -> Result<AppendOutcome, StoreError> {
    writer.append(rows, &ids(rows.len()), |row| &row.payload).await
}

/// A login by these facts with a token signed now, for which nobody has to go.
pub fn entering(facts: &Facts, platform: Platform, device: &str) -> Entering {
    Entering {
        user: facts.user,
        expected: facts.login_no,
        policy_no: facts.policy_no,
        platform,
        device: self::device(device),
        device_name: None,
        token_s: now().get() / 1000,
        ends: Vec::new(),
    }
}

/// Appends what must be stored.
pub async fn stored(writer: &Writer, rows: &[Row<Body>]) -> Vec<Placed> {
    match append(writer, rows).await.unwrap() {
        AppendOutcome::Stored(placed) => placed,
        other => panic!("expected to be stored, was {other:?}"),
    }
}

pub fn device(name: &str) -> DeviceId {
    DeviceId::parse(name).unwrap()
}

pub fn id(user: &str) -> UserId {
    UserId::parse(user).unwrap()
}

pub fn now() -> UnixMs {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    UnixMs::new(since.as_millis() as i64)
}

/// Message ids that rise over all calls of a process.
pub fn ids(count: usize) -> Vec<MessageId> {
    static IDS: std::sync::Mutex<Option<Snowflakes>> = std::sync::Mutex::new(None);
    let mut ids = IDS.lock().unwrap();
    let ids = ids.get_or_insert_with(|| Snowflakes::new(1));
    (0..count).map(|_| ids.mint(now())).collect()
}

/// SplitMix64: what a seed gives must not change with a crate's version.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}
