//! What a service needs from the manifest: secrets, settings and databases.

use schemars::JsonSchema;
use serde::Deserialize;

/// A value that `init` makes from randomness.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// Key of the manifest.
    pub key: String,
    /// What it looks like.
    pub format: SecretFormat,
    /// What a new value would mean.
    pub change: Rotation,
    /// For people, above the key in the manifest.
    pub comment: Option<String>,
}

/// What a secret looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum SecretFormat {
    /// 32 letters and digits (190 bits).
    #[serde(rename = "alnum32")]
    Alnum32,
    /// 64 hexadecimal digits (256 bits).
    #[serde(rename = "hex64")]
    Hex64,
    /// `sk-` and 32 letters and digits.
    #[serde(rename = "sk-alnum32")]
    SkAlnum32,
    /// 24 letters and digits (142 bits), for what takes no more than 30.
    #[serde(rename = "alnum24")]
    Alnum24,
    /// 32 letters and digits, and `-Aa1`: for a service that wants every kind of character.
    #[serde(rename = "password")]
    Password,
}

/// What a new value of a secret would mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rotation {
    /// Data becomes unreadable.
    Never,
    /// The service keeps the old one in its data; it must be changed there too.
    InService,
    /// The next deploy puts it into force everywhere.
    Deploy,
}

impl Rotation {
    /// True when the data of the service is of no use without the old value.
    #[must_use]
    pub fn bound_to_data(self) -> bool {
        matches!(self, Self::Never | Self::InService)
    }
}

/// A value with a default.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SettingEntry {
    /// Key of the manifest.
    pub key: String,
    /// What `init` writes.
    pub default: String,
    /// For people, above the key in the manifest.
    pub comment: Option<String>,
}

/// A database with a role of the same name that owns it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// The service that holds it.
    pub provider: String,
    /// Name of database and role: lower-case letters, digits and `_`.
    pub name: String,
    /// Key of the manifest that holds the role's password.
    pub password: String,
    /// Extensions that the superuser creates in it.
    #[serde(default)]
    pub extensions: Vec<String>,
}
