//! Log lines about what others can cause as often as they like: one a minute, with how many it
//! stands for.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So long nothing more is said.
const PAUSE: Duration = Duration::from_mins(1);

/// Says when it is time for a line again. One for each kind of line.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    said: Option<Instant>,
    unsaid: u64,
}

impl Seldom {
    /// Nothing was said yet.
    #[must_use]
    pub(crate) const fn new() -> Self {
        Self {
            state: Mutex::new(State {
                said: None,
                unsaid: 0,
            }),
        }
    }

    /// It happened again: `Some` when it may be said, with how often it happened unsaid before.
    pub(crate) fn again(&self) -> Option<u64> {
        self.again_at(Instant::now())
    }

    fn again_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.said.is_some_and(|said| now < said + PAUSE) {
            state.unsaid = state.unsaid.saturating_add(1);
            return None;
        }
        state.said = Some(now);
        Some(std::mem::take(&mut state.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_often_is_said_once_a_minute_with_its_number() {
        let seldom = Seldom::new();
        let now = Instant::now();
        assert_eq!(seldom.again_at(now), Some(0));
        for _ in 0..1000 {
            assert_eq!(seldom.again_at(now + PAUSE / 2), None);
        }
        assert_eq!(seldom.again_at(now + PAUSE), Some(1000));
        assert_eq!(seldom.again_at(now + PAUSE), None);
    }
}
