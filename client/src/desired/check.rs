//! What `validate` asks of a running service.

use std::collections::BTreeMap;
use std::time::Duration;

/// One thing that `validate` asks a running service.
#[derive(Clone, PartialEq, Eq)]
pub enum Check {
    /// Requests, one after the other, as one user would make them.
    Http {
        /// For people.
        title: String,
        /// Where to.
        via: Via,
        /// The requests.
        steps: Vec<Request>,
    },
    /// Run a command in the container; exit code 0 and, where given, this text in its output.
    Exec {
        /// For people.
        title: String,
        /// Command in the container.
        command: Vec<String>,
        /// Standard input; may hold secrets.
        stdin: String,
        /// What the output must hold.
        expect: Option<String>,
    },
}

/// Where a check's requests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Via {
    /// A published port on loopback, without TLS.
    Port(u16),
    /// The proxy's port on loopback, by host name and over TLS.
    Site {
        /// Host name of the site.
        host: String,
        /// The proxy's published port.
        port: u16,
    },
}

/// One request of a check. Texts may hold `${step:NAME}`, which stands for what an earlier step
/// captured, and secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// e.g. `GET`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// Body; empty for none.
    pub body: String,
    /// Access key and secret key, for a request that is signed for an S3 store.
    pub s3: Option<(String, String)>,
    /// Statuses that pass.
    pub expect: Vec<u16>,
    /// What the answer must hold.
    pub contains: Option<String>,
    /// Names of values to keep, with their JSON pointers in the answer.
    pub capture: BTreeMap<String, String>,
    /// Done although an earlier step failed.
    pub always: bool,
    /// Repeated until it passes, for at most this long.
    pub within: Option<Duration>,
}

impl Check {
    /// For people.
    #[must_use]
    pub fn title(&self) -> &str {
        match self {
            Self::Http { title, .. } | Self::Exec { title, .. } => title,
        }
    }
}

/// Checks may hold secrets, so `Debug` shows the title only.
impl std::fmt::Debug for Check {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Check({})", self.title())
    }
}
