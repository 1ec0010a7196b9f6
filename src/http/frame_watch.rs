//! Watches what a WebSocket client announces, before anything is kept of it.
//!
//! The WebSocket crate looks at a frame's length only once the whole frame is in its memory, so a client that announces
//! gigabytes could fill it. This reads nothing but the heads of frames, as the bytes pass by.

/// The longest head of a frame: two bytes, eight of length, four of mask.
const HEAD_BYTES: usize = 14;

/// A frame was announced that is longer than may be.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLong;

/// Where in the stream of frames the bytes are.
#[derive(Debug)]
pub struct FrameWatch {
    longest: u64,
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
    /// Bytes of the frame's payload that are still to come.
    payload_left: u64,
}

impl FrameWatch {
    /// Starts at the beginning of a frame; `longest` is the longest payload that may be announced, in bytes.
    pub fn new(longest: usize) -> Self {
        Self { longest: longest as u64, head: [0; HEAD_BYTES], head_bytes: 0, payload_left: 0 }
    }

    /// Lets bytes pass by.
    pub fn pass(&mut self, mut bytes: &[u8]) -> Result<(), TooLong> {
        while let Some((first, rest)) = bytes.split_first() {
            if self.payload_left > 0 {
                let skipped =
                    bytes.len().min(usize::try_from(self.payload_left).unwrap_or(usize::MAX));
                self.payload_left -= skipped as u64;
                bytes = &bytes[skipped..];
                continue;
            }
            self.head[self.head_bytes] = *first;
            self.head_bytes += 1;
            bytes = rest;
            if let Some(length) = self.announced() {
                if length > self.longest {
                    return Err(TooLong);
                }
                self.payload_left = length;
                self.head_bytes = 0;
            }
        }
        Ok(())
    }

    /// The length of the payload, once the head is complete.
    fn announced(&self) -> Option<u64> {
        let head = &self.head[..self.head_bytes];
        let second = *head.get(1)?;
        let (short, mask) = (second & 0x7f, if second & 0x80 == 0 { 0 } else { 4 });
        let length_bytes = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if head.len() < 2 + length_bytes + mask {
            return None;
        }
        let long =
            head[2..2 + length_bytes].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        Some(if length_bytes == 0 { u64::from(short) } else { long })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(length: usize, is_masked: bool) -> Vec<u8> {
        let bit = if is_masked { 0x80 } else { 0 };
        let mut bytes = vec![0x81];
        match length {
            0..=125 => bytes.push(bit | length as u8),
            126..=0xffff => {
                bytes.push(bit | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            _ => {
                bytes.push(bit | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend(vec![0xff; if is_masked { 4 } else { 0 }]);
        bytes.extend(vec![0xff; length]);
        bytes
    }

    proptest! {
        #[test]
        fn frames_up_to_the_longest_pass_however_they_are_cut_and_one_more_byte_does_not(
            lengths in proptest::collection::vec((0usize..=70_000, any::<bool>()), 0..8),
            cut in 1usize..5000,
        ) {
            let longest = 65_536;
            let mut watch = FrameWatch::new(longest);
            for (length, is_masked) in lengths {
                let bytes = frame(length, is_masked);
                let passed = bytes.chunks(cut).try_for_each(|chunk| watch.pass(chunk));

                prop_assert_eq!(passed.is_ok(), length <= longest);
                if passed.is_err() {
                    break;
                }
            }
        }
    }

    #[test]
    fn an_endless_length_is_refused_with_the_last_byte_of_its_head() {
        let mut watch = FrameWatch::new(100);
        let head = [0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3];

        assert_eq!(watch.pass(&head), Ok(()));
        assert_eq!(watch.pass(&[4]), Err(TooLong));
    }
}
