//! The API key of the demo: shown once, and over with the demo.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use common::node::{Node, Options, data_folder};
use common::rest::Backend;

/// The key that a start printed.
fn shown(node: &Node) -> Option<String> {
    let text = node.stdout();
    let line = text.lines().find(|line| line.starts_with("  api "))?;
    line.split_whitespace().find(|word| word.starts_with("rk_")).map(str::to_owned)
}

#[test]
fn the_first_start_shows_a_key_and_later_ones_say_how_to_make_another() {
    let folder = data_folder();
    let mut first = Node::start_in(folder.path(), Options::default());
    let key = shown(&first).expect("a key is shown");
    Backend::with_key(&first, &key).get("/users/alice").done(200);
    first.stop();

    let second = Node::start_in(folder.path(), Options::default());

    assert_eq!(shown(&second), None);
    assert!(second.stdout().contains("rookery api-key create --name NAME"), "{}", second.stdout());
    Backend::with_key(&second, &key).get("/users/alice").done(200);
}

#[test]
fn the_key_ends_with_the_demo_and_the_next_demo_shows_a_new_one() {
    let folder = data_folder();
    let mut first = Node::start_in(folder.path(), Options::default());
    let key = shown(&first).expect("a key is shown");
    first.stop();

    let elsewhere = Options::default().env("ROOKERY__HTTP__HOST", "0.0.0.0");
    let mut open = Node::start_in(folder.path(), elsewhere);
    Backend::with_key(&open, &key).get("/users/alice").refused(401, "bad_token");
    assert_eq!(shown(&open), None);
    open.stop();

    let again = Node::start_in(folder.path(), Options::default());
    let fresh = shown(&again).expect("a new key is shown");
    Backend::with_key(&again, &key).get("/users/alice").refused(401, "bad_token");
    Backend::with_key(&again, &fresh).get("/users/alice").done(200);
}
