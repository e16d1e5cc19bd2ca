//! What can go wrong between the client and the gateway.

use std::path::{Path, PathBuf};

use bollard::errors::Error;

use crate::exit::Exit;

/// Why a request to the engine did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Nobody answers on the socket.
    #[error("the engine gateway does not answer on {}", socket.display())]
    Unreachable {
        /// The socket.
        socket: PathBuf,
    },
    /// The gateway does not allow it.
    #[error("{message}")]
    Refused {
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
    /// No answer came in time.
    #[error("the engine did not answer in time")]
    TimedOut,
}

impl EngineError {
    /// The exit code that this leads to.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Unreachable { .. } => Exit::Unreachable,
            Self::Refused { .. } => Exit::Policy,
            Self::NotFound { .. } | Self::Failed { .. } | Self::Unfit { .. } => Exit::Failed,
            Self::TimedOut => Exit::TimedOut,
        }
    }

    pub(super) fn from_bollard(error: Error, socket: &Path) -> Self {
        let unreachable = || Self::Unreachable {
            socket: socket.to_owned(),
        };
        match error {
            Error::DockerResponseServerError {
                status_code,
                message,
            } => Self::from_answer(status_code, &message),
            Error::RequestTimeoutError => Self::TimedOut,
            // Not there, not reached, or gone before it answered.
            Error::SocketNotFoundError(_) | Error::HyperLegacyError { .. } => unreachable(),
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
                Self::Refused {
                    message: text.to_owned(),
                    rule: rule.map(str::to_owned),
                }
            }
            404 => Self::NotFound { message },
            // The gateway's own; Docker has the same status for what it does not have.
            501 if message.contains(" speaks API ") => {
                let (what, next) = message.split_once("; ").unwrap_or((&message, ""));
                Self::Unfit {
                    message: what.to_owned(),
                    next: next.to_owned(),
                }
            }
            502 | 503 => Self::Failed {
                message: format!("Docker does not answer the gateway: {message}"),
            },
            _ => Self::Failed { message },
        }
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
    use super::*;

    #[test]
    fn a_refusal_tells_its_rule() {
        let error = EngineError::from_answer(403, "not your port [tenants.ports (policy.toml:9)]");
        assert_eq!(error.exit(), Exit::Policy);
        let EngineError::Refused { message, rule } = error else {
            panic!("{error:?}");
        };
        assert_eq!(message, "not your port");
        assert_eq!(rule.as_deref(), Some("tenants.ports (policy.toml:9)"));
    }

    #[test]
    fn an_engine_that_does_not_fit_is_told_with_what_to_do() {
        let text = "the Docker Engine of this host speaks API 1.44 and later, and this aistack \
                    speaks 1.41; ask the administrator to install another";
        let error = EngineError::from_answer(501, text);
        let EngineError::Unfit { message, next } = &error else {
            panic!("{error:?}");
        };
        assert!(message.ends_with("speaks 1.41"), "{message}");
        assert_eq!(next, "ask the administrator to install another");
        let other = EngineError::from_answer(501, "not implemented");
        assert!(matches!(other, EngineError::Failed { .. }), "{other:?}");
    }

    #[test]
    fn other_answers_keep_dockers_words() {
        let error = EngineError::from_answer(500, "port is already allocated\n");
        assert_eq!(error.to_string(), "port is already allocated");
        assert_eq!(error.exit(), Exit::Failed);
    }
}
