//! What can go wrong between the client and the gateway.

use std::io;
use std::path::{Path, PathBuf};

use aistack_proto::DOCKER_AWAY;
use bollard::errors::Error;

use crate::exit::Exit;
use crate::patience::{Again, named_wait};

/// Why a request to the engine did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Nobody answers on the socket.
    #[error("the engine gateway does not answer on {}", socket.display())]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// What connect(2) said, where it was called.
        why: Option<io::ErrorKind>,
    },
    /// The gateway does not allow it.
    #[error("{message}")]
    Denied {
        /// One sentence.
        message: String,
        /// The policy rule that decided, where the gateway names one.
        rule: Option<String>,
    },
    /// There is no such container, image or exec.
    #[error("{message}")]
    NotFound {
        /// Docker's words.
        message: String,
    },
    /// Something is in the way, e.g. another container has the name.
    #[error("{message}")]
    Conflict {
        /// Docker's words.
        message: String,
    },
    /// The gateway got too many requests, and waiting did not help.
    #[error("the engine gateway limits your requests: {message}")]
    TooOften {
        /// The gateway's words.
        message: String,
    },
    /// The gateway closed the connection before it answered, again and again.
    #[error("the engine gateway closed the connection before it answered")]
    HungUp,
    /// The engine did not do it.
    #[error("{message}")]
    Failed {
        /// Docker's words.
        message: String,
    },
    /// The host's Docker Engine cannot be used by this aistack.
    #[error("{message}")]
    Unfit {
        /// What the two speak.
        message: String,
        /// What to do.
        next: String,
    },
    /// The gateway answers, and the host's Docker Engine does not.
    #[error("the Docker Engine of this host does not answer")]
    DockerAway,
    /// No answer came in time.
    #[error("the engine did not answer in time")]
    TimedOut,
}

impl EngineError {
    /// The exit code that this leads to.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Unreachable { .. } | Self::HungUp | Self::DockerAway => Exit::Unreachable,
            Self::Denied { .. } => Exit::Policy,
            Self::NotFound { .. }
            | Self::Conflict { .. }
            | Self::TooOften { .. }
            | Self::Unfit { .. }
            | Self::Failed { .. } => Exit::Failed,
            Self::TimedOut => Exit::TimedOut,
        }
    }

    pub(super) fn from_bollard(error: Error, socket: &Path) -> Self {
        let unreachable = |why| Self::Unreachable {
            socket: socket.to_owned(),
            why,
        };
        match error {
            Error::DockerResponseServerError {
                status_code,
                message,
            } => Self::from_answer(status_code, &message),
            Error::RequestTimeoutError => Self::TimedOut,
            // Not there, or not reached.
            Error::SocketNotFoundError(_) => unreachable(None),
            Error::HyperLegacyError { err } if err.is_connect() => unreachable(kind_of(&err)),
            Error::HyperLegacyError { .. } => Self::HungUp,
            Error::DockerStreamError { error } => Self::Failed { message: error },
            other => Self::Failed {
                message: with_sources(&other),
            },
        }
    }

    fn from_answer(status: u16, message: &str) -> Self {
        let message = message.trim().to_owned();
        match status {
            403 => {
                let (text, rule) = split_rule(&message);
                Self::Denied {
                    message: text.to_owned(),
                    rule: rule.map(str::to_owned),
                }
            }
            404 => Self::NotFound { message },
            409 => Self::Conflict { message },
            429 => Self::TooOften { message },
            // The gateway's own; Docker has the same status for what it does not have.
            501 if message.contains(" speaks API ") => {
                let (what, next) = message.split_once("; ").unwrap_or((&message, ""));
                Self::Unfit {
                    message: what.to_owned(),
                    next: next.to_owned(),
                }
            }
            503 if message.starts_with(DOCKER_AWAY) => Self::DockerAway,
            502 => Self::Failed {
                message: format!("Docker's answer to the gateway is unexpected: {message}"),
            },
            _ => Self::Failed { message },
        }
    }
}

/// What the kernel said, where an error comes from that.
fn kind_of(error: &(dyn std::error::Error + 'static)) -> Option<io::ErrorKind> {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut kinds = causes.filter_map(|error| error.downcast_ref::<io::Error>());
    kinds.next().map(io::Error::kind)
}

/// Whether a request is to be made again, and why. One that was `repeatable` may have been done
/// already when the gateway hung up.
pub(super) fn again(error: &Error, repeatable: bool) -> Option<Again> {
    match error {
        Error::DockerResponseServerError {
            status_code: 429,
            message,
        } => named_wait(message).map(Again::TooOften),
        Error::DockerResponseServerError {
            status_code: 503,
            message,
        } if message.starts_with(DOCKER_AWAY) => Some(Again::DockerAway),
        // It broke off in the middle, as an engine does that is being stopped.
        Error::DockerResponseServerError {
            status_code: 502, ..
        } if repeatable => Some(Again::HungUp),
        Error::HyperLegacyError { err } if repeatable && !err.is_connect() => Some(Again::HungUp),
        _ => None,
    }
}

/// Splits `message [rule]`, the way the gateway tells a refusal.
fn split_rule(message: &str) -> (&str, Option<&str>) {
    message
        .strip_suffix(']')
        .and_then(|text| text.rsplit_once(" ["))
        .map_or((message, None), |(text, rule)| (text, Some(rule)))
}

/// An error with everything that led to it: transport errors keep the reason in their sources.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_refusal_tells_its_rule() {
        let error = EngineError::from_answer(403, "not your port [tenants.ports (policy.toml:9)]");
        assert_eq!(error.exit(), Exit::Policy);
        let EngineError::Denied { message, rule } = error else {
            panic!("{error:?}");
        };
        assert_eq!(message, "not your port");
        assert_eq!(rule.as_deref(), Some("tenants.ports (policy.toml:9)"));
    }

    #[test]
    fn a_request_that_came_too_often_is_made_again_after_the_time_that_is_named() {
        let answered = |status_code, message: &str| Error::DockerResponseServerError {
            status_code,
            message: message.to_owned(),
        };
        let text = "too many requests [builtin.rate-limit]; try again in 12 ms";
        let named = Again::TooOften(Duration::from_millis(12));
        assert_eq!(again(&answered(429, text), false), Some(named));
        // As for the budget in the audit log, which has room again much later.
        assert_eq!(again(&answered(429, "no"), false), None);
        assert_eq!(again(&answered(409, text), true), None);
        let last = EngineError::from_answer(429, text).to_string();
        assert!(last.ends_with("try again in 12 ms"), "{last}");
        let in_the_way = EngineError::from_answer(409, "the name is in use");
        assert!(matches!(in_the_way, EngineError::Conflict { .. }));
    }

    #[test]
    fn an_engine_that_does_not_fit_is_reported_with_what_to_do() {
        let text = "the Docker Engine of this host speaks API 1.12 to 1.40, and this aistack \
                    speaks 1.41 to 1.56; ask the administrator to install another";
        let error = EngineError::from_answer(501, text);
        let EngineError::Unfit { message, next } = &error else {
            panic!("{error:?}");
        };
        assert!(message.ends_with("speaks 1.41 to 1.56"), "{message}");
        assert_eq!(next, "ask the administrator to install another");
        let other = EngineError::from_answer(501, "not implemented");
        assert!(matches!(other, EngineError::Failed { .. }), "{other:?}");
    }

    /// Nothing was done, so that even a create is requested again; Docker's own 503 means something else.
    #[test]
    fn an_engine_that_is_away_is_waited_for_and_reported_as_unreachable() {
        let text = format!("{DOCKER_AWAY}; it may be restarting");
        let answered = |status_code, message: &str| Error::DockerResponseServerError {
            status_code,
            message: message.to_owned(),
        };
        for repeatable in [true, false] {
            let away = again(&answered(503, &text), repeatable);
            assert_eq!(away, Some(Again::DockerAway));
        }
        assert_eq!(
            again(&answered(503, "this node is not a manager"), true),
            None
        );
        assert_eq!(again(&answered(502, "broke off"), false), None);
        assert_eq!(
            again(&answered(502, "broke off"), true),
            Some(Again::HungUp)
        );
        let error = EngineError::from_answer(503, &text);
        assert_eq!(error.exit(), Exit::Unreachable);
        let failure = crate::error::CliError::from(error);
        assert!(failure.next.unwrap().contains("administrator"));
    }

    #[test]
    fn other_answers_keep_dockers_words() {
        let error = EngineError::from_answer(500, "port is already allocated\n");
        assert_eq!(error.to_string(), "port is already allocated");
        assert_eq!(error.exit(), Exit::Failed);
    }
}
