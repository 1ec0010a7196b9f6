//! What must hold, whatever happens.

use std::collections::HashSet;

use rookery::domain::intake::{Ack, Refusal};
use rookery::domain::journal::Row;
use rookery::ids::Seq;

use super::client::{Message, State};
use super::{SLOTS, World, no};

impl World {
    /// Acked is stored, at its acked place.
    pub(super) fn check_ack(&self, session: usize, to: usize, commands: &[u64], ack: Ack) {
        let it = &self.sessions[session];
        let device = &self.devices[it.device];
        let message = &device.outbox[it.commands[&commands[0]]];
        let (seq, entry) =
            self.store.entry(to, no(device.user), message.key).expect("acked and not stored");
        assert_eq!(seq, ack.seq, "acked with another message's place");
        assert_eq!(entry.hash, message.hash, "acked with what another one said");
    }

    /// What is refused for good is not stored, and was refused with reason.
    pub(super) fn check_final(&mut self, session: usize, commands: &[u64], why: Refusal) {
        let it = &self.sessions[session];
        let device = &mut self.devices[it.device];
        for command in commands {
            let message = &mut device.outbox[it.commands[command]];
            message.struck_off = true;
            if message.shared {
                // The other device may have had better luck since.
                continue;
            }
            let message = &*message;
            let stored = self.store.entry(message.to, no(device.user), message.key);
            let same = stored.is_some_and(|(_, entry)| entry.hash == message.hash);
            assert!(!same, "a stored message was refused for good: {why:?}");
            match why {
                Refusal::KeyReused => assert!(stored.is_some(), "no other has that key"),
                Refusal::NotFound if self.replaced[message.to] => {}
                Refusal::NotAMember | Refusal::NotFound => assert!(
                    self.store.was_outside(message.to, no(device.user), message.sent_at),
                    "{why:?}, of one who was a member all the time"
                ),
                why => panic!("refused for good with {why:?}"),
            }
        }
    }

    /// Members are told of each entry once, in the order of the log.
    pub(super) fn check_published(&mut self, row: &Row<usize>, seq: Seq) {
        let (slot, group) =
            self.store.group_of(row.target.conversation()).expect("published and not stored");
        let entry = &group.log[seq.get() as usize - 1];
        assert_eq!((entry.sender, entry.key), (row.sender, row.key), "published as another one");
        let last = &mut self.line.published[slot];
        assert!(*last < seq.get(), "published out of order: {seq} after {last}");
        *last = seq.get();
    }

    /// Each key once, and each client's messages in the order in which it sent them.
    pub(super) fn check_logs(&self) {
        for group in self.store.groups.iter().flatten() {
            let keys: HashSet<_> = group.log.iter().map(|it| (it.sender, it.key)).collect();
            assert_eq!(keys.len(), group.log.len(), "a key is stored twice");
        }
        for device in &self.devices {
            for wish in device.wishes.iter().filter(|wish| wish.refused) {
                let stored = self.store.entry(wish.to, no(device.user), wish.key);
                assert!(stored.is_none(), "{:?} was refused and stored", wish.change);
            }
            let place =
                |message: &Message| self.store.entry(message.to, no(device.user), message.key);
            for (n, later) in device.outbox.iter().enumerate() {
                let Some((later_at, entry)) = place(later) else { continue };
                let same = entry.hash == later.hash;
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
                    if counts && let Some((earlier_at, _)) = place(earlier) {
                        assert!(earlier_at < later_at, "a message overtook an earlier one");
                    }
                }
            }
        }
    }

    /// At the end: everything was answered, what was acked is there, and each group can sleep.
    pub fn check_end(&self) {
        assert!(self.is_settled(), "not everything was answered: {}", self.what_is_open());
        for device in &self.devices {
            for message in device.outbox.iter().filter(|message| message.state == State::Acked) {
                let stored = self.store.entry(message.to, no(device.user), message.key);
                assert!(stored.is_some(), "an acked message is not stored");
            }
        }
    }

    fn what_is_open(&self) -> String {
        let done = self.devices.iter().map(|device| device.is_done()).collect::<Vec<_>>();
        let asleep = (0..SLOTS).map(|slot| self.owners[slot].may_sleep()).collect::<Vec<_>>();
        let journal = self.line.journal.is_settled();
        format!("devices done {done:?}, owners settled {asleep:?}, journal settled {journal}")
    }
}
