//! Which database this is, and the epoch of what it holds.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio_postgres::Client;
use uuid::Uuid;

use super::StoreError;
use super::query::get;
use crate::domain::epoch::{self, HighWater, Identity, Reason, WalPosition};
use crate::ids::{Epoch, UnixMs};

const DATABASE_IDENTITY: &str = include_str!("../../sql/queries/database_identity.sql");
const LOCK_STORE_IDENTITY: &str = include_str!("../../sql/queries/lock_store_identity.sql");
const STORE_IDENTITY: &str = include_str!("../../sql/queries/store_identity.sql");
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
    /// Why the epoch began just now, if it did.
    pub changed: Option<Reason>,
}

/// Compares the database behind a new connection with what is known of it, and begins a new epoch if it must.
///
/// To be called before anything is appended through the connection.
pub async fn verify(client: &mut Client, mark: Option<&HighWater>) -> Result<Verified, StoreError> {
    let failed = |error: tokio_postgres::Error| StoreError::of_read(&error);
    let transaction = client.transaction().await.map_err(failed)?;
    transaction.execute(LOCK_STORE_IDENTITY, &[]).await.map_err(failed)?;
    let row = transaction.query_one(DATABASE_IDENTITY, &[]).await.map_err(failed)?;
    let seen = Identity {
        system_identifier: get(&row, "system_identifier")?,
        timeline: get(&row, "timeline")?,
    };
    let flushed: WalPosition = get(&row, "flushed")?;
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
    let known = stored.as_ref().map(|(epoch, identity)| (epoch.as_str(), *identity));
    let changed = epoch::must_change(known, seen, flushed, mark);
    let epoch = match (changed, stored) {
        (None, Some((epoch, _))) => epoch,
        _ => {
            // Not a counter: one that a restored copy counts on from would give out a number again.
            let epoch = Uuid::now_v7().simple().to_string();
            let params: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
                &[&epoch, &seen.system_identifier, &seen.timeline];
            transaction.execute(SET_STORE_IDENTITY, params).await.map_err(failed)?;
            epoch
        }
    };
    transaction.commit().await.map_err(failed)?;
    Ok(Verified { epoch: Epoch::from_store(&epoch), identity: seen, flushed, now, changed })
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

impl HighWaterFile {
    /// The file in `folder`.
    pub fn new(folder: &Path) -> Self {
        Self { path: folder.join("high_water.json") }
    }

    /// Reads the mark; none when there is none yet, or when it cannot be read.
    pub async fn load(&self) -> Option<HighWater> {
        let text = match tokio::fs::read(&self.path).await {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(%error, "the high-water mark cannot be read");
                return None;
            }
        };
        let mark: StoredMark = serde_json::from_slice(&text)
            .inspect_err(|error| tracing::warn!(%error, "the high-water mark is damaged"))
            .ok()?;
        Some(HighWater {
            epoch: mark.epoch,
            identity: Identity {
                system_identifier: mark.system_identifier,
                timeline: mark.timeline,
            },
            flushed: mark.flushed,
        })
    }

    /// Writes the mark, whole or not at all. A mark that is lost costs no message: the next one follows in seconds.
    pub async fn save(&self, mark: &HighWater) -> io::Result<()> {
        let stored = StoredMark {
            epoch: mark.epoch.clone(),
            system_identifier: mark.identity.system_identifier,
            timeline: mark.identity.timeline,
            flushed: mark.flushed,
        };
        let beside = self.path.with_extension("new");
        tokio::fs::write(&beside, serde_json::to_vec(&stored)?).await?;
        tokio::fs::rename(&beside, &self.path).await
    }
}
