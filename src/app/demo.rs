//! Two demo users, one click away, and an API key, while nothing is configured and nobody but this machine can come in.
//!
//! The users' tokens are signed with the app's key as any other's and exist only in the links that are printed. What ends them
//! at another address is a revocation of all that was signed until then, of which the data folder keeps the time. The key
//! is shown once, at the first start, since what is stored of it is a hash; it ends with the users.

use std::net::SocketAddr;

use deadpool_postgres::Pool;

use super::ServeError;
use crate::domain::api_key::ApiKey;
use crate::domain::usersig;
use crate::ids::{ApiKeyId, AppId, Scope, UnixMs, UserId};
use crate::store::api_keys::{self, Created, NewApiKey};
use crate::store::folder::DataFolder;
use crate::store::source::Database;
use crate::store::{sessions, users};

const NAMES: [&str; 2] = ["alice", "bob"];
/// How long a link works, in seconds: a week. Each start prints new ones.
const VALID_S: u64 = 7 * 86_400;
/// How long the API key works, in days.
const KEY_VALID_DAYS: u32 = 365;

/// Whether there are demo users.
#[derive(Debug, Clone)]
pub enum Demo {
    /// There are.
    On {
        /// The users.
        users: Vec<DemoUser>,
        /// The API key, at the first start alone.
        key: Option<String>,
    },
    /// There are none, and tokens and the key that were printed before are revoked.
    Off {
        /// For a person.
        why: String,
    },
}

/// A user that anybody on this machine can be.
#[derive(Debug, Clone)]
pub struct DemoUser {
    /// The app.
    pub app: AppId,
    /// The user's id.
    pub name: &'static str,
    /// Logs in as this user.
    pub token: String,
}

impl Demo {
    /// Why there must be no demo users; `None` when there may be.
    pub(super) fn why_off(
        database: &Database,
        ways_in: [(&'static str, SocketAddr); 2],
    ) -> Option<String> {
        if database.private_state().is_none() {
            return Some("database.url is set".to_owned());
        }
        let (section, open) =
            ways_in.into_iter().find(|(_, address)| !address.ip().is_loopback())?;
        Some(format!("{section}.host {} can be reached from other machines", open.ip()))
    }

    /// Signs tokens for the demo users, and makes them: each can be written to before it has logged in.
    pub(super) async fn begin(
        folder: &DataFolder,
        pool: &Pool,
        secret: &str,
        now: UnixMs,
    ) -> Result<Self, ServeError> {
        for (_, user) in demo_ids() {
            users::open(pool, AppId::DEFAULT, &user).await?;
        }
        let now_s = now.get().div_euclid(1000);
        let earlier = folder.demo_signed_at_s()?;
        // After what was revoked, also within the same second: a token may be signed some seconds ahead.
        let signed_at_s = match earlier {
            Some(earlier) if earlier - now_s < 30 => now_s.max(earlier + 1),
            _ => now_s,
        };
        // The latest of all, should the clock have been set back.
        folder.keep_demo_signed_at_s(earlier.map_or(signed_at_s, |at| at.max(signed_at_s)))?;
        let app = AppId::DEFAULT;
        let signed_at = UnixMs::new(signed_at_s * 1000);
        let users = demo_ids().into_iter().map(|(name, user)| {
            let token = usersig::sign(secret, app, &user, signed_at, VALID_S);
            DemoUser { app, name, token }
        });
        Ok(Self::On { users: users.collect(), key: first_key(folder, pool).await? })
    }

    /// Revokes the tokens and the API key that were made for the demo of this data folder, if there were any.
    pub(super) async fn end(
        folder: &DataFolder,
        database: &Database,
        pool: &Pool,
        why: String,
    ) -> Result<Self, ServeError> {
        // Another database has keys of its own, under which no demo token holds; its alice is a real one.
        let is_private = database.private_state().is_some();
        if is_private && let Some(key) = folder.demo_key()? {
            api_keys::revoke(pool, AppId::DEFAULT, key).await?;
            folder.keep_demo_key(None)?;
        }
        if is_private && let Some(signed_at_s) = folder.demo_signed_at_s()? {
            // Not the time of this start: a real alice of a single machine keeps what was signed for her since.
            for (_, user) in demo_ids() {
                let user = users::open(pool, AppId::DEFAULT, &user).await?;
                sessions::revoke(pool, user, signed_at_s + 1).await?;
            }
        }
        Ok(Self::Off { why })
    }
}

/// Makes the demo's API key, unless that was done before.
async fn first_key(folder: &DataFolder, pool: &Pool) -> Result<Option<String>, ServeError> {
    if folder.demo_key()?.is_some() {
        return Ok(None);
    }
    let key = ApiKey::mint(ApiKeyId::new(rand::random()), rand::random());
    folder.keep_demo_key(Some(key.id()))?;
    let new = NewApiKey {
        app: AppId::DEFAULT,
        id: key.id(),
        name: "demo".to_owned(),
        hash: key.hash(),
        scopes: Scope::ALL.to_vec(),
        valid_days: KEY_VALID_DAYS,
    };
    Ok(match api_keys::create(pool, &new).await? {
        Created::Made => Some(key.reveal()),
        Created::Full => None,
    })
}

fn demo_ids() -> Vec<(&'static str, UserId)> {
    NAMES.into_iter().filter_map(|name| Some((name, UserId::parse(name).ok()?))).collect()
}
