//! The other nodes, and which shards they own, as the store said last.
//!
//! A hint and no more: whoever is asked by it may own the shard no longer, and says so. It is written by the node's keeper
//! and read by everyone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use crate::ids::{NodeRun, Shard};
use crate::store::shards::Owned;

/// What is known of the other nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    nodes: Vec<NodeRun>,
    /// By shard; empty while nothing is known.
    owners: Vec<Option<Owned>>,
}

impl Known {
    /// The other nodes that are there, by number.
    pub fn nodes(&self) -> &[NodeRun] {
        &self.nodes
    }

    /// Whether a run of another node is there.
    pub fn has(&self, node: NodeRun) -> bool {
        self.nodes.binary_search(&node).is_ok()
    }

    /// The other node that owns a shard, if it is there.
    pub fn owner_of(&self, shard: Shard) -> Option<NodeRun> {
        self.claim_of(shard).map(|owned| owned.owner).filter(|owner| self.has(*owner))
    }

    /// Who claimed a shard last, there or not.
    pub fn claim_of(&self, shard: Shard) -> Option<Owned> {
        self.owners.get(shard.index()).copied().flatten()
    }
}

/// The other nodes, for those who have something for them.
#[derive(Debug)]
pub struct Peers {
    known: RwLock<Arc<Known>>,
    are_there: AtomicBool,
    changed: watch::Sender<Arc<Known>>,
}

impl Default for Peers {
    fn default() -> Self {
        let known = Arc::new(Known::default());
        let changed = watch::Sender::new(known.clone());
        Self { known: RwLock::new(known), are_there: AtomicBool::new(false), changed }
    }
}

impl Peers {
    /// Whether there is any. Most nodes ask this for each message and are alone.
    pub fn are_there(&self) -> bool {
        self.are_there.load(Ordering::Relaxed)
    }

    /// What is known of them.
    pub fn known(&self) -> Arc<Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Told when that changes.
    pub fn changes(&self) -> watch::Receiver<Arc<Known>> {
        self.changed.subscribe()
    }

    /// Takes over what the store says. `nodes` in rising order.
    pub(super) fn replace(&self, nodes: Vec<NodeRun>, owned: &[Owned]) {
        let mut owners = vec![None; usize::from(Shard::COUNT)];
        for one in owned {
            owners[one.shard.index()] = Some(*one);
        }
        let known = Known { nodes, owners };
        if *self.known() == known {
            return;
        }
        metrics::gauge!("rookery_peers").set(known.nodes.len() as f64);
        let known = Arc::new(known);
        self.are_there.store(!known.nodes.is_empty(), Ordering::Relaxed);
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known.clone();
        self.changed.send_replace(known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Incarnation, NodeId, ShardEpoch};

    fn run(node: i64, incarnation: i64) -> NodeRun {
        let incarnation = Incarnation::from_store(incarnation);
        NodeRun { node: NodeId::from_store(node), incarnation }
    }

    #[test]
    fn a_shard_of_a_run_that_is_gone_has_no_owner_to_ask() {
        let peers = Peers::default();
        let mut shards = Shard::all();
        let [one, other] = [shards.next().unwrap(), shards.next().unwrap()];
        let claim = |shard, owner| Owned { shard, epoch: ShardEpoch::from_store(2), owner };
        assert!(!peers.are_there());

        peers.replace(vec![run(7, 2)], &[claim(one, run(7, 2)), claim(other, run(7, 1))]);

        assert!(peers.are_there());
        let known = peers.known();
        assert_eq!(known.owner_of(one), Some(run(7, 2)));
        assert_eq!(known.owner_of(other), None);
        assert_eq!(known.claim_of(other).map(|it| it.owner), Some(run(7, 1)));
    }
}
