//! What this node and the others tell each other: asks of groups to the nodes that own them, entries to the nodes where
//! members are, decisions about sessions, and who is where.
//!
//! Whatever is told is a hint that may be lost; who hears of a gap compares with the store (`audit`). There is none of this
//! on a node that is alone by its settings.

mod arriving;
mod asks;
mod audit;
mod letter;
mod relays;
mod sessions;
mod tickets;
mod whereabouts;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use actix::prelude::*;
use dashmap::{DashMap, DashSet};
use deadpool_postgres::Pool;
use tokio::sync::{Notify, mpsc, oneshot, watch};

pub use self::asks::Return;
use self::letter::{Letter, Ticket};
use self::relays::Registered;
use self::tickets::{Tickets, Waiting};
use super::engine::Engine;
use super::registry::Directory;
use super::relay::{GroupEntry, GroupKey, MemberRead};
use super::user::{CursorsMoved, Entry};
use crate::cluster::bus::{Arrived, Bus};
use crate::cluster::node::Node;
use crate::cluster::presence::Board;
use crate::ids::{ConversationNo, NodeRun, Shard, UserNo};
use crate::limits;
use crate::protocol::Event;

/// How often what was not answered is given up.
const SWEEP_EVERY: Duration = Duration::from_millis(500);

/// This node's part in what nodes tell each other.
pub struct Exchange {
    node: Arc<Node>,
    bus: Arc<Bus>,
    directory: Arc<Directory>,
    board: Arc<Board>,
    pool: Pool,
    tickets: Tickets,
    /// Groups' numbers, for those that others own.
    numbers: DashMap<GroupKey, ConversationNo>,
    /// Of groups that this node owns: the other nodes with members.
    wanted_by: DashMap<ConversationNo, Vec<NodeRun>>,
    /// Of groups with members here: what their owners know of that.
    registered: DashMap<ConversationNo, Registered>,
    /// Rounds of telling who is here that were begun, and those that all have heard.
    rounds: AtomicU64,
    rounds_heard: watch::Sender<u64>,
    /// Nodes that did not answer the last time, or said that they go.
    silent: DashSet<NodeRun>,
    /// Wakes the audit.
    doubt: Notify,
}

impl Exchange {
    /// Makes it; nothing is told before [`Exchange::run`].
    pub(super) fn new(
        node: Arc<Node>,
        bus: Arc<Bus>,
        directory: Arc<Directory>,
        board: Arc<Board>,
        pool: Pool,
    ) -> Arc<Self> {
        Arc::new(Self {
            node,
            bus,
            directory,
            board,
            pool,
            tickets: Tickets::default(),
            numbers: DashMap::new(),
            wanted_by: DashMap::new(),
            registered: DashMap::new(),
            rounds: AtomicU64::new(0),
            rounds_heard: watch::Sender::new(0),
            silent: DashSet::new(),
            doubt: Notify::new(),
        })
    }

    /// Begins to hear and to tell, on the threads of the actors.
    pub(super) fn run(
        self: &Arc<Self>,
        engine: &Engine,
        arrived: mpsc::Receiver<Arrived>,
        arbiters: &[ArbiterHandle],
    ) {
        let (first, last) = (&arbiters[0], &arbiters[arbiters.len() - 1]);
        let (exchange, own) = (self.clone(), engine.clone());
        first.spawn(async move { exchange.hear(own, arrived).await });
        let exchange = self.clone();
        last.spawn(async move { exchange.follow_peers().await });
        let exchange = self.clone();
        last.spawn(async move { exchange.tell_who_is_here().await });
        let exchange = self.clone();
        last.spawn(async move { exchange.tell_owners_moved().await });
        let exchange = self.clone();
        last.spawn(async move { exchange.audit().await });
        let exchange = self.clone();
        last.spawn(async move {
            let mut due = tokio::time::interval(SWEEP_EVERY);
            loop {
                due.tick().await;
                let known = exchange.node.peers().known();
                exchange.tickets.sweep(Instant::now(), |node| known.has(node));
            }
        });
    }

    /// Whether there is anyone to tell anything.
    pub(super) fn has_peers(&self) -> bool {
        self.node.peers().are_there()
    }

    /// The other nodes that are there.
    pub(super) fn nodes(&self) -> Vec<NodeRun> {
        self.node.peers().known().nodes().to_vec()
    }

    /// Writes to a node; false when there was no room for it.
    fn write(&self, to: NodeRun, letter: &Letter) -> bool {
        letter.encode().is_some_and(|letter| self.bus.send(to, letter))
    }

    fn write_to_all(&self, letter: &Letter) {
        if let Some(letter) = letter.encode() {
            for node in self.node.peers().known().nodes() {
                self.bus.send(*node, letter.clone());
            }
        }
    }

    /// Writes a letter with a ticket, and waits until it is answered; false when it was not in time, or the node is gone.
    async fn done(
        &self,
        by: NodeRun,
        within: Duration,
        letter: impl FnOnce(Ticket) -> Letter,
    ) -> bool {
        let (done, is_done) = oneshot::channel();
        let Ok(ticket) = self.tickets.draw(by, Waiting::Done(done)) else { return false };
        if !self.write(by, &letter(ticket)) {
            self.tickets.take(ticket, by);
            return false;
        }
        matches!(tokio::time::timeout(within, is_done).await, Ok(Ok(())))
    }

    /// Tells the nodes where members are what was committed in groups.
    pub(super) fn publish(&self, entries: &[GroupEntry]) {
        let known = self.node.peers().known();
        let mut parts: HashMap<NodeRun, Vec<GroupEntry>> = HashMap::new();
        for entry in entries {
            // Whoever becomes a member may be anywhere, also on the way in.
            if let Some(moved) = entry.moved.as_ref().filter(|moved| !moved.added.is_empty()) {
                self.want_for(entry.no, moved);
                for node in known.nodes() {
                    parts.entry(*node).or_default().push(entry.clone());
                }
            } else if let Some(nodes) = self.wanted_by.get(&entry.no) {
                for node in nodes.iter() {
                    parts.entry(*node).or_default().push(entry.clone());
                }
            }
        }
        self.write_entries(parts, |entries| Letter::Entries { entries });
    }

    fn write_entries<T>(&self, parts: HashMap<NodeRun, Vec<T>>, letter: impl Fn(Vec<T>) -> Letter) {
        for (node, entries) in parts {
            metrics::counter!("rookery_entries_to_nodes_total").increment(entries.len() as u64);
            let mut entries = entries.into_iter().peekable();
            while entries.peek().is_some() {
                let part = entries.by_ref().take(limits::LETTER_ENTRIES).collect();
                self.write(node, &letter(part));
            }
        }
    }

    /// Tells other nodes what is new in inboxes of users who have devices there.
    pub(super) fn written<'a>(&self, entries: impl Iterator<Item = (UserNo, &'a Entry)>) {
        let mut parts: HashMap<NodeRun, Vec<(UserNo, Entry)>> = HashMap::new();
        for (user, entry) in entries {
            for node in self.board.elsewhere(user) {
                parts.entry(node).or_default().push((user, entry.clone()));
            }
        }
        self.write_entries(parts, |entries| Letter::Inboxes { entries });
    }

    /// Tells a user's devices elsewhere of its own cursors.
    pub(super) fn own_cursors(&self, user: UserNo, moved: &CursorsMoved) {
        // Tickets are of sessions here.
        let moved = CursorsMoved { ticket: None, ..moved.clone() };
        self.to_user(user, || Letter::OwnCursors { user, moved });
    }

    /// Tells a user's devices elsewhere of the other side's cursors.
    pub(super) fn peer_cursors(&self, user: UserNo, moved: &CursorsMoved) {
        self.to_user(user, || Letter::PeerCursors { user, moved: moved.clone() });
    }

    fn to_user(&self, user: UserNo, letter: impl FnOnce() -> Letter) {
        let nodes = self.board.elsewhere(user);
        if nodes.is_empty() {
            return;
        }
        if let Some(letter) = letter().encode() {
            for node in nodes {
                self.bus.send(node, letter.clone());
            }
        }
    }

    /// Tells the other nodes with members of a group that one has read: by way of its owner, who knows them.
    pub(super) fn member_read(&self, read: &MemberRead) {
        match self.node.peers().known().owner_of(Shard::of(read.no)) {
            Some(owner) => {
                self.write(owner, &Letter::MemberRead { read: read.clone() });
            }
            None => self.pass_on_read(read, None),
        }
    }

    /// As the owner of a group.
    fn pass_on_read(&self, read: &MemberRead, but: Option<NodeRun>) {
        let Some(nodes) = self.wanted_by.get(&read.no).map(|nodes| nodes.clone()) else { return };
        for node in nodes.into_iter().filter(|node| Some(*node) != but) {
            self.write(node, &Letter::MemberReadAt { read: read.clone() });
        }
    }

    /// Two users are friends now, or are not any more; their devices elsewhere are told so.
    pub(super) fn friends_moved(&self, users: [UserNo; 2], events: [Event; 2]) {
        if self.has_peers() {
            self.write_to_all(&Letter::Friends { users, events: Box::new(events) });
        }
    }

    /// Nobody is here any more, and the node goes: no other waits for it.
    pub(super) fn say_farewell(&self) {
        self.write_to_all(&Letter::Farewell);
    }

    /// Tells when shards were given to other nodes, so that they and whoever has something for their groups look at once,
    /// for as long as it is polled.
    async fn tell_owners_moved(&self) {
        loop {
            self.node.gave_shards().await;
            self.write_to_all(&Letter::OwnersMoved);
        }
    }
}
