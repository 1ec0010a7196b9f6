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

use super::engine::{ReadReceipts, Writers};
use super::registry::Directory;
use super::user::CursorsMoved;
use crate::cluster::node::Node;
use crate::domain::sends::Refusal;
use crate::ids::{UserId, UserNo};
use crate::limits;
use crate::store::StoreError;
use crate::store::cursors::{CursorKey, CursorWriter, Cursors, Raised};

/// Asks for cursors to be raised.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Raise {
    /// Whose.
    pub key: CursorKey,
    /// The owner's name.
    pub owner: UserId,
    /// The other side's number.
    pub peer_no: UserNo,
    /// The other side's name.
    pub peer: UserId,
    /// To what.
    pub cursors: Cursors,
    /// Given back to the owner when it is done; none when the server answers in the owner's place.
    pub ticket: Option<u64>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Written {
    batch: Vec<Wanted>,
    outcome: Result<Vec<Raised>, StoreError>,
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
    read_receipts: ReadReceipts,
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
        read_receipts: ReadReceipts,
        writers: Arc<Writers>,
    ) -> Addr<Self> {
        Self::start_in_arbiter(arbiter, move |ctx| {
            ctx.set_mailbox_capacity(limits::JOURNAL_MAILBOX);
            let waiting = HashMap::new();
            Self {
                node,
                directory,
                read_receipts,
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
            return self.refuse(&raise, ticket, Refusal::Unavailable);
        }
        let full = self.waiting.len() >= limits::CURSOR_QUEUE;
        if full && !self.waiting.contains_key(&raise.key) {
            match raise.ticket {
                Some(ticket) => self.refuse(&raise, ticket, Refusal::Busy),
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
                    if let Some(ticket) = wanted.ticket {
                        self.refuse(&wanted.raise, ticket, Refusal::Unavailable);
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
            let wanted: Vec<_> =
                batch.iter().map(|wanted| (wanted.raise.key, wanted.raise.cursors)).collect();
            let raise = writer.raise(&wanted);
            let outcome = match tokio::time::timeout(limits::STATEMENT_WITHIN, raise).await {
                Ok(outcome) => outcome,
                Err(_) => Err(StoreError::Unknown { waited: limits::STATEMENT_WITHIN }),
            };
            Written { batch, outcome }
        };
        ctx.spawn(write.into_actor(self).map(|written, _, ctx| ctx.notify(written)));
    }

    fn tell(&self, batch: Vec<Wanted>, raised: Vec<Raised>) {
        let mut raised: HashMap<CursorKey, Raised> =
            raised.into_iter().map(|raised| (raised.key, raised)).collect();
        for Wanted { raise, ticket } in batch {
            let moved = raised.remove(&raise.key);
            let (before, after) =
                moved.map_or_else(Default::default, |raised| (raised.before, raised.after));
            let moved = CursorsMoved {
                conversation: raise.key.conversation,
                reader: raise.owner,
                other: raise.peer,
                before,
                outcome: Ok(after),
                ticket,
            };
            let pair_with_oneself = raise.peer_no == raise.key.owner;
            if !pair_with_oneself && before != after {
                let mut seen = moved.clone();
                seen.ticket = None;
                if self.read_receipts == ReadReceipts::Off {
                    seen.before.read = after.read;
                }
                self.directory.peer_cursors(raise.peer_no, seen);
            }
            if ticket.is_some() || before.read != after.read {
                self.directory.own_cursors(raise.key.owner, moved);
            }
        }
    }

    fn refuse(&self, raise: &Raise, ticket: u64, why: Refusal) {
        self.directory.own_cursors(
            raise.key.owner,
            CursorsMoved {
                conversation: raise.key.conversation,
                reader: raise.owner.clone(),
                other: raise.peer.clone(),
                before: Cursors::default(),
                outcome: Err(why),
                ticket: Some(ticket),
            },
        );
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
