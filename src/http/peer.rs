//! The socket under a connection, kept aside so that one whose peer does not read can be ended all the same.

use std::any::Any;
use std::net::Shutdown;
use std::sync::Arc;

use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use socket2::{SockRef, Socket};

use crate::limits;

/// A second handle to a connection's socket.
#[derive(Clone)]
pub struct PeerSocket(Arc<Socket>);

impl PeerSocket {
    /// Ends the connection in both directions, whatever is still to be written.
    pub fn cut(&self) {
        // Fails when the connection is over already, which is what was wanted.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// Prepares a new connection and keeps its socket with it.
pub fn on_connect(io: &dyn Any, extensions: &mut Extensions) {
    let Some(stream) = io.downcast_ref::<TcpStream>() else { return };
    let socket = SockRef::from(stream);
    // Without it a peer that is stuck keeps its connection, and what was written to it, for good.
    if let Err(error) = socket.set_tcp_user_timeout(Some(limits::TCP_USER_TIMEOUT)) {
        tracing::debug!(%error, "a connection has no time-out for what was written");
    }
    match socket.try_clone() {
        Ok(socket) => {
            extensions.insert(PeerSocket(Arc::new(socket)));
        }
        Err(error) => tracing::warn!(%error, "a connection cannot be cut from outside"),
    }
}
