//! One connection and nothing else, over either way in and in either codec: any frame or byte goes out, any comes in.
//!
//! It keeps no rule of the protocol, so that tests can break each of them; [`crate::client::Client`] is built on it.

mod socket;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite;

use self::socket::Socket;
use crate::limits;
use crate::protocol::codec::Codec;
use crate::protocol::{SUBPROTOCOL_JSON, WEBSOCKET_PATH};

pub use tokio_tungstenite::tungstenite::Message as WsMessage;
pub use tokio_tungstenite::tungstenite::protocol::frame::{Frame, coding as opcodes};

/// The way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A WebSocket.
    WebSocket,
    /// Frames over TCP.
    Tcp,
}

/// How a connection is opened. Path, subprotocol and origin are for WebSockets alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The way in.
    pub transport: Transport,
    /// How frames are written and read.
    pub codec: Codec,
    /// The path of the upgrade request.
    pub path: String,
    /// The subprotocol that is asked for.
    pub subprotocol: Option<String>,
    /// The `Origin` header, as a browser would send it.
    pub origin: Option<String>,
    /// Bytes of the kernel's receive buffer: small for a reader that shall fall behind soon.
    pub receive_buffer: Option<u32>,
}

impl Default for Opening {
    fn default() -> Self {
        Self {
            transport: Transport::WebSocket,
            codec: Codec::Json,
            path: WEBSOCKET_PATH.to_owned(),
            subprotocol: Some(SUBPROTOCOL_JSON.to_owned()),
            origin: None,
            receive_buffer: None,
        }
    }
}

impl Opening {
    /// This way in, with this codec.
    pub fn by(transport: Transport, codec: Codec) -> Self {
        let subprotocol = Some(codec.subprotocol().to_owned());
        Self { transport, codec, subprotocol, ..Self::default() }
    }
}

/// Why no connection could be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address cannot be reached.
    #[error("no connection: {0}")]
    Unreachable(#[from] std::io::Error),
    /// The server answered the upgrade with another status.
    #[error("the upgrade was answered with HTTP {status}")]
    Refused {
        /// The status.
        status: u16,
        /// After how long the server says that it may be tried again.
        retry_in: Option<Duration>,
    },
    /// What came back is no WebSocket handshake.
    #[error("no WebSocket handshake: {0}")]
    Handshake(String),
    /// It took too long.
    #[error("no connection in {:?}", limits::CLIENT_CONNECT_WITHIN)]
    TimedOut,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Parted {
    /// The server closed it with a code: in the close frame, or over TCP in the last event.
    #[error("closed with {code}: {reason}")]
    Closed {
        /// The close code; 1005 when the close frame named none.
        code: u16,
        /// What the close frame said.
        reason: String,
    },
    /// It broke.
    #[error("connection lost: {0}")]
    Lost(String),
}

impl Parted {
    /// The close code, if there was one.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Closed { code, .. } => Some(*code),
            Self::Lost(_) => None,
        }
    }
}

impl From<tungstenite::Error> for Parted {
    fn from(error: tungstenite::Error) -> Self {
        Self::Lost(error.to_string())
    }
}

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    codec: Codec,
    /// The close that was announced, for TCP itself has no codes.
    announced: Option<Parted>,
    last_id: u64,
    /// Frames that came while another was waited for.
    aside: VecDeque<Value>,
}

impl Connection {
    /// Opens a WebSocket at `address`, as `127.0.0.1:8800`, and speaks JSON.
    pub async fn open(address: &str) -> Result<Self, OpenError> {
        Self::open_with(address, &Opening::default()).await
    }

    /// Opens a connection in a way of one's own.
    pub async fn open_with(address: &str, opening: &Opening) -> Result<Self, OpenError> {
        let opened =
            tokio::time::timeout(limits::CLIENT_CONNECT_WITHIN, Socket::open(address, opening));
        let socket = opened.await.map_err(|_| OpenError::TimedOut)??;
        let (codec, announced) = (opening.codec, None);
        Ok(Self { socket, codec, announced, last_id: 0, aside: VecDeque::new() })
    }

    /// Sends one frame, written in the connection's codec.
    pub async fn send_frame(&mut self, frame: &Value) -> Result<(), Parted> {
        let bytes = match self.codec {
            Codec::Json => frame.to_string().into_bytes(),
            Codec::MessagePack => rmp_serde::to_vec_named(frame)
                .map_err(|error| Parted::Lost(format!("no MessagePack: {error}")))?,
        };
        self.send_raw(bytes).await
    }

    /// Sends one frame of these bytes; over a WebSocket as text or binary, as the codec is.
    pub async fn send_raw(&mut self, bytes: impl Into<Bytes>) -> Result<(), Parted> {
        self.socket.feed(bytes.into(), self.codec).await?;
        self.flush().await
    }

    /// Sends one frame of text.
    pub async fn send_text(&mut self, text: impl Into<String>) -> Result<(), Parted> {
        self.send_raw(text.into()).await
    }

    /// Sends any message or frame, over a WebSocket alone.
    pub async fn send(&mut self, message: WsMessage) -> Result<(), Parted> {
        match &mut self.socket {
            Socket::WebSocket(socket) => Ok(socket.send(message).await?),
            Socket::Tcp(_) => Err(Parted::Lost("this is no WebSocket".to_owned())),
        }
    }

    /// Hands over one frame of text, which leaves with the next [`Connection::flush`] at the latest.
    pub async fn feed_text(&mut self, text: String) -> Result<(), Parted> {
        self.socket.feed(text.into(), self.codec).await
    }

    /// Sends what was handed over.
    pub async fn flush(&mut self) -> Result<(), Parted> {
        self.socket.flush().await
    }

    /// Writes bytes to the TCP connection, past all framing.
    pub async fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), Parted> {
        self.socket.write_bytes(bytes).await
    }

    /// The next frame as it came. Nothing is lost when the future is dropped.
    pub async fn raw(&mut self) -> Result<Bytes, Parted> {
        self.socket.next(self.codec).await
    }

    /// The next frame as it came, in a codec of text. Nothing is lost when the future is dropped.
    pub async fn text(&mut self) -> Result<String, Parted> {
        String::from_utf8(self.raw().await?.to_vec())
            .map_err(|error| Parted::Lost(format!("not text: {error}")))
    }

    /// The next frame, in the order in which they came.
    pub async fn frame(&mut self) -> Result<Value, Parted> {
        match self.aside.pop_front() {
            Some(frame) => Ok(frame),
            None => self.new_frame().await,
        }
    }

    /// Sends a command and waits for its reply, the whole frame; other frames are kept for later.
    pub async fn call(&mut self, cmd: &str, body: Value) -> Result<Value, Parted> {
        let id = self.submit(cmd, body).await?;
        self.reply(id).await
    }

    /// Sends a command and does not wait; returns its id.
    pub async fn submit(&mut self, cmd: &str, body: Value) -> Result<u64, Parted> {
        self.last_id += 1;
        let frame = json!({"id": self.last_id, "cmd": cmd, "body": body});
        self.send_frame(&frame).await?;
        Ok(self.last_id)
    }

    /// The reply to the command `id`; other frames are kept for later.
    pub async fn reply(&mut self, id: u64) -> Result<Value, Parted> {
        self.first(|frame| frame["re"] == id).await
    }

    /// The next event of any name; replies are kept for later.
    pub async fn event(&mut self) -> Result<Value, Parted> {
        self.first(|frame| frame.get("event").is_some()).await
    }

    /// Reads until the connection ends and tells how; frames are kept for later.
    pub async fn ending(&mut self) -> Parted {
        loop {
            match self.new_frame().await {
                Ok(frame) => self.aside.push_back(frame),
                Err(parted) => return parted,
            }
        }
    }

    /// The first frame that `is_it` says is meant; the others are kept for later.
    pub async fn first(&mut self, is_it: impl Fn(&Value) -> bool) -> Result<Value, Parted> {
        if let Some(place) = self.aside.iter().position(&is_it)
            && let Some(frame) = self.aside.remove(place)
        {
            return Ok(frame);
        }
        loop {
            let frame = self.new_frame().await?;
            if is_it(&frame) {
                return Ok(frame);
            }
            self.aside.push_back(frame);
        }
    }

    /// The frames that came while others were waited for.
    pub fn kept(&self) -> impl Iterator<Item = &Value> {
        self.aside.iter()
    }

    /// Closes the connection, as a client that goes away.
    pub async fn close(mut self) -> Result<(), Parted> {
        self.socket.close().await
    }

    async fn new_frame(&mut self) -> Result<Value, Parted> {
        let bytes = match (self.raw().await, &self.socket, &self.announced) {
            (Ok(bytes), _, _) => bytes,
            (Err(Parted::Lost(_)), Socket::Tcp(_), Some(announced)) => {
                return Err(announced.clone());
            }
            (Err(parted), _, _) => return Err(parted),
        };
        let unreadable = |error: &dyn std::fmt::Display| Parted::Lost(format!("not read: {error}"));
        let frame: Value = match self.codec {
            Codec::Json => serde_json::from_slice(&bytes).map_err(|error| unreadable(&error))?,
            Codec::MessagePack => {
                rmp_serde::from_slice(&bytes).map_err(|error| unreadable(&error))?
            }
        };
        if frame["event"] == "session.closing" {
            let body = &frame["body"];
            self.announced =
                body["code"].as_u64().and_then(|code| u16::try_from(code).ok()).map(|code| {
                    Parted::Closed {
                        code,
                        reason: body["reason"].as_str().unwrap_or_default().to_owned(),
                    }
                });
        }
        Ok(frame)
    }
}
