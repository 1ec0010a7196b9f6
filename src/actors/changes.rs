//! Translates the commands that change a group, and what comes of them; the same for a session and for the app's backend.

use std::collections::HashSet;

use super::{errors, wire};
use crate::domain::group::{Change, Changed};
use crate::ids::{Conversation, GroupId, UserId};
use crate::limits;
use crate::protocol::{Code, ErrorBody, GroupChanged, GroupCreate, GroupCreated, GroupUsers};

/// The group that is to be made, and with what. Without an id of the caller's it gets one that nobody has chosen before.
pub fn creation(ask: GroupCreate) -> Result<(GroupId, Change), ErrorBody> {
    if ask.members.len() > limits::GROUP_USERS {
        return Err(too_many_users("members"));
    }
    let group = ask.group.or_else(random_group).ok_or_else(errors::unavailable)?;
    let (kind, name) = (wire::kind_of(ask.kind), ask.name.as_str().to_owned());
    Ok((group, Change::Create { kind, name, members: distinct(ask.members) }))
}

/// The group and the users whom a command names.
pub fn users(ask: GroupUsers) -> Result<(GroupId, Vec<UserId>), ErrorBody> {
    let GroupUsers { group, user, users } = ask;
    let refused = |message| Err(ErrorBody::new(Code::BadRequest, message).field("users"));
    let users = match (user, users.len()) {
        (Some(_), 1..) => return refused("expected user or users, not both"),
        (None, 0) => return refused("expected at least one user"),
        (Some(user), 0) => vec![user],
        (None, named) if named > limits::GROUP_USERS => return Err(too_many_users("users")),
        (None, _) => distinct(users),
    };
    Ok((group, users))
}

/// What is answered when a group was made.
pub fn created(group: GroupId) -> GroupCreated {
    let conversation = Conversation::Group(group.clone());
    GroupCreated { group, conversation }
}

/// What is answered when a group was changed.
pub fn changed(group: GroupId, changed: Changed) -> GroupChanged {
    let Changed { seq, users } = changed;
    GroupChanged { group, seq, users }
}

fn too_many_users(field: &str) -> ErrorBody {
    let message = format!("expected at most {} users", limits::GROUP_USERS);
    ErrorBody::new(Code::TooLarge, message).field(field)
}

/// Each once, in the order in which they were named first.
fn distinct(users: Vec<UserId>) -> Vec<UserId> {
    let mut seen = HashSet::new();
    users.into_iter().filter(|user| seen.insert(user.clone())).collect()
}

/// An id that nobody has chosen before.
fn random_group() -> Option<GroupId> {
    // Hexadecimal digits are in the alphabet of names.
    GroupId::parse(&format!("{:016x}", rand::random::<u64>())).ok()
}
