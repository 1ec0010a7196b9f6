//! What a person's commands about people and devices do.

use super::perform::{ROWS, said};
use super::talk::Talk;
use crate::ids::{DeviceId, UnixMs, UserId};
use crate::limits;
use crate::protocol::{FriendsPage, PresenceSet, Status, StatusText};

impl Talk {
    pub(super) async fn devices(&mut self) -> Result<(), String> {
        let (mut after, mut rows) = (None, 0);
        loop {
            let page = self.client.devices(after).await.map_err(said)?;
            for row in &page.devices {
                self.output.line(&self.view.device_row(row));
            }
            rows += page.devices.len();
            match page.next {
                Some(next) if rows < ROWS => after = Some(next),
                next => return self.told_all(rows, next.is_some()),
            }
        }
    }

    pub(super) async fn kick(&mut self, device: Option<DeviceId>) -> Result<(), String> {
        let ended = match device {
            Some(device) => self.client.kick(&device).await,
            None => self.client.kick_others().await,
        };
        let ended = ended.map_err(said)?;
        for device in &ended {
            let device = self.view.device(device);
            self.output.line(&self.view.dim(&format!("{device} was logged out")));
        }
        if ended.is_empty() {
            self.note("none was logged in");
        }
        Ok(())
    }

    pub(super) async fn befriend(&mut self, user: &UserId) -> Result<(), String> {
        let state = self.client.add_friend(user).await.map_err(said)?;
        self.output.line(&self.view.friend_changed(user, state));
        Ok(())
    }

    pub(super) async fn unfriend(&mut self, user: &UserId) -> Result<(), String> {
        let state = self.client.remove_friend(user).await.map_err(said)?;
        self.output.line(&self.view.friend_changed(user, state));
        Ok(())
    }

    pub(super) async fn friends(&mut self) -> Result<(), String> {
        let (mut after, mut rows) = (None, 0);
        loop {
            let page = self.client.friends(after).await.map_err(said)?;
            for friend in &page.friends {
                self.output.line(&self.view.friend(friend));
            }
            rows += page.friends.len();
            match page.next {
                Some(next) if rows < ROWS => after = Some(next),
                next => return self.told_all(rows, next.is_some()),
            }
        }
    }

    /// Shows how users are; of friends a page.
    pub(super) async fn who(&mut self, users: Vec<UserId>) -> Result<(), String> {
        let (users, has_more) = if users.is_empty() {
            let FriendsPage { friends, next } = self.client.friends(None).await.map_err(said)?;
            let users: Vec<UserId> = friends.into_iter().map(|friend| friend.user).collect();
            (users, next.is_some())
        } else {
            (users, false)
        };
        if users.is_empty() {
            return self.told_all(0, false);
        }
        let mut rows = 0;
        for some in users.chunks(limits::PRESENCE_USERS) {
            let presences = self.client.presences(some.to_vec()).await.map_err(said)?;
            for presence in &presences {
                self.output.line(&self.view.presence(presence));
            }
            rows += presences.len();
        }
        self.told_all(rows, has_more)
    }

    pub(super) async fn present(
        &mut self,
        status: Status,
        minutes: Option<u32>,
        text: Option<StatusText>,
    ) -> Result<(), String> {
        let now = self.client.server_time().get();
        let until_ms = minutes.map(|minutes| UnixMs::new(now + i64::from(minutes) * 60_000));
        let set = PresenceSet { status: Some(status), text, until_ms, ..PresenceSet::default() };
        for presence in self.client.set_presence(&set).await.map_err(said)? {
            self.output.line(&self.view.presence(&presence));
        }
        Ok(())
    }
}
