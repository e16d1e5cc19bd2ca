//! Image references, normalised as Docker does it: `redis` is `docker.io/library/redis:latest`. The
//! client and the engine gateway read them by this one grammar.
//!
//! Grammar: distribution/reference, with Docker's rule that the first component is a registry only
//! if it has a dot or a colon or is `localhost`.

use std::fmt;

use crate::{Refusal, Rule};

/// The longest normalised repository, bytes (distribution/reference).
const MAX_REPOSITORY: usize = 255;

/// The longest tag, bytes (distribution/reference).
const MAX_TAG: usize = 128;

/// A normalised reference to an image by name; ids and id prefixes are no references here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRef {
    /// `docker.io/library/redis`: registry and path, without tag and digest.
    pub repository: String,
    /// Exactly one of tag and digest; `latest` where the caller gave neither. A digest wins over a
    /// tag, as it does in Docker.
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

/// Why a text is not an image reference, in words that go on after "it is not an image reference: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct ImageError {
    why: &'static str,
    text: String,
}

impl ImageRef {
    /// Parses and normalises a reference.
    ///
    /// # Errors
    /// For ids, id prefixes and anything that Docker's grammar does not have.
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        let bad = |why| {
            let text = shown(text);
            ImageError { why, text }
        };
        if is_id(text) {
            return Err(bad("an image is named, not given by its id"));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        let (name, tag) = split_tag(rest);
        if digest.is_some_and(|digest| !is_digest(digest)) {
            return Err(bad("its digest is not sha256: and 64 hexadecimal digits"));
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(bad("its tag is not one that Docker takes"));
        }
        let repository = normalised(name)
            .ok_or_else(|| bad("it is not written registry/path:tag in lower case"))?;
        let version = match (digest, tag) {
            (Some(digest), _) => Version::Digest(digest.to_owned()),
            (None, tag) => Version::Tag(tag.unwrap_or("latest").to_owned()),
        };
        Ok(Self {
            repository,
            version,
        })
    }

    /// True when a pattern of the policy's `images` allows the repository.
    #[must_use]
    pub fn matches(&self, pattern: &str) -> bool {
        matches(pattern, &self.repository)
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

/// `BAD_IMAGE_REFERENCE`, as the gateway answers it.
impl From<ImageError> for Refusal {
    fn from(error: ImageError) -> Self {
        let ImageError { why, text } = error;
        Self::new(
            "BAD_IMAGE_REFERENCE",
            format!("\"{text}\" is not an image reference: {why}"),
            Rule::builtin("image-reference"),
        )
        .with_hint("name an image as registry/path:tag, e.g. docker.io/library/redis:8.10.1")
    }
}

/// True when a pattern allows a normalised repository. `*` stands only at the end, after a `/`, for
/// one or more further components.
#[must_use]
pub fn matches(pattern: &str, repository: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => repository.len() > prefix.len() && repository.starts_with(prefix),
        None => pattern == repository,
    }
}

/// Text of a caller as it may stand in a message: short, and without control characters.
fn shown(text: &str) -> String {
    const LONGEST: usize = 64;
    // Each character becomes one at least, so more of them need not be escaped.
    let start: String = text.chars().take(LONGEST + 1).collect();
    let escaped = start.escape_debug().to_string();
    if escaped.chars().count() <= LONGEST {
        return escaped;
    }
    let cut: String = escaped.chars().take(LONGEST).collect();
    format!("{cut}…")
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// Docker takes such a text for an id or the start of one when no image has that name.
fn is_id(text: &str) -> bool {
    let bare = text.strip_prefix("sha256:");
    bare.is_some() || ((4..=64).contains(&text.len()) && is_lower_hex(text))
}

fn is_digest(digest: &str) -> bool {
    digest
        .strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && is_lower_hex(hex))
}

/// A colon after the last slash starts the tag; one before it, a registry's port.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (text, None),
    }
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut bytes = tag.bytes();
    tag.len() <= MAX_TAG
        && bytes.next().is_some_and(word)
        && bytes.all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

fn normalised(name: &str) -> Option<String> {
    let (registry, path) = match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => ("docker.io", name),
    };
    let registry = match registry {
        "index.docker.io" => "docker.io",
        other => other,
    };
    let library = registry == "docker.io" && !path.contains('/');
    let library = if library { "library/" } else { "" };
    let repository = format!("{registry}/{library}{path}");
    let legal = repository.len() <= MAX_REPOSITORY
        && is_registry(registry)
        && path.split('/').all(is_component);
    legal.then_some(repository)
}

/// Dot-separated labels of letters, digits and inner dashes, and an optional port.
fn is_registry(registry: &str) -> bool {
    let (host, port) = match registry.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (registry, None),
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let port_legal = port.is_none_or(|port| {
        (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit())
    });
    port_legal && host.split('.').all(label)
}

/// Runs of lower-case letters and digits, with one `.`, one or two `_` or any number of `-` between.
pub(crate) fn is_component(component: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends_plain = component.bytes().next().is_some_and(plain)
        && component.bytes().next_back().is_some_and(plain);
    let separators_legal = component
        .split(|character: char| character.is_ascii_lowercase() || character.is_ascii_digit())
        .all(|between| {
            matches!(between, "" | "." | "_" | "__") || between.bytes().all(|byte| byte == b'-')
        });
    ends_plain && separators_legal
}

#[cfg(test)]
mod tests;
