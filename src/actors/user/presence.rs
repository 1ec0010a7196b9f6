//! What a user's actor puts on the board of who is there: its sessions, each by the login that it began with.

use super::UserActor;
use crate::actors::holds::SessionKey;

impl UserActor {
    /// The sessions that are here are there, and no others. What was so before is not news.
    pub(super) fn show_devices(&self) {
        let here: Vec<&SessionKey> = self.devices.here().collect();
        if here.is_empty() {
            return self.hide_devices();
        }
        let now = self.shared().present();
        self.shared().board.write(self.no, (self.app, &self.id), |presence| {
            // First who came: a device that logged in again was there all the time.
            for key in &here {
                presence.begin(key.platform, &key.device, key.login_no, now);
            }
            let gone: Vec<_> = presence.here().map(|there| there.generation).collect();
            for gone in gone {
                if here.iter().all(|key| key.login_no != gone) {
                    presence.end(gone, now);
                }
            }
        });
    }

    /// No session is there any more.
    pub(super) fn hide_devices(&self) {
        let now = self.shared().present();
        self.shared().board.rewrite(self.no, |presence| presence.end_here(now));
    }
}
