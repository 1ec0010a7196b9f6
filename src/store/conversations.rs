//! What a user's list of conversations shows.

use deadpool_postgres::Pool;

use super::StoreError;
use super::groups::{self, GroupEntry, group_id, kind, members};
use super::inbox::{InboxEntry, user_id};
use super::pairs::{PeerCursors, peer_cursors};
use super::query::{get, rows};
use crate::domain::policy::Kind;
use crate::ids::{ClientMsgId, ConversationNo, GroupId, InboxSeq, MessageId, Seq, UserNo};

const PAIR_CONVERSATION_PAGE: &str = include_str!("../../sql/queries/pair_conversation_page.sql");
const GROUP_CONVERSATION_PAGE: &str = include_str!("../../sql/queries/group_conversation_page.sql");

/// The place of a conversation in the list, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListPlace {
    /// Its last message.
    pub last: MessageId,
    /// Which of those with the same last message; never needed, but a place must be unique.
    pub no: ConversationNo,
}

impl ListPlace {
    /// Before all conversations.
    pub const START: Self =
        Self { last: MessageId::from_store(i64::MAX), no: ConversationNo::from_store(i64::MAX) };
}

/// One pair in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationEntry {
    /// Its place.
    pub place: ListPlace,
    /// Its last message, as the owner's inbox has it.
    pub last: InboxEntry,
    /// Messages of the other side above the owner's read cursor.
    pub unread: u64,
    /// The owner's read cursor.
    pub read: Seq,
    /// The owner's delivered cursor.
    pub delivered: Seq,
    /// How far the other side is; none in a pair with oneself.
    pub peer: Option<PeerCursors>,
}

/// One group in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupConversation {
    /// Its place.
    pub place: ListPlace,
    /// The group.
    pub id: GroupId,
    /// Its kind.
    pub kind: Kind,
    /// What people call it.
    pub name: String,
    /// How many members it has.
    pub members: u32,
    /// The first entry that the user may see.
    pub min_seq: Seq,
    /// Whether the user is a former member.
    pub left: bool,
    /// Its last entry; to a former member the notice of the leaving.
    pub last: GroupEntry,
    /// Messages of others above the user's read cursor and since the joining; 0 in kinds that count none.
    pub unread: u64,
    /// The user's read cursor.
    pub read: Seq,
}

/// One row of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// A pair.
    Pair(ConversationEntry),
    /// A group.
    Group(GroupConversation),
}

impl Listed {
    /// Its place.
    pub fn place(&self) -> ListPlace {
        match self {
            Self::Pair(pair) => pair.place,
            Self::Group(group) => group.place,
        }
    }
}

/// A page of a user's conversations after a place, pairs and groups in one order, newest first.
pub async fn list(
    pool: &Pool,
    owner: UserNo,
    after: ListPlace,
    limit: usize,
) -> Result<Vec<Listed>, StoreError> {
    let pairs = page(pool, owner, after, limit).await?;
    let groups = group_page(pool, owner, after, limit).await?;
    let mut all: Vec<Listed> = pairs.into_iter().map(Listed::Pair).collect();
    all.extend(groups.into_iter().map(Listed::Group));
    all.sort_by_key(|listed| std::cmp::Reverse(listed.place()));
    all.truncate(limit);
    Ok(all)
}

/// A page of the groups that a user is or was a member of, after a place, newest first.
async fn group_page(
    pool: &Pool,
    owner: UserNo,
    after: ListPlace,
    limit: usize,
) -> Result<Vec<GroupConversation>, StoreError> {
    let counting: Vec<&str> = Kind::ALL
        .into_iter()
        .filter(|kind| kind.policy().counts_unread)
        .map(Kind::as_str)
        .collect();
    let params: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
        &[&owner.get(), &after.last.get(), &after.no.get(), &(limit as i64), &counting];
    let rows = rows(pool, GROUP_CONVERSATION_PAGE, params).await?;
    rows.iter()
        .map(|row| {
            let unread: i64 = get(row, "unread")?;
            Ok(GroupConversation {
                place: ListPlace {
                    last: MessageId::from_store(get(row, "last_message_id")?),
                    no: ConversationNo::from_store(get(row, "conversation_no")?),
                },
                id: group_id(row, "id")?,
                kind: kind(row)?,
                name: get(row, "name")?,
                members: members(row)?,
                min_seq: Seq::from_store(get(row, "min_seq")?),
                left: get(row, "is_former")?,
                last: groups::entry(row)?,
                unread: u64::try_from(unread).unwrap_or_default(),
                read: Seq::from_store(get(row, "read")?),
            })
        })
        .collect()
}

/// A page of the pairs in which a user has messages, after a place, newest first.
pub async fn page(
    pool: &Pool,
    owner: UserNo,
    after: ListPlace,
    limit: usize,
) -> Result<Vec<ConversationEntry>, StoreError> {
    let params: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
        &[&owner.get(), &after.last.get(), &after.no.get(), &(limit as i64)];
    let rows = rows(pool, PAIR_CONVERSATION_PAGE, params).await?;
    rows.iter()
        .map(|row| {
            let unread: i64 = get(row, "unread")?;
            Ok(ConversationEntry {
                place: ListPlace {
                    last: MessageId::from_store(get(row, "last_message_id")?),
                    no: ConversationNo::from_store(get(row, "conversation_no")?),
                },
                last: InboxEntry {
                    inbox: InboxSeq::from_store(get(row, "inbox_seq")?),
                    seq: Seq::from_store(get(row, "head")?),
                    peer: user_id(row, "peer")?,
                    sender: user_id(row, "sender")?,
                    message_id: MessageId::from_store(get(row, "message_id")?),
                    key: ClientMsgId::from_store(get(row, "client_msg_id")?),
                    body: get(row, "body")?,
                },
                unread: u64::try_from(unread).unwrap_or_default(),
                read: Seq::from_store(get(row, "read")?),
                delivered: Seq::from_store(get(row, "delivered")?),
                peer: peer_cursors(row)?,
            })
        })
        .collect()
}
