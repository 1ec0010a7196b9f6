//! Nodes: their rows, their numbers inside message ids, and their leases, all by the database's clock.

use std::time::Duration;

use deadpool_postgres::Pool;
use tokio_postgres::Client;

use super::StoreError;
use super::connect::of_pool;
use super::query::{get, row};
use crate::domain::epoch::WalPosition;
use crate::domain::presence::LAST_SEEN_TO_MS;
use crate::ids::{Incarnation, NodeId, NodeRun, UnixMs};
use crate::limits;

const LOCK_NODES: &str = include_str!("../../sql/queries/lock_nodes.sql");
const FREE_NODE_NUMBERS: &str = include_str!("../../sql/queries/free_node_numbers.sql");
const JOIN_NODE: &str = include_str!("../../sql/queries/join_node.sql");
const RENEW_LEASE: &str = include_str!("../../sql/queries/renew_lease.sql");
const ANNOUNCE_LEAVING: &str = include_str!("../../sql/queries/announce_leaving.sql");
const LEAVE_NODES: &str = include_str!("../../sql/queries/leave_nodes.sql");
const LIVE_NODES: &str = include_str!("../../sql/queries/live_nodes.sql");
const BURY_DEAD_NODE: &str = include_str!("../../sql/queries/bury_dead_node.sql");

/// A node that has joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joined {
    /// Which start of the node this is.
    pub incarnation: Incarnation,
    /// The number inside its message ids.
    pub number: i16,
    /// The database's time.
    pub now: UnixMs,
}

/// A lease that was renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewed {
    /// The database's time.
    pub now: UnixMs,
    /// Until when it runs, in microseconds of the database's time.
    pub lease_until_us: i64,
    /// How far the database's log is on disk.
    pub flushed: WalPosition,
    /// Whether it had run out: others may have taken the node for gone.
    pub has_lapsed: bool,
}

/// Takes a node's row: a new incarnation, and a number that no other node has.
pub async fn join(pool: &Pool, node: NodeId) -> Result<Joined, StoreError> {
    let mut client = pool.get().await.map_err(|error| of_pool(&error))?;
    let transaction = client.transaction().await.map_err(|error| StoreError::of_read(&error))?;
    let joined = async {
        transaction.execute(LOCK_NODES, &[]).await?;
        transaction.execute(FREE_NODE_NUMBERS, &[&node.get()]).await?;
        let numbers = i32::from(limits::NODE_NUMBERS);
        let lease_s = limits::LEASE.as_secs_f64();
        transaction.query_one(JOIN_NODE, &[&node.get(), &numbers, &lease_s]).await
    };
    let row = joined.await.map_err(|error| StoreError::of_read(&error))?;
    let number: Option<i16> = get(&row, "number")?;
    let number = number.ok_or_else(|| StoreError::Unfit {
        reason: format!(
            "all {} node numbers of this database are taken; stop a node that is not needed, its number is free an hour later",
            limits::NODE_NUMBERS
        ),
    })?;
    let joined = Joined {
        incarnation: Incarnation::from_store(get(&row, "incarnation")?),
        number,
        now: UnixMs::new(get(&row, "now_ms")?),
    };
    transaction.commit().await.map_err(|error| StoreError::of_read(&error))?;
    Ok(joined)
}

/// Since when a lease counts as held, as far as the node knows; the database knows of breaks too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Since as long as before.
    Unbroken,
    /// Since now.
    Anew,
}

/// Renews a node's lease; none when another incarnation has taken the node's place.
pub async fn renew(
    client: &Client,
    node: NodeId,
    incarnation: Incarnation,
    held: Held,
) -> Result<Option<Renewed>, StoreError> {
    let lease_s = limits::LEASE.as_secs_f64();
    let unbroken = held == Held::Unbroken;
    let row = client
        .query_opt(RENEW_LEASE, &[&node.get(), &incarnation.get(), &lease_s, &unbroken])
        .await
        .map_err(|error| StoreError::of_read(&error))?;
    row.map(|row| {
        let now = UnixMs::new(get(&row, "now_ms")?);
        let lease_until_us = get(&row, "lease_until_us")?;
        let (flushed, has_lapsed) = (get(&row, "flushed")?, get(&row, "has_lapsed")?);
        Ok(Renewed { now, lease_until_us, flushed, has_lapsed })
    })
    .transpose()
}

/// The other nodes that hold a lease.
pub async fn live(client: &Client, but: NodeId) -> Result<Vec<NodeRun>, StoreError> {
    let rows = client
        .query(LIVE_NODES, &[&but.get()])
        .await
        .map_err(|error| StoreError::of_read(&error))?;
    let run = |row| {
        Ok(NodeRun {
            node: NodeId::from_store(get(row, "node")?),
            incarnation: Incarnation::from_store(get(row, "incarnation")?),
        })
    };
    rows.iter().map(run).collect()
}

/// Notes that a node is about to go: from then on others give it no shards.
pub async fn announce_leaving(client: &Client, run: NodeRun) -> Result<(), StoreError> {
    let (node, incarnation) = (run.node.get(), run.incarnation.get());
    client
        .execute(ANNOUNCE_LEAVING, &[&node, &incarnation])
        .await
        .map_err(|error| StoreError::of_read(&error))?;
    Ok(())
}

/// Ends a node's lease.
pub async fn leave(pool: &Pool, run: NodeRun) -> Result<(), StoreError> {
    row(pool, LEAVE_NODES, &[&run.node.get(), &run.incarnation.get()]).await.map(|_| ())
}

/// What was done for a node that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buried {
    /// The node.
    pub node: NodeId,
    /// Sessions that were ended.
    pub ended: i64,
    /// Whether that was all.
    pub is_done: bool,
}

/// Fences a node that is gone and ends the sessions of some of its users; none when no node is gone, or when our own lease
/// has not been held for so long.
pub async fn bury(
    client: &Client,
    own: NodeRun,
    held_for: Duration,
) -> Result<Option<Buried>, StoreError> {
    let (held_s, users) = (held_for.as_secs_f64(), limits::SESSIONS_BURIED_AT_ONCE as i64);
    let row = client
        .query_opt(
            BURY_DEAD_NODE,
            &[&own.node.get(), &own.incarnation.get(), &held_s, &LAST_SEEN_TO_MS, &users],
        )
        .await
        .map_err(|error| StoreError::of_read(&error))?;
    row.map(|row| {
        let (ended, is_done) = (get(&row, "ended")?, get(&row, "is_done")?);
        Ok(Buried { node: NodeId::from_store(get(&row, "node")?), ended, is_done })
    })
    .transpose()
}
