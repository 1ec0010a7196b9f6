//! The only one that starts and ends users and groups, and the directory in which all others find them.
//!
//! Ending one: it is taken out of the directory, what comes for it is kept, it drains what it has and says so, and only
//! then another is started. Never knows what a user or a group does.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use actix::prelude::*;
use dashmap::DashMap;
use foldhash::fast::RandomState;

use tokio::sync::oneshot;

use super::engine::Engine;
use super::exchange::Exchange;
use super::group::{Ask, FinishGroup, GroupActor, GroupPort, GroupRequest, StoreChanged};
use super::mailbox::{self, TellError};
use super::outlet::Outlet;
use super::relay::{GroupEntry, GroupKey, HeadsOver, HeadsRead, MemberRead, RelayPort};
use super::user::{
    Attach, CursorsMoved, Decided, EpochOver, Finish, Lost, SessionsDecided, Shut, Submit,
    SyncNeeded, UserActor, UserSessionLost, Written,
};
use super::{group_reads, reads};
use crate::domain::intake::Refusal;
use crate::ids::{AppId, ConversationNo, InboxSeq, UserId, UserNo};
use crate::limits;
use crate::store::StoreError;

/// Somebody wants something of a user, who is started if need be.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Enter {
    /// The engine, for a user that has to be started.
    pub engine: Engine,
    /// The user.
    pub user: UserNo,
    /// The user's name.
    pub id: UserId,
    /// Its app.
    pub app: AppId,
    /// The thread of the session that comes, for a user that has to be started.
    pub near: Option<ArbiterHandle>,
    /// What for.
    pub arrival: Arrival,
}

/// What a user is started for.
pub enum Arrival {
    /// A session has logged in and wants to be let in.
    Session(Attach),
    /// The app's backend sends in the user's name.
    Request(Submit),
}

impl Arrival {
    /// Turns it away; it comes again.
    fn refuse(self, why: Refusal) {
        match self {
            Self::Session(attach) => attach.refuse(),
            Self::Request(submit) => submit.refuse(why),
        }
    }
}

/// A user has had no session for long enough and has nothing under way.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Idle(pub UserNo);

/// A user has ended.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Finished {
    /// The user.
    pub user: UserNo,
    /// What came while it was about to end.
    pub late: Vec<Enter>,
}

/// A session asks something of a group that is not awake.
#[derive(Message)]
#[rtype(result = "()")]
pub struct WakeGroup {
    /// The engine, for a group that has to be started.
    pub engine: Engine,
    /// The group.
    pub key: GroupKey,
    /// What is asked.
    pub request: GroupRequest,
}

/// A group had nothing to do for long enough.
#[derive(Message)]
#[rtype(result = "()")]
pub struct GroupIdle(pub GroupKey);

/// A group has ended.
#[derive(Message)]
#[rtype(result = "()")]
pub struct GroupFinished(pub GroupKey);

/// The epoch of the store has changed: all clients must sync.
#[derive(Message)]
#[rtype(result = "()")]
pub struct EpochChanged;

/// The node is about to stop.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Drain;

/// The users and groups of this node, for whoever has something to tell them.
#[derive(Default)]
pub struct Directory {
    users: DashMap<UserNo, Listed, RandomState>,
    groups: DashMap<GroupKey, Arc<GroupPort>, RandomState>,
    /// One for each thread; set once, before anything is written.
    relays: OnceLock<Vec<RelayPort>>,
    /// What other nodes are told; set once, or never where there are none by the settings.
    exchange: OnceLock<Arc<Exchange>>,
    sessions: AtomicUsize,
    draining: AtomicBool,
}

struct Listed {
    /// Long-lived: each clone of an address would bring a slot of its own.
    address: Addr<UserActor>,
    state: Arc<UserState>,
}

/// What others may know of a user without asking.
#[derive(Default)]
pub struct UserState {
    sessions: AtomicUsize,
    outlets: Mutex<Vec<Arc<Outlet>>>,
    behind: AtomicBool,
    /// The highest place of the inbox that came by here; 0 while none is known.
    inbox: AtomicU64,
}

impl UserState {
    /// Notes which sessions the user has.
    pub fn set_outlets(&self, outlets: Vec<Arc<Outlet>>) {
        let sessions = outlets.len();
        *self.outlets.lock().unwrap_or_else(PoisonError::into_inner) = outlets;
        self.sessions.store(sessions, Ordering::Release);
    }

    /// Entries of the inbox up to this place have come by here.
    pub fn saw_inbox(&self, seq: InboxSeq) {
        self.inbox.fetch_max(seq.get(), Ordering::AcqRel);
    }

    /// Whether something could not be told to the user since the last time that it asked.
    pub fn take_behind(&self) -> bool {
        self.behind.swap(false, Ordering::AcqRel)
    }
}

impl Directory {
    /// Whether a device of the user is logged in here.
    pub fn is_online(&self, user: UserNo) -> bool {
        self.users
            .get(&user)
            .is_some_and(|listed| listed.state.sessions.load(Ordering::Acquire) > 0)
    }

    /// The sessions of a user here.
    pub fn outlets(&self, user: UserNo) -> Vec<Arc<Outlet>> {
        self.users.get(&user).map_or_else(Vec::new, |listed| {
            listed.state.outlets.lock().unwrap_or_else(PoisonError::into_inner).clone()
        })
    }

    /// Where other nodes are told of what happens here; to be called once, where there may be any.
    pub(super) fn set_exchange(&self, exchange: Arc<Exchange>) {
        // Set once by whoever starts the engine.
        let _ = self.exchange.set(exchange);
    }

    /// What other nodes are told by, whether there are any now or not.
    pub(super) fn exchange_if_set(&self) -> Option<&Arc<Exchange>> {
        self.exchange.get()
    }

    /// What other nodes are told by, if there are any now.
    pub(super) fn exchange(&self) -> Option<&Arc<Exchange>> {
        self.exchange.get().filter(|exchange| exchange.has_peers())
    }

    /// Those who have a device here.
    pub fn online(&self) -> Vec<UserNo> {
        let online = |listed: &Listed| listed.state.sessions.load(Ordering::Acquire) > 0;
        self.users.iter().filter(|listed| online(listed)).map(|listed| *listed.key()).collect()
    }

    /// A session has read up to which place a user's inbox has come.
    pub fn saw_inbox(&self, user: UserNo, seq: InboxSeq) {
        if let Some(listed) = self.users.get(&user) {
            listed.state.saw_inbox(seq);
        }
    }

    /// The store's head of an inbox, as it was a moment ago: all up to there has come by here, or was lost.
    pub fn inbox_head_read(&self, user: UserNo, head: InboxSeq) {
        let Some(listed) = self.users.get(&user) else { return };
        let seen = listed.state.inbox.fetch_max(head.get(), Ordering::AcqRel);
        if seen != 0 && seen < head.get() {
            metrics::counter!("rookery_losses_found_total", "of" => "inbox").increment(1);
            listed.push(SyncNeeded);
        }
    }

    /// The store's heads of groups, as they were a moment ago.
    pub fn group_heads_read(&self, HeadsRead(heads): HeadsRead) {
        let relays = self.relays();
        let mut parts: Vec<Vec<_>> = relays.iter().map(|_| Vec::new()).collect();
        for (key, head) in heads {
            let index = self.relay_index(&key);
            if let Some(part) = parts.get_mut(index) {
                part.push((key, head));
            }
        }
        for (relay, part) in relays.iter().zip(parts).filter(|(_, part)| !part.is_empty()) {
            // Compared again before long.
            let _ = relay.tell(HeadsRead(part));
        }
    }

    /// Passes a request's send on to a user, who is started if need be.
    pub fn submit(&self, engine: &Engine, enter: Enter) {
        let Some(arrival) = self.let_in(enter.user, enter.arrival) else { return };
        let enter = Enter { arrival, ..enter };
        if let Err(SendError::Full(enter) | SendError::Closed(enter)) =
            engine.shared().registry.try_send(enter)
        {
            enter.arrival.refuse(Refusal::Busy);
        }
    }

    /// Lets a session or a request in; gives it back when the user is not here, or its actor has panicked.
    fn let_in(&self, user: UserNo, arrival: Arrival) -> Option<Arrival> {
        // Kept while it goes in: a user who is taken out of the directory to end has it before it is told so.
        match self.users.get(&user) {
            Some(listed) => listed.let_in(arrival),
            None => Some(arrival),
        }
    }

    /// Asks something of a group, wherever its owner is; it is started if it is not awake.
    pub fn ask_group(&self, engine: &Engine, key: GroupKey, request: GroupRequest) {
        let Some(request) = self.ask_awake(&key, request) else { return };
        let Some(request) = self.ask_elsewhere(&key, request) else { return };
        let wake = WakeGroup { engine: engine.clone(), key, request };
        if let Err(SendError::Full(wake) | SendError::Closed(wake)) =
            engine.shared().registry.try_send(wake)
        {
            wake.request.refuse(&wake.key, Refusal::Busy);
        }
    }

    /// Gives the request back when the group is owned here, or it is not known yet where.
    fn ask_elsewhere(&self, key: &GroupKey, request: GroupRequest) -> Option<GroupRequest> {
        match self.exchange().and_then(|exchange| Some((exchange, exchange.number_of(key)?))) {
            Some((exchange, no)) => exchange.ask(key, no, request),
            None => Some(request),
        }
    }

    /// Gives the request back when the group is not awake, or its actor has panicked.
    fn ask_awake(&self, key: &GroupKey, request: GroupRequest) -> Option<GroupRequest> {
        // Kept while the request goes in: a group that is taken out of the directory to end has it before it is told so.
        let Some(port) = self.groups.get(key) else { return Some(request) };
        match port.address.try_send(Ask(request)) {
            Ok(()) => {}
            Err(SendError::Full(Ask(request))) => request.refuse(key, Refusal::Busy),
            Err(SendError::Closed(Ask(request))) => return Some(request),
        }
        None
    }

    /// Tells the relays what was committed in groups, in the order of their logs, and the other nodes where members are.
    pub fn publish(&self, entries: Vec<GroupEntry>) {
        if entries.is_empty() {
            return;
        }
        if let Some(exchange) = self.exchange() {
            exchange.publish(&entries);
        }
        self.publish_here(entries);
    }

    /// The same, here alone.
    pub fn publish_here(&self, entries: Vec<GroupEntry>) {
        let relays = self.relays();
        let mut parts: Vec<Vec<GroupEntry>> = relays.iter().map(|_| Vec::new()).collect();
        for entry in entries {
            let index = self.relay_index(&entry.key);
            if let Some(part) = parts.get_mut(index) {
                part.push(entry);
            }
        }
        for (relay, part) in relays.iter().zip(parts).filter(|(_, part)| !part.is_empty()) {
            relay.publish(part);
        }
    }

    /// Tells the relays of a group that a member has read. One that is left out is made up for by the next.
    pub fn member_read(&self, read: MemberRead) {
        if let Some(exchange) = self.exchange() {
            exchange.member_read(&read);
        }
        self.member_read_here(read);
    }

    /// The same, here alone.
    pub fn member_read_here(&self, read: MemberRead) {
        if let Some(relay) = self.relays().get(self.relay_index(&read.key)) {
            let _ = relay.tell(read);
        }
    }

    /// Where the relays are; to be called once.
    pub fn set_relays(&self, relays: Vec<RelayPort>) {
        // Set once by whoever starts the engine.
        let _ = self.relays.set(relays);
    }

    /// The relays of all threads.
    pub fn relays(&self) -> &[RelayPort] {
        self.relays.get().map_or(&[], Vec::as_slice)
    }

    /// Which of the relays has a group's.
    pub fn relay_index(&self, key: &GroupKey) -> usize {
        spread(key, self.relays().len())
    }

    /// Whether the node is about to stop.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Sessions of this node, logged in or not.
    pub fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Acquire)
    }

    /// Notes that a session began.
    pub fn session_began(&self) {
        self.sessions.fetch_add(1, Ordering::AcqRel);
        metrics::gauge!("rookery_sessions").increment(1);
    }

    /// Notes that a session ended.
    pub fn session_ended(&self) {
        self.sessions.fetch_sub(1, Ordering::AcqRel);
        metrics::gauge!("rookery_sessions").decrement(1);
    }

    /// Tells a user what was written. Outcomes are bounded by the sends in flight and always arrive; entries alone may be
    /// left out, and the user's clients then sync.
    pub fn written(&self, user: UserNo, written: Written) {
        if let Some(exchange) = self.exchange() {
            exchange.written(written.entries.iter().map(|entry| (user, entry)));
        }
        self.written_here(user, written);
    }

    /// The same, here alone.
    pub fn written_here(&self, user: UserNo, written: Written) {
        let Some(listed) = self.users.get(&user) else { return };
        if let Err(SendError::Full(mut written)) = listed.address.try_send(written) {
            // What waits for room may be overtaken, and entries must come in order: they are synced instead.
            listed.state.behind.store(true, Ordering::Release);
            written.entries.clear();
            if !written.settlements.is_empty() {
                mailbox::insist(&listed.address, written);
            }
        }
    }

    /// Tells a user here which of its sessions stand; what is returned, if the user is here, is dropped when those that do
    /// not have ended. A session that is not known to its user yet asks the store when it is.
    pub fn decided(&self, user: UserNo, decided: Decided) -> Option<oneshot::Receiver<()>> {
        let listed = self.users.get(&user)?;
        let (done, is_done) = oneshot::channel();
        mailbox::insist(&listed.address, SessionsDecided { decided, done });
        Some(is_done)
    }

    /// Tells a user that others ended one of its sessions here while the node's lease had run out; what is returned is
    /// dropped when it acks nothing any more.
    pub fn lost(&self, user: UserNo, lost: Lost) -> Option<oneshot::Receiver<()>> {
        let listed = self.users.get(&user)?;
        let (done, is_done) = oneshot::channel();
        mailbox::insist(&listed.address, UserSessionLost { lost, done });
        Some(is_done)
    }

    /// Tells a user of its own cursors: bounded by the commands in flight, always arrives.
    pub fn own_cursors(&self, user: UserNo, moved: CursorsMoved) {
        if let Some(exchange) = self.exchange()
            && moved.outcome.is_ok()
        {
            exchange.own_cursors(user, &moved);
        }
        self.own_cursors_here(user, moved);
    }

    /// The same, here alone.
    pub fn own_cursors_here(&self, user: UserNo, moved: CursorsMoved) {
        if let Some(listed) = self.users.get(&user) {
            mailbox::insist(&listed.address, moved);
        }
    }

    /// Tells a user of the other side's cursors. May be left out; the user's clients then sync.
    pub fn peer_cursors(&self, user: UserNo, moved: CursorsMoved) {
        if let Some(exchange) = self.exchange() {
            exchange.peer_cursors(user, &moved);
        }
        self.peer_cursors_here(user, moved);
    }

    /// The same, here alone.
    pub fn peer_cursors_here(&self, user: UserNo, moved: CursorsMoved) {
        if let Some(listed) = self.users.get(&user) {
            listed.push(moved);
        }
    }
}

impl Listed {
    /// Lets a session or a request in; gives it back when the user's actor has ended.
    fn let_in(&self, arrival: Arrival) -> Option<Arrival> {
        // A user who is so far behind that there is no room has no use for more.
        match arrival {
            Arrival::Session(attach) => match self.address.try_send(attach) {
                Ok(()) => None,
                Err(SendError::Full(attach)) => {
                    attach.refuse();
                    None
                }
                Err(SendError::Closed(attach)) => Some(Arrival::Session(attach)),
            },
            Arrival::Request(submit) => match self.address.try_send(submit) {
                Ok(()) => None,
                Err(SendError::Full(submit)) => {
                    submit.refuse(Refusal::Busy);
                    None
                }
                Err(SendError::Closed(submit)) => Some(Arrival::Request(submit)),
            },
        }
    }

    fn push<M>(&self, message: M)
    where
        UserActor: Handler<M>,
        M: Message<Result = ()> + Send + 'static,
    {
        match mailbox::tell(&self.address, message) {
            Ok(()) | Err(TellError::Gone) => {}
            // The user finds the mark with the next message that it takes, of which its mailbox is full.
            Err(TellError::Full) => self.state.behind.store(true, Ordering::Release),
        }
    }
}

/// The same place for a group each time.
fn spread(key: &GroupKey, places: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    (hasher.finish() % places.max(1) as u64) as usize
}

/// The registry of a node.
pub struct Registry {
    directory: Arc<Directory>,
    arbiters: Vec<ArbiterHandle>,
    /// Groups that drain what they have, with what came for them since.
    ending_groups: HashMap<GroupKey, EndingGroup>,
    /// Groups of which it is looked up who owns them, with what came for them since.
    sought_groups: HashMap<GroupKey, Vec<WakeGroup>>,
    /// Users that drain what they have, with what came for them since.
    ending: HashMap<UserNo, Ending>,
}

/// A group's number was looked up.
#[derive(Message)]
#[rtype(result = "()")]
struct GroupFound {
    key: GroupKey,
    no: Result<Option<ConversationNo>, StoreError>,
}

struct Ending {
    /// Kept, for an actor ends with its last address.
    _address: Addr<UserActor>,
    kept: Vec<Enter>,
}

struct EndingGroup {
    /// Kept, for an actor ends with its last address.
    _port: Arc<GroupPort>,
    kept: Vec<WakeGroup>,
}

impl Registry {
    /// Starts the registry; users are spread over the arbiters.
    pub fn start_with(directory: Arc<Directory>, arbiters: Vec<ArbiterHandle>) -> Addr<Self> {
        Self::create(|ctx| {
            ctx.set_mailbox_capacity(limits::REGISTRY_MAILBOX);
            let (ending_groups, sought_groups) = (HashMap::new(), HashMap::new());
            Self { directory, arbiters, ending_groups, sought_groups, ending: HashMap::new() }
        })
    }
}

impl Actor for Registry {
    type Context = Context<Self>;
}

impl Handler<Enter> for Registry {
    type Result = ();

    fn handle(&mut self, enter: Enter, _: &mut Self::Context) {
        if let Some(ending) = self.ending.get_mut(&enter.user) {
            ending.kept.push(enter);
            return;
        }
        let Enter { engine, user, id, app, near, mut arrival } = enter;
        if let Arrival::Session(attach) = &mut arrival
            && self.directory.is_draining()
        {
            attach.shut = true;
        }
        let Some(arrival) = self.directory.let_in(user, arrival) else { return };
        self.start_user(engine, user, id, app, near);
        if let Some(arrival) = self.directory.let_in(user, arrival) {
            arrival.refuse(Refusal::Unavailable);
        }
    }
}

impl Handler<Idle> for Registry {
    type Result = ();

    fn handle(&mut self, Idle(user): Idle, _: &mut Self::Context) {
        let Some((_, listed)) = self.directory.users.remove(&user) else { return };
        mailbox::insist(&listed.address, Finish);
        self.ending.insert(user, Ending { _address: listed.address, kept: Vec::new() });
        self.count();
    }
}

impl Handler<Finished> for Registry {
    type Result = ();

    fn handle(&mut self, Finished { user, late }: Finished, ctx: &mut Self::Context) {
        let kept = self.ending.remove(&user).map(|ending| ending.kept).unwrap_or_default();
        for enter in late.into_iter().chain(kept) {
            self.handle(enter, ctx);
        }
    }
}

impl Handler<WakeGroup> for Registry {
    type Result = ();

    fn handle(&mut self, wake: WakeGroup, ctx: &mut Self::Context) {
        let Some(wake) = self.keep_for_later(wake) else { return };
        let WakeGroup { engine, key, request } = wake;
        let Some(request) = self.directory.ask_awake(&key, request) else { return };
        let is_known =
            self.directory.exchange().is_none_or(|exchange| exchange.number_of(&key).is_some());
        if !is_known {
            return self.seek_group(WakeGroup { engine, key, request }, ctx);
        }
        let Some(request) = self.directory.ask_elsewhere(&key, request) else { return };
        self.start_group(engine, key, request);
    }
}

impl Handler<GroupFound> for Registry {
    type Result = ();

    fn handle(&mut self, GroupFound { key, no }: GroupFound, ctx: &mut Self::Context) {
        let sought = self.sought_groups.remove(&key).unwrap_or_default();
        if let (Ok(Some(no)), Some(exchange)) = (&no, self.directory.exchange()) {
            exchange.saw_number(key, *no);
        }
        for wake in sought {
            match no {
                // It is known now whose it is, or that there are no other nodes any more.
                Ok(Some(_)) => self.handle(wake, ctx),
                // There is no such group: one is made here, or whoever asks is told so.
                Ok(None) => {
                    let Some(WakeGroup { engine, key, request }) = self.keep_for_later(wake) else {
                        continue;
                    };
                    let Some(request) = self.directory.ask_awake(&key, request) else { continue };
                    let exchange = self.directory.exchange().cloned();
                    let request = match exchange {
                        Some(exchange) => exchange.ask_to_make(&key, request),
                        None => Some(request),
                    };
                    if let Some(request) = request {
                        self.start_group(engine, key, request);
                    }
                }
                Err(_) => wake.request.refuse(&wake.key, Refusal::Unavailable),
            }
        }
    }
}

impl Handler<GroupIdle> for Registry {
    type Result = ();

    fn handle(&mut self, GroupIdle(key): GroupIdle, _: &mut Self::Context) {
        let Some((key, port)) = self.directory.groups.remove(&key) else { return };
        mailbox::insist(&port.address, FinishGroup);
        self.ending_groups.insert(key, EndingGroup { _port: port, kept: Vec::new() });
    }
}

impl Handler<GroupFinished> for Registry {
    type Result = ();

    fn handle(&mut self, GroupFinished(key): GroupFinished, ctx: &mut Self::Context) {
        let kept = self.ending_groups.remove(&key).map(|ending| ending.kept).unwrap_or_default();
        for wake in kept {
            self.handle(wake, ctx);
        }
    }
}

impl Handler<EpochChanged> for Registry {
    type Result = ();

    fn handle(&mut self, _: EpochChanged, _: &mut Self::Context) {
        for listed in &self.directory.users {
            // The head may have fallen: what is lost up to the former one would not be found.
            listed.state.inbox.store(0, Ordering::Release);
            mailbox::insist(&listed.address, EpochOver);
            listed.push(SyncNeeded);
        }
        for port in &self.directory.groups {
            mailbox::insist(&port.address, StoreChanged);
        }
        if let Some(exchange) = self.directory.exchange.get() {
            exchange.forget_numbers();
        }
        for relay in self.directory.relays() {
            relay.insist(HeadsOver);
        }
    }
}

impl Handler<Drain> for Registry {
    type Result = ();

    fn handle(&mut self, _: Drain, _: &mut Self::Context) {
        self.directory.draining.store(true, Ordering::Release);
        for listed in &self.directory.users {
            mailbox::insist(&listed.address, Shut);
        }
    }
}

impl Registry {
    /// Keeps what comes for a group that ends, or of which it is looked up whose it is; gives back what comes for others.
    fn keep_for_later(&mut self, wake: WakeGroup) -> Option<WakeGroup> {
        let ending = self.ending_groups.get_mut(&wake.key).map(|ending| &mut ending.kept);
        let Some(kept) = ending.or(self.sought_groups.get_mut(&wake.key)) else {
            return Some(wake);
        };
        if kept.len() < limits::GROUP_MAILBOX {
            kept.push(wake);
        } else {
            wake.request.refuse(&wake.key, Refusal::Busy);
        }
        None
    }

    /// Looks up a group's number, which says whose it is.
    fn seek_group(&mut self, wake: WakeGroup, ctx: &mut Context<Self>) {
        if self.sought_groups.len() >= limits::GROUPS_SOUGHT {
            return wake.request.refuse(&wake.key, Refusal::Busy);
        }
        let (engine, key) = (wake.engine.clone(), wake.key.clone());
        self.sought_groups.insert(key.clone(), vec![wake]);
        let seek = async move {
            let no = reads::bounded(group_reads::find_number(&engine, &key)).await;
            GroupFound { key, no }
        };
        ctx.spawn(seek.into_actor(self).map(|found, _, ctx| ctx.notify(found)));
    }

    fn start_group(&self, engine: Engine, key: GroupKey, request: GroupRequest) {
        let arbiter = &self.arbiters[spread(&key, self.arbiters.len())];
        let port = GroupActor::start_on(arbiter, engine, key.clone());
        if let Err(SendError::Full(Ask(request)) | SendError::Closed(Ask(request))) =
            port.address.try_send(Ask(request))
        {
            request.refuse(&key, Refusal::Busy);
        }
        self.directory.groups.insert(key, port);
    }

    fn start_user(
        &self,
        engine: Engine,
        user: UserNo,
        id: UserId,
        app: AppId,
        near: Option<ArbiterHandle>,
    ) {
        // Most have one session: what the two tell each other then wakes no other thread.
        let arbiter = near.unwrap_or_else(|| {
            self.arbiters[user.get().unsigned_abs() as usize % self.arbiters.len()].clone()
        });
        let state = Arc::new(UserState::default());
        let address = UserActor::start_on(&arbiter, engine, user, id, app, state.clone());
        self.directory.users.insert(user, Listed { address, state });
        self.count();
    }

    fn count(&self) {
        metrics::gauge!("rookery_users_in_memory").set(self.directory.users.len() as f64);
    }
}
