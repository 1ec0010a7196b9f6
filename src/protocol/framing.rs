//! What stands before a frame on its way to a peer: written once with the frame, so that one copy of both serves all who
//! are sent it.

use bytes::{Buf, Bytes};

use super::codec::{Codec, EncodeError, Outbound};

/// Room before a frame for the longest head.
const HEAD_BYTES: usize = 10;
/// What a frame takes that carries a message of a line or two, with its head.
const USUAL_BYTES: usize = 448;

/// How frames are told apart on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Each is a WebSocket message in one piece, unmasked, as a server sends it.
    WebSocket,
    /// Four bytes of length, the highest first.
    Length,
}

/// How a peer is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// How frames are written.
    pub codec: Codec,
    /// What stands before each.
    pub framing: Framing,
}

impl Dialect {
    /// How many there are.
    pub const COUNT: usize = 4;

    /// A number of its own, below [`Self::COUNT`].
    pub fn index(self) -> usize {
        let codec = match self.codec {
            Codec::Json => 0,
            Codec::MessagePack => 1,
        };
        match self.framing {
            Framing::WebSocket => codec,
            Framing::Length => 2 + codec,
        }
    }

    /// Writes a frame with its head, ready for the socket. Fails as [`Codec::encode`] does.
    pub fn encode(self, frame: &Outbound) -> Result<Bytes, EncodeError> {
        let mut out = Vec::with_capacity(USUAL_BYTES);
        out.resize(HEAD_BYTES, 0);
        self.codec.encode_into(frame, &mut out)?;
        let payload = out.len() - HEAD_BYTES;
        let unused = self.put_head(payload, &mut out);
        let mut framed = Bytes::from(out);
        framed.advance(unused);
        Ok(framed)
    }

    /// Writes the head so that it ends where the payload begins; returns where it begins.
    fn put_head(self, payload: usize, out: &mut [u8]) -> usize {
        let mut begin = HEAD_BYTES;
        let mut put = |bytes: &[u8]| {
            out[begin - bytes.len()..begin].copy_from_slice(bytes);
            begin -= bytes.len();
        };
        // The casts lose nothing: each is of a length that was found to fit, or is at most SERVER_FRAME_BYTES.
        match self.framing {
            Framing::Length => put(&(payload as u32).to_be_bytes()),
            Framing::WebSocket => {
                match payload {
                    0..126 => put(&[payload as u8]),
                    126..0x1_0000 => {
                        put(&(payload as u16).to_be_bytes());
                        put(&[126]);
                    }
                    _ => {
                        put(&(payload as u64).to_be_bytes());
                        put(&[127]);
                    }
                }
                // The last fragment of its message, and the first.
                put(&[0x80 | if self.codec.is_text() { 1 } else { 2 }]);
            }
        }
        begin
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Code, ErrorBody};

    /// First byte and payload of a WebSocket message, read as RFC 6455 says, section 5.2.
    fn read(frame: &[u8]) -> (u8, &[u8]) {
        let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let (length, begin) = match frame[1] {
            126 => (number(&frame[2..4]), 4),
            127 => (number(&frame[2..10]), 10),
            short => (usize::from(short), 2),
        };
        assert_eq!(frame.len(), begin + length);
        let shortest = match length {
            0..126 => 2,
            126..65_536 => 4,
            _ => 10,
        };
        assert_eq!(begin, shortest, "no longer than it need be");
        (frame[0], &frame[begin..])
    }

    #[test]
    fn a_frame_of_any_length_is_read_as_it_was_meant() {
        for codec in Codec::ALL {
            for length in (0..300).chain(65_400..65_600) {
                let error = ErrorBody::new(Code::BadRequest, "x".repeat(length));
                let frame = Outbound::Error { re: Some(7), error };
                let expected = codec.encode(&frame).unwrap();

                let websocket = Dialect { codec, framing: Framing::WebSocket }.encode(&frame);
                let tcp = Dialect { codec, framing: Framing::Length }.encode(&frame).unwrap();

                let first = if codec.is_text() { 0x81 } else { 0x82 };
                assert_eq!(read(&websocket.unwrap()), (first, &expected[..]));
                assert_eq!(tcp[..4], (expected.len() as u32).to_be_bytes());
                assert_eq!(tcp[4..], expected);
            }
        }
    }

    #[test]
    fn each_dialect_has_a_number_of_its_own() {
        let mut seen = [false; Dialect::COUNT];
        for codec in Codec::ALL {
            for framing in [Framing::WebSocket, Framing::Length] {
                seen[Dialect { codec, framing }.index()] = true;
            }
        }
        assert_eq!(seen, [true; Dialect::COUNT]);
    }
}
