//! A Redis for one test, and every way in which one can go away under the server.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rookery::store::child;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::{GIVE_UP_AFTER, send_signal};

/// A running Redis that keeps nothing on disk; it ends with the thread that started it at the latest.
pub struct Redis {
    folder: TempDir,
    port: u16,
    child: Child,
}

impl Redis {
    /// Starts one on a free loopback port, and waits until it answers.
    pub async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("rookery-redis-").tempdir().unwrap();
        let since = Instant::now();
        loop {
            let port = free_port();
            let mut child = spawn(&folder, port);
            if has_come_up(&mut child, port).await {
                return Self { folder, port, child };
            }
            // Somebody else took the port between our look and its start.
            assert!(since.elapsed() < GIVE_UP_AFTER, "the test's Redis does not start");
        }
    }

    /// For `redis.url`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Where it is reached.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Where it runs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Freezes it: connections stay, nothing is answered.
    pub fn pause(&self) {
        send_signal(self.child.id().unwrap(), "STOP");
    }

    /// Lets it go on after a pause.
    pub fn resume(&self) {
        send_signal(self.child.id().unwrap(), "CONT");
    }

    /// Ends it at once, with all that it held.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Starts it after a kill, empty, on the same port, and waits until it answers.
    pub async fn start_again(&mut self) {
        let since = Instant::now();
        loop {
            self.child = spawn(&self.folder, self.port);
            if has_come_up(&mut self.child, self.port).await {
                return;
            }
            assert!(since.elapsed() < GIVE_UP_AFTER, "the test's Redis does not start again");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Forgets everything that it holds.
    pub async fn flush(&self) {
        assert_eq!(self.ask("FLUSHALL").await, "+OK");
    }

    /// Limits its memory; beyond it every write is refused. 0 lifts the limit, and 1 refuses at once.
    pub async fn set_max_memory(&self, bytes: u64) {
        assert_eq!(self.ask(&format!("CONFIG SET maxmemory {bytes}")).await, "+OK");
    }

    /// Sends a command as a person types it; returns the first line of the answer.
    pub async fn ask(&self, command: &str) -> String {
        ask(self.port, command).await.unwrap()
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn spawn(folder: &TempDir, port: u16) -> Child {
    let mut server = Command::new("redis-server");
    server.current_dir(folder.path()).kill_on_drop(true);
    server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    server.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
    server.args(["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"]);
    child::spawn(server, None).expect("redis-server; `make test` installs it")
}

/// Whether it answers; false when it ended instead.
async fn has_come_up(child: &mut Child, port: u16) -> bool {
    let since = Instant::now();
    loop {
        // Looked at first: another server on the same port would answer too.
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        let is_ours = format!(":{}", child.id().unwrap());
        if let Ok(answer) = ask_for_pid(port).await
            && answer.ends_with(&is_ours)
        {
            return true;
        }
        assert!(since.elapsed() < GIVE_UP_AFTER, "the test's Redis does not answer");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn ask_for_pid(port: u16) -> std::io::Result<String> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let mut stream = BufReader::new(stream);
    stream.write_all(b"INFO server\r\n").await?;
    let mut line = String::new();
    while !line.starts_with("process_id:") {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(line.trim_end().to_owned())
}

async fn ask(port: u16, command: &str) -> std::io::Result<String> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let mut stream = BufReader::new(stream);
    stream.write_all(format!("{command}\r\n").as_bytes()).await?;
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    Ok(line.trim_end().to_owned())
}
