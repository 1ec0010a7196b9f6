//! Users: their numbers, and what is kept of them besides their sessions.

use deadpool_postgres::Pool;

use super::StoreError;
use super::query::{get, row, rows};
use crate::ids::{AppId, UnixMs, UserId, UserNo};

const OPEN_USER: &str = include_str!("../../sql/queries/open_user.sql");
const RESOLVE_USERS: &str = include_str!("../../sql/queries/resolve_users.sql");
const FIND_USER: &str = include_str!("../../sql/queries/find_user.sql");
const CREATE_USER: &str = include_str!("../../sql/queries/create_user.sql");

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
