//! What the fuzzers found worth keeping is read as they read it: refused with a code or understood, never a panic.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::Path;

use rookery::domain::usersig;
use rookery::ids::{AppId, UnixMs, UserId};
use rookery::limits;
use rookery::protocol::codec::{Codec, Outbound};

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
