//! What a user's list of conversations shows.

use deadpool_postgres::Pool;

use super::StoreError;
use super::inbox::{InboxEntry, user_id};
use super::pairs::{PeerCursors, peer_cursors};
use super::query::{get, rows};
use crate::ids::{ClientMsgId, ConversationNo, InboxSeq, MessageId, Seq, UserNo};

const CONVERSATION_PAGE: &str = include_str!("../../sql/queries/conversation_page.sql");

/// The place of a conversation in the list, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// One row of the list.
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

/// A page of a user's conversations after a place, newest first.
pub async fn page(
    pool: &Pool,
    owner: UserNo,
    after: ListPlace,
    limit: usize,
) -> Result<Vec<ConversationEntry>, StoreError> {
    let params: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
        &[&owner.get(), &after.last.get(), &after.no.get(), &(limit as i64)];
    let rows = rows(pool, CONVERSATION_PAGE, params).await?;
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
