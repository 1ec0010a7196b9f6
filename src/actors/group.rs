//! One active group: the owner of its log, wherever its members are.
//!
//! A thin shell around [`crate::domain::group`]: unpacks what comes, asks the rules, performs what they say. Loading and
//! looking up run beside it and come back as messages. Never touches a socket, and knows nobody who is online.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use serde::{Deserialize, Serialize};

use super::asker::{ChangeAsker, Submitter};
use super::draft::Draft;
use super::engine::{Engine, Shared};
use super::journal::{Append, Destination, Outgoing, RefusalsHeard};
use super::mailbox::{self, TellError};
use super::registry::{GroupFinished, GroupIdle};
use super::relay::GroupKey;
use super::{group_reads, reads, wire};
use crate::domain::group::{
    Asked, Authority, Change, ChangeRefused, Edit, Effect, Found, GroupLog, Input, Loaded, Notice,
    Post, SenderFacts,
};
use crate::domain::intake::{Outcome, Refusal, SessionNo, Waiter};
use crate::domain::journal::{GroupPlace, Life, Owner, Row, Target};
use crate::domain::order;
use crate::ids::{ClientMsgId, Conversation, ConversationNo, Seq, Shard, UserId, UserNo};
use crate::limits;
use crate::protocol::Body;
use crate::store::StoreError;

/// In whose name something is asked of a group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Caller {
    /// The user.
    pub no: UserNo,
    /// The same, as others see it.
    pub id: UserId,
    /// By what right.
    pub authority: Authority,
}

/// What is asked of a group.
pub enum GroupRequest {
    /// To store a message.
    Submit {
        /// Who is told what became of it.
        submitter: Submitter,
        /// The session and the place from which it comes.
        waiter: Waiter,
        /// In whose name.
        by: Caller,
        /// Its key.
        key: ClientMsgId,
        /// What is to be stored.
        draft: Draft,
    },
    /// To change.
    Change {
        /// Who is told what came of it.
        asker: ChangeAsker,
        /// In whose name.
        by: Caller,
        /// What for.
        change: Change,
    },
}

impl GroupRequest {
    /// Answers it without the group; whoever asked tries again.
    pub fn refuse(self, group: &GroupKey, why: Refusal) {
        match self {
            Self::Submit { submitter, waiter, key, .. } => {
                let verdict = order::Verdict::Curable(why);
                let conversation = Conversation::Group(group.id.clone());
                submitter.tell(conversation, waiter.place, key, verdict);
            }
            Self::Change { asker, .. } => {
                asker.tell(group.id.clone(), Err(ChangeRefused::NotNow(why)));
            }
        }
    }
}

/// Something that is asked of the group.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Ask(pub GroupRequest);

/// What a journal has done with entries of the group, in the order of the log.
#[derive(Message)]
#[rtype(result = "()")]
pub struct EntriesSettled(pub Vec<EntrySettled>);

/// What became of an entry.
#[derive(Debug, Clone)]
pub struct EntrySettled {
    /// The place that it was given.
    pub seq: Seq,
    /// Its key.
    pub key: ClientMsgId,
    /// Who sent it.
    pub sender: UserNo,
    /// What became of it.
    pub outcome: Outcome,
}

/// The epoch of the store has changed: what it had is no longer proof.
#[derive(Message)]
#[rtype(result = "()")]
pub struct StoreChanged;

/// The registry has taken the group out of the directory: end when nothing is under way.
#[derive(Message)]
#[rtype(result = "()")]
pub struct FinishGroup;

#[derive(Message)]
#[rtype(result = "()")]
struct GroupLoaded(Result<Option<Loaded>, StoreError>);

#[derive(Message)]
#[rtype(result = "()")]
struct SenderLookedUp {
    sender: UserNo,
    at: u64,
    found: Result<SenderFacts, StoreError>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct FactsFound(Result<Found, StoreError>);

#[derive(Message)]
#[rtype(result = "()")]
struct SleepCheckDue;

/// A group that is awake, for those who have something for it.
pub struct GroupPort {
    /// What it is found by.
    pub key: GroupKey,
    /// Long-lived: each clone of an address would bring a slot of its own.
    pub address: Addr<GroupActor>,
}

/// What travels with a post.
#[derive(Debug, Clone)]
struct Letter {
    from: UserId,
    origin: SessionNo,
    draft: Draft,
}

type Log = GroupLog<Letter, Submitter, ChangeAsker>;
type GroupEffect = Effect<Letter, Submitter, ChangeAsker>;

/// The actor of one group.
pub struct GroupActor {
    engine: Engine,
    key: GroupKey,
    life: Life,
    /// Comes along with what is handed to the journal, so that its outcome gets back here.
    port: Option<Arc<GroupPort>>,
    log: Log,
    busy_at: Instant,
    /// Set once the registry was asked to end this actor.
    leaving: bool,
    /// Set once the registry has taken it out of the directory.
    finishing: bool,
}

impl GroupActor {
    /// Starts a group on a thread.
    pub fn start_on(arbiter: &ArbiterHandle, engine: Engine, key: GroupKey) -> Arc<GroupPort> {
        let name = key.clone();
        // A group is woken by those who have something for it, often more than 16 at once.
        let address = mailbox::start_on(arbiter, limits::GROUP_MAILBOX, move || {
            let window_ms = engine.shared().settings.dedup_window_ms();
            Self {
                life: engine.shared().next_life(),
                port: None,
                log: GroupLog::new(key.app, key.id.clone(), window_ms),
                key,
                busy_at: Instant::now(),
                leaving: false,
                finishing: false,
                engine,
            }
        });
        Arc::new(GroupPort { key: name, address })
    }
}

impl Actor for GroupActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.port = Some(Arc::new(GroupPort { key: self.key.clone(), address: ctx.address() }));
        metrics::gauge!("rookery_groups_awake").increment(1);
        metrics::counter!("rookery_groups_woken_total").increment(1);
        let every = self.shared().settings.group_sleep.min(SLEEP_CHECK_EVERY);
        ctx.run_interval(every, |_, ctx| ctx.notify(SleepCheckDue));
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        metrics::gauge!("rookery_groups_awake").decrement(1);
        mailbox::insist(&self.shared().registry, GroupFinished(self.key.clone()));
    }
}

/// How often a group looks whether it may sleep, at most.
const SLEEP_CHECK_EVERY: Duration = Duration::from_secs(10);

impl Handler<Ask> for GroupActor {
    type Result = ();

    fn handle(&mut self, Ask(request): Ask, ctx: &mut Self::Context) {
        self.busy_at = Instant::now();
        let input = match request {
            GroupRequest::Submit { submitter, waiter, by, key, draft } => {
                let Caller { no: sender, id: from, authority } = by;
                let hash = draft.hash;
                let payload = Letter { from, origin: waiter.session, draft };
                let post = Post { sender, authority, key, hash, payload };
                Input::Submitted { waiter, reply_to: submitter, post }
            }
            GroupRequest::Change { asker, by, change } => {
                let Caller { no, id: by_id, authority } = by;
                let key = ClientMsgId::mint(self.shared().node.now(), rand::random());
                let asked = Asked { by: no, by_id, authority, change, key, reply_to: asker };
                Input::Asked(asked)
            }
        };
        self.decide(input, ctx);
    }
}

impl Handler<EntriesSettled> for GroupActor {
    type Result = ();

    fn handle(&mut self, EntriesSettled(entries): EntriesSettled, ctx: &mut Self::Context) {
        for EntrySettled { seq, key, sender, outcome } in entries {
            self.decide(Input::Settled { seq, key, sender, outcome }, ctx);
        }
    }
}

impl Handler<GroupLoaded> for GroupActor {
    type Result = ();

    fn handle(&mut self, GroupLoaded(loaded): GroupLoaded, ctx: &mut Self::Context) {
        let loaded = loaded.map_err(|error| self.unavailable(&error));
        self.decide(Input::Loaded(loaded), ctx);
    }
}

impl Handler<SenderLookedUp> for GroupActor {
    type Result = ();

    fn handle(&mut self, looked_up: SenderLookedUp, ctx: &mut Self::Context) {
        let SenderLookedUp { sender, at, found } = looked_up;
        let found = found.map_err(|error| self.unavailable(&error));
        self.decide(Input::LookedUp { sender, at, found }, ctx);
    }
}

impl Handler<FactsFound> for GroupActor {
    type Result = ();

    fn handle(&mut self, FactsFound(found): FactsFound, ctx: &mut Self::Context) {
        let found = found.map_err(|error| self.unavailable(&error));
        self.decide(Input::Found(found), ctx);
    }
}

impl Handler<StoreChanged> for GroupActor {
    type Result = ();

    fn handle(&mut self, _: StoreChanged, ctx: &mut Self::Context) {
        self.decide(Input::EpochChanged, ctx);
    }
}

impl Handler<FinishGroup> for GroupActor {
    type Result = ();

    fn handle(&mut self, _: FinishGroup, ctx: &mut Self::Context) {
        self.finishing = true;
        self.leave_if_idle(ctx);
    }
}

impl Handler<SleepCheckDue> for GroupActor {
    type Result = ();

    fn handle(&mut self, _: SleepCheckDue, ctx: &mut Self::Context) {
        self.leave_if_idle(ctx);
    }
}

impl GroupActor {
    fn shared(&self) -> &Shared {
        self.engine.shared()
    }

    fn unavailable(&self, error: &StoreError) -> Refusal {
        tracing::debug!(%error, "a group could not read from the store");
        Refusal::Unavailable
    }

    fn decide(&mut self, input: Input<Letter, Submitter, ChangeAsker>, ctx: &mut Context<Self>) {
        let mut effects: Vec<GroupEffect> = Vec::new();
        self.log.decide(self.shared().node.now(), input, &mut effects);
        let mut not_handed: Vec<(Seq, ClientMsgId, Refusal)> = Vec::new();
        for effect in effects {
            match effect {
                Effect::Tell { waiter, reply_to, key, verdict } => {
                    let conversation = Conversation::Group(self.key.id.clone());
                    reply_to.tell(conversation, waiter.place, key, verdict);
                }
                Effect::Answer { reply_to, outcome } => {
                    reply_to.tell(self.key.id.clone(), outcome);
                }
                Effect::Load => self.load(ctx),
                Effect::LookUp { group, sender, key, at } => {
                    self.look_up(group, sender, key, at, ctx);
                }
                Effect::Find { group, by, targets } => self.find(group, by, targets, ctx),
                Effect::Append { place, post } => {
                    let (seq, key) = (place.seq, post.key);
                    if let Err(why) = self.hand_over(&not_handed, self.row_of_post(place, post)) {
                        not_handed.push((seq, key, why));
                    }
                }
                Effect::Commit { place, by, by_id, key, edit, notice } => {
                    let seq = place.seq;
                    let row = self.row_of_change(place, (by, by_id), key, edit, notice);
                    if let Err(why) = row.and_then(|row| self.hand_over(&not_handed, Some(row))) {
                        not_handed.push((seq, key, why));
                    }
                }
                Effect::Heard { group, refused } => self.heard(group, refused),
            }
        }
        for (seq, key, why) in not_handed {
            self.decide(Input::NotHanded { seq, key, why }, ctx);
        }
        self.leave_if_idle(ctx);
    }

    /// Asks to be ended, and ends, when nothing is under way and nothing was asked for long enough; at once when there is
    /// no such group, so that those who ask for what is not there fill no memory.
    fn leave_if_idle(&mut self, ctx: &mut Context<Self>) {
        if !self.log.is_settled() {
            return;
        }
        // Most groups are awake and silent most of the time, and there are many of them.
        self.log.rest();
        if self.finishing {
            ctx.stop();
        }
        // What is asked of a group that somebody else owns goes there once this one has left the directory.
        let is_idle = self.log.is_absent()
            || self.log.is_elsewhere()
            || self.busy_at.elapsed() >= self.shared().settings.group_sleep;
        if is_idle && !self.leaving {
            // Full: the next check asks again.
            let idle = GroupIdle(self.key.clone());
            self.leaving = mailbox::tell(&self.shared().registry, idle).is_ok();
        }
    }

    /// Hands a row to its journal. What follows one that was not taken has no place any more.
    fn hand_over(
        &self,
        not_handed: &[(Seq, ClientMsgId, Refusal)],
        row: Option<Row<Outgoing>>,
    ) -> Result<(), Refusal> {
        let Some(row) = row else { return Err(Refusal::Unavailable) };
        if let Some((_, _, why)) = not_handed.first() {
            return Err(*why);
        }
        let journal = self.shared().journal_of_shard(Shard::of(row.target.conversation()));
        match mailbox::tell(journal, Append(row)) {
            Ok(()) => Ok(()),
            Err(TellError::Full) => Err(Refusal::Busy),
            Err(TellError::Gone) => Err(Refusal::Unavailable),
        }
    }

    fn row_of_post(&self, place: GroupPlace, post: Post<Letter>) -> Option<Row<Outgoing>> {
        let Post { sender, key, hash, payload: Letter { from, origin, draft }, .. } = post;
        Some(Row {
            target: Target::Post(place),
            sender,
            life: self.life,
            key,
            hash,
            body_bytes: draft.stored.len(),
            payload: Outgoing {
                from,
                to: Destination::Group(self.port.clone()?),
                origin: Some(origin),
                body: draft.body,
                stored: draft.stored,
            },
        })
    }

    fn row_of_change(
        &self,
        place: GroupPlace,
        (by, by_id): (UserNo, UserId),
        key: ClientMsgId,
        edit: Edit,
        notice: Notice,
    ) -> Result<Row<Outgoing>, Refusal> {
        let body = Body { content: wire::notice(notice), mentions: None, reply_to: None };
        let stored = body.encode().map_err(|error| {
            tracing::error!(%error, "a notice has no stored form");
            Refusal::Unavailable
        })?;
        let port = self.port.clone().ok_or(Refusal::Unavailable)?;
        Ok(Row {
            target: Target::Change { place, edit: Box::new(edit) },
            sender: by,
            life: self.life,
            key,
            hash: Body::hash(&stored),
            body_bytes: stored.len(),
            payload: Outgoing {
                from: by_id,
                to: Destination::Group(port),
                origin: None,
                body: Arc::new(body),
                stored: stored.into(),
            },
        })
    }

    fn heard(&self, no: ConversationNo, refused: usize) {
        let journal = self.shared().journal_of_shard(Shard::of(no));
        let heard = RefusalsHeard { owner: Owner::Group(no), life: self.life, refused };
        mailbox::insist(journal, heard);
    }

    fn load(&self, ctx: &mut Context<Self>) {
        let (engine, key) = (self.engine.clone(), self.key.clone());
        let load =
            async move { GroupLoaded(reads::bounded(group_reads::load(&engine, &key)).await) };
        ctx.spawn(load.into_actor(self).map(|loaded, _, ctx| ctx.notify(loaded)));
    }

    fn look_up(
        &self,
        group: ConversationNo,
        sender: UserNo,
        key: ClientMsgId,
        at: u64,
        ctx: &mut Context<Self>,
    ) {
        let engine = self.engine.clone();
        let look_up = async move {
            let found = reads::bounded(group_reads::sender(&engine, group, sender, key)).await;
            SenderLookedUp { sender, at, found }
        };
        ctx.spawn(look_up.into_actor(self).map(|looked_up, _, ctx| ctx.notify(looked_up)));
    }

    fn find(
        &self,
        group: Option<ConversationNo>,
        by: UserNo,
        targets: Vec<UserId>,
        ctx: &mut Context<Self>,
    ) {
        let (engine, app) = (self.engine.clone(), self.key.app);
        let find = async move {
            let facts = group_reads::facts(&engine, app, group, by, &targets);
            FactsFound(reads::bounded(facts).await)
        };
        ctx.spawn(find.into_actor(self).map(|found, _, ctx| ctx.notify(found)));
    }
}
