//! What the fuzzers found worth keeping is read as they read it: refused with a code or understood, never a panic.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::Path;

use actix_codec::Decoder;
use actix_http::ws;
use bytes::BytesMut;
use rookery::domain::usersig;
use rookery::http::frames::{FrameWatch, Kind};
use rookery::ids::{AppId, UnixMs, UserId};
use rookery::limits;
use rookery::protocol::codec::{Codec, Outbound, Rejected};
use serde_json::Value;

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let inputs: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect();
    assert!(inputs.len() > 5, "the corpus {name} is empty");
    inputs
}

#[test]
fn every_frame_of_the_corpus_is_read_or_refused_in_few_words() {
    for frame in corpus("frame") {
        if let Err(rejected) = Codec::Json.decode(&frame) {
            let answer = Outbound::Error { re: rejected.re, error: rejected.error };
            assert!(Codec::Json.encode(&answer).unwrap().len() < 8192);
        }
    }
}

#[test]
fn every_frame_in_msgpack_is_read_or_refused_in_few_words() {
    for frame in corpus("msgpack") {
        if let Err(rejected) = Codec::MessagePack.decode(&frame) {
            let answer = Outbound::Error { re: rejected.re, error: rejected.error };
            assert!(Codec::MessagePack.encode(&answer).unwrap().len() < 8192);
        }
    }
}

#[test]
fn what_comes_on_a_websocket_is_judged_the_same_however_it_is_cut_and_what_passes_can_be_read() {
    let passed = |kind, bytes: &[u8], cut: usize| {
        let mut watch = FrameWatch::new(kind);
        let (mut reached, mut begin) = (Vec::new(), 0);
        for piece in bytes.chunks(cut) {
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
    };
    for bytes in corpus("websocket") {
        for kind in [Kind::Text, Kind::Binary] {
            let whole = passed(kind, &bytes, bytes.len().max(1));
            assert_eq!(whole, passed(kind, &bytes, 1));

            let mut good = BytesMut::from(&bytes[..whole.0.last().map_or(0, |(at, _)| *at)]);
            let mut codec = ws::Codec::new();
            while codec.decode(&mut good).unwrap().is_some() {}
            assert!(good.is_empty());
        }
    }
}

#[test]
fn both_codecs_read_the_same_out_of_every_json_frame_of_the_corpus() {
    let mut compared = 0;
    for frame in corpus("frame") {
        let Ok(value) = serde_json::from_slice::<Value>(&frame) else { continue };
        compared += 1;
        // Written anew: a name that came twice came once then.
        let json = Codec::Json.decode(value.to_string().as_bytes());
        let msgpack = Codec::MessagePack.decode(&rmp_serde::to_vec_named(&value).unwrap());
        match (json, msgpack) {
            (Ok(json), Ok(msgpack)) => assert_eq!(json, msgpack),
            (Err(json), Err(msgpack)) => {
                let [json, msgpack] =
                    [json, msgpack].map(|Rejected { re, error }| (re, error.code, error.field));
                assert_eq!(json, msgpack, "{value}");
            }
            (json, msgpack) => panic!("{value}: {json:?}, {msgpack:?}"),
        }
    }
    assert!(compared > 50, "{compared}");
}

#[test]
fn no_token_of_the_corpus_holds_under_another_key() {
    let user = UserId::parse("alice").unwrap();
    let now = UnixMs::new(1_700_000_100_000);
    for token in corpus("token") {
        let Ok(token) = std::str::from_utf8(&token) else { continue };
        let key = ["a key that no corpus was signed with"];
        let longest = limits::TOKEN_VALIDITY_S;
        assert!(usersig::verify(token, &key, AppId::DEFAULT, &user, now, longest).is_err());
    }
}
