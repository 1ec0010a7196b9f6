//! Many sessions driven by one thread: who is readable is heard, and what was answered leaves in one write a session.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::link::{CALLS_FROM, Link};
use super::wire::{Command, Piece, Send};
use crate::bench::errors::BenchError;

/// How often a session that says nothing else tells that it is there; the server waits for 50 s.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(20);
/// Reads of one session before the others have their turn.
const READS_A_TURN: usize = 4;

/// A workload, as the sessions see it.
pub trait Player {
    /// A frame of the protocol has come to session `who`, read from its socket at `now_us` since the run began.
    ///
    /// Answers to heartbeats come too. An error ends the run.
    fn hear(
        &mut self,
        crowd: &mut Crowd,
        who: usize,
        payload: &[u8],
        now_us: u64,
    ) -> Result<(), BenchError>;
}

/// The sessions of a run, by number.
pub struct Crowd {
    members: Vec<Member>,
    /// Members with something to write.
    dirty: Vec<usize>,
    flusher: Option<Waker>,
    payload: Vec<u8>,
    began: Instant,
}

struct Member {
    link: Link,
    is_dirty: bool,
    /// The socket took not everything: its task waits until it takes more.
    is_stuck: bool,
    /// It reads nothing, as if its program hung.
    is_deaf: bool,
    task: Option<Waker>,
    last_sent: Instant,
}

impl Crowd {
    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The time since the run began, in µs.
    pub fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Has session `who` send a message.
    pub fn send(&mut self, who: usize, send: Send<'_>) {
        self.put_with(who, |codec, payload| send.write(codec, payload));
    }

    /// Has session `who` send any command. Its id is below [`CALLS_FROM`].
    pub fn command(&mut self, who: usize, id: u64, cmd: &str, body: impl Serialize) {
        self.put_with(who, |codec, payload| Command { id, cmd, body }.write(codec, payload));
    }

    /// Has session `who` send a frame of this payload.
    pub fn put(&mut self, who: usize, payload: &[u8]) {
        self.put_with(who, |_, own| own.extend_from_slice(payload));
    }

    /// Has session `who` stop reading for good, as a program that hangs.
    pub fn deafen(&mut self, who: usize) {
        if let Some(member) = self.members.get_mut(who) {
            member.is_deaf = true;
        }
    }

    fn put_with(
        &mut self,
        who: usize,
        write: impl FnOnce(crate::protocol::codec::Codec, &mut Vec<u8>),
    ) {
        let Some(member) = self.members.get_mut(who) else { return };
        self.payload.clear();
        write(member.link.codec(), &mut self.payload);
        member.link.put(&self.payload);
        self.mark(who);
    }

    fn mark(&mut self, who: usize) {
        let Some(member) = self.members.get_mut(who) else { return };
        if !member.is_dirty {
            member.is_dirty = true;
            self.dirty.push(who);
            if let Some(flusher) = self.flusher.take() {
                flusher.wake();
            }
        }
    }

    /// Writes what waits, of every session that has something.
    fn flush(&mut self) -> Result<(), (usize, std::io::Error)> {
        let now = Instant::now();
        while let Some(who) = self.dirty.pop() {
            let Some(member) = self.members.get_mut(who) else { continue };
            member.is_dirty = false;
            member.last_sent = now;
            if !member.link.write().map_err(|error| (who, error))? {
                member.is_stuck = true;
                // Its own task is the one that hears when the socket takes more.
                if let Some(task) = member.task.take() {
                    task.wake();
                }
            }
        }
        Ok(())
    }

    /// Heartbeats of those who have been silent.
    fn keep_alive(&mut self) {
        let now = Instant::now();
        for who in 0..self.members.len() {
            let is_due = self.members.get(who).is_some_and(|member| {
                !member.is_deaf && now.duration_since(member.last_sent) >= HEARTBEAT_EVERY
            });
            if is_due {
                self.command(who, CALLS_FROM, "ping", serde_json::Map::new());
            }
        }
    }
}

struct Stage<P> {
    crowd: Crowd,
    player: P,
    /// One buffer for what any session reads: it is taken apart before the next one has its turn.
    buffer: Vec<u8>,
}

impl<P: Player> Stage<P> {
    /// Hears what has come to session `who`; ready only with what ended it.
    fn attend(&mut self, who: usize, cx: &mut Context<'_>) -> Poll<BenchError> {
        let ended = |why: String| BenchError::Session { who: who.to_string(), why };
        for _ in 0..READS_A_TURN {
            let Some(member) = self.crowd.members.get_mut(who) else { return Poll::Pending };
            if member.is_stuck {
                match member.link.write() {
                    Ok(true) => member.is_stuck = false,
                    Ok(false) => match member.link.poll_writable(cx) {
                        Poll::Ready(Ok(())) => cx.waker().wake_by_ref(),
                        Poll::Ready(Err(error)) => return Poll::Ready(ended(error.to_string())),
                        Poll::Pending => {}
                    },
                    Err(error) => return Poll::Ready(ended(error.to_string())),
                }
            }
            member.task = Some(cx.waker().clone());
            if member.is_deaf {
                return Poll::Pending;
            }
            let filled = match member.link.poll_read(cx, &mut self.buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(ended("the server hung up".to_owned())),
                Poll::Ready(Ok(filled)) => filled,
                Poll::Ready(Err(error)) => return Poll::Ready(ended(error.to_string())),
            };
            if let Err(error) = self.hear(who, filled) {
                return Poll::Ready(error);
            }
        }
        // There may be more: the others first.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn hear(&mut self, who: usize, filled: usize) -> Result<(), BenchError> {
        let now_us = self.crowd.now_us();
        let mut rest = self.buffer.get(..filled).unwrap_or_default();
        loop {
            let Some(member) = self.crowd.members.get_mut(who) else { return Ok(()) };
            match member.link.piece(rest) {
                Piece::Part => {
                    member.link.keep(rest);
                    return Ok(());
                }
                Piece::Payload { from, to } => {
                    let payload = rest.get(from..to).unwrap_or_default();
                    self.player.hear(&mut self.crowd, who, payload, now_us)?;
                    rest = rest.get(to..).unwrap_or_default();
                }
                Piece::Control { opcode, from, to } => {
                    let payload = rest.get(from..to).unwrap_or_default();
                    let answered = member.link.answer_control(opcode, payload);
                    answered.map_err(|why| BenchError::Session { who: who.to_string(), why })?;
                    self.crowd.mark(who);
                    rest = rest.get(to..).unwrap_or_default();
                }
            }
        }
    }
}

/// What a script has of the stage while the sessions are heard.
pub struct Scene<P> {
    stage: Rc<RefCell<Stage<P>>>,
    failure: Rc<Cell<Option<BenchError>>>,
    failed: Rc<Notify>,
}

impl<P: Player> Scene<P> {
    /// Does something with the player and the sessions, at once.
    pub fn with<T>(&self, act: impl FnOnce(&mut P, &mut Crowd) -> T) -> T {
        let stage = &mut *self.stage.borrow_mut();
        act(&mut stage.player, &mut stage.crowd)
    }

    /// Lets the sessions go on for so long.
    pub async fn run_for(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Waits until `is_so`, which is asked every few ms; whether it came true in time.
    pub async fn until(&self, within: Duration, is_so: impl Fn(&P) -> bool) -> bool {
        let since = Instant::now();
        while !self.with(|player, _| is_so(player)) {
            if since.elapsed() > within {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        true
    }

    fn fail(&self, error: BenchError) {
        self.failure.set(Some(error));
        self.failed.notify_one();
    }
}

impl<P> Clone for Scene<P> {
    fn clone(&self) -> Self {
        let (stage, failure) = (Rc::clone(&self.stage), Rc::clone(&self.failure));
        Self { stage, failure, failed: Rc::clone(&self.failed) }
    }
}

/// What is left when the script has ended.
pub struct Played<P, T> {
    /// The connections, in their order, for reading histories.
    pub links: Vec<Link>,
    /// The player, with what it counted.
    pub player: P,
    /// What the script returned.
    pub told: T,
}

/// Has `player` hear what comes to `links` while `script` runs. Must be called on a `LocalSet`.
///
/// Ends with an error as soon as a session ends, the player returns one, or the script does.
pub async fn play<P: Player + 'static, T>(
    links: Vec<Link>,
    player: P,
    began: Instant,
    script: impl AsyncFnOnce(&Scene<P>) -> Result<T, BenchError>,
) -> Result<Played<P, T>, BenchError> {
    let (now, sessions) = (Instant::now(), links.len());
    let member = |(who, link)| {
        // Their heartbeats are spread over time, as those of real clients are.
        let since = HEARTBEAT_EVERY.mul_f64(who as f64 / sessions as f64);
        Member {
            link,
            is_dirty: false,
            is_stuck: false,
            is_deaf: false,
            task: None,
            last_sent: now.checked_sub(since).unwrap_or(now),
        }
    };
    let crowd = Crowd {
        members: links.into_iter().enumerate().map(member).collect(),
        dirty: Vec::new(),
        flusher: None,
        payload: Vec::new(),
        began,
    };
    let stage = Rc::new(RefCell::new(Stage { crowd, player, buffer: Vec::new() }));
    let scene = Scene { stage, failure: Rc::default(), failed: Rc::default() };
    let mut tasks = JoinSet::new();
    for who in 0..sessions {
        let scene = scene.clone();
        tasks.spawn_local(async move {
            let ended = poll_fn(|cx| scene.stage.borrow_mut().attend(who, cx)).await;
            scene.fail(ended);
        });
    }
    tasks.spawn_local(flush_always(scene.clone()));
    tasks.spawn_local(keep_alive(scene.clone()));
    let told = tokio::select! {
        told = script(&scene) => told?,
        () = scene.failed.notified() => {
            return Err(scene.failure.take().unwrap_or(BenchError::Stopped));
        }
    };
    tasks.shutdown().await;
    let Ok(stage) = Rc::try_unwrap(scene.stage) else {
        return Err(BenchError::Options("the script kept the scene".to_owned()));
    };
    let Stage { crowd, player, .. } = stage.into_inner();
    let links = crowd.members.into_iter().map(|member| member.link).collect();
    Ok(Played { links, player, told })
}

/// Comes behind all sessions that are readable, so that what they answered leaves together.
async fn flush_always<P: Player>(scene: Scene<P>) {
    loop {
        poll_fn(|cx| {
            let crowd = &mut scene.stage.borrow_mut().crowd;
            if crowd.dirty.is_empty() {
                crowd.flusher = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
        let flushed = scene.stage.borrow_mut().crowd.flush();
        if let Err((who, error)) = flushed {
            scene.fail(BenchError::Session { who: who.to_string(), why: error.to_string() });
        }
    }
}

async fn keep_alive<P: Player>(scene: Scene<P>) {
    loop {
        tokio::time::sleep(HEARTBEAT_EVERY / 8).await;
        scene.stage.borrow_mut().crowd.keep_alive();
    }
}
