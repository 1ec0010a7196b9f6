//! Apps and the keys that sign their tokens.

use deadpool_postgres::Pool;

use super::StoreError;
use super::query::{get, row, rows};
use crate::ids::AppId;

const ENSURE_APP: &str = include_str!("../../sql/queries/ensure_app.sql");
const APP_KEYS: &str = include_str!("../../sql/queries/app_keys.sql");

/// The name of the app that always exists.
const DEFAULT_NAME: &str = "default";

/// Makes app 1 unless it is there, with `secret` as its first key.
pub async fn ensure_default(pool: &Pool, secret: &str) -> Result<(), StoreError> {
    let app = AppId::DEFAULT.get();
    row(pool, ENSURE_APP, &[&app, &DEFAULT_NAME, &secret]).await.map(|_| ())
}

/// The secrets that sign an app's tokens, newest first; none when there is no such app.
pub async fn keys(pool: &Pool, app: AppId) -> Result<Vec<String>, StoreError> {
    let rows = rows(pool, APP_KEYS, &[&app.get()]).await?;
    rows.iter().map(|row| get(row, "secret")).collect()
}
