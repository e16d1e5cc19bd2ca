//! Why profiles were not loaded or unloaded, as the tenant sees it.

use std::time::Duration;

use tonic::Code;

use super::parser::ParserError;

/// Why profiles were not loaded or unloaded. Nothing that apparmor_parser wrote is in it.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// This host cannot do it and the policy requires it.
    #[error(transparent)]
    Off(aistack_policy::Refusal),
    /// The text of a source is not one that is accepted.
    #[error("{file}:{}: {}: {}", refusal.line, refusal.code, refusal.sentence)]
    Rejected {
        /// Name of the source file.
        file: String,
        /// The line, its code and the rule that it breaks.
        refusal: aistack_policy::apparmor::Refusal,
    },
    /// A source is not a plain file of the tenant's.
    #[error("{path} {problem}")]
    Source {
        /// Path below the base directory.
        path: String,
        /// What it is instead.
        problem: &'static str,
    },
    /// Loads of one tenant come too close together.
    #[error("profiles were loaded a moment ago")]
    TooOften(Duration),
    /// Something stands where the helper keeps its own files.
    #[error("{path} {problem}")]
    Place {
        /// Where.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Tasks run under the profile.
    #[error("{tasks} task(s) still run under the profile {profile}")]
    InUse {
        /// Name of the profile.
        profile: String,
        /// How many.
        tasks: usize,
    },
    /// The compiler did not do it.
    #[error("the profile {profile} was not loaded")]
    Parser {
        /// Name of the profile.
        profile: String,
        /// Why.
        #[source]
        source: ParserError,
    },
    /// What the kernel shows afterwards is not what it must show.
    #[error("the profile {profile} was loaded, but {what}")]
    NotVerified {
        /// Name of the profile.
        profile: String,
        /// What the kernel shows instead.
        what: &'static str,
    },
    /// The kernel refused a step.
    #[error("cannot {step} {path}")]
    Io {
        /// Verb phrase, e.g. `create`.
        step: &'static str,
        /// What it was done to.
        path: String,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
}

impl ProfileError {
    /// Stable upper-case word for programs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Off(refusal) => refusal.reason,
            Self::Rejected { .. } => "APPARMOR_REFUSED",
            Self::Source { .. } => "APPARMOR_SOURCE_REFUSED",
            Self::TooOften(_) => "APPARMOR_TOO_OFTEN",
            Self::Place { .. } => "APPARMOR_PLACE_TAKEN",
            Self::InUse { .. } => "APPARMOR_IN_USE",
            Self::Parser { .. } => "APPARMOR_NOT_COMPILED",
            Self::NotVerified { .. } => "APPARMOR_NOT_VERIFIED",
            Self::Io { .. } => "IO_FAILED",
        }
    }

    /// What to do next, where there is something to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Off(refusal) => return refusal.hint.clone(),
            Self::Rejected { file, .. } => format!(
                "fix the line in apparmor/{file} below the base directory, or remove the file to \
                 get the default"
            ),
            Self::Source { path, .. } => {
                format!("remove {path} from the base directory to get the default")
            }
            Self::TooOften(wait) => format!("try again in {} s", wait.as_secs().max(1)),
            Self::Place { .. } => "ask the administrator to move it".to_owned(),
            Self::InUse { .. } => "remove the containers first: run `aistack destroy`".to_owned(),
            Self::Parser { .. } | Self::NotVerified { .. } => {
                "ask the administrator to check the helper's log".to_owned()
            }
            Self::Io { .. } => return None,
        })
    }

    /// The gRPC code that the front answers with.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Off(_)
            | Self::Rejected { .. }
            | Self::Source { .. }
            | Self::Place { .. }
            | Self::InUse { .. } => Code::FailedPrecondition,
            Self::TooOften(_) => Code::ResourceExhausted,
            Self::Parser { .. } | Self::NotVerified { .. } | Self::Io { .. } => Code::Internal,
        }
    }
}
