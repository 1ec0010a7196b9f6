//! Who is where: each node tells all others who is with it, in rounds, and knows of everyone who is with them.
//!
//! One round is under way at a time, and what came meanwhile goes with the next. A login waits for a round that names its
//! user, so that from then on every node knows where to send what is new in that inbox.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Exchange;
use super::letter::{Letter, Ticket};
use crate::cluster::presence::Whereabouts;
use crate::domain::presence::Now;
use crate::ids::{NodeRun, UserNo};
use crate::limits;

/// How long a node is waited for that did not answer before.
const SILENT_WITHIN: Duration = Duration::from_millis(50);

/// Whom other nodes have told of, each with the telling of everyone in which, or since which, it was named.
#[derive(Default)]
pub(super) struct Told(HashMap<NodeRun, OfNode>);

#[derive(Default)]
struct OfNode {
    telling: u64,
    users: HashMap<UserNo, u64>,
}

impl Exchange {
    fn now(&self) -> Now {
        Now { at: Instant::now(), time: self.node.now() }
    }

    /// Resolves when all other nodes know who is here now, but for those that do not answer.
    pub(in crate::actors) async fn all_know_who_is_here(&self) {
        if !self.has_peers() {
            return;
        }
        // The round that is under way may have begun before.
        let round = self.rounds.load(Ordering::Acquire) + 1;
        self.board.begin_telling();
        let mut heard = self.rounds_heard.subscribe();
        // Fails only with the exchange, and late is as good as never: comparing heads makes up for it.
        let _ = tokio::time::timeout(limits::KNOWN_WITHIN, heard.wait_for(|heard| *heard >= round))
            .await;
    }

    /// Tells who came and who left, for as long as it is polled.
    pub(super) async fn tell_who_is_here(&self) {
        loop {
            self.board.untold().await;
            let round = self.rounds.fetch_add(1, Ordering::AcqRel) + 1;
            let users = self.board.take_untold();
            let known = self.node.peers().known();
            self.silent.retain(|node| known.has(*node));
            if !users.is_empty() {
                let users: Vec<Whereabouts> =
                    users.into_iter().map(|user| self.board.whereabouts(user)).collect();
                let telling = known.nodes().iter().map(|node| {
                    // One that did not answer the last time does not hold up all others again.
                    let is_silent = self.silent.contains(node);
                    let within = if is_silent { SILENT_WITHIN } else { limits::HEARD_WITHIN };
                    let telling = users.chunks(limits::LETTER_USERS).map(|users| {
                        let here = |ticket| Letter::Here { ticket, users: users.to_vec() };
                        self.done(*node, within, here)
                    });
                    let telling = futures_util::future::join_all(telling);
                    async move { (*node, telling.await.into_iter().all(|has_heard| has_heard)) }
                });
                for (node, has_heard) in futures_util::future::join_all(telling).await {
                    if has_heard {
                        self.silent.remove(&node);
                    } else {
                        // What it wrote for those who came meanwhile did not come here.
                        self.doubt.notify_one();
                        self.silent.insert(node);
                    }
                }
            }
            self.rounds_heard.send_replace(round);
        }
    }

    /// Tells a node everyone who is here.
    pub(super) fn tell_everyone(&self, to: NodeRun) {
        let users = self.board.all_here();
        let mut parts = users.chunks(limits::LETTER_USERS).peekable();
        let mut is_first = true;
        loop {
            let part = parts.next().unwrap_or_default();
            let users = part.iter().map(|user| self.board.whereabouts(*user)).collect();
            let is_last = parts.peek().is_none();
            self.write(to, &Letter::Everyone { is_first, users, is_last });
            if is_last {
                return;
            }
            is_first = false;
        }
    }

    /// A node tells who came and who left.
    pub(super) fn hear_here(
        &self,
        told: &mut Told,
        from: NodeRun,
        ticket: Ticket,
        users: Vec<Whereabouts>,
    ) {
        if self.knows(from) {
            self.take_over(told, from, users);
            self.write(from, &Letter::Done { ticket });
        }
    }

    /// Whether a node is there, as far as the store said. One that has just joined is asked for everyone as soon as that says
    /// so.
    fn knows(&self, node: NodeRun) -> bool {
        let is_known = self.node.peers().known().has(node);
        if !is_known {
            self.node.look_at_owners();
        }
        is_known
    }

    /// A node tells a part of everyone who is there.
    pub(super) fn hear_everyone(
        &self,
        told: &mut Told,
        from: NodeRun,
        (is_first, is_last): (bool, bool),
        users: Vec<Whereabouts>,
    ) {
        if !self.knows(from) {
            return;
        }
        if is_first {
            told.0.entry(from).or_default().telling += 1;
        }
        self.take_over(told, from, users);
        let Some(of_node) = told.0.get_mut(&from).filter(|_| is_last) else { return };
        let telling = of_node.telling;
        let gone = of_node.users.iter().filter(|(_, named)| **named < telling);
        for user in gone.map(|(user, _)| *user).collect::<Vec<_>>() {
            of_node.users.remove(&user);
            self.nowhere(from, user);
        }
    }

    fn take_over(&self, told: &mut Told, from: NodeRun, users: Vec<Whereabouts>) {
        let of_node = told.0.entry(from).or_default();
        let now = self.now();
        for whereabouts in users {
            if whereabouts.devices.is_empty() {
                of_node.users.remove(&whereabouts.user);
            } else {
                of_node.users.insert(whereabouts.user, of_node.telling);
            }
            self.board.told_by(from, whereabouts, now);
        }
    }

    /// Nobody is at nodes that are gone.
    pub(super) fn forget_gone(&self, told: &mut Told) {
        let known = self.node.peers().known();
        told.0.retain(|node, of_node| {
            let is_there = known.has(*node);
            if !is_there {
                for user in of_node.users.keys() {
                    self.nowhere(*node, *user);
                }
            }
            is_there
        });
    }

    fn nowhere(&self, node: NodeRun, user: UserNo) {
        let nothing = Whereabouts { user, of: None, devices: Vec::new(), profile: None };
        self.board.told_by(node, nothing, self.now());
    }
}
