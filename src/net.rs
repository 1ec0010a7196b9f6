//! One TCP connection between a peer and a session: read by one task, written in batches, cut from outside if need be.
//!
//! Both ways in stand on it, for what holds for either: small frames leave at once, a peer that does not read costs one
//! batch, and whoever closes goes on reading for a while, or the system would take back what was written last.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::Shutdown;
use std::rc::Rc;

use bytes::{Buf, Bytes, BytesMut};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::limits;

/// What is read from a socket at once, in bytes.
const READ_BYTES: usize = 16 * 1024;

/// Sets a new connection up.
pub fn prepare(stream: &TcpStream) -> io::Result<()> {
    // Small frames must leave at once: waiting to fill a packet costs a hundred times the rate.
    stream.set_nodelay(true)?;
    // Without it a peer that is stuck keeps its connection, and what was written to it, for good.
    SockRef::from(stream).set_tcp_user_timeout(Some(limits::TCP_USER_TIMEOUT))
}

/// A connection; cheap to clone, on one thread.
#[derive(Clone)]
pub struct Connection(Rc<Inner>);

struct Inner {
    stream: TcpStream,
    outgoing: RefCell<Outgoing>,
    /// Whether a task waits for the peer to read on.
    is_blocked: Cell<bool>,
}

/// What is still to be written, in this order.
#[derive(Default)]
struct Outgoing {
    begun: Option<Piece>,
    batch: Option<Piece>,
    end: End,
}

struct Piece {
    bytes: Bytes,
    /// Called when all of it was written.
    written: Option<Box<dyn FnOnce()>>,
}

#[derive(Default)]
enum End {
    #[default]
    Open,
    /// After all else, with these bytes.
    With(Bytes),
    Closed,
}

enum Progress {
    /// Nothing is left to be written.
    Done,
    /// The peer must read first.
    Blocked,
}

impl Connection {
    /// Takes a connection over.
    pub fn new(stream: TcpStream) -> Self {
        let (outgoing, is_blocked) = (RefCell::default(), Cell::new(false));
        Self(Rc::new(Inner { stream, outgoing, is_blocked }))
    }

    /// What has come; `None` when nothing more will.
    pub async fn read(&self) -> Option<BytesMut> {
        loop {
            self.0.stream.readable().await.ok()?;
            // Taken only now, so that a connection that is silent costs no room.
            let mut bytes = BytesMut::with_capacity(READ_BYTES);
            match self.0.stream.try_read_buf(&mut bytes) {
                Ok(0) => return None,
                Ok(_) => return Some(bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
        }
    }

    /// Writes a batch, and says when it was written. Only one at a time.
    pub fn write(&self, bytes: Bytes, written: impl FnOnce() + 'static) {
        self.0.outgoing.borrow_mut().batch =
            Some(Piece { bytes, written: Some(Box::new(written)) });
        self.pump();
    }

    /// The same, for one that waits: whether all of it was written, and not broken off.
    pub async fn send(&self, bytes: Bytes) -> bool {
        let (written, wait) = oneshot::channel();
        self.write(bytes, move || {
            // Nobody waits any more.
            let _ = written.send(());
        });
        wait.await.is_ok()
    }

    /// Writes this after all else, and then nothing any more. Only the first time.
    pub fn finish(&self, bytes: Bytes) {
        let mut outgoing = self.0.outgoing.borrow_mut();
        if let End::Open = outgoing.end {
            outgoing.end = End::With(bytes);
        }
        drop(outgoing);
        self.pump();
    }

    /// Throws away what comes until the peer closes too, for as long as a peer may take to.
    pub async fn linger(&self) {
        let peer_closes = async { while self.read().await.is_some() {} };
        let _ = tokio::time::timeout(limits::CLOSE_WITHIN, peer_closes).await;
        self.cut();
    }

    /// Ends the connection in both directions, whatever is still to be written.
    pub fn cut(&self) {
        self.shut(Shutdown::Both);
    }

    fn shut(&self, how: Shutdown) {
        // Fails when the connection is over already, which is what was wanted.
        let _ = SockRef::from(&self.0.stream).shutdown(how);
    }

    fn pump(&self) {
        if self.0.is_blocked.get() {
            return;
        }
        if let Progress::Blocked = self.write_now() {
            self.0.is_blocked.set(true);
            let waiting = self.clone();
            tokio::task::spawn_local(async move {
                while waiting.0.stream.writable().await.is_ok() {
                    if let Progress::Done = waiting.write_now() {
                        break;
                    }
                }
                waiting.0.is_blocked.set(false);
            });
        }
    }

    /// Writes as much as the system takes now.
    fn write_now(&self) -> Progress {
        loop {
            let Some(mut piece) = self.0.outgoing.borrow_mut().next() else {
                return Progress::Done;
            };
            while piece.bytes.has_remaining() {
                match self.0.stream.try_write(&piece.bytes) {
                    Ok(taken) => piece.bytes.advance(taken),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.0.outgoing.borrow_mut().begun = Some(piece);
                        return Progress::Blocked;
                    }
                    Err(_) => {
                        // Whoever reads finds out.
                        self.cut();
                        return Progress::Done;
                    }
                }
            }
            if let Some(written) = piece.written {
                written();
            }
            if let End::Closed = self.0.outgoing.borrow().end {
                self.shut(Shutdown::Write);
            }
        }
    }
}

impl Outgoing {
    fn next(&mut self) -> Option<Piece> {
        if let Some(begun) = self.begun.take() {
            return Some(begun);
        }
        if let End::Closed = self.end {
            return None;
        }
        if let Some(batch) = self.batch.take() {
            return Some(batch);
        }
        match std::mem::replace(&mut self.end, End::Closed) {
            End::Open => {
                self.end = End::Open;
                None
            }
            End::With(bytes) => Some(Piece { bytes, written: None }),
            End::Closed => None,
        }
    }
}
