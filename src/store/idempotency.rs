//! What was asked under an `Idempotency-Key`, and what was answered, for as long as keys are kept.

use deadpool_postgres::Pool;
use tokio_postgres::Row;
use uuid::Uuid;

use super::StoreError;
use super::query::{Params, get, row};
use crate::ids::{AppId, ClientMsgId};
use crate::limits;

const BEGIN_REQUEST: &str = include_str!("../../sql/queries/begin_request.sql");
const FINISH_REQUEST: &str = include_str!("../../sql/queries/finish_request.sql");
const ABANDON_REQUEST: &str = include_str!("../../sql/queries/abandon_request.sql");

/// A request under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keyed<'a> {
    /// The app.
    pub app: AppId,
    /// The key.
    pub key: &'a str,
    /// Which request it is: a hash over all of it, its route included.
    pub hash: [u8; 32],
}

/// What a send under a key comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyedSend {
    /// The message is sent under this id, the first time and each time again: the log has it once.
    As(ClientMsgId),
    /// The key was used for another request.
    OtherRequest,
}

/// Remembers `fresh` as the id of a send, or recalls the one that it has.
pub async fn begin_send(
    pool: &Pool,
    request: &Keyed<'_>,
    fresh: ClientMsgId,
) -> Result<KeyedSend, StoreError> {
    let row = begin_row(pool, request, Some(fresh.uuid()), None).await?;
    let id: Option<Uuid> = get(&row, "client_msg_id")?;
    match id {
        Some(id) if is_same(&row, request)? => Ok(KeyedSend::As(ClientMsgId::from_store(id))),
        _ => Ok(KeyedSend::OtherRequest),
    }
}

/// The right to answer a request that was begun: it passes to the next one when that begins it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim(Uuid);

/// What a request other than a send comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// It is to be done, and then finished or abandoned.
    New(Claim),
    /// It is being done.
    Running,
    /// It was done, and this was answered.
    Done {
        /// The status.
        status: u16,
        /// The body.
        body: Vec<u8>,
    },
    /// The key was used for another request.
    OtherRequest,
}

/// Begins a request, unless it was begun under its key before.
pub async fn begin(pool: &Pool, request: &Keyed<'_>) -> Result<Begun, StoreError> {
    // Of this very call: run again after a connection broke, it finds its own row.
    let claim = Uuid::from_bytes(rand::random());
    let row = begin_row(pool, request, None, Some(claim)).await?;
    if get(&row, "begun")? {
        return Ok(Begun::New(Claim(claim)));
    }
    if !is_same(&row, request)? {
        return Ok(Begun::OtherRequest);
    }
    let status: Option<i16> = get(&row, "status")?;
    let body: Option<Vec<u8>> = get(&row, "body")?;
    let status = status.and_then(|status| u16::try_from(status).ok());
    Ok(status.zip(body).map_or(Begun::Running, |(status, body)| Begun::Done { status, body }))
}

/// Keeps what was answered, unless the request was begun again by another meanwhile.
pub async fn finish(
    pool: &Pool,
    request: &Keyed<'_>,
    Claim(claim): Claim,
    (status, body): (u16, &[u8]),
) -> Result<(), StoreError> {
    let status = i16::try_from(status).unwrap_or(i16::MAX);
    let params: Params<'_> = &[&request.app.get(), &request.key, &claim, &status, &body];
    row(pool, FINISH_REQUEST, params).await.map(|_| ())
}

/// Forgets a request that came to nothing, so that it may be begun again at once.
pub async fn abandon(
    pool: &Pool,
    request: &Keyed<'_>,
    Claim(claim): Claim,
) -> Result<(), StoreError> {
    row(pool, ABANDON_REQUEST, &[&request.app.get(), &request.key, &claim]).await.map(|_| ())
}

async fn begin_row(
    pool: &Pool,
    request: &Keyed<'_>,
    client_msg_id: Option<Uuid>,
    claim: Option<Uuid>,
) -> Result<Row, StoreError> {
    let params: Params<'_> = &[
        &request.app.get(),
        &request.key,
        &&request.hash[..],
        &client_msg_id,
        &claim,
        &limits::IDEMPOTENCY_KEPT.as_secs_f64(),
        &limits::IDEMPOTENCY_RUNS.as_secs_f64(),
        &(limits::IDEMPOTENCY_SWEPT as i64),
    ];
    let row = row(pool, BEGIN_REQUEST, params).await?;
    row.ok_or_else(|| StoreError::Refused { reason: "no request was returned".to_owned() })
}

fn is_same(row: &Row, request: &Keyed<'_>) -> Result<bool, StoreError> {
    let hash: &[u8] = get(row, "request_hash")?;
    Ok(hash == request.hash)
}
