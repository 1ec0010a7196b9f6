//! Groups and their members. The app may do in its groups what it likes; what it did is told there by its user `system`.

use super::answer::{Answer, Outcome};
use super::call::Call;
use super::path_part;
use crate::actors::backend;
use crate::ids::GroupId;
use crate::protocol::rest::{GroupMembersChange, GroupPatch, NewGroup, PageQuery};
use crate::protocol::{GroupCreate, GroupMembers};

/// Makes a group.
pub async fn create(call: Call) -> Outcome {
    let NewGroup { group, kind, name, owner, members } = call.body()?;
    let create = GroupCreate { group, kind, name, members };
    let created = backend::create_group(&call.engine, call.caller.app, &owner, create).await?;
    Answer::created(&format!("/groups/{}", path_part(created.group.as_str())), &created)
}

/// Shows a group.
pub async fn get(call: Call) -> Outcome {
    let group: GroupId = call.parameter("group")?;
    Answer::ok(&backend::get_group(&call.engine, call.caller.app, &group).await?)
}

/// Changes a group's name.
pub async fn rename(call: Call) -> Outcome {
    let (group, GroupPatch { name }): (GroupId, _) = (call.parameter("group")?, call.body()?);
    Answer::ok(&backend::rename_group(&call.engine, call.caller.app, &group, name).await?)
}

/// Lists a group's members.
pub async fn members(call: Call) -> Outcome {
    let (group, PageQuery { after, limit }) = (call.parameter("group")?, call.query()?);
    let ask = GroupMembers { group, after, limit };
    Answer::ok(&backend::group_members(&call.engine, call.caller.app, ask).await?)
}

/// Makes users members of a group.
pub async fn add(call: Call) -> Outcome {
    let (group, change): (GroupId, GroupMembersChange) = (call.parameter("group")?, call.body()?);
    let app = call.caller.app;
    Answer::ok(&backend::add_members(&call.engine, app, &group, change.users).await?)
}

/// Ends memberships in a group.
pub async fn remove(call: Call) -> Outcome {
    let (group, change): (GroupId, GroupMembersChange) = (call.parameter("group")?, call.body()?);
    let app = call.caller.app;
    Answer::ok(&backend::remove_members(&call.engine, app, &group, change.users).await?)
}

/// Ends a group.
pub async fn dissolve(call: Call) -> Outcome {
    let group: GroupId = call.parameter("group")?;
    Answer::ok(&backend::dissolve_group(&call.engine, call.caller.app, &group).await?)
}
