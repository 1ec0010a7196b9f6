//! What the REST interface bounds: bodies, time, requests at once, and one request under one key at a time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;

use common::GIVE_UP_AFTER;
use common::node::Node;
use common::rest::{Answer, Backend, ROOT, key};

/// Requests that a node carries out at once.
const AT_ONCE: usize = 128;

#[test]
fn a_body_of_256_kib_is_read_and_one_byte_more_is_not() {
    let node = Node::start();
    let backend = Backend::of(&node).header("Content-Type", "application/json");
    let body = |bytes: usize| {
        let mut body = b"{\"user\":\"carol\"}".to_vec();
        body.resize(bytes, b' ');
        body
    };

    backend.ask("POST", "/users", &body(256 * 1024)).done(201);
    let refused = backend.ask("POST", "/users", &body(256 * 1024 + 1));
    assert_eq!(refused.refused(413, "too_large"), "body");
}

#[test]
fn of_one_request_more_than_are_carried_out_at_once_one_is_told_to_come_later() {
    let node = Node::start();
    // Each is let in, and then its body does not come.
    let head = format!(
        "POST {ROOT}/users HTTP/1.1\r\nHost: rookery\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: 20\r\n\r\n",
        key(&node, &[])
    );
    let held = (0..AT_ONCE + 1).map(|_| {
        let mut stream = TcpStream::connect(node.http()).unwrap();
        stream.set_read_timeout(Some(GIVE_UP_AFTER)).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream
    });
    let held: Vec<TcpStream> = held.collect();

    let answers = held.into_iter().map(|mut stream| {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        Answer::parse(&answer).unwrap()
    });

    let (too_slow, too_many): (Vec<_>, Vec<_>) = answers.partition(|answer| answer.status == 408);
    assert_eq!((too_slow.len(), too_many.len()), (AT_ONCE, 1));
    assert_eq!(too_slow[0].refused(408, "bad_request"), "body");
    too_many[0].refused(503, "busy");
    assert_eq!(too_many[0].header("retry-after"), "1");
}

#[test]
fn a_request_whose_key_is_in_use_is_told_to_wait() {
    let node = Node::start();
    let backend = Backend::of(&node);

    // A revocation is answered when the next second begins, which leaves some time to most of them.
    let refused = (0..50).find_map(|turn| {
        let keyed = backend.header("Idempotency-Key", &format!("turn-{turn}"));
        let other = keyed.clone();
        let first = std::thread::spawn(move || other.ask("POST", "/users/alice/revoke", b""));
        let second = keyed.ask("POST", "/users/alice/revoke", b"");
        let both = [first.join().unwrap(), second];
        assert!(both.iter().any(|answer| answer.status == 200), "{both:?}");
        both.into_iter().find(|answer| answer.status != 200)
    });

    let refused = refused.expect("two requests met");
    assert_eq!(refused.refused(409, "conflict"), "Idempotency-Key");
    assert_eq!(refused.header("retry-after"), "1");
}
