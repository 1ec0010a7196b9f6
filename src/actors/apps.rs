//! What a node knows of its apps: their keys, policies and settings, read anew every few seconds and when one is changed
//! here.
//!
//! A hint with an age: a login's policy is read in the statement that the login is decided with, and a token that fails
//! against keys known from before is tried against the keys of this moment.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use deadpool_postgres::Pool;
use tokio::sync::Mutex;

use super::engine::ReadReceipts;
use crate::domain::usersig::{self, TokenError, Verified};
use crate::ids::{AppId, UnixMs, UserId};
use crate::limits;
use crate::store::StoreError;
use crate::store::apps::{self, AppSettings};

/// The apps of a node.
pub(super) struct Apps {
    pool: Pool,
    /// Where an app says nothing of its own.
    read_receipts: ReadReceipts,
    settings: RwLock<HashMap<AppId, AppSettings>>,
    /// Locked while the keys of an app that is there are read, so that a wave of logins reads them once.
    keys: Mutex<HashMap<AppId, Keys>>,
}

#[derive(Clone)]
struct Keys {
    secrets: Arc<[String]>,
    read_at: Instant,
}

/// Why a token lets nobody in.
pub(super) enum NotVerified {
    /// It does not hold.
    Token(TokenError),
    /// The keys could not be read.
    Store(StoreError),
}

impl Apps {
    /// `read_receipts` is what holds for apps that set nothing.
    pub(super) fn new(pool: Pool, read_receipts: ReadReceipts) -> Self {
        let settings = RwLock::new(HashMap::new());
        Self { pool, read_receipts, settings, keys: Mutex::new(HashMap::new()) }
    }

    /// Reads the settings of all apps.
    pub(super) async fn refresh(&self) -> Result<(), StoreError> {
        let read = apps::settings(&self.pool).await?;
        let read = read.into_iter().map(|settings| (settings.app, settings)).collect();
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(())
    }

    /// Reads the settings again and again, for as long as it is polled.
    pub(super) async fn keep_fresh(&self) {
        let mut due = tokio::time::interval(limits::APP_SETTINGS_EVERY);
        loop {
            due.tick().await;
            if let Err(error) = self.refresh().await {
                tracing::debug!(%error, "the settings of the apps could not be read");
            }
        }
    }

    /// Whether the peer of a pair hears that it was read.
    pub(super) fn read_receipts(&self, app: AppId) -> ReadReceipts {
        let set = self.known(app).and_then(|settings| settings.read_receipts);
        match set {
            None => self.read_receipts,
            Some(true) => ReadReceipts::On,
            Some(false) => ReadReceipts::Off,
        }
    }

    /// Whether the app was there when the settings were read.
    pub(super) fn is_known(&self, app: AppId) -> bool {
        self.known(app).is_some()
    }

    fn known(&self, app: AppId) -> Option<AppSettings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).get(&app).copied()
    }

    /// Checks a token against the app's keys.
    pub(super) async fn verify(
        &self,
        token: &str,
        app: AppId,
        user: &UserId,
        now: UnixMs,
    ) -> Result<Verified, NotVerified> {
        let check = |keys: &Keys| {
            usersig::verify(token, &keys.secrets, app, user, now, limits::TOKEN_VALIDITY_S)
        };
        let asked = Instant::now();
        if !self.is_known(app) {
            // Anybody can name an app that is not there, and nobody else shall wait for that.
            let keys = self.read_keys(app).await?;
            return check(&keys).map_err(NotVerified::Token);
        }
        let keys = self.keys(app, |keys| keys.read_at + limits::APP_KEYS_FOR >= asked).await?;
        match check(&keys) {
            // It may be signed with a key that is newer than those.
            Err(TokenError::Bad(_)) if keys.read_at < asked => {
                let keys = self.keys(app, |keys| keys.read_at >= asked).await?;
                check(&keys).map_err(NotVerified::Token)
            }
            outcome => outcome.map_err(NotVerified::Token),
        }
    }

    /// The keys of an app that is there, read now unless they are fresh.
    async fn keys(
        &self,
        app: AppId,
        is_fresh: impl Fn(&Keys) -> bool,
    ) -> Result<Keys, NotVerified> {
        let mut known = self.keys.lock().await;
        if let Some(keys) = known.get(&app).filter(|keys| is_fresh(keys)) {
            return Ok(keys.clone());
        }
        let keys = self.read_keys(app).await?;
        known.insert(app, keys.clone());
        Ok(keys)
    }

    async fn read_keys(&self, app: AppId) -> Result<Keys, NotVerified> {
        let read_at = Instant::now();
        let secrets = apps::keys(&self.pool, app).await.map_err(NotVerified::Store)?;
        Ok(Keys { secrets: secrets.into(), read_at })
    }
}
