//! What a client message id of a run says: which lane sent it, the how many-eth of that lane it is, when it was due.
//!
//! An id of version 7 has 74 bits for its maker. Written there, whoever hears a message knows its latency and whether it
//! is the next without looking anything up.

use uuid::Uuid;

/// Bits of a lane's number.
const LANE_BITS: u32 = 16;
/// Bits of a message's number in its lane.
const NUMBER_BITS: u32 = 22;
/// Bits of the time when it was due, in µs since the run began: 19 hours.
const DUE_BITS: u32 = 36;
const _: () = assert!(LANE_BITS + NUMBER_BITS + DUE_BITS == 74);

/// The lower of the two fields of the id, in bits.
const LOW_BITS: u32 = 62;

/// The most lanes that a run may have.
pub const LANES: usize = 1 << LANE_BITS;
/// The most messages that a lane may send.
pub const NUMBERS: usize = 1 << NUMBER_BITS;

/// What is known of a message by its id alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Which lane sent it.
    pub lane: u16,
    /// Its number in the lane, from 0.
    pub number: u32,
    /// When it was due, in µs since the run began.
    pub due_us: u64,
}

impl Stamp {
    /// The id, minted at `now_ms` since 1970.
    pub fn id(self, now_ms: u64) -> Uuid {
        let number = u128::from(self.number) & low(NUMBER_BITS);
        let due = u128::from(self.due_us) & low(DUE_BITS);
        let told = u128::from(self.lane) << (NUMBER_BITS + DUE_BITS) | number << DUE_BITS | due;
        let (high, rest) = (told >> LOW_BITS, told & low(LOW_BITS));
        Uuid::from_u128(u128::from(now_ms) << 80 | 0x7 << 76 | high << 64 | 0b10 << LOW_BITS | rest)
    }

    /// What an id says. Of an id that no run made it is nonsense, which is then no lane's next.
    pub fn of(id: Uuid) -> Self {
        let id = id.as_u128();
        let told = (id >> 64 & low(74 - LOW_BITS)) << LOW_BITS | id & low(LOW_BITS);
        Self {
            lane: (told >> (NUMBER_BITS + DUE_BITS)) as u16,
            number: (told >> DUE_BITS & low(NUMBER_BITS)) as u32,
            due_us: (told & low(DUE_BITS)) as u64,
        }
    }
}

const fn low(bits: u32) -> u128 {
    (1 << bits) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_what_was_written_into_it() {
        for stamp in [
            Stamp { lane: 0, number: 0, due_us: 0 },
            Stamp { lane: u16::MAX, number: NUMBERS as u32 - 1, due_us: (1 << DUE_BITS) - 1 },
            Stamp { lane: 40_961, number: 1_234_567, due_us: 9_876_543_210 },
        ] {
            let id = stamp.id(1_751_371_200_000);

            assert_eq!(Stamp::of(id), stamp);
            assert_eq!(id.get_version_num(), 7);
            assert_eq!(id.as_u128() >> 80, 1_751_371_200_000);
            assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
        }
    }
}
