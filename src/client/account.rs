//! A user's own devices, and friends, as an app calls for them.

use super::{CallError, Client};
use crate::ids::{DeviceId, UserId};
use crate::protocol::{
    After, Device, DeviceKick, DevicesEnded, DevicesPage, FriendRef, FriendReply, FriendState,
    FriendsPage, Limit, Page,
};

impl Client {
    /// A page of the devices that the user has logged in from, last login first.
    pub async fn devices(&self, after: Option<After>) -> Result<DevicesPage, CallError> {
        self.call("device.list", &Page { after, limit: Limit::default() }).await
    }

    /// Ends the session of a device, on whichever platforms it is; it does not come back by itself. One's own, too.
    pub async fn kick(&self, device: &DeviceId) -> Result<Vec<Device>, CallError> {
        let kick = DeviceKick { device: Some(device.clone()), ..DeviceKick::default() };
        self.ended_by(&kick).await
    }

    /// Ends all sessions of the user but this one.
    pub async fn kick_others(&self) -> Result<Vec<Device>, CallError> {
        self.ended_by(&DeviceKick { all: true, ..DeviceKick::default() }).await
    }

    async fn ended_by(&self, kick: &DeviceKick) -> Result<Vec<Device>, CallError> {
        self.call("device.kick", kick).await.map(|DevicesEnded { ended }| ended)
    }

    /// Makes a user a friend, and oneself theirs.
    pub async fn add_friend(&self, user: &UserId) -> Result<FriendState, CallError> {
        self.befriend("friend.add", user).await
    }

    /// Ends a friendship, on both sides.
    pub async fn remove_friend(&self, user: &UserId) -> Result<FriendState, CallError> {
        self.befriend("friend.remove", user).await
    }

    async fn befriend(&self, cmd: &'static str, user: &UserId) -> Result<FriendState, CallError> {
        let user = user.clone();
        self.call(cmd, &FriendRef { user }).await.map(|FriendReply { state }| state)
    }

    /// A page of the user's friends, by their ids.
    pub async fn friends(&self, after: Option<After>) -> Result<FriendsPage, CallError> {
        self.call("friend.list", &Page { after, limit: Limit::default() }).await
    }
}
