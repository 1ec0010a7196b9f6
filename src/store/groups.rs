//! Groups as they stand: what their owner wakes up with, what readers see of them, and their logs.

use deadpool_postgres::Pool;
use tokio_postgres::Row;

use super::StoreError;
use super::inbox::user_id;
use super::members::{Membership, membership};
use super::pairs::{From, rust_bytes};
use super::query::{get, row, rows};
use super::writer::hash;
use crate::domain::intake::SendHash;
use crate::domain::policy::Kind;
use crate::ids::{
    AppId, ClientMsgId, ConversationNo, GroupId, Incarnation, MessageId, NodeId, Seq, ShardEpoch,
    UnixMs, UserId, UserNo,
};
use crate::limits;

const NEXT_CONVERSATION_NO: &str = include_str!("../../sql/queries/next_conversation_no.sql");
const GROUP_STATE: &str = include_str!("../../sql/queries/group_state.sql");
const GROUP_SENDER: &str = include_str!("../../sql/queries/group_sender.sql");
const GROUP_HEADS: &str = include_str!("../../sql/queries/group_heads.sql");
const GROUPS_OF_USER: &str = include_str!("../../sql/queries/groups_of_user.sql");
const MOVED_GROUPS: &str = include_str!("../../sql/queries/moved_groups.sql");
const GROUP_INFO: &str = include_str!("../../sql/queries/group_info.sql");
const GROUP_PAGE: &str = include_str!("../../sql/queries/group_page.sql");
const GROUP_HISTORY_AFTER: &str = include_str!("../../sql/queries/group_history_after.sql");
const GROUP_HISTORY_BEFORE: &str = include_str!("../../sql/queries/group_history_before.sql");

/// Takes a number for a group that is about to be made.
pub async fn next_number(pool: &Pool) -> Result<ConversationNo, StoreError> {
    let row = row(pool, NEXT_CONVERSATION_NO, &[]).await?;
    let row =
        row.ok_or_else(|| StoreError::Refused { reason: "no number was returned".to_owned() })?;
    Ok(ConversationNo::from_store(get(&row, "conversation_no")?))
}

/// Who owns a shard, as the store has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardOwner {
    /// Under which epoch.
    pub epoch: ShardEpoch,
    /// The node.
    pub node: NodeId,
    /// Which start of it.
    pub incarnation: Incarnation,
}

/// What the owner of a group wakes up with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupState {
    /// Its number.
    pub no: ConversationNo,
    /// Its kind.
    pub kind: Kind,
    /// What people call it.
    pub name: String,
    /// Its owner; none once it was dissolved.
    pub owner: Option<UserNo>,
    /// How many members it has.
    pub members: u32,
    /// The notice of its end.
    pub dissolved: Option<Seq>,
    /// The last entry of its log.
    pub head: Seq,
    /// How many entries of its log count as unread.
    pub counted: u64,
    /// Who may append to it; none while nobody has ever owned its shard.
    pub owner_of_shard: Option<ShardOwner>,
}

/// Loads a group; none when there is no such one.
pub async fn load(pool: &Pool, app: AppId, id: &GroupId) -> Result<Option<GroupState>, StoreError> {
    let row = row(pool, GROUP_STATE, &[&app.get(), &id.as_str()]).await?;
    row.map(|row| {
        let owner: Option<i64> = get(&row, "owner_no")?;
        let dissolved: Option<i64> = get(&row, "dissolved_seq")?;
        let counted: i64 = get(&row, "counted")?;
        let epoch: Option<i64> = get(&row, "epoch")?;
        let node: Option<i64> = get(&row, "node")?;
        let incarnation: Option<i64> = get(&row, "incarnation")?;
        let owner_of_shard =
            epoch.zip(node).zip(incarnation).map(|((epoch, node), incarnation)| ShardOwner {
                epoch: ShardEpoch::from_store(epoch),
                node: NodeId::from_store(node),
                incarnation: Incarnation::from_store(incarnation),
            });
        Ok(GroupState {
            no: ConversationNo::from_store(get(&row, "conversation_no")?),
            kind: kind(&row)?,
            name: get(&row, "name")?,
            owner: owner.map(UserNo::from_store),
            members: members(&row)?,
            dissolved: dissolved.map(Seq::from_store),
            head: Seq::from_store(get(&row, "head")?),
            counted: u64::try_from(counted).unwrap_or_default(),
            owner_of_shard,
        })
    })
    .transpose()
}

/// What was sent under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredEntry {
    /// Its place.
    pub seq: Seq,
    /// Its id.
    pub message_id: MessageId,
    /// What its content hashes to.
    pub hash: SendHash,
}

/// What is known of a sender in a group, and of a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderFacts {
    /// The group's head when this held.
    pub head: Seq,
    /// The sender's membership, a former one too; none for one who never was a member.
    pub membership: Option<Membership>,
    /// What was sent under the key before.
    pub stored: Option<StoredEntry>,
}

/// Looks up a sender and a key in one go; none when there is no such group.
pub async fn sender(
    pool: &Pool,
    group: ConversationNo,
    user: UserNo,
    key: ClientMsgId,
) -> Result<Option<SenderFacts>, StoreError> {
    let params: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
        &[&group.get(), &user.get(), &key.minted_at().day(), &key.uuid()];
    let row = row(pool, GROUP_SENDER, params).await?;
    row.map(|row| {
        let seq: Option<i64> = get(&row, "seq")?;
        let stored = match seq {
            None => None,
            Some(seq) => Some(StoredEntry {
                seq: Seq::from_store(seq),
                message_id: MessageId::from_store(get(&row, "message_id")?),
                hash: hash(get(&row, "send_hash")?),
            }),
        };
        let head = Seq::from_store(get(&row, "head")?);
        Ok(SenderFacts { head, membership: membership(&row)?, stored })
    })
    .transpose()
}

/// A group that a user is a member of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnGroup {
    /// The group.
    pub id: GroupId,
    /// Its number.
    pub no: ConversationNo,
    /// Its head.
    pub head: Seq,
}

/// The groups that a user is a member of, by number.
pub async fn of_user(pool: &Pool, user: UserNo) -> Result<Vec<OwnGroup>, StoreError> {
    let rows =
        rows(pool, GROUPS_OF_USER, &[&user.get(), &(limits::GROUPS_PER_USER as i64)]).await?;
    let own = |row| {
        Ok(OwnGroup {
            id: group_id(row, "id")?,
            no: ConversationNo::from_store(get(row, "conversation_no")?),
            head: Seq::from_store(get(row, "head")?),
        })
    };
    rows.iter().map(own).collect()
}

/// The heads of groups.
pub async fn heads(
    pool: &Pool,
    groups: &[ConversationNo],
) -> Result<Vec<(ConversationNo, Seq)>, StoreError> {
    let numbers: Vec<i64> = groups.iter().map(|no| no.get()).collect();
    let head = |row| {
        let no = ConversationNo::from_store(get(row, "conversation_no")?);
        Ok((no, Seq::from_store(get(row, "seq")?)))
    };
    rows(pool, GROUP_HEADS, &[&numbers]).await?.iter().map(head).collect()
}

/// The head of a user's group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedGroup {
    /// Its number: the place in the order of pages.
    pub no: ConversationNo,
    /// The group.
    pub id: GroupId,
    /// Its head; to a former member the notice of the leaving.
    pub head: Seq,
    /// The first entry that the user may see.
    pub min_seq: Seq,
    /// Whether the user is a former member.
    pub left: bool,
}

/// A page of a user's groups by number, of which a client lacks something: those whose head is not what it named or that it
/// did not name, and those that it named and the user has left. `named` holds no group twice.
pub async fn moved(
    pool: &Pool,
    app: AppId,
    user: UserNo,
    named: &[(&GroupId, Seq)],
    after: ConversationNo,
    limit: usize,
) -> Result<Vec<MovedGroup>, StoreError> {
    let ids: Vec<&str> = named.iter().map(|(id, _)| id.as_str()).collect();
    let seqs: Vec<i64> = named.iter().map(|(_, seq)| seq.to_store()).collect();
    let params: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
        &[&user.get(), &app.get(), &ids, &seqs, &after.get(), &(limit as i64)];
    let rows = rows(pool, MOVED_GROUPS, params).await?;
    rows.iter()
        .map(|row| {
            Ok(MovedGroup {
                no: ConversationNo::from_store(get(row, "conversation_no")?),
                id: group_id(row, "id")?,
                head: Seq::from_store(get(row, "head")?),
                min_seq: Seq::from_store(get(row, "min_seq")?),
                left: get(row, "is_former")?,
            })
        })
        .collect()
}

/// A group as one who asks for it sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRow {
    /// Its number: the place in the order of pages.
    pub no: ConversationNo,
    /// The group.
    pub id: GroupId,
    /// Its kind.
    pub kind: Kind,
    /// What people call it.
    pub name: String,
    /// Its owner; none once it was dissolved.
    pub owner: Option<UserId>,
    /// How many members it has.
    pub members: u32,
    /// When it was made.
    pub created_at: UnixMs,
    /// The notice of its end.
    pub dissolved: Option<Seq>,
    /// The last entry of its log.
    pub head: Seq,
    /// The reader's membership, a former one too.
    pub membership: Option<Membership>,
}

impl GroupRow {
    /// The entries that the reader may see, from the first to the last; none for one who never was a member.
    pub fn window(&self) -> Option<Window> {
        let membership = self.membership?;
        let to = membership.left_seq.unwrap_or(self.head);
        Some(Window { from: membership.min_seq, to })
    }
}

/// Looks a group up for a reader; none when there is no such one.
pub async fn info(
    pool: &Pool,
    app: AppId,
    id: &GroupId,
    reader: UserNo,
) -> Result<Option<GroupRow>, StoreError> {
    let row = row(pool, GROUP_INFO, &[&app.get(), &id.as_str(), &reader.get()]).await?;
    row.map(|row| group_row(&row)).transpose()
}

/// A page of the groups that a user is a member of, by number.
pub async fn list(
    pool: &Pool,
    user: UserNo,
    after: ConversationNo,
    limit: usize,
) -> Result<Vec<GroupRow>, StoreError> {
    let rows = rows(pool, GROUP_PAGE, &[&user.get(), &after.get(), &(limit as i64)]).await?;
    rows.iter().map(group_row).collect()
}

fn group_row(row: &Row) -> Result<GroupRow, StoreError> {
    let owner: Option<&str> = get(row, "owner")?;
    let dissolved: Option<i64> = get(row, "dissolved_seq")?;
    Ok(GroupRow {
        no: ConversationNo::from_store(get(row, "conversation_no")?),
        id: group_id(row, "id")?,
        kind: kind(row)?,
        name: get(row, "name")?,
        owner: owner.map(|_| user_id(row, "owner")).transpose()?,
        members: members(row)?,
        created_at: UnixMs::new(get(row, "created_at_ms")?),
        dissolved: dissolved.map(Seq::from_store),
        head: Seq::from_store(get(row, "head")?),
        membership: membership(row)?,
    })
}

/// What an entry of a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryType {
    /// What somebody said.
    Message,
    /// What the group tells of itself.
    Notice,
}

/// One entry of a group's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupEntry {
    /// Its place.
    pub seq: Seq,
    /// What it is.
    pub entry_type: EntryType,
    /// Who sent it; of a notice who did what it tells of.
    pub sender: UserId,
    /// The sender's number.
    pub sender_no: UserNo,
    /// Its id.
    pub message_id: MessageId,
    /// Its sender's key.
    pub key: ClientMsgId,
    /// The stored form of what it says.
    pub body: Vec<u8>,
}

/// The entries that a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first.
    pub from: Seq,
    /// The last.
    pub to: Seq,
}

/// A page of a group's log in rising order, within a window: at most `limit` entries, ended early where the bodies pass
/// `bytes`.
pub async fn history(
    pool: &Pool,
    group: ConversationNo,
    window: Window,
    from: From,
    limit: usize,
    bytes: usize,
) -> Result<Vec<GroupEntry>, StoreError> {
    let (sql, seq) = match from {
        From::After(seq) => (GROUP_HISTORY_AFTER, seq),
        From::Before(seq) => (GROUP_HISTORY_BEFORE, seq),
    };
    let params: &[&(dyn tokio_postgres::types::ToSql + Sync)] = &[
        &group.get(),
        &seq.to_store(),
        &window.from.to_store(),
        &window.to.to_store(),
        &(limit as i64),
        &rust_bytes(bytes),
    ];
    let rows = rows(pool, sql, params).await?;
    let mut entries = rows.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    if matches!(from, From::Before(_)) {
        entries.reverse();
    }
    Ok(entries)
}

/// Reads an entry of a group's log.
pub(super) fn entry(row: &Row) -> Result<GroupEntry, StoreError> {
    let entry_type: i16 = get(row, "entry_type")?;
    Ok(GroupEntry {
        seq: Seq::from_store(get(row, "seq")?),
        entry_type: match entry_type {
            1 => EntryType::Message,
            _ => EntryType::Notice,
        },
        sender: user_id(row, "sender")?,
        sender_no: UserNo::from_store(get(row, "sender_no")?),
        message_id: MessageId::from_store(get(row, "message_id")?),
        key: ClientMsgId::from_store(get(row, "client_msg_id")?),
        body: get(row, "body")?,
    })
}

/// Reads a group's id.
pub(super) fn group_id(row: &Row, column: &str) -> Result<GroupId, StoreError> {
    let raw: &str = get(row, column)?;
    GroupId::parse(raw).map_err(|error| StoreError::Refused { reason: error.to_string() })
}

/// Reads a group's kind.
pub(super) fn kind(row: &Row) -> Result<Kind, StoreError> {
    let raw: &str = get(row, "kind")?;
    Kind::from_store(raw)
        .ok_or_else(|| StoreError::Refused { reason: "a group of an unknown kind".to_owned() })
}

/// Reads a group's number of members.
pub(super) fn members(row: &Row) -> Result<u32, StoreError> {
    let members: i32 = get(row, "members")?;
    Ok(u32::try_from(members).unwrap_or_default())
}
