//! The two ways in, seen from a client: whole frames over a WebSocket, or over TCP with their length before them.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::{OpenError, Opening, Parted, Transport, WsMessage};
use crate::limits;
use crate::protocol::codec::Codec;

/// Bytes of length before each frame over TCP.
const HEAD_BYTES: usize = 4;

/// An open connection of either kind.
#[derive(Debug)]
pub(super) enum Socket {
    WebSocket(Box<WebSocketStream<TcpStream>>),
    Tcp(TcpFrames),
}

/// Frames over TCP.
#[derive(Debug)]
pub(super) struct TcpFrames {
    stream: TcpStream,
    come: BytesMut,
    /// Frames that were handed over and have not left yet.
    fed: BytesMut,
}

impl Socket {
    pub(super) async fn open(address: &str, opening: &Opening) -> Result<Self, OpenError> {
        let mut stream = connect(address, opening.receive_buffer).await?;
        // Small frames must not wait for each other.
        stream.set_nodelay(true)?;
        match opening.transport {
            Transport::WebSocket => {
                handshake(stream, address, opening).await.map(Box::new).map(Self::WebSocket)
            }
            Transport::Tcp => {
                stream.write_all(&[opening.codec.first_byte()]).await?;
                let (come, fed) = (BytesMut::new(), BytesMut::new());
                Ok(Self::Tcp(TcpFrames { stream, come, fed }))
            }
        }
    }

    /// Hands over one frame, which leaves with the next flush at the latest.
    pub(super) async fn feed(&mut self, frame: Bytes, codec: Codec) -> Result<(), Parted> {
        match self {
            Self::WebSocket(socket) if codec.is_text() => {
                let text = String::from_utf8(frame.to_vec())
                    .map_err(|error| Parted::Lost(format!("no text: {error}")))?;
                Ok(socket.feed(WsMessage::text(text)).await?)
            }
            Self::WebSocket(socket) => Ok(socket.feed(WsMessage::Binary(frame)).await?),
            Self::Tcp(frames) => {
                frames.fed.put_u32(u32::try_from(frame.len()).unwrap_or(u32::MAX));
                frames.fed.extend_from_slice(&frame);
                Ok(())
            }
        }
    }

    pub(super) async fn flush(&mut self) -> Result<(), Parted> {
        match self {
            Self::WebSocket(socket) => Ok(socket.flush().await?),
            Self::Tcp(frames) => {
                while frames.fed.has_remaining() {
                    frames.stream.write_buf(&mut frames.fed).await.map_err(lost)?;
                }
                Ok(())
            }
        }
    }

    /// Writes bytes to the TCP connection, past all framing.
    pub(super) async fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), Parted> {
        let stream = match self {
            Self::WebSocket(socket) => socket.get_mut(),
            Self::Tcp(frames) => &mut frames.stream,
        };
        stream.write_all(bytes).await.map_err(lost)
    }

    /// The next frame as it came. Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self, codec: Codec) -> Result<Bytes, Parted> {
        match self {
            Self::WebSocket(socket) => next_message(socket, codec).await,
            Self::Tcp(frames) => frames.next().await,
        }
    }

    /// Closes the connection, as a client that goes away.
    pub(super) async fn close(&mut self) -> Result<(), Parted> {
        match self {
            Self::WebSocket(socket) => Ok((**socket).close(None).await?),
            Self::Tcp(frames) => frames.stream.shutdown().await.map_err(lost),
        }
    }
}

impl TcpFrames {
    async fn next(&mut self) -> Result<Bytes, Parted> {
        loop {
            if let Some(head) = self.come.first_chunk::<HEAD_BYTES>() {
                let length = u32::from_be_bytes(*head) as usize;
                if length > limits::SERVER_FRAME_BYTES {
                    return Err(Parted::Lost(format!("a frame of {length} bytes was announced")));
                }
                if self.come.len() >= HEAD_BYTES + length {
                    self.come.advance(HEAD_BYTES);
                    return Ok(self.come.split_to(length).freeze());
                }
            }
            if self.stream.read_buf(&mut self.come).await.map_err(lost)? == 0 {
                return Err(Parted::Lost("the stream has ended".to_owned()));
            }
        }
    }
}

fn lost(error: std::io::Error) -> Parted {
    Parted::Lost(error.to_string())
}

async fn next_message(
    socket: &mut WebSocketStream<TcpStream>,
    codec: Codec,
) -> Result<Bytes, Parted> {
    loop {
        match socket.next().await {
            Some(Ok(WsMessage::Text(text))) if codec.is_text() => return Ok(text.into()),
            Some(Ok(WsMessage::Binary(bytes))) if !codec.is_text() => return Ok(bytes),
            Some(Ok(WsMessage::Text(_) | WsMessage::Binary(_))) => {
                return Err(Parted::Lost("a frame of the other subprotocol's kind".to_owned()));
            }
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
            Some(Err(error)) => return Err(error.into()),
            None => return Err(Parted::Lost("the stream has ended".to_owned())),
        }
    }
}

async fn handshake(
    stream: TcpStream,
    address: &str,
    opening: &Opening,
) -> Result<WebSocketStream<TcpStream>, OpenError> {
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
            let after = response.headers().get("retry-after").and_then(|it| it.to_str().ok());
            let retry_in = after.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
            Err(OpenError::Refused { status: response.status().as_u16(), retry_in })
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
