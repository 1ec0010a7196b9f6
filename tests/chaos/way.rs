//! A way over TCP from one who connects to one who serves, which can be harmed each way on its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixStream};
use tokio::sync::watch;

use super::faults::Heading;

/// What a slow way passes on at once, and how long that takes.
const PIECE_BYTES: usize = 700;
const PIECE_TAKES: Duration = Duration::from_millis(25);

/// As on a network: between processes of one machine the kernel would keep megabytes for one who does not read.
const SEGMENT_BYTES: u32 = 1_400;
const KEPT_BYTES: usize = 16 * 1024;
const READ_BYTES: usize = 64 * 1024;

/// Where a way leads.
#[derive(Debug, Clone)]
pub enum Target {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// What happens to what passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passage {
    Open,
    /// It waits until the passage is open again.
    Held,
    Slow,
    /// Each connection ends after so many bytes more.
    EndsAfter(usize),
}

#[derive(Debug, Clone)]
struct State {
    target: Option<Target>,
    there: Passage,
    back: Passage,
    is_parted: bool,
    /// What passes takes so long.
    takes: Duration,
    /// How often all connections were ended.
    endings: u64,
    /// Counts what was done, so that each connection sees all of it.
    change: u64,
}

/// The way. It ends with its process.
pub struct Way {
    address: SocketAddr,
    state: Arc<watch::Sender<State>>,
}

impl Way {
    /// Opens one that leads nowhere yet: who connects is hung up on.
    pub async fn open() -> Self {
        Self::open_long(Duration::ZERO).await
    }

    /// The same over a distance: what passes takes so long each way.
    pub async fn open_long(takes: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (there, back) = (Passage::Open, Passage::Open);
        let state =
            State { target: None, there, back, is_parted: false, takes, endings: 0, change: 0 };
        let state = Arc::new(watch::Sender::new(state));
        tokio::spawn(pass_on(listener, state.clone()));
        Self { address, state }
    }

    /// Where to connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where new connections lead from now on.
    pub fn lead_to(&self, target: Target) {
        self.state.send_modify(|state| state.target = Some(target));
    }

    /// Nothing passes any more, and nobody is told.
    pub fn hold(&self, heading: Heading) {
        self.harm(heading, Passage::Held);
    }

    /// What passes is late and comes in pieces.
    pub fn slow_down(&self) {
        self.harm(Heading::Both, Passage::Slow);
    }

    /// Each connection ends after so many bytes more.
    pub fn end_after(&self, heading: Heading, bytes: usize) {
        self.harm(heading, Passage::EndsAfter(bytes));
    }

    /// Ends all connections, and each new one at once.
    pub fn part(&self) {
        self.state.send_modify(|state| {
            state.is_parted = true;
            state.change += 1;
        });
    }

    /// Ends all connections; new ones come about at once.
    pub fn end_all(&self) {
        self.state.send_modify(|state| state.endings += 1);
    }

    /// All passes again; what was held goes on.
    pub fn mend(&self) {
        self.state.send_modify(|state| {
            (state.there, state.back) = (Passage::Open, Passage::Open);
            state.is_parted = false;
            state.change += 1;
        });
    }

    fn harm(&self, heading: Heading, passage: Passage) {
        self.state.send_modify(|state| {
            if heading.there() {
                state.there = passage;
            }
            if heading.back() {
                state.back = passage;
            }
            state.change += 1;
        });
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn connect(target: &Target) -> std::io::Result<Box<dyn Stream>> {
    Ok(match target {
        Target::Tcp(address) => {
            let socket = TcpSocket::new_v4()?;
            SockRef::from(&socket).set_tcp_mss(SEGMENT_BYTES)?;
            SockRef::from(&socket).set_recv_buffer_size(KEPT_BYTES)?;
            let stream = socket.connect(*address).await?;
            stream.set_nodelay(true)?;
            Box::new(stream)
        }
        Target::Unix(path) => Box::new(UnixStream::connect(path).await?),
    })
}

async fn pass_on(listener: TcpListener, state: Arc<watch::Sender<State>>) {
    loop {
        // Out of files for a moment, for instance.
        let Ok((near, _)) = listener.accept().await else { continue };
        let _ = near.set_nodelay(true);
        let _ = SockRef::from(&near).set_send_buffer_size(KEPT_BYTES);
        tokio::spawn(join(near, state.subscribe()));
    }
}

/// Joins one who connected with one who serves, until either is gone or they are parted.
async fn join(near: TcpStream, mut state: watch::Receiver<State>) {
    let now = state.borrow().clone();
    let Some(target) = now.target.clone().filter(|_| !now.is_parted) else { return };
    let Ok(far) = connect(&target).await else { return };
    let ((near_reads, near_writes), (far_reads, far_writes)) = (split(near), split(far));
    let there = pump(near_reads, far_writes, state.clone(), |state| state.there);
    let back = pump(far_reads, near_writes, state.clone(), |state| state.back);
    tokio::select! {
        _ = async { tokio::try_join!(there, back) } => {}
        // However short that was: this connection has seen it.
        _ = state.wait_for(|state| state.is_parted || state.endings != now.endings) => {}
    }
}

/// An error says that the connection is over.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut state: watch::Receiver<State>,
    passage: fn(&State) -> Passage,
) -> Result<(), ()> {
    let takes = state.borrow().takes;
    let mut bytes = vec![0; READ_BYTES];
    let mut left: Option<(u64, usize)> = None;
    loop {
        let read = from.read(&mut bytes).await.map_err(drop)?;
        if read == 0 {
            open(&mut state, passage).await?;
            return to.shutdown().await.map_err(drop);
        }
        if takes > Duration::ZERO {
            tokio::time::sleep(takes).await;
        }
        let (change, passage) = open(&mut state, passage).await?;
        match passage {
            Passage::Open | Passage::Held => to.write_all(&bytes[..read]).await.map_err(drop)?,
            Passage::Slow => {
                for piece in bytes[..read].chunks(PIECE_BYTES) {
                    tokio::time::sleep(PIECE_TAKES).await;
                    to.write_all(piece).await.map_err(drop)?;
                }
            }
            Passage::EndsAfter(most) => {
                let before = left.filter(|(of, _)| *of == change).map_or(most, |(_, left)| left);
                let passes = read.min(before);
                to.write_all(&bytes[..passes]).await.map_err(drop)?;
                if passes < read {
                    return Err(());
                }
                left = Some((change, before - passes));
            }
        }
    }
}

/// Waits until something may pass, and tells how.
async fn open(
    state: &mut watch::Receiver<State>,
    passage: fn(&State) -> Passage,
) -> Result<(u64, Passage), ()> {
    let open = state.wait_for(|state| passage(state) != Passage::Held).await.map_err(drop)?;
    Ok((open.change, passage(&open)))
}
