//! How long a command may take where no flag says it: longer on a slow machine. That it is slow only
//! the manifest tells, which is read after the command has begun.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::desired::TimeScale;

/// Set by the verb that reads the manifest, read by whoever watches over its time: clones are one.
#[derive(Debug, Clone, Default)]
pub struct Pace(watch::Sender<TimeScale>);

impl Pace {
    /// Gives the command the time that it needs on such a machine.
    pub fn set(&self, scale: TimeScale) {
        self.0.send_replace(scale);
    }

    /// Does the work, for at most `usual` on a machine that is not slow.
    ///
    /// # Errors
    /// The time that was up.
    pub async fn within<T>(
        &self,
        usual: Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, Duration> {
        let limit = || self.0.borrow().stretch(usual);
        let began = Instant::now();
        let mut work = pin!(work);
        loop {
            let until = limit();
            match timeout_at(began + until, &mut work).await {
                Ok(done) => return Ok(done),
                // It has learnt meanwhile that it may take longer.
                Err(_) if limit() > until => {}
                Err(_) => return Err(until),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_machine_that_is_reported_on_the_way_gives_more_time() {
        let usual = Duration::from_millis(100);
        let pace = Pace::default();
        let never = pace.within(usual, std::future::pending::<()>()).await;
        assert_eq!(never, Err(usual));
        let shared = pace.clone();
        let done = pace.within(usual, async move {
            shared.set(TimeScale::parse("20").unwrap());
            tokio::time::sleep(usual * 2).await;
        });
        assert_eq!(done.await, Ok(()));
        pace.set(TimeScale::parse("2").unwrap());
        let never = pace.within(usual, std::future::pending::<()>()).await;
        assert_eq!(never, Err(usual * 2));
    }
}
