//! The WebSocket adapter: frames in, frames out, and RFC 6455's own closes. The session behind it knows no socket.
//!
//! The only file that names the deprecated WebSocket crate. Two things about that crate shape it: its actor is not polled
//! while the peer does not read, so a batch of frames that was handed to it waits in its mailbox and a session hands over
//! one batch at a time; and it cannot be told to stop reading, so its input passes a gate that is shut while the session
//! has no room, and where frames that announce too much are stopped before they are kept.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll, Waker, ready};

use actix::prelude::*;
use actix_http::ws::Item;
use actix_web::error::PayloadError;
use actix_web::http::header::{HOST, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use actix_web::{Error, HttpRequest, HttpResponse, web};
use actix_web_actors::ws::{
    self, CloseCode, CloseReason, ProtocolError, WebsocketContext, WsResponseBuilder,
};
use bytes::{Bytes, BytesMut};
use futures_util::Stream;

use super::frame_watch::FrameWatch;
use super::peer::PeerSocket;
use crate::actors::{Engine, SessionHandle, Transport, open_session};
use crate::limits;
use crate::protocol::SUBPROTOCOL_JSON;
use crate::protocol::codec::Codec;

/// What the adapter is set to.
#[derive(Clone)]
pub struct WebSocketRoute {
    /// The actors.
    pub engine: Engine,
    /// The origins besides the page's own whose pages may connect.
    pub origins: Vec<String>,
}

/// Answers the upgrade.
pub async fn open(
    request: HttpRequest,
    payload: web::Payload,
    route: web::Data<WebSocketRoute>,
) -> Result<HttpResponse, Error> {
    if !origin_is_allowed(&request, &route.origins) {
        return Ok(HttpResponse::Forbidden().body("this origin is not in http.origins\n"));
    }
    if !subprotocol_is_known(&request) {
        let message = format!("expected the subprotocol {SUBPROTOCOL_JSON}, or none\n");
        return Ok(HttpResponse::BadRequest().body(message));
    }
    let gate = Gate::default();
    let connection = Connection {
        engine: route.engine.clone(),
        peer: request.conn_data::<PeerSocket>().cloned(),
        gate: gate.clone(),
        session: None,
        incoming: VecDeque::new(),
        busy: false,
        fragments: None,
    };
    let watch = FrameWatch::new(limits::FRAME_BYTES);
    WsResponseBuilder::new(connection, &request, Gated { payload, gate, watch })
        .protocols(&[SUBPROTOCOL_JSON])
        .frame_size(limits::FRAME_BYTES)
        .start()
}

/// A browser says from which page it comes; other clients say nothing and are let in.
fn origin_is_allowed(request: &HttpRequest, allowed: &[String]) -> bool {
    let Some(origin) = request.headers().get(ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    if allowed.iter().any(|allowed| allowed == origin) {
        return true;
    }
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    // The whole authority, not an end of it: `evil-example.org` is not `example.org`.
    authority.is_some() && authority == host
}

fn subprotocol_is_known(request: &HttpRequest) -> bool {
    let mut asked = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL).peekable();
    asked.peek().is_none()
        || asked.any(|header| {
            header
                .to_str()
                .is_ok_and(|names| names.split(',').any(|name| name.trim() == SUBPROTOCOL_JSON))
        })
}

/// Shut while the session has no room.
#[derive(Clone, Default)]
struct Gate {
    shut: Rc<Cell<bool>>,
    /// A frame was announced that is longer than may be.
    overrun: Rc<Cell<bool>>,
    waiting: Rc<RefCell<Option<Waker>>>,
}

impl Gate {
    fn shut(&self) {
        self.shut.set(true);
    }

    fn open(&self) {
        self.shut.set(false);
        if let Some(waker) = self.waiting.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// The request's body, read only while the gate is open.
struct Gated {
    payload: web::Payload,
    gate: Gate,
    watch: FrameWatch,
}

impl Stream for Gated {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        if self.gate.shut.get() {
            *self.gate.waiting.borrow_mut() = Some(task.waker().clone());
            return Poll::Pending;
        }
        let next = ready!(Pin::new(&mut self.payload).poll_next(task));
        if let Some(Ok(bytes)) = &next
            && self.watch.pass(bytes).is_err()
        {
            self.gate.overrun.set(true);
            return Poll::Ready(Some(Err(PayloadError::Overflow)));
        }
        Poll::Ready(next)
    }
}

/// Frames for the peer.
#[derive(Message)]
#[rtype(result = "()")]
struct Write(Vec<Bytes>);

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
    connection: Addr<Connection>,
    peer: Option<PeerSocket>,
}

impl Transport for Socket {
    fn write(&self, frames: Vec<Bytes>) {
        // There is room: a session hands over one batch at a time. An adapter that is gone has told the session.
        let _ = self.connection.try_send(Write(frames));
    }

    fn close(&self, code: u16, reason: &'static str) {
        let _ = self.connection.try_send(Close { code, reason });
    }

    fn cut(&self) {
        if let Some(peer) = &self.peer {
            peer.cut();
        }
    }
}

/// One WebSocket.
struct Connection {
    engine: Engine,
    peer: Option<PeerSocket>,
    gate: Gate,
    session: Option<SessionHandle>,
    /// Frames that were read together with the one that the session has; at most one read's worth.
    incoming: VecDeque<Bytes>,
    /// Whether the session has a frame and no room for another.
    busy: bool,
    fragments: Option<Fragments>,
}

struct Fragments {
    text: BytesMut,
    count: usize,
}

impl Actor for Connection {
    type Context = WebsocketContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(limits::ADAPTER_MAILBOX);
        let socket = Socket { connection: ctx.address(), peer: self.peer.clone() };
        self.session = Some(open_session(&self.engine, Box::new(socket), Codec::Json));
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        if let Some(session) = &self.session {
            session.gone();
        }
    }
}

impl Handler<Write> for Connection {
    type Result = ();

    fn handle(&mut self, Write(frames): Write, ctx: &mut Self::Context) {
        for frame in frames {
            match bytestring(frame) {
                Some(text) => ctx.text(text),
                None => tracing::error!("a frame of ours is no text"),
            }
        }
        if let Some(session) = &self.session {
            session.written();
        }
    }
}

impl Handler<Close> for Connection {
    type Result = ();

    fn handle(&mut self, Close { code, reason }: Close, ctx: &mut Self::Context) {
        end(ctx, code.into(), reason);
    }
}

impl StreamHandler<Result<ws::Message, ProtocolError>> for Connection {
    fn handle(&mut self, message: Result<ws::Message, ProtocolError>, ctx: &mut Self::Context) {
        match message {
            Ok(ws::Message::Text(text)) => self.receive(text.into_bytes(), ctx),
            Ok(ws::Message::Continuation(item)) => self.assemble(item, ctx),
            Ok(ws::Message::Binary(_)) => {
                end(ctx, CloseCode::Unsupported, "this subprotocol is text");
            }
            Ok(ws::Message::Ping(data)) => {
                ctx.pong(&data);
                self.heard();
            }
            Ok(ws::Message::Pong(_)) => self.heard(),
            Ok(ws::Message::Close(reason)) => {
                ctx.close(reason.map(|reason| CloseReason { description: None, ..reason }));
                ctx.stop();
            }
            Ok(ws::Message::Nop) => {}
            Err(error) => self.broken(&error, ctx),
        }
    }
}

impl Connection {
    fn receive(&mut self, frame: Bytes, ctx: &mut WebsocketContext<Self>) {
        self.incoming.push_back(frame);
        if !self.busy {
            self.pass_on(ctx);
        }
    }

    /// Passes the oldest frame on, and the next when the session has room again.
    fn pass_on(&mut self, ctx: &mut WebsocketContext<Self>) {
        let Some(session) = &self.session else { return };
        let Some(frame) = self.incoming.pop_front() else {
            self.gate.open();
            return;
        };
        self.busy = true;
        self.gate.shut();
        let taken = session.frame(frame);
        ctx.spawn(taken.into_actor(self).map(|(), connection, ctx| {
            connection.busy = false;
            connection.pass_on(ctx);
        }));
    }

    fn assemble(&mut self, item: Item, ctx: &mut WebsocketContext<Self>) {
        let (part, last) = match item {
            Item::FirstText(part) => {
                self.fragments = Some(Fragments { text: BytesMut::new(), count: 0 });
                (part, false)
            }
            Item::FirstBinary(_) => {
                return end(ctx, CloseCode::Unsupported, "this subprotocol is text");
            }
            Item::Continue(part) => (part, false),
            Item::Last(part) => (part, true),
        };
        let Some(fragments) = &mut self.fragments else {
            return end(ctx, CloseCode::Protocol, "a fragment without a beginning");
        };
        fragments.count += 1;
        // Counted as well as measured: empty fragments cost memory too.
        if fragments.count > limits::FRAGMENTS
            || fragments.text.len() + part.len() > limits::FRAME_BYTES
        {
            return end(ctx, CloseCode::Size, "the message is too large");
        }
        fragments.text.extend_from_slice(&part);
        if !last {
            return;
        }
        let text = self.fragments.take().map(|fragments| fragments.text.freeze());
        match text.and_then(bytestring) {
            Some(text) => self.receive(text.into_bytes(), ctx),
            None => end(ctx, CloseCode::Invalid, "the text is not UTF-8"),
        }
    }

    fn heard(&self) {
        if let Some(session) = &self.session {
            session.heard();
        }
    }

    fn broken(&self, error: &ProtocolError, ctx: &mut WebsocketContext<Self>) {
        match error {
            ProtocolError::Io(_) if self.gate.overrun.get() => {
                end(ctx, CloseCode::Size, "the frame is too large");
            }
            ProtocolError::Overflow => end(ctx, CloseCode::Size, "the frame is too large"),
            ProtocolError::Io(error) if is_bad_utf8(error) => {
                end(ctx, CloseCode::Invalid, "the text is not UTF-8");
            }
            // Reserved bits, which the crate tells apart by this kind alone.
            ProtocolError::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                end(ctx, CloseCode::Protocol, "the frame breaks RFC 6455");
            }
            // The peer has vanished: nobody is left to be told.
            ProtocolError::Io(_) => ctx.stop(),
            _ => end(ctx, CloseCode::Protocol, "the frame breaks RFC 6455"),
        }
    }
}

/// The crate tells bad text and a broken connection apart by their words alone.
fn is_bad_utf8(error: &std::io::Error) -> bool {
    error.to_string().contains("utf-8")
}

fn bytestring(text: Bytes) -> Option<bytestring::ByteString> {
    bytestring::ByteString::try_from(text).ok()
}

fn end(ctx: &mut WebsocketContext<Connection>, code: CloseCode, reason: &str) {
    ctx.close(Some(CloseReason { code, description: Some(reason.to_owned()) }));
    ctx.stop();
}
