//! RFC 6455's frames: what a client sends is judged, unmasked and put together, and what we send is framed.
//!
//! Knows no socket. A fault shows with the first byte that proves it: nothing is kept for a frame that is too long by
//! its own word, and text that can no longer become UTF-8 is not waited for.

use bytes::{BufMut, Bytes, BytesMut};

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

/// What a client said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A whole message of the connection's kind.
    Message(Bytes),
    /// Wants the same bytes back.
    Ping(Bytes),
    /// A sign of life.
    Pong,
    /// It closes, with this code if it named one. What follows is no frame.
    Close(Option<u16>),
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

/// Reads what a client sends, however the bytes are cut.
#[derive(Debug)]
pub struct FrameReader {
    kind: Kind,
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
    /// The frame whose payload is being read.
    frame: Option<Frame>,
    /// The message that is being put together.
    message: Option<Message>,
    /// The payload of a control frame, which may stand between the fragments of a message.
    control: BytesMut,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    opcode: u8,
    is_last: bool,
    mask: [u8; 4],
    length: usize,
    read: usize,
}

#[derive(Debug, Default)]
struct Message {
    payload: BytesMut,
    fragments: usize,
    /// Bytes that are known to be whole characters.
    checked: usize,
}

impl FrameReader {
    /// Starts behind the handshake.
    pub fn new(kind: Kind) -> Self {
        let (head, control) = ([0; HEAD_BYTES], BytesMut::new());
        Self { kind, head, head_bytes: 0, frame: None, message: None, control }
    }

    /// Takes bytes up to the end of what a client said; `None` when that is still to come.
    pub fn read(&mut self, bytes: &mut &[u8]) -> Option<Result<Incoming, Violation>> {
        loop {
            let progress = match self.frame {
                None => self.read_head(bytes),
                Some(frame) => self.read_payload(frame, bytes),
            };
            match progress {
                Ok(Progress::Starved) => return None,
                Ok(Progress::Moved) => {}
                Ok(Progress::Said(incoming)) => return Some(Ok(incoming)),
                Err(violation) => return Some(Err(violation)),
            }
        }
    }

    fn read_head(&mut self, bytes: &mut &[u8]) -> Result<Progress, Violation> {
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
        self.frame = Some(Frame { opcode, is_last, mask, length, read: 0 });
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
            Some(message) if !is_control(first) => message.payload.len(),
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

    fn read_payload(&mut self, frame: Frame, bytes: &mut &[u8]) -> Result<Progress, Violation> {
        let payload = if is_control(frame.opcode) {
            &mut self.control
        } else {
            &mut self.message.get_or_insert_default().payload
        };
        let taken = bytes.len().min(frame.length - frame.read);
        if taken == 0 && frame.read < frame.length {
            return Ok(Progress::Starved);
        }
        let (part, rest) = bytes.split_at(taken);
        *bytes = rest;
        let from = payload.len();
        payload.extend_from_slice(part);
        unmask(&mut payload[from..], frame.mask, frame.read);
        let is_whole = frame.read + taken == frame.length;
        self.frame = (!is_whole).then_some(Frame { read: frame.read + taken, ..frame });
        if is_control(frame.opcode) {
            return if is_whole { self.control(frame.opcode) } else { Ok(Progress::Moved) };
        }
        let is_end = is_whole && frame.is_last;
        if self.kind == Kind::Text
            && let Some(message) = &mut self.message
        {
            message.check_text(is_end)?;
        }
        match self.message.take_if(|_| is_end) {
            Some(message) => Ok(Progress::Said(Incoming::Message(message.payload.freeze()))),
            None => Ok(Progress::Moved),
        }
    }

    /// A control frame is whole.
    fn control(&mut self, opcode: u8) -> Result<Progress, Violation> {
        let payload = std::mem::take(&mut self.control).freeze();
        Ok(Progress::Said(match opcode {
            PING => Incoming::Ping(payload),
            PONG => Incoming::Pong,
            _ => Incoming::Close(close_code(&payload)?),
        }))
    }
}

enum Progress {
    /// More bytes are needed.
    Starved,
    /// Something was read, and more may be there.
    Moved,
    Said(Incoming),
}

impl Message {
    fn check_text(&mut self, is_end: bool) -> Result<(), Violation> {
        match std::str::from_utf8(&self.payload[self.checked..]) {
            Ok(text) => self.checked += text.len(),
            // Half a character is no fault while more can come.
            Err(error) if error.error_len().is_none() && !is_end => {
                self.checked += error.valid_up_to();
            }
            Err(_) => return Err(Violation::not_utf8()),
        }
        Ok(())
    }
}

fn is_control(first: u8) -> bool {
    first & 0x08 != 0
}

fn unmask(payload: &mut [u8], mask: [u8; 4], from: usize) {
    for (at, byte) in payload.iter_mut().enumerate() {
        *byte ^= mask[(from + at) % mask.len()];
    }
}

fn close_code(payload: &[u8]) -> Result<Option<u16>, Violation> {
    let Some((code, reason)) = payload.split_at_checked(2) else { return Ok(None) };
    let code = code.iter().fold(0, |code, byte| code << 8 | u16::from(*byte));
    // Those of RFC 6455, those that were registered since, and those that are free for all.
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Violation::protocol("nobody may close with this code"));
    }
    match std::str::from_utf8(reason) {
        Ok(_) => Ok(Some(code)),
        Err(_) => Err(Violation::not_utf8()),
    }
}

/// Frames a whole message of ours.
pub fn put_message(out: &mut BytesMut, kind: Kind, payload: &[u8]) {
    put(out, kind.opcode(), payload);
}

/// The answer to a ping.
pub fn pong(payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(2 + payload.len());
    put(&mut out, PONG, payload);
    out.freeze()
}

/// A close frame, with a code and a reason that is cut to what fits, or with neither.
pub fn close(code: Option<u16>, reason: &str) -> Bytes {
    let mut payload = BytesMut::new();
    if let Some(code) = code {
        payload.put_u16(code);
        let fits =
            (0..=reason.len().min(SHORT - 2)).rev().find(|end| reason.is_char_boundary(*end));
        payload.extend_from_slice(&reason.as_bytes()[..fits.unwrap_or_default()]);
    }
    let mut out = BytesMut::with_capacity(2 + payload.len());
    put(&mut out, CLOSE, &payload);
    out.freeze()
}

fn put(out: &mut BytesMut, opcode: u8, payload: &[u8]) {
    out.put_u8(LAST | opcode);
    match payload.len() {
        short @ 0..=SHORT => out.put_u8(short as u8),
        middle if middle <= usize::from(u16::MAX) => {
            out.put_u8(126);
            out.put_u16(middle as u16);
        }
        long => {
            out.put_u8(127);
            out.put_u64(long as u64);
        }
    }
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A frame as a client sends it.
    fn framed(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
        let mut plain = BytesMut::new();
        put(&mut plain, first & OPCODE, payload);
        let mut bytes = plain.to_vec();
        bytes[0] = first;
        bytes[1] |= MASKED;
        let head = bytes.len() - payload.len();
        unmask(&mut bytes[head..], mask, 0);
        bytes.splice(head..head, mask);
        bytes
    }

    /// All that a client said, its bytes cut into pieces of `cut`, and how it went wrong.
    fn said(kind: Kind, bytes: &[u8], cut: usize) -> (Vec<Incoming>, Option<Violation>) {
        let mut reader = FrameReader::new(kind);
        let mut said = Vec::new();
        for mut piece in bytes.chunks(cut) {
            while let Some(incoming) = reader.read(&mut piece) {
                match incoming {
                    Ok(incoming) => said.push(incoming),
                    Err(violation) => return (said, Some(violation)),
                }
            }
            assert!(piece.is_empty());
        }
        (said, None)
    }

    proptest! {
        #[test]
        fn messages_and_pings_come_out_as_they_went_in_however_they_are_cut(
            messages in proptest::collection::vec(
                (proptest::collection::vec("\\PC{0,300}", 1..6), any::<[u8; 4]>()), 1..6),
            cut in 1usize..2000,
        ) {
            let mut bytes = Vec::new();
            let mut expected = Vec::new();
            for (parts, mask) in &messages {
                for (nth, part) in parts.iter().enumerate() {
                    let opcode = if nth == 0 { TEXT } else { CONTINUATION };
                    let last = if nth + 1 == parts.len() { LAST } else { 0 };
                    bytes.extend(framed(last | opcode, part.as_bytes(), *mask));
                    if last == 0 {
                        bytes.extend(framed(LAST | PING, b"between", *mask));
                        expected.push(Incoming::Ping(Bytes::from_static(b"between")));
                    }
                }
                expected.push(Incoming::Message(Bytes::from(parts.concat())));
            }

            prop_assert_eq!(said(Kind::Text, &bytes, cut), (expected, None));
        }

        #[test]
        fn any_bytes_say_the_same_however_they_are_cut(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
            cut in 1usize..100,
        ) {
            for kind in [Kind::Text, Kind::Binary] {
                prop_assert_eq!(said(kind, &bytes, cut), said(kind, &bytes, 1));
            }
        }
    }

    #[test]
    fn a_length_is_refused_with_its_last_byte_and_nothing_is_kept_for_it() {
        let mut reader = FrameReader::new(Kind::Binary);
        let announced = [0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

        assert_eq!(reader.read(&mut &announced[..]), None);
        assert_eq!(reader.read(&mut &[0xff][..]), Some(Err(Violation::too_large())));
        assert!(reader.message.is_none());
    }

    #[test]
    fn a_reason_that_is_too_long_is_cut_between_two_characters() {
        let frame = close(Some(1000), &"\u{1F426}".repeat(40));

        assert_eq!(frame.len(), 2 + 2 + 120);
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
    }
}
