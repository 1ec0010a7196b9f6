//! Which sessions watch whom. A user is known here by id: one who does not exist is watched like any other.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use crate::actors::outlet::Outlet;
use crate::domain::intake::SessionNo;
use crate::domain::watching::Watching;
use crate::ids::{AppId, UserId};
use crate::limits;

/// The watches of a node.
#[derive(Default)]
pub(super) struct Watches {
    by_session: HashMap<SessionNo, Session>,
    by_user: HashMap<(AppId, UserId), HashSet<SessionNo>>,
    /// When the next watch of each session ends.
    ends: BTreeSet<(Instant, SessionNo)>,
    count: usize,
}

struct Session {
    outlet: Arc<Outlet>,
    app: AppId,
    watching: Watching,
    /// What `ends` has of it.
    next_end: Option<Instant>,
}

impl Watches {
    /// A session watches users; those who had to make room, or none when the node watches too many.
    pub(super) fn watch(
        &mut self,
        outlet: Arc<Outlet>,
        app: AppId,
        users: &[UserId],
        until: Instant,
    ) -> Option<Vec<UserId>> {
        if self.count + users.len() > limits::WATCHED_ON_NODE {
            return None;
        }
        let no = outlet.no;
        let session = self.by_session.entry(no).or_insert_with(|| Session {
            outlet,
            app,
            watching: Watching::default(),
            next_end: None,
        });
        let moved = session.watching.watch(users, until);
        for user in &moved.added {
            self.by_user.entry((app, user.clone())).or_default().insert(no);
        }
        self.count += moved.added.len();
        self.cease(no, app, &moved.dropped);
        self.settle(no);
        Some(moved.dropped)
    }

    /// A session ceases to watch these users, or all.
    pub(super) fn unwatch(&mut self, no: SessionNo, users: Option<&[UserId]>) {
        let Some(session) = self.by_session.get_mut(&no) else { return };
        let app = session.app;
        let gone = session.watching.unwatch(users);
        self.cease(no, app, &gone);
        self.settle(no);
    }

    /// Ends the watches whose time is over.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some((end, no)) = self.ends.first().copied()
            && end <= now
        {
            self.ends.remove(&(end, no));
            let Some(session) = self.by_session.get_mut(&no) else { continue };
            session.next_end = None;
            let app = session.app;
            let gone = session.watching.expire(now);
            self.cease(no, app, &gone);
            self.settle(no);
        }
    }

    /// The sessions that watch a user.
    pub(super) fn of(&self, app: AppId, user: &UserId) -> Vec<Arc<Outlet>> {
        let sessions = self.by_user.get(&(app, user.clone()));
        sessions
            .into_iter()
            .flatten()
            .filter_map(|no| self.by_session.get(no))
            .map(|session| session.outlet.clone())
            .collect()
    }

    fn cease(&mut self, no: SessionNo, app: AppId, users: &[UserId]) {
        for user in users {
            let key = (app, user.clone());
            if let Some(sessions) = self.by_user.get_mut(&key) {
                self.count -= usize::from(sessions.remove(&no));
                if sessions.is_empty() {
                    self.by_user.remove(&key);
                }
            }
        }
    }

    /// Notes when the next watch of a session ends, and forgets one that watches nobody.
    fn settle(&mut self, no: SessionNo) {
        let Some(session) = self.by_session.get_mut(&no) else { return };
        let next_end = session.watching.next_end();
        if session.next_end != next_end {
            if let Some(former) = session.next_end {
                self.ends.remove(&(former, no));
            }
            self.ends.extend(next_end.map(|end| (end, no)));
            session.next_end = next_end;
        }
        if next_end.is_none() {
            self.by_session.remove(&no);
        }
    }
}
