//! Who is whose friend: two rows a friendship, written under the locks of both users.

use std::collections::HashMap;

use deadpool_postgres::Pool;

use super::StoreError;
use super::inbox::user_id;
use super::query::{get, row, rows};
use crate::ids::{AppId, UnixMs, UserId, UserNo};
use crate::limits;

const ADD_FRIEND: &str = include_str!("../../sql/queries/add_friend.sql");
const REMOVE_FRIEND: &str = include_str!("../../sql/queries/remove_friend.sql");
const FRIEND_PAGE: &str = include_str!("../../sql/queries/friend_page.sql");
const FRIEND_NUMBERS: &str = include_str!("../../sql/queries/friend_numbers.sql");

/// What came of adding a friend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// They are friends from now on.
    Made(UserNo),
    /// They were before.
    Known,
    /// One of the two has as many friends as one may have.
    Full,
    /// Nobody is their own friend.
    Oneself,
    /// There is no such user, or none who can have friends.
    Nobody,
}

/// Makes two users friends. Run again it finds them to be.
pub async fn add(
    pool: &Pool,
    app: AppId,
    user: UserNo,
    friend: &UserId,
) -> Result<Added, StoreError> {
    let most = limits::FRIENDS as i64;
    let params: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
        &[&app.get(), &user.get(), &friend.as_str(), &most];
    let row = row(pool, ADD_FRIEND, params).await?;
    let row = row.ok_or_else(|| refused("adding a friend returned nothing"))?;
    match get(&row, "outcome")? {
        "made" => Ok(Added::Made(UserNo::from_store(get(&row, "friend_no")?))),
        "known" => Ok(Added::Known),
        "full" => Ok(Added::Full),
        "oneself" => Ok(Added::Oneself),
        "nobody" => Ok(Added::Nobody),
        _ => Err(refused("adding a friend had an unknown outcome")),
    }
}

/// Ends a friendship; who was a friend until then, if anyone was.
pub async fn remove(
    pool: &Pool,
    user: UserNo,
    friend: &UserId,
) -> Result<Option<UserNo>, StoreError> {
    let row = row(pool, REMOVE_FRIEND, &[&user.get(), &friend.as_str()]).await?;
    row.map(|row| Ok(UserNo::from_store(get(&row, "friend_no")?))).transpose()
}

/// One friend in a user's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FriendRow {
    /// Who.
    pub user: UserId,
    /// Since when.
    pub since: UnixMs,
}

/// A page of a user's friends, by their ids.
pub async fn page(
    pool: &Pool,
    user: UserNo,
    after: &str,
    limit: usize,
) -> Result<Vec<FriendRow>, StoreError> {
    let rows = rows(pool, FRIEND_PAGE, &[&user.get(), &after, &(limit as i64)]).await?;
    rows.iter()
        .map(|row| {
            Ok(FriendRow { user: user_id(row, "id")?, since: UnixMs::new(get(row, "since_ms")?) })
        })
        .collect()
}

/// The friends of many users, each list by rising number; one without any is left out.
pub async fn numbers(
    pool: &Pool,
    users: &[UserNo],
) -> Result<HashMap<UserNo, Vec<UserNo>>, StoreError> {
    let users: Vec<i64> = users.iter().map(|user| user.get()).collect();
    let rows = rows(pool, FRIEND_NUMBERS, &[&users]).await?;
    rows.iter()
        .map(|row| {
            let friends: Vec<i64> = get(row, "friends")?;
            let mut friends: Vec<_> = friends.into_iter().map(UserNo::from_store).collect();
            friends.sort_unstable();
            Ok((UserNo::from_store(get(row, "user_no")?), friends))
        })
        .collect()
}

fn refused(reason: &str) -> StoreError {
    StoreError::Refused { reason: reason.to_owned() }
}
