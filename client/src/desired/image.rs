//! Image references, normalised as Docker does it: `redis` is `docker.io/library/redis:latest`.

use std::fmt;

/// A normalised image reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageName {
    /// Registry and path, e.g. `docker.io/library/redis`.
    pub repository: String,
    /// `:tag` or `@sha256:…`.
    version: String,
}

impl ImageName {
    /// Parses and normalises a reference. A tag beside a digest is dropped, as Docker ignores it.
    ///
    /// # Errors
    /// Why it is no reference.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        let (name, tag) = match name.rsplit_once(':') {
            Some((before, tag)) if !tag.contains('/') => (before, Some(tag)),
            _ => (name, None),
        };
        if let Some(digest) = digest {
            let hex = digest.strip_prefix("sha256:").unwrap_or_default();
            if hex.len() != 64 || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
                return Err("its digest is not sha256: and 64 hexadecimal digits".to_owned());
            }
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err("its tag is not one that Docker takes".to_owned());
        }
        let version = match (digest, tag) {
            (Some(digest), _) => format!("@{digest}"),
            (None, tag) => format!(":{}", tag.unwrap_or("latest")),
        };
        let repository = repository(name)?;
        Ok(Self {
            repository,
            version,
        })
    }

    /// True when a pattern of the grant allows the repository. `*` stands only at the end, after a
    /// slash, for everything below.
    #[must_use]
    pub fn matches(&self, pattern: &str) -> bool {
        match pattern.strip_suffix('*') {
            Some(prefix) => {
                self.repository.len() > prefix.len() && self.repository.starts_with(prefix)
            }
            None => self.repository == pattern,
        }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}{}", self.repository, self.version)
    }
}

fn is_tag(tag: &str) -> bool {
    let first = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= 128
        && tag.bytes().next().is_some_and(first)
        && tag.bytes().all(|b| first(b) || b == b'.' || b == b'-')
}

/// Adds the registry and the folder that Docker assumes.
fn repository(name: &str) -> Result<String, String> {
    let is_registry = |first: &str| first.contains(['.', ':']) || first == "localhost";
    let (registry, path) = match name.split_once('/') {
        Some((first, rest)) if is_registry(first) => (first, rest.to_owned()),
        Some(_) => ("docker.io", name.to_owned()),
        None => ("docker.io", format!("library/{name}")),
    };
    let registry = match registry {
        "index.docker.io" => "docker.io",
        other => other,
    };
    let path = match path.as_str() {
        single if registry == "docker.io" && !single.contains('/') => format!("library/{single}"),
        _ => path,
    };
    let registry_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':');
    if !registry.bytes().all(registry_byte) || !path.split('/').all(is_path_part) {
        return Err("it is not written registry/path:tag in lower case".to_owned());
    }
    Ok(format!("{registry}/{path}"))
}

fn is_path_part(part: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    part.bytes().next().is_some_and(plain)
        && part.bytes().last().is_some_and(plain)
        && part
            .bytes()
            .all(|b| plain(b) || matches!(b, b'.' | b'-' | b'_'))
}
