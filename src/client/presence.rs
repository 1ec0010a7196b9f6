//! Who is there, as an app calls for it. What is set of a device and who is watched ends with the session.

use std::time::Duration;

use super::{CallError, Client};
use crate::ids::UserId;
use crate::protocol::{
    Empty, Presence, PresenceGet, PresenceSet, PresenceUnwatch, PresenceWatch, Presences, Watching,
};

impl Client {
    /// Says how this device and the user are; what is left out stays as it is. Answers how the user is now.
    pub async fn set_presence(&self, set: &PresenceSet) -> Result<Vec<Presence>, CallError> {
        self.call("presence.set", set).await.map(|Presences { presences }| presences)
    }

    /// How users are, at most 500 at once.
    pub async fn presences(&self, users: Vec<UserId>) -> Result<Vec<Presence>, CallError> {
        let get = PresenceGet { users };
        self.call("presence.get", &get).await.map(|Presences { presences }| presences)
    }

    /// Hears of changes of users for a while, to the second; five minutes when left out. At most 200 are watched at once.
    pub async fn watch(
        &self,
        users: Vec<UserId>,
        lasts: Option<Duration>,
    ) -> Result<Watching, CallError> {
        let ttl_s = lasts.map(|lasts| u32::try_from(lasts.as_secs()).unwrap_or(u32::MAX));
        self.call("presence.watch", &PresenceWatch { users, ttl_s }).await
    }

    /// Hears no more of these users, or of none when left out.
    pub async fn unwatch(&self, users: Option<Vec<UserId>>) -> Result<(), CallError> {
        self.call("presence.unwatch", &PresenceUnwatch { users }).await.map(|Empty {}| ())
    }
}
