//! How long a client waits before it comes back: random, so that many do not come at once.

use std::time::Duration;

/// Waits that grow with each failure: `random(0, min(cap, base × 2^n))`.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    /// Starts with nothing having failed.
    pub fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, failures: 0 }
    }

    /// The wait after one more failure; `random` is from 0 to 1.
    pub fn next(&mut self, random: f64) -> Duration {
        let most = self.base.saturating_mul(1u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        most.min(self.cap).mul_f64(random.clamp(0.0, 1.0))
    }

    /// Forgets the failures: things went well for long enough.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_wait_doubles_up_to_the_cap_and_starts_anew() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        let longest: Vec<u64> = (0..8).map(|_| backoff.next(1.0).as_secs()).collect();
        assert_eq!(longest, [1, 2, 4, 8, 16, 32, 60, 60]);

        (0..100).for_each(|_| assert!(backoff.next(0.5) <= Duration::from_secs(30)));

        backoff.reset();
        assert_eq!(backoff.next(0.5), Duration::from_millis(500));
    }
}
