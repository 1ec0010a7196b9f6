//! What the database can do by itself, for the load generator: the rows that messages are stored as, and nothing else.
//!
//! Never used to serve anybody: nothing is fenced here, no head is moved and no key is asked for.

use deadpool_postgres::Pool;
use tokio_postgres::{Client, Statement};
use uuid::Uuid;

use super::StoreError;
use super::connect::Connector;
use super::query::{WRITER_OPENED, get, rows};
use crate::ids::{AppId, ClientMsgId, GroupId, Seq, UnixMs, UserId};

const INSERT_GROUP_MESSAGES: &str = include_str!("../../sql/bench/insert_group_messages.sql");
const INSERT_PAIR_MESSAGES: &str = include_str!("../../sql/bench/insert_pair_messages.sql");
const OPEN_PAIRS: &str = include_str!("../../sql/bench/open_pairs.sql");
const NEXT_LOG_FILE: &str = include_str!("../../sql/bench/next_log_file.sql");
const GROUP_ENTRIES: &str = include_str!("../../sql/bench/group_entries.sql");

/// Where made-up conversations begin: far behind those that the sequence gives out.
const MADE_UP: i64 = 1 << 60;

/// What kind of rows are inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BareKind {
    /// Those of messages to groups.
    Group,
    /// Those of one-to-one messages: two entries of inboxes besides.
    Pair,
}

/// A connection that inserts rows of messages as fast as it is asked to.
pub struct BareWriter {
    client: Client,
    insert: Statement,
    kind: BareKind,
    batch: Batch,
    conversations: i64,
    first: i64,
    /// Messages inserted so far.
    written: i64,
}

/// The parameters of one statement, kept so that nothing is allocated for each.
#[derive(Default)]
struct Batch {
    conversation: Vec<i64>,
    seq: Vec<i64>,
    sender: Vec<i64>,
    day: Vec<i32>,
    key: Vec<Uuid>,
    id: Vec<i64>,
    low: Vec<i64>,
    high: Vec<i64>,
}

impl BareWriter {
    /// Opens a connection that writes to `conversations` conversations of its own. Each `no` may be used once a database.
    pub async fn open(
        connector: &Connector,
        kind: BareKind,
        no: u32,
        conversations: u32,
    ) -> Result<Self, StoreError> {
        let failed = |error: tokio_postgres::Error| StoreError::of_read(&error);
        let client = connector.open().await?;
        client.batch_execute(WRITER_OPENED).await.map_err(failed)?;
        let sql = match kind {
            BareKind::Group => INSERT_GROUP_MESSAGES,
            BareKind::Pair => INSERT_PAIR_MESSAGES,
        };
        let insert = client.prepare(sql).await.map_err(failed)?;
        let conversations = i64::from(conversations.max(1));
        let first = MADE_UP + i64::from(no) * (1 << 32);
        Ok(Self { client, insert, kind, batch: Batch::default(), conversations, first, written: 0 })
    }

    /// Inserts a message for each of `bodies`, spread over the conversations, in one commit.
    pub async fn insert(&mut self, now: UnixMs, bodies: &[&[u8]]) -> Result<(), StoreError> {
        let hashes: Vec<&[u8]> = vec![&[0x5a; 16]; bodies.len()];
        self.fill(now, bodies.len());
        let Batch { conversation, seq, sender, day, key, id, low, high } = &self.batch;
        let done = match self.kind {
            BareKind::Group => {
                let params: super::query::Params<'_> =
                    &[conversation, seq, seq, sender, day, key, &hashes, id, &bodies];
                self.client.execute(&self.insert, params).await
            }
            BareKind::Pair => {
                let params: super::query::Params<'_> =
                    &[conversation, seq, sender, day, key, &hashes, id, &bodies, low, high];
                self.client.execute(&self.insert, params).await
            }
        };
        done.map(drop).map_err(|error| StoreError::of_read(&error))
    }

    fn fill(&mut self, now: UnixMs, messages: usize) {
        let batch = &mut self.batch;
        batch.conversation.clear();
        batch.seq.clear();
        batch.sender.clear();
        batch.day.clear();
        batch.key.clear();
        batch.id.clear();
        batch.low.clear();
        batch.high.clear();
        for _ in 0..messages {
            let conversation = self.first + self.written % self.conversations;
            let seq = self.written / self.conversations + 1;
            let key = ClientMsgId::mint(now, rand::random());
            batch.conversation.push(conversation);
            batch.seq.push(seq);
            batch.sender.push(conversation);
            batch.day.push(now.day());
            batch.key.push(key.uuid());
            batch.id.push(self.first + self.written);
            batch.low.push(conversation);
            batch.high.push(conversation + self.conversations);
            self.written += 1;
        }
    }
}

/// Opens pairs of users who exist, in one commit: the first message of each would do it in one of its own.
pub async fn open_pairs(
    connector: &Connector,
    app: AppId,
    pairs: &[(&UserId, &UserId)],
) -> Result<(), StoreError> {
    let client = connector.open().await?;
    let (ones, others): (Vec<&str>, Vec<&str>) =
        pairs.iter().map(|(one, other)| (one.as_str(), other.as_str())).unzip();
    let opened = client.query_one(OPEN_PAIRS, &[&app.get(), &ones, &others]).await;
    opened.map(drop).map_err(|error| StoreError::of_read(&error))
}

/// Has a fresh server keep `files` files of its write-ahead log, as one that was written to for a while does: it takes old
/// ones again then, and whoever commits waits for no new one.
pub async fn keep_log_files(connector: &Connector, files: u32) -> Result<(), StoreError> {
    let failed = |error: tokio_postgres::Error| StoreError::of_read(&error);
    let client = connector.open().await?;
    for _ in 0..files {
        client.execute(NEXT_LOG_FILE, &[]).await.map_err(failed)?;
    }
    client.batch_execute("checkpoint").await.map_err(failed)
}

/// The log of a group from its beginning: what stands where.
pub async fn group_log(
    pool: &Pool,
    app: AppId,
    group: &GroupId,
) -> Result<Vec<(Seq, Uuid)>, StoreError> {
    const PAGE: i64 = 10_000;
    let mut log = Vec::new();
    let mut after = 0_i64;
    loop {
        let page = rows(pool, GROUP_ENTRIES, &[&app.get(), &group.as_str(), &after, &PAGE]).await?;
        for row in &page {
            after = get(row, "seq")?;
            log.push((Seq::from_store(after), get(row, "client_msg_id")?));
        }
        if page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX) {
            return Ok(log);
        }
    }
}
