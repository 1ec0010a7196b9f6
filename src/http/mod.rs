//! HTTP: how a port is taken and served, and what stands behind each.
//!
//! Ports are taken before anything slow is done, so that one that is in use ends the start at once, and are listened on
//! only when there is something to answer.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

use self::api::Api;
use self::ws::WebSocketRoute;
use crate::limits;
use crate::net;
use crate::protocol::WEBSOCKET_PATH;
use actix_http::HttpService;
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::dev::{AppConfig, Server};
use actix_web::http::header::UPGRADE;
use actix_web::middleware::DefaultHeaders;
use actix_web::rt::net::TcpStream;
use actix_web::web::ServiceConfig;
use actix_web::{App, Error, HttpResponse, HttpServer};
use socket2::{Domain, Protocol, Socket, Type};

mod api;
pub mod frames;
pub mod inside;
pub mod web;
pub mod ws;

/// A port that is ours, and not listened on yet: clients are refused, not left waiting.
#[derive(Debug)]
pub struct BoundPort {
    socket: Socket,
    address: SocketAddr,
}

impl BoundPort {
    /// Takes the port at the first of the host's addresses that can be had; 0 takes a free one.
    pub fn take(host: &str, port: u16) -> io::Result<Self> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in (host, port).to_socket_addrs()? {
            match bind(address) {
                Ok(bound) => return Ok(bound),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The address with its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets clients in.
    pub fn listen(self) -> io::Result<TcpListener> {
        self.socket.listen(limits::BACKLOG)?;
        Ok(self.socket.into())
    }
}

fn bind(address: SocketAddr) -> io::Result<BoundPort> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A port whose last connections are still fading away can be taken again; one that is listened on cannot.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    let address = socket.local_addr()?.as_socket().unwrap_or(address);
    Ok(BoundPort { socket, address })
}

/// Serves the port of health and metrics, with one thread.
///
/// Stopped by the handle of the returned server alone: signals are the application's matter.
pub fn serve_inside<F>(port: BoundPort, routes: F) -> io::Result<Server>
where
    F: Fn(&mut ServiceConfig) + Clone + Send + 'static,
{
    let server = HttpServer::new(move || App::new().wrap(headers()).configure(routes.clone()));
    Ok(server
        .workers(1)
        .max_connections(limits::INSIDE_CONNECTIONS)
        .client_request_timeout(limits::REQUEST_WITHIN)
        .shutdown_timeout(limits::REQUESTS_DRAIN_WITHIN.as_secs())
        .disable_signals()
        .listen(port.listen()?)?
        .run())
}

/// Serves the outer port: the page, REST, and WebSockets, which leave the HTTP server with their first request.
///
/// Each thread takes `connections` at most; more wait to be accepted. Stopped by the handle of the returned server alone.
pub fn serve_outer(
    port: BoundPort,
    threads: usize,
    connections: usize,
    websocket: WebSocketRoute,
) -> io::Result<Server> {
    let address = port.address();
    let server = Server::build();
    let stopping = server.graceful_shutdown_signal();
    let api = Api::new(websocket.engine.clone());
    let factory = move || {
        let (stopping, engine) = (stopping.clone(), websocket.engine.clone());
        let routes = |config: &mut ServiceConfig| outer_routes(config, &api);
        let app = App::new().wrap(headers()).configure(routes).into_factory();
        let websocket = websocket.clone();
        HttpService::build()
            // Connections that wait for a next request are not waited for.
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .client_request_timeout(limits::REQUEST_WITHIN)
            .client_disconnect_timeout(limits::DISCONNECT_WITHIN)
            .local_addr(address)
            .on_connect_ext(move |stream: &TcpStream, kept| {
                if let Err(error) = net::prepare(stream) {
                    tracing::debug!(%error, "a connection cannot be set up");
                }
                kept.insert(engine.count_connection());
            })
            .upgrade(fn_service(move |(request, framed)| {
                ws::attend(request, framed, websocket.clone())
            }))
            .h1(map_config(app.map_err(|error: Error| error.error_response()), |()| {
                AppConfig::default()
            }))
            .tcp()
    };
    Ok(server
        .workers(threads)
        .max_concurrent_connections(connections)
        .shutdown_timeout(limits::REQUESTS_DRAIN_WITHIN.as_secs())
        .disable_signals()
        .listen("outer", port.listen()?, factory)?
        .run())
}

fn headers() -> DefaultHeaders {
    DefaultHeaders::new()
        .add(("X-Content-Type-Options", "nosniff"))
        .add(("Referrer-Policy", "no-referrer"))
}

fn outer_routes(config: &mut ServiceConfig, api: &Api) {
    config
        .route(WEBSOCKET_PATH, actix_web::web::route().to(no_websocket))
        .configure(|config| api::configure(config, api))
        .configure(web::configure);
}

/// A request that asks for no upgrade.
async fn no_websocket() -> HttpResponse {
    HttpResponse::UpgradeRequired()
        .insert_header((UPGRADE, "websocket"))
        .body("expected a WebSocket\n")
}
