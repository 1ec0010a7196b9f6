//! The raw limits of sockets: what the same clients get from a server that only writes. See `websocket` for that server.

use std::io;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::websocket::{FEED, JOIN, READY};
use crate::bench::errors::BenchError;
use crate::bench::figure::Disturbance;
use crate::bench::load::crowd::{self, Crowd, Player, Scene};
use crate::bench::load::link::{Link, Way};
use crate::bench::load::stamp::Stamp;
use crate::bench::load::wire::{Frame, Send};
use crate::bench::meter::{self, Meter};
use crate::bench::target::SMALL_PAGES;
use crate::bench::workload::Run;
use crate::client::raw::Transport;
use crate::protocol::codec::Codec;
use crate::store::child;

/// How long the server may take to listen, and sockets to join.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// What a bare server sends to all: a `message.new` of a group, as long as one of ours with a text of that length.
fn pushed(stamp: Stamp, now_ms: u64, text: &str) -> String {
    let (id, seq) = (stamp.id(now_ms), stamp.number + 1);
    format!(
        r#"{{"event":"message.new","body":{{"conversation":"group:b19acb2f51d0f0001-g-0","seq":{seq},"message_id":"65773401884594176","client_msg_id":"{id}","from":"b19acb2f51d0f0001-u-0","sent_at_ms":1751371201020,"content":{{"type":"text","text":"{text}"}}}}}}"#
    )
}

/// A bare server in a process of its own.
#[derive(Debug)]
pub struct BareServer {
    child: Child,
    address: String,
}

impl BareServer {
    /// Starts it. If this process dies, the kernel asks it to stop.
    pub async fn start(env: &[(&str, &str)]) -> Result<Self, BenchError> {
        let program = std::env::current_exe().map_err(BenchError::system("where are we?"))?;
        let mut command = Command::new(program);
        command.envs(env.iter().copied());
        command.args(["bench", "bare-server"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child =
            child::spawn(command, None).map_err(BenchError::system("no bare server"))?;
        let listening = match child.stdout.take() {
            Some(stdout) => {
                let mut lines = BufReader::new(stdout).lines();
                tokio::time::timeout(READY_WITHIN, lines.next_line()).await
            }
            None => Ok(Ok(None)),
        };
        let line = listening
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(BenchError::system("no bare server"))?;
        match line.as_deref().and_then(|line| line.strip_prefix(READY)) {
            Some(address) => Ok(Self { child, address: address.to_owned() }),
            None => Err(BenchError::Start("the bare server said nothing of its port".to_owned())),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its process.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// So many open connections.
    pub async fn connect(&self, connections: usize) -> Result<Vec<Link>, BenchError> {
        let way = Way {
            address: self.address.clone(),
            transport: Transport::WebSocket,
            codec: Codec::Json,
            receive_buffer: None,
        };
        let mut links = Vec::with_capacity(connections);
        for _ in 0..connections {
            links.push(Link::open(&way).await.map_err(BenchError::system("the bare server"))?);
        }
        Ok(links)
    }

    /// Ends it.
    pub async fn stop(mut self) {
        // By its process id; it holds nothing that would be lost.
        let _ = self.child.kill().await;
    }
}

/// Echoes a second: so many connections send texts as long as a `message.send`, each with so many unanswered, and get
/// replies as long as ours.
pub async fn echo(
    run: &Run<'_>,
    connections: usize,
    window: usize,
    text: &str,
) -> Result<(f64, Disturbance), BenchError> {
    let player = Echo { text: text.to_owned(), answered: 0, sends: true };
    with_server(run, connections, player, async |server, scene| {
        scene.with(|echo, crowd| {
            for who in (0..connections).flat_map(|who| std::iter::repeat_n(who, window)) {
                echo.send(crowd, who);
            }
        });
        let rate = rate(run, server, || scene.with(|echo, _| echo.answered)).await;
        scene.with(|echo, _| echo.sends = false);
        Ok(rate)
    })
    .await
}

/// Deliveries a second: texts as long as a `message.new` are written to so many sockets, with so many texts under way,
/// each from when it was fed until all have read it.
pub async fn fanout(
    run: &Run<'_>,
    members: usize,
    window: usize,
    text: &str,
) -> Result<(f64, Disturbance), BenchError> {
    let player = Fanout {
        text: text.to_owned(),
        began_ms: run.began_ms,
        next: vec![0; members],
        heard: Vec::new(),
        joined: 0,
        deliveries: 0,
        sends: true,
    };
    // The last one feeds.
    with_server(run, members + 1, player, async |server, scene| {
        scene.with(|_, crowd| (0..members).for_each(|who| crowd.put(who, JOIN.as_bytes())));
        if !scene.until(READY_WITHIN, |fanout| fanout.joined == members).await {
            let what = "sockets that join the bare server".to_owned();
            return Err(BenchError::Late { what, after: READY_WITHIN });
        }
        scene.with(|fanout, crowd| (0..window).for_each(|_| fanout.feed(crowd)));
        let rate = rate(run, server, || scene.with(|fanout, _| fanout.deliveries)).await;
        scene.with(|fanout, _| fanout.sends = false);
        Ok(rate)
    })
    .await
}

/// What `script` tells of a bare server, which is gone afterwards, and of so many connections that `player` hears.
async fn with_server<P: Player + 'static, T>(
    run: &Run<'_>,
    connections: usize,
    player: P,
    script: impl AsyncFnOnce(&BareServer, &Scene<P>) -> Result<T, BenchError>,
) -> Result<T, BenchError> {
    let server = BareServer::start(&[]).await?;
    let links = server.connect(connections).await?;
    let script = async |scene: &Scene<P>| script(&server, scene).await;
    let told = crowd::play(links, player, run.began, script).await?.told;
    server.stop().await;
    Ok(told)
}

/// Resident bytes of the bare server for each of so many connections that say nothing.
pub async fn idle_bytes(connections: usize) -> Result<Option<f64>, BenchError> {
    let server = BareServer::start(&[SMALL_PAGES]).await?;
    // What the first connections bring with them is of the server and not of a connection.
    let first = server.connect(16).await?;
    let resident = || server.pid().and_then(meter::resident_bytes);
    let before = resident();
    let links = server.connect(connections).await?;
    let after = resident();
    drop((first, links));
    server.stop().await;
    let bytes = |(before, after): (u64, u64)| after.saturating_sub(before) as f64;
    Ok(before.zip(after).map(|grown| bytes(grown) / connections as f64))
}

/// How much `count` grows in a second, after a warm-up, and who else used the machine meanwhile.
async fn rate(run: &Run<'_>, server: &BareServer, count: impl Fn() -> u64) -> (f64, Disturbance) {
    tokio::time::sleep(run.common.warm_up()).await;
    let ours: Vec<u32> = run.target.pids().into_iter().chain(server.pid()).collect();
    let (meter, before, since) = (Meter::start(&ours), count(), Instant::now());
    tokio::time::sleep(run.common.stretch()).await;
    let rate = (count() - before) as f64 / since.elapsed().as_secs_f64();
    (rate, meter.stop().disturbance())
}

/// Every session sends again when it was answered.
struct Echo {
    text: String,
    answered: u64,
    sends: bool,
}

impl Echo {
    fn send(&self, crowd: &mut Crowd, who: usize) {
        let stamp = Stamp { lane: 0, number: self.answered as u32, due_us: crowd.now_us() };
        let send = Send {
            id: 1_000_000,
            to: "user:b19acb2f51d0f0001-u-17",
            client_msg_id: stamp.id(1_751_371_201_020),
            text: &self.text,
        };
        crowd.send(who, send);
    }
}

impl Player for Echo {
    fn hear(
        &mut self,
        crowd: &mut Crowd,
        who: usize,
        payload: &[u8],
        _: u64,
    ) -> Result<(), BenchError> {
        // Read as ours is, so that the client's work is the same.
        if read(who, payload)?.ok.is_some() {
            self.answered += 1;
            if self.sends {
                self.send(crowd, who);
            }
        }
        Ok(())
    }
}

/// The last session feeds; all others read.
struct Fanout {
    text: String,
    began_ms: u64,
    /// What each of them reads next.
    next: Vec<u32>,
    /// How many have read it, by number.
    heard: Vec<u32>,
    joined: usize,
    deliveries: u64,
    sends: bool,
}

impl Fanout {
    fn feed(&mut self, crowd: &mut Crowd) {
        let number = self.heard.len() as u32;
        self.heard.push(0);
        let now_us = crowd.now_us();
        let stamp = Stamp { lane: 0, number, due_us: now_us };
        let frame = pushed(stamp, self.began_ms + now_us / 1000, &self.text);
        crowd.put(self.next.len(), format!("{FEED}{frame}").as_bytes());
    }
}

impl Player for Fanout {
    fn hear(
        &mut self,
        crowd: &mut Crowd,
        who: usize,
        payload: &[u8],
        _: u64,
    ) -> Result<(), BenchError> {
        // Read as ours is, so that the client's work is the same.
        let frame = read(who, payload)?;
        let Some((stamp, _, _)) = frame.message() else {
            self.joined += usize::from(frame.ok.is_some());
            return Ok(());
        };
        let (Some(next), Some(heard)) =
            (self.next.get_mut(who), self.heard.get_mut(stamp.number as usize))
        else {
            return Ok(());
        };
        if stamp.number != *next {
            let why = format!("the bare server wrote {} in place of {next}", stamp.number);
            return Err(BenchError::Session { who: who.to_string(), why });
        }
        *next += 1;
        *heard += 1;
        self.deliveries += 1;
        if *heard as usize == self.next.len() && self.sends {
            self.feed(crowd);
        }
        Ok(())
    }
}

fn read(who: usize, payload: &[u8]) -> Result<Frame<'_>, BenchError> {
    Frame::read(payload, Codec::Json).map_err(|why| BenchError::Session {
        who: who.to_string(),
        why: format!("a frame of the bare server cannot be read: {why}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::raw::websocket::REPLY;

    #[test]
    fn what_the_bare_server_says_is_read_as_what_the_engine_says() {
        let stamp = Stamp { lane: 0, number: 7, due_us: 1_000 };
        let text = pushed(stamp, 1_751_371_201_020, "hello");

        let frame = read(0, text.as_bytes()).unwrap();

        assert_eq!(frame.message(), Some((stamp, 8, "b19acb2f51d0f0001-u-0")));
        assert_eq!(read(0, REPLY.as_bytes()).unwrap().ok.unwrap().seq, Some(100_000));
    }
}
