//! A group as its owner holds it: the number, the epoch of its shard, and the head that it believes in.

use rookery::domain::intake::SendHash;
use rookery::domain::policy::{History, Kind};
use rookery::ids::{
    AppId, ClientMsgId, ConversationNo, GroupId, Incarnation, MessageId, NodeId, Seq, Shard,
    ShardEpoch, UserNo,
};
use rookery::store::group_appends::{GroupPost, GroupsAppended};
use rookery::store::group_changes::{GroupChange, GroupChanged, NewGroup};
use rookery::store::writer::Writer;
use rookery::store::{StoreError, groups, shards};

use super::base::{Base, NODE, ids};

pub const HASH: SendHash = [9; 16];

/// Takes all free shards for a node.
pub async fn own_all_shards(base: &Base) {
    own_shards_as(base, NODE, 1).await;
}

pub async fn own_shards_as(base: &Base, node: NodeId, incarnation: i64) {
    let client = base.connector.open().await.unwrap();
    shards::claim_own(&client, node, Incarnation::from_store(incarnation)).await.unwrap();
}

/// One group in its owner's eyes. A clone is a second owner, who believes what the first one did.
#[derive(Debug, Clone)]
pub struct Group {
    pub no: ConversationNo,
    pub id: GroupId,
    pub kind: Kind,
    pub epoch: ShardEpoch,
    pub head: u64,
    pub counted: u64,
}

/// A message that was given its place.
#[derive(Debug, Clone)]
pub struct Post {
    pub group: ConversationNo,
    pub epoch: ShardEpoch,
    pub seq: Seq,
    pub counted: u64,
    pub sender: UserNo,
    pub key: ClientMsgId,
    pub message_id: MessageId,
    pub body: Vec<u8>,
}

impl Group {
    /// A group that is not made yet.
    pub async fn new(base: &Base, id: &str, kind: Kind) -> Self {
        let no = groups::next_number(&base.pool).await.unwrap();
        let id = GroupId::parse(id).unwrap();
        let epoch = epoch_of(base, Shard::of(no)).await;
        Self { no, id, kind, epoch, head: 0, counted: 0 }
    }

    /// Makes a group.
    pub async fn create(
        base: &Base,
        writer: &Writer,
        id: &str,
        kind: Kind,
        owner: UserNo,
        members: &[UserNo],
    ) -> Self {
        let mut group = Self::new(base, id, kind).await;
        let id = group.id.clone();
        let new = NewGroup { app: AppId::DEFAULT, id: &id, kind, name: "A group" };
        let change = Change { create: Some(new), add: members, ..Change::by(owner) };
        assert_eq!(group.change(base, writer, change).await, GroupChanged::Stored);
        group
    }

    /// Gives a message of `sender` the next place.
    pub fn post(&mut self, base: &Base, sender: UserNo) -> Post {
        self.post_with(base.key(), sender)
    }

    pub fn post_with(&mut self, key: ClientMsgId, sender: UserNo) -> Post {
        self.head += 1;
        self.counted += 1;
        Post {
            group: self.no,
            epoch: self.epoch,
            seq: Seq::new(self.head),
            counted: self.counted,
            sender,
            key,
            message_id: ids(1)[0],
            body: key.to_string().into_bytes(),
        }
    }

    /// Gives a notice the next place and commits it with what it tells of. The place is given back if nothing was written.
    pub async fn change(
        &mut self,
        base: &Base,
        writer: &Writer,
        change: Change<'_>,
    ) -> GroupChanged {
        self.try_change(base, writer, change).await.unwrap()
    }

    pub async fn try_change(
        &mut self,
        base: &Base,
        writer: &Writer,
        change: Change<'_>,
    ) -> Result<GroupChanged, StoreError> {
        let seq = Seq::new(self.head + 1);
        let min_seq = match self.kind.policy().history {
            History::FromJoining => seq,
            History::Whole => Seq::new(1),
        };
        let outcome = writer
            .change_group(&GroupChange {
                group: self.no,
                epoch: self.epoch,
                seq,
                counted: self.counted,
                sender: change.by,
                key: base.key(),
                hash: &HASH,
                message_id: ids(1)[0],
                body: b"notice",
                create: change.create,
                name: change.name,
                owner: change.owner,
                add: change.add,
                min_seq,
                remove: change.remove,
                dissolve: change.dissolve,
            })
            .await?;
        if outcome == GroupChanged::Stored {
            self.head += 1;
        }
        Ok(outcome)
    }
}

/// What a change is about.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    pub by: UserNo,
    pub create: Option<NewGroup<'a>>,
    pub name: Option<&'a str>,
    pub owner: Option<UserNo>,
    pub add: &'a [UserNo],
    pub remove: &'a [UserNo],
    pub dissolve: bool,
}

impl Change<'_> {
    /// A notice that tells of nothing.
    pub fn by(user: UserNo) -> Self {
        Self {
            by: user,
            create: None,
            name: None,
            owner: None,
            add: &[],
            remove: &[],
            dissolve: false,
        }
    }
}

/// The epoch of a shard, whoever owns it.
pub async fn epoch_of(base: &Base, shard: Shard) -> ShardEpoch {
    let client = base.connector.open().await.unwrap();
    let sql = "select epoch from shard_owner where shard = $1";
    let row = client.query_one(sql, &[&shard.to_store()]).await.unwrap();
    ShardEpoch::from_store(row.get(0))
}

pub async fn append(writer: &Writer, posts: &[Post]) -> GroupsAppended {
    let posts: Vec<GroupPost<'_>> = posts.iter().map(borrowed).collect();
    writer.append_groups(&posts).await.unwrap()
}

pub fn borrowed(post: &Post) -> GroupPost<'_> {
    GroupPost {
        group: post.group,
        epoch: post.epoch,
        seq: post.seq,
        counted: post.counted,
        sender: post.sender,
        key: post.key,
        hash: &HASH,
        message_id: post.message_id,
        body: &post.body,
    }
}

/// Appends what must be stored.
pub async fn stored(writer: &Writer, posts: &[Post]) {
    let mut groups: Vec<ConversationNo> = posts.iter().map(|post| post.group).collect();
    groups.sort();
    groups.dedup();
    match append(writer, posts).await {
        GroupsAppended::Done { mut stored, known } => {
            stored.sort();
            assert_eq!((stored, known.len()), (groups, 0));
        }
        GroupsAppended::Fenced => panic!("the writer was fenced"),
    }
}
