//! What a user's actor puts on the board of who is there: its sessions, each by the login that it began with.

use std::time::Instant;

use super::UserActor;
use crate::actors::holds::SessionKey;
use crate::ids::LoginNo;

impl UserActor {
    /// The sessions that are here are there, and no others. What was so before is not news.
    pub(super) fn show_devices(&self) {
        let here: Vec<&SessionKey> = self.devices.here().map(|(key, _)| key).collect();
        if here.is_empty() {
            return self.hide_devices();
        }
        let now = self.shared().present();
        self.shared().board.write(self.no, (self.app, &self.id), |presence| {
            // First who came: a device that logged in again was there all the time.
            for key in &here {
                presence.begin(key.platform, &key.device, key.login_no, now);
            }
            for gone in presence.generations() {
                if here.iter().all(|key| key.login_no != gone) {
                    presence.end(gone, now);
                }
            }
        });
    }

    /// No session is there any more.
    pub(super) fn hide_devices(&self) {
        let now = self.shared().present();
        self.shared().board.rewrite(self.no, |presence| presence.end_all(now));
    }

    /// Sessions whose peers were heard of are there for longer.
    pub(super) fn renew_devices(&self) {
        let heard: Vec<(LoginNo, Instant)> =
            self.devices.here().map(|(key, outlet)| (key.login_no, outlet.heard())).collect();
        self.shared().board.renew(self.no, &heard, self.shared().present());
    }
}
