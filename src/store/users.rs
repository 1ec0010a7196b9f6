//! Users and where their devices are logged in.

use deadpool_postgres::Pool;

use super::StoreError;
use super::query::{get, row, rows};
use crate::ids::{AppId, DeviceId, Incarnation, LoginNo, NodeId, UnixMs, UserId, UserNo};

const OPEN_USER: &str = include_str!("../../sql/queries/open_user.sql");
const RESOLVE_USERS: &str = include_str!("../../sql/queries/resolve_users.sql");
const LOG_IN: &str = include_str!("../../sql/queries/log_in.sql");
const FIND_USER: &str = include_str!("../../sql/queries/find_user.sql");
const CREATE_USER: &str = include_str!("../../sql/queries/create_user.sql");

/// A login whose token was checked.
#[derive(Debug, Clone)]
pub struct LoginRequest {
    /// The app.
    pub app: AppId,
    /// Who; made if it is not there.
    pub user: UserId,
    /// When the token was signed, in seconds since 1970.
    pub signed_at_s: i64,
    /// The device's platform, as it is stored.
    pub platform: &'static str,
    /// The device.
    pub device: DeviceId,
    /// What people call it.
    pub device_name: Option<String>,
}

/// What came of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// The device is online, under this number.
    Done {
        /// The user.
        user: UserNo,
        /// The session's number.
        login_no: LoginNo,
    },
    /// The token was signed before the user's tokens were revoked; nothing was written.
    Revoked,
}

/// Makes a user, unless it is there.
pub async fn open(pool: &Pool, app: AppId, user: &UserId) -> Result<UserNo, StoreError> {
    let row = row(pool, OPEN_USER, &[&app.get(), &user.as_str()]).await?;
    let row = row.ok_or_else(no_user)?;
    Ok(UserNo::from_store(get(&row, "user_no")?))
}

/// Finds users by their ids; for each, in this order, its number, or none when there is no such user.
pub async fn resolve(
    pool: &Pool,
    app: AppId,
    users: &[UserId],
) -> Result<Vec<Option<UserNo>>, StoreError> {
    let ids: Vec<&str> = users.iter().map(UserId::as_str).collect();
    let mut found = vec![None; users.len()];
    for row in &rows(pool, RESOLVE_USERS, &[&app.get(), &ids]).await? {
        let index: i64 = get(row, "i")?;
        let place = usize::try_from(index - 1).ok().and_then(|index| found.get_mut(index));
        if let Some(place) = place {
            *place = Some(UserNo::from_store(get(row, "user_no")?));
        }
    }
    Ok(found)
}

/// Logs a device in; the store orders the logins of a user.
///
/// Run again after a connection broke it raises the number once more, which harms nobody.
pub async fn log_in(
    pool: &Pool,
    node: NodeId,
    incarnation: Incarnation,
    request: &LoginRequest,
) -> Result<Login, StoreError> {
    let row = row(
        pool,
        LOG_IN,
        &[
            &request.app.get(),
            &request.user.as_str(),
            &request.signed_at_s,
            &request.platform,
            &request.device.as_str(),
            &request.device_name,
            &node.get(),
            &incarnation.get(),
        ],
    )
    .await?
    .ok_or_else(|| StoreError::Refused { reason: "the login returned nothing".to_owned() })?;
    if get(&row, "revoked")? {
        return Ok(Login::Revoked);
    }
    Ok(Login::Done {
        user: UserNo::from_store(get(&row, "user_no")?),
        login_no: LoginNo::from_store(get(&row, "login_no")?),
    })
}

/// A user as the app's backend sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserRecord {
    /// Its number.
    pub no: UserNo,
    /// When it was made.
    pub created_at: UnixMs,
    /// Whether it is let in no more.
    pub deactivated: bool,
    /// Tokens signed before this second (since 1970) are revoked.
    pub not_before_s: i64,
    /// Whether it is the app's own user.
    pub system: bool,
    /// Whether it has a session.
    pub online: bool,
}

/// Finds a user; none when there is no such one.
pub async fn find(
    pool: &Pool,
    app: AppId,
    user: &UserId,
) -> Result<Option<UserRecord>, StoreError> {
    let row = row(pool, FIND_USER, &[&app.get(), &user.as_str()]).await?;
    row.map(|row| {
        Ok(UserRecord {
            no: UserNo::from_store(get(&row, "user_no")?),
            created_at: UnixMs::new(get(&row, "created_at_ms")?),
            deactivated: get(&row, "is_deactivated")?,
            not_before_s: get(&row, "not_before_s")?,
            system: get(&row, "is_system")?,
            online: get(&row, "is_online")?,
        })
    })
    .transpose()
}

/// Makes a user, unless it is there, and says whether it was made now.
pub async fn create(
    pool: &Pool,
    app: AppId,
    user: &UserId,
) -> Result<(UserRecord, bool), StoreError> {
    let made = row(pool, CREATE_USER, &[&app.get(), &user.as_str()]).await?;
    let made = made.map_or(Ok(false), |row| get(&row, "made"))?;
    let record = find(pool, app, user).await?.ok_or_else(no_user)?;
    Ok((record, made))
}

fn no_user() -> StoreError {
    StoreError::Refused { reason: "no user was returned".to_owned() }
}
