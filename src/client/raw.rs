//! One WebSocket connection and nothing else: any frame or byte goes out, any frame comes in.
//!
//! It keeps no rule of the protocol, so that tests can break each of them; [`crate::client::Client`] is built on it.

use std::collections::VecDeque;
use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::limits;
use crate::protocol::{SUBPROTOCOL_JSON, WEBSOCKET_PATH};

pub use tokio_tungstenite::tungstenite::Message as WsMessage;
pub use tokio_tungstenite::tungstenite::protocol::frame::{Frame, coding as opcodes};

/// How a connection is opened.
#[derive(Debug, Clone)]
pub struct Opening {
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
            path: WEBSOCKET_PATH.to_owned(),
            subprotocol: Some(SUBPROTOCOL_JSON.to_owned()),
            origin: None,
            receive_buffer: None,
        }
    }
}

/// Why no connection could be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address cannot be reached.
    #[error("no connection: {0}")]
    Unreachable(#[from] std::io::Error),
    /// The server answered the upgrade with another status.
    #[error("the upgrade was answered with HTTP {0}")]
    Refused(u16),
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
    /// The server closed it with a code.
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
    socket: WebSocketStream<TcpStream>,
    last_id: u64,
    /// Frames that came while another was waited for.
    aside: VecDeque<Value>,
}

impl Connection {
    /// Opens a WebSocket at `address`, as `127.0.0.1:8800`.
    pub async fn open(address: &str) -> Result<Self, OpenError> {
        Self::open_with(address, &Opening::default()).await
    }

    /// Opens a WebSocket in a way of one's own.
    pub async fn open_with(address: &str, opening: &Opening) -> Result<Self, OpenError> {
        let opened =
            tokio::time::timeout(limits::CLIENT_CONNECT_WITHIN, handshake(address, opening));
        let socket = opened.await.map_err(|_| OpenError::TimedOut)??;
        Ok(Self { socket, last_id: 0, aside: VecDeque::new() })
    }

    /// Sends one text frame.
    pub async fn send_text(&mut self, text: impl Into<String>) -> Result<(), Parted> {
        self.send(WsMessage::text(text.into())).await
    }

    /// Sends any message or frame.
    pub async fn send(&mut self, message: WsMessage) -> Result<(), Parted> {
        Ok(self.socket.send(message).await?)
    }

    /// Hands over one text frame, which leaves with the next [`Connection::flush`] at the latest.
    pub async fn feed_text(&mut self, text: String) -> Result<(), Parted> {
        Ok(self.socket.feed(WsMessage::text(text)).await?)
    }

    /// Sends what was handed over.
    pub async fn flush(&mut self) -> Result<(), Parted> {
        Ok(self.socket.flush().await?)
    }

    /// Writes bytes to the TCP connection, past the WebSocket.
    pub async fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), Parted> {
        self.socket
            .get_mut()
            .write_all(bytes)
            .await
            .map_err(|error| Parted::Lost(error.to_string()))
    }

    /// The next text frame as it came. Nothing is lost when the future is dropped.
    pub async fn text(&mut self) -> Result<String, Parted> {
        loop {
            match self.socket.next().await {
                Some(Ok(WsMessage::Text(text))) => return Ok(text.as_str().to_owned()),
                Some(Ok(WsMessage::Close(frame))) => {
                    return Err(match frame {
                        Some(frame) => Parted::Closed {
                            code: frame.code.into(),
                            reason: frame.reason.as_str().to_owned(),
                        },
                        None => Parted::Closed { code: 1005, reason: String::new() },
                    });
                }
                // The library answers pings by itself.
                Some(Ok(WsMessage::Ping(_) | WsMessage::Pong(_) | WsMessage::Frame(_))) => {}
                Some(Ok(WsMessage::Binary(_))) => {
                    return Err(Parted::Lost("a binary frame in the text protocol".to_owned()));
                }
                Some(Err(error)) => return Err(error.into()),
                None => return Err(Parted::Lost("the stream has ended".to_owned())),
            }
        }
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
        self.send_text(frame.to_string()).await?;
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

    /// Closes the connection with 1000, as a client that goes away.
    pub async fn close(mut self) -> Result<(), Parted> {
        Ok(self.socket.close(None).await?)
    }

    async fn new_frame(&mut self) -> Result<Value, Parted> {
        let text = self.text().await?;
        serde_json::from_str(&text).map_err(|error| Parted::Lost(format!("not JSON: {error}")))
    }
}

async fn handshake(
    address: &str,
    opening: &Opening,
) -> Result<WebSocketStream<TcpStream>, OpenError> {
    let stream = connect(address, opening.receive_buffer).await?;
    // Small frames must not wait for each other.
    stream.set_nodelay(true)?;
    let bad = |error: &dyn std::fmt::Display| OpenError::Handshake(error.to_string());
    let url = format!("ws://{address}{}", opening.path);
    let mut request = url.into_client_request().map_err(|error| bad(&error))?;
    let named = [("sec-websocket-protocol", &opening.subprotocol), ("origin", &opening.origin)];
    for (name, value) in named {
        if let Some(value) = value {
            let value = HeaderValue::from_str(value).map_err(|error| bad(&error))?;
            request.headers_mut().insert(name, value);
        }
    }
    let config = WebSocketConfig::default()
        .read_buffer_size(16 * 1024)
        .write_buffer_size(16 * 1024)
        .max_message_size(Some(limits::SERVER_FRAME_BYTES))
        .max_frame_size(Some(limits::SERVER_FRAME_BYTES));
    match client_async_with_config(request, stream, Some(config)).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(response)) => {
            Err(OpenError::Refused(response.status().as_u16()))
        }
        Err(tungstenite::Error::Io(error)) => Err(OpenError::Unreachable(error)),
        Err(error) => Err(bad(&error)),
    }
}

async fn connect(address: &str, receive_buffer: Option<u32>) -> std::io::Result<TcpStream> {
    let mut failure = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    for address in lookup_host(address).await? {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
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
