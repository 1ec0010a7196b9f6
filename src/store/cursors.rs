//! Delivered and read cursors: each only rises, and never passes its pair's head.

use serde::{Deserialize, Serialize};
use std::time::Instant;

use tokio_postgres::{Client, Statement};

use super::StoreError;
use super::query::{WRITER_OPENED, get};
use crate::ids::{ConversationNo, Seq, UserNo};

const RAISE_CURSORS: &str = include_str!("../../sql/queries/raise_cursors.sql");
const RAISE_GROUP_CURSORS: &str = include_str!("../../sql/queries/raise_group_cursors.sql");

/// The cursors of one user in one pair, as they stand or as they shall at least stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cursors {
    /// What a device has acknowledged.
    pub by_device: Seq,
    /// What the server answered for.
    pub by_server: Seq,
    /// What was read.
    pub read: Seq,
}

impl Cursors {
    /// The higher of the two, each for itself.
    pub fn at_least(self, other: Self) -> Self {
        Self {
            by_device: self.by_device.max(other.by_device),
            by_server: self.by_server.max(other.by_server),
            read: self.read.max(other.read),
        }
    }
}

/// Whose cursors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CursorKey {
    /// The user.
    pub owner: UserNo,
    /// The pair or group.
    pub conversation: ConversationNo,
}

/// Cursors that were raised, or were high enough already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raised {
    /// Whose.
    pub key: CursorKey,
    /// The other side of the pair.
    pub peer: UserNo,
    /// How they stood.
    pub before: Cursors,
    /// How they stand.
    pub after: Cursors,
}

/// The read cursor of a group's member, raised or high enough already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupRaised {
    /// Whose.
    pub key: CursorKey,
    /// How it stood.
    pub before: Seq,
    /// How it stands.
    pub after: Seq,
}

/// A connection that writes cursors.
pub struct CursorWriter {
    client: Client,
    raise: Statement,
    raise_groups: Statement,
}

impl CursorWriter {
    /// Prepares a connection.
    pub async fn new(client: Client) -> Result<Self, StoreError> {
        let failed = |error: tokio_postgres::Error| StoreError::of_read(&error);
        client.batch_execute(WRITER_OPENED).await.map_err(failed)?;
        let raise = client.prepare(sabotaged!(sql RAISE_CURSORS)).await.map_err(failed)?;
        let raise_groups = client.prepare(RAISE_GROUP_CURSORS).await.map_err(failed)?;
        Ok(Self { client, raise, raise_groups })
    }

    /// Raises cursors, no key twice. Committed when it returns; a key without a pair is left out of the answer.
    pub async fn raise(&self, wanted: &[(CursorKey, Cursors)]) -> Result<Vec<Raised>, StoreError> {
        let column =
            |of: fn(&(CursorKey, Cursors)) -> i64| -> Vec<i64> { wanted.iter().map(of).collect() };
        let started = Instant::now();
        let rows = self
            .client
            .query(
                &self.raise,
                &[
                    &column(|(key, _)| key.owner.get()),
                    &column(|(key, _)| key.conversation.get()),
                    &column(|(_, cursors)| cursors.by_device.to_store()),
                    &column(|(_, cursors)| cursors.by_server.to_store()),
                    &column(|(_, cursors)| cursors.read.to_store()),
                ],
            )
            .await
            .map_err(|error| StoreError::of_write(&error, started.elapsed()))?;
        rows.iter()
            .map(|row| {
                let seq = |column| get(row, column).map(Seq::from_store);
                Ok(Raised {
                    key: CursorKey {
                        owner: UserNo::from_store(get(row, "owner_no")?),
                        conversation: ConversationNo::from_store(get(row, "conversation_no")?),
                    },
                    peer: UserNo::from_store(get(row, "peer_no")?),
                    before: Cursors {
                        by_device: seq("by_device")?,
                        by_server: seq("by_server")?,
                        read: seq("read")?,
                    },
                    after: Cursors {
                        by_device: seq("new_by_device")?,
                        by_server: seq("new_by_server")?,
                        read: seq("new_read")?,
                    },
                })
            })
            .collect()
    }

    /// Raises read cursors of groups, no key twice: at most to the head, for a former member to the last entry that one may
    /// see. Committed when it returns; one who never was a member is left out of the answer.
    pub async fn raise_groups(
        &self,
        wanted: &[(CursorKey, Seq)],
    ) -> Result<Vec<GroupRaised>, StoreError> {
        let column =
            |of: fn(&(CursorKey, Seq)) -> i64| -> Vec<i64> { wanted.iter().map(of).collect() };
        let started = Instant::now();
        let rows = self
            .client
            .query(
                &self.raise_groups,
                &[
                    &column(|(key, _)| key.owner.get()),
                    &column(|(key, _)| key.conversation.get()),
                    &column(|(_, read)| read.to_store()),
                ],
            )
            .await
            .map_err(|error| StoreError::of_write(&error, started.elapsed()))?;
        rows.iter()
            .map(|row| {
                Ok(GroupRaised {
                    key: CursorKey {
                        owner: UserNo::from_store(get(row, "user_no")?),
                        conversation: ConversationNo::from_store(get(row, "conversation_no")?),
                    },
                    before: Seq::from_store(get(row, "read")?),
                    after: Seq::from_store(get(row, "new_read")?),
                })
            })
            .collect()
    }
}
