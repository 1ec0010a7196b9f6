//! Statements with faults on purpose. Compiled only with the feature `sabotage`.

use std::pin::pin;

use futures_util::{FutureExt, StreamExt};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row, Statement};

use super::query::Params;

/// A statement as the fault of this process has it.
pub(crate) fn statement(sql: &str) -> String {
    let mut sql = sql.to_owned();
    if sabotaged!(NoEpochCheck) {
        let right = "(o.shard, o.epoch) in (select shard, epoch from batch)";
        sql = sql.replace(right, "o.shard in (select shard from batch)");
    }
    if sabotaged!(KeyShare) {
        sql = sql.replace("for share", "for key share");
    }
    if sabotaged!(DedupInMemory) {
        sql = sql.replace("where d.day = p.day", "where false and d.day = p.day");
        let remembered = "message_id, send_hash\n  from posts where";
        sql = sql.replace(remembered, &format!("{remembered} false and"));
    }
    if sabotaged!(FallingCursors) {
        let right = "greatest(h.read, least(w.read, h.head))";
        sql = sql.replace(right, "case when w.read > 0 then least(w.read, h.head) else h.read end");
    }
    sql
}

/// The answer to a statement as the fault of this process has it: whole, or what of it came first.
pub(super) async fn answer(
    client: &Client,
    statement: &Statement,
    params: Params<'_>,
) -> Result<Vec<Row>, Error> {
    if !sabotaged!(AckOnFirstRows) {
        return client.query(statement, params).await;
    }
    let each = params.iter().map(|param| *param as &dyn ToSql);
    let mut coming = pin!(client.query_raw(statement, each).await?);
    let mut rows = Vec::new();
    if let Some(first) = coming.next().await {
        rows.push(first?);
    }
    while let Some(Some(Ok(row))) = coming.next().now_or_never() {
        rows.push(row);
    }
    Ok(rows)
}
