//! What `validate` asks of a service.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::template::Template;
use super::super::units::Span;
use super::When;

/// One thing that `validate` asks.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum CheckEntry {
    /// Requests to the service, one after the other, as one user would make them: cookies are kept.
    Http {
        /// For people.
        title: String,
        /// Run only then.
        when: Option<When>,
        /// Key of the published port on loopback. When it is not said: through the proxy, by its
        /// site and over TLS; without a proxy, the published port that the site stands before.
        port: Option<String>,
        /// The requests.
        #[serde(rename = "step")]
        steps: Vec<StepEntry>,
    },
    /// Run a command in the container.
    Exec {
        /// For people.
        title: String,
        /// Run only then.
        when: Option<When>,
        /// Program and arguments.
        command: Vec<Template>,
        /// Standard input.
        stdin: Option<Template>,
        /// What the output must hold.
        expect: Option<String>,
    },
}

impl CheckEntry {
    /// The condition under which it is run.
    #[must_use]
    pub fn when(&self) -> Option<&When> {
        match self {
            Self::Http { when, .. } | Self::Exec { when, .. } => when.as_ref(),
        }
    }
}

/// One request of a check.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepEntry {
    /// `GET` when it is not said.
    pub method: Option<String>,
    /// Path and query; `${step:NAME}` is what an earlier step captured.
    pub path: Template,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, Template>,
    /// Body.
    pub body: Option<Template>,
    /// Signs the request for an S3 store, with these keys.
    pub s3: Option<S3Keys>,
    /// Statuses that pass; 200 when it is not said.
    #[serde(default)]
    pub expect: Vec<u16>,
    /// What the answer must hold.
    pub contains: Option<Template>,
    /// Values to keep from a JSON answer: name, and JSON pointer (RFC 6901).
    #[serde(default)]
    pub capture: BTreeMap<String, String>,
    /// Done although an earlier step failed: it removes what the check made. Its own failure counts
    /// only when every step before it passed.
    #[serde(default)]
    pub always: bool,
    /// Repeated until it passes, for at most this long.
    pub within: Option<Span>,
}

/// Keys of an S3 store.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct S3Keys {
    /// Access key.
    pub access_key: Template,
    /// Secret key.
    pub secret_key: Template,
}
