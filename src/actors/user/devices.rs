//! A user's sessions on this node: who may come in when, who has to go, and what goes to all of them.
//!
//! The store decides which sessions stand; each decision names them as of one login number. A session that does not stand
//! is taken out at once, so that nothing that it sent is acked through here any more; the one for which it went comes in
//! when the loser has said that it ended.

use std::collections::HashMap;
use std::sync::Arc;

use actix::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Attach, Entry, UserActor};
use crate::actors::holds::{Held, SessionKey};
use crate::actors::outlet::Outlet;
use crate::actors::registry::UserState;
use crate::actors::session::{Attached, Kick, SessionLost, SessionShut};
use crate::actors::wire::{self, Encoded};
use crate::domain::intake::SessionNo;
use crate::domain::login_policy::EndedBy;
use crate::ids::{DeviceId, LoginNo, Platform, UnixMs, UserId};
use crate::protocol::Event;

/// The sessions of one user.
pub(super) struct Devices {
    /// Where others find those that are in.
    state: Arc<UserState>,
    sessions: HashMap<SessionNo, Slot>,
    entering: Vec<Entering>,
    /// The latest decision, for sessions that it ended and that are still on their way here.
    decided: Option<Decided>,
}

/// Which sessions of a user stand, as the store decided it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// The user's login number at that time.
    pub at: LoginNo,
    /// Of the sessions up to that number, those that stand.
    pub standing: Vec<LoginNo>,
    /// Why the others ended.
    pub why: EndedBy,
    /// The device by whose login or command.
    pub by: Option<(Platform, DeviceId)>,
}

/// A session that others ended in the store while this node could not be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// Its login.
    pub login_no: LoginNo,
    /// By which decision; none where it was ended for this node, which was taken for gone.
    pub why: Option<EndedBy>,
}

impl Decided {
    fn ends(&self, login_no: LoginNo) -> bool {
        login_no <= self.at && !self.standing.contains(&login_no)
    }
}

/// A session that is in.
pub(super) struct Slot {
    pub(super) outlet: Arc<Outlet>,
    held: Held,
}

/// A session that may come in when those that went for it are gone.
struct Entering {
    attach: Attach,
    awaits: Vec<SessionNo>,
}

/// Whether a session came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// It did.
    In,
    /// It waits for those that went for it.
    Waits,
    /// A later decision was here before it.
    Lost,
}

impl Devices {
    /// No session yet.
    pub(super) fn new(state: Arc<UserState>) -> Self {
        Self { state, sessions: HashMap::new(), entering: Vec::new(), decided: None }
    }

    /// Lets a session in, or makes it wait for those that go for it, which are told.
    pub(super) fn attach(
        &mut self,
        attach: Attach,
        now: UnixMs,
        user: &Addr<UserActor>,
    ) -> Admission {
        if let Some(decided) = self.decided.clone().filter(|it| it.ends(attach.held.key().login_no))
        {
            // The store ordered the two; this one was first there and came second here.
            kick(&attach.outlet, attach.held.key(), &decided, now);
            return Admission::Lost;
        }
        let SessionKey { platform, device, login_no, .. } = attach.held.key().clone();
        let (standing, why) = (attach.standing.clone(), EndedBy::Policy);
        let decided = Decided { at: login_no, standing, why, by: Some((platform, device)) };
        let awaits = self.decided(decided, now);
        if awaits.is_empty() {
            self.admit(attach, user);
            return Admission::In;
        }
        self.entering.push(Entering { attach, awaits });
        Admission::Waits
    }

    /// Ends the sessions that do not stand any more; those whose end is still to be waited for.
    pub(super) fn decided(&mut self, decided: Decided, now: UnixMs) -> Vec<SessionNo> {
        let (overtaken, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.entering)
            .into_iter()
            .partition(|entering| decided.ends(entering.attach.held.key().login_no));
        self.entering = others;
        let mut awaits = Vec::new();
        for Entering { attach, awaits: awaited } in overtaken {
            kick(&attach.outlet, attach.held.key(), &decided, now);
            awaits.extend(awaited);
        }
        let losers =
            self.sessions.iter().filter(|(_, slot)| decided.ends(slot.held.key().login_no));
        let losers: Vec<SessionNo> = losers.map(|(no, _)| *no).collect();
        for no in losers {
            if let Some(slot) = self.sessions.remove(&no) {
                kick(&slot.outlet, slot.held.key(), &decided, now);
                awaits.push(no);
            }
        }
        self.list();
        self.remember(decided);
        awaits
    }

    /// What one decision ended no later one brings back, so the latest says it for all; of two at one number, both.
    fn remember(&mut self, decided: Decided) {
        match &mut self.decided {
            Some(known) if known.at > decided.at => {}
            Some(known) if known.at == decided.at => {
                known.standing.retain(|stands| decided.standing.contains(stands));
                (known.why, known.by) = (decided.why, decided.by);
            }
            known => *known = Some(decided),
        }
    }

    /// A session has ended; who waited for it comes in. What the store has it as, unless it was ended by a decision.
    pub(super) fn detach(&mut self, session: SessionNo, user: &Addr<UserActor>) -> Option<Held> {
        let held = self.sessions.remove(&session).map(|slot| slot.held);
        self.list();
        self.entering.retain(|entering| entering.attach.outlet.no != session);
        for entering in &mut self.entering {
            entering.awaits.retain(|awaited| *awaited != session);
        }
        self.admit_ready(user);
        held
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
        let Attach { outlet, held, .. } = attach;
        self.sessions.insert(outlet.no, Slot { outlet: outlet.clone(), held });
        // Before the session reads of which groups its user is a member: who becomes one after that is found here.
        self.list();
        outlet.insist(Attached { user: user.clone() });
    }

    fn list(&self) {
        self.state.set_outlets(self.sessions.values().map(|slot| slot.outlet.clone()).collect());
    }

    /// The sessions that are in, or wait to come in.
    pub(super) fn here(&self) -> impl Iterator<Item = &SessionKey> {
        let entering = self.entering.iter().map(|entering| entering.attach.held.key());
        self.sessions.values().map(|slot| slot.held.key()).chain(entering)
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
    pub(super) fn take_gone(&mut self) -> Vec<SessionNo> {
        let gone = self.sessions.iter().filter(|(_, slot)| !slot.outlet.is_there());
        let gone: Vec<SessionNo> = gone.map(|(no, _)| *no).collect();
        for no in &gone {
            self.sessions.remove(no);
        }
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

    /// The user's actor is over, perhaps by a fault: the next one does not know these sessions, so they ack nothing more.
    pub(super) fn end_all(&self) {
        let entering = self.entering.iter().map(|entering| &entering.attach.outlet);
        for outlet in self.sessions.values().map(|slot| &slot.outlet).chain(entering) {
            outlet.end();
        }
    }

    /// A session that others have ended in the store acks nothing more. Where no decision did that its client comes back.
    pub(super) fn lose(&self, lost: &Lost, now: UnixMs) {
        let here = self.sessions.values().map(|slot| (&slot.outlet, slot.held.key()));
        let entering = self.entering.iter().map(|entering| &entering.attach);
        let entering = entering.map(|attach| (&attach.outlet, attach.held.key()));
        for (outlet, key) in here.chain(entering).filter(|(_, key)| key.login_no == lost.login_no) {
            match lost.why {
                Some(why) => {
                    let (at, standing) = (lost.login_no, Vec::new());
                    kick(outlet, key, &Decided { at, standing, why, by: None }, now);
                }
                None => {
                    outlet.end();
                    outlet.insist(SessionLost);
                }
            }
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

/// Ends a session. From this instant on it acks nothing, whatever is on its way to it.
fn kick(outlet: &Outlet, of: &SessionKey, decided: &Decided, at: UnixMs) {
    metrics::counter!("rookery_kicks_total").increment(1);
    let is_same = |(platform, device): &(Platform, DeviceId)| {
        (*platform, device) == (of.platform, &of.device)
    };
    let is_same = decided.by.as_ref().is_some_and(is_same);
    let why = match decided.why {
        EndedBy::Policy if is_same => EndedBy::Replaced,
        why => why,
    };
    outlet.end();
    let by = decided.by.as_ref().map(|(_, device)| device.clone());
    outlet.insist(Kick { why, by, at });
}
