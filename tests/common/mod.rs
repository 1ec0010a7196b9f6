//! What several test files share: real servers in folders of their own, and what tests ask of the system.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "each test file uses a part of this, and a test that cannot go on should end"
)]

pub mod chat;
pub mod cluster;
pub mod frames;
pub mod groups;
pub mod loser;
pub mod node;
pub mod policy;
pub mod postgres;
pub mod presence;
pub mod proxy;
pub mod redis;
pub mod rest;
pub mod told;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long a test waits for what must come before it fails. Not a measure of anything.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(90);

/// Waits until `check` gives something.
pub fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(since.elapsed() < GIVE_UP_AFTER, "gave up waiting: {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// Sends a signal, as `KILL`, to one process.
pub fn send_signal(pid: u32, name: &str) {
    // The shell's own `kill` is everywhere; a process that is gone already is what was wanted.
    let command = format!("kill -{name} {pid} 2>/dev/null || true");
    std::process::Command::new("sh").args(["-c", &command]).status().unwrap();
}

/// Whether a process runs; one that ended and was not awaited by its parent yet does not.
pub fn is_running(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

/// How much memory the server's process holds.
pub fn resident_kib(node: &node::Node) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Asks an HTTP server for `path`; the status and the body, or `None` when it does not answer.
pub fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(GIVE_UP_AFTER)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}
