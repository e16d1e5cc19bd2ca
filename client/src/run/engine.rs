//! Whether a stack can be made on this host's engine at all: checked before anything is made.

use aistack_policy::engine::SUPPORTED_ENGINE;
use aistack_proto::v1::{CheckEngineResponse, EngineSeverity, VolumeSight};

use crate::error::CliError;
use crate::exit::Exit;
use crate::run::Session;

/// Gets from the helper what the engine is, and whether it sees the tenant's volume.
///
/// # Errors
/// When no container can be made on it. What the helper cannot say is reported by the step that needs it.
pub async fn check(session: &Session) -> Result<VolumeSight, CliError> {
    match session.helper.check_engine().await {
        Ok(answer) => judge(&answer),
        Err(_) => Ok(VolumeSight::Unspecified),
    }
}

fn judge(answer: &CheckEngineResponse) -> Result<VolumeSight, CliError> {
    for finding in &answer.findings {
        let (exit, rule) = match finding.severity() {
            EngineSeverity::Unsupported => {
                (Exit::Policy, Some(format!("builtin.{SUPPORTED_ENGINE}")))
            }
            EngineSeverity::Failing => (Exit::Failed, None),
            EngineSeverity::Limited | EngineSeverity::Unspecified => continue,
        };
        return Err(CliError::new(exit, finding.found.clone())
            .by_rule(finding.means.clone(), rule)
            .next(format!("ask the administrator to {}", finding.next)));
    }
    Ok(answer.volume())
}

#[cfg(test)]
mod tests {
    use aistack_proto::v1::EngineFinding;

    use super::*;

    fn answer(severity: EngineSeverity) -> CheckEngineResponse {
        CheckEngineResponse {
            engine: "Docker Engine 20.10.24".to_owned(),
            findings: vec![EngineFinding {
                severity: severity.into(),
                found: "found".to_owned(),
                means: "means".to_owned(),
                next: "do it".to_owned(),
            }],
            volume: VolumeSight::Seen.into(),
        }
    }

    #[test]
    fn nothing_is_begun_on_an_engine_that_no_container_can_be_made_on() {
        for (severity, exit, rule) in [
            (
                EngineSeverity::Unsupported,
                Exit::Policy,
                Some("builtin.supported-engine"),
            ),
            (EngineSeverity::Failing, Exit::Failed, None),
        ] {
            let failure = judge(&answer(severity)).unwrap_err();
            assert_eq!(failure.exit, exit);
            assert_eq!(failure.what, "found");
            assert_eq!(failure.causes[0].text, "means");
            assert_eq!(failure.causes[0].rule.as_deref(), rule);
            let next = failure.next.as_deref();
            assert_eq!(next, Some("ask the administrator to do it"));
        }
        for severity in [EngineSeverity::Limited, EngineSeverity::Unspecified] {
            assert_eq!(judge(&answer(severity)).unwrap(), VolumeSight::Seen);
        }
    }
}
