//! Who asks over REST: a key of an app's backend, looked up in the store at each request, so that one which was revoked is
//! refused at once.

use super::engine::Engine;
use super::reads::admitted;
use crate::domain::api_key::ApiKey;
use crate::ids::{ApiKeyId, AppId, Scope};
use crate::protocol::{Code, ErrorBody};
use crate::store::api_keys;

/// A key that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The app that it is of.
    pub app: AppId,
    /// Its public half, for the logs.
    pub key: ApiKeyId,
    scopes: Vec<Scope>,
}

impl Caller {
    /// Whether the key has this scope.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }
}

/// Finds whom a key stands for.
pub async fn authenticate(engine: &Engine, key: &str) -> Result<Caller, ErrorBody> {
    let bad_key = || ErrorBody::new(Code::BadToken, "this API key does not hold");
    let key = ApiKey::parse(key).ok_or_else(bad_key)?;
    let shared = engine.shared();
    let found = admitted(shared, api_keys::find(&shared.pool, key.id())).await?;
    let record = found.filter(|record| record.hash.is_of(&key)).ok_or_else(bad_key)?;
    if record.expires_at <= shared.node.now() {
        return Err(ErrorBody::new(Code::TokenExpired, "this API key has expired"));
    }
    Ok(Caller { app: record.app, key: record.id, scopes: record.scopes })
}
