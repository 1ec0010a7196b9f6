//! One TCP connection between a peer and a session: read by one task, written in batches, cut from outside if need be.
//!
//! Both ways in stand on it, for what holds for either: small frames leave at once, a peer that does not read costs one
//! batch, and whoever closes goes on reading for a while, or the system would take back what was written last.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::oneshot;

use crate::limits;

/// What is read from a socket at once, in bytes.
const READ_BYTES: usize = 16 * 1024;

thread_local! {
    /// Each thread's, so that no connection holds room for what may come, and none is taken for each read: what came is
    /// copied, and is mostly short.
    static READ_INTO: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
}

/// Frames that are written with one call of the system at most.
const FRAMES_AT_ONCE: usize = 64;

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
    stream: OwnedWriteHalf,
    reading: RefCell<OwnedReadHalf>,
    outgoing: RefCell<Outgoing>,
    /// Whether a task waits for the peer to read on.
    is_blocked: Cell<bool>,
}

/// What is still to be written, in this order.
#[derive(Default)]
struct Outgoing {
    begun: Option<Piece>,
    /// What the adapter says of its own.
    aside: Option<Piece>,
    batch: Option<Piece>,
    end: End,
}

struct Piece {
    frames: VecDeque<Bytes>,
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

/// What became of something that was to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is left to be written.
    Done,
    /// The peer must read first.
    Blocked,
    /// The connection is over.
    Broken,
}

impl Connection {
    /// Takes a connection over.
    pub fn new(stream: TcpStream) -> Self {
        let (reading, stream) = stream.into_split();
        let (outgoing, is_blocked) = (RefCell::default(), Cell::new(false));
        Self(Rc::new(Inner { stream, reading: RefCell::new(reading), outgoing, is_blocked }))
    }

    /// What has come; `None` when nothing more will. For one task alone.
    pub async fn read(&self) -> Option<BytesMut> {
        // The half's own reading, for it knows that a read which filled less than there was room for has emptied the
        // socket: that saves the call that would say so.
        poll_fn(|cx| {
            READ_INTO.with_borrow_mut(|room| {
                let mut room = ReadBuf::new(room);
                let mut reading = self.0.reading.borrow_mut();
                ready!(Pin::new(&mut *reading).poll_read(cx, &mut room)).ok();
                let came = room.filled();
                Poll::Ready((!came.is_empty()).then(|| BytesMut::from(came)))
            })
        })
        .await
    }

    /// Writes a batch of frames. One that has to wait says later that it was written; only one at a time.
    pub fn write(&self, frames: Vec<Bytes>, written: impl FnOnce() + 'static) -> Progress {
        let mut batch = Piece { frames: frames.into(), written: None };
        // Nothing waits then, so nothing is overtaken.
        let is_free = !self.0.is_blocked.get() && matches!(self.0.outgoing.borrow().end, End::Open);
        if is_free {
            match self.write_piece(&mut batch) {
                Progress::Blocked => {}
                over => return over,
            }
        }
        batch.written = Some(Box::new(written));
        let mut outgoing = self.0.outgoing.borrow_mut();
        if is_free {
            outgoing.begun = Some(batch);
            drop(outgoing);
            self.wait_to_write();
        } else {
            outgoing.batch = Some(batch);
        }
        Progress::Blocked
    }

    /// Writes something before the batch that waits, if one does. Whether all of it was written, and not broken off. Only
    /// one at a time.
    pub async fn send(&self, bytes: Bytes) -> bool {
        let (written, wait) = oneshot::channel();
        let written = Box::new(move || {
            // Nobody waits any more.
            let _ = written.send(());
        });
        let frames = VecDeque::from([bytes]);
        self.0.outgoing.borrow_mut().aside = Some(Piece { frames, written: Some(written) });
        self.pump();
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
        let _ = SockRef::from(self.0.stream.as_ref()).shutdown(how);
    }

    fn pump(&self) {
        if self.0.is_blocked.get() {
            return;
        }
        if let Progress::Blocked = self.write_now() {
            self.wait_to_write();
        }
    }

    fn wait_to_write(&self) {
        self.0.is_blocked.set(true);
        let waiting = self.clone();
        tokio::task::spawn_local(async move {
            while waiting.0.stream.writable().await.is_ok() {
                if waiting.write_now() != Progress::Blocked {
                    break;
                }
            }
            waiting.0.is_blocked.set(false);
        });
    }

    /// Writes as much as the system takes now.
    fn write_now(&self) -> Progress {
        loop {
            let Some(mut piece) = self.0.outgoing.borrow_mut().next() else {
                return Progress::Done;
            };
            match self.write_piece(&mut piece) {
                Progress::Done => {}
                Progress::Blocked => {
                    self.0.outgoing.borrow_mut().begun = Some(piece);
                    return Progress::Blocked;
                }
                Progress::Broken => return Progress::Broken,
            }
            if let Some(written) = piece.written {
                written();
            }
            if let End::Closed = self.0.outgoing.borrow().end {
                self.shut(Shutdown::Write);
            }
        }
    }

    /// Writes as much of a piece as the system takes now.
    fn write_piece(&self, piece: &mut Piece) -> Progress {
        while let Some(first) = piece.frames.front() {
            let taken = if piece.frames.len() == 1 {
                self.0.stream.try_write(first)
            } else {
                let mut slices = [IoSlice::new(&[]); FRAMES_AT_ONCE];
                let at_once = piece.frames.len().min(FRAMES_AT_ONCE);
                for (slice, frame) in slices.iter_mut().zip(&piece.frames) {
                    *slice = IoSlice::new(frame);
                }
                self.0.stream.try_write_vectored(&slices[..at_once])
            };
            match taken {
                Ok(taken) => piece.advance(taken),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Progress::Blocked;
                }
                Err(_) => {
                    // Whoever reads finds out.
                    self.cut();
                    return Progress::Broken;
                }
            }
        }
        Progress::Done
    }
}

impl Piece {
    fn advance(&mut self, mut taken: usize) {
        while let Some(first) = self.frames.front_mut() {
            if taken < first.len() {
                return first.advance(taken);
            }
            taken -= first.len();
            self.frames.pop_front();
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
        if let Some(piece) = self.aside.take().or_else(|| self.batch.take()) {
            return Some(piece);
        }
        match std::mem::replace(&mut self.end, End::Closed) {
            End::Open => {
                self.end = End::Open;
                None
            }
            End::With(bytes) => Some(Piece { frames: VecDeque::from([bytes]), written: None }),
            End::Closed => None,
        }
    }
}
