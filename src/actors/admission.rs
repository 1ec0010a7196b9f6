//! Who may come in now: so many connections in a second, over all and from one address.
//!
//! The real outage of a chat engine is everybody coming back at once. Whoever is turned away is told when to try again,
//! each another time, before anything was done for it.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::engine::EngineSettings;
use crate::limits;

/// The buckets of a node.
pub(super) struct Admission {
    all: DefaultDirectRateLimiter,
    by_address: DefaultKeyedRateLimiter<IpAddr>,
    clock: DefaultClock,
}

impl Admission {
    /// Full buckets.
    pub(super) fn new(settings: &EngineSettings) -> Self {
        let number = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let burst = number(settings.arrivals_burst);
        let quota = |per_s| Quota::per_second(number(per_s)).allow_burst(burst);
        Self {
            all: RateLimiter::direct(quota(settings.arrivals_per_s)),
            by_address: RateLimiter::keyed(quota(settings.arrivals_per_address_s)),
            clock: DefaultClock::default(),
        }
    }

    /// Lets a connection in, or says after how long it may be tried again.
    pub(super) fn admit(&self, from: Option<IpAddr>) -> Result<(), Duration> {
        let now = self.clock.now();
        if let Some(address) = from {
            self.by_address.check_key(&address).map_err(|not| spread(not.wait_time_from(now)))?;
        }
        self.all.check().map_err(|not| spread(not.wait_time_from(now)))
    }

    /// Forgets addresses from which nobody came lately, again and again, for as long as it is polled.
    pub(super) async fn tidy(&self) {
        let mut due = tokio::time::interval(limits::ADDRESSES_TIDIED_EVERY);
        loop {
            due.tick().await;
            self.by_address.retain_recent();
            self.by_address.shrink_to_fit();
        }
    }
}

/// Spread, so that those who were turned away together do not come back together.
fn spread(at_least: Duration) -> Duration {
    at_least + limits::RETRY_AFTER.mul_f64(rand::random_range(1.0..=10.0))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::actors::ReadReceipts;

    fn admission(per_s: u32, burst: u32, per_address_s: u32) -> Admission {
        Admission::new(&EngineSettings {
            read_receipts: ReadReceipts::On,
            dedup_window_days: 7,
            sends_per_s: 1,
            sends_burst: 1,
            connections: 1,
            group_sleep: Duration::from_secs(1),
            arrivals_per_s: per_s,
            arrivals_burst: burst,
            arrivals_per_address_s: per_address_s,
        })
    }

    #[test]
    fn beyond_the_burst_all_are_turned_away_each_for_another_time() {
        let admission = admission(1, 3, 1000);

        for n in 1..=3 {
            assert_eq!(admission.admit(Some([10, 0, 0, n].into())), Ok(()));
        }

        let waits: Vec<Duration> = (0..20).filter_map(|_| admission.admit(None).err()).collect();
        assert_eq!(waits.len(), 20);
        assert!(waits.iter().all(|wait| *wait >= limits::RETRY_AFTER), "{waits:?}");
        assert!(waits.windows(2).any(|pair| pair[0] != pair[1]), "{waits:?}");
    }

    #[test]
    fn one_address_does_not_shut_out_another() {
        let admission = admission(1_000_000, 2, 1);
        let [one, other]: [IpAddr; 2] = [[10, 0, 0, 1].into(), [10, 0, 0, 2].into()];

        assert!([Ok(()), Ok(())].iter().all(|ok| admission.admit(Some(one)) == *ok));
        assert!(admission.admit(Some(one)).is_err());

        assert_eq!(admission.admit(Some(other)), Ok(()));
    }
}
