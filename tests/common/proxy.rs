//! A link between clients and a server that can be cut and mended.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The link.
pub struct Link {
    address: SocketAddr,
    is_up: Arc<watch::Sender<bool>>,
}

impl Link {
    /// Opens one to a server.
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let is_up = Arc::new(watch::Sender::new(true));
        tokio::spawn(pass_on(listener, server, is_up.clone()));
        Self { address, is_up }
    }

    /// Where clients connect.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Ends all connections without a word; new ones end at once.
    pub fn cut(&self) {
        self.is_up.send_replace(false);
    }

    /// Lets new connections through.
    pub fn mend(&self) {
        self.is_up.send_replace(true);
    }
}

async fn pass_on(listener: TcpListener, server: SocketAddr, is_up: Arc<watch::Sender<bool>>) {
    while let Ok((mut near, _)) = listener.accept().await {
        let mut up = is_up.subscribe();
        tokio::spawn(async move {
            if !*up.borrow_and_update() {
                return;
            }
            let Ok(mut far) = TcpStream::connect(server).await else { return };
            tokio::select! {
                _ = copy_bidirectional(&mut near, &mut far) => {}
                // However short the cut was: this connection has seen it.
                _ = up.changed() => {}
            }
        });
    }
}
