//! Logins: what they are decided by, and their entry, many at once.
//!
//! Decided is in between, by [`crate::domain::login_policy`]: what was read is compared again when it is written, so no
//! lock is held while somebody thinks.

use deadpool_postgres::Pool;
use tokio_postgres::Row;

use super::StoreError;
use super::apps::policy;
use super::query::{Params, get, rows};
use super::sessions::known;
use crate::domain::login_policy::{Known, LoginPolicy};
use crate::ids::{
    AppId, DeviceId, Incarnation, LoginNo, NodeId, Platform, PolicyNo, UserId, UserNo,
};
use crate::limits;

const LOGIN_FACTS: &str = include_str!("../../sql/queries/login_facts.sql");
const ENTER_LOGINS: &str = include_str!("../../sql/queries/enter_logins.sql");

/// Who wants to come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The app.
    pub app: AppId,
    /// The user; made if it is not there.
    pub user: UserId,
}

/// Whether a user may come in at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    Active,
    /// The app's backend lets it in no more.
    Deactivated,
    /// It is the app's own user, which nobody logs in as.
    System,
}

/// What a login is decided by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The user.
    pub user: UserNo,
    /// Raised by each login, and by each decision about the user's sessions: the last one.
    pub login_no: LoginNo,
    /// Tokens signed before this second (since 1970) are revoked.
    pub not_before_s: i64,
    /// Whether it may come in at all.
    pub standing: Standing,
    /// The app's policy.
    pub policy: LoginPolicy,
    /// Which version of it.
    pub policy_no: PolicyNo,
    /// The user's devices, at most [`limits::DEVICES_KEPT`]: those that are in, then the last ones.
    pub known: Vec<Known>,
}

/// Reads what logins are decided by, in their order; none for a login to an app that is not there.
pub async fn facts(pool: &Pool, asks: &[Ask]) -> Result<Vec<Option<Facts>>, StoreError> {
    let apps: Vec<i32> = asks.iter().map(|ask| ask.app.get()).collect();
    let users: Vec<&str> = asks.iter().map(|ask| ask.user.as_str()).collect();
    let devices = limits::DEVICES_KEPT as i64;
    let mut all: Vec<Option<Facts>> = vec![None; asks.len()];
    for row in &rows(pool, LOGIN_FACTS, &[&apps, &users, &devices]).await? {
        let Some(place) = place(row, &mut all)? else { continue };
        let facts = match place {
            Some(facts) => facts,
            None => place.insert(facts_without_devices(row)?),
        };
        facts.known.extend(known(row)?);
    }
    Ok(all)
}

fn facts_without_devices(row: &Row) -> Result<Facts, StoreError> {
    let standing = match (get(row, "is_system")?, get(row, "is_deactivated")?) {
        (true, _) => Standing::System,
        (false, true) => Standing::Deactivated,
        (false, false) => Standing::Active,
    };
    Ok(Facts {
        user: UserNo::from_store(get(row, "user_no")?),
        login_no: LoginNo::from_store(get(row, "login_no")?),
        not_before_s: get(row, "not_before_s")?,
        standing,
        policy: policy(row)?,
        policy_no: PolicyNo::from_store(get(row, "policy_no")?),
        known: Vec::new(),
    })
}

/// A login that was decided to come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entering {
    /// The user.
    pub user: UserNo,
    /// The `login_no` of the facts that it was decided by.
    pub expected: LoginNo,
    /// The `policy_no` of these.
    pub policy_no: PolicyNo,
    /// The device's platform.
    pub platform: Platform,
    /// The device.
    pub device: DeviceId,
    /// What people call it.
    pub device_name: Option<String>,
    /// When its token was signed, in seconds since 1970.
    pub token_s: i64,
    /// The other devices whose sessions end for it.
    pub ends: Vec<(Platform, DeviceId)>,
}

/// What came of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entered {
    /// The device is online.
    In {
        /// The session's number.
        login_no: LoginNo,
        /// The user's sessions that are in from now on, this one among them.
        standing: Vec<LoginNo>,
    },
    /// What it was decided by holds no longer; nothing of it was written.
    Moved,
}

/// Enters logins, in their order. Of several of one user that were decided by the same facts the first wins.
///
/// Run again after a connection broke it finds its own logins, and says that they were moved.
pub async fn enter(
    pool: &Pool,
    node: NodeId,
    incarnation: Incarnation,
    logins: &[Entering],
) -> Result<Vec<Entered>, StoreError> {
    let users: Vec<i64> = logins.iter().map(|login| login.user.get()).collect();
    let expected: Vec<i64> = logins.iter().map(|login| login.expected.get()).collect();
    let policies: Vec<i64> = logins.iter().map(|login| login.policy_no.get()).collect();
    let signed: Vec<i64> = logins.iter().map(|login| login.token_s).collect();
    let platforms: Vec<&str> = logins.iter().map(|login| login.platform.as_str()).collect();
    let devices: Vec<&str> = logins.iter().map(|login| login.device.as_str()).collect();
    let names: Vec<Option<&str>> =
        logins.iter().map(|login| login.device_name.as_deref()).collect();
    let ends: Vec<(i64, &str, &str)> = (1..)
        .zip(logins)
        .flat_map(|(i, login)| {
            login.ends.iter().map(move |(platform, device)| (i, platform.as_str(), device.as_str()))
        })
        .collect();
    let ended_by: Vec<i64> = ends.iter().map(|(login, ..)| *login).collect();
    let ended_platforms: Vec<&str> = ends.iter().map(|(_, platform, _)| *platform).collect();
    let ended_devices: Vec<&str> = ends.iter().map(|(.., device)| *device).collect();
    let params: Params<'_> = &[
        &node.get(),
        &incarnation.get(),
        &users,
        &expected,
        &policies,
        &signed,
        &platforms,
        &devices,
        &names,
        &ended_by,
        &ended_platforms,
        &ended_devices,
        &(limits::DEVICES_KEPT as i64),
    ];
    let mut all = vec![Entered::Moved; logins.len()];
    for row in &rows(pool, ENTER_LOGINS, params).await? {
        let Some(place) = place(row, &mut all)? else { continue };
        let standing: Vec<i64> = get(row, "standing")?;
        *place = Entered::In {
            login_no: LoginNo::from_store(get(row, "login_no")?),
            standing: standing.into_iter().map(LoginNo::from_store).collect(),
        };
    }
    Ok(all)
}

/// The entry that a row is about, by its index from 1.
fn place<'a, T>(row: &Row, all: &'a mut [T]) -> Result<Option<&'a mut T>, StoreError> {
    let i: i64 = get(row, "i")?;
    Ok(usize::try_from(i - 1).ok().and_then(|index| all.get_mut(index)))
}
