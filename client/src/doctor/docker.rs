//! The host's Docker Engine: what does not work with it, whatever the tenant does.

use aistack_policy::engine::{EngineFacts, Severity, judge};
use aistack_proto::v1::{self, CheckEngineResponse};

use super::{Finding, Limit};
use crate::engine::{Engine, EngineError};
use crate::error::CliError;

/// How the engine stands: as the gateway shows it, and as the helper does, who asks it for the volume.
pub(super) async fn findings(
    engine: &Engine,
    helper: Result<&CheckEngineResponse, &CliError>,
    limit: Limit,
) -> Vec<Finding> {
    let reply = limit.answer(engine.facts()).await;
    let mut findings = match reply.unwrap_or(Err(EngineError::TimedOut)) {
        Ok(facts) => judged(&facts),
        Err(error) => vec![super::daemons::from_error("docker", &CliError::from(error))],
    };
    match helper {
        Ok(answer) => findings.extend(of_helper(answer, &findings)),
        Err(error) => findings.push(not_checked(error)),
    }
    findings
}

/// The helper could not ask whether it sees the volume, e.g. since another operation of the tenant's runs.
fn not_checked(error: &CliError) -> Finding {
    let why = format!(
        "whether it sees your volume was not checked: {}",
        error.what
    );
    Finding::unchecked("docker", why)
}

/// What the helper says of the engine and is not reported yet.
pub(super) fn of_helper(answer: &CheckEngineResponse, reported: &[Finding]) -> Vec<Finding> {
    let is_new = |new: &&v1::EngineFinding| reported.iter().all(|other| other.found != new.found);
    let new = answer.findings.iter().filter(is_new);
    let mut findings: Vec<Finding> = new
        .map(|new| {
            let severity = match new.severity() {
                v1::EngineSeverity::Limited => Severity::Limited,
                v1::EngineSeverity::Failing => Severity::Failing,
                v1::EngineSeverity::Unsupported | v1::EngineSeverity::Unspecified => {
                    Severity::Unsupported
                }
            };
            finding(severity, &new.found, &new.means, &new.next)
        })
        .collect();
    if answer.volume() == v1::VolumeSight::Seen {
        findings.push(Finding::ok("docker", "it sees your volume"));
    }
    findings
}

fn judged(facts: &EngineFacts) -> Vec<Finding> {
    let found = judge(facts);
    if found.is_empty() {
        let found = format!("{} supports everything a stack needs", facts.name());
        return vec![Finding::ok("docker", found)];
    }
    let found = found.iter();
    found
        .map(|one| finding(one.severity, &one.found, one.means, one.next))
        .collect()
}

fn finding(severity: Severity, found: &str, means: &str, next: &str) -> Finding {
    let finding = match severity {
        Severity::Unsupported | Severity::Failing => Finding::problem("docker", found),
        Severity::Limited => Finding::warning("docker", found),
    };
    finding
        .means(means)
        .next(format!("ask the administrator to {next}"))
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_daemon_that_maps_users_is_a_problem_and_live_restore_a_warning() {
        let mut facts = EngineFacts {
            version: "20.10.24".to_owned(),
            ..EngineFacts::default()
        };
        assert_eq!(judged(&facts)[0].level, Level::Ok);
        facts.live_restore = true;
        assert_eq!(judged(&facts)[0].level, Level::Warning);
        facts.security_options = vec!["name=userns".to_owned()];
        let found = judged(&facts);
        assert_eq!((found.len(), found[0].level), (2, Level::Error));
        let next = found[0].next.as_deref().unwrap();
        assert!(
            next.contains("administrator") && next.contains("userns-remap"),
            "{next}"
        );
    }

    #[test]
    fn a_volume_that_the_engine_does_not_see_is_a_problem_and_reported_once() {
        let unseen = aistack_policy::engine::unseen_volume("/mnt/data-tenant-1001");
        let unseen = v1::EngineFinding {
            severity: v1::EngineSeverity::Failing.into(),
            found: unseen.found,
            means: unseen.means.to_owned(),
            next: unseen.next.to_owned(),
        };
        let mut answer = CheckEngineResponse {
            findings: vec![unseen],
            volume: v1::VolumeSight::Unseen.into(),
            ..CheckEngineResponse::default()
        };
        let found = of_helper(&answer, &[]);
        assert_eq!((found.len(), found[0].level), (1, Level::Error));
        assert!(
            found[0].found.contains("/mnt/data-tenant-1001"),
            "{found:?}"
        );
        let next = found[0].next.as_deref().unwrap();
        assert!(next.contains("restart Docker"), "{next}");
        assert_eq!(of_helper(&answer, &found).len(), 0);
        answer.findings.clear();
        answer.volume = v1::VolumeSight::Seen.into();
        assert_eq!(of_helper(&answer, &[])[0].level, Level::Ok);
    }
}
