//! A bare server of WebSockets: what actix-web and its WebSocket actors do when nothing is decided, stored or proven.
//!
//! Written as one would write it who knows that stack: a frame is shared and not copied for each socket, each of the
//! server's threads has a hub that knows the sockets of that thread, and frames that wait for a socket leave in one write.
//! It runs as a process of its own, as the engine does, so that neither has the load's processor time for its own.

use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use actix::prelude::*;
use actix_web::web::{Data, Payload, get, post};
use actix_web::{App, Error, HttpRequest, HttpResponse, HttpServer};
use actix_web_actors::ws::{self, ProtocolError, WebsocketContext};
use bytes::Bytes;

use crate::protocol::WEBSOCKET_PATH;

/// What a socket says to be sent whatever is fed.
pub const JOIN: &str = "join";
/// What the text that a socket feeds to all begins with.
pub const FEED: &str = "feed";
/// What every other text, and [`JOIN`], is answered with: a reply to `message.send`, as long as one of ours.
pub const REPLY: &str = r#"{"re":1000000,"ok":{"conversation":"user:b19acb2f51d0f0001-u-17","seq":100000,"inbox":100000,"message_id":"65773401884594176","sent_at_ms":1751371201020,"duplicate":false}}"#;
/// Where messages are posted, and answered with `STORED`.
pub const REST_PATH: &str = "/api/v1/messages";
/// What a message over REST is answered with: as long as an answer of ours.
const STORED: &str = r#"{"conversation":"user:b19acb2f51d0f0001-to-17","seq":100000,"message_id":"65773401884594176","client_msg_id":"0197c5db-b9e8-7a4c-8123-b1612dd272d1","sent_at_ms":1751371201020,"duplicate":false}"#;
/// The line by which the server tells where it listens begins with this.
pub const READY: &str = "bare server ready http=";

/// What waits for a socket or a hub: more than a load ever has under way, so that nothing is left out.
const MAILBOX: usize = 4_096;
/// Connections that each thread takes.
const CONNECTIONS: usize = 100_000;

/// Serves on a free loopback port, which it prints, until the process is ended.
pub fn serve() -> io::Result<()> {
    System::new().block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let hubs = Arc::<Mutex<Vec<Addr<Hub>>>>::default();
        let server = HttpServer::new(move || {
            // Called on each of the threads, before any has a connection.
            let hub = Hub::create(|ctx| {
                ctx.set_mailbox_capacity(MAILBOX);
                Hub::default()
            });
            hubs.lock().unwrap_or_else(PoisonError::into_inner).push(hub.clone());
            App::new()
                .app_data(Data::new(Place { hub, hubs: Arc::clone(&hubs) }))
                .route(WEBSOCKET_PATH, get().to(attend))
                .route(REST_PATH, post().to(take))
        });
        let server = server
            .workers(std::thread::available_parallelism().map_or(1, usize::from))
            .max_connections(CONNECTIONS)
            .tcp_nodelay(true)
            .listen(listener)?
            .run();
        writeln!(io::stdout(), "{READY}{address}")?;
        server.await
    })
}

/// Where a socket is.
struct Place {
    /// The hub of its thread.
    hub: Addr<Hub>,
    /// Those of all threads.
    hubs: Arc<Mutex<Vec<Addr<Hub>>>>,
}

async fn attend(
    request: HttpRequest,
    stream: Payload,
    place: Data<Place>,
) -> Result<HttpResponse, Error> {
    ws::start(Peer { place, hubs: Vec::new() }, &request, stream)
}

/// Takes a message over REST, and answers with as many bytes as ours have.
async fn take(_: Bytes) -> HttpResponse {
    HttpResponse::Created().content_type("application/json").body(STORED)
}

/// Asks to be sent whatever is fed.
#[derive(Message)]
#[rtype(result = "()")]
struct Join(Addr<Peer>);

/// Something for all who have joined.
#[derive(Message, Clone)]
#[rtype(result = "()")]
struct Feed(Bytes);

/// Knows the sockets of one thread that have joined.
#[derive(Default)]
struct Hub {
    members: Vec<Addr<Peer>>,
}

impl Actor for Hub {
    type Context = Context<Self>;
}

impl Handler<Join> for Hub {
    type Result = ();

    fn handle(&mut self, Join(member): Join, _: &mut Self::Context) {
        self.members.push(member);
    }
}

impl Handler<Feed> for Hub {
    type Result = ();

    fn handle(&mut self, feed: Feed, _: &mut Self::Context) {
        for member in &self.members {
            // One that has gone needs nothing; a load has never so much under way that a mailbox is full.
            let _ = member.try_send(feed.clone());
        }
    }
}

/// One socket.
struct Peer {
    place: Data<Place>,
    /// The hubs of all threads, once it has fed something: long-lived, as a clone brings a place of its own.
    hubs: Vec<Addr<Hub>>,
}

impl Actor for Peer {
    type Context = WebsocketContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
    }
}

impl Handler<Feed> for Peer {
    type Result = ();

    fn handle(&mut self, Feed(frame): Feed, ctx: &mut Self::Context) {
        // The same bytes but for the opcode; text would be looked through again for each socket.
        ctx.write_raw(ws::Message::Binary(frame));
    }
}

impl StreamHandler<Result<ws::Message, ProtocolError>> for Peer {
    fn handle(&mut self, message: Result<ws::Message, ProtocolError>, ctx: &mut Self::Context) {
        match message {
            Ok(ws::Message::Text(text)) => self.hear(text.into_bytes(), ctx),
            Ok(ws::Message::Ping(payload)) => ctx.pong(&payload),
            Ok(ws::Message::Close(reason)) => {
                ctx.close(reason);
                ctx.stop();
            }
            Ok(_) => {}
            Err(_) => ctx.stop(),
        }
    }
}

impl Peer {
    fn hear(&mut self, text: Bytes, ctx: &mut WebsocketContext<Self>) {
        if text.starts_with(FEED.as_bytes()) {
            if self.hubs.is_empty() {
                self.hubs = self.place.hubs.lock().unwrap_or_else(PoisonError::into_inner).clone();
            }
            let feed = Feed(text.slice(FEED.len()..));
            for hub in &self.hubs {
                let _ = hub.try_send(feed.clone());
            }
            return;
        }
        if text == JOIN {
            let _ = self.place.hub.try_send(Join(ctx.address()));
        }
        ctx.write_raw(ws::Message::Text(REPLY.into()));
    }
}
