//! When messages are due: at fixed distances, whatever the server does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// How finely time is cut. The runtime's timers know milliseconds only, which would show in every latency.
const STEP: Duration = Duration::from_micros(200);

/// A thread that wakes a task every fifth of a millisecond, until it is dropped.
#[derive(Debug)]
pub struct Metronome {
    beat: Arc<Notify>,
    is_over: Arc<AtomicBool>,
}

impl Metronome {
    /// Starts it.
    pub fn start() -> std::io::Result<Self> {
        let metronome = Self { beat: Arc::default(), is_over: Arc::default() };
        let (beat, is_over) = (Arc::clone(&metronome.beat), Arc::clone(&metronome.is_over));
        std::thread::Builder::new().name("bench-pace".to_owned()).spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                // It may return early, and then beats early, which harms nobody.
                std::thread::park_timeout(STEP);
                beat.notify_one();
            }
        })?;
        Ok(metronome)
    }

    /// The next beat; several that were missed are one.
    pub async fn beat(&self) {
        self.beat.notified().await;
    }
}

impl Drop for Metronome {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// Fixed distances in time.
#[derive(Debug, Clone)]
pub struct Schedule {
    from_us: u64,
    distance_us: f64,
    next: u64,
    end_us: u64,
}

impl Schedule {
    /// `rate_per_s` messages a second from `from_us` on, in µs since the run began, for so long.
    pub fn new(from_us: u64, rate_per_s: f64, time: Duration) -> Self {
        let end_us = from_us + u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 2);
        Self { from_us, distance_us: 1e6 / rate_per_s.max(1e-3), next: 0, end_us }
    }

    /// When the next message is due, in µs; `None` behind the last.
    pub fn next_due(&self) -> Option<u64> {
        let due = self.from_us + (self.next as f64 * self.distance_us) as u64;
        (due < self.end_us).then_some(due)
    }

    /// Goes on to the one after.
    pub fn pass(&mut self) {
        self.next += 1;
    }
}

/// Waits until an instant, by the runtime's timer.
pub async fn until(instant: Instant) {
    tokio::time::sleep_until(instant.into()).await;
}
