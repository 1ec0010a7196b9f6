//! One connection: opened, asked, and taken apart into frames, without a copy of what comes.

use std::io;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpSocket, TcpStream, lookup_host};

use super::wire::{self, Command, Piece};
use crate::bench::errors::BenchError;
use crate::client::raw::Transport;
use crate::limits;
use crate::protocol::WEBSOCKET_PATH;
use crate::protocol::codec::Codec;

/// How long an answer may take while nothing is measured.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// The head of an HTTP answer is no longer than this, in bytes.
const ANSWER_HEAD_BYTES: usize = 8 * 1024;
/// What is read at once when a link is asked, in bytes.
const ASK_BYTES: usize = 16 * 1024;

/// Where and how to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// The server, as `127.0.0.1:8800`: the port of WebSockets or that of TCP, as `transport` is.
    pub address: String,
    /// The way in.
    pub transport: Transport,
    /// How frames are written.
    pub codec: Codec,
    /// Bytes of the kernel's receive buffer: small for a reader that shall fall behind soon.
    pub receive_buffer: Option<u32>,
}

/// An open connection.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    transport: Transport,
    codec: Codec,
    /// The beginning of a frame whose rest has not come.
    come: Vec<u8>,
    /// What has not left yet, from `left` on.
    out: Vec<u8>,
    left: usize,
    last_call: u64,
}

/// Ids of commands from here on are those of [`Link::call`] and of heartbeats; a player's own stay below.
pub const CALLS_FROM: u64 = 1 << 52;

impl Link {
    /// Opens a connection; over a WebSocket up to the end of the handshake.
    pub async fn open(way: &Way) -> io::Result<Self> {
        let stream = connect(&way.address, way.receive_buffer).await?;
        // Small frames must not wait for each other.
        stream.set_nodelay(true)?;
        let mut link = Self {
            stream,
            transport: way.transport,
            codec: way.codec,
            come: Vec::new(),
            out: Vec::new(),
            left: 0,
            last_call: CALLS_FROM,
        };
        let opened = tokio::time::timeout(limits::CLIENT_CONNECT_WITHIN, link.greet(way));
        opened.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(link)
    }

    /// How frames are written.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Puts one frame of this payload behind what waits to leave.
    pub fn put(&mut self, payload: &[u8]) {
        match self.transport {
            Transport::WebSocket => {
                let opcode = if self.codec.is_text() { 1 } else { 2 };
                wire::websocket_frame(opcode, payload, &mut self.out);
            }
            Transport::Tcp => wire::tcp_frame(payload, &mut self.out),
        }
    }

    /// Answers a frame of the transport; the text says why the connection has ended.
    pub fn answer_control(&mut self, opcode: u8, payload: &[u8]) -> Result<(), String> {
        match opcode {
            8 => Err(match payload {
                [high, low, reason @ ..] => format!(
                    "closed with {}: {}",
                    u16::from_be_bytes([*high, *low]),
                    String::from_utf8_lossy(reason)
                ),
                _ => "closed without a code".to_owned(),
            }),
            9 => {
                wire::websocket_frame(10, payload, &mut self.out);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What stands at the beginning of these bytes.
    pub fn piece(&self, bytes: &[u8]) -> Piece {
        match self.transport {
            Transport::WebSocket => wire::websocket_piece(bytes),
            Transport::Tcp => wire::tcp_piece(bytes),
        }
    }

    /// Reads into `buffer`, behind the part of a frame that came before; returns how much of it is filled, 0 at the end.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        let before = self.come.len();
        if buffer.len() < before + limits::SERVER_FRAME_BYTES {
            buffer.resize(before + limits::SERVER_FRAME_BYTES, 0);
        }
        let Some(room) = buffer.get_mut(before..) else { return Poll::Ready(Ok(0)) };
        let mut room = ReadBuf::new(room);
        // The library's own reading knows that a read which filled less than the buffer emptied the socket, which saves
        // the call that would say so.
        match Pin::new(&mut self.stream).poll_read(cx, &mut room) {
            Poll::Ready(Ok(())) if room.filled().is_empty() => Poll::Ready(Ok(0)),
            Poll::Ready(Ok(())) => {
                let filled = before + room.filled().len();
                if let Some(start) = buffer.get_mut(..before) {
                    start.copy_from_slice(&self.come);
                }
                self.come.clear();
                Poll::Ready(Ok(filled))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Keeps the beginning of a frame until its rest comes.
    pub fn keep(&mut self, part: &[u8]) {
        self.come.extend_from_slice(part);
    }

    /// Writes what the socket takes; whether all has left.
    pub fn write(&mut self) -> io::Result<bool> {
        while let Some(rest) = self.out.get(self.left..).filter(|rest| !rest.is_empty()) {
            match self.stream.try_write(rest) {
                Ok(bytes) => self.left += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.left = 0;
        Ok(true)
    }

    /// Has the task woken when the socket takes more.
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_write_ready(cx)
    }

    /// Whether there is nothing that waits to leave.
    pub fn is_flushed(&self) -> bool {
        self.out.is_empty()
    }

    /// Sends a command and waits for its answer; every other frame that comes meanwhile is dropped.
    ///
    /// Only for setting a scene and for reading histories. `who` and `cmd` are for the error.
    pub async fn call(
        &mut self,
        who: &str,
        cmd: &str,
        body: impl Serialize,
    ) -> Result<Value, BenchError> {
        let mut answers = self.call_all(who, cmd, [body]).await?;
        Ok(answers.pop().unwrap_or_default())
    }

    /// The same with a command for each of `bodies`, all of them under way at once; the answers come in the order in which
    /// the server gave them. The server takes [`limits::IN_FLIGHT`] of a session.
    pub async fn call_all(
        &mut self,
        who: &str,
        cmd: &str,
        bodies: impl IntoIterator<Item = impl Serialize>,
    ) -> Result<Vec<Value>, BenchError> {
        let first = self.last_call + 1;
        let mut payload = Vec::new();
        for body in bodies {
            self.last_call += 1;
            payload.clear();
            Command { id: self.last_call, cmd, body }.write(self.codec, &mut payload);
            self.put(&payload);
        }
        let asked = first..=self.last_call;
        let late = || BenchError::Late { what: format!("{who}: {cmd}"), after: ANSWER_WITHIN };
        let ended =
            |error| BenchError::Session { who: who.to_owned(), why: format!("{cmd}: {error}") };
        let answering = tokio::time::timeout(ANSWER_WITHIN, self.answers(asked)).await;
        let frames = answering.map_err(|_| late())?.map_err(ended)?;
        frames.into_iter().map(|frame| accepted(frame, who, cmd)).collect()
    }

    /// Writes what waits to leave, and reads the answers to these commands.
    async fn answers(&mut self, asked: RangeInclusive<u64>) -> io::Result<Vec<Value>> {
        self.stream.write_all(self.out.get(self.left..).unwrap_or_default()).await?;
        self.out.clear();
        self.left = 0;
        let mut missing = asked.clone().count();
        let mut answers = Vec::with_capacity(missing);
        while missing > 0 {
            let frame = self.next_tree().await?;
            if frame["re"].as_u64().is_some_and(|id| asked.contains(&id)) {
                missing -= 1;
                answers.push(frame);
            }
        }
        Ok(answers)
    }

    /// The next frame of the protocol.
    async fn next_tree(&mut self) -> io::Result<Value> {
        loop {
            let (from, to, control) = match self.piece(&self.come) {
                Piece::Payload { from, to } => (from, to, None),
                Piece::Control { opcode, from, to } => (from, to, Some(opcode)),
                Piece::Part => {
                    self.come.reserve(ASK_BYTES);
                    if self.stream.read_buf(&mut self.come).await? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    continue;
                }
            };
            let frame: Vec<u8> = self.come.drain(..to).collect();
            let payload = frame.get(from..).unwrap_or_default();
            match control {
                Some(opcode) => {
                    self.answer_control(opcode, payload).map_err(io::Error::other)?;
                }
                None => return read_tree(payload, self.codec).map_err(io::Error::other),
            }
        }
    }

    /// The upgrade to a WebSocket, or the byte that picks a codec over TCP.
    async fn greet(&mut self, way: &Way) -> io::Result<()> {
        if way.transport == Transport::Tcp {
            return self.stream.write_all(&[way.codec.first_byte()]).await;
        }
        // The key is for proxies that would answer from memory; there is none here, so it may always be the same.
        let request = format!(
            "GET {WEBSOCKET_PATH} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: cm9va2VyeSBiZW5jaCBrZQ==\r\n\
             Sec-WebSocket-Protocol: {}\r\n\r\n",
            way.address,
            way.codec.subprotocol()
        );
        self.stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        loop {
            if let Some(end) = head.windows(4).position(|end| end == b"\r\n\r\n") {
                let status = String::from_utf8_lossy(head.get(..end).unwrap_or_default());
                if let Some(after) = turned_away(&status) {
                    return Err(io::Error::other(TurnedAway { after }));
                }
                if !status.starts_with("HTTP/1.1 101") {
                    let line = status.lines().next().unwrap_or_default();
                    return Err(io::Error::other(format!("the upgrade was answered with {line}")));
                }
                self.come = head.split_off(end + 4);
                return Ok(());
            }
            if head.len() > ANSWER_HEAD_BYTES || self.stream.read_buf(&mut head).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// The server takes nobody at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server takes nobody at the moment; come again in {after:?}")]
pub struct TurnedAway {
    /// After how long it may be tried again.
    pub after: Duration,
}

/// After how long whoever was turned away with this head of an answer may come again.
fn turned_away(head: &str) -> Option<Duration> {
    let after = |line: &str| {
        let (name, seconds) = line.split_once(':')?;
        if !name.eq_ignore_ascii_case("retry-after") {
            return None;
        }
        seconds.trim().parse().ok().map(Duration::from_secs)
    };
    head.starts_with("HTTP/1.1 503").then(|| head.lines().find_map(after)).flatten()
}

/// What an answer says, unless it refuses the command.
fn accepted(frame: Value, who: &str, cmd: &str) -> Result<Value, BenchError> {
    match frame {
        Value::Object(mut frame) if frame.contains_key("ok") => {
            Ok(frame.remove("ok").unwrap_or_default())
        }
        frame => {
            let text = |name: &str| frame["error"][name].as_str().unwrap_or_default().to_owned();
            let what = format!("{who}: {cmd}");
            Err(BenchError::Refused { what, code: text("code"), message: text("message") })
        }
    }
}

fn read_tree(payload: &[u8], codec: Codec) -> Result<Value, String> {
    match codec {
        Codec::Json => serde_json::from_slice(payload).map_err(|error| error.to_string()),
        Codec::MessagePack => rmp_serde::from_slice(payload).map_err(|error| error.to_string()),
    }
}

async fn connect(address: &str, receive_buffer: Option<u32>) -> io::Result<TcpStream> {
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in lookup_host(address).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        match socket.connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}
