//! What can go wrong between the client and the gateway.

use std::io;
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
        /// What connect(2) said, where it was asked.
        why: Option<io::ErrorKind>,
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
            Self::NotFound { .. } | Self::Failed { .. } => Exit::Failed,
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
            // Not there, not reached, or gone before it answered.
            Error::SocketNotFoundError(_) => unreachable(None),
            Error::HyperLegacyError { err } => unreachable(kind_of(&err)),
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
            502 | 503 => Self::Failed {
                message: format!("Docker does not answer the gateway: {message}"),
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
    fn other_answers_keep_dockers_words() {
        let error = EngineError::from_answer(500, "port is already allocated\n");
        assert_eq!(error.to_string(), "port is already allocated");
        assert_eq!(error.exit(), Exit::Failed);
    }
}
