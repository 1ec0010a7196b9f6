//! What users say of themselves, and when they were last seen.

use std::collections::HashMap;

use deadpool_postgres::Pool;
use tokio_postgres::Row;

use super::StoreError;
use super::query::{get, rows};
use crate::domain::presence::{Chosen, LAST_SEEN_TO_MS, Profile, SeenTo, Status};
use crate::ids::{AppId, NodeId, UnixMs, UserId, UserNo};

const PRESENCES_BY_ID: &str = include_str!("../../sql/queries/presences_by_id.sql");
const PRESENCES_BY_NUMBER: &str = include_str!("../../sql/queries/presences_by_number.sql");
const SET_PRESENCES: &str = include_str!("../../sql/queries/set_presences.sql");
const LEAVE_PRESENCES: &str = include_str!("../../sql/queries/leave_presences.sql");
const LEAVE_PRESENCES_OF_NODE: &str = include_str!("../../sql/queries/leave_presences_of_node.sql");

/// What the store knows of one whose presence is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The user; none when there is no such one.
    pub user: Option<UserNo>,
    /// What they say of themselves.
    pub profile: Profile,
    /// Whether they are a friend of whoever asks.
    pub is_friend: bool,
}

/// What the store knows of users by their ids, in this order, for a user who asks, or for the app.
pub async fn by_id(
    pool: &Pool,
    app: AppId,
    asks: Option<UserNo>,
    users: &[UserId],
) -> Result<Vec<Asked>, StoreError> {
    let ids: Vec<&str> = users.iter().map(UserId::as_str).collect();
    let asks = asks.map(UserNo::get);
    let rows = rows(pool, PRESENCES_BY_ID, &[&app.get(), &ids, &asks]).await?;
    rows.iter()
        .map(|row| {
            let user: Option<i64> = get(row, "user_no")?;
            Ok(Asked {
                user: user.map(UserNo::from_store),
                profile: profile(row)?,
                is_friend: get(row, "is_friend")?,
            })
        })
        .collect()
}

/// What users say of themselves, by their numbers; one who never said anything is left out.
pub async fn by_number(
    pool: &Pool,
    users: &[UserNo],
) -> Result<HashMap<UserNo, Profile>, StoreError> {
    let users: Vec<i64> = users.iter().map(|user| user.get()).collect();
    let rows = rows(pool, PRESENCES_BY_NUMBER, &[&users]).await?;
    rows.iter().map(|row| Ok((UserNo::from_store(get(row, "user_no")?), profile(row)?))).collect()
}

/// What a user says of themselves from now on; none leaves it as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Said {
    /// The status.
    pub status: Option<Status>,
    /// Who sees the last seen.
    pub seen_to: Option<SeenTo>,
}

/// Notes what users say of themselves, no user twice, and returns all of it as it stands.
pub async fn set(
    pool: &Pool,
    users: &[(UserNo, Said)],
) -> Result<HashMap<UserNo, Profile>, StoreError> {
    let numbers: Vec<i64> = users.iter().map(|(user, _)| user.get()).collect();
    let statuses = || users.iter().map(|(_, said)| said.status.as_ref());
    let chosen: Vec<Option<&str>> = statuses().map(|it| it.map(|it| it.chosen.as_str())).collect();
    let texts: Vec<Option<&str>> =
        statuses().map(|it| it.and_then(|it| it.text.as_deref())).collect();
    let untils: Vec<Option<i64>> =
        statuses().map(|it| it.and_then(|it| it.until).map(UnixMs::get)).collect();
    let seen_to: Vec<Option<&str>> =
        users.iter().map(|(_, said)| said.seen_to.map(SeenTo::as_str)).collect();
    let params: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
        &[&numbers, &chosen, &texts, &untils, &seen_to];
    let rows = rows(pool, SET_PRESENCES, params).await?;
    rows.iter().map(|row| Ok((UserNo::from_store(get(row, "user_no")?), profile(row)?))).collect()
}

/// Notes when users were last seen, no user twice.
pub async fn left(pool: &Pool, users: &[(UserNo, UnixMs)]) -> Result<(), StoreError> {
    let numbers: Vec<i64> = users.iter().map(|(user, _)| user.get()).collect();
    let times: Vec<i64> = users.iter().map(|(_, time)| time.get()).collect();
    rows(pool, LEAVE_PRESENCES, &[&numbers, &times]).await.map(|_| ())
}

/// Notes when those were last seen whom a former incarnation of a node left online. To be called before it joins again.
pub async fn left_by_node(pool: &Pool, node: NodeId) -> Result<(), StoreError> {
    rows(pool, LEAVE_PRESENCES_OF_NODE, &[&node.get(), &LAST_SEEN_TO_MS]).await.map(|_| ())
}

/// Reads the columns of a profile; where they are null nothing was said.
fn profile(row: &Row) -> Result<Profile, StoreError> {
    let status: Option<&str> = get(row, "status")?;
    let Some(status) = status else { return Ok(Profile::NONE) };
    let chosen = Chosen::from_store(status).ok_or_else(|| refused("an unknown status"))?;
    let text: Option<&str> = get(row, "status_text")?;
    let until: Option<i64> = get(row, "until_ms")?;
    let seen_to = SeenTo::from_store(get(row, "last_seen_to")?)
        .ok_or_else(|| refused("last seen by unknown ones"))?;
    let last_seen: Option<i64> = get(row, "last_seen_ms")?;
    Ok(Profile {
        version: get(row, "version")?,
        status: Status { chosen, text: text.map(Into::into), until: until.map(UnixMs::new) },
        seen_to,
        last_seen: last_seen.map(UnixMs::new),
    })
}

fn refused(reason: &str) -> StoreError {
    StoreError::Refused { reason: reason.to_owned() }
}
