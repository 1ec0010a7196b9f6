//! PostgreSQL alone: the rows of messages inserted by as many connections as there are journals, and nothing asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::app;
use crate::bench::errors::BenchError;
use crate::bench::target::Target;
use crate::ids::UnixMs;
use crate::limits;
use crate::store::StoreError;
use crate::store::bare::{BareKind, BareWriter};
use crate::store::connect::{Connector, MessageLoss};
use crate::store::source::Database;

/// What a stored message has besides its characters, in bytes, about.
const AROUND_TEXT: usize = 28;

/// What the database of an own server takes in a second with messages of so many characters; `None` where the server was
/// given, whose store is nobody's to fill.
pub async fn beside(
    target: &Target,
    kind: BareKind,
    characters: u32,
    time: Duration,
) -> Result<Option<f64>, BenchError> {
    let (Some(store), Some(_)) = (&target.store, target.server_pid()) else { return Ok(None) };
    let choice = app::choice(&store.settings, MessageLoss::Refuse)?;
    let opening = Database::open_for_command(&choice, &store.data_dir, Arc::new(|_| {}));
    let database = opening.await.map_err(|error| BenchError::Start(error.to_string()))?;
    let body = vec![b'x'; characters as usize + AROUND_TEXT];
    let rate = rate(database.connector(), kind, 0, &body, time).await;
    database.close().await;
    rate.map(Some)
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
