//! The WebSocket adapter: messages in, messages out, and RFC 6455's own closes. The session behind it knows no socket.
//!
//! The HTTP server hands a connection over with its first request, and nothing of that server is left beside it then. One
//! task reads, and waits while the session has no room.

use std::cell::OnceCell;
use std::convert::Infallible;
use std::rc::Rc;

use actix_codec::Framed;
use actix_http::Request;
use actix_http::h1;
use actix_http::ws::{HandshakeError, hash_key, verify_handshake};
use actix_web::http::header::{HOST, HeaderMap, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL};
use actix_web::http::{StatusCode, Version};
use actix_web::rt::net::TcpStream;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};

use super::frames::{self, FrameReader, Incoming, Kind, Violation};
use crate::actors::{ConnectionPlace, Engine, SessionHandle, Transport, open_session};
use crate::net::Connection;
use crate::protocol::codec::Codec;
use crate::protocol::{CloseCode, WEBSOCKET_PATH};

/// What the adapter is set to.
#[derive(Clone)]
pub struct WebSocketRoute {
    /// The actors.
    pub engine: Engine,
    /// The origins besides the page's own whose pages may connect.
    pub origins: Vec<String>,
}

/// Answers a request to upgrade, and sees to it that the WebSocket is served to its end.
pub async fn attend(
    request: Request,
    framed: Framed<TcpStream, h1::Codec>,
    route: WebSocketRoute,
) -> Result<(), Infallible> {
    let answer = judge(&request, &route);
    drop(request);
    let parts = framed.into_parts();
    let connection = Connection::new(parts.io);
    // What was still to be written to earlier requests goes first.
    let mut head = parts.write_buf;
    match answer {
        Ok(Accepted { accept, asked, place }) => {
            head.extend_from_slice(&switching(&accept, asked));
            connection.write_aside(head.freeze());
            let codec = match asked {
                Subprotocol::Asked(codec) => codec,
                Subprotocol::Default => Codec::Json,
            };
            // A task of its own, so that the HTTP server's, which is ten times as large, ends here.
            actix_web::rt::spawn(async move {
                serve(&connection, parts.read_buf, &route.engine, codec).await;
                connection.linger().await;
                drop(place);
            });
        }
        Err(refused) => {
            head.extend_from_slice(&refused.response());
            connection.finish(head.freeze());
            connection.linger().await;
        }
    }
    Ok(())
}

/// What an upgrade is given.
struct Accepted {
    accept: [u8; 28],
    asked: Subprotocol,
    place: ConnectionPlace,
}

/// Why there is no upgrade, as HTTP tells it.
struct Refused {
    status: StatusCode,
    /// A header that says more.
    header: Option<&'static str>,
    message: String,
}

impl Refused {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, header: None, message: message.into() }
    }

    fn with(self, header: &'static str) -> Self {
        Self { header: Some(header), ..self }
    }

    fn response(&self) -> Vec<u8> {
        let header = self.header.map(|header| format!("{header}\r\n")).unwrap_or_default();
        format!(
            "HTTP/1.1 {}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n\
             x-content-type-options: nosniff\r\n{header}connection: close\r\n\r\n{}",
            self.status,
            self.message.len(),
            self.message
        )
        .into_bytes()
    }
}

fn judge(request: &Request, route: &WebSocketRoute) -> Result<Accepted, Refused> {
    let headers = &request.head().headers;
    if request.path() != WEBSOCKET_PATH {
        return Err(Refused::new(StatusCode::NOT_FOUND, "there is no WebSocket at this path\n"));
    }
    if !origin_is_allowed(headers, &route.origins) {
        let message = "this origin is not in http.origins\n";
        return Err(Refused::new(StatusCode::FORBIDDEN, message));
    }
    verify_handshake(request.head()).map_err(|error| match error {
        HandshakeError::GetMethodRequired => {
            Refused::new(StatusCode::METHOD_NOT_ALLOWED, "expected GET\n").with("allow: GET")
        }
        HandshakeError::UnsupportedVersion => {
            Refused::new(StatusCode::UPGRADE_REQUIRED, "expected version 13 of WebSocket\n")
                .with("upgrade: websocket\r\nsec-websocket-version: 13")
        }
        error => Refused::new(StatusCode::BAD_REQUEST, format!("{error}\n")),
    })?;
    if request.version() < Version::HTTP_11 {
        return Err(Refused::new(StatusCode::BAD_REQUEST, "expected HTTP/1.1\n"));
    }
    let key =
        headers.get(SEC_WEBSOCKET_KEY).filter(|key| is_key(key.as_bytes())).ok_or_else(|| {
            Refused::new(StatusCode::BAD_REQUEST, "expected 16 bytes in Sec-WebSocket-Key\n")
        })?;
    let asked = subprotocol(headers).ok_or_else(|| {
        let known = Codec::ALL.map(Codec::subprotocol).join(" or ");
        let message = format!("expected the subprotocol {known}, or none\n");
        Refused::new(StatusCode::BAD_REQUEST, message)
    })?;
    let place = route.engine.take_place().ok_or_else(|| {
        Refused::new(StatusCode::SERVICE_UNAVAILABLE, "too many connections\n")
            .with("retry-after: 1")
    })?;
    Ok(Accepted { accept: hash_key(key.as_bytes()), asked, place })
}

fn switching(accept: &[u8], asked: Subprotocol) -> Vec<u8> {
    let mut head =
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
        sec-websocket-accept: "
            .to_vec();
    head.extend_from_slice(accept);
    if let Subprotocol::Asked(codec) = asked {
        head.extend_from_slice(b"\r\nsec-websocket-protocol: ");
        head.extend_from_slice(codec.subprotocol().as_bytes());
    }
    head.extend_from_slice(b"\r\n\r\n");
    head
}

/// A browser says from which page it comes; other clients say nothing and are let in.
fn origin_is_allowed(headers: &HeaderMap, allowed: &[String]) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    if allowed.iter().any(|allowed| allowed == origin) {
        return true;
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    // The whole authority, not an end of it: `evil-example.org` is not `example.org`.
    authority.is_some() && authority == host
}

/// Whether a key is what RFC 6455 asks for.
fn is_key(key: &[u8]) -> bool {
    STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16)
}

/// The subprotocol that a connection is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subprotocol {
    /// It asked for this one.
    Asked(Codec),
    /// It asked for none.
    Default,
}

/// The first of those that are asked for that is known; `None` when none of them is.
fn subprotocol(headers: &HeaderMap) -> Option<Subprotocol> {
    let mut asked = headers.get_all(SEC_WEBSOCKET_PROTOCOL).peekable();
    if asked.peek().is_none() {
        return Some(Subprotocol::Default);
    }
    asked
        .filter_map(|header| header.to_str().ok())
        .flat_map(|names| names.split(','))
        .find_map(|name| Codec::ALL.into_iter().find(|codec| codec.subprotocol() == name.trim()))
        .map(Subprotocol::Asked)
}

fn kind(codec: Codec) -> Kind {
    if codec.is_text() { Kind::Text } else { Kind::Binary }
}

/// What a session can do with its socket.
struct Socket {
    connection: Connection,
    kind: Kind,
    session: Rc<OnceCell<SessionHandle>>,
}

impl Transport for Socket {
    fn write(&self, frames: Vec<Bytes>) {
        /// A head of ours is ten bytes at most.
        const HEAD: usize = 10;
        let mut batch =
            BytesMut::with_capacity(frames.iter().map(|frame| HEAD + frame.len()).sum());
        for frame in frames {
            frames::put_message(&mut batch, self.kind, &frame);
        }
        let session = self.session.clone();
        self.connection.write(batch.freeze(), move || {
            if let Some(session) = session.get() {
                session.written();
            }
        });
    }

    fn close(&self, code: u16, reason: &'static str) {
        self.connection.finish(frames::close(Some(code), reason));
    }

    fn cut(&self) {
        self.connection.cut();
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Too late for a word where all is well: then the end was said before the session went.
        let fault = CloseCode::Internal;
        self.connection.finish(frames::close(Some(fault.number()), fault.reason()));
    }
}

/// Tells the session that its connection is over, even where the server ends the task that reads.
struct Gone(Rc<OnceCell<SessionHandle>>);

impl Drop for Gone {
    fn drop(&mut self) {
        if let Some(session) = self.0.get() {
            session.gone();
        }
    }
}

/// Serves a connection until one side has closed it.
async fn serve(connection: &Connection, first: BytesMut, engine: &Engine, codec: Codec) {
    let (cell, connection) = (Rc::new(OnceCell::new()), connection.clone());
    let socket =
        Socket { connection: connection.clone(), kind: kind(codec), session: cell.clone() };
    let session = open_session(engine, Box::new(socket), codec);
    let gone = Gone(cell);
    let session = gone.0.get_or_init(|| session);
    match read(&connection, session, FrameReader::new(kind(codec)), first).await {
        Ended::Closed(code) => connection.finish(frames::close(code, "")),
        Ended::Broken(Violation { code, reason }) => {
            connection.finish(frames::close(Some(code), reason));
        }
        Ended::Vanished => connection.finish(Bytes::new()),
    }
}

/// How the peer ended a connection.
enum Ended {
    /// It closed.
    Closed(Option<u16>),
    /// It broke the rules.
    Broken(Violation),
    /// It is gone, or the session is.
    Vanished,
}

async fn read(
    connection: &Connection,
    session: &SessionHandle,
    mut frames: FrameReader,
    first: BytesMut,
) -> Ended {
    let mut come = Some(first);
    while let Some(bytes) = come {
        let mut unread = &bytes[..];
        while let Some(incoming) = frames.read(&mut unread) {
            match incoming {
                Ok(Incoming::Message(message)) => {
                    if !session.frame(message).await {
                        return Ended::Vanished;
                    }
                }
                Ok(Incoming::Ping(payload)) => {
                    connection.write_aside(frames::pong(&payload));
                    session.heard();
                }
                Ok(Incoming::Pong) => session.heard(),
                Ok(Incoming::Close(code)) => return Ended::Closed(code),
                Err(violation) => return Ended::Broken(violation),
            }
        }
        // Not kept while the peer is silent.
        drop(bytes);
        come = connection.read().await;
    }
    Ended::Vanished
}
