//! What is asked about presence: the store says who exists and what they chose, the board who is there now.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::engine::Engine;
use super::mailbox;
use super::outlet::Outlet;
use super::presence::{Say, Unwatch, Watch};
use super::reads::{Identity, admitted};
use super::{errors, user, wire};
use crate::domain::intake::SessionNo;
use crate::domain::presence::{Presence as Known, Viewer};
use crate::ids::{AppId, UnixMs, UserId, UserNo};
use crate::limits;
use crate::protocol::{
    Code, ErrorBody, Presence, PresenceSet, PresenceUnwatch, PresenceWatch, Presences, Watching,
};
use crate::store::presence::{self, Asked, Said};

/// Room in a frame for what stands around its rows, in bytes.
const FRAME_BYTES: usize = 1024;

/// Answers `presence.get`.
pub(super) async fn get(
    engine: &Engine,
    who: &Identity,
    users: Vec<UserId>,
) -> Result<Presences, ErrorBody> {
    of(engine, who.app, Some(who.no), &distinct(users)).await
}

/// How users of an app are, as the app sees it: the truth, and when they were last seen.
pub async fn as_app(
    engine: &Engine,
    app: AppId,
    users: Vec<UserId>,
) -> Result<Presences, ErrorBody> {
    of(engine, app, None, &distinct(users)).await
}

/// Carries out `presence.set`, and answers it when the store has it.
pub(super) async fn set(
    engine: &Engine,
    who: &Identity,
    ask: PresenceSet,
) -> Result<Presences, ErrorBody> {
    let shared = engine.shared();
    let PresenceSet { state, status, text, until_ms, last_seen } = ask;
    if let Some(until) = until_ms
        && until <= shared.node.now()
    {
        let error = ErrorBody::new(Code::BadRequest, "expected a time in the future");
        return Err(error.field("until_ms"));
    }
    for (field, is_there) in [("text", text.is_some()), ("until_ms", until_ms.is_some())] {
        if is_there && status.is_none() {
            let error = ErrorBody::new(Code::BadRequest, "expected a status beside it");
            return Err(error.field(field));
        }
    }
    let status = status.map(|status| wire::status_of(status, text, until_ms));
    let seen_to = last_seen.map(wire::seen_to);
    if status.is_some() || seen_to.is_some() {
        let (done, is_done) = oneshot::channel();
        let say = Say { user: who.no, said: Said { status, seen_to }, done };
        mailbox::tell(&shared.presence, say).map_err(|_| user::busy())?;
        is_done.await.map_err(|_| errors::unavailable())?;
    }
    if let Some(state) = state {
        let (front, now) = (wire::front_of(state), shared.present());
        shared.board.rewrite(who.no, |presence| presence.set_front(who.login_no, front, now));
    }
    match shared.board.read(who.no).filter(Known::is_known) {
        Some(known) => {
            let own = known.seen_by(Viewer::Own, shared.present());
            shared.board.shown(who.no, Viewer::Own, &own);
            Ok(Presences { presences: vec![wire::presence(&who.user, own)] })
        }
        // The store was not asked yet.
        None => of(engine, who.app, Some(who.no), std::slice::from_ref(&who.user)).await,
    }
}

/// Carries out `presence.watch`: what changes from now on is told, and how it is now is read after that.
pub(super) async fn watch(
    engine: &Engine,
    who: &Identity,
    outlet: Arc<Outlet>,
    ask: PresenceWatch,
) -> Result<Watching, ErrorBody> {
    let shared = engine.shared();
    let ttl_s = ask.ttl_s.unwrap_or(limits::WATCH_DEFAULT_S);
    let users = distinct(ask.users);
    let (answer, answered) = oneshot::channel();
    let until_ms = UnixMs::new(shared.node.now().get() + i64::from(ttl_s) * 1000);
    let watch = Watch {
        outlet,
        app: who.app,
        users: users.clone(),
        until: Instant::now() + Duration::from_secs(u64::from(ttl_s)),
        answer,
    };
    mailbox::tell(&shared.presence, watch).map_err(|_| user::busy())?;
    let dropped = answered.await.ok().flatten().ok_or_else(user::busy)?;
    let Presences { presences } = of(engine, who.app, Some(who.no), &users).await?;
    Ok(Watching { presences, until_ms, dropped })
}

/// Carries out `presence.unwatch`.
pub(super) async fn unwatch(
    engine: &Engine,
    session: SessionNo,
    ask: PresenceUnwatch,
) -> Result<(), ErrorBody> {
    let (done, is_done) = oneshot::channel();
    let unwatch = Unwatch { session, users: ask.users, done: Some(done) };
    mailbox::tell(&engine.shared().presence, unwatch).map_err(|_| user::busy())?;
    // Dropped when it is so.
    let _ = is_done.await;
    Ok(())
}

async fn of(
    engine: &Engine,
    app: AppId,
    asks: Option<UserNo>,
    users: &[UserId],
) -> Result<Presences, ErrorBody> {
    let shared = engine.shared();
    let asked = admitted(shared, presence::by_id(&shared.pool, app, asks, users)).await?;
    let now = shared.present();
    let mut bytes = FRAME_BYTES;
    let mut presences = Vec::with_capacity(users.len());
    for (id, Asked { user, profile, is_friend }) in users.iter().zip(asked) {
        let viewer = match asks {
            None => Viewer::Own,
            Some(_) if asks == user => Viewer::Own,
            Some(_) if is_friend => Viewer::Friend,
            Some(_) => Viewer::Stranger,
        };
        let on_board = user.and_then(|user| shared.board.read(user));
        // Of one who has just come the board may not know yet what the store does.
        let mut known = on_board.unwrap_or_else(Known::default);
        known.know(profile, now);
        known.tidy(now);
        let seen = known.seen_by(viewer, now);
        if let Some(user) = user {
            shared.board.shown(user, viewer, &seen);
        }
        let presence = wire::presence(id, seen);
        bytes += frame_bytes(&presence);
        presences.push(presence);
    }
    if bytes > limits::SERVER_FRAME_BYTES {
        let message = "the answer does not fit into a frame; ask for fewer users at once";
        return Err(ErrorBody::new(Code::TooLarge, message).field("users"));
    }
    Ok(Presences { presences })
}

/// A bound of the JSON of a presence; MessagePack is never longer.
fn frame_bytes(presence: &Presence) -> usize {
    let text = presence.text.as_ref().map_or(0, |text| text.as_str().len());
    // Words hold no control characters, so each of their bytes becomes two at most.
    160 + presence.user.as_str().len() + presence.platforms.len() * 48 + text * 2
}

/// Each once, in the order in which they were named first.
fn distinct(users: Vec<UserId>) -> Vec<UserId> {
    let mut seen = HashSet::new();
    users.into_iter().filter(|user| seen.insert(user.clone())).collect()
}
