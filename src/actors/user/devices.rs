//! A user's sessions on this node: who may come in when, and what goes to all of them.
//!
//! A session that is replaced is taken out at once, so that nothing that it sent is acked through here any more; the one
//! that replaces it comes in when the loser has said that it ended.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::prelude::*;

use super::{Attach, Entry, UserActor};
use crate::actors::mailbox::{self, TellError};
use crate::actors::session::{Attached, Kick, NeedSync, Push, SessionActor, SessionShut};
use crate::actors::wire::{self, Encoded};
use crate::domain::sends::SessionNo;
use crate::ids::{DeviceId, LoginNo, UnixMs, UserId};
use crate::limits;
use crate::protocol::codec::Codec;
use crate::protocol::{Event, KickReason, Platform};

/// The sessions of one user.
#[derive(Default)]
pub(super) struct Devices {
    sessions: HashMap<SessionNo, Slot>,
    entering: Vec<Entering>,
}

/// A session that is in.
pub(super) struct Slot {
    pub(super) address: Addr<SessionActor>,
    codec: Codec,
    behind: Arc<AtomicBool>,
    pub(super) platform: Platform,
    pub(super) device: DeviceId,
    pub(super) login_no: LoginNo,
}

/// A session that may come in when those that it replaces are gone.
struct Entering {
    attach: Attach,
    awaits: Vec<SessionNo>,
}

/// Whether a session came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// It did.
    In,
    /// It waits for those that it replaces.
    Waits,
    /// A later login of its device was here before it.
    Lost,
}

impl Devices {
    /// Lets a session in, or makes it wait for those that it replaces, which are told.
    pub(super) fn attach(
        &mut self,
        attach: Attach,
        now: UnixMs,
        user: &Addr<UserActor>,
    ) -> Admission {
        let by = attach.device.clone();
        let same = |platform: Platform, device: &DeviceId| {
            platform == attach.platform && *device == attach.device
        };
        let newer_slot = self
            .sessions
            .values()
            .any(|slot| same(slot.platform, &slot.device) && slot.login_no > attach.login_no);
        let newer_entering = self.entering.iter().any(|Entering { attach: other, .. }| {
            same(other.platform, &other.device) && other.login_no > attach.login_no
        });
        if newer_slot || newer_entering {
            // The store ordered the logins; this one was first there and came second here.
            kick(&attach.address, KickReason::Replaced, &by, now);
            return Admission::Lost;
        }
        let mut awaits = Vec::new();
        let (overtaken, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.entering)
            .into_iter()
            .partition(|entering| same(entering.attach.platform, &entering.attach.device));
        self.entering = others;
        for entering in overtaken {
            kick(&entering.attach.address, KickReason::Replaced, &by, now);
            awaits.extend(entering.awaits);
        }
        let mut losers: Vec<(SessionNo, KickReason)> = self
            .sessions
            .iter()
            .filter(|(_, slot)| same(slot.platform, &slot.device))
            .map(|(no, _)| (*no, KickReason::Replaced))
            .collect();
        if losers.is_empty() && self.sessions.len() >= limits::SESSIONS_PER_USER {
            let oldest = self.sessions.iter().min_by_key(|(_, slot)| slot.login_no);
            losers.extend(oldest.map(|(no, _)| (*no, KickReason::Policy)));
        }
        for (no, reason) in losers {
            if let Some(slot) = self.sessions.remove(&no) {
                kick(&slot.address, reason, &by, now);
                awaits.push(no);
            }
        }
        if awaits.is_empty() {
            self.admit(attach, user);
            return Admission::In;
        }
        self.entering.push(Entering { attach, awaits });
        Admission::Waits
    }

    /// A session has ended; who waited for it comes in.
    pub(super) fn detach(&mut self, session: SessionNo, user: &Addr<UserActor>) {
        self.sessions.remove(&session);
        self.entering.retain(|entering| entering.attach.session != session);
        for entering in &mut self.entering {
            entering.awaits.retain(|awaited| *awaited != session);
        }
        self.admit_ready(user);
    }

    /// A session has waited for long enough. Those that it replaces are out already, and are acked nothing.
    pub(super) fn stop_waiting(&mut self, session: SessionNo, user: &Addr<UserActor>) {
        for entering in &mut self.entering {
            if entering.attach.session == session {
                entering.awaits.clear();
            }
        }
        self.admit_ready(user);
    }

    fn admit_ready(&mut self, user: &Addr<UserActor>) {
        let (ready, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.entering)
            .into_iter()
            .partition(|entering| entering.awaits.is_empty());
        self.entering = waiting;
        for entering in ready {
            self.admit(entering.attach, user);
        }
    }

    fn admit(&mut self, attach: Attach, user: &Addr<UserActor>) {
        let Attach { session, address, codec, behind, platform, device, login_no, .. } = attach;
        mailbox::insist(&address, Attached { user: user.clone() });
        self.sessions.insert(session, Slot { address, codec, behind, platform, device, login_no });
    }

    /// A session that is in.
    pub(super) fn get(&self, session: SessionNo) -> Option<&Slot> {
        self.sessions.get(&session)
    }

    /// Sessions that are in.
    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether no session is in or waits to come in.
    pub(super) fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.entering.is_empty()
    }

    /// Takes out sessions that ended before they knew whom to tell.
    pub(super) fn take_gone(&mut self) -> Vec<(SessionNo, Slot)> {
        let gone: Vec<SessionNo> = self
            .sessions
            .iter()
            .filter(|(_, slot)| !slot.address.connected())
            .map(|(no, _)| *no)
            .collect();
        gone.iter().filter_map(|no| self.sessions.remove_entry(no)).collect()
    }

    /// Pushes an entry to all but the session that has its ack.
    pub(super) fn push_entry(&self, owner: &UserId, entry: &Entry) {
        if self.sessions.keys().all(|no| entry.origin == Some(*no)) {
            return;
        }
        let mut event = Encoded::new(Event::MessageNew(wire::pushed(owner, entry)));
        tracing::debug!(client_msg_id = %entry.key, to = %owner, "pushed");
        for (no, slot) in &self.sessions {
            if entry.origin != Some(*no) {
                slot.push(&mut event, Some(entry.inbox));
            }
        }
    }

    /// Pushes an event to one session.
    pub(super) fn push_to(&self, session: SessionNo, event: Event) {
        if let Some(slot) = self.sessions.get(&session) {
            slot.push(&mut Encoded::new(event), None);
        }
    }

    /// Pushes an event to all sessions but some.
    pub(super) fn push_to_all_but(&self, but: &[SessionNo], event: Event) {
        if self.sessions.keys().all(|no| but.contains(no)) {
            return;
        }
        let mut event = Encoded::new(event);
        for (no, slot) in &self.sessions {
            if !but.contains(no) {
                slot.push(&mut event, None);
            }
        }
    }

    /// Something could not be told: all clients must sync.
    pub(super) fn must_sync(&self) {
        for slot in self.sessions.values() {
            if mailbox::tell(&slot.address, NeedSync).is_err() {
                slot.behind.store(true, Ordering::Release);
            }
        }
    }

    /// The node is about to stop.
    pub(super) fn shut(&self) {
        let entering = self.entering.iter().map(|entering| &entering.attach.address);
        for address in self.sessions.values().map(|slot| &slot.address).chain(entering) {
            mailbox::insist(address, SessionShut);
        }
    }
}

impl Slot {
    fn push(&self, event: &mut Encoded, inbox: Option<crate::ids::InboxSeq>) {
        let Some(frame) = event.frame(self.codec) else { return };
        if mailbox::tell(&self.address, Push { frame, inbox }) == Err(TellError::Full) {
            self.behind.store(true, Ordering::Release);
        }
    }
}

fn kick(address: &Addr<SessionActor>, reason: KickReason, by: &DeviceId, at: UnixMs) {
    metrics::counter!("rookery_kicks_total").increment(1);
    mailbox::insist(address, Kick { reason, by: Some(by.clone()), at });
}
