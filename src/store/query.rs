//! How a statement is run on a pooled connection.

use deadpool_postgres::{Object, Pool};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::StoreError;
use super::connect::of_pool;

/// What a connection that keeps its prepared statements for long is set to first.
pub(super) const WRITER_OPENED: &str = include_str!("../../sql/queries/writer_opened.sql");

/// The parameters of a statement.
pub(super) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Runs a statement that can be run twice without harm, and again when it finds its connection dead.
///
/// The pool hands out connections unseen: after the server was started again each of them fails once.
pub(super) async fn rows(
    pool: &Pool,
    sql: &str,
    params: Params<'_>,
) -> Result<Vec<Row>, StoreError> {
    loop {
        let client = pool.get().await.map_err(|error| of_pool(&error))?;
        match run(&client, sql, params).await {
            Ok(rows) => return Ok(rows),
            // Each turn takes a dead connection out of the pool; a new one is made only if the server is there.
            Err(_) if client.is_closed() => drop(Object::take(client)),
            Err(error) => return Err(StoreError::of_read(&error)),
        }
    }
}

/// The same for a statement that returns one row at most.
pub(super) async fn row(
    pool: &Pool,
    sql: &str,
    params: Params<'_>,
) -> Result<Option<Row>, StoreError> {
    Ok(rows(pool, sql, params).await?.into_iter().next())
}

async fn run(
    client: &Object,
    sql: &str,
    params: Params<'_>,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let statement = client.prepare_cached(sql).await?;
    client.query(&statement, params).await
}

/// Reads a column whose type the statement fixes.
pub(super) fn get<'a, T: tokio_postgres::types::FromSql<'a>>(
    row: &'a Row,
    column: &str,
) -> Result<T, StoreError> {
    row.try_get(column).map_err(|error| StoreError::Refused { reason: error.to_string() })
}

/// What to say of a value that none of ours has written: a newer program has been here.
pub(super) fn unknown(what: &str) -> StoreError {
    StoreError::Refused { reason: format!("the store has {what} that is unknown here") }
}
