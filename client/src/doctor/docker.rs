//! The host's Docker Engine: what does not work with it, whatever the tenant does.

use aistack_policy::engine::{EngineFacts, EngineFault, Severity, judge};

use super::{Finding, LIMIT};
use crate::engine::{Engine, EngineError};
use crate::failure::Failure;

/// How the engine stands.
pub(super) async fn standing(engine: &Engine) -> Vec<Finding> {
    let asked = tokio::time::timeout(LIMIT, engine.facts()).await;
    match asked.unwrap_or(Err(EngineError::TimedOut)) {
        Ok(facts) => judged(&facts),
        Err(error) => vec![super::daemons::from_failure(
            "docker",
            &Failure::from(error),
        )],
    }
}

fn judged(facts: &EngineFacts) -> Vec<Finding> {
    let faults = judge(facts);
    if faults.is_empty() {
        let found = format!("Docker Engine {} has what a stack needs", facts.version);
        return vec![Finding::ok("docker", found)];
    }
    faults.into_iter().map(finding).collect()
}

fn finding(fault: EngineFault) -> Finding {
    let finding = match fault.severity {
        Severity::Broken => Finding::problem("docker", fault.found),
        Severity::Limited => Finding::warning("docker", fault.found),
    };
    finding
        .means(fault.means)
        .next(format!("ask the administrator to {}", fault.next))
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
        assert_eq!((found.len(), found[0].level), (2, Level::Problem));
        let next = found[0].next.as_deref().unwrap();
        assert!(
            next.contains("administrator") && next.contains("userns-remap"),
            "{next}"
        );
    }
}
