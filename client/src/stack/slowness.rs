//! Why a service is not healthy: its own error, or a slow host.

use std::time::Duration;

use crate::engine::{Inspection, Probe};

/// What Docker says of a probe that it could not start in time (moby, `daemon/health.go`).
const NOT_STARTED: &str = "timed out starting health check";
/// What it says of one that did not end in time. Before Docker 23 the start is part of that time.
const NOT_ENDED: &str = "Health check exceeded timeout";
/// As Docker has it where a container says nothing else (moby, `daemon/health.go`).
const DEFAULT_RETRIES: usize = 3;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// An empty command in a container takes less on a host that is not slow: 0.1 s on two busy cores.
const USUAL: Duration = Duration::from_millis(500);
/// The limit of a start grows at most so many times.
const MOST: f64 = 10.0;

/// What the health log of one container has said since a wait began.
#[derive(Debug, Default)]
pub(super) struct Probes {
    /// Start of the last probe that was counted.
    last: Option<String>,
    /// The last answer of the service, and what followed it: why each probe failed.
    failures: Vec<ProbeError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProbeError {
    /// The service answered, and not as it should.
    Answered,
    /// It was not read.
    NotStarted,
    /// It was queried, perhaps late, and did not answer in time.
    NotEnded,
}

impl Probes {
    /// Counts what is new in the log, of which Docker keeps the last five.
    pub(super) fn see(&mut self, log: &[Probe]) {
        let last = self.last.as_ref();
        let known = log.iter().position(|probe| Some(&probe.start) == last);
        let new = known.map_or(0, |known| known + 1);
        for probe in log.iter().skip(new) {
            self.last = Some(probe.start.clone());
            if probe.code == 0 {
                self.failures.clear();
                continue;
            }
            self.failures.push(if probe.output.contains(NOT_STARTED) {
                ProbeError::NotStarted
            } else if probe.output.contains(NOT_ENDED) {
                ProbeError::NotEnded
            } else {
                ProbeError::Answered
            });
        }
        // As many as can matter.
        let surplus = self.failures.len().saturating_sub(64);
        self.failures.drain(..surplus);
    }

    /// Whether the service has failed as often as it may, where Docker counts every probe. On a slow
    /// host one that did not end in time is none of the service's failures.
    pub(super) fn failed(&self, inspection: &Inspection, slow: bool) -> bool {
        let health = inspection.config.healthcheck.as_ref();
        let retries = health.and_then(|health| usize::try_from(health.retries?).ok());
        let retries = retries.filter(|retries| *retries > 0);
        let counts = |failure: &&ProbeError| match failure {
            ProbeError::Answered => true,
            ProbeError::NotEnded => !slow,
            ProbeError::NotStarted => false,
        };
        let counted = self.failures.iter().filter(counts).count();
        // What was not seen was an answer: the log may be gone, and Docker has counted it.
        let unseen = self.failures.is_empty();
        unseen || counted >= retries.unwrap_or(DEFAULT_RETRIES)
    }

    /// Whether Docker could not ask it as it should.
    pub(super) fn unanswered(&self) -> bool {
        let mut failures = self.failures.iter();
        failures.any(|failure| *failure != ProbeError::Answered)
    }
}

/// Whether an empty command takes so long that a probe may not end in time for that alone.
pub(super) fn is_slow(inspection: &Inspection, empty_command: Duration) -> bool {
    let health = inspection.config.healthcheck.as_ref();
    let timeout = health.and_then(|health| u64::try_from(health.timeout?).ok());
    let timeout = timeout.filter(|nanoseconds| *nanoseconds > 0);
    let timeout = timeout.map_or(DEFAULT_TIMEOUT, Duration::from_nanos);
    empty_command > timeout / 3
}

/// A limit on a host where an empty command takes that long; the limit itself where that is usual.
pub(super) fn stretched(limit: Duration, empty_command: Duration) -> Duration {
    let times = empty_command.as_secs_f64() / USUAL.as_secs_f64();
    limit.mul_f64(times.clamp(1.0, MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Docker writes for the third probe of a log.
    fn log(outputs: &[(i64, &str)]) -> Vec<Probe> {
        let probe = |(nth, (code, output)): (usize, &(i64, &str))| Probe {
            start: format!("2026-01-01T00:00:{nth:02}Z"),
            code: *code,
            output: (*output).to_owned(),
        };
        outputs.iter().enumerate().map(probe).collect()
    }

    fn with_retries(retries: i64) -> Inspection {
        let mut inspection = crate::engine::tests::inspection();
        inspection.config.healthcheck = Some(bollard::models::HealthConfig {
            retries: Some(retries),
            timeout: Some(6_000_000_000),
            ..bollard::models::HealthConfig::default()
        });
        inspection
    }

    const WEDGED: (i64, &str) = (-1, "timed out starting health check for container 1f");
    const LATE: (i64, &str) = (-1, "Health check exceeded timeout (6s)");
    const NO: (i64, &str) = (1, "connection refused");

    #[test]
    fn a_probe_that_could_not_be_started_is_no_answer() {
        let own = with_retries(2);
        for (outputs, failed, failed_on_a_slow_host, unanswered) in [
            (vec![NO, NO], true, true, false),
            (vec![WEDGED, WEDGED, WEDGED], false, false, true),
            (vec![WEDGED, NO], false, false, true),
            (vec![NO, WEDGED, NO], true, true, true),
            (vec![LATE, LATE], true, false, true),
            // An answer as it should be starts over.
            (vec![NO, (0, ""), NO], false, false, false),
            // Docker has counted what nobody sees any more.
            (vec![], true, true, false),
        ] {
            let mut probes = Probes::default();
            probes.see(&log(&outputs));
            assert_eq!(probes.failed(&own, false), failed, "{outputs:?}");
            assert_eq!(
                probes.failed(&own, true),
                failed_on_a_slow_host,
                "{outputs:?}"
            );
            assert_eq!(probes.unanswered(), unanswered, "{outputs:?}");
        }
    }

    #[test]
    fn each_probe_counts_once_however_often_the_log_is_read() {
        let own = with_retries(3);
        let mut probes = Probes::default();
        let all = log(&[NO, NO, WEDGED, WEDGED, NO]);
        for end in [1, 2, 2, 3] {
            probes.see(&all[..end]);
            assert!(!probes.failed(&own, false));
        }
        // The first are not in it any more.
        probes.see(&all[1..]);
        assert!(probes.failed(&own, false));
    }

    #[test]
    fn a_limit_grows_with_how_long_an_empty_command_takes_but_not_for_ever() {
        let minute = Duration::from_mins(1);
        let stretched = |millis| stretched(minute, Duration::from_millis(millis)).as_secs();
        assert_eq!(stretched(100), 60);
        assert_eq!(stretched(500), 60);
        assert_eq!(stretched(2000), 240);
        assert_eq!(stretched(600_000), 600);
        let own = with_retries(3);
        assert!(!is_slow(&own, Duration::from_millis(300)));
        assert!(is_slow(&own, Duration::from_millis(2500)));
    }
}
