//! How errors of the inner parts become codes on the wire.

use crate::domain::group::ChangeRefused;
use crate::domain::intake::Refusal;
use crate::domain::usersig::TokenError;
use crate::ids::Conversation;
use crate::limits;
use crate::protocol::{Code, ErrorBody};
use crate::store::StoreError;

/// What a client is told when a send was refused.
pub(super) fn of_refusal(refusal: Refusal) -> ErrorBody {
    match refusal {
        Refusal::KeyReused => ErrorBody::new(
            Code::KeyReused,
            "this client_msg_id was used for a message with other content",
        )
        .field("client_msg_id"),
        Refusal::StaleKey => ErrorBody::new(
            Code::StaleKey,
            "this client_msg_id is older than the dedup window; sync, then ask whether to send it as a new message",
        )
        .field("client_msg_id"),
        Refusal::ClockAhead { now } => {
            let message = "this client_msg_id was minted more than 5 minutes ahead of the server's time";
            let mut error = ErrorBody::new(Code::ClockAhead, message).field("client_msg_id");
            error.server_time_ms = Some(now);
            error
        }
        Refusal::NotFound => not_found(),
        Refusal::NotAMember => not_a_member(),
        Refusal::Forbidden => ErrorBody::new(Code::Forbidden, "the rules of the group say no"),
        Refusal::Dissolved => dissolved(),
        Refusal::Full => ErrorBody::new(Code::Full, "there is no room for more"),
        Refusal::Taken => ErrorBody::new(Code::Conflict, "this id is taken").field("group"),
        Refusal::Busy => {
            ErrorBody::new(Code::Busy, "too much waits to be stored").retry_after(limits::RETRY_AFTER)
        }
        Refusal::Unavailable | Refusal::Moved => unavailable(),
        Refusal::OutcomeUnknown => ErrorBody::new(
            Code::OutcomeUnknown,
            "the message may have been stored or not; send it again with the same client_msg_id",
        )
        .retry_after(limits::RETRY_AFTER),
    }
}

/// What a client is told when a send to this conversation was refused.
pub(super) fn of_send(refusal: Refusal, to: &Conversation) -> ErrorBody {
    match (refusal, to) {
        (Refusal::NotFound, Conversation::Group(_)) => no_such_group(),
        (refusal, _) => of_refusal(refusal),
    }
}

/// What a client is told when a change of a group was refused.
pub(super) fn of_change(refused: ChangeRefused) -> ErrorBody {
    match refused {
        ChangeRefused::NoSuchGroup => no_such_group(),
        ChangeRefused::NoSuchUser(user) => {
            ErrorBody::new(Code::NotFound, format!("there is no user {user}")).field("users")
        }
        ChangeRefused::NotAMember => not_a_member(),
        ChangeRefused::Forbidden(why) => ErrorBody::new(Code::Forbidden, why),
        ChangeRefused::Dissolved => dissolved(),
        ChangeRefused::Full(most) => {
            ErrorBody::new(Code::Full, format!("a group of this kind has at most {most} members"))
        }
        ChangeRefused::TooManyGroups => {
            let most = limits::GROUPS_PER_USER;
            ErrorBody::new(Code::Full, format!("one of these users is in {most} groups already"))
        }
        ChangeRefused::Taken => {
            ErrorBody::new(Code::Conflict, "there is a group of this id already").field("group")
        }
        ChangeRefused::NotNow(Refusal::OutcomeUnknown) => ErrorBody::new(
            Code::OutcomeUnknown,
            "the change may have been made or not; look at the group",
        )
        .retry_after(limits::RETRY_AFTER),
        ChangeRefused::NotNow(why) => of_refusal(why),
    }
}

/// What a client is told when a login's token does not hold.
pub(super) fn of_token(error: &TokenError) -> ErrorBody {
    match error {
        TokenError::Expired => {
            ErrorBody::new(Code::TokenExpired, "the token has expired").field("token")
        }
        TokenError::Bad(why) => ErrorBody::new(Code::BadToken, *why).field("token"),
    }
}

/// What a client is told when the store failed at what it asked for.
pub(super) fn of_store(error: &StoreError) -> ErrorBody {
    match error {
        StoreError::Unavailable { .. } | StoreError::Unknown { .. } | StoreError::Unfit { .. } => {
            tracing::debug!(%error, "a read found the store away");
            unavailable()
        }
        StoreError::Refused { .. } => {
            tracing::error!(%error, "the store refused a statement of ours");
            unavailable()
        }
    }
}

/// The store is away.
pub(super) fn unavailable() -> ErrorBody {
    ErrorBody::new(Code::Unavailable, "the store is not available right now")
        .retry_after(limits::RETRY_AFTER)
}

/// There is no such user.
pub(super) fn not_found() -> ErrorBody {
    ErrorBody::new(Code::NotFound, "there is no such user")
}

/// The token does not prove who logs in.
pub(super) fn bad_token() -> ErrorBody {
    ErrorBody::new(Code::BadToken, "the token does not hold for this user and app").field("token")
}

/// The token was signed before the user's tokens were revoked.
pub(super) fn revoked_token() -> ErrorBody {
    ErrorBody::new(Code::BadToken, "the token was revoked").field("token")
}

/// There is no such group, or one that may not be seen.
pub(super) fn no_such_group() -> ErrorBody {
    ErrorBody::new(Code::NotFound, "there is no such group")
}

/// One who is not, or no longer, a member.
pub(super) fn not_a_member() -> ErrorBody {
    ErrorBody::new(Code::NotAMember, "only members of this group may do that")
}

/// The group has ended.
fn dissolved() -> ErrorBody {
    ErrorBody::new(Code::Conflict, "this group was dissolved")
}
