//! A service as seen from outside of its container: site, metrics, and what is said about it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::units::Days;

/// A host name behind the proxy.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// First label; the tenant's domain follows.
    pub host: String,
    /// Port in the container.
    pub port: u16,
    /// Path that answers 200 to anyone, for `validate`.
    pub check: String,
    /// Paths that other services answer before the site's own port; the longest that matches wins.
    #[serde(default, rename = "route")]
    pub routes: Vec<Route>,
}

/// Paths of a site that another service answers.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Path as Caddy matches it: exact, or a prefix that ends in `*`.
    pub path: String,
    /// The service.
    pub service: String,
    /// Port in its container.
    pub port: u16,
}

/// Where metrics are read.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scrape {
    /// Port in the container.
    pub port: u16,
    /// Path.
    pub path: String,
}

/// What is said about a service, one paragraph each.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Docs {
    /// What it is and what for.
    pub about: String,
    /// How one signs in for the first time, and where the password is.
    pub login: String,
    /// What it is connected to without the user's doing.
    pub wiring: String,
    /// What is in its data directory, and how to restore it.
    pub restore: String,
    /// Upstream's page.
    pub homepage: String,
    /// SPDX expression, or what upstream calls it.
    pub licence: String,
    /// What was run for real in the tests, against what version, and what was not.
    pub tested: String,
}

/// What to know before another version.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upgrade {
    /// How old its image may become until `doctor` warns, for software whose old releases stop working.
    pub renew_within: Option<Days>,
    /// One sentence each.
    #[serde(default)]
    pub hazards: Vec<String>,
}
