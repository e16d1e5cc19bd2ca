//! What Docker does for a container while it lives and when it ends: health, restarts, logs.

use aistack_policy::engine::ApiVersion;
use aistack_policy::{Refusal, Rule};
use serde::Serialize;

use super::super::json::shown;
use super::body::{Body, Healthcheck, LogConfig, RestartPolicy};
use super::process::check_words;
use super::tmpfs::bytes;

/// The shortest time between two health checks, nanoseconds: each starts a process.
const MIN_INTERVAL: i64 = 500_000_000;

/// The API version that brought `StartInterval`.
const START_INTERVAL: ApiVersion = ApiVersion::v1(44);

/// The shortest other time that Docker takes, nanoseconds.
const MIN_TIME: i64 = 1_000_000;

/// The longest time, nanoseconds: a day.
const MAX_TIME: i64 = 86_400_000_000_000;

/// Failed health checks in a row, or restarts, at most.
const MAX_RETRIES: i64 = 1000;

/// Bytes of one log file; what Docker keeps of a container's output is at most three of them.
const LOG_BYTES: u64 = 10 << 20;

/// Log files of one container.
const LOG_FILES: u64 = 3;

/// Health, restarts, logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lifetime {
    pub(super) health: Option<Health>,
    pub(super) restart: Restart,
    pub(super) auto_remove: bool,
    pub(super) init: Option<bool>,
    pub(super) log: Log,
}

impl Lifetime {
    pub(super) fn decide(body: &Body) -> Result<Self, Refusal> {
        Ok(Self {
            health: body.healthcheck.as_ref().map(Health::decide).transpose()?,
            restart: Restart::decide(&body.host.restart)?,
            auto_remove: body.host.auto_remove,
            init: body.host.init,
            log: Log::decide(&body.host.log)?,
        })
    }
}

/// A health check; zero is the image's own value, or Docker's. Times in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Health {
    test: Vec<String>,
    interval: i64,
    timeout: i64,
    start_period: i64,
    retries: i64,
    #[serde(skip_serializing_if = "is_zero")]
    start_interval: i64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(time: &i64) -> bool {
    *time == 0
}

impl Health {
    fn decide(requested: &Healthcheck) -> Result<Self, Refusal> {
        let words = requested.test.len();
        let legal = match requested.test.first().map(String::as_str) {
            None => true,
            Some("NONE") => words == 1,
            Some("CMD") => words >= 2,
            Some("CMD-SHELL") => words == 2,
            Some(_) => false,
        };
        if !legal {
            let why = "Test must be [], [NONE], [CMD, program, …] or [CMD-SHELL, command]";
            return Err(health_refused(why));
        }
        check_words("Healthcheck.Test", &requested.test)?;
        let within = |value: i64, least: i64| value == 0 || (least..=MAX_TIME).contains(&value);
        if !within(requested.interval, MIN_INTERVAL) {
            return Err(health_refused(
                "Interval must be 0, or 500 ms to 24 h, in nanoseconds",
            ));
        }
        if !within(requested.timeout, MIN_TIME) || !within(requested.start_period, MIN_TIME) {
            let why = "Timeout and StartPeriod must be 0, or 1 ms to 24 h, in nanoseconds";
            return Err(health_refused(why));
        }
        if !within(requested.start_interval, MIN_INTERVAL) {
            return Err(health_refused(
                "StartInterval must be 0, or 500 ms to 24 h, in nanoseconds",
            ));
        }
        if !(0..=MAX_RETRIES).contains(&requested.retries) {
            return Err(health_refused("Retries must be 0 to 1000"));
        }
        Ok(Self {
            test: requested.test.clone(),
            interval: requested.interval,
            timeout: requested.timeout,
            start_period: requested.start_period,
            retries: requested.retries,
            start_interval: requested.start_interval,
        })
    }

    /// The check as an engine of `api` knows it: one without `StartInterval` checks as seldom while
    /// the service starts as it does later.
    pub(super) fn under(&self, api: ApiVersion) -> Self {
        let mut health = self.clone();
        if api < START_INTERVAL {
            health.start_interval = 0;
        }
        health
    }
}

/// What Docker does when the container ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Restart {
    name: &'static str,
    maximum_retry_count: i64,
}

impl Restart {
    fn decide(requested: &RestartPolicy) -> Result<Self, Refusal> {
        let (name, most) = match requested.name.as_str() {
            "" | "no" => ("no", 0),
            "always" => ("always", 0),
            "unless-stopped" => ("unless-stopped", 0),
            "on-failure" => ("on-failure", MAX_RETRIES),
            other => {
                let message = format!(
                    "HostConfig.RestartPolicy.Name \"{}\" is not one of no, always, \
                     unless-stopped, on-failure",
                    shown(other)
                );
                return Err(refused("RESTART_REFUSED", "restart", message));
            }
        };
        if !(0..=most).contains(&requested.retries) {
            let message = format!(
                "HostConfig.RestartPolicy.MaximumRetryCount must be 0 to {most} with {name}"
            );
            return Err(refused("RESTART_REFUSED", "restart", message));
        }
        Ok(Self {
            name,
            maximum_retry_count: requested.retries,
        })
    }
}

/// What is kept of the output, always in files of the host that rotate: a log driver would connect
/// anywhere as root. A caller may ask for less than the bounds, and gets the bounds for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Log {
    /// Bytes of one file.
    pub(super) bytes: u64,
    /// Number of files.
    pub(super) files: u64,
}

impl Log {
    fn decide(requested: &LogConfig) -> Result<Self, Refusal> {
        if !matches!(requested.kind.as_str(), "" | "json-file" | "local") {
            let message = format!(
                "HostConfig.LogConfig.Type \"{}\" is neither json-file nor local",
                shown(&requested.kind)
            );
            return Err(refused("LOG_REFUSED", "log-driver", message));
        }
        let mut log = Self {
            bytes: LOG_BYTES,
            files: LOG_FILES,
        };
        for (key, value) in &requested.config {
            let (part, number) = match key.as_str() {
                "max-size" => (&mut log.bytes, bytes(value)),
                "max-file" => (&mut log.files, bytes(value).filter(|files| *files <= 1000)),
                other => {
                    let message = format!(
                        "HostConfig.LogConfig.Config has \"{}\"; only max-size and max-file are \
                         allowed",
                        shown(other)
                    );
                    return Err(refused("LOG_REFUSED", "log-driver", message));
                }
            };
            match number {
                Some(number) if number > 0 => *part = number.min(*part),
                _ => {
                    let message = format!(
                        "HostConfig.LogConfig.Config: {key} \"{}\" is not a number above 0",
                        shown(value)
                    );
                    return Err(refused("LOG_REFUSED", "log-driver", message));
                }
            }
        }
        Ok(log)
    }
}

fn health_refused(why: &str) -> Refusal {
    refused(
        "HEALTHCHECK_REFUSED",
        "healthcheck",
        format!("Healthcheck.{why}"),
    )
}

fn refused(reason: &'static str, rule: &str, message: String) -> Refusal {
    Refusal::new(reason, message, Rule::builtin(rule))
}
