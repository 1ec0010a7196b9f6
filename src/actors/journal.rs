//! One of the node's few writers of messages: appends what the users ordered, many messages in one statement.
//!
//! Decides nothing about messages; [`crate::domain::journal`] says what goes into the next statement. While one is in
//! flight the next batch gathers, so there is no timer to tune. A connection that broke is replaced by a verified one,
//! and its writer's fence is raised before anything is looked up or appended.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use bytes::Bytes;
use foldhash::{HashMap, HashSet};

use super::engine::Writers;
use super::group::{EntriesSettled, EntrySettled, GroupPort};
use super::mailbox;
use super::registry::Directory;
use super::relay::{GroupEntry, Moved};
use super::user::{Entry, Settlement, Written};
use crate::cluster::node::Node;
use crate::domain::epoch::Committed;
use crate::domain::group::Edit;
use crate::domain::intake::Refusal;
use crate::domain::intake::{Outcome, SendHash, SessionNo};
use crate::domain::journal::{
    Appended, Effect, Fate, Found, GroupPlace, Input, Journal, Life, Owner, Placed, Row, Target,
};
use crate::domain::sends::Pair;
use crate::ids::{ClientMsgId, ConversationNo, InboxSeq, MessageId, Seq, UserId, UserNo};
use crate::limits;
use crate::protocol::Body;
use crate::store::StoreError;
use crate::store::group_appends::{GroupKey as EntryKey, GroupPost, GroupsAppended};
use crate::store::group_changes::{GroupChange, GroupChanged, NewGroup};
use crate::store::pairs::AppendOutcome;
use crate::store::writer::Writer;

/// Asks for an entry to be stored. Its owner is told by [`Written`] or [`EntriesSettled`].
#[derive(Message)]
#[rtype(result = "()")]
pub struct Append(pub Row<Outgoing>);

/// Nobody is left who sends: an idle journal ends, and a busy one is left to its statement.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Retire;

/// The owner has heard of rows that were refused.
#[derive(Message)]
#[rtype(result = "()")]
pub struct RefusalsHeard {
    /// The owner.
    pub owner: Owner,
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
    /// Where it goes, and who hears of it.
    pub to: Destination,
    /// The session that sent it: it gets the ack, not the push. None for a notice.
    pub origin: Option<SessionNo>,
    /// What the message says.
    pub body: Arc<Body>,
    /// The stored form of it.
    pub stored: Bytes,
}

/// Where an entry goes.
#[derive(Clone)]
pub enum Destination {
    /// To the other side of a pair.
    User(UserId),
    /// To a group: its actor hears what became of it.
    Group(Arc<GroupPort>),
}

impl std::fmt::Debug for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(id) => id.fmt(f),
            Self::Group(port) => port.key.id.fmt(f),
        }
    }
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
    /// Rows that came since the mailbox was emptied last.
    came: Vec<Row<Outgoing>>,
    writer: Option<Rc<Writer>>,
    /// The ids of the rows of the last statement.
    ids: Vec<MessageId>,
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
        mailbox::start_on(arbiter, limits::JOURNAL_MAILBOX, move || {
            let journal = Journal::new(Instant::now());
            let (came, effects) = (Vec::new(), Vec::new());
            let (writer, ids) = (None, Vec::new());
            Self { no, node, directory, writers, journal, came, writer, ids, effects }
        })
    }
}

impl Actor for JournalActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.reconnect(ctx);
        ctx.run_interval(LOOK_EVERY, |_, ctx| ctx.notify(GiveUpDue));
        // What came together goes into one statement: one that began with the first of it would make the others wait.
        ctx.spawn(mailbox::behind_mailbox(Self::take_in));
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.writers.ended();
    }
}

impl Handler<Append> for JournalActor {
    type Result = ();

    fn handle(&mut self, Append(row): Append, _: &mut Self::Context) {
        self.came.push(row);
    }
}

impl Handler<Retire> for JournalActor {
    type Result = ();

    fn handle(&mut self, _: Retire, ctx: &mut Self::Context) {
        self.take_in(ctx);
        if !self.journal.is_busy() {
            ctx.stop();
        }
    }
}

impl Handler<RefusalsHeard> for JournalActor {
    type Result = ();

    fn handle(&mut self, heard: RefusalsHeard, ctx: &mut Self::Context) {
        let RefusalsHeard { owner, life, refused } = heard;
        self.decide(Input::Heard { owner, life, refused }, ctx);
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
    fn take_in(&mut self, ctx: &mut Context<Self>) {
        if !self.came.is_empty() {
            let came = std::mem::take(&mut self.came);
            self.perform(Input::Append(came), ctx);
        }
    }

    fn decide(&mut self, input: Input<Outgoing>, ctx: &mut Context<Self>) {
        // In the order in which all came.
        self.take_in(ctx);
        self.perform(input, ctx);
    }

    fn perform(&mut self, input: Input<Outgoing>, ctx: &mut Context<Self>) {
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

    fn run(&mut self, rows: Arc<Vec<Row<Outgoing>>>, ctx: &mut Context<Self>) {
        let Some((writer, ids)) = self.writer.clone().zip(self.node.mint(rows.len())) else {
            ctx.notify(StatementEnded(Appended::NotTried));
            return;
        };
        if writer.is_closed() {
            self.lose_writer();
            ctx.notify(StatementEnded(Appended::Away));
            return;
        }
        self.ids.clone_from(&ids);
        let (no, node) = (self.no, self.node.clone());
        let started = Instant::now();
        if sabotaged!(AckBeforeCommit)
            && let Some(guess) = as_if_stored(&rows, &ids)
        {
            let statement = async move { drop(append(&writer, &rows, &ids).await) };
            ctx.spawn(statement.into_actor(self));
            ctx.notify(StatementEnded(guess));
            return;
        }
        let guess = sabotaged!(GuessSuccess).then(|| as_if_stored(&rows, &ids)).flatten();
        let statement = async move {
            let append = append(&writer, &rows, &ids);
            let outcome = match tokio::time::timeout(limits::STATEMENT_WITHIN, append).await {
                Ok(outcome) => outcome,
                Err(_) => Err(StoreError::Unknown { waited: limits::STATEMENT_WITHIN }),
            };
            if let Ok(Some(appended)) = &outcome {
                remember(&node, no, &rows, appended);
            }
            (outcome, rows.len())
        };
        ctx.spawn(statement.into_actor(self).map(move |(outcome, rows), actor, ctx| {
            let appended = match outcome {
                Ok(Some(appended)) => {
                    let stored = match &appended {
                        Appended::Stored(placed) => placed.len(),
                        Appended::Each(fates) => {
                            fates.iter().filter(|fate| matches!(fate, Fate::Stored(_))).count()
                        }
                        _ => 0,
                    };
                    if stored > 0 {
                        metrics::counter!("rookery_messages_stored_total").increment(stored as u64);
                        metrics::counter!("rookery_journal_commits_total").increment(1);
                        metrics::histogram!("rookery_journal_commit_seconds")
                            .record(started.elapsed());
                    }
                    appended
                }
                Ok(None) => {
                    tracing::warn!(journal = no, "the writer was fenced, the journal claims anew");
                    actor.lose_writer();
                    Appended::Unknown
                }
                Err(StoreError::Unknown { .. }) if guess.is_some() => {
                    guess.unwrap_or(Appended::Unknown)
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
        let (unresolved, ids) = (self.journal.unresolved().to_vec(), self.ids.clone());
        let claim = async move {
            let mut quiet = false;
            loop {
                let claim = claim(&node, no, &unresolved, &ids);
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

/// Has the node remember what a statement came to, before anybody is acked.
fn remember(node: &Node, journal: usize, rows: &[Row<Outgoing>], appended: &Appended) {
    let last = match appended {
        Appended::Stored(placed) => rows.iter().zip(placed).next_back(),
        Appended::Each(fates) => rows.iter().zip(fates).rev().find_map(|(row, fate)| match fate {
            Fate::Stored(placed) => Some((row, placed)),
            Fate::Known { .. } | Fate::Moved | Fate::Declined(_) => None,
        }),
        _ => None,
    };
    let has_known = match appended {
        Appended::Known(_) => true,
        Appended::Each(fates) => fates.iter().any(|fate| matches!(fate, Fate::Known { .. })),
        _ => false,
    };
    match last {
        Some((row, placed)) => node.committed(journal, committed(row, placed)),
        None if has_known => node.repeated(journal),
        None => {}
    }
}

fn committed(row: &Row<Outgoing>, placed: &Placed) -> Committed {
    let conversation = row.target.conversation();
    Committed { conversation, seq: placed.seq, message_id: placed.message_id }
}

/// What a statement comes to that has no reason not to be committed: only for faults on purpose.
fn as_if_stored(rows: &[Row<Outgoing>], ids: &[MessageId]) -> Option<Appended> {
    let fates = rows.iter().zip(ids).map(|(row, id)| match &row.target {
        Target::Post(place) => Some(Fate::Stored(placed(place.seq, *id))),
        Target::Pair { .. } | Target::Change { .. } => None,
    });
    fates.collect::<Option<_>>().map(Appended::Each)
}

/// Runs the statement that these rows are for; none when the writer was fenced.
async fn append(
    writer: &Writer,
    rows: &[Row<Outgoing>],
    ids: &[MessageId],
) -> Result<Option<Appended>, StoreError> {
    match rows.first().map(|row| &row.target) {
        Some(Target::Post(_)) => append_posts(writer, rows, ids).await,
        Some(Target::Change { place, edit }) => {
            let change = change_of(place, edit, &rows[0], ids[0]);
            let fate = match writer.change_group(&change).await? {
                GroupChanged::Fenced => return Ok(None),
                GroupChanged::Stored => Fate::Stored(placed(place.seq, ids[0])),
                GroupChanged::Moved => Fate::Moved,
                GroupChanged::Taken => Fate::Declined(Refusal::Taken),
                GroupChanged::TooManyGroups { .. } => Fate::Declined(Refusal::Full),
            };
            Ok(Some(Appended::Each(vec![fate])))
        }
        Some(Target::Pair { .. }) | None => {
            let outcome = writer.append(rows, ids, |row| &row.payload.stored).await?;
            Ok(match outcome {
                AppendOutcome::Stored(placed) => Some(Appended::Stored(placed)),
                AppendOutcome::Known(known) => Some(Appended::Known(known)),
                AppendOutcome::Fenced => None,
            })
        }
    }
}

async fn append_posts(
    writer: &Writer,
    rows: &[Row<Outgoing>],
    ids: &[MessageId],
) -> Result<Option<Appended>, StoreError> {
    let posts = rows.iter().zip(ids).filter_map(|(row, id)| {
        // A statement about posts holds nothing else.
        let Target::Post(place) = &row.target else { return None };
        Some(GroupPost {
            group: place.group,
            epoch: place.epoch,
            seq: place.seq,
            counted: place.counted,
            sender: row.sender,
            key: row.key,
            hash: &row.hash,
            message_id: *id,
            body: &row.payload.stored,
        })
    });
    let (stored, known) = match writer.append_groups(&posts.collect::<Vec<_>>()).await? {
        GroupsAppended::Fenced => return Ok(None),
        GroupsAppended::Done { stored, known } => (stored, known),
    };
    let stored: HashSet<ConversationNo> = stored.into_iter().collect();
    let known: HashMap<usize, _> = known.into_iter().map(|known| (known.index, known)).collect();
    let fates = rows.iter().zip(ids).enumerate().map(|(index, (row, id))| {
        let Target::Post(place) = &row.target else { return Fate::Moved };
        match known.get(&index) {
            Some(known) => {
                Fate::Known { seq: known.seq, message_id: known.message_id, hash: known.hash }
            }
            None if stored.contains(&place.group) => Fate::Stored(placed(place.seq, *id)),
            None => Fate::Moved,
        }
    });
    Ok(Some(Appended::Each(fates.collect())))
}

fn change_of<'a>(
    place: &GroupPlace,
    edit: &'a Edit,
    row: &'a Row<Outgoing>,
    message_id: MessageId,
) -> GroupChange<'a> {
    let create = edit.create.as_ref().map(|new| NewGroup {
        app: new.app,
        id: &new.id,
        kind: new.kind,
        name: edit.name.as_deref().unwrap_or_default(),
    });
    GroupChange {
        group: place.group,
        epoch: place.epoch,
        seq: place.seq,
        counted: place.counted,
        sender: row.sender,
        key: row.key,
        hash: &row.hash,
        message_id,
        body: &row.payload.stored,
        name: edit.name.as_deref().filter(|_| create.is_none()),
        create,
        owner: edit.owner.flatten(),
        add: &edit.add,
        min_seq: if edit.shows_history { Seq::new(1) } else { place.seq },
        remove: &edit.remove,
        dissolve: edit.dissolve,
    }
}

/// Where an entry of a group is: in nobody's inbox.
fn placed(seq: Seq, message_id: MessageId) -> Placed {
    Placed { seq, inbox_low: None, inbox_high: None, message_id }
}

async fn claim(
    node: &Node,
    no: usize,
    unresolved: &[Row<Outgoing>],
    ids: &[MessageId],
) -> Result<(Writer, Vec<Found>), StoreError> {
    let client = node.open_verified().await?;
    let writer = Writer::claim(client, node.id(), no as i32).await?;
    let found = find(&writer, unresolved, ids).await?;
    // Of one statement: one stands for all.
    let own = found.iter().find(|found| found.is_own);
    match own.and_then(|own| Some((unresolved.get(own.index)?, &own.placed))) {
        Some((row, placed)) => node.committed(no, committed(row, placed)),
        None if !found.is_empty() => node.repeated(no),
        None => {}
    }
    Ok((writer, found))
}

/// Looks up which of these rows are stored; they are of one statement, so all of pairs or all of groups, and were given
/// these ids.
async fn find(
    writer: &Writer,
    rows: &[Row<Outgoing>],
    ids: &[MessageId],
) -> Result<Vec<Found>, StoreError> {
    match rows.first().map(Row::owner) {
        None => Ok(Vec::new()),
        Some(Owner::User(_)) => writer.find(rows, ids).await,
        Some(Owner::Group(_)) => {
            let entries = rows.iter().map(|row| EntryKey {
                group: row.target.conversation(),
                sender: row.sender,
                key: row.key,
            });
            let known = writer.find_groups(&entries.collect::<Vec<_>>()).await?;
            let found = known.into_iter().map(|known| Found {
                index: known.index,
                placed: placed(known.seq, known.message_id),
                hash: known.hash,
                is_own: ids.get(known.index) == Some(&known.message_id),
            });
            Ok(found.collect())
        }
    }
}

/// What each owner, and everyone whom it concerns, is told after one decision, in the order of the log.
#[derive(Default)]
struct Letters {
    order: Vec<UserNo>,
    letters: HashMap<UserNo, Written>,
    groups: Vec<(Arc<GroupPort>, Vec<EntrySettled>)>,
    /// Where the letter of a group's actor is, by the place of its port in memory, which its letter keeps.
    group_letters: HashMap<*const GroupPort, usize>,
    published: Vec<GroupEntry>,
}

impl Letters {
    fn to(&mut self, user: UserNo) -> &mut Written {
        self.letters.entry(user).or_insert_with(|| {
            self.order.push(user);
            Written::default()
        })
    }

    fn settle_in(&mut self, port: Arc<GroupPort>, settled: EntrySettled) {
        let next = self.groups.len();
        let place = *self.group_letters.entry(Arc::as_ptr(&port)).or_insert(next);
        match self.groups.get_mut(place) {
            Some((_, letter)) => letter.push(settled),
            None => self.groups.push((port, vec![settled])),
        }
    }

    fn stored(&mut self, row: Row<Outgoing>, placed: Placed) {
        let conversation = row.target.conversation();
        tracing::debug!(
            client_msg_id = %row.key, message_id = %placed.message_id,
            %conversation, seq = %placed.seq, "committed"
        );
        match (row.target, row.payload.to) {
            (Target::Pair { low, high, .. }, Destination::User(to)) => {
                let sent = Sent {
                    conversation,
                    low,
                    high,
                    sender: row.sender,
                    life: row.life,
                    key: row.key,
                    hash: row.hash,
                    from: row.payload.from,
                    to,
                    origin: row.payload.origin,
                    body: row.payload.body,
                };
                self.stored_in_pair(sent, placed);
            }
            (target @ (Target::Post(_) | Target::Change { .. }), Destination::Group(port)) => {
                let moved = match target {
                    Target::Change { edit, .. } => {
                        Some(Moved { added: edit.add, removed: edit.remove, all: edit.dissolve })
                    }
                    Target::Post(_) | Target::Pair { .. } => None,
                };
                self.published.push(GroupEntry {
                    key: port.key.clone(),
                    no: conversation,
                    seq: placed.seq,
                    message_id: placed.message_id,
                    client_msg_id: row.key,
                    from: row.payload.from,
                    body: row.payload.body,
                    origin: row.payload.origin,
                    moved,
                });
                let outcome = Outcome::Stored {
                    seq: placed.seq,
                    inbox: None,
                    message_id: placed.message_id,
                    hash: row.hash,
                };
                let (key, sender) = (row.key, row.sender);
                self.settle_in(port, EntrySettled { seq: placed.seq, key, sender, outcome });
            }
            // Both come from the owner, which makes them fit.
            (_, Destination::User(_) | Destination::Group(_)) => {}
        }
    }

    fn stored_in_pair(&mut self, sent: Sent, placed: Placed) {
        let inbox_of = |user: UserNo| {
            let inbox = if user == sent.low { placed.inbox_low } else { placed.inbox_high };
            inbox.unwrap_or_default()
        };
        let peer = if sent.sender == sent.low { sent.high } else { sent.low };
        let outcome = Outcome::Stored {
            seq: placed.seq,
            inbox: Some(inbox_of(sent.sender)),
            message_id: placed.message_id,
            hash: sent.hash,
        };
        let entry = |inbox: InboxSeq| Entry {
            conversation: sent.conversation,
            sender: sent.sender,
            seq: placed.seq,
            inbox,
            message_id: placed.message_id,
            key: sent.key,
            from: sent.from.clone(),
            to: sent.to.clone(),
            body: sent.body.clone(),
            origin: sent.origin,
        };
        let to_sender = self.to(sent.sender);
        to_sender.entries.push(entry(inbox_of(sent.sender)));
        to_sender.settlements.push(Settlement {
            to: sent.to.clone(),
            pair: Pair { no: sent.conversation, peer },
            key: sent.key,
            life: sent.life,
            outcome,
        });
        if peer != sent.sender {
            self.to(peer).entries.push(entry(inbox_of(peer)));
        }
    }

    fn settled(&mut self, row: Row<Outgoing>, outcome: Outcome) {
        let conversation = row.target.conversation();
        match (row.target, row.payload.to) {
            (Target::Pair { low, high, .. }, Destination::User(to)) => {
                let peer = if row.sender == low { high } else { low };
                let pair = Pair { no: conversation, peer };
                let (key, life) = (row.key, row.life);
                let settlement = Settlement { to, pair, key, life, outcome };
                self.to(row.sender).settlements.push(settlement);
            }
            (Target::Post(place) | Target::Change { place, .. }, Destination::Group(port)) => {
                let (key, sender) = (row.key, row.sender);
                self.settle_in(port, EntrySettled { seq: place.seq, key, sender, outcome });
            }
            // Both come from the owner, which makes them fit.
            (_, Destination::User(_) | Destination::Group(_)) => {}
        }
    }

    fn deliver(mut self, directory: &Directory, journal: usize) {
        // Before their owners hear: what a change led to is on its way to the relays when it is answered.
        directory.publish(self.published);
        for (port, settled) in self.groups {
            mailbox::insist(&port.address, EntriesSettled(settled));
        }
        if let Some(exchange) = directory.exchange() {
            // All in one, for each node with devices of theirs.
            let letters =
                self.order.iter().filter_map(|user| Some((user, self.letters.get(user)?)));
            exchange
                .written(letters.flat_map(|(user, written)| {
                    written.entries.iter().map(|entry| (*user, entry))
                }));
        }
        for user in self.order {
            if let Some(mut written) = self.letters.remove(&user) {
                written.journal = journal;
                directory.written_here(user, written);
            }
        }
    }
}

/// A one-to-one message that is committed.
struct Sent {
    conversation: ConversationNo,
    low: UserNo,
    high: UserNo,
    sender: UserNo,
    life: Life,
    key: ClientMsgId,
    hash: SendHash,
    from: UserId,
    to: UserId,
    origin: Option<SessionNo>,
    body: Arc<Body>,
}
