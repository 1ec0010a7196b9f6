//! RFC 6455's frames as a test writes and reads them, with nothing between it and the bytes.

use std::io::Read;
use std::net::TcpStream;

/// What a frame is, and the bits beside it.
pub const CONTINUATION: u8 = 0x0;
pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xa;
pub const LAST: u8 = 0x80;
pub const MASKED: u8 = 0x80;

/// A frame with this first byte, masked as a client must.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = head(first, payload.len() as u64, shortest(payload.len()));
    let mask = *bytes.last_chunk::<4>().unwrap();
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// How many bytes a length takes beyond the second byte of the head.
pub fn shortest(length: usize) -> usize {
    match length {
        0..=125 => 0,
        126..=0xffff => 2,
        _ => 8,
    }
}

/// The head of a frame whose length is written in so many bytes of its own.
pub fn head(first: u8, length: u64, bytes_of_length: usize) -> Vec<u8> {
    let mut bytes = vec![first];
    match bytes_of_length {
        0 => bytes.push(MASKED | length as u8),
        2 => {
            bytes.push(MASKED | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(MASKED | 127);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes.extend([0x37, 0xfa, 0x21, 0x3d]);
    bytes
}

/// The next frame of the server: its opcode and payload; `None` when it has closed its half.
pub fn read_frame(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    match stream.read(&mut head[..1]) {
        Ok(0) => return None,
        Ok(_) => stream.read_exact(&mut head[1..]).unwrap(),
        Err(error) => panic!("{error}"),
    }
    assert_eq!(head[0] & 0x70, 0, "a reserved bit is set");
    assert_eq!(head[0] & LAST, LAST, "the server sends no fragments");
    assert_eq!(head[1] & MASKED, 0, "the server does not mask");
    let length = match head[1] {
        126 => {
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let length = u16::from_be_bytes(length);
            assert!(length > 125, "the length is longer than it need be");
            usize::from(length)
        }
        127 => panic!("nothing here is as long as that"),
        short => usize::from(short),
    };
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).unwrap();
    Some((head[0] & 0x0f, payload))
}
