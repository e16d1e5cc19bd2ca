//! How much one UID may send: it is charged after the fact, and waits until the debt is paid. Pure
//! (time is passed in).

use std::collections::HashMap;
use std::time::Duration;

/// How much may come at once, and how quickly it becomes possible again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// Units at once.
    pub burst: u32,
    /// Units in a second, at least 1.
    pub per_second: u32,
}

/// What each key has used up lately; at most `max_keys` are known.
#[derive(Debug)]
pub struct Debts {
    flow: Flow,
    max_keys: usize,
    /// When the key's debt will be paid.
    paid_at: HashMap<u32, Duration>,
}

impl Debts {
    /// Nobody owes anything.
    #[must_use]
    pub fn new(flow: Flow, max_keys: usize) -> Self {
        Self {
            flow,
            max_keys,
            paid_at: HashMap::new(),
        }
    }

    /// Charges `units` to `key` at `now` (time since any fixed start). Returns how long it must
    /// wait now.
    pub fn charge(&mut self, key: u32, units: usize, now: Duration) -> Duration {
        if self.paid_at.len() >= self.max_keys && !self.paid_at.contains_key(&key) {
            self.paid_at.retain(|_, paid_at| *paid_at > now);
            if self.paid_at.len() >= self.max_keys {
                return self.time_of(units);
            }
        }
        let paid_at = self.paid_at.get(&key).copied().unwrap_or(now).max(now);
        let paid_at = paid_at.saturating_add(self.time_of(units));
        self.paid_at.insert(key, paid_at);
        let burst = self.time_of(usize::try_from(self.flow.burst).unwrap_or(usize::MAX));
        paid_at.saturating_sub(now.saturating_add(burst))
    }

    fn time_of(&self, units: usize) -> Duration {
        let units = u64::try_from(units).unwrap_or(u64::MAX);
        let nanos = units.saturating_mul(1_000_000_000);
        Duration::from_nanos(nanos / u64::from(self.flow.per_second.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOW: Flow = Flow {
        burst: 1000,
        per_second: 100,
    };
    const NOW: Duration = Duration::from_secs(5);

    #[test]
    fn the_burst_is_free_and_then_it_goes_by_the_rate() {
        let mut debts = Debts::new(FLOW, 8);
        assert_eq!(debts.charge(1, 1000, NOW), Duration::ZERO);
        assert_eq!(debts.charge(1, 50, NOW), Duration::from_millis(500));
        assert_eq!(debts.charge(2, 1000, NOW), Duration::ZERO, "another key");
        let later = NOW + Duration::from_secs(1);
        assert_eq!(debts.charge(1, 50, later), Duration::ZERO);
        assert_eq!(debts.charge(1, 100, later), Duration::from_secs(1));
    }

    #[test]
    fn keys_without_number_are_not_remembered_without_number() {
        let mut debts = Debts::new(FLOW, 8);
        for key in 0..10_000 {
            debts.charge(key, 10, NOW);
        }
        assert_eq!(debts.paid_at.len(), 8);
        assert!(debts.charge(99_999, 10, NOW) > Duration::ZERO);
        let later = NOW + Duration::from_mins(1);
        assert_eq!(debts.charge(99_999, 10, later), Duration::ZERO);
        assert!(debts.charge(1, usize::MAX, later) > Duration::from_hours(24));
    }
}
