//! How a group changes: a notice in its log and what it tells of, in one commit, under the fences of an append.

use std::time::Instant;

use super::StoreError;
use super::group_appends::to_store;
use super::query::get;
use super::writer::Writer;
use crate::domain::intake::SendHash;
use crate::domain::policy::Kind;
use crate::ids::{
    AppId, ClientMsgId, ConversationNo, GroupId, MessageId, Seq, Shard, ShardEpoch, UserNo,
};
use crate::limits;

pub(super) const CHANGE_GROUP: &str = include_str!("../../sql/queries/change_group.sql");

/// A group that a change makes. Its sender becomes a member and the owner.
#[derive(Debug, Clone, Copy)]
pub struct NewGroup<'a> {
    /// The app.
    pub app: AppId,
    /// What it is called by programs.
    pub id: &'a GroupId,
    /// Its kind.
    pub kind: Kind,
    /// What people call it.
    pub name: &'a str,
}

/// One notice, and what it tells of.
#[derive(Debug, Clone, Copy)]
pub struct GroupChange<'a> {
    /// The group; a number of its own if it is made.
    pub group: ConversationNo,
    /// The epoch under which its shard is owned.
    pub epoch: ShardEpoch,
    /// The notice's place; 1 in a group that is made.
    pub seq: Seq,
    /// How many entries count as unread up to here; a notice does not.
    pub counted: u64,
    /// Who makes the change.
    pub sender: UserNo,
    /// The notice's key: by it the outcome of a broken statement is looked up.
    pub key: ClientMsgId,
    /// What the notice's content hashes to.
    pub hash: &'a SendHash,
    /// The notice's id.
    pub message_id: MessageId,
    /// The stored form of the notice.
    pub body: &'a [u8],
    /// The group to make, if it is not there.
    pub create: Option<NewGroup<'a>>,
    /// A new name.
    pub name: Option<&'a str>,
    /// The member who owns it from now on, if another one; who did before is then a member like others. A group that is
    /// made is owned by its sender, one that is dissolved by nobody.
    pub owner: Option<UserNo>,
    /// Who becomes a member, none twice; nobody who is one.
    pub add: &'a [UserNo],
    /// The first entry that those may see.
    pub min_seq: Seq,
    /// Whose membership ends, none twice; nobody who is not a member.
    pub remove: &'a [UserNo],
    /// Whether everyone's membership ends.
    pub dissolve: bool,
}

/// What came of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupChanged {
    /// It is committed.
    Stored,
    /// The shard's epoch, the head or the members are not what the owner believes; nothing was written.
    Moved,
    /// The app has a group of this id; nothing was written.
    Taken,
    /// Users who would be in more groups than one may be in; nothing was written.
    TooManyGroups {
        /// Who.
        users: Vec<UserNo>,
    },
    /// Somebody else has claimed the journal; nothing was written.
    Fenced,
}

impl Writer {
    /// Commits a notice together with what it tells of.
    pub async fn change_group(&self, change: &GroupChange<'_>) -> Result<GroupChanged, StoreError> {
        let mut add: Vec<i64> = change.add.iter().map(|user| user.get()).collect();
        let remove: Vec<i64> = change.remove.iter().map(|user| user.get()).collect();
        let mut owner = change.owner;
        if change.create.is_some() {
            if !change.add.contains(&change.sender) {
                add.push(change.sender.get());
            }
            owner = owner.or(Some(change.sender));
        }
        if change.dissolve {
            owner = None;
        }
        let owner_moves = owner.is_some() || change.dissolve;
        let create = change.create.as_ref();
        let started = Instant::now();
        let answers = self
            .client
            .query(
                &self.change_group,
                &[
                    &self.node.get(),
                    &self.journal,
                    &self.fence.get(),
                    &change.group.get(),
                    &Shard::of(change.group).to_store(),
                    &change.epoch.get(),
                    &change.seq.to_store(),
                    &to_store(change.counted),
                    &change.sender.get(),
                    &change.key.minted_at().day(),
                    &change.key.uuid(),
                    &change.hash.as_slice(),
                    &change.message_id.get(),
                    &change.body,
                    &create.map(|group| group.app.get()),
                    &create.map(|group| group.id.as_str()),
                    &create.map(|group| group.kind.as_str()),
                    &create.map_or(change.name, |group| Some(group.name)),
                    &owner_moves,
                    &owner.map(UserNo::get),
                    &add,
                    &change.min_seq.to_store(),
                    &remove,
                    &change.dissolve,
                    &(limits::GROUPS_PER_USER as i32),
                ],
            )
            .await
            .map_err(|error| StoreError::of_write(&error, started.elapsed()))?;
        let mut users = Vec::new();
        for answer in &answers {
            match get(answer, "kind")? {
                "stored" => return Ok(GroupChanged::Stored),
                "taken" => return Ok(GroupChanged::Taken),
                "full" => users.push(UserNo::from_store(get(answer, "user_no")?)),
                _ => return Ok(GroupChanged::Moved),
            }
        }
        if users.is_empty() {
            return Ok(GroupChanged::Fenced);
        }
        Ok(GroupChanged::TooManyGroups { users })
    }
}
