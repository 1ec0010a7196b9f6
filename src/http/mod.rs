//! HTTP: how a port is taken and served, and what stands behind each.
//!
//! Ports are taken before anything slow is done, so that one that is in use ends the start at once, and are listened on
//! only when there is something to answer.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

use self::ws::WebSocketRoute;
use crate::limits;
use crate::protocol::WEBSOCKET_PATH;
use actix_web::dev::Server;
use actix_web::middleware::DefaultHeaders;
use actix_web::web::{Data, ServiceConfig};
use actix_web::{App, HttpServer};
use socket2::{Domain, Protocol, Socket, Type};

mod frame_watch;
pub mod inside;
mod peer;
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

/// Serves what `routes` adds on a port, with `workers` threads.
///
/// Stopped by the handle of the returned server alone: signals are the application's matter.
pub fn serve<F>(port: BoundPort, workers: usize, routes: F) -> io::Result<Server>
where
    F: Fn(&mut ServiceConfig) + Clone + Send + 'static,
{
    let server = HttpServer::new(move || {
        let headers = DefaultHeaders::new()
            .add(("X-Content-Type-Options", "nosniff"))
            .add(("Referrer-Policy", "no-referrer"));
        App::new().wrap(headers).configure(routes.clone())
    });
    // Small frames must leave at once: waiting to fill a packet costs a hundred times the rate.
    Ok(server
        .workers(workers)
        .tcp_nodelay(true)
        .on_connect(peer::on_connect)
        .client_request_timeout(limits::REQUEST_WITHIN)
        .shutdown_timeout(limits::REQUESTS_DRAIN_WITHIN.as_secs())
        .disable_signals()
        .listen(port.listen()?)?
        .run())
}

/// What stands behind the outer port.
pub fn outer_routes(config: &mut ServiceConfig, websocket: &WebSocketRoute) {
    config
        .app_data(Data::new(websocket.clone()))
        .route(WEBSOCKET_PATH, actix_web::web::get().to(ws::open))
        .configure(web::configure);
}
