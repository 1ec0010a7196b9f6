//! What the teller of presence asks and tells the store: of many users at once, one job of a kind at a time.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::PresenceActor;
use crate::actors::reads;
use crate::domain::presence::{Now, Profile};
use crate::ids::{UnixMs, UserNo};
use crate::limits;
use crate::store::{StoreError, friends, presence};

#[derive(Message)]
#[rtype(result = "()")]
struct ProfilesRead {
    users: Vec<UserNo>,
    found: Result<HashMap<UserNo, Profile>, StoreError>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct ListsRead {
    users: Vec<UserNo>,
    found: Result<HashMap<UserNo, Vec<UserNo>>, StoreError>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct SaidNoted {
    users: Vec<UserNo>,
    done: Vec<oneshot::Sender<()>>,
    outcome: Result<HashMap<UserNo, Profile>, StoreError>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct LeftNoted {
    users: Vec<(UserNo, UnixMs)>,
    outcome: Result<(), StoreError>,
}

/// One job at a time with the store; after a failure it rests.
#[derive(Default)]
pub(super) struct Job {
    pub(super) is_running: bool,
    rests_until: Option<Instant>,
}

impl Job {
    pub(super) fn may_begin(&self, now: Instant) -> bool {
        !self.is_running && self.rests_until.is_none_or(|until| until <= now)
    }

    pub(super) fn ended(&mut self, failed: Option<&StoreError>) {
        self.is_running = false;
        self.rests_until = failed.map(|_| Instant::now() + limits::RETRY_AFTER);
        if let Some(error) = failed {
            tracing::debug!(%error, "presence found the store away");
        }
    }
}

impl Handler<ProfilesRead> for PresenceActor {
    type Result = ();

    fn handle(&mut self, ProfilesRead { users, found }: ProfilesRead, _: &mut Self::Context) {
        self.profiles.ended(found.as_ref().err());
        let Ok(mut found) = found else { return self.board.give_back_unknown(users) };
        let now = self.now();
        for user in users {
            let profile = found.remove(&user).unwrap_or(Profile::NONE);
            self.board.rewrite(user, |presence| presence.know(profile, now));
        }
    }
}

impl Handler<ListsRead> for PresenceActor {
    type Result = ();

    fn handle(&mut self, ListsRead { users, found }: ListsRead, _: &mut Self::Context) {
        self.reading.ended(found.as_ref().err());
        let stale = std::mem::take(&mut self.stale);
        let Ok(mut found) = found else { return self.wanted_lists.extend(users) };
        for user in users {
            if stale.contains(&user) {
                self.wanted_lists.push_back(user);
                continue;
            }
            let friends: Rc<[UserNo]> = found.remove(&user).unwrap_or_default().into();
            self.lists.put(user, friends.clone());
            if let Some(change) = self.listless.remove(&user) {
                self.begin_telling(change, friends);
            }
        }
    }
}

impl Handler<SaidNoted> for PresenceActor {
    type Result = ();

    fn handle(&mut self, SaidNoted { users, done, outcome }: SaidNoted, ctx: &mut Self::Context) {
        self.hearing.ended(outcome.as_ref().err());
        let now = self.now();
        if let Ok(profiles) = outcome {
            for (user, profile) in profiles {
                self.board.rewrite(user, |presence| presence.know(profile, now));
                self.board.was_set(user);
            }
            for done in done {
                // Whoever waited may be gone.
                let _ = done.send(());
            }
        } else {
            // Some of it may have been written all the same.
            users.into_iter().for_each(|user| self.board.read_again(user));
        }
        self.note_said(now, ctx);
    }
}

impl Handler<LeftNoted> for PresenceActor {
    type Result = ();

    fn handle(&mut self, LeftNoted { users, outcome }: LeftNoted, _: &mut Self::Context) {
        self.noting.ended(outcome.as_ref().err());
        if outcome.is_ok() {
            self.departures.stored(users, Instant::now());
        }
    }
}

impl PresenceActor {
    pub(super) fn read_profiles(&mut self, now: Now, ctx: &mut Context<Self>) {
        if !self.profiles.may_begin(now.at) {
            return;
        }
        let users = self.board.take_unknown(limits::PRESENCE_BATCH);
        if users.is_empty() {
            return;
        }
        self.profiles.is_running = true;
        let pool = self.pool.clone();
        let read = async move {
            let found = reads::bounded(presence::by_number(&pool, &users)).await;
            ProfilesRead { users, found }
        };
        ctx.spawn(read.into_actor(self).map(|read, _, ctx| ctx.notify(read)));
    }

    pub(super) fn read_lists(&mut self, now: Now, ctx: &mut Context<Self>) {
        if !self.reading.may_begin(now.at) || self.wanted_lists.is_empty() {
            return;
        }
        let most = self.wanted_lists.len().min(limits::FRIEND_LISTS_AT_ONCE);
        let users: Vec<UserNo> = self.wanted_lists.drain(..most).collect();
        self.reading.is_running = true;
        let pool = self.pool.clone();
        let read = async move {
            let found = reads::bounded(friends::numbers(&pool, &users)).await;
            ListsRead { users, found }
        };
        ctx.spawn(read.into_actor(self).map(|read, _, ctx| ctx.notify(read)));
    }

    pub(super) fn note_said(&mut self, now: Now, ctx: &mut Context<Self>) {
        if !self.hearing.may_begin(now.at) || self.saying.is_empty() {
            return;
        }
        let most = self.said_turns.len().min(limits::PRESENCE_BATCH);
        let (mut all, mut done) = (Vec::with_capacity(most), Vec::new());
        for user in self.said_turns.drain(..most) {
            if let Some((said, waiting)) = self.saying.remove(&user) {
                all.push((user, said));
                done.extend(waiting);
            }
        }
        self.hearing.is_running = true;
        let pool = self.pool.clone();
        let note = async move {
            let outcome = reads::bounded(presence::set(&pool, &all)).await;
            let users = all.into_iter().map(|(user, _)| user).collect();
            SaidNoted { users, done, outcome }
        };
        ctx.spawn(note.into_actor(self).map(|noted, _, ctx| ctx.notify(noted)));
    }

    pub(super) fn note_left(&mut self, now: Now, ctx: &mut Context<Self>) {
        if !self.noting.may_begin(now.at) {
            return;
        }
        let users = self.departures.unstored(limits::PRESENCE_BATCH);
        if users.is_empty() {
            return;
        }
        self.noting.is_running = true;
        let pool = self.pool.clone();
        let note = async move {
            let outcome = reads::bounded(presence::left(&pool, &users)).await;
            LeftNoted { users, outcome }
        };
        ctx.spawn(note.into_actor(self).map(|noted, _, ctx| ctx.notify(noted)));
    }
}
