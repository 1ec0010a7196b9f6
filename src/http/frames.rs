//! RFC 6455's rules for what a client sends, frame by frame: a watch in front of the crate that reads the frames.
//!
//! Knows no socket and keeps no message. A fault shows with the first byte that proves it: a frame that is too long by its
//! own word is not waited for, nor is text that can no longer become UTF-8.

use crate::limits;

/// The bits of a frame's first byte: the last fragment, those that stand for nothing here, and what it is.
const LAST: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0f;
/// The bit of the second byte that says that a mask follows the length.
const MASKED: u8 = 0x80;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// The longest head that a client sends: two bytes, eight of length, four of mask.
const HEAD_BYTES: usize = 14;
/// The longest payload of a control frame, and of a length that fits into the second byte.
const SHORT: usize = 125;
/// How much of a payload is unmasked at once.
const UNMASKED_AT_ONCE: usize = 1024;

/// Which of the two kinds of message a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

impl Kind {
    fn opcode(self) -> u8 {
        match self {
            Self::Text => TEXT,
            Self::Binary => BINARY,
        }
    }
}

/// What has passed, up to its last byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    /// A whole message of the connection's kind, a ping or a pong.
    Whole,
    /// A close. What follows is no frame.
    Close,
}

/// Why the connection must end, as the close frame tells it. Nothing more can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation {
    /// RFC 6455's close code.
    pub code: u16,
    /// For people.
    pub reason: &'static str,
}

impl Violation {
    fn protocol(reason: &'static str) -> Self {
        Self { code: 1002, reason }
    }

    fn not_utf8() -> Self {
        Self { code: 1007, reason: "the text is not UTF-8" }
    }

    fn too_large() -> Self {
        Self { code: 1009, reason: "the message is too large" }
    }
}

/// Where in what a client sends the bytes are, however they are cut.
#[derive(Debug)]
pub struct FrameWatch {
    kind: Kind,
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
    /// The frame whose payload is passing.
    frame: Option<Frame>,
    /// The message whose fragments are passing.
    message: Option<Message>,
    /// The payload of a close, which may stand between the fragments of a message.
    close: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    opcode: u8,
    is_last: bool,
    mask: [u8; 4],
    length: usize,
    passed: usize,
}

#[derive(Debug, Default)]
struct Message {
    bytes: usize,
    fragments: usize,
    /// The beginning of a character that is not whole yet.
    tail: Vec<u8>,
}

impl FrameWatch {
    /// Starts behind the handshake.
    pub fn new(kind: Kind) -> Self {
        let (head, close) = ([0; HEAD_BYTES], Vec::new());
        Self { kind, head, head_bytes: 0, frame: None, message: None, close }
    }

    /// Lets bytes pass, at most up to the end of what the client said last; `None` when that is still to come.
    ///
    /// After a violation nothing more may be passed.
    pub fn pass(&mut self, bytes: &mut &[u8]) -> Option<Result<Passed, Violation>> {
        loop {
            let progress = match self.frame {
                None => self.pass_head(bytes),
                Some(frame) => self.pass_payload(frame, bytes),
            };
            match progress {
                Ok(Progress::Starved) => return None,
                Ok(Progress::Moved) => {}
                Ok(Progress::Reached(passed)) => return Some(Ok(passed)),
                Err(violation) => return Some(Err(violation)),
            }
        }
    }

    fn pass_head(&mut self, bytes: &mut &[u8]) -> Result<Progress, Violation> {
        let Some((next, rest)) = bytes.split_first() else { return Ok(Progress::Starved) };
        *bytes = rest;
        self.head[self.head_bytes] = *next;
        self.head_bytes += 1;
        let [first, second, ..] = self.head;
        let extended = match second & !MASKED {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if self.head_bytes == 1 {
            self.judge_opcode(first)?;
        } else if self.head_bytes == 2 {
            if second & MASKED == 0 {
                return Err(Violation::protocol("the frame is not masked"));
            }
            if is_control(first) && extended > 0 {
                return Err(Violation::protocol("the control frame is too long"));
            }
        }
        if self.head_bytes == 2 + extended {
            self.judge_length(first, self.length(second, extended)?)?;
        }
        if self.head_bytes < 2 + extended + 4 {
            return Ok(Progress::Moved);
        }
        self.head_bytes = 0;
        let mut mask = [0; 4];
        mask.copy_from_slice(&self.head[2 + extended..2 + extended + 4]);
        let length = self.length(second, extended)?;
        // No longer than a message may be.
        let length = usize::try_from(length).map_err(|_| Violation::too_large())?;
        let (opcode, is_last) = (first & OPCODE, first & LAST != 0);
        self.frame = Some(Frame { opcode, is_last, mask, length, passed: 0 });
        if !is_control(first) {
            let message = self.message.get_or_insert_default();
            message.fragments += 1;
            // Counted as well as measured: empty fragments cost memory too.
            if message.fragments > limits::FRAGMENTS {
                return Err(Violation::too_large());
            }
        }
        Ok(Progress::Moved)
    }

    fn judge_opcode(&self, first: u8) -> Result<(), Violation> {
        if first & RESERVED != 0 {
            return Err(Violation::protocol("a reserved bit is set"));
        }
        match first & OPCODE {
            CLOSE | PING | PONG if first & LAST == 0 => {
                Err(Violation::protocol("the control frame is in fragments"))
            }
            CLOSE | PING | PONG => Ok(()),
            CONTINUATION if self.message.is_none() => {
                Err(Violation::protocol("the fragment continues nothing"))
            }
            CONTINUATION => Ok(()),
            TEXT | BINARY if self.message.is_some() => {
                Err(Violation::protocol("a message begins inside another"))
            }
            opcode if opcode == self.kind.opcode() => Ok(()),
            TEXT => Err(Violation { code: 1003, reason: "this subprotocol is binary" }),
            BINARY => Err(Violation { code: 1003, reason: "this subprotocol is text" }),
            _ => Err(Violation::protocol("nobody knows this opcode")),
        }
    }

    /// The length that the head announces.
    fn length(&self, second: u8, extended: usize) -> Result<u64, Violation> {
        if extended == 0 {
            return Ok(u64::from(second & !MASKED));
        }
        let length =
            self.head[2..2 + extended].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let (shorter, longest) = match extended {
            2 => (SHORT as u64, u64::MAX),
            _ => (u64::from(u16::MAX), u64::MAX >> 1),
        };
        if length <= shorter {
            return Err(Violation::protocol("the length is longer than it need be"));
        }
        if length > longest {
            return Err(Violation::protocol("the length has its highest bit set"));
        }
        Ok(length)
    }

    fn judge_length(&self, first: u8, length: u64) -> Result<(), Violation> {
        let before = match &self.message {
            Some(message) if !is_control(first) => message.bytes,
            _ => 0,
        };
        if length > (limits::FRAME_BYTES - before) as u64 {
            return Err(Violation::too_large());
        }
        if first & OPCODE == CLOSE && length == 1 {
            return Err(Violation::protocol("half a close code"));
        }
        Ok(())
    }

    fn pass_payload(&mut self, frame: Frame, bytes: &mut &[u8]) -> Result<Progress, Violation> {
        let passing = bytes.len().min(frame.length - frame.passed).min(UNMASKED_AT_ONCE);
        if passing == 0 && frame.passed < frame.length {
            return Ok(Progress::Starved);
        }
        let (part, rest) = bytes.split_at(passing);
        *bytes = rest;
        let passed = frame.passed + passing;
        let is_whole = passed == frame.length;
        self.frame = (!is_whole).then_some(Frame { passed, ..frame });
        let plain = part
            .iter()
            .enumerate()
            .map(|(at, byte)| byte ^ frame.mask[(frame.passed + at) % frame.mask.len()]);
        match frame.opcode {
            CLOSE => self.close.extend(plain),
            PING | PONG => {}
            _ => {
                let message = self.message.get_or_insert_default();
                message.bytes += passing;
                if self.kind == Kind::Text {
                    message.check_text(plain, is_whole && frame.is_last)?;
                }
            }
        }
        if !is_whole {
            return Ok(Progress::Moved);
        }
        Ok(match frame.opcode {
            CLOSE => {
                judge_close(&self.close)?;
                Progress::Reached(Passed::Close)
            }
            PING | PONG => Progress::Reached(Passed::Whole),
            _ if frame.is_last => {
                self.message = None;
                Progress::Reached(Passed::Whole)
            }
            _ => Progress::Moved,
        })
    }
}

enum Progress {
    /// More bytes are needed.
    Starved,
    /// Something has passed, and more may be there.
    Moved,
    Reached(Passed),
}

impl Message {
    fn check_text(
        &mut self,
        plain: impl Iterator<Item = u8>,
        is_end: bool,
    ) -> Result<(), Violation> {
        self.tail.extend(plain);
        match std::str::from_utf8(&self.tail) {
            Ok(_) => self.tail.clear(),
            // Half a character is no fault while more can come.
            Err(error) if error.error_len().is_none() && !is_end => {
                self.tail.drain(..error.valid_up_to());
            }
            Err(_) => return Err(Violation::not_utf8()),
        }
        Ok(())
    }
}

fn is_control(first: u8) -> bool {
    first & 0x08 != 0
}

/// Whether somebody may close so: without a word, or with a code and a reason for people.
fn judge_close(payload: &[u8]) -> Result<(), Violation> {
    let Some((code, reason)) = payload.split_at_checked(2) else { return Ok(()) };
    let code = code.iter().fold(0, |code, byte| code << 8 | u16::from(*byte));
    // Those of RFC 6455, those that were registered since, and those that are free for all.
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Violation::protocol("nobody may close with this code"));
    }
    std::str::from_utf8(reason).map(|_| ()).map_err(|_| Violation::not_utf8())
}

#[cfg(test)]
mod tests {
    use actix_codec::Decoder;
    use actix_http::ws::{Codec, Frame as Read, Item};
    use bytes::{BufMut, BytesMut};
    use proptest::prelude::*;

    use super::*;

    /// A frame as a client sends it.
    fn framed(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            short @ 0..=SHORT => bytes.put_u8(MASKED | short as u8),
            middle if middle <= usize::from(u16::MAX) => {
                bytes.put_u8(MASKED | 126);
                bytes.put_u16(middle as u16);
            }
            long => {
                bytes.put_u8(MASKED | 127);
                bytes.put_u64(long as u64);
            }
        }
        bytes.extend(mask);
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    /// Where in these bytes, cut into pieces, the client had said something, and how it went wrong.
    fn passed(kind: Kind, bytes: &[u8], cut: usize) -> (Vec<(usize, Passed)>, Option<Violation>) {
        let mut watch = FrameWatch::new(kind);
        let (mut reached, mut at) = (Vec::new(), 0);
        for mut piece in bytes.chunks(cut) {
            let mut left = piece.len();
            while let Some(progress) = watch.pass(&mut piece) {
                at += left - piece.len();
                left = piece.len();
                match progress {
                    Ok(passed) => reached.push((at, passed)),
                    Err(violation) => return (reached, Some(violation)),
                }
                if let Some((_, Passed::Close)) = reached.last() {
                    return (reached, None);
                }
            }
            assert!(piece.is_empty());
            at += left;
        }
        (reached, None)
    }

    /// Where the crate sees the ends of messages, pings, pongs and closes; it must not find a fault.
    fn read_by_the_crate(bytes: &[u8]) -> Vec<(usize, Passed)> {
        let mut buffer = BytesMut::from(bytes);
        let mut codec = Codec::new();
        let mut read = Vec::new();
        while let Some(frame) = codec.decode(&mut buffer).unwrap() {
            let passed = match frame {
                Read::Continuation(Item::Last(_)) => Passed::Whole,
                Read::Continuation(_) => continue,
                Read::Close(_) => Passed::Close,
                _ => Passed::Whole,
            };
            read.push((bytes.len() - buffer.len(), passed));
        }
        read
    }

    proptest! {
        #[test]
        fn messages_and_pings_pass_however_they_are_cut_and_the_crate_reads_the_same(
            messages in proptest::collection::vec(
                (proptest::collection::vec("\\PC{0,300}", 1..6), any::<[u8; 4]>()), 1..6),
            cut in 1usize..2000,
        ) {
            let mut bytes = Vec::new();
            for (parts, mask) in &messages {
                for (nth, part) in parts.iter().enumerate() {
                    let opcode = if nth == 0 { TEXT } else { CONTINUATION };
                    let last = if nth + 1 == parts.len() { LAST } else { 0 };
                    bytes.extend(framed(last | opcode, part.as_bytes(), *mask));
                    if last == 0 {
                        bytes.extend(framed(LAST | PING, b"between", *mask));
                    }
                }
            }
            bytes.extend(framed(LAST | CLOSE, b"\x03\xe8bye", [7; 4]));

            let (reached, violation) = passed(Kind::Text, &bytes, cut);

            prop_assert_eq!(violation, None);
            prop_assert_eq!(reached.last(), Some(&(bytes.len(), Passed::Close)));
            prop_assert_eq!(reached, read_by_the_crate(&bytes));
        }

        #[test]
        fn any_bytes_say_the_same_however_they_are_cut(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
            cut in 1usize..100,
        ) {
            for kind in [Kind::Text, Kind::Binary] {
                prop_assert_eq!(passed(kind, &bytes, cut), passed(kind, &bytes, 1));
            }
        }

        #[test]
        fn the_crate_finds_no_fault_with_what_has_passed(
            frames in proptest::collection::vec(
                (prop_oneof![4 => prop_oneof![Just(0x00u8), Just(0x80)], 1 => any::<u8>()],
                 prop_oneof![4 => 0u8..=2, 2 => 8u8..=10, 1 => any::<u8>()],
                 "\\PC{0,150}", any::<[u8; 4]>()), 0..8),
        ) {
            let mut bytes = Vec::new();
            for (bits, opcode, payload, mask) in &frames {
                bytes.extend(framed(bits & !OPCODE | opcode & OPCODE, payload.as_bytes(), *mask));
            }

            let (reached, _) = passed(Kind::Text, &bytes, 1000);

            let good = reached.last().map_or(0, |(at, _)| *at);
            prop_assert_eq!(read_by_the_crate(&bytes[..good]), reached);
        }
    }

    #[test]
    fn a_length_is_refused_with_its_last_byte() {
        let mut watch = FrameWatch::new(Kind::Binary);
        let announced = [0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

        assert_eq!(watch.pass(&mut &announced[..]), None);
        assert_eq!(watch.pass(&mut &[0xff][..]), Some(Err(Violation::too_large())));
    }

    #[test]
    fn no_more_of_a_text_is_kept_than_half_a_character() {
        let mut watch = FrameWatch::new(Kind::Text);
        let text = "\u{20ac}".repeat(20_000);
        let bytes = framed(LAST | TEXT, text.as_bytes(), [1, 2, 3, 4]);

        assert_eq!(watch.pass(&mut &bytes[..bytes.len() - 1]), None);

        let tail = &watch.message.unwrap().tail;
        assert_eq!(tail.len(), 2);
        assert!(tail.capacity() <= 2 * (UNMASKED_AT_ONCE + 3), "{}", tail.capacity());
    }
}
