//! What a letter travels in: who sent it to whom, its number, until when it holds, and a signature over all of that.
//!
//! An envelope comes from outside like any frame of a client: whatever is wrong with it, it is refused and nothing else.

use std::fmt;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::ids::{Incarnation, NodeId, NodeRun, UnixMs};

/// The version of the form below. A node of another version refuses it, and tells the gap.
const VERSION: u8 = 1;
/// Version, kind, four numbers of runs, the number, the deadline.
const HEAD_BYTES: usize = 2 + 6 * 8;
/// The whole of HMAC-SHA256.
const TAG_BYTES: usize = 32;

/// What an envelope has besides its payload, in bytes.
pub const OVERHEAD_BYTES: usize = HEAD_BYTES + TAG_BYTES;

/// The secret that all nodes of a cluster share.
#[derive(Clone)]
pub struct ClusterKey([u8; 32]);

impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterKey")
    }
}

/// One envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Who sent it.
    pub from: NodeRun,
    /// For whom it is.
    pub to: NodeRun,
    /// Counted for each pair of sender and receiver, from 1.
    pub number: u64,
    /// The database's time after which it must not be delivered.
    pub deadline: UnixMs,
    /// What is in it.
    pub content: Content,
}

/// What is in an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Nothing: it shows how far its sender has counted.
    Beat,
    /// What somebody sent.
    Letter(Bytes),
}

/// Why an envelope is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is too short or holds what no envelope holds.
    #[error("malformed")]
    Malformed,
    /// It is of another version.
    #[error("version")]
    Version,
    /// Nobody who knows the cluster's key has written it so.
    #[error("forged")]
    Forged,
    /// It is for somebody else.
    #[error("misaddressed")]
    Misaddressed,
    /// Its time is over.
    #[error("late")]
    Late,
}

impl Refused {
    /// As it is counted.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Version => "version",
            Self::Forged => "forged",
            Self::Misaddressed => "misaddressed",
            Self::Late => "late",
        }
    }
}

impl ClusterKey {
    /// Wraps the secret.
    pub fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// A name for the cluster that tells nothing of the key: several clusters may share one Redis.
    pub fn prefix(&self) -> String {
        let named = self.mac().chain_update(b"redis").finalize().into_bytes();
        let digits: String = named[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("rookery:{digits}")
    }

    /// Writes and signs an envelope.
    pub fn seal(&self, envelope: &Envelope) -> Bytes {
        let (kind, payload): (u8, &[u8]) = match &envelope.content {
            Content::Beat => (0, &[]),
            Content::Letter(payload) => (1, payload),
        };
        let mut raw = Vec::with_capacity(OVERHEAD_BYTES + payload.len());
        raw.extend([VERSION, kind]);
        for run in [envelope.from, envelope.to] {
            raw.extend(run.node.get().to_be_bytes());
            raw.extend(run.incarnation.get().to_be_bytes());
        }
        raw.extend(envelope.number.to_be_bytes());
        raw.extend(envelope.deadline.get().to_be_bytes());
        let tag = self.mac().chain_update(&raw).chain_update(payload).finalize().into_bytes();
        raw.extend(tag);
        raw.extend(payload);
        raw.into()
    }

    /// Reads an envelope that came for `own`.
    pub fn open(&self, raw: &Bytes, own: NodeRun, now: UnixMs) -> Result<Envelope, Refused> {
        let (head, rest) = raw.split_at_checked(HEAD_BYTES).ok_or(Refused::Malformed)?;
        let (tag, payload) = rest.split_at_checked(TAG_BYTES).ok_or(Refused::Malformed)?;
        if head[0] != VERSION {
            return Err(Refused::Version);
        }
        // In constant time, as the crate compares.
        let signed = self.mac().chain_update(head).chain_update(payload);
        signed.verify_slice(tag).map_err(|_| Refused::Forged)?;
        let content = match head[1] {
            0 if payload.is_empty() => Content::Beat,
            1 => Content::Letter(raw.slice(OVERHEAD_BYTES..)),
            _ => return Err(Refused::Malformed),
        };
        let mut numbers = head[2..].chunks_exact(8).map(|chunk| {
            let mut number = [0; 8];
            number.copy_from_slice(chunk);
            i64::from_be_bytes(number)
        });
        let mut next = || numbers.next().ok_or(Refused::Malformed);
        let (from, to) = (run(next()?, next()?), run(next()?, next()?));
        let (number, deadline) = (next()?.cast_unsigned(), UnixMs::new(next()?));
        if to != own {
            return Err(Refused::Misaddressed);
        }
        if is_late(deadline, now) {
            return Err(Refused::Late);
        }
        Ok(Envelope { from, to, number, deadline, content })
    }

    /// Signs what nodes keep in Redis besides envelopes: the signature, and what it is over.
    pub(super) fn seal_mark(&self, mark: &[u8]) -> Vec<u8> {
        let tag = self.mac().chain_update(b"mark").chain_update(mark).finalize().into_bytes();
        [&tag[..], mark].concat()
    }

    /// Reads what was signed so.
    pub(super) fn open_mark<'a>(&self, raw: &'a [u8]) -> Result<&'a [u8], Refused> {
        let (tag, mark) = raw.split_at_checked(TAG_BYTES).ok_or(Refused::Malformed)?;
        let signed = self.mac().chain_update(b"mark").chain_update(mark);
        signed.verify_slice(tag).map_err(|_| Refused::Forged)?;
        Ok(mark)
    }

    fn mac(&self) -> Hmac<Sha256> {
        // A key that is shorter than a block is filled up with zeros; that is what HMAC itself does with one.
        let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
        block[..self.0.len()].copy_from_slice(&self.0);
        <Hmac<Sha256> as KeyInit>::new(&block)
    }
}

/// Whether what holds until `deadline` must not be delivered any more.
pub(super) fn is_late(deadline: UnixMs, now: UnixMs) -> bool {
    now.since(deadline) > 0
}

fn run(node: i64, incarnation: i64) -> NodeRun {
    NodeRun { node: NodeId::from_store(node), incarnation: Incarnation::from_store(incarnation) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: UnixMs = UnixMs::new(1_000_000);

    fn key() -> ClusterKey {
        ClusterKey::new([7; 32])
    }

    fn envelope(payload: &'static [u8]) -> Envelope {
        Envelope {
            from: run(1, 2),
            to: run(3, 4),
            number: u64::MAX,
            deadline: NOW,
            content: Content::Letter(Bytes::from_static(payload)),
        }
    }

    #[test]
    fn an_envelope_is_read_as_it_was_written() {
        for content in [
            Content::Beat,
            Content::Letter(Bytes::new()),
            Content::Letter(Bytes::from_static(b"a letter")),
        ] {
            let written = Envelope { content, ..envelope(b"") };

            assert_eq!(key().open(&key().seal(&written), run(3, 4), NOW), Ok(written));
        }
    }

    #[test]
    fn the_tag_is_that_of_rfc_2104() {
        let by_slice = Hmac::<Sha256>::new_from_slice(&[7; 32]).unwrap();

        let expected = by_slice.chain_update(b"x").finalize().into_bytes();
        assert_eq!(key().mac().chain_update(b"x").finalize().into_bytes(), expected);
    }

    #[test]
    fn what_is_for_somebody_else_or_late_is_refused() {
        let raw = key().seal(&envelope(b"a letter"));
        let later = UnixMs::new(NOW.get() + 1);

        assert_eq!(key().open(&raw, run(3, 5), NOW), Err(Refused::Misaddressed));
        assert_eq!(key().open(&raw, run(3, 4), later), Err(Refused::Late));
        let other = ClusterKey::new([8; 32]);
        assert_eq!(other.open(&raw, run(3, 4), NOW), Err(Refused::Forged));
    }

    #[test]
    fn what_is_signed_and_yet_no_envelope_is_refused() {
        let mut raw = key().seal(&envelope(b"x")).to_vec();
        raw[1] = 0;
        let tag = key().mac().chain_update(&raw[..HEAD_BYTES]).chain_update(b"x").finalize();
        raw[HEAD_BYTES..OVERHEAD_BYTES].copy_from_slice(&tag.into_bytes());

        assert_eq!(key().open(&raw.into(), run(3, 4), NOW), Err(Refused::Malformed));
    }

    #[test]
    fn clusters_with_other_keys_have_other_prefixes() {
        assert_ne!(key().prefix(), ClusterKey::new([8; 32]).prefix());
    }

    #[test]
    fn a_mark_is_read_as_it_was_written_and_no_other_key_nor_an_envelope_passes_for_one() {
        let raw = key().seal_mark(b"a mark");

        assert_eq!(key().open_mark(&raw), Ok(&b"a mark"[..]));
        assert_eq!(ClusterKey::new([8; 32]).open_mark(&raw), Err(Refused::Forged));
        assert_eq!(key().open_mark(&key().seal(&envelope(b"x"))), Err(Refused::Forged));
        assert_eq!(key().open_mark(b"short"), Err(Refused::Malformed));
    }

    proptest! {
        #[test]
        fn one_changed_bit_anywhere_is_refused(at in 0usize..OVERHEAD_BYTES + 8, bit in 0u8..8) {
            let mut raw = key().seal(&envelope(b"a letter")).to_vec();
            raw[at] ^= 1 << bit;

            prop_assert!(key().open(&raw.into(), run(3, 4), NOW).is_err());
        }

        #[test]
        fn bytes_of_any_kind_are_refused(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(key().open(&raw.into(), run(3, 4), NOW).is_err());
        }
    }
}
