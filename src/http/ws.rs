//! The WebSocket adapter: messages in, messages out, and RFC 6455's own closes. The session behind it knows no socket.
//!
//! The only file that names the deprecated WebSocket crate, whose actor reads the frames of a connection and writes pongs
//! and closes. The HTTP server hands the socket over with the request to upgrade, so that nothing of that server is left
//! beside it, and a task carries bytes between socket and actor. Four things about the crate shape the rest:
//!
//! - it judges less than RFC 6455 asks for, and late: its input passes a watch first;
//! - it reads for as long as something comes: its input is given one whole message, ping or pong at a time, and the next
//!   when that was taken care of;
//! - it would write each message's head and copy its payload anew for each member of a group: a session's frames have
//!   their heads, and go past it to the socket;
//! - its actor is not polled while the peer does not read its pongs: the socket can be cut without the actor.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::convert::Infallible;
use std::pin::pin;
use std::rc::Rc;

use actix::prelude::*;
use actix_codec::Framed;
use actix_http::Request;
use actix_http::h1;
use actix_http::ws::{HandshakeError, Item, hash_key, verify_handshake};
use actix_web::error::PayloadError;
use actix_web::http::header::{HOST, HeaderMap, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL};
use actix_web::http::{StatusCode, Version};
use actix_web::rt::net::TcpStream;
use actix_web_actors::ws::{self, CloseReason, ProtocolError, WebsocketContext};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream, StreamExt};
use tokio::sync::Notify;

use super::frames::{FrameWatch, Kind, Passed, Violation};
use crate::actors::{
    ConnectionPlace, Engine, Handed, SessionHandle, Transport, TurnedAway, open_session,
};
use crate::net::{Connection, Progress};
use crate::protocol::codec::Codec;
use crate::protocol::framing::{Dialect, Framing};
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
    // What was still to be written to earlier requests goes first.
    let mut head = parts.write_buf;
    match answer {
        Ok(Accepted { accept, asked, place }) => {
            head.extend_from_slice(&switching(&accept, asked));
            let codec = match asked {
                Subprotocol::Asked(codec) => codec,
                Subprotocol::Default => Codec::Json,
            };
            // Copied, for the server's buffer is as large when it is empty.
            let first = Bytes::copy_from_slice(&parts.read_buf);
            let stream = match parts.io.into_std() {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a WebSocket cannot be moved to its thread");
                    return Ok(());
                }
            };
            // The HTTP server's task, which is ten times as large, ends here.
            let engine = route.engine.clone();
            route.engine.begin_connection(move || {
                actix_web::rt::spawn(async move {
                    match TcpStream::from_std(stream) {
                        Ok(stream) => {
                            let connection = Connection::new(stream);
                            serve(&connection, head.freeze(), first, &engine, codec).await;
                        }
                        Err(error) => tracing::warn!(%error, "a WebSocket cannot be read"),
                    }
                    drop(place);
                });
            });
        }
        Err(refused) => {
            let connection = Connection::new(parts.io);
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
    header: Option<Cow<'static, str>>,
    message: String,
}

impl Refused {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, header: None, message: message.into() }
    }

    fn with(self, header: impl Into<Cow<'static, str>>) -> Self {
        Self { header: Some(header.into()), ..self }
    }

    fn response(&self) -> Vec<u8> {
        let header = self.header.as_ref().map(|header| format!("{header}\r\n")).unwrap_or_default();
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
    let from = request.peer_addr().map(|from| from.ip());
    let place = route.engine.take_place(from).map_err(|TurnedAway { retry_after }| {
        let seconds = retry_after.as_secs_f64().ceil();
        Refused::new(StatusCode::SERVICE_UNAVAILABLE, "too many connections\n")
            .with(format!("retry-after: {seconds}"))
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

/// What the actor of a connection, its input and the task that carries its output have in common.
#[derive(Default)]
struct Line {
    /// Set before the actor is polled for the first time.
    session: OnceCell<SessionHandle>,
    /// The actor has taken care of what it was given last.
    room: Notify,
    /// Why the input ended, if the peer broke the rules.
    violation: Cell<Option<Violation>>,
    end: Cell<Option<End>>,
}

/// Who has ended a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Peer,
    Session,
}

/// Tells the session that its connection is over, even where the server ends the task that carries.
struct Gone(Rc<Line>);

impl Drop for Gone {
    fn drop(&mut self) {
        if let Some(session) = self.0.session.get() {
            session.gone();
        }
    }
}

/// Serves a connection until both sides have closed it.
async fn serve(connection: &Connection, head: Bytes, first: Bytes, engine: &Engine, codec: Codec) {
    let line = Rc::new(Line::default());
    let input = Input::new(connection.clone(), first, codec, line.clone()).chunks();
    let peer = Peer { line: line.clone(), message: BytesMut::new() };
    // The crate's own limit for a frame is not below ours, which the watch keeps.
    let (actor, output) = WebsocketContext::create_with_addr(peer, input);
    let socket = Socket { actor, connection: connection.clone(), line: line.clone() };
    let dialect = Dialect { codec, framing: Framing::WebSocket };
    let session = open_session(engine, Box::new(socket), dialect);
    let gone = Gone(line.clone());
    line.session.get_or_init(|| session);
    carry(connection, head, output, &line).await;
    if line.end.get() == Some(End::Session) {
        // Over when its peer has closed too: a server that stops waits for that.
        connection.linger().await;
        drop(gone);
    } else {
        drop(gone);
        connection.linger().await;
    }
}

/// Writes what the actor puts out, and polls it for more only when that was taken.
async fn carry(
    connection: &Connection,
    head: Bytes,
    output: impl Stream<Item = Result<Bytes, actix_web::Error>>,
    line: &Line,
) {
    let mut output = pin!(output);
    let mut bytes = head;
    while connection.send(bytes).await {
        bytes = match output.next().await {
            Some(Ok(bytes)) => bytes,
            Some(Err(_)) | None => break,
        };
        if line.end.get().is_some() {
            // Its last: not waited for, a peer that has ended the connection need not read it.
            return connection.finish(bytes);
        }
    }
    connection.finish(Bytes::new());
}

/// What comes from the peer, as it is given to the crate.
struct Input {
    connection: Connection,
    watch: FrameWatch,
    line: Rc<Line>,
    /// What came and was not given yet.
    bytes: Bytes,
    given: Given,
}

/// What the actor was given last.
enum Given {
    /// Nothing that is whole.
    Part,
    /// A whole message, ping or pong.
    Whole,
    /// Nothing may follow.
    Last,
}

impl Input {
    fn new(connection: Connection, first: Bytes, codec: Codec, line: Rc<Line>) -> Self {
        let kind = if codec.is_text() { Kind::Text } else { Kind::Binary };
        Self { connection, watch: FrameWatch::new(kind), line, bytes: first, given: Given::Part }
    }

    fn chunks(self) -> impl Stream<Item = Result<Bytes, PayloadError>> {
        stream::unfold(self, |mut input| async {
            let bytes = input.next().await?;
            Some((Ok(bytes), input))
        })
    }

    /// The next bytes, up to the end of what the peer said; `None` when nothing more may be read.
    async fn next(&mut self) -> Option<Bytes> {
        match self.given {
            Given::Part => {}
            // The crate takes whatever it can get: whoever is not slowed down here fills its buffer.
            Given::Whole => self.line.room.notified().await,
            Given::Last => return None,
        }
        if self.bytes.is_empty() {
            self.bytes = self.connection.read().await?.freeze();
        }
        let mut rest = &self.bytes[..];
        self.given = match self.watch.pass(&mut rest) {
            None => Given::Part,
            Some(Ok(Passed::Whole)) => Given::Whole,
            Some(Ok(Passed::Close)) => Given::Last,
            Some(Err(violation)) => {
                self.line.violation.set(Some(violation));
                return None;
            }
        };
        let passed = self.bytes.len() - rest.len();
        Some(self.bytes.split_to(passed))
    }
}

/// The end, after what was written.
#[derive(Message)]
#[rtype(result = "()")]
struct Close {
    code: u16,
    reason: &'static str,
}

/// What a session can do with its socket.
struct Socket {
    /// Long-lived: a clone for each message would bring a slot of its own each time.
    actor: Addr<Peer>,
    connection: Connection,
    line: Rc<Line>,
}

impl Transport for Socket {
    fn write(&self, frames: Vec<Bytes>) -> Handed {
        let line = self.line.clone();
        let progress = self.connection.write(frames, move || {
            if let Some(session) = line.session.get() {
                session.written();
            }
        });
        match progress {
            Progress::Done => Handed::Written,
            // One that is broken is told by whoever reads.
            Progress::Blocked | Progress::Broken => Handed::Waiting,
        }
    }

    fn close(&self, code: u16, reason: &'static str) {
        // There is room: it is said once. An adapter that is gone has told the session.
        let _ = self.actor.try_send(Close { code, reason });
    }

    fn cut(&self) {
        self.connection.cut();
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Too late for a word where all is well: then the end was said before the session went.
        let fault = CloseCode::Internal;
        self.close(fault.number(), fault.reason());
    }
}

/// The actor of one WebSocket.
struct Peer {
    line: Rc<Line>,
    /// The fragments of a message that is not whole yet; the watch bounds them.
    message: BytesMut,
}

impl Actor for Peer {
    type Context = WebsocketContext<Self>;
}

impl Handler<Close> for Peer {
    type Result = ();

    fn handle(&mut self, Close { code, reason }: Close, ctx: &mut Self::Context) {
        self.end(End::Session, Some((ws::CloseCode::from(code), reason).into()), ctx);
    }
}

impl StreamHandler<Result<ws::Message, ProtocolError>> for Peer {
    fn handle(&mut self, message: Result<ws::Message, ProtocolError>, ctx: &mut Self::Context) {
        match message {
            Ok(ws::Message::Text(text)) => self.receive(text.into_bytes(), ctx),
            Ok(ws::Message::Binary(bytes)) => self.receive(bytes, ctx),
            Ok(ws::Message::Continuation(item)) => self.assemble(item, ctx),
            Ok(ws::Message::Ping(payload)) => {
                ctx.pong(&payload);
                self.heard();
            }
            Ok(ws::Message::Pong(_)) => self.heard(),
            Ok(ws::Message::Close(reason)) => {
                let code = reason.map(|reason| CloseReason { description: None, ..reason });
                self.end(End::Peer, code, ctx);
            }
            Ok(ws::Message::Nop) => {}
            Err(error) => {
                tracing::error!(%error, "the watch let through what cannot be read");
                let code = Some((ws::CloseCode::Protocol, "the frame breaks RFC 6455").into());
                self.end(End::Peer, code, ctx);
            }
        }
    }

    /// Nothing more comes: the peer has vanished, and nobody is left to be told, or has broken the rules.
    fn finished(&mut self, ctx: &mut Self::Context) {
        self.line.end.set(Some(End::Peer));
        if let Some(Violation { code, reason }) = self.line.violation.take() {
            ctx.close(Some((ws::CloseCode::from(code), reason).into()));
        }
        ctx.stop();
    }
}

impl Peer {
    fn assemble(&mut self, item: Item, ctx: &mut WebsocketContext<Self>) {
        let (part, is_last) = match item {
            Item::FirstText(part) | Item::FirstBinary(part) | Item::Continue(part) => (part, false),
            Item::Last(part) => (part, true),
        };
        self.message.extend_from_slice(&part);
        if is_last {
            let message = std::mem::take(&mut self.message).freeze();
            self.receive(message, ctx);
        }
    }

    /// Hands a message over. Nothing more is read until the session has room for another.
    fn receive(&mut self, message: Bytes, ctx: &mut WebsocketContext<Self>) {
        let Some(session) = self.line.session.get() else { return };
        let taken = session.frame(message);
        ctx.spawn(taken.into_actor(self).map(|is_taken, peer, _| {
            // Where the session has ended, the end is on its way.
            if is_taken {
                peer.line.room.notify_one();
            }
        }));
    }

    fn heard(&self) {
        if let Some(session) = self.line.session.get() {
            session.heard();
        }
        self.line.room.notify_one();
    }

    /// Closes with this code, or with none, after what was written.
    fn end(&self, end: End, code: Option<CloseReason>, ctx: &mut WebsocketContext<Self>) {
        self.line.end.set(Some(end));
        ctx.close(code);
        ctx.stop();
    }
}
