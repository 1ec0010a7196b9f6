//! Inboxes: each user's one stream of one-to-one entries.

use deadpool_postgres::Pool;

use super::StoreError;
use super::pairs::rust_bytes;
use super::query::{get, row, rows};
use crate::ids::{ClientMsgId, InboxSeq, MessageId, Seq, UserId, UserNo};

const INBOX_HEAD: &str = include_str!("../../sql/queries/inbox_head.sql");
const INBOX_HEADS: &str = include_str!("../../sql/queries/inbox_heads.sql");
const INBOX_PAGE: &str = include_str!("../../sql/queries/inbox_page.sql");

/// One entry of an inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxEntry {
    /// Its place in the inbox.
    pub inbox: InboxSeq,
    /// Its place in its pair.
    pub seq: Seq,
    /// The other side of the pair.
    pub peer: UserId,
    /// Who sent it.
    pub sender: UserId,
    /// Its id.
    pub message_id: MessageId,
    /// Its sender's key.
    pub key: ClientMsgId,
    /// The stored form of what it says.
    pub body: Vec<u8>,
}

/// An inbox's head.
pub async fn head(pool: &Pool, owner: UserNo) -> Result<InboxSeq, StoreError> {
    let row = row(pool, INBOX_HEAD, &[&owner.get()]).await?;
    row.map_or(Ok(InboxSeq::ZERO), |row| Ok(InboxSeq::from_store(get(&row, "seq")?)))
}

/// The heads of inboxes.
pub async fn heads(pool: &Pool, owners: &[UserNo]) -> Result<Vec<(UserNo, InboxSeq)>, StoreError> {
    let numbers: Vec<i64> = owners.iter().map(|no| no.get()).collect();
    let head = |row| {
        let owner = UserNo::from_store(get(row, "owner_no")?);
        Ok((owner, InboxSeq::from_store(get(row, "seq")?)))
    };
    rows(pool, INBOX_HEADS, &[&numbers]).await?.iter().map(head).collect()
}

/// A page of an inbox: at most `limit` entries, ended early where the bodies pass `bytes`.
pub async fn page(
    pool: &Pool,
    owner: UserNo,
    after: InboxSeq,
    limit: usize,
    bytes: usize,
) -> Result<Vec<InboxEntry>, StoreError> {
    let (limit, bytes) = (limit as i64, rust_bytes(bytes));
    let rows = rows(pool, INBOX_PAGE, &[&owner.get(), &after.to_store(), &limit, &bytes]).await?;
    rows.iter()
        .map(|row| {
            Ok(InboxEntry {
                inbox: InboxSeq::from_store(get(row, "inbox_seq")?),
                seq: Seq::from_store(get(row, "seq")?),
                peer: user_id(row, "peer")?,
                sender: user_id(row, "sender")?,
                message_id: MessageId::from_store(get(row, "message_id")?),
                key: ClientMsgId::from_store(get(row, "client_msg_id")?),
                body: get(row, "body")?,
            })
        })
        .collect()
}

pub(super) fn user_id(row: &tokio_postgres::Row, column: &str) -> Result<UserId, StoreError> {
    let raw: &str = get(row, column)?;
    UserId::parse(raw).map_err(|error| StoreError::Refused { reason: error.to_string() })
}
