//! How often one UID may ask: a token bucket for each, pure (time is passed in); and how much it may
//! send ([`Debts`]).

mod debts;
mod limiter;

use std::collections::HashMap;
use std::time::Duration;

pub use debts::{Debts, Flow};
pub use limiter::{Limiter, Rates, RequestKind};

/// A bucket's size and how quickly it fills again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests at once, at least 1.
    pub burst: u32,
    /// Time in which one request becomes possible again.
    pub interval: Duration,
}

/// One bucket for each key, at most `max_keys` that are not full.
///
/// A bucket is kept as the time at which it will be full again (the "generic cell rate
/// algorithm" of ATM): one number, no counter that could drift.
#[derive(Debug)]
pub struct Buckets {
    rate: Rate,
    max_keys: usize,
    full_at: HashMap<u32, Duration>,
}

impl Buckets {
    /// Full buckets for everyone.
    #[must_use]
    pub fn new(rate: Rate, max_keys: usize) -> Self {
        Self {
            rate,
            max_keys,
            full_at: HashMap::new(),
        }
    }

    /// Takes one token of `key` at `now` (time since any fixed start).
    ///
    /// # Errors
    /// How long to wait when there is none. Nothing is taken then.
    pub fn take(&mut self, key: u32, now: Duration) -> Result<(), Duration> {
        self.make_room(key, now)?;
        let size = self.rate.interval.saturating_mul(self.rate.burst.max(1));
        let full_at = self.full_at.get(&key).copied().unwrap_or(now).max(now);
        let after = full_at.saturating_add(self.rate.interval);
        let empty_at = now.saturating_add(size);
        if after > empty_at {
            return Err(after.saturating_sub(empty_at));
        }
        self.full_at.insert(key, after);
        Ok(())
    }

    /// Forgets full buckets when there are too many; a new key waits when all are in use.
    fn make_room(&mut self, key: u32, now: Duration) -> Result<(), Duration> {
        if self.full_at.len() < self.max_keys || self.full_at.contains_key(&key) {
            return Ok(());
        }
        self.full_at.retain(|_, full_at| *full_at > now);
        if self.full_at.len() < self.max_keys {
            return Ok(());
        }
        Err(self.rate.interval)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: Rate = Rate {
        burst: 3,
        interval: Duration::from_secs(2),
    };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_burst_passes_then_one_for_each_interval() {
        let mut buckets = Buckets::new(RATE, 10);
        for _ in 0..3 {
            assert_eq!(buckets.take(1, at(10)), Ok(()));
        }
        assert_eq!(buckets.take(1, at(10)), Err(at(2)));
        assert_eq!(buckets.take(1, at(11)), Err(at(1)));
        assert_eq!(buckets.take(1, at(12)), Ok(()));
        assert_eq!(buckets.take(1, at(12)), Err(at(2)));
        assert_eq!(buckets.take(2, at(12)), Ok(()), "another key is untouched");
    }

    #[test]
    fn the_map_stays_within_its_bound_and_recovers() {
        let mut buckets = Buckets::new(RATE, 4);
        for key in 0..4 {
            assert_eq!(buckets.take(key, at(0)), Ok(()));
        }
        assert_eq!(buckets.take(99, at(1)), Err(at(2)));
        assert_eq!(buckets.take(99, at(3)), Ok(()));
        assert!(buckets.full_at.len() <= 4);
    }

    proptest! {
        #[test]
        fn no_key_ever_gets_more_than_its_share(
            steps in proptest::collection::vec((0u32..4, 0u64..900), 1..300),
        ) {
            let mut buckets = Buckets::new(RATE, 8);
            let mut now = Duration::ZERO;
            let mut taken: HashMap<u32, Vec<Duration>> = HashMap::new();
            for (key, step) in steps {
                now += Duration::from_millis(step);
                match buckets.take(key, now) {
                    Ok(()) => taken.entry(key).or_default().push(now),
                    Err(wait) => prop_assert!(wait > Duration::ZERO && wait <= RATE.interval),
                }
            }
            for times in taken.values() {
                for (first, start) in times.iter().enumerate() {
                    for (last, end) in times.iter().enumerate().skip(first) {
                        let most = end.saturating_sub(*start).as_nanos() / RATE.interval.as_nanos() + 3;
                        prop_assert!(((last - first) as u128) < most);
                    }
                }
            }
        }
    }
}
