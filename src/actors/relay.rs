//! The relays of one thread: for each group with members online here, to which sessions its entries go.
//!
//! Each entry is encoded once for each codec and handed to every session as a cheap clone. A session subscribes to its
//! groups when it logs in, and reads their heads only after that; later changes of membership come with the entries that
//! tell of them, in the order of the log. Decides nothing about messages, and waits for nobody: a session that has no room
//! is marked and syncs.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use actix::prelude::*;
use deadpool_postgres::Pool;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::mailbox::{self, TellError};
use super::outlet::Outlet;
use super::reads;
use super::registry::Directory;
use super::session::HeadsKnown;
use super::wire::{self, Encoded, EncodedRun};
use crate::domain::intake::SessionNo;
use crate::ids::{AppId, ClientMsgId, ConversationNo, GroupId, MessageId, Seq, UserId, UserNo};
use crate::limits;
use crate::protocol::{Body, Event, GroupSeqs, ReadCount, ReadEvent};
use crate::store::{StoreError, members};

/// What a group is found by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GroupKey {
    /// Its app.
    pub app: AppId,
    /// Its id there.
    pub id: GroupId,
}

/// Entries that are committed, in the order of their logs.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Publish(pub Vec<GroupEntry>);

/// A session wants what comes in these groups. `done` is dropped when it is so.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Subscribe {
    /// The session.
    pub outlet: Arc<Outlet>,
    /// The groups that its user is a member of.
    pub groups: Vec<Subscription>,
    /// Dropped when it is so.
    pub done: oneshot::Sender<()>,
}

/// A group that a session subscribes to.
pub struct Subscription {
    /// The group.
    pub key: GroupKey,
    /// Its number.
    pub no: ConversationNo,
    /// Its head, as it was before.
    pub head: Seq,
}

/// A session subscribed to groups of which its user had ceased to be a member when their heads were read.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Unsubscribe {
    /// The session.
    pub outlet: Arc<Outlet>,
    /// The groups.
    pub groups: Vec<GroupKey>,
}

/// A session is over.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SessionEnded(pub Arc<Outlet>);

/// The epoch of the store has changed: heads of before mean nothing.
#[derive(Message)]
#[rtype(result = "()")]
pub struct HeadsOver;

/// Heads of groups as the store had them a moment ago: all up to there has come by here, or was lost.
#[derive(Message)]
#[rtype(result = "()")]
pub struct HeadsRead(pub Vec<(GroupKey, Seq)>);

/// A session asks what it lacks. Answered by [`HeadsKnown`].
#[derive(Message)]
#[rtype(result = "()")]
pub struct AskHeads {
    /// The session.
    pub outlet: Arc<Outlet>,
    /// Its command.
    pub command: u64,
    /// What it has.
    pub groups: Vec<(GroupKey, Seq)>,
}

/// A member has read.
#[derive(Debug, Clone, Message, Serialize, Deserialize)]
#[rtype(result = "()")]
pub struct MemberRead {
    /// The group.
    pub key: GroupKey,
    /// Its number.
    pub no: ConversationNo,
    /// Up to where before.
    pub before: Seq,
    /// Up to where now.
    pub after: Seq,
}

#[derive(Message)]
#[rtype(result = "()")]
struct CountsDue;

#[derive(Message)]
#[rtype(result = "()")]
struct Counted {
    key: GroupKey,
    found: Result<members::ReadState, StoreError>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct MembersRead {
    key: GroupKey,
    no: ConversationNo,
    found: Result<Vec<UserNo>, StoreError>,
}

/// A committed entry of a group, on its way to the members' devices.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GroupEntry {
    /// The group.
    pub key: GroupKey,
    /// Its number.
    pub no: ConversationNo,
    /// The entry's place.
    pub seq: Seq,
    /// Its id.
    pub message_id: MessageId,
    /// Its sender's key.
    pub client_msg_id: ClientMsgId,
    /// Who sent it.
    pub from: UserId,
    /// What it says.
    pub body: Arc<Body>,
    /// The session that gets the ack instead.
    pub origin: Option<SessionNo>,
    /// Set for a change of the group: whom it moved.
    pub moved: Option<Moved>,
}

/// Whom a change moved.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Moved {
    /// Who became a member.
    pub added: Vec<UserNo>,
    /// Whose membership ended.
    pub removed: Vec<UserNo>,
    /// Every membership ended.
    pub all: bool,
}

/// The relays of one thread, for those who have something for them.
pub struct RelayPort {
    /// Long-lived: each clone of an address would bring a slot of its own.
    address: Addr<RelayActor>,
    lost: Arc<Lost>,
}

/// Groups of which something could not be told.
#[derive(Default)]
struct Lost {
    any: AtomicBool,
    groups: Mutex<Vec<(GroupKey, ConversationNo)>>,
}

impl RelayPort {
    /// Tells the relays what was committed. What finds no room is made up for: members are read anew, and sync.
    pub fn publish(&self, entries: Vec<GroupEntry>) {
        if let Err(SendError::Full(Publish(entries))) = self.address.try_send(Publish(entries)) {
            let mut groups = self.lost.groups.lock().unwrap_or_else(PoisonError::into_inner);
            for entry in entries {
                let group = (entry.key, entry.no);
                if !groups.contains(&group) {
                    groups.push(group);
                }
            }
            self.lost.any.store(true, Ordering::Release);
        }
    }

    /// Tells the relays something else; no when there is no room.
    pub fn tell<M>(&self, message: M) -> Result<(), TellError>
    where
        RelayActor: Handler<M>,
        M: Message<Result = ()> + Send + 'static,
    {
        mailbox::tell(&self.address, message)
    }

    /// Tells the relays something that is bounded in itself and must not be lost.
    pub fn insist<M>(&self, message: M)
    where
        RelayActor: Handler<M>,
        M: Message<Result = ()> + Send + 'static,
    {
        mailbox::insist(&self.address, message);
    }
}

/// The relays of one thread.
pub struct RelayActor {
    directory: Arc<Directory>,
    pool: Pool,
    lost: Arc<Lost>,
    /// By place, so that a session's subscriptions cost four bytes each.
    relays: Vec<Option<Relay>>,
    free: Vec<u32>,
    by_key: HashMap<GroupKey, u32>,
    subscriptions: HashMap<SessionNo, Vec<u32>>,
    /// Groups in which somebody has read since the last second began.
    to_count: Vec<GroupKey>,
    /// Those of the second before, whose authors are being told.
    due: VecDeque<GroupKey>,
    counting: usize,
}

/// One group's.
struct Relay {
    key: GroupKey,
    no: ConversationNo,
    /// The highest seq that came by here, or was there before the relay was; 0 while none is known.
    head: Seq,
    /// By user and session.
    outlets: Vec<Arc<Outlet>>,
    /// Up to where its members had read, and have now, since its authors were told.
    read: Option<(ConversationNo, Seq, Seq)>,
}

impl RelayActor {
    /// Starts the relays of a thread.
    pub fn start_on(arbiter: &ArbiterHandle, directory: Arc<Directory>, pool: Pool) -> RelayPort {
        let lost = Arc::new(Lost::default());
        let kept = lost.clone();
        let address = mailbox::start_on(arbiter, limits::RELAY_MAILBOX, move || Self {
            directory,
            pool,
            lost,
            relays: Vec::new(),
            free: Vec::new(),
            by_key: HashMap::new(),
            subscriptions: HashMap::new(),
            to_count: Vec::new(),
            due: VecDeque::new(),
            counting: 0,
        });
        RelayPort { address, lost: kept }
    }
}

impl Actor for RelayActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(limits::READ_COUNTS_EVERY, |_, ctx| ctx.notify(CountsDue));
    }
}

impl Handler<Publish> for RelayActor {
    type Result = ();

    fn handle(&mut self, Publish(entries): Publish, ctx: &mut Self::Context) {
        let mut run: Vec<GroupEntry> = Vec::new();
        for entry in entries {
            let goes_on = run.first().is_none_or(|first| first.key == entry.key);
            if !goes_on || entry.moved.is_some() {
                self.push(std::mem::take(&mut run));
            }
            if entry.moved.is_some() {
                self.publish_change(entry);
            } else {
                run.push(entry);
            }
        }
        self.push(run);
        self.look_lost(ctx);
    }
}

impl Handler<Subscribe> for RelayActor {
    type Result = ();

    fn handle(&mut self, subscribe: Subscribe, _: &mut Self::Context) {
        let Subscribe { outlet, groups, done } = subscribe;
        if outlet.is_there() {
            for Subscription { key, no, head } in groups {
                self.subscribe((&key, no, head), &outlet);
            }
        }
        drop(done);
    }
}

impl Handler<Unsubscribe> for RelayActor {
    type Result = ();

    fn handle(&mut self, Unsubscribe { outlet, groups }: Unsubscribe, _: &mut Self::Context) {
        for key in groups {
            if let Some(&place) = self.by_key.get(&key) {
                self.forget(&outlet, place);
                if let Some(places) = self.subscriptions.get_mut(&outlet.no) {
                    places.retain(|own| *own != place);
                }
            }
        }
    }
}

impl Handler<SessionEnded> for RelayActor {
    type Result = ();

    fn handle(&mut self, SessionEnded(outlet): SessionEnded, _: &mut Self::Context) {
        for place in self.subscriptions.remove(&outlet.no).unwrap_or_default() {
            self.forget(&outlet, place);
        }
    }
}

impl Handler<HeadsOver> for RelayActor {
    type Result = ();

    fn handle(&mut self, _: HeadsOver, _: &mut Self::Context) {
        for relay in self.relays.iter_mut().flatten() {
            relay.head = Seq::ZERO;
        }
    }
}

impl Handler<HeadsRead> for RelayActor {
    type Result = ();

    fn handle(&mut self, HeadsRead(heads): HeadsRead, _: &mut Self::Context) {
        for (key, head) in heads {
            let place = self.by_key.get(&key);
            let Some(relay) = place.and_then(|place| self.relays[*place as usize].as_mut()) else {
                continue;
            };
            let seen = relay.head;
            relay.head = head.max(seen);
            if seen != Seq::ZERO && seen < head {
                metrics::counter!("rookery_losses_found_total", "of" => "group").increment(1);
                for outlet in &relay.outlets {
                    outlet.must_sync();
                }
            }
        }
    }
}

impl Handler<AskHeads> for RelayActor {
    type Result = ();

    fn handle(&mut self, ask: AskHeads, _: &mut Self::Context) {
        let AskHeads { outlet, command, groups } = ask;
        let mut behind = GroupSeqs::new();
        for (key, has) in groups {
            let Some(relay) = self.relay(&key) else { continue };
            // Only members are told.
            if relay.head > has && relay.find(&outlet).is_ok() {
                behind.insert(key.id, relay.head);
            }
        }
        outlet.insist(HeadsKnown { command, behind });
    }
}

impl Handler<MemberRead> for RelayActor {
    type Result = ();

    fn handle(&mut self, read: MemberRead, _: &mut Self::Context) {
        let MemberRead { key, no, before, after } = read;
        let Some(relay) =
            self.by_key.get(&key).and_then(|place| self.relays[*place as usize].as_mut())
        else {
            return;
        };
        match &mut relay.read {
            Some((_, low, high)) => {
                *low = before.min(*low);
                *high = after.max(*high);
            }
            none => {
                *none = Some((no, before, after));
                self.to_count.push(key);
            }
        }
    }
}

impl Handler<CountsDue> for RelayActor {
    type Result = ();

    fn handle(&mut self, _: CountsDue, ctx: &mut Self::Context) {
        // Those that are still due go first: under load each group's turn comes less often than once a second.
        self.due.extend(self.to_count.drain(..));
        self.count_next(ctx);
        self.look_lost(ctx);
    }
}

impl Handler<Counted> for RelayActor {
    type Result = ();

    fn handle(&mut self, Counted { key, found }: Counted, ctx: &mut Self::Context) {
        self.counting -= 1;
        self.count_next(ctx);
        match found {
            Ok(state) => self.tell_counts(&key, &state),
            // The next one who reads has them counted again, and members can be asked for at any time.
            Err(error) => tracing::debug!(%error, "readers could not be counted"),
        }
    }
}

impl Handler<MembersRead> for RelayActor {
    type Result = ();

    fn handle(&mut self, read: MembersRead, ctx: &mut Self::Context) {
        let MembersRead { key, no, found } = read;
        let members = match found {
            Ok(members) => members,
            Err(error) => {
                tracing::debug!(%error, "a relay's members could not be read");
                let again = MembersAreLost { key, no };
                ctx.notify_later(again, limits::RETRY_AFTER);
                return;
            }
        };
        let members: BTreeSet<UserNo> = members.into_iter().collect();
        let outlets = self.relay(&key).map_or_else(Vec::new, |relay| relay.outlets.clone());
        for outlet in outlets {
            outlet.must_sync();
            if !members.contains(&outlet.user) {
                self.unsubscribe_user(&key, outlet.user);
            }
        }
        for user in members {
            for outlet in self.directory.outlets(user) {
                if self.subscribe((&key, no, Seq::ZERO), &outlet) {
                    outlet.must_sync();
                }
            }
        }
    }
}

/// What a relay knows of its members may be wrong.
#[derive(Message)]
#[rtype(result = "()")]
struct MembersAreLost {
    key: GroupKey,
    no: ConversationNo,
}

impl Handler<MembersAreLost> for RelayActor {
    type Result = ();

    fn handle(&mut self, lost: MembersAreLost, ctx: &mut Self::Context) {
        let MembersAreLost { key, no } = lost;
        let pool = self.pool.clone();
        let read = async move {
            let found = reads::bounded(members::numbers(&pool, no)).await;
            MembersRead { key, no, found }
        };
        ctx.spawn(read.into_actor(self).map(|read, _, ctx| ctx.notify(read)));
    }
}

impl RelayActor {
    fn relay(&self, key: &GroupKey) -> Option<&Relay> {
        self.by_key.get(key).and_then(|place| self.relays[*place as usize].as_ref())
    }

    /// Pushes entries of one group, in the order of its log, as one where nobody among its sessions sent any of them.
    fn push(&mut self, entries: Vec<GroupEntry>) {
        let Some(first) = entries.first() else { return };
        let Some(&place) = self.by_key.get(&first.key) else { return };
        let Some(relay) = &mut self.relays[place as usize] else { return };
        for entry in &entries {
            relay.head = entry.seq.max(relay.head);
            tracing::debug!(
                client_msg_id = %entry.client_msg_id, group = %entry.no, seq = %entry.seq, to = relay.outlets.len(), "pushed"
            );
        }
        let origins: Vec<Option<SessionNo>> = entries.iter().map(|entry| entry.origin).collect();
        let mut senders: Vec<SessionNo> = origins.iter().copied().flatten().collect();
        senders.sort_unstable();
        senders.dedup();
        let events = entries.into_iter().map(|entry| Event::MessageNew(wire::group_entry(entry)));
        let mut run = EncodedRun::new(events);
        let mut gone = Vec::new();
        for outlet in &relay.outlets {
            let is_there = if senders.binary_search(&outlet.no).is_err() {
                outlet.push_run(&mut run)
            } else {
                let mut others = run.events().zip(&origins);
                others.all(|(event, origin)| *origin == Some(outlet.no) || outlet.push(event, None))
            };
            if !is_there {
                gone.push(outlet.clone());
            }
        }
        for outlet in gone {
            // It ended before it was subscribed, and its user had yet to hear of that.
            for place in self.subscriptions.remove(&outlet.no).unwrap_or_default() {
                self.forget(&outlet, place);
            }
        }
    }

    fn publish_change(&mut self, entry: GroupEntry) {
        let Some(moved) = entry.moved.clone() else { return };
        let key = entry.key.clone();
        let mut is_new = false;
        for user in &moved.added {
            for outlet in self.directory.outlets(*user) {
                is_new |= !self.by_key.contains_key(&key);
                self.subscribe((&key, entry.no, entry.seq), &outlet);
            }
        }
        if is_new && let Some(exchange) = self.directory.exchange() {
            exchange.register_soon(entry.no);
        }
        self.push(vec![entry]);
        let Some(&place) = self.by_key.get(&key) else { return };
        let Some(relay) = &self.relays[place as usize] else { return };
        let mut event = Encoded::new(Event::GroupChanged { group: key.id.clone() });
        for outlet in &relay.outlets {
            outlet.push(&mut event, None);
        }
        if moved.all {
            self.end(place);
        } else {
            for user in moved.removed {
                self.unsubscribe_user(&key, user);
            }
        }
    }

    /// Whether it is news.
    fn subscribe(
        &mut self,
        (key, no, head): (&GroupKey, ConversationNo, Seq),
        outlet: &Arc<Outlet>,
    ) -> bool {
        let place = match self.by_key.get(key) {
            Some(place) => *place,
            None => self.begin(key.clone(), no, head),
        };
        let Some(relay) = &mut self.relays[place as usize] else { return false };
        let Err(index) = relay.find(outlet) else { return false };
        relay.outlets.insert(index, outlet.clone());
        self.subscriptions.entry(outlet.no).or_default().push(place);
        true
    }

    fn begin(&mut self, key: GroupKey, no: ConversationNo, head: Seq) -> u32 {
        let relay = Relay { key: key.clone(), no, head, outlets: Vec::new(), read: None };
        if let Some(exchange) = self.directory.exchange_if_set() {
            exchange.relay_began(key.clone(), no);
        }
        let place = match self.free.pop() {
            Some(place) => {
                self.relays[place as usize] = Some(relay);
                place
            }
            None => {
                self.relays.push(Some(relay));
                u32::try_from(self.relays.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.by_key.insert(key, place);
        metrics::gauge!("rookery_relays").increment(1);
        place
    }

    fn end(&mut self, place: u32) {
        let Some(relay) = self.relays[place as usize].take() else { return };
        for outlet in &relay.outlets {
            if let Some(places) = self.subscriptions.get_mut(&outlet.no) {
                places.retain(|own| *own != place);
            }
        }
        self.by_key.remove(&relay.key);
        if let Some(exchange) = self.directory.exchange_if_set() {
            exchange.relay_ended(relay.no);
        }
        self.free.push(place);
        metrics::gauge!("rookery_relays").decrement(1);
    }

    fn unsubscribe_user(&mut self, key: &GroupKey, user: UserNo) {
        let Some(&place) = self.by_key.get(key) else { return };
        let Some(relay) = &mut self.relays[place as usize] else { return };
        for outlet in relay.of_user(user).to_vec() {
            if let Some(places) = self.subscriptions.get_mut(&outlet.no) {
                places.retain(|own| *own != place);
            }
            self.forget(&outlet, place);
        }
    }

    fn forget(&mut self, outlet: &Outlet, place: u32) {
        let Some(relay) = &mut self.relays[place as usize] else { return };
        if let Ok(index) = relay.find(outlet) {
            relay.outlets.remove(index);
        }
        if relay.outlets.is_empty() {
            self.end(place);
        }
    }

    /// Groups of which entries were left out: whoever is a member now, and syncs, lacks nothing.
    fn look_lost(&mut self, ctx: &mut Context<Self>) {
        if !self.lost.any.swap(false, Ordering::AcqRel) {
            return;
        }
        let groups =
            std::mem::take(&mut *self.lost.groups.lock().unwrap_or_else(PoisonError::into_inner));
        for (key, no) in groups {
            ctx.notify(MembersAreLost { key, no });
        }
    }

    fn count_next(&mut self, ctx: &mut Context<Self>) {
        while self.counting < limits::READ_COUNTS_AT_ONCE
            && let Some(key) = self.due.pop_front()
        {
            let place = self.by_key.get(&key);
            let relay = place.and_then(|place| self.relays[*place as usize].as_mut());
            let Some((no, before, after)) = relay.and_then(|relay| relay.read.take()) else {
                continue;
            };
            self.counting += 1;
            let pool = self.pool.clone();
            let read = async move {
                let most = limits::READ_COUNTS;
                let members = limits::READ_COUNTS_MEMBERS as usize + 1;
                let state = members::read_state(&pool, no, (before, after), most, members);
                Counted { key, found: reads::bounded(state).await }
            };
            ctx.spawn(read.into_actor(self).map(|counted, _, ctx| ctx.notify(counted)));
        }
    }

    fn tell_counts(&self, key: &GroupKey, state: &members::ReadState) {
        let Some(relay) = self.relay(key) else { return };
        if state.readers.len() > limits::READ_COUNTS_MEMBERS as usize {
            return;
        }
        let mut by_author: BTreeMap<UserNo, Vec<ReadCount>> = BTreeMap::new();
        for (seq, author) in &state.messages {
            let has_read = |reader: &&members::Reader| {
                reader.user != *author && reader.min_seq <= *seq && reader.read >= *seq
            };
            let readers = state.readers.iter().filter(has_read).count();
            let readers = u32::try_from(readers).unwrap_or(u32::MAX);
            by_author.entry(*author).or_default().push(ReadCount { seq: *seq, readers });
        }
        let conversation = crate::ids::Conversation::Group(key.id.clone());
        for (author, mut counts) in by_author {
            let outlets = relay.of_user(author);
            if outlets.is_empty() {
                continue;
            }
            counts.sort_unstable_by_key(|count| count.seq);
            let conversation = conversation.clone();
            let mut event = Encoded::new(Event::Read(ReadEvent::Counts { conversation, counts }));
            for outlet in outlets {
                outlet.push(&mut event, None);
            }
        }
    }
}

impl Relay {
    /// Where the outlet is, or would be.
    fn find(&self, outlet: &Outlet) -> Result<usize, usize> {
        self.outlets.binary_search_by_key(&(outlet.user, outlet.no), |own| (own.user, own.no))
    }

    fn of_user(&self, user: UserNo) -> &[Arc<Outlet>] {
        let first = self.outlets.partition_point(|own| own.user < user);
        let behind = self.outlets.partition_point(|own| own.user <= user);
        &self.outlets[first..behind]
    }
}
