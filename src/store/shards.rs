//! Who owns which shard: claims, each under a new epoch, all by the database's clock.

use std::time::Duration;

use tokio_postgres::Client;

use super::StoreError;
use super::query::get;
use crate::ids::{Incarnation, NodeId, Shard, ShardEpoch};
use crate::limits;

const CLAIM_OWN_SHARDS: &str = include_str!("../../sql/queries/claim_own_shards.sql");
const CLAIM_DEAD_SHARDS: &str = include_str!("../../sql/queries/claim_dead_shards.sql");
const OWN_SHARDS: &str = include_str!("../../sql/queries/own_shards.sql");

/// Takes the shards that nobody ever owned, and those of the node's former incarnations.
pub async fn claim_own(
    client: &Client,
    node: NodeId,
    incarnation: Incarnation,
) -> Result<(), StoreError> {
    let shards = i32::from(Shard::COUNT);
    client
        .execute(CLAIM_OWN_SHARDS, &[&node.get(), &incarnation.get(), &shards])
        .await
        .map_err(|error| StoreError::of_read(&error))?;
    Ok(())
}

/// Takes some shards of nodes whose lease is over, if our own has been held for so long, and the database was up.
///
/// Returns how many: with as many as one statement takes there may be more.
pub async fn claim_dead(
    client: &Client,
    node: NodeId,
    incarnation: Incarnation,
    held_for: Duration,
) -> Result<usize, StoreError> {
    let held_s = held_for.as_secs_f64();
    let most = limits::SHARDS_CLAIMED_AT_ONCE as i64;
    let claimed = client
        .execute(CLAIM_DEAD_SHARDS, &[&node.get(), &incarnation.get(), &held_s, &most])
        .await
        .map_err(|error| StoreError::of_read(&error))?;
    Ok(usize::try_from(claimed).unwrap_or(usize::MAX))
}

/// The shards that a node owns, with their epochs.
pub async fn owned(
    client: &Client,
    node: NodeId,
    incarnation: Incarnation,
) -> Result<Vec<(Shard, ShardEpoch)>, StoreError> {
    let rows = client
        .query(OWN_SHARDS, &[&node.get(), &incarnation.get()])
        .await
        .map_err(|error| StoreError::of_read(&error))?;
    let mut owned = Vec::with_capacity(rows.len());
    for row in &rows {
        // A shard beyond those that we know can only be of a newer program's making.
        if let Some(shard) = Shard::from_store(get(row, "shard")?) {
            owned.push((shard, ShardEpoch::from_store(get(row, "epoch")?)));
        }
    }
    Ok(owned)
}
