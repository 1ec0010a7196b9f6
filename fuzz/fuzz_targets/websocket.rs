//! Whatever bytes come on a WebSocket: they say the same however they are cut, and no message is longer than it may be.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rookery::http::frames::{FrameReader, Incoming, Kind, Violation};
use rookery::limits;

/// All that was said, and how it went wrong.
fn said<'a>(kind: Kind, pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Incoming>, Option<Violation>) {
    let mut reader = FrameReader::new(kind);
    let mut said = Vec::new();
    for mut piece in pieces {
        while let Some(incoming) = reader.read(&mut piece) {
            match incoming {
                Ok(incoming) => said.push(incoming),
                Err(violation) => return (said, Some(violation)),
            }
        }
    }
    (said, None)
}

fuzz_target!(|bytes: &[u8]| {
    for kind in [Kind::Text, Kind::Binary] {
        let whole = said(kind, std::iter::once(bytes));
        for incoming in &whole.0 {
            if let Incoming::Message(message) = incoming {
                assert!(message.len() <= limits::FRAME_BYTES);
                assert!(kind == Kind::Binary || std::str::from_utf8(message).is_ok());
            }
        }
        assert_eq!(whole, said(kind, bytes.chunks(1)));
    }
});
