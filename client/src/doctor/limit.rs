//! How long `aistack doctor` waits for answers: long enough for a host that is busy, and not for ever.

use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Finding;
use crate::ui::{Printer, seconds};

/// What an answer takes at most on a host that is not busy.
const USUAL: Duration = Duration::from_secs(3);
/// How long all answers together may take before each has only [`USUAL`]. A busy host answers within it; a
/// daemon that hangs never does.
const PATIENCE: Duration = Duration::from_secs(30);

/// Until when answers are waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    began: Instant,
    patience: Duration,
    usual: Duration,
}

impl Limit {
    /// From now on.
    pub(super) fn begin() -> Self {
        Self {
            began: Instant::now(),
            patience: PATIENCE,
            usual: USUAL,
        }
    }

    /// One answer.
    ///
    /// # Errors
    /// When it does not come.
    pub(super) fn answer<T>(
        self,
        reply: impl Future<Output = T>,
    ) -> impl Future<Output = Result<T, Elapsed>> {
        let until = (Instant::now() + self.usual).max(self.began + self.patience);
        timeout_at(until, Box::pin(reply))
    }

    /// How long one answer may take from now on.
    pub(super) fn left(self) -> Duration {
        let left = (self.began + self.patience).saturating_duration_since(Instant::now());
        left.max(self.usual)
    }

    /// Does the work, and tells the user where it takes longer than usual.
    pub(super) async fn noting<T>(self, printer: Printer, work: impl Future<Output = T>) -> T {
        let mut work = Box::pin(work);
        tokio::select! {
            done = &mut work => return done,
            () = sleep_until(self.began + self.usual) => {}
        }
        let most = seconds(self.patience);
        printer.note(&format!(
            "the daemons take long to answer; waiting up to {most} for them"
        ));
        work.await
    }
}

/// What an answer that came late says of the host.
pub(super) fn late(took: Duration) -> Option<Finding> {
    (took > USUAL).then(|| {
        let found = format!("the daemons took {} to answer", seconds(took));
        Finding::warning("host", found)
            .means("this host is busy or slow: commands take longer, and services may not be healthy in time")
            .next("wait until it is less busy; `aistack config set TIME_SCALE N` gives every service N times as long")
    })
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::super::Level;
    use super::*;

    #[tokio::test]
    async fn a_late_answer_is_one_until_the_patience_is_used_up() {
        let limit = Limit {
            began: Instant::now(),
            patience: Duration::from_millis(600),
            usual: Duration::from_millis(50),
        };
        let late = limit.answer(sleep(Duration::from_millis(200)));
        assert!(late.await.is_ok());
        assert!(limit.answer(std::future::pending::<()>()).await.is_err());
        assert!(limit.began.elapsed() >= limit.patience);
        // Each question still has its usual time, and no more.
        assert_eq!(limit.left(), limit.usual);
        assert!(limit.answer(std::future::ready(())).await.is_ok());
        assert!(limit.answer(std::future::pending::<()>()).await.is_err());
    }

    #[test]
    fn a_busy_host_is_a_warning_and_a_usual_one_nothing() {
        assert_eq!(late(Duration::from_millis(900)), None);
        let finding = late(Duration::from_secs(8)).unwrap();
        assert_eq!(finding.level, Level::Warning);
        assert!(finding.found.contains('8'), "{finding:?}");
    }
}
