//! Sessions: one row a device, with its last login; how sessions end, and what is known of them afterwards.
//!
//! Each decision raises the user's `login_no`, so that a login which was decided by what was before looks again, and so
//! that decisions about one user have an order wherever they are heard of.

use deadpool_postgres::Pool;
use tokio_postgres::Row;

use super::StoreError;
use super::query::{Params, get, row, rows, unknown};
use crate::domain::login_policy::{EndedBy, Known, Session};
use crate::ids::{
    AppId, DeviceId, Incarnation, LoginNo, NodeId, NodeRun, Platform, UnixMs, UserNo,
};

const END_SESSIONS: &str = include_str!("../../sql/queries/end_sessions.sql");
const REVOKE_TOKENS: &str = include_str!("../../sql/queries/revoke_tokens.sql");
const SET_DEACTIVATED: &str = include_str!("../../sql/queries/set_deactivated.sql");
const END_MISFITS: &str = include_str!("../../sql/queries/end_misfits.sql");
const RENEW_TOKEN: &str = include_str!("../../sql/queries/renew_token.sql");
const SESSION_STANDS: &str = include_str!("../../sql/queries/session_stands.sql");
const END_SESSION: &str = include_str!("../../sql/queries/end_session.sql");
const END_SESSIONS_OF_NODE: &str = include_str!("../../sql/queries/end_sessions_of_node.sql");
const NODES_OF_SESSIONS: &str = include_str!("../../sql/queries/nodes_of_sessions.sql");
const WHY_ENDED: &str = include_str!("../../sql/queries/why_ended.sql");
const STANDING_OF_NODE: &str = include_str!("../../sql/queries/standing_of_node.sql");
const SESSIONS_OF_NODE: &str = include_str!("../../sql/queries/sessions_of_node.sql");
const DEVICE_PAGE: &str = include_str!("../../sql/queries/device_page.sql");
const ONLINE_PAGE: &str = include_str!("../../sql/queries/online_page.sql");

/// Reads the columns of a device; none where they are null.
pub(super) fn known(row: &Row) -> Result<Option<Known>, StoreError> {
    let platform: Option<&str> = get(row, "platform")?;
    let Some(platform) = platform else { return Ok(None) };
    let ended_by: Option<&str> = get(row, "ended_by")?;
    let session = match (get(row, "online")?, ended_by) {
        (true, _) => Session::In,
        (false, None) => Session::Over,
        (false, Some(why)) => Session::Ended(
            EndedBy::from_store(why).ok_or_else(|| unknown("a session that ended somehow"))?,
        ),
    };
    Ok(Some(Known {
        platform: Platform::from_store(platform).ok_or_else(|| unknown("a device of some kind"))?,
        device: DeviceId::parse(get(row, "device")?).map_err(|_| unknown("a device of no name"))?,
        name: get(row, "device_name")?,
        login_no: LoginNo::from_store(get(row, "device_login_no")?),
        session,
    }))
}

/// What was decided about a user's sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The user.
    pub user: UserNo,
    /// The place of the decision among the user's logins and decisions.
    pub at: LoginNo,
    /// Of the sessions up to that place, only these may be on.
    pub standing: Vec<LoginNo>,
    /// Those that were in and have to end.
    pub ended: Vec<Known>,
}

/// Gathers the rows of decisions, of one user after the other.
fn decided(rows: &[Row]) -> Result<Vec<Decided>, StoreError> {
    let mut all: Vec<Decided> = Vec::new();
    for row in rows {
        let user = UserNo::from_store(get(row, "user_no")?);
        if all.last().is_none_or(|last| last.user != user) {
            let at = LoginNo::from_store(get(row, "login_no")?);
            all.push(Decided { user, at, standing: Vec::new(), ended: Vec::new() });
        }
        let (Some(last), Some(known)) = (all.last_mut(), known(row)?) else { continue };
        match known.session {
            Session::In => last.standing.push(known.login_no),
            Session::Over | Session::Ended(_) => last.ended.push(known),
        }
    }
    Ok(all)
}

async fn decide_one(
    pool: &Pool,
    sql: &'static str,
    params: Params<'_>,
) -> Result<Decided, StoreError> {
    let all = decided(&rows(pool, sql, params).await?)?;
    all.into_iter()
        .next()
        .ok_or_else(|| StoreError::Refused { reason: "there is no such user".to_owned() })
}

/// Which sessions are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which<'a> {
    /// Those of one device.
    Device {
        /// The device.
        device: &'a DeviceId,
        /// Its platform; none for the device of that name on each.
        platform: Option<Platform>,
    },
    /// All, or all but one.
    AllBut(Option<LoginNo>),
}

/// Ends sessions. Those that were over are marked, too, so that nobody goes on with them.
pub async fn end(
    pool: &Pool,
    user: UserNo,
    which: Which<'_>,
    why: EndedBy,
) -> Result<Decided, StoreError> {
    let (platform, device, but) = match which {
        Which::Device { device, platform } => {
            (platform.map(Platform::as_str), Some(device.as_str()), None)
        }
        Which::AllBut(but) => (None, None, but.map(LoginNo::get)),
    };
    decide_one(pool, END_SESSIONS, &[&user.get(), &platform, &device, &but, &why.as_str()]).await
}

/// Ends all tokens that were signed before `before_s`, in seconds since 1970, and the sessions on them. It only rises.
pub async fn revoke(pool: &Pool, user: UserNo, before_s: i64) -> Result<Decided, StoreError> {
    decide_one(pool, REVOKE_TOKENS, &[&user.get(), &before_s]).await
}

/// Lets a user in no more and ends its sessions, or lets it in again.
pub async fn set_deactivated(
    pool: &Pool,
    user: UserNo,
    deactivated: bool,
) -> Result<Decided, StoreError> {
    decide_one(pool, SET_DEACTIVATED, &[&user.get(), &deactivated]).await
}

/// A user some of whose sessions do not fit the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfits {
    /// The user.
    pub user: UserNo,
    /// The user's `login_no` when that was found.
    pub expected: LoginNo,
    /// The devices.
    pub devices: Vec<(Platform, DeviceId)>,
}

/// Ends sessions that do not fit a changed policy. Users who have logged in since are left out, so ask again for them.
pub async fn end_misfits(pool: &Pool, misfits: &[Misfits]) -> Result<Vec<Decided>, StoreError> {
    let users: Vec<i64> = misfits.iter().map(|one| one.user.get()).collect();
    let expected: Vec<i64> = misfits.iter().map(|one| one.expected.get()).collect();
    let all = misfits.iter().flat_map(|one| one.devices.iter().map(|device| (one.user, device)));
    let all: Vec<(UserNo, &(Platform, DeviceId))> = all.collect();
    let owners: Vec<i64> = all.iter().map(|(user, _)| user.get()).collect();
    let platforms: Vec<&str> = all.iter().map(|(_, (platform, _))| platform.as_str()).collect();
    let devices: Vec<&str> = all.iter().map(|(_, (_, device))| device.as_str()).collect();
    let params: Params<'_> = &[&users, &expected, &owners, &platforms, &devices];
    decided(&rows(pool, END_MISFITS, params).await?)
}

/// Notes that a session stands on a token signed at `token_s`; false when that is revoked, or the session has ended.
pub async fn renew_token(
    pool: &Pool,
    user: UserNo,
    login_no: LoginNo,
    token_s: i64,
) -> Result<bool, StoreError> {
    let renewed = row(pool, RENEW_TOKEN, &[&user.get(), &login_no.get(), &token_s]).await?;
    Ok(renewed.is_some())
}

/// Notes that a device went offline, unless it has logged in again since.
pub async fn over(
    pool: &Pool,
    user: UserNo,
    platform: Platform,
    device: &DeviceId,
    login_no: LoginNo,
) -> Result<(), StoreError> {
    let params: Params<'_> = &[&user.get(), &platform.as_str(), &device.as_str(), &login_no.get()];
    row(pool, END_SESSION, params).await.map(|_| ())
}

/// Notes that the sessions of a node's former incarnations are over.
pub async fn over_of_node(
    pool: &Pool,
    node: NodeId,
    incarnation: Incarnation,
) -> Result<(), StoreError> {
    row(pool, END_SESSIONS_OF_NODE, &[&node.get(), &incarnation.get()]).await.map(|_| ())
}

/// Whether a session is in.
pub async fn stands(pool: &Pool, user: UserNo, login_no: LoginNo) -> Result<bool, StoreError> {
    let row = row(pool, SESSION_STANDS, &[&user.get(), &login_no.get()]).await?;
    row.map_or(Ok(false), |row| get(&row, "stands"))
}

/// A device in the list of its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRecord {
    /// The device.
    pub known: Known,
    /// When it logged in last.
    pub logged_in_at: UnixMs,
    /// When that session ended; none while it lasts.
    pub ended_at: Option<UnixMs>,
}

/// A page of a user's devices, the last login first.
pub async fn devices(
    pool: &Pool,
    user: UserNo,
    before: Option<LoginNo>,
    limit: usize,
) -> Result<Vec<DeviceRecord>, StoreError> {
    let before = before.map_or(i64::MAX, LoginNo::get);
    let mut devices = Vec::new();
    for row in &rows(pool, DEVICE_PAGE, &[&user.get(), &before, &(limit as i64)]).await? {
        let ended_at: Option<i64> = get(row, "ended_at_ms")?;
        devices.extend(
            known(row)?
                .map(|known| {
                    Ok(DeviceRecord {
                        known,
                        logged_in_at: UnixMs::new(get(row, "logged_in_at_ms")?),
                        ended_at: ended_at.map(UnixMs::new),
                    })
                })
                .transpose()?,
        );
    }
    Ok(devices)
}

/// Somebody who is online.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Online {
    /// The user.
    pub user: UserNo,
    /// Its last login or decision.
    pub login_no: LoginNo,
    /// Its sessions that are in.
    pub known: Vec<Known>,
}

/// A page of an app's users who are online, by number.
pub async fn online(
    pool: &Pool,
    app: AppId,
    after: UserNo,
    limit: usize,
) -> Result<Vec<Online>, StoreError> {
    let mut all: Vec<Online> = Vec::new();
    for row in &rows(pool, ONLINE_PAGE, &[&app.get(), &after.get(), &(limit as i64)]).await? {
        let user = UserNo::from_store(get(row, "user_no")?);
        if all.last().is_none_or(|last| last.user != user) {
            let login_no = LoginNo::from_store(get(row, "login_no")?);
            all.push(Online { user, login_no, known: Vec::new() });
        }
        if let (Some(last), Some(known)) = (all.last_mut(), known(row)?) {
            last.known.push(known);
        }
    }
    Ok(all)
}

/// A session, as a sweep finds it.
pub type OfNode = (UserNo, Platform, DeviceId, LoginNo);

/// Sessions that are in at a node, of this incarnation or a former one, for more than a minute, by user: about so many, all of a user or none.
pub async fn of_node(
    pool: &Pool,
    node: NodeId,
    incarnation: Incarnation,
    after: UserNo,
    about: usize,
) -> Result<Vec<OfNode>, StoreError> {
    let params: Params<'_> = &[&node.get(), &incarnation.get(), &after.get(), &(about as i64)];
    let mut all = Vec::new();
    for row in &rows(pool, SESSIONS_OF_NODE, params).await? {
        let platform = Platform::from_store(get(row, "platform")?);
        let device = DeviceId::parse(get(row, "device")?);
        all.push((
            UserNo::from_store(get(row, "user_no")?),
            platform.ok_or_else(|| unknown("a device of some kind"))?,
            device.map_err(|_| unknown("a device of no name"))?,
            LoginNo::from_store(get(row, "login_no")?),
        ));
    }
    Ok(all)
}

/// At which runs of nodes but one sessions are or were last, of those whose leases are not over. Sessions of these users
/// that decisions ended lately count as well.
pub async fn nodes_of(
    pool: &Pool,
    but: NodeRun,
    sessions: &[(UserNo, Platform, DeviceId)],
) -> Result<Vec<(UserNo, NodeRun)>, StoreError> {
    let users: Vec<i64> = sessions.iter().map(|(user, ..)| user.get()).collect();
    let platforms: Vec<&str> = sessions.iter().map(|(_, platform, _)| platform.as_str()).collect();
    let devices: Vec<&str> = sessions.iter().map(|(.., device)| device.as_str()).collect();
    let params: Params<'_> =
        &[&users, &platforms, &devices, &but.node.get(), &but.incarnation.get()];
    let mut all = Vec::new();
    for row in &rows(pool, NODES_OF_SESSIONS, params).await? {
        let run = NodeRun {
            node: NodeId::from_store(get(row, "node")?),
            incarnation: Incarnation::from_store(get(row, "incarnation")?),
        };
        all.push((UserNo::from_store(get(row, "user_no")?), run));
    }
    Ok(all)
}

/// The sessions that are in at one run of a node, by user: about so many, all of a user or none.
pub async fn standing_at(
    pool: &Pool,
    run: NodeRun,
    after: UserNo,
    about: usize,
) -> Result<Vec<(UserNo, LoginNo)>, StoreError> {
    let params: Params<'_> =
        &[&run.node.get(), &run.incarnation.get(), &after.get(), &(about as i64)];
    let mut all = Vec::new();
    for row in &rows(pool, STANDING_OF_NODE, params).await? {
        let login_no = LoginNo::from_store(get(row, "login_no")?);
        all.push((UserNo::from_store(get(row, "user_no")?), login_no));
    }
    Ok(all)
}

/// Why sessions that are not in have ended: none of those of which the store knows no reason. One whose device has logged in
/// since was replaced.
pub async fn why_ended(
    pool: &Pool,
    sessions: &[(UserNo, LoginNo)],
) -> Result<Vec<Option<EndedBy>>, StoreError> {
    let users: Vec<i64> = sessions.iter().map(|(user, _)| user.get()).collect();
    let logins: Vec<i64> = sessions.iter().map(|(_, login_no)| login_no.get()).collect();
    let why = |row| {
        if !get::<bool>(row, "is_known")? {
            return Ok(Some(EndedBy::Replaced));
        }
        let why: Option<&str> = get(row, "ended_by")?;
        let known =
            |why| EndedBy::from_store(why).ok_or_else(|| unknown("a session that ended somehow"));
        why.map(known).transpose()
    };
    rows(pool, WHY_ENDED, &[&users, &logins]).await?.iter().map(why).collect()
}
