//! Users as their app and they themselves manage them: made, deactivated, their tokens revoked, their devices listed and
//! ended; and the app's rules for logins.
//!
//! Each decision is made in the store, and then told to the user's actor, which ends the sessions that do not stand any
//! more. A session that is on its way in while that happens asks the store once its user knows it.

use std::sync::Arc;
use std::time::Duration;

use super::engine::{Engine, ReadReceipts, Shared};
use super::errors;
use super::logins::{device_of, end_elsewhere};
use super::reads::{Identity, admitted, bad_after, parse_number};
use super::user::Decided;
use crate::domain::login_policy::{self, Caps, EndedBy, LoginPolicy, Mode, OnConflict};
use crate::ids::{AppId, DeviceId, LoginNo, Platform, UnixMs, UserId, UserNo};
use crate::limits;
use crate::protocol::rest::{LoginConflict, LoginMode, LoginRules};
use crate::protocol::{
    After, Code, Device, DeviceKick, DeviceRow, DevicesEnded, DevicesPage, ErrorBody, Page,
};
use crate::store::apps;
use crate::store::sessions::{self, DeviceRecord, Misfits, Online, Which};
use crate::store::users::{self, UserRecord};

/// A user, as its app sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub user: UserId,
    /// When it was made.
    pub created_at: UnixMs,
    /// Whether it may not log in.
    pub deactivated: bool,
    /// Tokens signed before this second (since 1970) are revoked.
    pub not_before_s: i64,
    /// Whether it is the app's own user, which cannot log in.
    pub system: bool,
    /// Whether it has a session.
    pub online: bool,
}

/// What a revocation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// Tokens signed before this second (since 1970) are revoked.
    pub not_before_s: i64,
    /// Whose sessions were ended.
    pub ended: Vec<Device>,
}

/// The rules for logins as they travel.
fn rules_of(policy: &LoginPolicy) -> LoginRules {
    let mode = match policy.mode {
        Mode::Single => LoginMode::Single,
        Mode::NativeAndWeb => LoginMode::NativeAndWeb,
        Mode::PerClass => LoginMode::PerClass,
        Mode::All => LoginMode::All,
    };
    let on_conflict = match policy.on_conflict {
        OnConflict::NewestWins => LoginConflict::NewestWins,
        OnConflict::RefuseNewcomer => LoginConflict::RefuseNewcomer,
    };
    let caps = Platform::ALL.into_iter().map(|it| (it, policy.caps.of(it))).collect();
    LoginRules { mode, on_conflict, caps, ended: None }
}

/// The rules for logins as they are decided by; a platform without a cap has the default.
fn policy_of(rules: &LoginRules) -> Result<LoginPolicy, ErrorBody> {
    let mode = match rules.mode {
        LoginMode::Single => Mode::Single,
        LoginMode::NativeAndWeb => Mode::NativeAndWeb,
        LoginMode::PerClass => Mode::PerClass,
        LoginMode::All => Mode::All,
    };
    let on_conflict = match rules.on_conflict {
        LoginConflict::NewestWins => OnConflict::NewestWins,
        LoginConflict::RefuseNewcomer => OnConflict::RefuseNewcomer,
    };
    let mut caps = Caps::default();
    for (platform, cap) in &rules.caps {
        caps = caps.with(*platform, *cap).ok_or_else(|| {
            let message = format!("expected 1 to {} sessions", limits::SESSIONS_PER_USER);
            let field = format!("caps.{}", platform.as_str());
            ErrorBody::new(Code::BadRequest, message).field(field)
        })?;
    }
    Ok(LoginPolicy { mode, on_conflict, caps })
}

/// Makes a user, or finds it. True when it was made now.
pub async fn create(
    engine: &Engine,
    app: AppId,
    user: &UserId,
) -> Result<(Account, bool), ErrorBody> {
    let shared = engine.shared();
    let (record, is_new) = admitted(shared, users::create(&shared.pool, app, user)).await?;
    Ok((account(user, record), is_new))
}

/// Finds a user.
pub async fn get(engine: &Engine, app: AppId, user: &UserId) -> Result<Account, ErrorBody> {
    find(engine.shared(), app, user).await.map(|record| account(user, record))
}

/// Keeps a user from logging in, and ends its sessions; or lets it in again.
pub async fn set_deactivated(
    engine: &Engine,
    app: AppId,
    user: &UserId,
    deactivated: bool,
) -> Result<Account, ErrorBody> {
    let shared = engine.shared();
    let record = find(shared, app, user).await?;
    not_system(&record)?;
    let set = sessions::set_deactivated(&shared.pool, record.no, deactivated);
    let decided = admitted(shared, set).await?;
    tell(shared, decided, EndedBy::Deactivation, None).await;
    get(engine, app, user).await
}

/// Revokes all tokens of a user that were signed until now, and ends the sessions that were opened with them. Returns when
/// tokens that are signed from then on hold.
pub async fn revoke(engine: &Engine, app: AppId, user: &UserId) -> Result<Revoked, ErrorBody> {
    let shared = engine.shared();
    let record = find(shared, app, user).await?;
    not_system(&record)?;
    // Tokens tell whole seconds: what was signed in this one is revoked, too.
    let not_before_s = shared.node.now().get().div_euclid(1000) + 1;
    let decided = admitted(shared, sessions::revoke(&shared.pool, record.no, not_before_s)).await?;
    let ended = tell(shared, decided, EndedBy::Revocation, None).await;
    let left_ms = UnixMs::new(not_before_s * 1000).since(shared.node.now());
    tokio::time::sleep(Duration::from_millis(u64::try_from(left_ms).unwrap_or(0))).await;
    Ok(Revoked { not_before_s, ended })
}

/// Lists a user's devices, last login first. `current` is the one that asks.
pub(super) async fn devices(
    engine: &Engine,
    user: UserNo,
    current: Option<LoginNo>,
    page: &Page,
) -> Result<DevicesPage, ErrorBody> {
    let shared = engine.shared();
    let before = match &page.after {
        None => None,
        Some(after) => Some(parse_number(after).map(LoginNo::from_store).ok_or_else(bad_after)?),
    };
    let limit = page.limit.get();
    let read = sessions::devices(&shared.pool, user, before, limit + 1);
    let mut records = admitted(shared, read).await?;
    let more = records.len() > limit;
    records.truncate(limit);
    let last = records.last().filter(|_| more);
    let next = last.map(|last| After::new(last.known.login_no.to_string()));
    let row = |DeviceRecord { known, logged_in_at, ended_at }| DeviceRow {
        online: known.session == login_policy::Session::In,
        current: current == Some(known.login_no),
        login_no: known.login_no,
        logged_in_at_ms: logged_in_at,
        ended_at_ms: ended_at,
        device: device_of(known),
    };
    Ok(DevicesPage { devices: records.into_iter().map(row).collect(), next })
}

/// The same, for the user's app.
pub async fn devices_of(
    engine: &Engine,
    app: AppId,
    user: &UserId,
    page: &Page,
) -> Result<DevicesPage, ErrorBody> {
    let record = find(engine.shared(), app, user).await?;
    devices(engine, record.no, None, page).await
}

/// Ends sessions of the user whose session asks; with `all`, but that one.
pub(super) async fn kick_own(
    engine: &Engine,
    who: &Identity,
    kick: &DeviceKick,
) -> Result<DevicesEnded, ErrorBody> {
    let which = which(kick, Some(who.login_no))?;
    end(engine.shared(), who.no, which, Some((who.platform, who.device.clone()))).await
}

/// Ends sessions of a user; with `all`, every one.
pub async fn kick(
    engine: &Engine,
    app: AppId,
    user: &UserId,
    kick: &DeviceKick,
) -> Result<DevicesEnded, ErrorBody> {
    let which = which(kick, None)?;
    let record = find(engine.shared(), app, user).await?;
    end(engine.shared(), record.no, which, None).await
}

/// An app's rules for logins.
pub async fn login_rules(engine: &Engine, app: AppId) -> Result<LoginRules, ErrorBody> {
    policy(engine.shared(), app).await.map(|policy| rules_of(&policy))
}

/// Changes an app's rules for logins, from the next login on. Returns them as they are from now on.
pub async fn set_login_rules(
    engine: &Engine,
    app: AppId,
    rules: &LoginRules,
) -> Result<LoginRules, ErrorBody> {
    let shared = engine.shared();
    let policy = policy_of(rules)?;
    admitted(shared, apps::set_policy(&shared.pool, app, &policy)).await?;
    Ok(rules_of(&policy))
}

async fn policy(shared: &Arc<Shared>, app: AppId) -> Result<LoginPolicy, ErrorBody> {
    let settings = admitted(shared, apps::settings(&shared.pool)).await?;
    let own = settings.into_iter().find(|settings| settings.app == app);
    own.map(|own| own.policy).ok_or_else(errors::unavailable)
}

/// Ends the sessions of an app that do not fit its rules; how many that were.
pub async fn apply_login_rules(engine: &Engine, app: AppId) -> Result<usize, ErrorBody> {
    let shared = engine.shared();
    let policy = policy(shared, app).await?;
    let (mut ended, mut after) = (0, UserNo::from_store(0));
    loop {
        let online = sessions::online(&shared.pool, app, after, limits::POLICY_PAGE);
        let page = admitted(shared, online).await?;
        let Some(last) = page.last() else { return Ok(ended) };
        after = last.user;
        let misfits = page.into_iter().filter_map(|Online { user, login_no, known }| {
            let out = login_policy::misfits(&policy, &known);
            let devices: Vec<_> = out.into_iter().map(|it| (it.platform, it.device)).collect();
            let expected = login_no;
            (!devices.is_empty()).then_some(Misfits { user, expected, devices })
        });
        let misfits: Vec<_> = misfits.collect();
        if misfits.is_empty() {
            continue;
        }
        // A user who logs in meanwhile is left out: that login goes by the new rules.
        let decided = admitted(shared, sessions::end_misfits(&shared.pool, &misfits)).await?;
        let telling = decided.into_iter().map(|it| tell(shared, it, EndedBy::Policy, None));
        let told = futures_util::future::join_all(telling).await;
        ended += told.iter().map(Vec::len).sum::<usize>();
    }
}

/// Whether the peers of an app's users hear that they have read.
pub async fn read_receipts(engine: &Engine, app: AppId) -> Result<ReadReceipts, ErrorBody> {
    let shared = engine.shared();
    admitted(shared, shared.apps.refresh()).await?;
    Ok(shared.apps.read_receipts(app))
}

/// Changes whether they do.
pub async fn set_read_receipts(
    engine: &Engine,
    app: AppId,
    read_receipts: ReadReceipts,
) -> Result<(), ErrorBody> {
    let shared = engine.shared();
    let is_on = read_receipts == ReadReceipts::On;
    admitted(shared, apps::set_read_receipts(&shared.pool, app, is_on)).await?;
    admitted(shared, shared.apps.refresh()).await
}

fn which(kick: &DeviceKick, own: Option<LoginNo>) -> Result<Which<'_>, ErrorBody> {
    match (&kick.device, kick.all) {
        (Some(device), false) => Ok(Which::Device { device, platform: kick.platform }),
        (None, true) if kick.platform.is_some() => {
            let error = ErrorBody::new(Code::BadRequest, "expected a platform beside device alone");
            Err(error.field("platform"))
        }
        (None, true) => Ok(Which::AllBut(own)),
        (Some(_), true) | (None, false) => {
            let error = ErrorBody::new(Code::BadRequest, "expected either device or all: true");
            Err(error.field("device"))
        }
    }
}

async fn end(
    shared: &Arc<Shared>,
    user: UserNo,
    which: Which<'_>,
    by: Option<(Platform, DeviceId)>,
) -> Result<DevicesEnded, ErrorBody> {
    let why = EndedBy::Kick;
    let decided = admitted(shared, sessions::end(&shared.pool, user, which, why)).await?;
    Ok(DevicesEnded { ended: tell(shared, decided, why, by).await })
}

/// Tells the user's actor what was decided, here and where the sessions are that were ended, and waits for the latter; whose
/// sessions that were.
async fn tell(
    shared: &Shared,
    decided: sessions::Decided,
    why: EndedBy,
    by: Option<(Platform, DeviceId)>,
) -> Vec<Device> {
    let sessions::Decided { user, at, standing, ended } = decided;
    let decided = Decided { at, standing, why, by };
    let is_done = shared.directory.decided(user, decided.clone());
    if shared.directory.exchange_if_set().is_some() {
        let ended = ended.iter().map(|it| (user, it.platform, it.device.clone())).collect();
        let run = shared.node.run();
        end_elsewhere(&shared.pool, &shared.directory, run, decided, ended, user).await;
    }
    if let Some(is_done) = is_done {
        // Dropped when it is so.
        let _ = is_done.await;
    }
    ended.into_iter().map(device_of).collect()
}

async fn find(shared: &Arc<Shared>, app: AppId, user: &UserId) -> Result<UserRecord, ErrorBody> {
    let record = admitted(shared, users::find(&shared.pool, app, user)).await?;
    record.ok_or_else(|| errors::not_found().field("user"))
}

fn not_system(record: &UserRecord) -> Result<(), ErrorBody> {
    if record.system {
        let message = "the app's own user has no sessions and no tokens";
        return Err(ErrorBody::new(Code::Conflict, message).field("user"));
    }
    Ok(())
}

fn account(user: &UserId, record: UserRecord) -> Account {
    let UserRecord { created_at, deactivated, not_before_s, system, online, .. } = record;
    Account { user: user.clone(), created_at, deactivated, not_before_s, system, online }
}
