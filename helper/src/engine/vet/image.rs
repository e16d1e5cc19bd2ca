//! Image references, normalised as Docker does it: `redis` is `docker.io/library/redis:latest`.

use std::fmt;

use aistack_policy::{Refusal, Rule};

/// A normalised reference to an image by name; ids and id prefixes are no references here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRef {
    /// `docker.io/library/redis`: registry and path, without tag and digest.
    pub repository: String,
    /// Exactly one of tag and digest; `latest` where the caller gave neither.
    pub version: Version,
}

/// What picks one image of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// A tag.
    Tag(String),
    /// `sha256:` and 64 hexadecimal digits.
    Digest(String),
}

impl ImageRef {
    /// Parses and normalises a reference.
    ///
    /// # Errors
    /// `BAD_IMAGE_REFERENCE` for ids, id prefixes and anything that Docker's grammar does not have.
    pub fn parse(_text: &str) -> Result<Self, Refusal> {
        Err(Refusal::new(
            "BAD_IMAGE_REFERENCE",
            "not written yet",
            Rule::builtin("image-reference"),
        ))
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Version::Tag(tag) => write!(out, "{}:{tag}", self.repository),
            Version::Digest(digest) => write!(out, "{}@{digest}", self.repository),
        }
    }
}
