//! Message ids: 41 bits of milliseconds since 2025, 10 bits of node number, 12 bits of counter.
//!
//! Unique over all nodes as long as no two use one node number at once, which the nodes' leases see to.

use crate::ids::{MessageId, UnixMs};

/// 2025-01-01T00:00:00Z, in milliseconds since 1970.
const ORIGIN_MS: i64 = 1_735_689_600_000;
const NODE_BITS: u32 = 10;
const COUNTER_BITS: u32 = 12;

/// Mints the message ids of one node.
#[derive(Debug)]
pub struct Snowflakes {
    node_number: i64,
    last_ms: i64,
    counter: i64,
}

impl Snowflakes {
    /// Takes a node number below 1,024.
    pub fn new(node_number: i16) -> Self {
        let node_number = i64::from(node_number) & ((1 << NODE_BITS) - 1);
        Self { node_number, last_ms: 0, counter: 0 }
    }

    /// Mints an id higher than all before it, at `now` or, when the clock has gone back, just after the last.
    pub fn mint(&mut self, now: UnixMs) -> MessageId {
        let now_ms = now.get() - ORIGIN_MS;
        if now_ms > self.last_ms {
            self.last_ms = now_ms;
            self.counter = 0;
        } else {
            self.counter += 1;
            if self.counter >> COUNTER_BITS != 0 {
                self.last_ms += 1;
                self.counter = 0;
            }
        }
        let high = self.last_ms << (NODE_BITS + COUNTER_BITS);
        MessageId::from_store(high | (self.node_number << COUNTER_BITS) | self.counter)
    }
}

/// The time inside an id.
pub fn sent_at(id: MessageId) -> UnixMs {
    UnixMs::new((id.get() >> (NODE_BITS + COUNTER_BITS)) + ORIGIN_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs::new(1_800_000_000_000);

    #[test]
    fn ids_rise_and_tell_their_time_even_when_the_clock_goes_back() {
        let mut ids = Snowflakes::new(1023);
        let mut last = ids.mint(NOW);
        assert_eq!(sent_at(last), NOW);

        for n in 0..10_000 {
            let id = ids.mint(UnixMs::new(NOW.get() - n));
            assert!(id > last);
            last = id;
        }
        assert!(sent_at(last).since(NOW) <= 3, "4,096 ids a millisecond");
    }

    #[test]
    fn two_nodes_never_mint_the_same() {
        assert_ne!(Snowflakes::new(1).mint(NOW), Snowflakes::new(2).mint(NOW));
    }
}
