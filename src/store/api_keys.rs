//! The keys of apps' backends. What is stored of their secrets is a hash.

use deadpool_postgres::Pool;
use tokio_postgres::Row;

use super::StoreError;
use super::query::{Params, get, row, rows, unknown};
use crate::domain::api_key::SecretHash;
use crate::ids::{ApiKeyId, AppId, Scope, UnixMs};
use crate::limits;

const CREATE_API_KEY: &str = include_str!("../../sql/queries/create_api_key.sql");
const API_KEYS: &str = include_str!("../../sql/queries/api_keys.sql");
const FIND_API_KEY: &str = include_str!("../../sql/queries/find_api_key.sql");
const REVOKE_API_KEY: &str = include_str!("../../sql/queries/revoke_api_key.sql");

/// A key that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewApiKey {
    /// The app.
    pub app: AppId,
    /// Its public half.
    pub id: ApiKeyId,
    /// What people call it.
    pub name: String,
    /// What is kept of its secret half.
    pub hash: SecretHash,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// For how many days it is valid.
    pub valid_days: u32,
}

/// What came of making a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It is there.
    Made,
    /// The app has as many as it may.
    Full,
}

/// Makes a key. Those that ran out count towards the most that an app has until they are revoked.
pub async fn create(pool: &Pool, key: &NewApiKey) -> Result<Created, StoreError> {
    let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    let params: Params<'_> = &[
        &key.app.get(),
        &key.id.to_string(),
        &key.name,
        &key.hash.as_bytes(),
        &scopes,
        &(f64::from(key.valid_days) * 86_400.0),
        &(limits::API_KEYS as i64),
    ];
    let row = row(pool, CREATE_API_KEY, params).await?;
    let is_there = row.map_or(Ok(false), |row| get(&row, "is_there"))?;
    Ok(if is_there { Created::Made } else { Created::Full })
}

/// A key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyRecord {
    /// Its public half.
    pub id: ApiKeyId,
    /// The app.
    pub app: AppId,
    /// What people call it.
    pub name: String,
    /// What is kept of its secret half.
    pub hash: SecretHash,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: UnixMs,
    /// From when on it is refused.
    pub expires_at: UnixMs,
}

/// The keys of an app, the oldest first.
pub async fn list(pool: &Pool, app: AppId) -> Result<Vec<ApiKeyRecord>, StoreError> {
    rows(pool, API_KEYS, &[&app.get()]).await?.iter().map(record).collect()
}

/// Finds a key, whether or not it ran out; none when there is no such one.
pub async fn find(pool: &Pool, id: ApiKeyId) -> Result<Option<ApiKeyRecord>, StoreError> {
    row(pool, FIND_API_KEY, &[&id.to_string()]).await?.as_ref().map(record).transpose()
}

/// Removes a key of an app; false when it was not there.
pub async fn revoke(pool: &Pool, app: AppId, id: ApiKeyId) -> Result<bool, StoreError> {
    Ok(row(pool, REVOKE_API_KEY, &[&app.get(), &id.to_string()]).await?.is_some())
}

fn record(row: &Row) -> Result<ApiKeyRecord, StoreError> {
    let app: i32 = get(row, "app")?;
    let scopes: Vec<&str> = get(row, "scopes")?;
    Ok(ApiKeyRecord {
        id: ApiKeyId::parse(get(row, "key_id")?).ok_or_else(|| unknown("a key's id"))?,
        app: AppId::new(app.into()).ok_or_else(|| unknown("an app"))?,
        name: get(row, "name")?,
        hash: SecretHash::from_store(get(row, "secret_hash")?)
            .ok_or_else(|| unknown("a key's hash"))?,
        // A scope that only a newer program knows opens nothing here.
        scopes: scopes.into_iter().filter_map(Scope::parse).collect(),
        created_at: UnixMs::new(get(row, "created_at_ms")?),
        expires_at: UnixMs::new(get(row, "expires_at_ms")?),
    })
}
