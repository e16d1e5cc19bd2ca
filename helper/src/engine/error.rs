//! Why a request ends without what was requested, and what its caller gets.

use aistack_policy::Refusal;
use aistack_policy::engine::SHOW_THE_VOLUME;
use aistack_policy::printable::is_printable;
use aistack_proto::DOCKER_AWAY;

use crate::admission;
use crate::audit::{AuditError, BUDGET_RULE, OverBudget};
use crate::docker::{DockerError, UNSEEN_SOURCE, is_full_id};

/// The longest text of Docker's that is passed on, characters.
const MAX_TEXT: usize = 1024;

/// Why a request ends early.
#[derive(Debug, thiserror::Error)]
pub(super) enum GatewayError {
    /// A rule does not allow it.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// It is not there, or not the caller's: the two get the same answer.
    #[error("{0}")]
    NotFound(String),
    /// Docker did not do it.
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// It cannot be recorded, so it is not done.
    #[error("the gateway cannot write its audit log, so nothing is done")]
    Audit(#[source] AuditError),
    /// The caller's records have used up their budget.
    #[error("{0} [{BUDGET_RULE}]")]
    OverBudget(OverBudget),
    /// Docker's answer is not what its API says.
    #[error("Docker's answer cannot be read")]
    Answer,
    /// A task of the gateway's own broke down.
    #[error("internal error of the gateway")]
    Internal,
    /// A container did not come under its AppArmor label.
    #[error("the container {0} did not come under its AppArmor profile and was stopped")]
    Unconfined(String),
    /// Another operation of the caller's does not end.
    #[error("another operation of yours is still running; try again")]
    Busy,
}

impl From<AuditError> for GatewayError {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::OverBudget(over) => Self::OverBudget(over),
            unwritable @ AuditError::Unwritable(_) => Self::Audit(unwritable),
        }
    }
}

impl GatewayError {
    /// The HTTP status and the text of the answer.
    pub(super) fn response(&self) -> (u16, String) {
        match self {
            Self::Refusal(refusal) => (status_of(refusal), text_of(refusal)),
            Self::NotFound(text) => (404, text.clone()),
            // Docker's own words do not say whether the caller is wrong; the gateway has seen the source.
            Self::Docker(DockerError::Response { message, .. }) if is_unseen(message) => {
                let text = plain(&without_ids(message));
                let next = SHOW_THE_VOLUME;
                (
                    500,
                    format!(
                        "{text}, although it exists on this host; ask the administrator to {next}"
                    ),
                )
            }
            Self::Docker(DockerError::Response { status, message }) => {
                (status.as_u16(), plain(&without_ids(message)))
            }
            // None of Docker's own: with 400 or 404 a caller would look for the error in its request.
            Self::Docker(error @ DockerError::Version { .. }) => {
                let hint = error.hint().unwrap_or_default();
                (501, format!("{error}; {hint}"))
            }
            Self::Docker(error @ (DockerError::Unsettled | DockerError::TooSlow(_))) => {
                let hint = error.hint().unwrap_or_default();
                (503, format!("{error}; {hint}"))
            }
            Self::Docker(DockerError::Unreachable { .. }) => (
                503,
                format!("{DOCKER_AWAY}; it may be restarting: try again, or ask the administrator"),
            ),
            Self::Docker(DockerError::Http(_)) | Self::Answer => (
                502,
                "Docker's answer was cut short or cannot be read".to_owned(),
            ),
            Self::OverBudget(_) => (429, self.to_string()),
            Self::Audit(_) | Self::Internal => (500, self.to_string()),
            Self::Unconfined(_) => (500, format!("{self}; ask the administrator")),
            Self::Busy => (409, self.to_string()),
        }
    }
}

/// Whether Docker does not see a directory. Each was looked at, through its descriptor, a moment before.
fn is_unseen(message: &str) -> bool {
    message.contains(UNSEEN_SOURCE)
}

fn status_of(refusal: &Refusal) -> u16 {
    match refusal.reason {
        admission::TOO_MANY_REQUESTS => 429,
        "DISK_RESERVE" => 507,
        "UNKNOWN_FIELD" | "FIELD_OF_OTHER_VERSION" => 400,
        reason if reason.starts_with("BAD_") => 400,
        _ => 403,
    }
}

fn text_of(refusal: &Refusal) -> String {
    // Docker's own words and nothing else, since clients look for them.
    if refusal.reason == "BAD_VERSION" {
        return refusal.message.clone();
    }
    match &refusal.hint {
        Some(hint) => format!("{refusal}; {hint}"),
        None => refusal.to_string(),
    }
}

/// Docker's text without what is not printable, cut to a length.
fn plain(message: &str) -> String {
    message
        .chars()
        .map(|character| {
            if is_printable(character) {
                character
            } else {
                ' '
            }
        })
        .take(MAX_TEXT)
        .collect()
}

/// Docker's text with every full id cut out: a conflict names the container that is in the way.
fn without_ids(message: &str) -> String {
    message
        .split_inclusive(|character: char| !character.is_ascii_alphanumeric())
        .map(|word| {
            let bare = word.trim_end_matches(|character: char| !character.is_ascii_alphanumeric());
            if is_full_id(bare) {
                word.replace(bare, "…")
            } else {
                word.to_owned()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use aistack_policy::Rule;
    use aistack_policy::engine::ApiVersion;

    use super::super::vet::target::{Line, Offered};
    use super::*;

    #[test]
    fn a_conflict_does_not_print_the_other_container() {
        let id = "a".repeat(64);
        let message = format!("The container name \"/x\" is already in use by container \"{id}\".");
        let error = GatewayError::Docker(DockerError::Response {
            status: http::StatusCode::CONFLICT,
            message,
        });
        let (status, text) = error.response();
        assert_eq!(status, 409);
        assert!(!text.contains(&id) && text.contains("\"/x\""), "{text}");
    }

    #[test]
    fn a_source_that_docker_does_not_see_is_reported_with_what_to_do() {
        let message = "invalid mount config for type \"bind\": bind source path does not exist: \
                       /mnt/data-tenant-1001/data/redis"
            .to_owned();
        let error = GatewayError::Docker(DockerError::Response {
            status: http::StatusCode::BAD_REQUEST,
            message,
        });
        let (status, text) = error.response();
        assert_eq!(status, 500);
        for words in [
            "/data/redis",
            "although it exists on this host",
            "restart Docker",
        ] {
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn an_unsupported_version_is_reported_as_docker_reports_it() {
        let offered = Offered::with(Some(ApiVersion::v1(41)));
        let refusal = Line::parse("GET", "/v1.44/info", offered).unwrap_err();
        let (status, text) = GatewayError::from(refusal).response();
        let words = "client version 1.44 is too new. Maximum supported API version is 1.41";
        assert_eq!((status, text.as_str()), (400, words));
    }

    #[test]
    fn an_engine_that_speaks_other_versions_is_no_error_of_the_callers() {
        let (speaks, newest) = ("1.12 to 1.40".to_owned(), ApiVersion::v1(40));
        let (status, text) =
            GatewayError::Docker(DockerError::Version { speaks, newest }).response();
        assert_eq!(status, 501);
        for words in [
            "API 1.12 to 1.40",
            "speaks 1.41 to 1.56",
            "ask the administrator",
            "20.10",
        ] {
            assert!(text.contains(words), "{text}");
        }
    }

    /// The client waits for an engine that restarts; it knows it by these words.
    #[test]
    fn an_engine_that_is_away_is_distinguished_from_one_that_broke_off() {
        let away = DockerError::Unreachable {
            socket: "/run/docker.sock".into(),
            source: std::io::ErrorKind::ConnectionRefused.into(),
        };
        let (status, text) = GatewayError::Docker(away).response();
        assert_eq!(status, 503);
        assert!(text.starts_with(DOCKER_AWAY), "{text}");
        let (status, text) = GatewayError::Docker(DockerError::Http("gone".into())).response();
        assert_eq!(status, 502);
        assert!(!text.contains(DOCKER_AWAY), "{text}");
    }

    #[test]
    fn a_refusal_names_its_rule_and_the_next_step() {
        let rule = Rule::builtin("no-privileged");
        let refusal = Refusal::new("PRIVILEGED_REFUSED", "no", rule).with_hint("do");
        let (status, text) = GatewayError::from(refusal).response();
        assert_eq!(
            (status, text.as_str()),
            (403, "no [builtin.no-privileged]; do")
        );
    }
}
