//! The TCP adapter: a byte that picks the codec, then frames with their length before them, both ways.
//!
//! One task accepts and hands the sockets to the actors' threads, in turn. There one task reads for each connection, and
//! waits while the session has no room; writing is done as the session asks for it. TCP knows no close codes, so
//! `session.closing` is the last frame, and what the peer still sends is thrown away until it closes too.

mod frames;

use std::cell::OnceCell;
use std::io;
use std::net;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use self::frames::{FrameReader, TooLong};
use crate::actors::{
    ConnectionPlace, Engine, Handed, SessionHandle, Transport, TurnedAway, open_session,
};
use crate::net::{Connection, Progress, prepare};
use crate::protocol::codec::{Codec, Outbound};
use crate::protocol::framing::{Dialect, Framing};
use crate::protocol::{CloseCode, Code, ErrorBody};

/// How long to wait when the system has no room for another connection.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Takes clients until it is stopped.
pub struct Server {
    stop: CancellationToken,
    accepting: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Starts to take clients on a port that is listened on. To be called within the actix system.
    pub fn start(listener: net::TcpListener, engine: Engine) -> io::Result<Self> {
        let listener = TcpListener::from_std(listener)?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let accepting = tokio::spawn(async move {
            tokio::select! {
                () = accept(listener, &engine) => {}
                () = stopped.cancelled() => {}
            }
        });
        Ok(Self { stop, accepting })
    }

    /// Takes no more clients; the port is free when it returns. The sessions end with the engine's drain.
    pub async fn stop(self) {
        self.stop.cancel();
        // Fails only when the task has panicked, and then it is over too.
        let _ = self.accepting.await;
    }
}

async fn accept(listener: TcpListener, engine: &Engine) {
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a TCP connection cannot be taken");
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        let place = match engine.take_place(Some(from.ip())) {
            Ok(place) => place,
            Err(TurnedAway { retry_after }) => {
                turn_away(&stream, retry_after);
                continue;
            }
        };
        let Ok(stream) = prepared(stream) else { continue };
        let attended_by = engine.clone();
        engine.begin_connection(move || {
            actix::spawn(attend(stream, attended_by, place));
        });
    }
}

/// Says when to come again, in JSON since nobody has said otherwise, and nothing more: whoever is one too many must not cost
/// anything.
fn turn_away(stream: &TcpStream, retry_after: Duration) {
    let dialect = Dialect { codec: Codec::Json, framing: Framing::Length };
    let error = ErrorBody::new(Code::Busy, "too many come in at once, or are there");
    let frame = Outbound::Error { re: None, error: error.retry_after(retry_after) };
    if let Ok(frame) = dialect.encode(&frame) {
        // A socket that is new has room; one that has gone needs no answer.
        let _ = stream.try_write(&frame);
    }
}

/// The socket as one that another thread can take.
fn prepared(stream: TcpStream) -> io::Result<net::TcpStream> {
    prepare(&stream)?;
    stream.into_std()
}

/// Serves one connection to its end.
async fn attend(stream: net::TcpStream, engine: Engine, _place: ConnectionPlace) {
    let connection = match TcpStream::from_std(stream) {
        Ok(stream) => Connection::new(stream),
        Err(error) => return tracing::warn!(%error, "a TCP connection cannot be read"),
    };
    let cell = Rc::new(OnceCell::new());
    let socket = Socket { connection: connection.clone(), session: cell.clone() };
    // Until the first byte says otherwise; what is wrong with that byte is told in JSON as well.
    let dialect = Dialect { codec: Codec::Json, framing: Framing::Length };
    let session = open_session(&engine, Box::new(socket), dialect);
    let session = cell.get_or_init(|| session);
    if let Err(code) = read(&connection, session).await {
        session.end(code);
        connection.linger().await;
    }
    session.gone();
}

/// Reads until the peer has closed or the session has ended, or tells why no more can be read.
async fn read(connection: &Connection, session: &SessionHandle) -> Result<(), CloseCode> {
    let mut frames = FrameReader::default();
    let mut speaks = None;
    while let Some(bytes) = connection.read().await {
        let mut bytes = &bytes[..];
        if speaks.is_none()
            && let Some((first, rest)) = bytes.split_first()
        {
            let codec = Codec::ALL.into_iter().find(|codec| codec.first_byte() == *first);
            session.speaks(codec.ok_or(CloseCode::NotThisProtocol)?);
            (speaks, bytes) = (codec, rest);
        }
        while let Some(frame) = frames.read(&mut bytes) {
            match frame {
                Ok(frame) => {
                    if !session.frame(frame).await {
                        return Ok(());
                    }
                }
                Err(TooLong) => return Err(CloseCode::TooLarge),
            }
        }
    }
    Ok(())
}

/// What a session can do with its socket.
struct Socket {
    connection: Connection,
    session: Rc<OnceCell<SessionHandle>>,
}

impl Transport for Socket {
    fn write(&self, frames: Vec<Bytes>) -> Handed {
        let session = self.session.clone();
        let progress = self.connection.write(frames, move || {
            if let Some(session) = session.get() {
                session.written();
            }
        });
        match progress {
            Progress::Done => Handed::Written,
            // One that is broken is told by whoever reads.
            Progress::Blocked | Progress::Broken => Handed::Waiting,
        }
    }

    fn close(&self, _: u16, _: &'static str) {
        // The peer was told why, in the last frame.
        self.connection.finish(Bytes::new());
    }

    fn cut(&self) {
        self.connection.cut();
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // A session that has failed has nothing to say; one that has ended in order has shut this half before.
        self.connection.finish(Bytes::new());
    }
}
