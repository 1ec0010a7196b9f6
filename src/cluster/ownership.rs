//! Which shards this node may append to, and under which epochs, as far as it knows.
//!
//! A hint and no more: PostgreSQL compares the epoch in the statement that appends. It is written by the node's keeper and
//! read by everyone, without a lock.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::ids::{Shard, ShardEpoch};

/// What stands for a shard that is not ours; epochs begin at 1.
const NOT_OURS: i64 = 0;

/// The shards of this node.
#[derive(Debug)]
pub struct Ownership {
    epochs: Box<[AtomicI64]>,
}

impl Default for Ownership {
    fn default() -> Self {
        Self { epochs: Shard::all().map(|_| AtomicI64::new(NOT_OURS)).collect() }
    }
}

impl Ownership {
    /// The epoch under which a shard is ours; none when it is not.
    pub fn epoch_of(&self, shard: Shard) -> Option<ShardEpoch> {
        let epoch = self.epochs[shard.index()].load(Ordering::Relaxed);
        (epoch != NOT_OURS).then_some(ShardEpoch::from_store(epoch))
    }

    /// How many shards are ours.
    pub fn count(&self) -> usize {
        Shard::all().filter(|shard| self.epoch_of(*shard).is_some()).count()
    }

    /// An append under this epoch was turned away: somebody else has claimed the shard. One that was claimed anew since
    /// stays ours.
    pub fn lost(&self, shard: Shard, epoch: ShardEpoch) {
        let ours = &self.epochs[shard.index()];
        let lost =
            ours.compare_exchange(epoch.get(), NOT_OURS, Ordering::Relaxed, Ordering::Relaxed);
        if lost.is_ok() {
            tracing::warn!(shard = shard.index(), epoch = epoch.get(), "a shard was lost");
            self.show();
        }
    }

    /// Takes over what the store says is ours; everything else is not.
    pub(super) fn replace(&self, owned: &[(Shard, ShardEpoch)]) {
        let mut epochs = vec![NOT_OURS; self.epochs.len()];
        for (shard, epoch) in owned {
            epochs[shard.index()] = epoch.get();
        }
        for (ours, epoch) in self.epochs.iter().zip(epochs) {
            ours.store(epoch, Ordering::Relaxed);
        }
        self.show();
    }

    /// Nothing is ours until the store says so again.
    pub(super) fn clear(&self) {
        self.replace(&[]);
    }

    fn show(&self) {
        metrics::gauge!("rookery_shards_owned").set(self.count() as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: ShardEpoch = ShardEpoch::from_store(3);
    const NEW: ShardEpoch = ShardEpoch::from_store(4);

    #[test]
    fn what_the_store_says_is_ours_and_nothing_else() {
        let ownership = Ownership::default();
        let shards: Vec<Shard> = Shard::all().take(3).collect();
        ownership.replace(&[(shards[0], OLD), (shards[1], OLD)]);

        ownership.replace(&[(shards[1], NEW), (shards[2], OLD)]);

        let epochs: Vec<_> = shards.iter().map(|shard| ownership.epoch_of(*shard)).collect();
        assert_eq!(epochs, [None, Some(NEW), Some(OLD)]);
        assert_eq!(ownership.count(), 2);
        ownership.clear();
        assert_eq!(ownership.count(), 0);
    }

    #[test]
    fn a_shard_that_was_claimed_anew_is_not_lost_by_word_of_an_older_epoch() {
        let ownership = Ownership::default();
        let shard = Shard::all().next().unwrap();
        ownership.replace(&[(shard, NEW)]);

        ownership.lost(shard, OLD);
        assert_eq!(ownership.epoch_of(shard), Some(NEW));

        ownership.lost(shard, NEW);
        assert_eq!(ownership.epoch_of(shard), None);
    }
}
