//! Decisions about sessions that other nodes hold, and what others decided about those here.

use std::sync::Arc;
use std::time::Instant;

use super::Exchange;
use super::letter::{Letter, Ticket};
use crate::actors::user::Decided;
use crate::ids::{NodeRun, UserNo};
use crate::limits;

impl Exchange {
    /// Tells all nodes which sessions of a user stand. Resolves when each of the holders, whose leases the store said to be
    /// running, has ended those which do not, or is gone: from then on no session that was ended acks anything. False when
    /// one of them neither answered in time nor is gone.
    pub(in crate::actors) async fn decided(
        &self,
        user: UserNo,
        decided: Decided,
        holders: Vec<NodeRun>,
    ) -> bool {
        let known = self.node.peers().known();
        // Rows may be behind, and notices are rare and small.
        for node in known.nodes().iter().filter(|node| !holders.contains(node)) {
            let decided = decided.clone();
            self.write(*node, &Letter::Decided { ticket: None, user, decided });
        }
        let ending = holders.into_iter().map(|node| self.ended_at(node, user, &decided));
        let ended = futures_util::future::join_all(ending).await;
        ended.into_iter().all(|has_ended| has_ended)
    }

    async fn ended_at(&self, node: NodeRun, user: UserNo, decided: &Decided) -> bool {
        let since = Instant::now();
        let decide = |ticket| {
            let decided = decided.clone();
            Letter::Decided { ticket: Some(ticket), user, decided }
        };
        let mut was_known = false;
        while since.elapsed() < limits::LOSERS_ENDED_WITHIN {
            if self.node.peers().known().has(node) {
                was_known = true;
                if self.done(node, limits::LOSER_ENDED_WITHIN, decide).await {
                    return true;
                }
            } else if was_known {
                // Its lease is over, and it acks nothing any more.
                return true;
            }
            // The store may know it and this node not yet: it has just begun, and holds sessions all the same.
            self.node.look_at_owners();
            tokio::time::sleep(limits::OWNERS_LOOKED_AT_EVERY).await;
        }
        tracing::warn!(%node, "a node that is there did not end sessions in time");
        false
    }

    /// Another node tells which sessions of a user stand.
    pub(super) fn hear_decided(
        self: &Arc<Self>,
        from: NodeRun,
        ticket: Option<Ticket>,
        user: UserNo,
        decided: Decided,
    ) {
        let is_done = self.directory.decided(user, decided);
        let Some(ticket) = ticket else { return };
        let exchange = self.clone();
        actix::spawn(async move {
            if let Some(is_done) = is_done {
                // Dropped when it is so, or when its user has ended, and all its sessions with it.
                let _ = is_done.await;
            }
            exchange.write(from, &Letter::Done { ticket });
        });
    }
}
