//! Users, their devices and sessions, and who is there.

use super::answer::{Answer, Outcome};
use super::call::Call;
use super::path_part;
use crate::actors::accounts::{self, Account};
use crate::actors::presence_reads;
use crate::ids::{UnixMs, UserId};
use crate::protocol::rest::{Kick, NewUser, PageQuery, PresenceOf, TokensRevoked, User};
use crate::protocol::{DeviceKick, Page};

/// Makes a user.
pub async fn create(call: Call) -> Outcome {
    let NewUser { user } = call.body()?;
    let (account, is_new) = accounts::create(&call.engine, call.caller.app, &user).await?;
    let place = format!("/users/{}", path_part(user.as_str()));
    let user = shown(account);
    if is_new { Answer::created(&place, &user) } else { Answer::ok(&user) }
}

/// Shows a user.
pub async fn get(call: Call) -> Outcome {
    let user: UserId = call.parameter("user")?;
    Answer::ok(&shown(accounts::get(&call.engine, call.caller.app, &user).await?))
}

/// Keeps a user out.
pub async fn deactivate(call: Call) -> Outcome {
    set_deactivated(call, true).await
}

/// Lets a user in again.
pub async fn reactivate(call: Call) -> Outcome {
    set_deactivated(call, false).await
}

async fn set_deactivated(call: Call, deactivated: bool) -> Outcome {
    call.no_body()?;
    let (user, app): (UserId, _) = (call.parameter("user")?, call.caller.app);
    let account = accounts::set_deactivated(&call.engine, app, &user, deactivated).await?;
    Answer::ok(&shown(account))
}

/// Revokes what was signed for a user until now.
pub async fn revoke(call: Call) -> Outcome {
    call.no_body()?;
    let user: UserId = call.parameter("user")?;
    let revoked = accounts::revoke(&call.engine, call.caller.app, &user).await?;
    Answer::ok(&TokensRevoked {
        tokens_from_ms: seconds(revoked.not_before_s),
        ended: revoked.ended,
    })
}

/// Lists a user's devices.
pub async fn devices(call: Call) -> Outcome {
    let (user, PageQuery { after, limit }) = (call.parameter("user")?, call.query()?);
    let page = Page { after, limit };
    Answer::ok(&accounts::devices_of(&call.engine, call.caller.app, &user, &page).await?)
}

/// Ends a user's sessions.
pub async fn kick(call: Call) -> Outcome {
    let (user, Kick { device, platform, all }) = (call.parameter("user")?, call.body()?);
    let kick = DeviceKick { device, platform, all };
    Answer::ok(&accounts::kick(&call.engine, call.caller.app, &user, &kick).await?)
}

/// Says who of many is there.
pub async fn presence(call: Call) -> Outcome {
    let PresenceOf { users } = call.body()?;
    Answer::ok(&presence_reads::as_app(&call.engine, call.caller.app, users).await?)
}

fn shown(account: Account) -> User {
    let Account { user, created_at, deactivated, not_before_s, system, online } = account;
    let tokens_from_ms = (not_before_s > 0).then(|| seconds(not_before_s));
    User { user, created_at_ms: created_at, online, deactivated, system, tokens_from_ms }
}

fn seconds(seconds: i64) -> UnixMs {
    UnixMs::new(seconds.saturating_mul(1000))
}
