//! The board: who is there, here and on other nodes, for anyone to read; and whose presence may have changed since it was
//! told.
//!
//! What is written is written under the user's entry, by rules that do not mind the order in which things come. Never
//! tells anyone anything.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use dashmap::DashMap;
use dashmap::mapref::entry;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use tokio::sync::Notify;

use crate::domain::presence::{Now, Presence, Profile, Seen, There, Viewer};
use crate::ids::{AppId, LoginNo, NodeRun, UnixMs, UserId, UserNo};

/// Who is there. It has an entry for each user with a device, and for those who left until that was told and stored; the
/// queues name each of them once at most.
#[derive(Default)]
pub struct Board {
    users: DashMap<UserNo, Entry>,
    /// Who may have changed, and since when; the longest first.
    moved: Mutex<VecDeque<(Instant, UserNo)>>,
    /// Of whom the store has yet to be asked.
    unknown: Mutex<VecDeque<UserNo>>,
    /// Whether other nodes want to hear who is here.
    has_listeners: AtomicBool,
    /// Who is here in another way than other nodes were told last.
    untold: Mutex<VecDeque<UserNo>>,
    /// Woken when `untold` names somebody.
    untold_came: Notify,
}

/// Who is at one node, as that tells the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whereabouts {
    /// The user.
    pub user: UserNo,
    /// The same by name; none where no device is left.
    pub of: Option<(AppId, UserId)>,
    /// The devices with a session there.
    pub devices: Vec<There>,
    /// What the user says of themselves, once that node has read it.
    pub profile: Option<Profile>,
}

struct Entry {
    app: AppId,
    id: UserId,
    presence: Presence,
    /// What was told last.
    told: Option<Told>,
    /// Whether somebody who asked was shown something else since, and must hear what is true now.
    ahead: Ahead,
    /// Whether `moved` names it.
    has_moved: bool,
    /// Whether `untold` names it.
    is_untold: bool,
    /// Whether a device had a session here since the entry was made.
    was_here: bool,
}

#[derive(PartialEq, Eq)]
struct Told {
    others: Seen,
    own: Seen,
}

/// Who was shown something else than what was told.
#[derive(Default)]
struct Ahead {
    others: bool,
    own: bool,
}

/// What there is to tell of a user.
#[derive(Debug)]
pub struct News {
    /// Its app.
    pub app: AppId,
    /// Its id there.
    pub id: UserId,
    /// What others see now, if that has changed.
    pub others: Option<SeenByOthers>,
    /// What the user's own devices see now, if that has changed.
    pub own: Option<Seen>,
    /// When it changes by itself.
    pub next_turn: Option<Instant>,
    /// Whether no device is there.
    pub is_gone: bool,
    /// When others last saw the user, if they see them offline since now.
    pub left: Option<Left>,
}

/// Since when one who left is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// When others saw the user last.
    pub seen: UnixMs,
    /// Whether it is for this node to note it.
    pub is_ours_to_note: bool,
}

/// What others see of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenByOthers {
    /// Friends.
    pub friend: Seen,
    /// All others.
    pub stranger: Seen,
}

impl Board {
    /// Changes the presence of a user, who is put on the board if need be.
    pub fn write(
        &self,
        user: UserNo,
        (app, id): (AppId, &UserId),
        change: impl FnOnce(&mut Presence),
    ) {
        let mut entry = self.users.entry(user).or_insert_with(|| Entry::new(app, id));
        if !std::mem::replace(&mut entry.was_here, true) {
            lock(&self.unknown).push_back(user);
        }
        self.change(user, &mut entry, change);
    }

    /// What another node says of a user's devices there; the user is put on the board if need be.
    pub fn told_by(&self, node: NodeRun, told: Whereabouts, now: Now) {
        let Whereabouts { user, of, devices, profile } = told;
        let of = of.filter(|_| !devices.is_empty());
        let change = |presence: &mut Presence| {
            if let Some(profile) = profile {
                presence.know(profile, now);
            }
            presence.told_by(node, devices, now);
        };
        if of.is_none() {
            // What was said there last it may have told nobody.
            self.read_again(user);
        }
        match of {
            Some((app, id)) => {
                let mut entry = self.users.entry(user).or_insert_with(|| Entry::new(app, &id));
                self.change(user, &mut entry, change);
            }
            None => self.rewrite(user, change),
        }
    }

    /// Has the store be asked once more what a user with a device here says of themselves.
    pub fn read_again(&self, user: UserNo) {
        if self.users.get(&user).is_some_and(|entry| entry.presence.here().next().is_some()) {
            lock(&self.unknown).push_back(user);
        }
    }

    /// The other nodes at which the user has a device.
    pub fn elsewhere(&self, user: UserNo) -> SmallVec<[NodeRun; 2]> {
        let Some(entry) = self.users.get(&user) else { return SmallVec::new() };
        let mut nodes: SmallVec<[NodeRun; 2]> = entry.presence.nodes().collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    /// Whether the user has a device at another node.
    pub fn is_elsewhere(&self, user: UserNo) -> bool {
        self.users.get(&user).is_some_and(|entry| entry.presence.nodes().next().is_some())
    }

    /// Other nodes want to hear who is here from now on, or not any more.
    pub fn set_listeners(&self, has_listeners: bool) {
        self.has_listeners.store(has_listeners, Ordering::Release);
    }

    /// Those who are here, for a node that knows of nobody yet.
    pub fn all_here(&self) -> Vec<UserNo> {
        let here = self.users.iter().filter(|entry| entry.presence.here().next().is_some());
        here.map(|entry| *entry.key()).collect()
    }

    /// What there is to tell other nodes of a user.
    pub fn whereabouts(&self, user: UserNo) -> Whereabouts {
        let nowhere = Whereabouts { user, of: None, devices: Vec::new(), profile: None };
        self.users.get(&user).map_or(nowhere, |entry| Whereabouts {
            user,
            of: Some((entry.app, entry.id.clone())),
            devices: entry.presence.here().cloned().collect(),
            profile: entry.presence.profile().cloned(),
        })
    }

    /// Waits until there may be users of whom other nodes have to hear, or somebody wants a telling to begin.
    pub async fn untold(&self) {
        self.untold_came.notified().await;
    }

    /// Has a telling begin.
    pub fn begin_telling(&self) {
        self.untold_came.notify_one();
    }

    /// Takes the users of whom other nodes have to hear.
    pub fn take_untold(&self) -> Vec<UserNo> {
        let users: Vec<UserNo> = lock(&self.untold).drain(..).collect();
        for user in &users {
            if let Some(mut entry) = self.users.get_mut(user) {
                entry.is_untold = false;
            }
        }
        users
    }

    /// Changes the presence of a user who is on the board.
    pub fn rewrite(&self, user: UserNo, change: impl FnOnce(&mut Presence)) {
        if let Some(mut entry) = self.users.get_mut(&user) {
            self.change(user, &mut entry, change);
        }
    }

    fn change(&self, user: UserNo, entry: &mut Entry, change: impl FnOnce(&mut Presence)) {
        let before = entry.presence.clone();
        change(&mut entry.presence);
        if entry.presence == before {
            return;
        }
        self.note(user, entry);
        let is_here = entry.presence.here().next().is_some();
        let tells = !before.here().eq(entry.presence.here())
            || (is_here && before.profile() != entry.presence.profile());
        if tells
            && self.has_listeners.load(Ordering::Acquire)
            && !std::mem::replace(&mut entry.is_untold, true)
        {
            lock(&self.untold).push_back(user);
            self.untold_came.notify_one();
        }
    }

    fn note(&self, user: UserNo, entry: &mut Entry) {
        if !std::mem::replace(&mut entry.has_moved, true) {
            lock(&self.moved).push_back((Instant::now(), user));
        }
    }

    /// The device that logged in as `generation` was heard of. That is nothing to tell.
    pub fn renew(&self, user: UserNo, generation: LoginNo, heard: Instant, now: Now) {
        if let Some(mut entry) = self.users.get_mut(&user) {
            entry.presence.renew(generation, heard, now);
        }
    }

    /// The presence of a user who is on the board.
    pub fn read(&self, user: UserNo) -> Option<Presence> {
        self.users.get(&user).map(|entry| entry.presence.clone())
    }

    /// The user has set something on one device. The others hear of it, also where nothing was told yet with which it
    /// could be compared.
    pub fn was_set(&self, user: UserNo) {
        if let Some(mut entry) = self.users.get_mut(&user)
            && entry.told.is_none()
            && entry.presence.devices() > 1
        {
            entry.ahead.own = true;
            self.note(user, &mut entry);
        }
    }

    /// One who asked was shown this. If it is not what was told last, they are told how it is in a moment, even if that
    /// is as it was told before: they would go on believing what they were shown.
    pub fn shown(&self, user: UserNo, viewer: Viewer, seen: &Seen) {
        let seen = seen.clone().without_last_seen();
        let is_ahead = |entry: &Entry| match (&entry.told, viewer) {
            (Some(told), Viewer::Own) => told.own != seen,
            (None, Viewer::Own) => false,
            (Some(told), Viewer::Friend | Viewer::Stranger) => told.others != seen,
            (None, Viewer::Friend | Viewer::Stranger) => seen != Seen::NOTHING,
        };
        // Most are not, and to see that takes no lock that others would wait for.
        if !self.users.get(&user).is_some_and(|entry| is_ahead(&entry)) {
            return;
        }
        if let Some(mut entry) = self.users.get_mut(&user) {
            match viewer {
                Viewer::Own => entry.ahead.own = true,
                Viewer::Friend | Viewer::Stranger => entry.ahead.others = true,
            }
            self.note(user, &mut entry);
        }
    }

    /// The presence of a user may have changed by itself.
    pub fn look_again(&self, user: UserNo) {
        if let Some(mut entry) = self.users.get_mut(&user) {
            self.note(user, &mut entry);
        }
    }

    /// The next user whose presence may have changed, and did so first before `before`.
    pub fn next_moved(&self, before: Instant) -> Option<UserNo> {
        let mut moved = lock(&self.moved);
        moved.front().filter(|(since, _)| *since <= before)?;
        moved.pop_front().map(|(_, user)| user)
    }

    /// How many users' presence may have changed.
    pub fn moved(&self) -> usize {
        lock(&self.moved).len()
    }

    /// Users of whom the store has yet to be asked, at most so many.
    pub fn take_unknown(&self, most: usize) -> Vec<UserNo> {
        let mut unknown = lock(&self.unknown);
        let most = most.min(unknown.len());
        unknown.drain(..most).collect()
    }

    /// The store could not be asked.
    pub fn give_back_unknown(&self, users: Vec<UserNo>) {
        lock(&self.unknown).extend(users);
    }

    /// What there is to tell of a user, which counts as told from now on.
    pub fn take_news(&self, user: UserNo, now: Now) -> Option<News> {
        let mut entry = self.users.get_mut(&user)?;
        let Entry { app, id, presence, told, ahead, has_moved, was_here, .. } = &mut *entry;
        *has_moved = false;
        presence.tidy(now);
        let mut news = News {
            app: *app,
            id: id.clone(),
            others: None,
            own: None,
            next_turn: presence.next_turn(now),
            is_gone: presence.is_empty(),
            left: None,
        };
        if !presence.is_known() {
            return Some(news);
        }
        let friend = presence.seen_by(Viewer::Friend, now);
        let stranger = presence.seen_by(Viewer::Stranger, now);
        let own = presence.seen_by(Viewer::Own, now);
        let others = friend.clone().without_last_seen();
        let is_now = Told { others, own: own.clone().without_last_seen() };
        let before = told.take().unwrap_or_else(|| Told {
            others: Seen::NOTHING,
            // One platform alone is what a device that has just come in knows without being told.
            own: if own.platforms.len() > 1 { Seen::NOTHING } else { is_now.own.clone() },
        });
        let ahead = std::mem::take(ahead);
        if before.others != is_now.others || ahead.others {
            // The node where they were notes it, and one that has noted more than is true notes nothing false.
            let left = presence.last_seen().filter(|_| friend.front().is_none());
            news.left = left.map(|seen| Left { seen, is_ours_to_note: *was_here });
            news.others = Some(SeenByOthers { friend, stranger });
        }
        news.own = (before.own != is_now.own || ahead.own).then_some(own);
        // One who comes back within the time for which the board remembers those who left is as one who has just come.
        *told = (!news.is_gone).then_some(is_now);
        Some(news)
    }

    /// Takes a user off the board who has no device any more and of whom there is nothing to tell.
    pub fn forget(&self, user: UserNo) {
        if let entry::Entry::Occupied(entry) = self.users.entry(user)
            && entry.get().presence.is_empty()
            && !entry.get().has_moved
        {
            entry.remove();
        }
    }

    /// Those who are on the board.
    pub fn everyone(&self) -> Vec<UserNo> {
        self.users.iter().map(|entry| *entry.key()).collect()
    }
}

impl Entry {
    fn new(app: AppId, id: &UserId) -> Self {
        Self {
            app,
            id: id.clone(),
            presence: Presence::default(),
            told: None,
            ahead: Ahead::default(),
            has_moved: false,
            is_untold: false,
            was_here: false,
        }
    }
}

fn lock<T>(queue: &Mutex<T>) -> MutexGuard<'_, T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}
