//! Groups, as an app calls for them. Their messages are sent and received as all others are.

use super::{CallError, Client};
use crate::ids::{GroupId, UserId};
use crate::protocol::{
    After, GroupChanged, GroupCreate, GroupCreated, GroupInfo, GroupList, GroupMembers, GroupName,
    GroupRef, GroupUpdate, GroupUsers, GroupsPage, Limit, MembersPage,
};

impl Client {
    /// Makes a group, of which the user is then the owner.
    pub async fn create_group(&self, group: &GroupCreate) -> Result<GroupCreated, CallError> {
        self.call("group.create", group).await
    }

    /// A group as the user sees it.
    pub async fn group(&self, group: &GroupId) -> Result<GroupInfo, CallError> {
        self.call("group.get", &GroupRef { group: group.clone() }).await
    }

    /// A page of the groups that the user is a member of.
    pub async fn groups(&self, after: Option<After>) -> Result<GroupsPage, CallError> {
        self.call("group.list", &GroupList { after, limit: Limit::default() }).await
    }

    /// Gives a group another name.
    pub async fn rename_group(
        &self,
        group: &GroupId,
        name: GroupName,
    ) -> Result<GroupChanged, CallError> {
        self.call("group.update", &GroupUpdate { group: group.clone(), name }).await
    }

    /// A page of a group's members.
    pub async fn members(
        &self,
        group: &GroupId,
        after: Option<After>,
    ) -> Result<MembersPage, CallError> {
        let page = GroupMembers { group: group.clone(), after, limit: Limit::default() };
        self.call("group.members", &page).await
    }

    /// Makes users members of a group.
    pub async fn invite(
        &self,
        group: &GroupId,
        users: Vec<UserId>,
    ) -> Result<GroupChanged, CallError> {
        self.call("group.invite", &GroupUsers { group: group.clone(), user: None, users }).await
    }

    /// Becomes a member of a group that is free to join.
    pub async fn join(&self, group: &GroupId) -> Result<GroupChanged, CallError> {
        self.call("group.join", &GroupRef { group: group.clone() }).await
    }

    /// Goes from a group.
    pub async fn leave(&self, group: &GroupId) -> Result<GroupChanged, CallError> {
        self.call("group.leave", &GroupRef { group: group.clone() }).await
    }

    /// Ends the membership of users of a group.
    pub async fn remove(
        &self,
        group: &GroupId,
        users: Vec<UserId>,
    ) -> Result<GroupChanged, CallError> {
        self.call("group.remove", &GroupUsers { group: group.clone(), user: None, users }).await
    }

    /// Ends a group.
    pub async fn dissolve(&self, group: &GroupId) -> Result<GroupChanged, CallError> {
        self.call("group.dissolve", &GroupRef { group: group.clone() }).await
    }
}
