//! Whatever bytes come on a WebSocket: they are judged the same however they are cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rookery::http::frames::{FrameWatch, Kind, Passed, Violation};

/// Where something was said to its end, and how it went wrong.
fn passed<'a>(
    kind: Kind,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> (Vec<(usize, Passed)>, Option<Violation>) {
    let mut watch = FrameWatch::new(kind);
    let (mut reached, mut begin) = (Vec::new(), 0);
    for piece in pieces {
        let mut left = piece;
        while let Some(progress) = watch.pass(&mut left) {
            match progress {
                Ok(passed) => reached.push((begin + piece.len() - left.len(), passed)),
                Err(violation) => return (reached, Some(violation)),
            }
        }
        begin += piece.len();
    }
    (reached, None)
}

fuzz_target!(|bytes: &[u8]| {
    for kind in [Kind::Text, Kind::Binary] {
        let whole = passed(kind, std::iter::once(bytes));
        assert_eq!(whole, passed(kind, bytes.chunks(1)));
    }
});
