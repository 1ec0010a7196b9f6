//! How a cluster stands, as its database sees it: for operators, not for nodes.
//!
//! Reads and changes nothing, and reads all of it as of one instant.

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, IsolationLevel, Row};

use super::StoreError;
use super::query::get;
use crate::ids::{Incarnation, NodeId, NodeRun, Shard};

const STATUS_OF_NODES: &str = include_str!("../../sql/queries/status_of_nodes.sql");
const STATUS_OF_STORE: &str = include_str!("../../sql/queries/status_of_store.sql");

/// How a cluster stands.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterStatus {
    /// The database.
    pub store: StoreStatus,
    /// The nodes that are there, or of which something is left.
    pub nodes: Vec<NodeStatus>,
    /// The shards, all in all.
    pub shards: ShardsStatus,
    /// What waits in the database for nodes to take it.
    pub letters: LettersStatus,
}

/// How the database stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreStatus {
    /// The epoch in force; none when the next start begins one.
    pub epoch: Option<String>,
    /// Which line of its history it follows: raised by each promotion.
    pub timeline: i32,
    /// Up to where its log is on disk, as PostgreSQL writes it.
    pub flushed: String,
    /// Its version.
    pub version: String,
    /// Whether its settings name standbys that a commit waits for.
    pub waits_for_standbys: bool,
    /// How many of these are streaming; none when our role may not know.
    pub synchronous_standbys: Option<i64>,
}

/// How a node stands.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeStatus {
    /// Its latest start.
    pub run: NodeRun,
    /// The number inside its message ids; none when it has been gone for so long that it was taken.
    pub number: Option<i16>,
    /// How much of its lease is left, in seconds; less than nothing when it is over.
    pub lease_left_s: f64,
    /// Whether another node has done what was left to do for it when it was gone.
    pub is_buried: bool,
    /// Whether it is about to go, and is given no shards.
    pub is_leaving: bool,
    /// Sessions that are in there.
    pub sessions: i64,
    /// Shards that it owns.
    pub shards: i64,
    /// The lowest and the highest of their epochs.
    pub epochs: Option<(i64, i64)>,
}

impl NodeStatus {
    /// Whether its lease counts.
    pub fn is_there(&self) -> bool {
        self.lease_left_s > 0.0
    }
}

/// The shards, all in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardsStatus {
    /// Those that nobody owns who is there, whether they ever had an owner or not.
    pub without_owner: i64,
    /// How often shards were claimed or given, the first time included.
    pub claims: i64,
}

/// What waits in the database for nodes to take it: little and for milliseconds, also while there is no Redis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LettersStatus {
    /// How many envelopes.
    pub waiting: i64,
    /// How long the oldest has waited, in seconds.
    pub oldest_s: Option<f64>,
}

/// Reads how the cluster stands.
pub async fn read(client: &mut Client) -> Result<ClusterStatus, StoreError> {
    let reading = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
    let transaction = reading.read_only(true).start().await.map_err(failed)?;
    let nodes = transaction.query(STATUS_OF_NODES, &[]).await.map_err(failed)?;
    let row = transaction.query_one(STATUS_OF_STORE, &[]).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;

    let synchronous: String = get(&row, "synchronous_standby_names")?;
    let store = StoreStatus {
        epoch: get(&row, "epoch")?,
        timeline: get(&row, "timeline")?,
        flushed: get(&row, "flushed")?,
        version: get(&row, "version")?,
        waits_for_standbys: !synchronous.is_empty(),
        synchronous_standbys: get(&row, "synchronous_standbys")?,
    };
    let (shards, without): (i64, i64) = (get(&row, "shards")?, get(&row, "without_owner")?);
    let shards = ShardsStatus {
        without_owner: i64::from(Shard::COUNT) - shards + without,
        claims: get(&row, "claims")?,
    };
    let letters =
        LettersStatus { waiting: get(&row, "waiting")?, oldest_s: get(&row, "oldest_s")? };
    let nodes = nodes.iter().map(node).collect::<Result<Vec<_>, _>>()?;
    Ok(ClusterStatus { store, nodes, shards, letters })
}

/// Why it cannot be read. Tables are not brought up to date for it: an older program may be serving.
fn failed(error: tokio_postgres::Error) -> StoreError {
    match error.code() {
        Some(&SqlState::UNDEFINED_TABLE | &SqlState::UNDEFINED_COLUMN) => StoreError::Unfit {
            reason: "the tables of this database are older than this program, or not there yet; start a server with \
                     `rookery serve`, or run `rookery migrate`"
                .to_owned(),
        },
        _ => StoreError::of_read(&error),
    }
}

fn node(row: &Row) -> Result<NodeStatus, StoreError> {
    let epochs: (Option<i64>, Option<i64>) = (get(row, "lowest")?, get(row, "highest")?);
    Ok(NodeStatus {
        run: NodeRun {
            node: NodeId::from_store(get(row, "node")?),
            incarnation: Incarnation::from_store(get(row, "incarnation")?),
        },
        number: get(row, "number")?,
        lease_left_s: get(row, "lease_left_s")?,
        is_buried: get(row, "is_buried")?,
        is_leaving: get(row, "is_leaving")?,
        sessions: get(row, "sessions")?,
        shards: get(row, "shards")?,
        epochs: epochs.0.zip(epochs.1),
    })
}
