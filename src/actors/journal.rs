//! One of the node's few writers of messages: appends what the users ordered, many messages in one statement.
//!
//! Decides nothing about messages; [`crate::domain::journal`] says what goes into the next statement. While one is in
//! flight the next batch gathers, so there is no timer to tune. A connection that broke is replaced by a verified one,
//! and its writer's fence is raised before anything is looked up or appended.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use bytes::Bytes;

use super::engine::Writers;
use super::registry::Directory;
use super::user::{Entry, Settlement, Written};
use crate::cluster::node::Node;
use crate::domain::journal::{Appended, Effect, Found, Input, Journal, Life, Placed, Row};
use crate::domain::sends::{Outcome, Pair, SessionNo};
use crate::ids::{UserId, UserNo};
use crate::limits;
use crate::protocol::Body;
use crate::store::StoreError;
use crate::store::pairs::AppendOutcome;
use crate::store::writer::Writer;

/// Asks for a message to be stored. Its sender is told by [`Written`].
#[derive(Message)]
#[rtype(result = "()")]
pub struct Append(pub Row<Outgoing>);

/// Nobody is left who sends: an idle journal ends, and a busy one is left to its statement.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Retire;

/// The sender has heard of rows that were refused.
#[derive(Message)]
#[rtype(result = "()")]
pub struct RefusalsHeard {
    /// The sender.
    pub sender: UserNo,
    /// Which start of its actor.
    pub life: Life,
    /// Rows.
    pub refused: usize,
}

/// A statement has ended.
#[derive(Message)]
#[rtype(result = "()")]
struct StatementEnded(Appended);

/// A new connection was claimed, and the unresolved rows looked up.
#[derive(Message)]
#[rtype(result = "()")]
struct Claimed {
    writer: Rc<Writer>,
    found: Vec<Found>,
}

/// Time to see whether an outcome stays unknown.
#[derive(Message)]
#[rtype(result = "()")]
struct GiveUpDue;

/// What travels with a row besides what the rules look at.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The sender.
    pub from: UserId,
    /// The other side.
    pub to: UserId,
    /// The session that sent it: it gets the ack, not the push.
    pub origin: SessionNo,
    /// What the message says.
    pub body: Arc<Body>,
    /// The stored form of it.
    pub stored: Bytes,
}

/// How often the time of an unknown outcome is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// One journal.
pub struct JournalActor {
    no: usize,
    node: Arc<Node>,
    directory: Arc<Directory>,
    writers: Arc<Writers>,
    journal: Journal<Outgoing>,
    writer: Option<Rc<Writer>>,
    effects: Vec<Effect<Outgoing>>,
}

impl JournalActor {
    /// Starts journal `no` of the node on a thread.
    pub fn start_on(
        arbiter: &ArbiterHandle,
        no: usize,
        node: Arc<Node>,
        directory: Arc<Directory>,
        writers: Arc<Writers>,
    ) -> Addr<Self> {
        Self::start_in_arbiter(arbiter, move |ctx| {
            ctx.set_mailbox_capacity(limits::JOURNAL_MAILBOX);
            let journal = Journal::new(Instant::now());
            Self { no, node, directory, writers, journal, writer: None, effects: Vec::new() }
        })
    }
}

impl Actor for JournalActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.reconnect(ctx);
        ctx.run_interval(LOOK_EVERY, |_, ctx| ctx.notify(GiveUpDue));
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.writers.ended();
    }
}

impl Handler<Append> for JournalActor {
    type Result = ();

    fn handle(&mut self, Append(row): Append, ctx: &mut Self::Context) {
        self.decide(Input::Append(row), ctx);
    }
}

impl Handler<Retire> for JournalActor {
    type Result = ();

    fn handle(&mut self, _: Retire, ctx: &mut Self::Context) {
        if !self.journal.is_busy() {
            ctx.stop();
        }
    }
}

impl Handler<RefusalsHeard> for JournalActor {
    type Result = ();

    fn handle(&mut self, heard: RefusalsHeard, ctx: &mut Self::Context) {
        let RefusalsHeard { sender, life, refused } = heard;
        self.decide(Input::Heard { sender, life, refused }, ctx);
    }
}

impl Handler<StatementEnded> for JournalActor {
    type Result = ();

    fn handle(&mut self, StatementEnded(appended): StatementEnded, ctx: &mut Self::Context) {
        self.decide(Input::Appended(appended), ctx);
    }
}

impl Handler<Claimed> for JournalActor {
    type Result = ();

    fn handle(&mut self, Claimed { writer, found }: Claimed, ctx: &mut Self::Context) {
        let resolved = self.journal.unresolved().len();
        let outcomes = |found: &'static str| metrics::counter!("rookery_journal_outcomes_resolved_total", "found" => found);
        outcomes("true").increment(found.len() as u64);
        outcomes("false").increment(resolved.saturating_sub(found.len()) as u64);
        if resolved > 0 {
            tracing::info!(
                journal = self.no,
                stored = found.len(),
                appended_again = resolved - found.len().min(resolved),
                "the outcome of a broken statement was found"
            );
        }
        self.writer = Some(writer);
        self.writers.came_up();
        self.decide(Input::Fenced(found), ctx);
    }
}

impl Handler<GiveUpDue> for JournalActor {
    type Result = ();

    fn handle(&mut self, _: GiveUpDue, ctx: &mut Self::Context) {
        if !self.journal.is_busy() && self.writer.as_ref().is_some_and(|writer| writer.is_closed())
        {
            // Seen before somebody sends: the next sender is refused at once instead of waiting for an outcome.
            self.lose_writer();
            self.decide(Input::Away, ctx);
        }
        self.decide(Input::Tick, ctx);
    }
}

impl JournalActor {
    fn decide(&mut self, input: Input<Outgoing>, ctx: &mut Context<Self>) {
        let mut effects = std::mem::take(&mut self.effects);
        self.journal.decide(Instant::now(), input, &mut effects);
        let mut letters = Letters::default();
        for effect in effects.drain(..) {
            match effect {
                Effect::Run(rows) => self.run(rows, ctx),
                Effect::Stored { row, placed } => letters.stored(row, placed),
                Effect::Settled { row, outcome } => letters.settled(row, outcome),
                Effect::Reconnect => self.reconnect(ctx),
            }
        }
        letters.deliver(&self.directory, self.no);
        self.effects = effects;
    }

    fn run(&mut self, rows: Vec<Row<Outgoing>>, ctx: &mut Context<Self>) {
        let Some((writer, ids)) = self.writer.clone().zip(self.node.mint(rows.len())) else {
            ctx.notify(StatementEnded(Appended::NotTried));
            return;
        };
        if writer.is_closed() {
            self.lose_writer();
            ctx.notify(StatementEnded(Appended::Away));
            return;
        }
        let no = self.no;
        let started = Instant::now();
        let statement = async move {
            let append = writer.append(&rows, &ids, |row| &row.payload.stored);
            let outcome = match tokio::time::timeout(limits::STATEMENT_WITHIN, append).await {
                Ok(outcome) => outcome,
                Err(_) => Err(StoreError::Unknown { waited: limits::STATEMENT_WITHIN }),
            };
            (outcome, rows.len())
        };
        ctx.spawn(statement.into_actor(self).map(move |(outcome, rows), actor, ctx| {
            let appended = match outcome {
                Ok(AppendOutcome::Stored(placed)) => {
                    metrics::counter!("rookery_messages_stored_total").increment(rows as u64);
                    metrics::counter!("rookery_journal_commits_total").increment(1);
                    metrics::histogram!("rookery_journal_commit_seconds").record(started.elapsed());
                    Appended::Stored(placed)
                }
                Ok(AppendOutcome::Known(known)) => Appended::Known(known),
                Ok(AppendOutcome::Fenced) => {
                    tracing::warn!(journal = no, "the writer was fenced, the journal claims anew");
                    actor.lose_writer();
                    Appended::Unknown
                }
                Err(StoreError::Unknown { waited }) => {
                    metrics::counter!("rookery_journal_outcomes_unknown_total")
                        .increment(rows as u64);
                    tracing::warn!(
                        journal = no,
                        rows,
                        ?waited,
                        "the connection broke, the outcome of its statement is unknown"
                    );
                    actor.lose_writer();
                    Appended::Unknown
                }
                Err(error) => {
                    tracing::warn!(journal = no, rows, %error, "an append was refused");
                    Appended::Refused
                }
            };
            ctx.notify(StatementEnded(appended));
        }));
    }

    fn lose_writer(&mut self) {
        if self.writer.take().is_some() {
            self.writers.went_down();
        }
    }

    /// Connects until it succeeds: verify the database, raise the fence, look up what is unresolved.
    fn reconnect(&mut self, ctx: &mut Context<Self>) {
        let (node, no) = (self.node.clone(), self.no);
        let unresolved = self.journal.unresolved().to_vec();
        let claim = async move {
            let mut quiet = false;
            loop {
                let claim = claim(&node, no, &unresolved);
                match tokio::time::timeout(limits::STATEMENT_WITHIN, claim).await {
                    Ok(Ok((writer, found))) => return Claimed { writer: Rc::new(writer), found },
                    Ok(Err(error)) if !quiet => {
                        tracing::warn!(journal = no, %error, "the journal has no connection");
                        quiet = true;
                    }
                    Ok(Err(_)) | Err(_) => {}
                }
                tokio::time::sleep(limits::RECONNECT_EVERY).await;
            }
        };
        ctx.spawn(claim.into_actor(self).map(|claimed, _, ctx| ctx.notify(claimed)));
    }
}

async fn claim(
    node: &Node,
    no: usize,
    unresolved: &[Row<Outgoing>],
) -> Result<(Writer, Vec<Found>), StoreError> {
    let client = node.open_verified().await?;
    let writer = Writer::claim(client, node.id(), no as i32).await?;
    let found = if unresolved.is_empty() { Vec::new() } else { writer.find(unresolved).await? };
    Ok((writer, found))
}

/// What each user is told after one decision, in the order of the log.
#[derive(Default)]
struct Letters {
    order: Vec<UserNo>,
    letters: HashMap<UserNo, Written>,
}

impl Letters {
    fn to(&mut self, user: UserNo) -> &mut Written {
        self.letters.entry(user).or_insert_with(|| {
            self.order.push(user);
            Written::default()
        })
    }

    fn stored(&mut self, row: Row<Outgoing>, placed: Placed) {
        let inbox_of = |user: UserNo| {
            if user == row.low { placed.inbox_low } else { placed.inbox_high.unwrap_or_default() }
        };
        tracing::debug!(
            client_msg_id = %row.key, message_id = %placed.message_id,
            conversation = %row.conversation, seq = %placed.seq, "committed"
        );
        let peer = if row.sender == row.low { row.high } else { row.low };
        let outcome = Outcome::Stored {
            seq: placed.seq,
            inbox: inbox_of(row.sender),
            message_id: placed.message_id,
            hash: row.hash,
        };
        let entry = |inbox| Entry {
            conversation: row.conversation,
            sender: row.sender,
            seq: placed.seq,
            inbox,
            message_id: placed.message_id,
            key: row.key,
            from: row.payload.from.clone(),
            to: row.payload.to.clone(),
            body: row.payload.body.clone(),
            origin: Some(row.payload.origin),
        };
        let to_sender = self.to(row.sender);
        to_sender.entries.push(entry(inbox_of(row.sender)));
        to_sender.settlements.push(Settlement {
            to: row.payload.to.clone(),
            pair: Pair { no: row.conversation, peer },
            key: row.key,
            life: row.life,
            outcome,
        });
        if peer != row.sender {
            self.to(peer).entries.push(entry(inbox_of(peer)));
        }
    }

    fn settled(&mut self, row: Row<Outgoing>, outcome: Outcome) {
        let peer = if row.sender == row.low { row.high } else { row.low };
        self.to(row.sender).settlements.push(Settlement {
            to: row.payload.to,
            pair: Pair { no: row.conversation, peer },
            key: row.key,
            life: row.life,
            outcome,
        });
    }

    fn deliver(mut self, directory: &Directory, journal: usize) {
        for user in self.order {
            if let Some(mut written) = self.letters.remove(&user) {
                written.journal = journal;
                directory.written(user, written);
            }
        }
    }
}
