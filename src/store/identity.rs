//! Which database this is, and the epoch of what it holds.

use std::io;
use std::path::{Path, PathBuf};

use deadpool_postgres::Pool;
use serde::{Deserialize, Serialize};
use tokio_postgres::{Client, Row, Transaction};
use uuid::Uuid;

use super::StoreError;
use super::query::{get, row, unknown};
use crate::domain::epoch::{
    self, Committed, Evidence, HighWater, Identity, Verdict, WalPosition, Witness,
};
use crate::ids::{Epoch, UnixMs};

const DATABASE_IDENTITY: &str = include_str!("../../sql/queries/database_identity.sql");
const LOCK_STORE_IDENTITY: &str = include_str!("../../sql/queries/lock_store_identity.sql");
const STORE_IDENTITY: &str = include_str!("../../sql/queries/store_identity.sql");
const COMMITTED_OF_NODE: &str = include_str!("../../sql/queries/committed_of_node.sql");
const NODE_FOUND_ALL: &str = include_str!("../../sql/queries/node_found_all.sql");
const SET_STORE_IDENTITY: &str = include_str!("../../sql/queries/set_store_identity.sql");

/// What a connection leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The epoch in force.
    pub epoch: Epoch,
    /// Which database it is.
    pub identity: Identity,
    /// How far its log is on disk.
    pub flushed: WalPosition,
    /// Its time.
    pub now: UnixMs,
    /// What this look decided.
    pub verdict: Verdict,
}

/// Compares the database behind a new connection with what is remembered of it, and begins a new epoch if it must.
///
/// To be called before anything is appended through the connection. Nothing may be while the verdict is
/// [`Verdict::Wait`].
pub async fn verify(
    client: &mut Client,
    marks: &[HighWater],
    witness: Option<&Witness>,
) -> Result<Verified, StoreError> {
    let failed = |error: tokio_postgres::Error| StoreError::of_read(&error);
    let transaction = client.transaction().await.map_err(failed)?;
    transaction.execute(LOCK_STORE_IDENTITY, &[]).await.map_err(failed)?;
    let row = transaction.query_one(DATABASE_IDENTITY, &[]).await.map_err(failed)?;
    let (seen, flushed) = identity_of(&row)?;
    let now = UnixMs::new(get(&row, "now_ms")?);
    let stored = transaction.query_opt(STORE_IDENTITY, &[]).await.map_err(failed)?;
    let stored: Option<(String, Identity)> = match &stored {
        None => None,
        Some(row) => {
            let system_identifier = get(row, "system_identifier")?;
            let identity = Identity { system_identifier, timeline: get(row, "timeline")? };
            Some((get(row, "epoch")?, identity))
        }
    };
    let evidence = match (witness, &stored) {
        // What was told in another epoch belongs to a history that has already been given up.
        (Some(witness), Some((epoch, identity))) if witness.epoch == *epoch => {
            evidence(&transaction, (seen, *identity == seen), witness).await?
        }
        _ => Evidence::None,
    };
    let known = stored.as_ref().map(|(epoch, identity)| (epoch.as_str(), *identity));
    let verdict = epoch::judge(known, seen, flushed, marks, evidence);
    let epoch = match (verdict, stored) {
        (Verdict::Same | Verdict::Wait { .. }, Some((epoch, _))) => epoch,
        (verdict, stored) => {
            let epoch = match (verdict, stored) {
                (Verdict::Continued, Some((epoch, _))) => epoch,
                // Not a counter: one that a restored copy counts on from would give out a number again.
                _ => Uuid::now_v7().simple().to_string(),
            };
            let params: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
                &[&epoch, &seen.system_identifier, &seen.timeline];
            transaction.execute(SET_STORE_IDENTITY, params).await.map_err(failed)?;
            epoch
        }
    };
    transaction.commit().await.map_err(failed)?;
    Ok(Verified { epoch: Epoch::from_store(&epoch), identity: seen, flushed, now, verdict })
}

/// Looks for what a node remembers. When all of it is there and the database is not the one of before, says so to the
/// others.
async fn evidence(
    transaction: &Transaction<'_>,
    (seen, is_same): (Identity, bool),
    witness: &Witness,
) -> Result<Evidence, StoreError> {
    let failed = |error: tokio_postgres::Error| StoreError::of_read(&error);
    let (node, incarnation) = (witness.run.node.get(), witness.run.incarnation.get());
    let column = |of: fn(&Committed) -> i64| -> Vec<i64> { witness.last.iter().map(of).collect() };
    let row = transaction
        .query_one(
            COMMITTED_OF_NODE,
            &[
                &node,
                &incarnation,
                &witness.lease_until_us,
                &column(|it| it.conversation.get()),
                &column(|it| it.seq.to_store()),
                &column(|it| it.message_id.get()),
            ],
        )
        .await
        .map_err(failed)?;
    let entries: i64 = get(&row, "missing")?;
    if get(&row, "is_replaced")? {
        return Ok(Evidence::None);
    }
    if entries > 0 || !get(&row, "has_lease")? {
        return Ok(Evidence::Lacking { entries });
    }
    if !witness.is_complete {
        return Ok(Evidence::Incomplete);
    }
    if is_same {
        return Ok(Evidence::Whole { others: 0, waits: false });
    }
    let row = transaction
        .query_one(NODE_FOUND_ALL, &[&node, &incarnation, &seen.timeline])
        .await
        .map_err(failed)?;
    Ok(Evidence::Whole { others: get(&row, "others")?, waits: witness.waits })
}

/// Which database this is now, and how far its log is on disk.
pub async fn look(pool: &Pool) -> Result<(Identity, WalPosition), StoreError> {
    let row = row(pool, DATABASE_IDENTITY, &[]).await?;
    identity_of(&row.ok_or_else(|| unknown("no identity"))?)
}

fn identity_of(row: &Row) -> Result<(Identity, WalPosition), StoreError> {
    let system_identifier = get(row, "system_identifier")?;
    let seen = Identity { system_identifier, timeline: get(row, "timeline")? };
    Ok((seen, get(row, "flushed")?))
}

/// The file in the data folder that remembers how far the database was on disk.
#[derive(Debug, Clone)]
pub struct HighWaterFile {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct StoredMark {
    epoch: String,
    system_identifier: i64,
    timeline: i32,
    flushed: WalPosition,
}

/// A mark as it is kept.
pub fn mark_to_bytes(mark: &HighWater) -> Vec<u8> {
    let stored = StoredMark {
        epoch: mark.epoch.clone(),
        system_identifier: mark.identity.system_identifier,
        timeline: mark.identity.timeline,
        flushed: mark.flushed,
    };
    // It holds nothing that JSON cannot say.
    serde_json::to_vec(&stored).unwrap_or_default()
}

/// Reads a mark that was kept.
pub fn mark_from_bytes(bytes: &[u8]) -> Result<HighWater, serde_json::Error> {
    let mark: StoredMark = serde_json::from_slice(bytes)?;
    Ok(HighWater {
        epoch: mark.epoch,
        identity: Identity { system_identifier: mark.system_identifier, timeline: mark.timeline },
        flushed: mark.flushed,
    })
}

impl HighWaterFile {
    /// The file in `folder`.
    pub fn new(folder: &Path) -> Self {
        Self { path: folder.join("high_water.json") }
    }

    /// Reads the mark; none when there is none yet, or when it cannot be read.
    pub async fn load(&self) -> Option<HighWater> {
        let bytes = match tokio::fs::read(&self.path).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(%error, "the high-water mark cannot be read");
                return None;
            }
        };
        mark_from_bytes(&bytes)
            .inspect_err(|error| tracing::warn!(%error, "the high-water mark is damaged"))
            .ok()
    }

    /// Writes the mark, whole or not at all. A mark that is lost costs no message: the next one follows in seconds.
    pub async fn save(&self, mark: &HighWater) -> io::Result<()> {
        let beside = self.path.with_extension("new");
        tokio::fs::write(&beside, mark_to_bytes(mark)).await?;
        tokio::fs::rename(&beside, &self.path).await
    }
}
