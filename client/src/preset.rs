//! Names for whole choices of services, as the command line and the catalog's entries write them.

use schemars::JsonSchema;
use serde::Deserialize;

/// What `init --preset` offers.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// The least that is of use.
    Minimal,
    /// What most want.
    Standard,
    /// Every service that needs no decision of its own.
    Full,
}

impl Preset {
    /// As the command line and the entries write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Minimal => "minimal",
            Self::Standard => "standard",
            Self::Full => "full",
        }
    }
}
