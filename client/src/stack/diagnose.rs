//! Why a service does not run: the signs, put together for people.

use crate::desired::{Secrets, StartLimits, TimeScale};
use crate::engine::{Engine, EngineError, Inspection};
use crate::error::ServiceReport;
use crate::exit::Exit;
use crate::keys::TIME_SCALE;
use crate::stack::listeners;

/// How many log lines a report shows.
const LOG_LINES: u32 = 20;

/// What went wrong with one service.
#[derive(Debug)]
pub enum ServiceError {
    /// It exited, or the engine waits to start it again.
    Exited(Box<Inspection>),
    /// Its probe failed as often as it may.
    Unhealthy(Box<Inspection>, StartLimits),
    /// It was not healthy in time.
    TooSlow(Box<Inspection>, StartLimits),
    /// The engine did not do a step.
    Engine {
        /// Verb phrase, e.g. `create the container`.
        step: &'static str,
        /// What it answered.
        error: EngineError,
    },
    /// What it needs could not be made inside another service.
    Provision {
        /// For people, e.g. `database n8n in postgres`.
        title: String,
        /// Why.
        why: String,
    },
}

/// The report on a service; reads its log where there is a container.
pub async fn report(
    engine: &Engine,
    service: &str,
    container: &str,
    error: ServiceError,
) -> ServiceReport {
    let mut report = ServiceReport {
        service: service.to_owned(),
        container: container.to_owned(),
        problem: sentence(&error),
        exit_code: None,
        probe: None,
        log: Vec::new(),
        cause: None,
        restored: false,
        now: None,
        exit: Exit::NotHealthy,
    };
    let more_time = more_time(&error);
    match error {
        ServiceError::Exited(inspection) => {
            report.exit_code = has_ended(&inspection).then_some(inspection.exit_code);
            describe(engine, &mut report, &inspection).await;
        }
        ServiceError::Unhealthy(inspection, _) | ServiceError::TooSlow(inspection, _) => {
            report.probe.clone_from(&inspection.probe);
            describe(engine, &mut report, &inspection).await;
            report.cause = report.cause.or(more_time);
        }
        ServiceError::Engine { error, .. } => {
            let said = error.to_string();
            report.cause = port_taken(&said).or_else(|| likely_cause(None, &[said]));
            report.exit = match error.exit() {
                Exit::Failed => Exit::NotHealthy,
                exit => exit,
            };
        }
        ServiceError::Provision { .. } => {}
    }
    hide(&mut report, &engine.secrets());
    report
}

/// Takes the stack's secrets out of what others wrote.
fn hide(report: &mut ServiceReport, secrets: &Secrets) {
    let hidden = |text: &str| {
        let lines: Vec<String> = text.lines().map(|line| secrets.mask_quoted(line)).collect();
        lines.join("\n")
    };
    let quoted = [Some(&mut report.problem), report.probe.as_mut()];
    for text in quoted.into_iter().flatten() {
        *text = hidden(text);
    }
    for line in &mut report.log {
        *line = secrets.mask_quoted(line);
    }
}

async fn describe(engine: &Engine, report: &mut ServiceReport, inspection: &Inspection) {
    report.log = engine.last_log_lines(&inspection.id, LOG_LINES).await;
    let mut signs = report.log.clone();
    signs.extend(report.probe.clone());
    signs.push(inspection.error.clone());
    report.cause = port_taken(&inspection.error).or_else(|| likely_cause(Some(inspection), &signs));
}

/// Who has the port that the engine could not publish; only its own words are about ports of the
/// host, what stands in a log is about the container's.
fn port_taken(error: &str) -> Option<String> {
    listeners::port_refused(error).map(listeners::taken)
}

/// What is wrong with a service, e.g. `exited with code 1`; its subject goes before it.
pub(super) fn sentence(error: &ServiceError) -> String {
    match error {
        // Docker forgets how a container has ended when it starts it again.
        ServiceError::Exited(inspection) if !has_ended(inspection) => {
            format!(
                "exits again and again ({} times so far)",
                inspection.restarts
            )
        }
        ServiceError::Exited(inspection) if inspection.error.is_empty() => {
            format!("exited with code {}", inspection.exit_code)
        }
        ServiceError::Exited(inspection) => format!("did not start: {}", inspection.error),
        ServiceError::Unhealthy(..) => "is unhealthy: its probe failed too often".to_owned(),
        ServiceError::TooSlow(_, limits) => {
            format!(
                "did not become healthy within {}",
                crate::ui::seconds(limits.timeout)
            )
        }
        ServiceError::Engine { step, error } => format!("cannot {step}: {error}"),
        ServiceError::Provision { title, why } => format!("cannot prepare {title}: {why}"),
    }
}

/// Signs in texts (lower case) and what they point to.
const SIGNS: [(&str, &str); 12] = [
    (
        "backend error: invalid key",
        "Tailscale rejected the auth key, or it has expired: create a new one on your tailnet's \
         admin page and set it with `aistack config set TAILSCALE_AUTH_KEY --secret-file FILE`",
    ),
    (
        "to approve your machine",
        "your tailnet requires approval of this machine: approve it on the admin page, then deploy again",
    ),
    (
        "machine authorization required",
        "your tailnet requires approval of this machine: approve it on the admin page, then deploy again",
    ),
    (
        "permission denied",
        "a file or directory belongs to a different user than the service",
    ),
    (
        "read-only file system",
        "it writes to a place that is mounted read-only",
    ),
    (
        "address already in use",
        "another process listens on its port",
    ),
    (
        "port is already allocated",
        "another container publishes its port: choose another port in the .env",
    ),
    (
        "password authentication failed",
        "its password in the .env is not the one that its data was created with",
    ),
    (
        "no space left on device",
        "the volume or the host's disk is full",
    ),
    (
        "exec format error",
        "the image is for another processor architecture",
    ),
    (
        "no such image",
        "the image is not on this host and was not pulled",
    ),
    (
        "name or service not known",
        "it looks up a host name that does not exist in its network",
    ),
];

const NOT_RUNNABLE: &str = "the image has the service's command, but its user may not run it: the \
                            image expects another user";
const NOT_FOUND: &str = "the image does not have the service's command";

/// Whether its exit code is that of its last end. Docker calls a container that waits for its next
/// start running too.
fn has_ended(inspection: &Inspection) -> bool {
    !inspection.running || inspection.restarting
}

/// What the signs point to, `None` when they point nowhere.
fn likely_cause(inspection: Option<&Inspection>, texts: &[String]) -> Option<String> {
    if let Some(inspection) = inspection {
        if inspection.oom_killed {
            return Some("it needs more memory than its limit allows".to_owned());
        }
        let ended = has_ended(inspection);
        // As a shell and Docker tell it: docs.docker.com/engine/containers/run, "Exit status".
        match inspection.exit_code {
            126 if ended => return Some(NOT_RUNNABLE.to_owned()),
            127 if ended => return Some(NOT_FOUND.to_owned()),
            _ => {}
        }
    }
    let texts: Vec<String> = texts.iter().map(|text| text.to_lowercase()).collect();
    SIGNS
        .iter()
        .find(|(sign, _)| texts.iter().any(|text| text.contains(sign)))
        .map(|(_, cause)| (*cause).to_owned())
}

/// What Docker says of a probe that it could not run in time, in lower case (moby, `daemon/health.go`).
const SLOW_PROBE: [&str; 2] = [
    "health check exceeded timeout",
    "timed out starting health check",
];

/// That it may only need more time, where its time was up and the manifest can
/// give more.
fn more_time(error: &ServiceError) -> Option<String> {
    let scale = match error {
        ServiceError::TooSlow(_, limits) => limits.scale,
        ServiceError::Unhealthy(inspection, limits) => {
            let probe = inspection.probe.as_ref()?.to_lowercase();
            SLOW_PROBE.iter().find(|said| probe.contains(*said))?;
            limits.scale
        }
        _ => return None,
    };
    (!scale.is_most()).then(|| {
        format!(
            "too little time, if this machine is slow: `aistack config set {TIME_SCALE} N` multiplies \
             every limit by N (at most {}; now {scale})",
            TimeScale::MOST
        )
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::Health;

    fn exited(code: i64, oom_killed: bool) -> Inspection {
        Inspection {
            id: String::new(),
            running: false,
            pid: None,
            restarting: false,
            restarts: 0,
            exit_code: code,
            oom_killed,
            error: String::new(),
            health: Health::None,
            probe: None,
            probes: Vec::new(),
            apparmor: String::new(),
            config: bollard::models::ContainerConfig::default(),
            host_config: bollard::models::HostConfig::default(),
        }
    }

    #[test]
    fn signs_point_to_a_cause() {
        let cause = |inspection: &Inspection, text: &str| {
            likely_cause(Some(inspection), &[text.to_owned()]).unwrap_or_default()
        };
        assert!(cause(&exited(137, true), "").contains("memory"));
        assert!(cause(&exited(127, false), "").contains("does not have the service's command"));
        assert!(cause(&exited(126, false), "").contains("another user"));
        let mut again = exited(127, false);
        (again.running, again.restarting) = (true, true);
        assert!(cause(&again, "").contains("command"));
        let denied = "mkdir /data/x: Permission denied";
        assert!(cause(&exited(1, false), denied).contains("different user"));
        let refused = "boot: backend error: invalid key: API key has expired";
        assert!(cause(&exited(1, false), refused).contains("expired"));
        assert_eq!(cause(&exited(1, false), "boom"), "");
    }

    #[test]
    fn a_timeout_says_how_to_get_more_time() {
        let limits = |scale: &str| StartLimits {
            timeout: Duration::from_mins(1),
            exits: 1,
            scale: TimeScale::parse(scale).unwrap(),
        };
        let probed = |said: &str| {
            let mut inspection = exited(0, false);
            inspection.probe = Some(said.to_owned());
            Box::new(inspection)
        };
        let slow = ServiceError::TooSlow(probed(""), limits("1"));
        assert_eq!(sentence(&slow), "did not become healthy within 60.0 s");
        insta::assert_snapshot!(
            more_time(&slow).unwrap(),
            @"too little time, if this machine is slow: `aistack config set TIME_SCALE N` multiplies every limit by N (at most 20; now 1)"
        );
        for (error, expected) in [
            (ServiceError::TooSlow(probed("boom"), limits("19")), true),
            (ServiceError::TooSlow(probed(""), limits("20")), false),
            (ServiceError::Unhealthy(probed("boom"), limits("1")), false),
            (
                ServiceError::Unhealthy(probed("Health check exceeded timeout (10s)"), limits("4")),
                true,
            ),
            (
                ServiceError::Unhealthy(
                    probed("timed out starting health check for container 1f"),
                    limits("4"),
                ),
                true,
            ),
            (
                ServiceError::Exited(probed("Health check exceeded timeout (10s)")),
                false,
            ),
        ] {
            assert_eq!(more_time(&error).is_some(), expected, "{error:?}");
        }
    }

    #[test]
    fn no_report_shows_a_secret_or_a_piece_of_one() {
        let mut secrets = Secrets::default();
        secrets.add("pass@word-1234/5");
        let mut report = ServiceReport {
            service: "n8n".to_owned(),
            container: "tenant-1-n8n".to_owned(),
            problem: "did not start: pass@word-1234/5".to_owned(),
            exit_code: None,
            probe: Some("refused\nhost \"word-1234/5@postgres\"".to_owned()),
            log: vec!["DB=pass@word-1234/5".to_owned(), "all is well".to_owned()],
            cause: None,
            restored: false,
            now: None,
            exit: Exit::NotHealthy,
        };
        hide(&mut report, &secrets);
        assert_eq!(report.problem, "did not start: ***");
        assert_eq!(report.log, ["DB=***", "all is well"]);
        let probe = report.probe.unwrap();
        assert!(probe.starts_with("refused\n(***"), "{probe}");
    }

    #[test]
    fn the_problem_names_the_exit_code() {
        let error = ServiceError::Exited(Box::new(exited(3, false)));
        assert_eq!(sentence(&error), "exited with code 3");
    }

    #[test]
    fn what_was_started_again_has_no_exit_code() {
        let mut again = exited(0, false);
        (again.running, again.restarts) = (true, 2);
        let expected = sentence(&ServiceError::Exited(Box::new(again.clone())));
        assert_eq!(expected, "exits again and again (2 times so far)");
        // While it waits for its next start, the code is that of its last end.
        (again.restarting, again.exit_code) = (true, 9);
        let expected = sentence(&ServiceError::Exited(Box::new(again)));
        assert_eq!(expected, "exited with code 9");
    }
}
