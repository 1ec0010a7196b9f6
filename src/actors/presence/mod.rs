//! The node's one teller of presence: gathers what changed, and tells friends who are online, those who watch, and the
//! user's own devices.
//!
//! What it tells is a hint; the board is the truth. It works in turns that cost a bounded amount each, and what does not
//! fit into one waits for the next, joined by then with what changed since. It also asks and tells the store, of many users
//! at once, what they say of themselves, and when those who left were last seen.

mod departures;
mod friend_lists;
mod jobs;
mod telling;
mod watches;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;
use deadpool_postgres::Pool;
use tokio::sync::oneshot;

use self::departures::Departures;
use self::friend_lists::FriendLists;
use self::jobs::Job;
use self::telling::{Batches, Budget, Change, Row, Telling};
use self::watches::Watches;
use super::engine::Writers;
use super::mailbox;
use super::outlet::Outlet;
use super::reads;
use super::registry::Directory;
use crate::cluster::node::Node;
use crate::cluster::presence::{Board, Left, News};
use crate::domain::intake::SessionNo;
use crate::domain::presence::Now;
use crate::ids::{AppId, UserId, UserNo};
use crate::limits;
use crate::store::presence::{self, Said};

/// A session wants to hear of users.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Watch {
    /// The session.
    pub outlet: Arc<Outlet>,
    /// Its app.
    pub app: AppId,
    /// Of whom.
    pub users: Vec<UserId>,
    /// Until when.
    pub until: Instant,
    /// Told who had to make room, or that there is none.
    pub answer: oneshot::Sender<Option<Vec<UserId>>>,
}

/// A session does not want to hear of users any more.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Unwatch {
    /// The session.
    pub session: SessionNo,
    /// Of whom; of all, if none is named.
    pub users: Option<Vec<UserId>>,
    /// Dropped when it is so.
    pub done: Option<oneshot::Sender<()>>,
}

/// A user says something of themselves.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Say {
    /// Who.
    pub user: UserNo,
    /// What.
    pub said: Said,
    /// Told when the store and the board have it; dropped when they could not be told.
    pub done: oneshot::Sender<()>,
}

/// Two users have become friends, or have ceased to be.
#[derive(Message)]
#[rtype(result = "()")]
pub struct FriendsMoved(pub [UserNo; 2]);

/// The node stops: note when all who were there were last seen.
#[derive(Message)]
#[rtype(result = "()")]
pub struct EveryoneLeaves;

#[derive(Message)]
#[rtype(result = "()")]
struct TurnDue;

/// The teller of presence.
pub struct PresenceActor {
    board: Arc<Board>,
    directory: Arc<Directory>,
    node: Arc<Node>,
    pool: Pool,
    writers: Arc<Writers>,
    watches: Watches,
    lists: FriendLists,
    /// When presences change by themselves.
    turns: BTreeSet<(Instant, UserNo)>,
    turn_of: HashMap<UserNo, Instant>,
    /// Changes that wait for the list of friends to tell, the newest of each user.
    listless: HashMap<UserNo, Change>,
    /// Whose list is to be read next.
    wanted_lists: VecDeque<UserNo>,
    /// Users whose friends moved while lists were read.
    stale: HashSet<UserNo>,
    telling: VecDeque<Telling>,
    /// What users said and the store has yet to hear, with those who wait for that.
    saying: HashMap<UserNo, (Said, Vec<oneshot::Sender<()>>)>,
    /// The users of `saying`, in the order in which they came.
    said_turns: VecDeque<UserNo>,
    /// When users who left were last seen. They stay on the board until whoever asks finds that in the store.
    departures: Departures,
    profiles: Job,
    reading: Job,
    hearing: Job,
    noting: Job,
}

impl PresenceActor {
    /// Starts it on a thread.
    pub fn start_on(
        arbiter: &ArbiterHandle,
        board: Arc<Board>,
        directory: Arc<Directory>,
        node: Arc<Node>,
        pool: Pool,
        writers: Arc<Writers>,
    ) -> Addr<Self> {
        mailbox::start_on(arbiter, limits::PRESENCE_MAILBOX, move || Self {
            board,
            directory,
            node,
            pool,
            writers,
            watches: Watches::default(),
            lists: FriendLists::new(limits::FRIENDS_KEPT),
            turns: BTreeSet::new(),
            turn_of: HashMap::new(),
            listless: HashMap::new(),
            wanted_lists: VecDeque::new(),
            stale: HashSet::new(),
            telling: VecDeque::new(),
            saying: HashMap::new(),
            said_turns: VecDeque::new(),
            departures: Departures::default(),
            profiles: Job::default(),
            reading: Job::default(),
            hearing: Job::default(),
            noting: Job::default(),
        })
    }
}

impl Actor for PresenceActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(limits::PRESENCE_TICK, |_, ctx| ctx.notify(TurnDue));
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        // Without it everybody would stay as they were last told.
        self.writers.ended();
    }
}

impl Handler<Watch> for PresenceActor {
    type Result = ();

    fn handle(&mut self, watch: Watch, _: &mut Self::Context) {
        let Watch { outlet, app, users, until, answer } = watch;
        let dropped = self.watches.watch(outlet, app, &users, until);
        // Whoever asked may be gone.
        let _ = answer.send(dropped);
    }
}

impl Handler<Unwatch> for PresenceActor {
    type Result = ();

    fn handle(&mut self, unwatch: Unwatch, _: &mut Self::Context) {
        let Unwatch { session, users, done } = unwatch;
        self.watches.unwatch(session, users.as_deref());
        drop(done);
    }
}

impl Handler<Say> for PresenceActor {
    type Result = ();

    fn handle(&mut self, Say { user, said, done }: Say, ctx: &mut Self::Context) {
        let (all, waiting) = self.saying.entry(user).or_default();
        // What was said before and is not yet written is as if it had been said with this.
        all.status = said.status.or(all.status.take());
        all.seen_to = said.seen_to.or(all.seen_to);
        if waiting.is_empty() {
            self.said_turns.push_back(user);
        }
        waiting.push(done);
        self.note_said(self.now(), ctx);
    }
}

impl Handler<FriendsMoved> for PresenceActor {
    type Result = ();

    fn handle(&mut self, FriendsMoved(users): FriendsMoved, _: &mut Self::Context) {
        for user in users {
            self.lists.forget(user);
            if self.reading.is_running {
                // What is being read may be older.
                self.stale.insert(user);
            }
        }
    }
}

impl Handler<EveryoneLeaves> for PresenceActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: EveryoneLeaves, _: &mut Self::Context) -> Self::Result {
        let now = self.now();
        let mut left = self.departures.take_unstored();
        for user in self.board.everyone() {
            self.board.rewrite(user, |presence| presence.end_here(now));
            let seen = self.board.read(user).and_then(|presence| presence.last_seen());
            left.extend(seen.map(|seen| (user, seen)));
        }
        let (left, pool): (Vec<_>, _) = (left.into_iter().collect(), self.pool.clone());
        Box::pin(async move {
            for part in left.chunks(limits::PRESENCE_BATCH) {
                if let Err(error) = reads::bounded(presence::left(&pool, part)).await {
                    tracing::debug!(%error, "when users were last seen could not be noted");
                    return;
                }
            }
        })
    }
}

impl Handler<TurnDue> for PresenceActor {
    type Result = ();

    fn handle(&mut self, _: TurnDue, ctx: &mut Self::Context) {
        let now = self.now();
        let mut batches = Batches::default();
        let mut budget =
            Budget { looked_up: limits::PRESENCE_LOOKED_UP, told: limits::PRESENCE_TOLD };
        self.watches.expire(now.at);
        self.take_turns(now);
        while let Some(user) = self.departures.next_over(now.at) {
            self.board.forget(user);
        }
        // What waits goes first, so that it is never overtaken for good.
        self.go_on_telling(&mut batches, &mut budget);
        self.compare(now, &mut batches, &mut budget);
        self.go_on_telling(&mut batches, &mut budget);
        for session in batches.tell() {
            self.watches.unwatch(session, None);
        }
        self.read_profiles(now, ctx);
        self.read_lists(now, ctx);
        self.note_said(now, ctx);
        self.note_left(now, ctx);
        let waiting = self.board.moved() + self.listless.len() + self.telling.len();
        metrics::gauge!("rookery_presences_waiting").set(waiting as f64);
    }
}

impl PresenceActor {
    fn now(&self) -> Now {
        Now { at: Instant::now(), time: self.node.now() }
    }

    /// Presences that change by themselves at this time are looked at.
    fn take_turns(&mut self, now: Now) {
        for _ in 0..limits::PRESENCE_COMPARED {
            let Some((_, user)) = self.turns.first().copied().filter(|(at, _)| *at <= now.at)
            else {
                return;
            };
            self.set_turn(user, None);
            self.board.look_again(user);
        }
    }

    fn set_turn(&mut self, user: UserNo, at: Option<Instant>) {
        let former = match at {
            Some(at) => self.turn_of.insert(user, at),
            None => self.turn_of.remove(&user),
        };
        if let Some(former) = former {
            self.turns.remove(&(former, user));
        }
        self.turns.extend(at.map(|at| (at, user)));
    }

    /// Compares what was told with what is, where that was to be joined until now.
    fn compare(&mut self, now: Now, batches: &mut Batches, budget: &mut Budget) {
        let Some(before) = now.at.checked_sub(limits::PRESENCE_JOINED) else { return };
        for _ in 0..limits::PRESENCE_COMPARED {
            let waiting = self.listless.len() + self.telling.len();
            if budget.told == 0 || waiting >= limits::PRESENCE_WAITING {
                return;
            }
            let Some(user) = self.board.next_moved(before) else { return };
            let Some(news) = self.board.take_news(user, now) else { continue };
            let News { app, id, others, own, next_turn, is_gone, left } = news;
            self.set_turn(user, next_turn);
            if let Some(own) = own {
                let row = Row::new(&id, own);
                for outlet in self.directory.outlets(user) {
                    batches.add(&outlet, &row, budget);
                }
            }
            if let Some(others) = others {
                metrics::counter!("rookery_presence_changes_total").increment(1);
                self.tell(Change::new(user, app, id, others));
            }
            match left {
                Some(Left { seen, is_ours_to_note: true }) => self.departures.left(user, seen),
                Some(_) => self.departures.left_elsewhere(user, now.at),
                None if is_gone && !self.departures.holds(user) => self.board.forget(user),
                None => {}
            }
        }
    }

    fn go_on_telling(&mut self, batches: &mut Batches, budget: &mut Budget) {
        while let Some(telling) = self.telling.front_mut()
            && telling.go_on(&self.directory, batches, budget)
        {
            self.telling.pop_front();
        }
    }

    fn tell(&mut self, change: Change) {
        let user = change.user();
        match self.lists.get(user) {
            Some(friends) => self.begin_telling(change, friends),
            None => {
                if self.listless.insert(user, change).is_none() {
                    self.wanted_lists.push_back(user);
                }
            }
        }
    }

    fn begin_telling(&mut self, change: Change, friends: Rc<[UserNo]>) {
        let (app, id) = change.of();
        let watchers = self.watches.of(app, id);
        if !friends.is_empty() || !watchers.is_empty() {
            self.telling.push_back(Telling::new(change, friends, watchers));
        }
    }
}
