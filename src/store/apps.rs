//! Apps: the keys that sign their tokens, and what each has set.

use deadpool_postgres::Pool;
use tokio_postgres::Row;

use super::StoreError;
use super::query::{Params, get, row, rows, unknown};
use crate::domain::login_policy::{Caps, LoginPolicy, Mode, OnConflict};
use crate::ids::{AppId, Platform, PolicyNo, UserNo};

const ENSURE_APP: &str = include_str!("../../sql/queries/ensure_app.sql");
const APP_KEYS: &str = include_str!("../../sql/queries/app_keys.sql");
const ROTATE_KEY: &str = include_str!("../../sql/queries/rotate_key.sql");
const APP_SETTINGS: &str = include_str!("../../sql/queries/app_settings.sql");
const SET_LOGIN_POLICY: &str = include_str!("../../sql/queries/set_login_policy.sql");
const SET_READ_RECEIPTS: &str = include_str!("../../sql/queries/set_read_receipts.sql");

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

/// Adds a key that signs an app's tokens; false when there is no such app.
///
/// The one that was the newest stays valid for `keep_old_s` seconds, older ones go at once.
pub async fn rotate_key(
    pool: &Pool,
    app: AppId,
    secret: &str,
    keep_old_s: u32,
) -> Result<bool, StoreError> {
    let row = row(pool, ROTATE_KEY, &[&app.get(), &secret, &f64::from(keep_old_s)]).await?;
    row.map_or(Ok(false), |row| get(&row, "is_there"))
}

/// What an app has set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppSettings {
    /// The app.
    pub app: AppId,
    /// Which of a user's devices may be online together.
    pub policy: LoginPolicy,
    /// Which version of that.
    pub policy_no: PolicyNo,
    /// Whether authors hear who has read; none: as the node's settings say.
    pub read_receipts: Option<bool>,
    /// The app's own user, which cannot log in.
    pub system: UserNo,
}

/// What the apps have set.
pub async fn settings(pool: &Pool) -> Result<Vec<AppSettings>, StoreError> {
    let rows = rows(pool, APP_SETTINGS, &[]).await?;
    rows.iter()
        .map(|row| {
            let app: i32 = get(row, "app")?;
            Ok(AppSettings {
                app: AppId::new(app.into()).ok_or_else(|| unknown("an app"))?,
                policy: policy(row)?,
                policy_no: PolicyNo::from_store(get(row, "policy_no")?),
                read_receipts: get(row, "read_receipts")?,
                system: UserNo::from_store(get(row, "system_no")?),
            })
        })
        .collect()
}

/// Changes an app's login policy, which logins are decided by from now on; false when there is no such app.
pub async fn set_policy(pool: &Pool, app: AppId, policy: &LoginPolicy) -> Result<bool, StoreError> {
    let LoginPolicy { mode, on_conflict, caps } = policy;
    let caps = Platform::ALL.map(|platform| i16::try_from(caps.of(platform)).unwrap_or(i16::MAX));
    let params: Params<'_> = &[&app.get(), &mode.as_str(), &on_conflict.as_str(), &&caps[..]];
    Ok(row(pool, SET_LOGIN_POLICY, params).await?.is_some())
}

/// Sets whether an app's authors hear who has read; false when there is no such app.
pub async fn set_read_receipts(pool: &Pool, app: AppId, on: bool) -> Result<bool, StoreError> {
    Ok(row(pool, SET_READ_RECEIPTS, &[&app.get(), &on]).await?.is_some())
}

/// Reads the columns of a login policy.
pub(super) fn policy(row: &Row) -> Result<LoginPolicy, StoreError> {
    let stored: Vec<i16> = get(row, "session_caps")?;
    let mut caps = Caps::default();
    for (platform, cap) in Platform::ALL.into_iter().zip(stored) {
        let cap = usize::try_from(cap).ok().and_then(|cap| caps.with(platform, cap));
        caps = cap.ok_or_else(|| unknown("a cap"))?;
    }
    Ok(LoginPolicy {
        mode: Mode::from_store(get(row, "login_mode")?).ok_or_else(|| unknown("a mode"))?,
        on_conflict: OnConflict::from_store(get(row, "on_conflict")?)
            .ok_or_else(|| unknown("a conflict rule"))?,
        caps,
    })
}
