//! The one error type of the command's edge: what happened, why, what next, and the exit code.

use serde::Serialize;
use serde_json::{Value, json};

use crate::catalog::own::InvalidEntry;
use crate::engine::EngineError;
use crate::env_file::EnvError;
use crate::exit::Exit;
use crate::helper::{self, HelperError};

/// Why a command did not do what was requested.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{what}")]
pub struct CliError {
    /// The exit code.
    pub exit: Exit,
    /// What happened; empty when there is nothing to say.
    pub what: String,
    /// Why, one line each.
    pub causes: Vec<Cause>,
    /// What to do next.
    pub next: Option<String>,
    /// Services that did not become healthy.
    pub reports: Vec<ServiceReport>,
    /// True when no space was left.
    pub full: bool,
}

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// One sentence.
    pub text: String,
    /// The policy rule that decided, where one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

/// Everything that explains why one service does not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceReport {
    /// Service name.
    pub service: String,
    /// Container name.
    pub container: String,
    /// What is wrong with it, e.g. `exited with code 1`.
    pub problem: String,
    /// Code it exited with, where it exited.
    pub exit_code: Option<i64>,
    /// Output of the last health probe.
    pub probe: Option<String>,
    /// Its last log lines.
    pub log: Vec<String>,
    /// The likely cause, where the signs point to one.
    pub cause: Option<String>,
    /// True when what ran before runs again.
    pub restored: bool,
    /// How it stands after it was tried to bring back what ran before; `None` where it was not.
    pub now: Option<String>,
    /// The exit code of the command that this leads to.
    #[serde(skip)]
    pub exit: Exit,
}

impl CliError {
    /// A failure without reasons or a next step.
    #[must_use]
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self {
            exit,
            what: what.into(),
            causes: Vec::new(),
            next: None,
            reports: Vec::new(),
            full: false,
        }
    }

    /// Ends the command with `exit` and without a word.
    #[must_use]
    pub fn silent(exit: Exit) -> Self {
        Self::new(exit, String::new())
    }

    /// The same with one more reason.
    #[must_use]
    pub fn because(mut self, text: impl Into<String>) -> Self {
        self.causes.push(Cause {
            text: text.into(),
            rule: None,
        });
        self
    }

    /// The same with a policy rule as one more reason.
    #[must_use]
    pub fn by_rule(mut self, text: impl Into<String>, rule: Option<String>) -> Self {
        self.causes.push(Cause {
            text: text.into(),
            rule,
        });
        self
    }

    /// The same with a next step.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// A failed step on a file.
    #[must_use]
    pub fn io(step: &str, path: &std::path::Path, source: &std::io::Error) -> Self {
        if is_full(source) {
            let what = format!(
                "no space left to {step} {}; the existing file is intact",
                path.display()
            );
            return Self {
                full: true,
                ..Self::new(Exit::Failed, what).next(FREE_SPACE)
            };
        }
        Self::new(Exit::Failed, format!("cannot {step} {}", path.display()))
            .because(source.to_string())
    }

    /// Service files with errors.
    #[must_use]
    pub fn service_files<'b>(invalid: impl IntoIterator<Item = &'b InvalidEntry>) -> Self {
        let mut failure = Self::new(
            Exit::Config,
            "a service file has errors; nothing was changed",
        );
        for (text, picture) in invalid.into_iter().flat_map(|invalid| &invalid.errors) {
            failure = failure.because(text);
            failure = picture.iter().fold(failure, Self::because);
        }
        failure.next("fix the file or remove it; see docs/own-services.md")
    }

    /// A file that cannot be read as a manifest.
    #[must_use]
    pub fn manifest(errors: &[EnvError]) -> Self {
        errors
            .iter()
            .fold(
                Self::new(
                    Exit::Config,
                    "the .env file has errors; nothing was changed",
                ),
                |failure, error| failure.because(error.to_string()),
            )
            .next("fix the file, then run the command again")
    }

    /// The failure as the `error` member of a JSON document.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "exit": self.exit.code(),
            "what": self.what,
            "causes": self.causes,
            "next": self.next,
            "services": self.reports,
        })
    }
}

/// What to do on a full volume.
const FREE_SPACE: &str = "remove files you do not need, or `aistack remove --purge SERVICE`, which also works on a full \
                          volume; `aistack volume status` shows the free space";

/// Whether there was no space left, or none of the user's share.
#[must_use]
pub fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

/// What to do where a daemon answers others, and this caller not for now.
const TOO_MANY_REQUESTS_HINT: &str = "wait until your other commands have ended, then try again; if \
                               there are none, ask the administrator";
/// What to do where the helper does not answer.
const HELPER_GONE: &str = "ask the administrator to start aistack-helper";
const ENGINE_GONE: &str = "ask the administrator to start aistack-engine";

/// What to do about a socket where nobody answers. The daemons shut out who floods them for ten
/// seconds, and a queue that stays full was filled by somebody.
fn when_unreachable(why: Option<std::io::ErrorKind>, gone: &'static str) -> &'static str {
    match why {
        Some(std::io::ErrorKind::PermissionDenied) => {
            "stop what connects to aistack in a loop, wait ten seconds, then try again"
        }
        Some(std::io::ErrorKind::WouldBlock) => {
            "another user floods the socket: try again, or ask the administrator"
        }
        _ => gone,
    }
}

impl From<HelperError> for CliError {
    fn from(error: HelperError) -> Self {
        let exit = error.exit();
        let what = error.to_string();
        match error {
            HelperError::Unreachable { source, .. } => Self::new(exit, what)
                .because(source.to_string())
                .next(when_unreachable(Some(source.kind()), HELPER_GONE)),
            HelperError::HungUp => Self::new(exit, what).next(TOO_MANY_REQUESTS_HINT),
            HelperError::Nobody { .. } => Self::new(exit, what)
                .because("it cannot be a tenant, and the daemons do not answer it")
                .next("run the command as yourself, outside of any user namespace"),
            HelperError::NotRoot { uid, .. } if uid == helper::overflow_uid() => {
                Self::new(exit, what)
                    .because("this is how the host's root appears inside a user namespace")
                    .next("run the command outside of containers and user namespaces")
            }
            HelperError::NotRoot { .. } => {
                Self::new(exit, what).next("unset AISTACK_HELPER_SOCKET, or ask the administrator")
            }
            HelperError::Answered {
                rule,
                hint,
                reason,
                code,
                ..
            } => {
                let too_often = code == tonic::Code::ResourceExhausted;
                let mut failure = Self::new(exit, what);
                if rule.is_some() {
                    failure = failure.by_rule(reason, rule);
                }
                let otherwise = match exit {
                    Exit::Unreachable => Some(HELPER_GONE),
                    _ if too_often => Some(TOO_MANY_REQUESTS_HINT),
                    _ => None,
                };
                failure.next = hint.or_else(|| otherwise.map(str::to_owned));
                failure
            }
        }
    }
}

impl From<EngineError> for CliError {
    fn from(error: EngineError) -> Self {
        let exit = error.exit();
        let failure = Self::new(exit, error.to_string());
        match error {
            EngineError::Unreachable { why, .. } => {
                failure.next(when_unreachable(why, ENGINE_GONE))
            }
            EngineError::TooOften { .. } | EngineError::HungUp => failure.next(TOO_MANY_REQUESTS_HINT),
            EngineError::Denied {
                rule: Some(rule), ..
            } => failure
                .by_rule("refused by the engine gateway", Some(rule))
                .next("see `aistack whoami -v`, or show the rule to the administrator"),
            EngineError::Unfit { next, .. } => failure.next(next),
            EngineError::DockerAway => failure.next(
                "it may be restarting or being upgraded: run the command again, and ask the administrator \
                 if it stays unreachable",
            ),
            _ => failure,
        }
    }
}

/// Output that nobody reads any more is not a failure; everything else on a stream is.
impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::silent(Exit::Done),
            std::io::ErrorKind::Interrupted => Self::silent(Exit::Interrupted),
            _ => Self::new(Exit::Failed, "cannot write the output").because(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_success() {
        let closed = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        let failure = CliError::from(closed);
        assert_eq!((failure.exit, failure.what.as_str()), (Exit::Done, ""));
    }
}
