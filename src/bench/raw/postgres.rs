//! PostgreSQL alone: the rows of messages inserted by as many connections as there are journals, and nothing asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;

use crate::bench::errors::BenchError;
use crate::bench::figure::Latency;
use crate::bench::target::Target;
use crate::ids::UnixMs;
use crate::limits;
use crate::store::StoreError;
use crate::store::bare::{BareKind, BareWriter};
use crate::store::connect::Connector;

/// What a stored message has besides its characters, in bytes, about.
const AROUND_TEXT: usize = 28;

/// The number of the connection that commits row by row, which no other has.
const COMMITS_NO: u32 = 1_000_000;
/// For how long it does.
const COMMITS_FOR: Duration = Duration::from_secs(1);

/// What the database of an own server takes in a second with messages of so many characters; `None` where the server was
/// given, whose store is nobody's to fill.
pub async fn beside(
    target: &Target,
    kind: BareKind,
    characters: u32,
    time: Duration,
) -> Result<Option<f64>, BenchError> {
    let Some(database) = target.database().await? else { return Ok(None) };
    let body = vec![b'x'; characters as usize + AROUND_TEXT];
    let rate = rate(database.connector(), kind, 0, &body, time).await;
    database.close().await;
    rate.map(Some)
}

/// How long the database of an own server takes to commit one message after the other: below this no acknowledgement can
/// be. `None` where the server was given.
pub async fn commits_beside(
    target: &Target,
    characters: u32,
) -> Result<Option<Latency>, BenchError> {
    let Some(database) = target.database().await? else { return Ok(None) };
    let body = vec![b'x'; characters as usize + AROUND_TEXT];
    let mut writer = BareWriter::open(database.connector(), BareKind::Pair, COMMITS_NO, 64)
        .await
        .map_err(failed)?;
    let mut times = Histogram::new_with_bounds(1, 600_000_000, 3)
        .map_err(|error| BenchError::Options(error.to_string()))?;
    let since = Instant::now();
    while since.elapsed() < COMMITS_FOR {
        let begun = Instant::now();
        writer.insert(now(), &[&body]).await.map_err(failed)?;
        times.saturating_record(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    database.close().await;
    let rate = times.len() as f64 / since.elapsed().as_secs_f64();
    let what = "to the commit of a row by PostgreSQL alone";
    Ok(Some(Latency::from("one_to_one.bare_commit", what, rate, &times).since_begun()))
}

/// Rows of messages that PostgreSQL alone takes in a second, from as many connections as there are journals and in
/// statements as large as theirs. Each `turn` may be measured once a database.
pub async fn rate(
    connector: &Connector,
    kind: BareKind,
    turn: u32,
    body: &[u8],
    time: Duration,
) -> Result<f64, BenchError> {
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut writing = Vec::new();
    for journal in 0..limits::JOURNALS {
        let no = turn * limits::JOURNALS as u32 + journal as u32;
        let mut writer = BareWriter::open(connector, kind, no, 64).await.map_err(failed)?;
        let (stop, written, body) = (stop.clone(), written.clone(), body.to_vec());
        writing.push(tokio::spawn(async move {
            let bodies = vec![body.as_slice(); limits::JOURNAL_BATCH];
            while !stop.load(Ordering::Relaxed) {
                writer.insert(now(), &bodies).await?;
                written.fetch_add(bodies.len() as u64, Ordering::Relaxed);
            }
            Ok::<_, StoreError>(())
        }));
    }
    let since = Instant::now();
    tokio::time::sleep(time).await;
    let rate = written.load(Ordering::Relaxed) as f64 / since.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    for writing in writing {
        let ended = writing.await.map_err(|error| BenchError::Start(error.to_string()))?;
        ended.map_err(failed)?;
    }
    Ok(rate)
}

/// What the store said.
pub fn failed(error: StoreError) -> BenchError {
    BenchError::Start(error.to_string())
}

fn now() -> UnixMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs::new(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
