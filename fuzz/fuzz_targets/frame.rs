//! Whatever a client sends is read as a command or refused with a code; nothing panics, and a refusal stays short.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rookery::protocol::codec::{Codec, Outbound};

fuzz_target!(|frame: &[u8]| {
    if let Err(rejected) = Codec::Json.decode(frame) {
        let answer = Outbound::Error { re: rejected.re, error: rejected.error };
        let answer = Codec::Json.encode(&answer).expect("an error has a form");
        assert!(answer.len() < 8192, "the answer to a bad frame is long");
    }
});
