//! The days for which client message ids are remembered.

use deadpool_postgres::Pool;

use super::StoreError;
use super::query::row;
use crate::ids::UnixMs;
use crate::limits;

const KEEP_DEDUP_DAYS: &str = include_str!("../../sql/queries/keep_dedup_days.sql");

/// Makes the partitions from the oldest key that is still taken to some days ahead, and drops those that are no longer
/// needed. A row without a partition would fail its whole batch, so this comes before anything is appended.
pub async fn keep_days(pool: &Pool, now: UnixMs, window_days: u32) -> Result<(), StoreError> {
    let today = now.day();
    let window = i32::try_from(window_days).unwrap_or(i32::MAX).min(i32::MAX / 2);
    // One day more: the oldest key that is taken may be minted late on the day on which the window begins.
    let first = today - window - 1;
    let last = today + limits::PARTITIONS_AHEAD_DAYS;
    let drop_before = first - limits::PARTITIONS_KEPT_DAYS;
    row(pool, KEEP_DEDUP_DAYS, &[&first, &last, &i32::MIN]).await?;
    // By itself, and in vain if need be: whoever reads an old partition for long, as a dump does, must not keep the new ones
    // from being made, nor a node from starting.
    if let Err(error) = row(pool, KEEP_DEDUP_DAYS, &[&1, &0, &drop_before]).await {
        tracing::warn!(%error, "old partitions could not be dropped, which is tried again later");
    }
    Ok(())
}
