//! Who hears of a change, and what each session hears in one turn: one event, however much there is.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::actors::outlet::Outlet;
use crate::actors::registry::Directory;
use crate::actors::wire::{self, Encoded};
use crate::cluster::presence::SeenByOthers;
use crate::domain::intake::SessionNo;
use crate::domain::presence::Seen;
use crate::ids::{AppId, UserId, UserNo};
use crate::limits;
use crate::protocol::{Event, Presence, Presences};

/// What some hear of a user; alone in an event it is encoded once for all of them.
pub(super) struct Row {
    presence: Presence,
    alone: RefCell<Encoded>,
}

impl Row {
    pub(super) fn new(user: &UserId, seen: Seen) -> Rc<Self> {
        let presence = wire::presence(user, seen);
        let alone = Presences { presences: vec![presence.clone()] };
        let alone = RefCell::new(Encoded::new(Event::PresenceChanged(alone)));
        Rc::new(Self { presence, alone })
    }
}

/// A change of a user's presence, for others.
pub(super) struct Change {
    user: UserNo,
    app: AppId,
    id: UserId,
    friend: Rc<Row>,
    stranger: Rc<Row>,
}

impl Change {
    pub(super) fn new(user: UserNo, app: AppId, id: UserId, seen: SeenByOthers) -> Self {
        let SeenByOthers { friend, stranger } = seen;
        let is_same = friend == stranger;
        let friend = Row::new(&id, friend);
        let stranger = if is_same { friend.clone() } else { Row::new(&id, stranger) };
        Self { user, app, id, friend, stranger }
    }

    pub(super) fn user(&self) -> UserNo {
        self.user
    }

    /// Whose it is, as those who watch know them.
    pub(super) fn of(&self) -> (AppId, &UserId) {
        (self.app, &self.id)
    }
}

/// A change on its way to all who hear of it; it may take several turns.
pub(super) struct Telling {
    change: Change,
    friends: Rc<[UserNo]>,
    next_friend: usize,
    watchers: Vec<Arc<Outlet>>,
}

/// What a turn may still cost.
pub(super) struct Budget {
    /// Friends to look up.
    pub(super) looked_up: usize,
    /// Presences to tell.
    pub(super) told: usize,
}

impl Budget {
    fn is_spent(&self) -> bool {
        self.looked_up == 0 || self.told == 0
    }
}

impl Telling {
    pub(super) fn new(change: Change, friends: Rc<[UserNo]>, watchers: Vec<Arc<Outlet>>) -> Self {
        Self { change, friends, next_friend: 0, watchers }
    }

    /// Goes on as far as the turn allows; whether everyone was told.
    pub(super) fn go_on(
        &mut self,
        directory: &Directory,
        batches: &mut Batches,
        budget: &mut Budget,
    ) -> bool {
        while let Some(friend) = self.friends.get(self.next_friend) {
            if budget.is_spent() {
                return false;
            }
            self.next_friend += 1;
            budget.looked_up -= 1;
            for outlet in directory.outlets(*friend) {
                batches.add(&outlet, &self.change.friend, budget);
            }
        }
        while let Some(outlet) = self.watchers.pop() {
            // Friends and the user's own devices have heard of it.
            let hears =
                outlet.user == self.change.user || self.friends.binary_search(&outlet.user).is_ok();
            if !hears {
                batches.add(&outlet, &self.change.stranger, budget);
            }
            if budget.is_spent() {
                return self.watchers.is_empty();
            }
        }
        true
    }
}

/// What sessions hear in one turn.
#[derive(Default)]
pub(super) struct Batches(HashMap<SessionNo, (Arc<Outlet>, Vec<Rc<Row>>)>);

impl Batches {
    pub(super) fn add(&mut self, outlet: &Arc<Outlet>, row: &Rc<Row>, budget: &mut Budget) {
        budget.told = budget.told.saturating_sub(1);
        let (_, rows) = self.0.entry(outlet.no).or_insert_with(|| (outlet.clone(), Vec::new()));
        rows.push(row.clone());
    }

    /// Tells them; the sessions that are gone.
    pub(super) fn tell(self) -> Vec<SessionNo> {
        let mut gone = Vec::new();
        for (no, (outlet, rows)) in self.0 {
            metrics::counter!("rookery_presences_told_total").increment(rows.len() as u64);
            let is_there = if let [row] = &rows[..] {
                outlet.push(&mut row.alone.borrow_mut(), None)
            } else {
                rows.chunks(limits::PRESENCE_FRAME).all(|rows| {
                    let presences = rows.iter().map(|row| row.presence.clone()).collect();
                    let event = Event::PresenceChanged(Presences { presences });
                    outlet.push(&mut Encoded::new(event), None)
                })
            };
            if !is_there {
                gone.push(no);
            }
        }
        gone
    }
}
