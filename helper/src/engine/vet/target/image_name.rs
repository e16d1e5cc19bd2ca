//! Percent signs in the name of an image: docker-py sends `%40` before a digest, others `%3A` and
//! `%2F`. These three are read there, and nowhere else is anything decoded.

use std::borrow::Cow;

/// What may be encoded, and what it is.
const SEPARATORS: [(&str, &str); 3] = [("%40", "@"), ("%3A", ":"), ("%2F", "/")];

/// The path with the separators of an image's name as they are, when it is the path of an image; any
/// other path as it came. What is decoded is a path like any other: it is judged as one.
pub(super) fn decoded(path: &str) -> Cow<'_, str> {
    let Some((before, name)) = split(path) else {
        return Cow::Borrowed(path);
    };
    let mut plain = name.to_owned();
    for (encoded, separator) in SEPARATORS {
        plain = plain.replace(encoded, separator);
        plain = plain.replace(&encoded.to_ascii_lowercase(), separator);
    }
    Cow::Owned(format!("{before}{plain}/json"))
}

/// `/images/` with or without a version before it, and the name between that and `/json`.
fn split(path: &str) -> Option<(&str, &str)> {
    let (start, name) = path.split_once("/images/")?;
    let versioned = start
        .strip_prefix("/v1.")
        .is_some_and(|minor| minor.len() == 2 && minor.bytes().all(|byte| byte.is_ascii_digit()));
    if !name.contains('%') || !(start.is_empty() || versioned) {
        return None;
    }
    let before = path.get(..path.len() - name.len())?;
    Some((before, name.strip_suffix("/json")?))
}

#[cfg(test)]
mod tests {
    use super::super::Endpoint;

    #[test]
    fn an_encoded_name_is_the_name() {
        let digest = "a".repeat(64);
        for (encoded, plain) in [
            ("x%40sha256:DIGEST", "x@sha256:DIGEST"),
            ("x%40sha256%3aDIGEST", "x@sha256:DIGEST"),
            ("redis%3A8", "redis:8"),
            ("ghcr.io%2Fa%2fb%3A1", "ghcr.io/a/b:1"),
            ("sha256%3ADIGEST", "sha256:DIGEST"),
        ] {
            for version in ["", "/v1.41"] {
                let read = |name: &str| {
                    let name = name.replace("DIGEST", &digest);
                    Endpoint::parse("GET", &format!("{version}/images/{name}/json")).unwrap()
                };
                assert_eq!(read(encoded), read(plain), "{encoded}");
            }
        }
    }

    #[test]
    fn nothing_else_is_decoded_and_what_is_decoded_is_judged() {
        for target in [
            "/images/..%2F..%2Fcontainers/json",
            "/images/%2E%2E/json",
            "/images/%2F/json",
            "/images/redis%2F/json",
            "/images/redis%2F%2Fx/json",
            "/images/%2Fredis/json",
            "/images/redis%253A8/json",
            "/images/redis%00/json",
            "/images/redis%3/json",
            "/images/redis%3F/json",
            "/images/redis%2Fjson",
            "/images%2Fredis/json",
            "/v1.41%2Fimages/redis/json",
            "/x/images/redis%3A8/json",
            "/containers/images/redis%3A8/json",
            "/networks/a%3Ab",
            "/containers/a%3Ab/json",
        ] {
            let refusal = Endpoint::parse("GET", target).unwrap_err();
            assert_eq!(refusal.reason, "BAD_TARGET", "{target}");
        }
        assert!(Endpoint::parse("POST", "/images/redis%3A8/json").is_err());
    }
}
