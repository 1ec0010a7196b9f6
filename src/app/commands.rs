//! Commands that need the database: beside a running server, or with a private PostgreSQL that is started for them.

use std::net::SocketAddr;
use std::path::Path;

use deadpool_postgres::Pool;

use super::{
    ServeError, choice, newest_secret, now, prepare_default_app, prepare_tables, reachable,
};
use crate::config::{Http, Settings};
use crate::domain::usersig;
use crate::ids::{AppId, UserId};
use crate::store::connect::MessageLoss;
use crate::store::embedded::Progress;
use crate::store::folder::{self, Holder, Purpose};
use crate::store::source::Database;

/// What a token is to say.
#[derive(Debug, Clone)]
pub struct Signing {
    /// The app.
    pub app: AppId,
    /// Who logs in with it.
    pub user: UserId,
    /// For how many seconds it holds.
    pub expire_s: u64,
}

/// What a backend signs tokens with.
pub struct Key {
    /// The app; UserSig calls it `sdkappid`.
    pub app: AppId,
    /// The secret.
    pub secret: String,
}

/// Signs a token.
pub fn token(
    settings: &Settings,
    data_dir: &Path,
    progress: Progress,
    signing: &Signing,
) -> Result<String, ServeError> {
    with_database(settings, data_dir, progress, async |database| {
        let secret = secret(database, signing.app).await?;
        Ok(usersig::sign(&secret, signing.app, &signing.user, now(), signing.expire_s))
    })
}

/// Where a client of this machine finds the server: the one that runs on this data folder, else the one of the settings.
pub fn server_address(settings: &Settings, data_dir: &Path) -> String {
    if let Some(http) = folder::serving(data_dir) {
        return http.to_string();
    }
    let Http { host, port, .. } = &settings.http;
    // A server that takes any port says which only while it runs.
    let port = if *port == 0 { Http::default().port } else { *port };
    match host.parse() {
        Ok(ip) => reachable(SocketAddr::new(ip, port)).to_string(),
        Err(_) => format!("{host}:{port}"),
    }
}

/// Signs a token for a client of this machine. Starts no database for that: without a server there is nobody to chat with.
pub fn token_of_running(
    settings: &Settings,
    data_dir: &Path,
    progress: Progress,
    signing: &Signing,
) -> Result<String, ServeError> {
    let is_private = settings.database.url.is_empty();
    let serves = |holder: &Holder| holder.purpose == Purpose::Serve;
    if is_private && !folder::holder(data_dir)?.as_ref().is_some_and(serves) {
        return Err(ServeError::NotRunning { folder: data_dir.to_owned() });
    }
    token(settings, data_dir, progress, signing)
}

/// The key of app 1.
pub fn key(settings: &Settings, data_dir: &Path, progress: Progress) -> Result<Key, ServeError> {
    with_database(settings, data_dir, progress, async |database| {
        let app = AppId::DEFAULT;
        Ok(Key { app, secret: secret(database, app).await? })
    })
}

/// Brings the tables of the database up to what this program knows, and returns what was applied.
pub fn migrate(
    settings: &Settings,
    data_dir: &Path,
    progress: Progress,
) -> Result<Vec<String>, ServeError> {
    with_database(settings, data_dir, progress, async |database| {
        let (client, _) = database.first_contact().await?;
        Ok(prepare_tables(client).await?)
    })
}

/// The newest secret of an app.
async fn secret(database: &Database, app: AppId) -> Result<String, ServeError> {
    newest_secret(&prepared(database).await?, app).await
}

/// The database, ready for use; whichever comes first, a server or a command, makes what is not there yet.
pub(super) async fn prepared(database: &Database) -> Result<Pool, ServeError> {
    let (client, _) = database.first_contact().await?;
    prepare_tables(client).await?;
    let pool = database.connector().pool(1)?;
    prepare_default_app(&pool).await?;
    Ok(pool)
}

/// Does one thing with the database.
pub(super) fn with_database<T>(
    settings: &Settings,
    data_dir: &Path,
    progress: Progress,
    work: impl AsyncFnOnce(&Database) -> Result<T, ServeError>,
) -> Result<T, ServeError> {
    // What a command writes is small and can be made again; messages are refused where they are written.
    let choice = choice(settings, MessageLoss::Accept)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| ServeError::System { what: "no runtime", error })?;
    runtime.block_on(async {
        let database = Database::open_for_command(&choice, data_dir, progress).await?;
        let done = work(&database).await;
        database.close().await;
        done
    })
}
