//! Who owns which shard: claims and hand-overs, each under a new epoch, all by the database's clock.

use std::time::Duration;

use tokio_postgres::Client;

use super::StoreError;
use super::query::get;
use crate::ids::{Incarnation, NodeId, NodeRun, Shard, ShardEpoch};
use crate::limits;

const CLAIM_OWN_SHARDS: &str = include_str!("../../sql/queries/claim_own_shards.sql");
const CLAIM_DEAD_SHARDS: &str = include_str!("../../sql/queries/claim_dead_shards.sql");
const SHARD_OWNERS: &str = include_str!("../../sql/queries/shard_owners.sql");
const HAND_OVER_SHARDS: &str = include_str!("../../sql/queries/hand_over_shards.sql");
const SHARE_SHARDS: &str = include_str!("../../sql/queries/share_shards.sql");

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

/// Who owns a shard, under which epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owned {
    /// The shard.
    pub shard: Shard,
    /// The claim.
    pub epoch: ShardEpoch,
    /// Whose.
    pub owner: NodeRun,
}

/// Who owns the shards.
pub async fn owners(client: &Client) -> Result<Vec<Owned>, StoreError> {
    let rows =
        client.query(SHARD_OWNERS, &[]).await.map_err(|error| StoreError::of_read(&error))?;
    let mut owners = Vec::with_capacity(rows.len());
    for row in &rows {
        // A shard beyond those that we know can only be of a newer program's making.
        if let Some(shard) = Shard::from_store(get(row, "shard")?) {
            let epoch = ShardEpoch::from_store(get(row, "epoch")?);
            let owner = NodeRun {
                node: NodeId::from_store(get(row, "node")?),
                incarnation: Incarnation::from_store(get(row, "incarnation")?),
            };
            owners.push(Owned { shard, epoch, owner });
        }
    }
    Ok(owners)
}

/// Gives all shards but so many to the other nodes, at most so many at once. Returns how many.
pub async fn hand_over(
    client: &Client,
    own: NodeRun,
    keep: usize,
    most: usize,
) -> Result<usize, StoreError> {
    let (keep, most) = (keep as i64, most as i64);
    let given = client
        .execute(HAND_OVER_SHARDS, &[&own.node.get(), &own.incarnation.get(), &keep, &most])
        .await
        .map_err(|error| StoreError::of_read(&error))?;
    Ok(usize::try_from(given).unwrap_or(usize::MAX))
}

/// Gives some shards to the node that has the fewest, if each has its share then. Returns how many.
pub async fn share(
    client: &Client,
    own: NodeRun,
    held_for: Duration,
    most: usize,
) -> Result<usize, StoreError> {
    let (held_s, most) = (held_for.as_secs_f64(), most as i64);
    let given = client
        .execute(SHARE_SHARDS, &[&own.node.get(), &own.incarnation.get(), &held_s, &most])
        .await
        .map_err(|error| StoreError::of_read(&error))?;
    Ok(usize::try_from(given).unwrap_or(usize::MAX))
}
