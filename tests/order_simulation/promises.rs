//! What must hold, whatever happens.

use std::collections::HashSet;

use rookery::domain::intake::Ack;
use rookery::ids::UserId;

use super::client::{Message, State};
use super::{NOBODY, World, conversation, index, no};

impl World {
    /// Acked is stored, at its acked place.
    pub(super) fn check_ack(&self, session: usize, to: &UserId, commands: &[u64], ack: Ack) {
        let it = &self.sessions[session];
        let device = &self.devices[it.device];
        let message = &device.outbox[it.commands[&commands[0]]];
        let log = self.store.log(conversation(device.user, index(to)));
        let entry = log.get(ack.seq.get() as usize - 1).expect("acked beyond the head");
        assert_eq!(
            (entry.sender, entry.key, entry.hash),
            (no(device.user), message.key, message.hash),
            "acked with another message's place"
        );
    }

    /// What is refused for good is not stored.
    pub(super) fn check_final(&self, session: usize, message: usize) {
        let device = &self.devices[self.sessions[session].device];
        let message = &device.outbox[message];
        if message.to == NOBODY {
            return;
        }
        let at = conversation(device.user, message.to);
        let stored = self.store.seq(at, no(device.user), message.key);
        let same = stored.is_some_and(|seq| self.store.log(at)[seq - 1].hash == message.hash);
        assert!(!same, "a stored message was refused for good");
    }

    /// Each key once, and each client's messages in the order in which it sent them.
    pub(super) fn check_log(&self) {
        for log in self.store.logs() {
            let keys: HashSet<_> = log.iter().map(|entry| (entry.sender, entry.key)).collect();
            assert_eq!(keys.len(), log.len(), "a key is stored twice");
        }
        for device in &self.devices {
            for (n, later) in device.outbox.iter().enumerate() {
                let at = conversation(device.user, later.to);
                let place = |message: &Message| self.store.seq(at, no(device.user), message.key);
                let Some(later_at) = place(later) else { continue };
                let same = self.store.log(at)[later_at - 1].hash == later.hash;
                let refused = later.state == State::RefusedForGood && later.times_sent == 1;
                assert!(
                    !(same && refused && !later.shared),
                    "stored after it was refused for good"
                );
                if later.shared {
                    continue;
                }
                for earlier in &device.outbox[..n] {
                    let counts = earlier.to == later.to && !earlier.shared && !earlier.struck_off;
                    if counts && let Some(earlier_at) = place(earlier) {
                        assert!(earlier_at < later_at, "a message overtook an earlier one");
                    }
                }
            }
        }
    }

    /// At the end: what was acked is there, and every command of a session that lives was answered.
    pub fn check_end(&self) {
        assert!(self.is_settled(), "not everything was answered");
        for device in &self.devices {
            for message in device.outbox.iter().filter(|message| message.state == State::Acked) {
                let at = conversation(device.user, message.to);
                let stored = self.store.seq(at, no(device.user), message.key);
                assert!(stored.is_some(), "an acked message is not stored");
            }
        }
    }
}
