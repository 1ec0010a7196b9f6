//! Pairs: their logs, and how a batch is appended to them under the writer's fence.

use std::collections::BTreeMap;
use std::time::Instant;

use deadpool_postgres::Pool;
use uuid::Uuid;

use super::StoreError;
use super::query::{Params, get, row, rows};
use super::writer::{Writer, hash};
use crate::domain::journal::{Found as Stored, Known, Placed, Row, Target};
use crate::domain::sends::Pair;
use crate::ids::{AppId, ClientMsgId, ConversationNo, InboxSeq, MessageId, Seq, UserId, UserNo};

pub(super) const APPEND_PAIRS: &str = include_str!("../../sql/queries/append_pairs.sql");
pub(super) const FIND_SENDS: &str = include_str!("../../sql/queries/find_sends.sql");
const OPEN_PAIR: &str = include_str!("../../sql/queries/open_pair.sql");
const FIND_PAIR: &str = include_str!("../../sql/queries/find_pair.sql");
const PAIR_STATE: &str = include_str!("../../sql/queries/pair_state.sql");
const HISTORY_AFTER: &str = include_str!("../../sql/queries/history_after.sql");
const HISTORY_BEFORE: &str = include_str!("../../sql/queries/history_before.sql");
const STORED_SEND: &str = include_str!("../../sql/queries/stored_send.sql");

/// The entry type of a message; others are for what happens to messages afterwards.
const ENTRY_MESSAGE: i16 = 1;

/// What an append says when it says anything.
#[derive(Debug)]
pub enum AppendOutcome {
    /// All rows are committed; one entry a row.
    Stored(Vec<Placed>),
    /// These keys were stored before; nothing was written.
    Known(Vec<Known>),
    /// Somebody else has claimed the journal; nothing was written.
    Fenced,
}

impl Writer {
    /// Appends rows, in this order, all or none; `body` gives a row's stored form, `ids` its message id.
    pub async fn append<'a, P>(
        &self,
        rows: &'a [Row<P>],
        ids: &[MessageId],
        body: impl Fn(&'a Row<P>) -> &'a [u8],
    ) -> Result<AppendOutcome, StoreError> {
        let batch = Batch::of(rows, ids, body);
        let started = Instant::now();
        let params: Params<'_> = &[
            &self.node.get(),
            &self.journal,
            &self.fence.get(),
            &batch.heads.keys,
            &batch.heads.counts,
            &batch.heads.low_counts,
            &batch.heads.last_ids,
            &batch.owners,
            &batch.owner_counts,
            &batch.pair,
            &batch.n,
            &batch.low_n,
            &batch.sender,
            &batch.day,
            &batch.key,
            &batch.hash,
            &batch.id,
            &batch.entry_type,
            &batch.body,
            &batch.low,
            &batch.low_k,
            &batch.high,
            &batch.high_k,
        ];
        let answers = sabotaged!(answer self.client, &self.append_pairs, params)
            .await
            .map_err(|error| StoreError::of_write(&error, started.elapsed()))?;
        let mut known = Vec::new();
        let mut pairs = BTreeMap::new();
        let mut inboxes = BTreeMap::new();
        for answer in &answers {
            let (kind, no, seq): (&str, i64, i64) =
                (get(answer, "kind")?, get(answer, "no")?, get(answer, "seq")?);
            match kind {
                "known" => known.push(Known {
                    index: usize::try_from(no - 1).unwrap_or_default(),
                    seq: Seq::from_store(seq),
                    message_id: MessageId::from_store(get(answer, "message_id")?),
                    hash: hash(get(answer, "send_hash")?),
                }),
                "pair" => {
                    pairs.insert(no, seq);
                }
                _ => {
                    inboxes.insert(no, seq);
                }
            }
        }
        if !known.is_empty() {
            return Ok(AppendOutcome::Known(known));
        }
        if pairs.is_empty() {
            return Ok(AppendOutcome::Fenced);
        }
        let base = |of: &BTreeMap<i64, i64>, no: &i64| of.get(no).copied().unwrap_or_default();
        let placed = (0..rows.len()).map(|i| Placed {
            seq: Seq::from_store(base(&pairs, &batch.pair[i]) + batch.n[i]),
            inbox_low: Some(InboxSeq::from_store(base(&inboxes, &batch.low[i]) + batch.low_k[i])),
            inbox_high: batch.high[i]
                .zip(batch.high_k[i])
                .map(|(owner, k)| InboxSeq::from_store(base(&inboxes, &owner) + k)),
            message_id: ids[i],
        });
        Ok(AppendOutcome::Stored(placed.collect()))
    }

    /// Looks up which of these rows, to which these ids were given, are stored, by index. Final only after [`Writer::claim`].
    pub async fn find<P>(
        &self,
        rows: &[Row<P>],
        ids: &[MessageId],
    ) -> Result<Vec<Stored>, StoreError> {
        let day: Vec<i32> = rows.iter().map(|row| row.key.minted_at().day()).collect();
        let key: Vec<Uuid> = rows.iter().map(|row| row.key.uuid()).collect();
        let pair: Vec<i64> = rows.iter().map(|row| row.target.conversation().get()).collect();
        let sender: Vec<i64> = rows.iter().map(|row| row.sender.get()).collect();
        let found = self
            .client
            .query(&self.find_sends, &[&day, &key, &pair, &sender])
            .await
            .map_err(|error| StoreError::of_read(&error))?;
        found
            .iter()
            .map(|row| {
                let index: i64 = get(row, "i")?;
                let inbox_high: Option<i64> = get(row, "inbox_high")?;
                let placed = Placed {
                    seq: Seq::from_store(get(row, "seq")?),
                    inbox_low: Some(InboxSeq::from_store(get(row, "inbox_low")?)),
                    inbox_high: inbox_high.map(InboxSeq::from_store),
                    message_id: MessageId::from_store(get(row, "message_id")?),
                };
                let index = usize::try_from(index - 1).unwrap_or_default();
                let hash = hash(get(row, "send_hash")?);
                Ok(Stored {
                    index,
                    placed,
                    hash,
                    is_own: ids.get(index) == Some(&placed.message_id),
                })
            })
            .collect()
    }
}

#[derive(Default)]
struct Heads {
    keys: Vec<i64>,
    counts: Vec<i64>,
    low_counts: Vec<i64>,
    last_ids: Vec<i64>,
}

/// The ordinals and new heads of a batch: counting them here is cheaper than in the statement.
#[derive(Default)]
struct Batch<'a> {
    heads: Heads,
    owners: Vec<i64>,
    owner_counts: Vec<i64>,
    pair: Vec<i64>,
    n: Vec<i64>,
    low_n: Vec<i64>,
    sender: Vec<i64>,
    day: Vec<i32>,
    key: Vec<Uuid>,
    hash: Vec<&'a [u8]>,
    id: Vec<i64>,
    entry_type: Vec<i16>,
    body: Vec<&'a [u8]>,
    low: Vec<i64>,
    low_k: Vec<i64>,
    high: Vec<Option<i64>>,
    high_k: Vec<Option<i64>>,
}

impl<'a> Batch<'a> {
    fn of<P>(rows: &'a [Row<P>], ids: &[MessageId], body: impl Fn(&'a Row<P>) -> &'a [u8]) -> Self {
        let mut batch = Self::default();
        let mut heads: BTreeMap<i64, (i64, i64, i64)> = BTreeMap::new();
        let mut owners: BTreeMap<i64, i64> = BTreeMap::new();
        for (row, id) in rows.iter().zip(ids) {
            // A statement about pairs holds nothing else.
            let Target::Pair { conversation, low, high } = row.target else { continue };
            let head = heads.entry(conversation.get()).or_default();
            head.0 += 1;
            head.1 += i64::from(row.sender == low);
            head.2 = id.get();
            batch.pair.push(conversation.get());
            batch.n.push(head.0);
            batch.low_n.push(head.1);
            batch.sender.push(row.sender.get());
            batch.day.push(row.key.minted_at().day());
            batch.key.push(row.key.uuid());
            batch.hash.push(&row.hash);
            batch.id.push(id.get());
            batch.entry_type.push(ENTRY_MESSAGE);
            batch.body.push(body(row));
            let mut next = |owner: UserNo| {
                let k = owners.entry(owner.get()).or_default();
                *k += 1;
                *k
            };
            batch.low.push(low.get());
            batch.low_k.push(next(low));
            let high = (high != low).then_some(high);
            batch.high.push(high.map(UserNo::get));
            batch.high_k.push(high.map(next));
        }
        for (pair, (count, low, last)) in heads {
            batch.heads.keys.push(pair);
            batch.heads.counts.push(count);
            batch.heads.low_counts.push(low);
            batch.heads.last_ids.push(last);
        }
        (batch.owners, batch.owner_counts) = owners.into_iter().unzip();
        batch
    }
}

/// Finds a user and opens the pair with them; none when there is no such user.
pub async fn open(
    pool: &Pool,
    app: AppId,
    own: UserNo,
    peer: &UserId,
) -> Result<Option<Pair>, StoreError> {
    let row = row(pool, OPEN_PAIR, &[&app.get(), &own.get(), &peer.as_str()]).await?;
    row.map(|row| {
        let peer = UserNo::from_store(get(&row, "user_no")?);
        Ok(Pair { no: ConversationNo::from_store(get(&row, "conversation_no")?), peer })
    })
    .transpose()
}

/// What there is between a user and a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// No such user.
    Nobody,
    /// The user is there; the two have never written to each other.
    Strangers,
    /// The pair.
    Pair(Pair),
}

/// Finds a user and the pair with them, without making one.
pub async fn find(
    pool: &Pool,
    app: AppId,
    own: UserNo,
    peer: &UserId,
) -> Result<Found, StoreError> {
    let Some(row) = row(pool, FIND_PAIR, &[&app.get(), &own.get(), &peer.as_str()]).await? else {
        return Ok(Found::Nobody);
    };
    let peer = UserNo::from_store(get(&row, "user_no")?);
    let no: Option<i64> = get(&row, "conversation_no")?;
    Ok(no.map_or(Found::Strangers, |no| {
        Found::Pair(Pair { no: ConversationNo::from_store(no), peer })
    }))
}

/// How far the other side of a pair is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerCursors {
    /// By a device.
    pub by_device: Seq,
    /// By the server, for nobody was online.
    pub by_server: Seq,
    /// Read.
    pub read: Seq,
}

/// A pair's head, and how far the other side is; no cursors in a pair with oneself.
pub async fn state(
    pool: &Pool,
    own: UserNo,
    pair: ConversationNo,
) -> Result<(Seq, Option<PeerCursors>), StoreError> {
    let Some(row) = row(pool, PAIR_STATE, &[&pair.get(), &own.get()]).await? else {
        return Ok((Seq::ZERO, None));
    };
    Ok((Seq::from_store(get(&row, "head")?), peer_cursors(&row)?))
}

pub(super) fn peer_cursors(row: &tokio_postgres::Row) -> Result<Option<PeerCursors>, StoreError> {
    let by_device: Option<i64> = get(row, "peer_by_device")?;
    let by_server: Option<i64> = get(row, "peer_by_server")?;
    let read: Option<i64> = get(row, "peer_read")?;
    Ok(by_device.zip(by_server).zip(read).map(|((by_device, by_server), read)| PeerCursors {
        by_device: Seq::from_store(by_device),
        by_server: Seq::from_store(by_server),
        read: Seq::from_store(read),
    }))
}

/// One entry of a pair's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub seq: Seq,
    /// Who sent it.
    pub sender: UserNo,
    /// Its id.
    pub message_id: MessageId,
    /// Its sender's key.
    pub key: ClientMsgId,
    /// Its place in the lower user's inbox.
    pub inbox_low: InboxSeq,
    /// Its place in the higher user's inbox.
    pub inbox_high: Option<InboxSeq>,
    /// The stored form of what it says.
    pub body: Vec<u8>,
}

fn entry(row: &tokio_postgres::Row, seq: Seq) -> Result<Entry, StoreError> {
    let inbox_high: Option<i64> = get(row, "inbox_high")?;
    Ok(Entry {
        seq,
        sender: UserNo::from_store(get(row, "sender_no")?),
        message_id: MessageId::from_store(get(row, "message_id")?),
        key: ClientMsgId::from_store(get(row, "client_msg_id")?),
        inbox_low: InboxSeq::from_store(get(row, "inbox_low")?),
        inbox_high: inbox_high.map(InboxSeq::from_store),
        body: get(row, "body")?,
    })
}

/// A page's direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// Upwards, after a seq.
    After(Seq),
    /// Downwards, before a seq.
    Before(Seq),
}

/// A page of a pair's log in rising order: at most `limit` entries, ended early where the bodies pass `bytes`.
pub async fn history(
    pool: &Pool,
    pair: ConversationNo,
    from: From,
    limit: usize,
    bytes: usize,
) -> Result<Vec<Entry>, StoreError> {
    let (sql, seq) = match from {
        From::After(seq) => (HISTORY_AFTER, seq),
        From::Before(seq) => (HISTORY_BEFORE, seq),
    };
    let (limit, bytes) = (limit as i64, rust_bytes(bytes));
    let rows = rows(pool, sql, &[&pair.get(), &seq.to_store(), &limit, &bytes]).await?;
    let mut entries = rows
        .iter()
        .map(|row| entry(row, Seq::from_store(get(row, "seq")?)))
        .collect::<Result<Vec<_>, _>>()?;
    if matches!(from, From::Before(_)) {
        entries.reverse();
    }
    Ok(entries)
}

pub(super) fn rust_bytes(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// A stored message, and what its receiver has acknowledged of the pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSend {
    /// The message.
    pub entry: Entry,
    /// The receiver's cursor, by a device.
    pub by_device: Seq,
    /// The receiver's cursor, by the server.
    pub by_server: Seq,
}

/// What a repeat is answered from; none when there is no such entry.
pub async fn stored_send(
    pool: &Pool,
    pair: ConversationNo,
    seq: Seq,
    receiver: UserNo,
) -> Result<Option<StoredSend>, StoreError> {
    let params: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
        &[&pair.get(), &seq.to_store(), &receiver.get()];
    let row = row(pool, STORED_SEND, params).await?;
    row.map(|row| {
        Ok(StoredSend {
            entry: entry(&row, seq)?,
            by_device: Seq::from_store(get(&row, "by_device")?),
            by_server: Seq::from_store(get(&row, "by_server")?),
        })
    })
    .transpose()
}
