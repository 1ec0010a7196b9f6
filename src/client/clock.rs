//! The server's time, as far as the last answer told it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::ids::UnixMs;

/// Counts on from the last time that the server told; until then from this machine's clock.
///
/// A clock that someone turns here changes nothing: ids must stay inside the server's window.
#[derive(Debug)]
pub struct ServerClock {
    began: Instant,
    began_at_ms: AtomicI64,
}

impl ServerClock {
    /// Starts from this machine's clock.
    pub fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { began: Instant::now(), began_at_ms: AtomicI64::new(now.as_millis() as i64) }
    }

    /// The server's time now.
    pub fn now(&self) -> UnixMs {
        UnixMs::new(self.began_at_ms.load(Ordering::Relaxed) + self.passed_ms())
    }

    /// Takes note of what the server told just now.
    pub fn told(&self, server_time: UnixMs) {
        self.began_at_ms.store(server_time.get() - self.passed_ms(), Ordering::Relaxed);
    }

    fn passed_ms(&self) -> i64 {
        self.began.elapsed().as_millis() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_on_from_what_the_server_told() {
        let clock = ServerClock::new();

        clock.told(UnixMs::new(1_000_000));

        assert!((0..60_000).contains(&clock.now().since(UnixMs::new(1_000_000))));
    }
}
