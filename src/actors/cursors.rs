//! The node's one writer of delivered and read cursors: gathers them, and tells both sides after the commit.
//!
//! While one statement is in flight the highest of each cursor gathers for the next. What the server answers for in
//! place of a receiver who is not online is kept until it is written; what a device asked for is refused when the store
//! is away, and the device asks again.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use actix::prelude::*;

use super::apps::Apps;
use super::engine::{ReadReceipts, Writers};
use super::mailbox;
use super::registry::Directory;
use super::relay::{GroupKey, MemberRead};
use super::user::CursorsMoved;
use crate::cluster::node::Node;
use crate::domain::intake::Refusal;
use crate::ids::{AppId, Conversation, UserId, UserNo};
use crate::limits;
use crate::store::StoreError;
use crate::store::cursors::{CursorKey, CursorWriter, Cursors};

/// Asks for cursors to be raised.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Raise {
    /// Whose.
    pub key: CursorKey,
    /// The owner's app.
    pub app: AppId,
    /// The owner's name.
    pub owner: UserId,
    /// Of what.
    pub of: Of,
    /// To what.
    pub cursors: Cursors,
    /// Given back to the owner when it is done; none when the server answers in the owner's place.
    pub ticket: Option<u64>,
}

/// What the cursors are of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Of {
    /// A pair.
    Pair {
        /// The other side's number.
        peer_no: UserNo,
        /// The other side's name.
        peer: UserId,
    },
    /// A group.
    Group(GroupKey),
}

impl Of {
    /// The conversation, as the owner of the cursors names it.
    pub fn conversation(&self) -> Conversation {
        match self {
            Self::Pair { peer, .. } => Conversation::User(peer.clone()),
            Self::Group(key) => Conversation::Group(key.id.clone()),
        }
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Written {
    batch: Vec<Wanted>,
    outcome: Result<Vec<Moved>, StoreError>,
}

/// Cursors before and after.
#[derive(Debug, Clone, Copy)]
struct Moved {
    key: CursorKey,
    before: Cursors,
    after: Cursors,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Connected(Rc<CursorWriter>);

#[derive(Debug, Clone)]
struct Wanted {
    raise: Raise,
    /// The owner's latest ticket among those that were merged here.
    ticket: Option<u64>,
}

/// The gatherer of cursors.
pub struct CursorActor {
    node: Arc<Node>,
    directory: Arc<Directory>,
    apps: Arc<Apps>,
    writers: Arc<Writers>,
    waiting: HashMap<CursorKey, Wanted>,
    /// The keys of `waiting`, in the order in which they came.
    turns: VecDeque<CursorKey>,
    writer: Option<Rc<CursorWriter>>,
    busy: bool,
}

impl CursorActor {
    /// Starts it on a thread.
    pub fn start_on(
        arbiter: &ArbiterHandle,
        node: Arc<Node>,
        directory: Arc<Directory>,
        apps: Arc<Apps>,
        writers: Arc<Writers>,
    ) -> Addr<Self> {
        mailbox::start_on(arbiter, limits::JOURNAL_MAILBOX, move || {
            let waiting = HashMap::new();
            Self {
                node,
                directory,
                apps,
                writers,
                waiting,
                turns: VecDeque::new(),
                writer: None,
                busy: false,
            }
        })
    }
}

impl Actor for CursorActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.connect(ctx);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.writers.ended();
    }
}

impl Handler<Raise> for CursorActor {
    type Result = ();

    fn handle(&mut self, raise: Raise, ctx: &mut Self::Context) {
        if let Some(ticket) = raise.ticket
            && self.writer.is_none()
        {
            let Raise { key, owner, of, .. } = raise;
            return self.refuse(key, owner, of, Some(ticket), Refusal::Unavailable);
        }
        let full = self.waiting.len() >= limits::CURSOR_QUEUE;
        if full && !self.waiting.contains_key(&raise.key) {
            let Raise { key, owner, of, ticket, .. } = raise;
            match ticket {
                Some(_) => self.refuse(key, owner, of, ticket, Refusal::Busy),
                // A sender that wants its second ack repeats the send, which asks for this receipt again.
                None => metrics::counter!("rookery_receipts_dropped_total").increment(1),
            }
            return;
        }
        self.want(Wanted { ticket: raise.ticket, raise });
        self.write_next(ctx);
    }
}

impl Handler<Connected> for CursorActor {
    type Result = ();

    fn handle(&mut self, Connected(writer): Connected, ctx: &mut Self::Context) {
        self.writer = Some(writer);
        self.writers.came_up();
        self.write_next(ctx);
    }
}

impl Handler<Written> for CursorActor {
    type Result = ();

    fn handle(&mut self, Written { batch, outcome }: Written, ctx: &mut Self::Context) {
        self.busy = false;
        match outcome {
            Ok(raised) => self.tell(batch, raised),
            Err(error) => {
                tracing::warn!(%error, cursors = batch.len(), "cursors could not be written");
                for wanted in batch {
                    if wanted.ticket.is_some() {
                        let Raise { key, owner, of, .. } = wanted.raise.clone();
                        self.refuse(key, owner, of, wanted.ticket, Refusal::Unavailable);
                    }
                    // Raising is idempotent, so even what may have been written is tried again.
                    let raise = Raise { ticket: None, ..wanted.raise };
                    self.want(Wanted { raise, ticket: None });
                }
                if self.writer.take().is_some() {
                    self.writers.went_down();
                }
                self.connect(ctx);
            }
        }
        self.write_next(ctx);
    }
}

/// Raises the cursors of pairs and those of groups, which lie in tables of their own.
async fn raise(writer: &CursorWriter, batch: &[Wanted]) -> Result<Vec<Moved>, StoreError> {
    let (mut pairs, mut groups) = (Vec::new(), Vec::new());
    for Wanted { raise, .. } in batch {
        match raise.of {
            Of::Pair { .. } => pairs.push((raise.key, raise.cursors)),
            Of::Group(_) => groups.push((raise.key, raise.cursors.read)),
        }
    }
    let mut moved = Vec::with_capacity(batch.len());
    if !pairs.is_empty() {
        let raised = writer.raise(&pairs).await?;
        moved.extend(raised.into_iter().map(|it| Moved {
            key: it.key,
            before: it.before,
            after: it.after,
        }));
    }
    if !groups.is_empty() {
        let read = |read| Cursors { read, ..Cursors::default() };
        let raised = writer.raise_groups(&groups).await?;
        moved.extend(raised.into_iter().map(|it| Moved {
            key: it.key,
            before: read(it.before),
            after: read(it.after),
        }));
    }
    Ok(moved)
}

impl CursorActor {
    fn want(&mut self, wanted: Wanted) {
        let key = wanted.raise.key;
        match self.waiting.entry(key) {
            Entry::Occupied(mut waiting) => {
                let waiting = waiting.get_mut();
                waiting.raise.cursors = waiting.raise.cursors.at_least(wanted.raise.cursors);
                waiting.ticket = waiting.ticket.max(wanted.ticket);
            }
            Entry::Vacant(place) => {
                place.insert(wanted);
                self.turns.push_back(key);
            }
        }
    }

    fn write_next(&mut self, ctx: &mut Context<Self>) {
        if self.busy || self.waiting.is_empty() {
            return;
        }
        let Some(writer) = self.writer.clone() else { return };
        let most = self.turns.len().min(limits::CURSOR_BATCH);
        let batch: Vec<Wanted> =
            self.turns.drain(..most).filter_map(|key| self.waiting.remove(&key)).collect();
        self.busy = true;
        let write = async move {
            let raise = raise(&writer, &batch);
            let outcome = match tokio::time::timeout(limits::STATEMENT_WITHIN, raise).await {
                Ok(outcome) => outcome,
                Err(_) => Err(StoreError::Unknown { waited: limits::STATEMENT_WITHIN }),
            };
            Written { batch, outcome }
        };
        ctx.spawn(write.into_actor(self).map(|written, _, ctx| ctx.notify(written)));
    }

    fn tell(&self, batch: Vec<Wanted>, moved: Vec<Moved>) {
        let mut moved: HashMap<CursorKey, Moved> =
            moved.into_iter().map(|moved| (moved.key, moved)).collect();
        for Wanted { raise, ticket } in batch {
            let Raise { key, app, owner, of, .. } = raise;
            let tells_of_reading = self.apps.read_receipts(app) == ReadReceipts::On;
            let found = moved.remove(&key);
            if found.is_none()
                && let Of::Group(_) = of
            {
                // No membership, present or former.
                if ticket.is_some() {
                    self.refuse(key, owner, of, ticket, Refusal::NotAMember);
                }
                continue;
            }
            let (before, after) =
                found.map_or_else(Default::default, |moved| (moved.before, moved.after));
            let moved = CursorsMoved {
                conversation: key.conversation,
                reader: owner.clone(),
                of: of.conversation(),
                before,
                outcome: Ok(after),
                ticket,
            };
            match of {
                Of::Pair { peer_no, .. } if peer_no != key.owner && before != after => {
                    let mut seen = CursorsMoved {
                        of: Conversation::User(owner),
                        ticket: None,
                        ..moved.clone()
                    };
                    if !tells_of_reading {
                        seen.before.read = after.read;
                    }
                    self.directory.peer_cursors(peer_no, seen);
                }
                Of::Group(group) if before.read < after.read && tells_of_reading => {
                    self.directory.member_read(MemberRead {
                        key: group,
                        no: key.conversation,
                        before: before.read,
                        after: after.read,
                    });
                }
                Of::Pair { .. } | Of::Group(_) => {}
            }
            if ticket.is_some() || before.read != after.read {
                self.directory.own_cursors(key.owner, moved);
            }
        }
    }

    fn refuse(&self, key: CursorKey, owner: UserId, of: Of, ticket: Option<u64>, why: Refusal) {
        let moved = CursorsMoved {
            conversation: key.conversation,
            reader: owner,
            of: of.conversation(),
            before: Cursors::default(),
            outcome: Err(why),
            ticket,
        };
        self.directory.own_cursors(key.owner, moved);
    }

    fn connect(&mut self, ctx: &mut Context<Self>) {
        let node = self.node.clone();
        let connect = async move {
            let mut quiet = false;
            loop {
                let opening = async { CursorWriter::new(node.open_verified().await?).await };
                match tokio::time::timeout(limits::STATEMENT_WITHIN, opening).await {
                    Ok(Ok(writer)) => return Connected(Rc::new(writer)),
                    Ok(Err(error)) if !quiet => {
                        tracing::warn!(%error, "cursors have no connection");
                        quiet = true;
                    }
                    Ok(Err(_)) | Err(_) => {}
                }
                tokio::time::sleep(limits::RECONNECT_EVERY).await;
            }
        };
        ctx.spawn(connect.into_actor(self).map(|connected, _, ctx| ctx.notify(connected)));
    }
}
