//! The tables, brought up to what this program knows: numbered files, forward only, one node at a time.

use tokio_postgres::Client;

use crate::store::StoreError;

mod embedded {
    refinery::embed_migrations!("sql/migrations");
}

const LOCK: &str = include_str!("../../sql/queries/lock_migrations.sql");
const UNLOCK: &str = include_str!("../../sql/queries/unlock_migrations.sql");

/// Applies what is missing, and returns the names of what was applied.
///
/// The lock is held by `client`, so the connection must not be used for anything else meanwhile, and is best dropped
/// afterwards: its time-outs are lifted. A database that was migrated by a newer program is refused.
pub async fn run(client: &mut Client) -> Result<Vec<String>, StoreError> {
    client.batch_execute(LOCK).await.map_err(|error| StoreError::of_read(&error))?;
    let migrated = embedded::migrations::runner().run_async(client).await;
    // Also when it failed; if this fails too, dropping the connection lets go of the lock.
    let unlocked = client.batch_execute(UNLOCK).await;
    let report = migrated.map_err(|error| StoreError::Unfit { reason: explain(&error) })?;
    unlocked.map_err(|error| StoreError::of_read(&error))?;
    Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
}

fn explain(error: &refinery::Error) -> String {
    use refinery::error::Kind;
    match error.kind() {
        Kind::MissingVersion(migration) => format!(
            "the database was migrated by a newer rookery ({migration} is unknown here); run that version, or name \
             another database"
        ),
        Kind::DivergentVersion(applied, _) => format!(
            "the database was migrated by another rookery ({applied} differs here); run that version, or name another \
             database"
        ),
        _ => {
            let cause = std::error::Error::source(error)
                .map_or_else(String::new, |cause| format!(": {}", innermost(cause)));
            format!("the database cannot be migrated: {error}{cause}")
        }
    }
}

/// PostgreSQL's own words, which the layers above only call an error.
fn innermost(mut error: &dyn std::error::Error) -> String {
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
