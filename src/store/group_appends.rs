//! How messages are appended to groups: their owner has given them their seqs, and the statement verifies.
//!
//! Two fences stand before each group: the journal's own, so that a broken statement can be waited for and shut out, and
//! the shard's epoch, so that a node which no longer owns the group stores nothing.

use std::collections::BTreeMap;
use std::time::Instant;

use tokio_postgres::Row;
use uuid::Uuid;

use super::StoreError;
use super::query::{Params, get};
use super::writer::{Writer, hash};
use crate::domain::intake::SendHash;
use crate::domain::journal::Known;
use crate::ids::{ClientMsgId, ConversationNo, MessageId, Seq, Shard, ShardEpoch, UserNo};

pub(super) const APPEND_GROUPS: &str = include_str!("../../sql/queries/append_groups.sql");
pub(super) const FIND_GROUP_ENTRIES: &str =
    include_str!("../../sql/queries/find_group_entries.sql");

/// A message that its group's owner has given a place.
#[derive(Debug, Clone, Copy)]
pub struct GroupPost<'a> {
    /// The group.
    pub group: ConversationNo,
    /// The epoch under which its shard is owned.
    pub epoch: ShardEpoch,
    /// Its place.
    pub seq: Seq,
    /// How many entries count as unread up to here, this one included.
    pub counted: u64,
    /// Who sent it.
    pub sender: UserNo,
    /// Its sender's key.
    pub key: ClientMsgId,
    /// What its content hashes to.
    pub hash: &'a SendHash,
    /// Its id.
    pub message_id: MessageId,
    /// The stored form of what it says.
    pub body: &'a [u8],
}

/// What an append to groups says when it says anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupsAppended {
    /// Somebody else has claimed the journal; nothing was written.
    Fenced,
    /// Each group for itself was stored whole, or left alone.
    Done {
        /// The groups of which all rows are committed.
        stored: Vec<ConversationNo>,
        /// Rows whose keys are stored, by this index; their groups were left alone. A group that is neither here nor
        /// stored was moved by another owner.
        known: Vec<Known>,
    },
}

/// Names an entry of a group by what its sender gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupKey {
    /// The group.
    pub group: ConversationNo,
    /// Who sent it.
    pub sender: UserNo,
    /// The key.
    pub key: ClientMsgId,
}

impl Writer {
    /// Appends messages, each group's in rising order without a gap; for each group all or none.
    ///
    /// A group is stored when its shard is owned under the epoch of its rows, its head is right below its first row, and
    /// none of its keys is stored.
    pub async fn append_groups(
        &self,
        posts: &[GroupPost<'_>],
    ) -> Result<GroupsAppended, StoreError> {
        let heads = heads(posts)?;
        let head = |of: fn(&Head) -> i64| -> Vec<i64> { heads.values().map(of).collect() };
        let groups: Vec<i64> = heads.keys().map(|group| group.get()).collect();
        let shards: Vec<i32> = heads.keys().map(|group| Shard::of(*group).to_store()).collect();
        let post = |of: fn(&GroupPost<'_>) -> i64| -> Vec<i64> { posts.iter().map(of).collect() };
        let days: Vec<i32> = posts.iter().map(|post| post.key.minted_at().day()).collect();
        let keys: Vec<Uuid> = posts.iter().map(|post| post.key.uuid()).collect();
        let hashes: Vec<&[u8]> = posts.iter().map(|post| post.hash.as_slice()).collect();
        let bodies: Vec<&[u8]> = posts.iter().map(|post| post.body).collect();
        let started = Instant::now();
        let params: Params<'_> = &[
            &self.node.get(),
            &self.journal,
            &self.fence.get(),
            &groups,
            &shards,
            &head(|head| head.epoch.get()),
            &head(|head| head.base),
            &head(|head| head.last.to_store()),
            &head(|head| head.counted),
            &head(|head| head.last_id.get()),
            &post(|post| post.group.get()),
            &post(|post| post.seq.to_store()),
            &post(|post| to_store(post.counted)),
            &post(|post| post.sender.get()),
            &days,
            &keys,
            &hashes,
            &post(|post| post.message_id.get()),
            &bodies,
        ];
        let answers = sabotaged!(answer self.client, &self.append_groups, params)
            .await
            .map_err(|error| StoreError::of_write(&error, started.elapsed()))?;
        let (mut stored, mut known, mut fenced) = (Vec::new(), Vec::new(), true);
        for answer in &answers {
            match get(answer, "kind")? {
                "stored" => stored.push(ConversationNo::from_store(get(answer, "no")?)),
                "known" => known.push(known_entry(answer, "no")?),
                _ => fenced = false,
            }
        }
        if fenced { Ok(GroupsAppended::Fenced) } else { Ok(GroupsAppended::Done { stored, known }) }
    }

    /// Looks up which of these entries are stored, by index. Final only after [`Writer::claim`].
    pub async fn find_groups(&self, entries: &[GroupKey]) -> Result<Vec<Known>, StoreError> {
        let days: Vec<i32> = entries.iter().map(|entry| entry.key.minted_at().day()).collect();
        let keys: Vec<Uuid> = entries.iter().map(|entry| entry.key.uuid()).collect();
        let groups: Vec<i64> = entries.iter().map(|entry| entry.group.get()).collect();
        let senders: Vec<i64> = entries.iter().map(|entry| entry.sender.get()).collect();
        let found = self
            .client
            .query(&self.find_group_entries, &[&days, &keys, &groups, &senders])
            .await
            .map_err(|error| StoreError::of_read(&error))?;
        found.iter().map(|row| known_entry(row, "i")).collect()
    }
}

/// What an append makes of one group's head.
struct Head {
    epoch: ShardEpoch,
    base: i64,
    last: Seq,
    counted: i64,
    last_id: MessageId,
}

fn heads(posts: &[GroupPost<'_>]) -> Result<BTreeMap<ConversationNo, Head>, StoreError> {
    let mut heads: BTreeMap<ConversationNo, Head> = BTreeMap::new();
    for post in posts {
        let head = heads.entry(post.group).or_insert_with(|| {
            let base = Seq::new(post.seq.get().saturating_sub(1));
            let (epoch, base_store) = (post.epoch, base.to_store());
            Head { epoch, base: base_store, last: base, counted: 0, last_id: post.message_id }
        });
        // The statement is not told of each place: it would store a hole.
        if post.seq != head.last.next() || post.epoch != head.epoch {
            let reason = format!("the rows of group {} do not follow each other", post.group);
            return Err(StoreError::Refused { reason });
        }
        head.last = post.seq;
        head.counted = to_store(post.counted);
        head.last_id = post.message_id;
    }
    Ok(heads)
}

/// A count as the store keeps it.
pub(super) fn to_store(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn known_entry(row: &Row, index: &str) -> Result<Known, StoreError> {
    let index: i64 = get(row, index)?;
    Ok(Known {
        index: usize::try_from(index - 1).unwrap_or_default(),
        seq: Seq::from_store(get(row, "seq")?),
        message_id: MessageId::from_store(get(row, "message_id")?),
        hash: hash(get(row, "send_hash")?),
    })
}
