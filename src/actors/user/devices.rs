//! A user's sessions on this node: who may come in when, and what goes to all of them.
//!
//! A session that is replaced is taken out at once, so that nothing that it sent is acked through here any more; the one
//! that replaces it comes in when the loser has said that it ended.

use std::collections::HashMap;
use std::sync::Arc;

use actix::prelude::*;

use super::{Attach, Entry, UserActor};
use crate::actors::outlet::Outlet;
use crate::actors::registry::UserState;
use crate::actors::session::{Attached, Kick, SessionShut};
use crate::actors::wire::{self, Encoded};
use crate::domain::intake::SessionNo;
use crate::ids::{DeviceId, LoginNo, UnixMs, UserId};
use crate::limits;
use crate::protocol::{Event, KickReason, Platform};

/// The sessions of one user.
pub(super) struct Devices {
    /// Where others find those that are in.
    state: Arc<UserState>,
    sessions: HashMap<SessionNo, Slot>,
    entering: Vec<Entering>,
}

/// A session that is in.
pub(super) struct Slot {
    pub(super) outlet: Arc<Outlet>,
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
    /// No session yet.
    pub(super) fn new(state: Arc<UserState>) -> Self {
        Self { state, sessions: HashMap::new(), entering: Vec::new() }
    }

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
            kick(&attach.outlet, KickReason::Replaced, &by, now);
            return Admission::Lost;
        }
        let mut awaits = Vec::new();
        let (overtaken, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.entering)
            .into_iter()
            .partition(|entering| same(entering.attach.platform, &entering.attach.device));
        self.entering = others;
        for entering in overtaken {
            kick(&entering.attach.outlet, KickReason::Replaced, &by, now);
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
                kick(&slot.outlet, reason, &by, now);
                awaits.push(no);
            }
        }
        self.list();
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
        self.list();
        self.entering.retain(|entering| entering.attach.outlet.no != session);
        for entering in &mut self.entering {
            entering.awaits.retain(|awaited| *awaited != session);
        }
        self.admit_ready(user);
    }

    /// A session has waited for long enough. Those that it replaces are out already, and are acked nothing.
    pub(super) fn stop_waiting(&mut self, session: SessionNo, user: &Addr<UserActor>) {
        for entering in &mut self.entering {
            if entering.attach.outlet.no == session {
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
        let Attach { outlet, platform, device, login_no, .. } = attach;
        let slot = Slot { outlet: outlet.clone(), platform, device, login_no };
        self.sessions.insert(outlet.no, slot);
        // Before the session reads of which groups its user is a member: who becomes one after that is found here.
        self.list();
        outlet.insist(Attached { user: user.clone() });
    }

    fn list(&self) {
        self.state.set_outlets(self.sessions.values().map(|slot| slot.outlet.clone()).collect());
    }

    /// A session that is in.
    pub(super) fn get(&self, session: SessionNo) -> Option<&Slot> {
        self.sessions.get(&session)
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
            .filter(|(_, slot)| !slot.outlet.is_there())
            .map(|(no, _)| *no)
            .collect();
        let gone = gone.iter().filter_map(|no| self.sessions.remove_entry(no)).collect();
        self.list();
        gone
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
                slot.outlet.push(&mut event, Some(entry.inbox));
            }
        }
    }

    /// Pushes an event to one session.
    pub(super) fn push_to(&self, session: SessionNo, event: Event) {
        if let Some(slot) = self.sessions.get(&session) {
            slot.outlet.push(&mut Encoded::new(event), None);
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
                slot.outlet.push(&mut event, None);
            }
        }
    }

    /// Something could not be told: all clients must sync.
    pub(super) fn must_sync(&self) {
        for slot in self.sessions.values() {
            slot.outlet.must_sync();
        }
    }

    /// The node is about to stop.
    pub(super) fn shut(&self) {
        let entering = self.entering.iter().map(|entering| &entering.attach.outlet);
        for outlet in self.sessions.values().map(|slot| &slot.outlet).chain(entering) {
            outlet.insist(SessionShut);
        }
    }
}

fn kick(outlet: &Outlet, reason: KickReason, by: &DeviceId, at: UnixMs) {
    metrics::counter!("rookery_kicks_total").increment(1);
    outlet.insist(Kick { reason, by: Some(by.clone()), at });
}
