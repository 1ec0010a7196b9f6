//! A journal's connection: claimed, so that whoever held the journal before can store nothing any more.
//!
//! What is written through it stands beside the things that are written: [`super::pairs`], [`super::group_appends`] and
//! [`super::group_changes`].

use tokio_postgres::{Client, Statement};

use super::StoreError;
use super::group_appends::{APPEND_GROUPS, FIND_GROUP_ENTRIES};
use super::group_changes::CHANGE_GROUP;
use super::pairs::{APPEND_PAIRS, FIND_SENDS};
use super::query::{WRITER_OPENED, get};
use crate::domain::intake::SendHash;
use crate::ids::{Fence, NodeId};

const RAISE_FENCE: &str = include_str!("../../sql/queries/raise_fence.sql");

/// A journal's connection, claimed and prepared.
pub struct Writer {
    pub(super) client: Client,
    pub(super) node: NodeId,
    pub(super) journal: i32,
    pub(super) fence: Fence,
    pub(super) append_pairs: Statement,
    pub(super) find_sends: Statement,
    pub(super) append_groups: Statement,
    pub(super) change_group: Statement,
    pub(super) find_group_entries: Statement,
}

impl Writer {
    /// Claims a journal's row on a connection of its own: waits for the statement of its former holder, and shuts out
    /// all later ones.
    pub async fn claim(client: Client, node: NodeId, journal: i32) -> Result<Self, StoreError> {
        let failed = |error: tokio_postgres::Error| StoreError::of_read(&error);
        client.batch_execute(WRITER_OPENED).await.map_err(failed)?;
        let row = client.query_one(RAISE_FENCE, &[&node.get(), &journal]).await.map_err(failed)?;
        let fence = Fence::from_store(get(&row, "fence")?);
        let append_pairs = client.prepare(APPEND_PAIRS).await.map_err(failed)?;
        let find_sends = client.prepare(FIND_SENDS).await.map_err(failed)?;
        let append_groups = client.prepare(sabotaged!(sql APPEND_GROUPS)).await.map_err(failed)?;
        let change_group = client.prepare(CHANGE_GROUP).await.map_err(failed)?;
        let find_group_entries = client.prepare(FIND_GROUP_ENTRIES).await.map_err(failed)?;
        Ok(Self {
            client,
            node,
            journal,
            fence,
            append_pairs,
            find_sends,
            append_groups,
            change_group,
            find_group_entries,
        })
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }
}

/// Reads a stored hash.
pub(super) fn hash(stored: &[u8]) -> SendHash {
    let mut hash = SendHash::default();
    let len = stored.len().min(hash.len());
    hash[..len].copy_from_slice(&stored[..len]);
    hash
}
