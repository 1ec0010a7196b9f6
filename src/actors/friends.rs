//! Who is whose friend, as sessions ask for it: the store decides, and both sides' devices hear of it.

use super::engine::{Engine, Shared};
use super::errors;
use super::mailbox;
use super::presence::FriendsMoved;
use super::reads::{Identity, admitted, bad_after};
use super::wire::Encoded;
use crate::domain::intake::SessionNo;
use crate::ids::{UserId, UserNo};
use crate::limits;
use crate::protocol::{
    After, Code, ErrorBody, Event, Friend, FriendReply, FriendState, FriendsPage, Page,
};
use crate::store::friends::{self, Added};

/// Carries out `friend.add` for a session.
pub(super) async fn add(
    engine: &Engine,
    who: &Identity,
    session: SessionNo,
    user: UserId,
) -> Result<FriendReply, ErrorBody> {
    let shared = engine.shared();
    let state = FriendState::Friends;
    match admitted(shared, friends::add(&shared.pool, who.app, who.no, &user)).await? {
        Added::Made(no) => {
            moved(shared, (who, session), (no, user), state);
            Ok(FriendReply { state })
        }
        Added::Known => Ok(FriendReply { state }),
        Added::Full => {
            let message = format!("one of the two has {} friends already", limits::FRIENDS);
            Err(ErrorBody::new(Code::Full, message))
        }
        Added::Oneself => {
            let error = ErrorBody::new(Code::BadRequest, "expected somebody else");
            Err(error.field("user"))
        }
        Added::Nobody => Err(errors::not_found()),
    }
}

/// Carries out `friend.remove` for a session. Whoever was no friend is none from now on.
pub(super) async fn remove(
    engine: &Engine,
    who: &Identity,
    session: SessionNo,
    user: UserId,
) -> Result<FriendReply, ErrorBody> {
    let shared = engine.shared();
    let state = FriendState::None;
    if let Some(no) = admitted(shared, friends::remove(&shared.pool, who.no, &user)).await? {
        moved(shared, (who, session), (no, user), state);
    }
    Ok(FriendReply { state })
}

/// Answers `friend.list`.
pub(super) async fn list(
    engine: &Engine,
    who: &Identity,
    ask: Page,
) -> Result<FriendsPage, ErrorBody> {
    let shared = engine.shared();
    let limit = ask.limit.get();
    let after = match &ask.after {
        None => "",
        // The place is an id. Another one would be as good a place, but no reply gave it.
        Some(after) => {
            UserId::parse(after.as_str()).map(|_| after.as_str()).map_err(|_| bad_after())?
        }
    };
    let mut rows = admitted(shared, friends::page(&shared.pool, who.no, after, limit + 1)).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|last| After::new(last.user.as_str().to_owned()));
    let friends = rows.into_iter().map(|row| Friend { user: row.user, since_ms: row.since });
    Ok(FriendsPage { friends: friends.collect(), next })
}

/// Both sides' devices hear of it, but for the session that did it.
fn moved(
    shared: &Shared,
    (who, session): (&Identity, SessionNo),
    (no, user): (UserNo, UserId),
    state: FriendState,
) {
    // Before the answer: whoever then asks how the other is, and is told of changes from there on, misses none.
    mailbox::insist(&shared.presence, FriendsMoved([who.no, no]));
    let own = Event::FriendChanged { user, state };
    let theirs = Event::FriendChanged { user: who.user.clone(), state };
    if let Some(exchange) = shared.directory.exchange() {
        exchange.friends_moved([who.no, no], [own.clone(), theirs.clone()]);
    }
    tell(shared, who.no, Some(session), own);
    tell(shared, no, None, theirs);
}

/// The same was done at another node.
pub(super) fn moved_elsewhere(engine: &Engine, users: [UserNo; 2], events: [Event; 2]) {
    let shared = engine.shared();
    mailbox::insist(&shared.presence, FriendsMoved(users));
    for (user, event) in users.into_iter().zip(events) {
        tell(shared, user, None, event);
    }
}

fn tell(shared: &Shared, user: UserNo, but: Option<SessionNo>, event: Event) {
    let mut event = Encoded::new(event);
    for outlet in shared.directory.outlets(user) {
        if Some(outlet.no) != but {
            outlet.push(&mut event, None);
        }
    }
}
