//! Frames over TCP: four bytes of length, the highest first, then as many bytes.
//!
//! Knows no socket. Room is taken for what has come, never for what is announced.

use bytes::{Bytes, BytesMut};

use crate::limits;

/// Bytes of length before each frame; ours are written with them, by [`crate::protocol::framing`].
const HEAD_BYTES: usize = 4;

/// A frame was announced that is longer than [`limits::FRAME_BYTES`]. Nothing more can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

/// Reads what a client sends, however the bytes are cut.
#[derive(Debug, Default)]
pub struct FrameReader {
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
    frame: BytesMut,
}

impl FrameReader {
    /// Takes bytes up to the end of a frame; `None` when that is still to come.
    pub fn read(&mut self, bytes: &mut &[u8]) -> Option<Result<Bytes, TooLong>> {
        while self.head_bytes < HEAD_BYTES {
            let (next, rest) = bytes.split_first()?;
            *bytes = rest;
            self.head[self.head_bytes] = *next;
            self.head_bytes += 1;
        }
        let length = u32::from_be_bytes(self.head);
        let Some(length) = usize::try_from(length).ok().filter(|n| *n <= limits::FRAME_BYTES)
        else {
            return Some(Err(TooLong));
        };
        let (part, rest) = bytes.split_at(bytes.len().min(length - self.frame.len()));
        *bytes = rest;
        self.frame.extend_from_slice(part);
        if self.frame.len() < length {
            return None;
        }
        self.head_bytes = 0;
        Some(Ok(std::mem::take(&mut self.frame).freeze()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_however_they_are_cut(
            frames in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 0..1000).prop_map(Bytes::from), 0..8),
            cut in 1usize..2000,
        ) {
            let mut reader = FrameReader::default();
            let mut read = Vec::new();
            let heads = frames.iter().map(|frame| (frame.len() as u32).to_be_bytes());
            let bytes: Vec<u8> =
                heads.zip(&frames).flat_map(|(head, frame)| [&head, &frame[..]].concat()).collect();
            for mut piece in bytes.chunks(cut) {
                while let Some(frame) = reader.read(&mut piece) {
                    read.push(frame.unwrap());
                }
            }

            prop_assert_eq!(read, frames);
        }
    }

    #[test]
    fn a_frame_that_announces_more_than_may_be_is_refused_before_it_comes() {
        let longest = limits::FRAME_BYTES as u32;
        let announced = |length: u32| FrameReader::default().read(&mut &length.to_be_bytes()[..]);

        assert_eq!(announced(longest), None);
        assert_eq!(announced(longest + 1), Some(Err(TooLong)));
        assert_eq!(announced(u32::MAX), Some(Err(TooLong)));
    }
}
