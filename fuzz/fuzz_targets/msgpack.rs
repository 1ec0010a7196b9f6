//! The same of frames in MessagePack.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rookery::protocol::codec::{Codec, Outbound};

fuzz_target!(|frame: &[u8]| {
    if let Err(rejected) = Codec::MessagePack.decode(frame) {
        let answer = Outbound::Error { re: rejected.re, error: rejected.error };
        let answer = Codec::MessagePack.encode(&answer).expect("an error has a form");
        assert!(answer.len() < 8192, "the answer to a bad frame is long");
    }
});
