//! Commands about keys of app 1: the one that signs tokens, and those with which its backend calls the REST API.

use std::path::Path;

use super::commands::{Key, prepared, with_database};
use super::{ServeError, fresh_secret};
use crate::config::Settings;
use crate::domain::api_key::ApiKey;
use crate::ids::{ApiKeyId, AppId, Scope};
use crate::store::api_keys::{self, ApiKeyRecord, Created, NewApiKey};
use crate::store::apps;
use crate::store::embedded::Progress;

const APP: AppId = AppId::DEFAULT;

/// Makes a new key that signs tokens, and lets the last one sign for `keep_old_s` seconds more.
pub fn rotate(
    settings: &Settings,
    data_dir: &Path,
    progress: Progress,
    keep_old_s: u32,
) -> Result<Key, ServeError> {
    with_database(settings, data_dir, progress, async |database| {
        let pool = prepared(database).await?;
        let secret = fresh_secret();
        if !apps::rotate_key(&pool, APP, &secret, keep_old_s).await? {
            return Err(ServeError::NoSuchApp(APP));
        }
        Ok(Key { app: APP, secret })
    })
}

/// What an API key is to be.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What people call it.
    pub name: String,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// For how many days it is valid.
    pub valid_days: u32,
}

/// Makes an API key. It is nowhere but in what this returns.
pub fn create(
    settings: &Settings,
    data_dir: &Path,
    progress: Progress,
    wanted: Wanted,
) -> Result<ApiKey, ServeError> {
    with_database(settings, data_dir, progress, async |database| {
        let pool = prepared(database).await?;
        let key = ApiKey::mint(ApiKeyId::new(rand::random()), rand::random());
        let Wanted { name, scopes, valid_days } = wanted;
        let new = NewApiKey { app: APP, id: key.id(), name, hash: key.hash(), scopes, valid_days };
        match api_keys::create(&pool, &new).await? {
            Created::Made => Ok(key),
            Created::Full => Err(ServeError::ApiKeysFull),
        }
    })
}

/// The API keys that there are, without what only their holders have.
pub fn list(
    settings: &Settings,
    data_dir: &Path,
    progress: Progress,
) -> Result<Vec<ApiKeyRecord>, ServeError> {
    with_database(settings, data_dir, progress, async |database| {
        Ok(api_keys::list(&prepared(database).await?, APP).await?)
    })
}

/// Ends an API key.
pub fn revoke(
    settings: &Settings,
    data_dir: &Path,
    progress: Progress,
    id: ApiKeyId,
) -> Result<(), ServeError> {
    with_database(settings, data_dir, progress, async |database| {
        match api_keys::revoke(&prepared(database).await?, APP, id).await? {
            true => Ok(()),
            false => Err(ServeError::NoSuchApiKey(id)),
        }
    })
}
