//! Percent signs in the name of an image: docker-py sends `%40` before a digest, others `%3A` and
//! `%2F`. These three are read there, and nowhere else is anything decoded.

use std::borrow::Cow;

/// What follows the name in a path that is read.
const ENDPOINTS: [&str; 2] = ["/json", "/history"];

/// What may be encoded, and what it is.
const SEPARATORS: [(&str, &str); 3] = [("%40", "@"), ("%3A", ":"), ("%2F", "/")];

/// The path with the separators of an image's name as they are, when it is the path of an image; any
/// other path as it came. What is decoded is a path like any other: it is judged as one.
pub(super) fn decoded(path: &str) -> Cow<'_, str> {
    let Some((before, name, endpoint)) = split(path) else {
        return Cow::Borrowed(path);
    };
    let mut plain = name.to_owned();
    for (encoded, separator) in SEPARATORS {
        plain = plain.replace(encoded, separator);
        plain = plain.replace(&encoded.to_ascii_lowercase(), separator);
    }
    Cow::Owned(format!("{before}{plain}{endpoint}"))
}

/// `/images/` with or without a version before it, the name, and which of [`ENDPOINTS`] follows it.
fn split(path: &str) -> Option<(&str, &str, &str)> {
    let (start, rest) = path.split_once("/images/")?;
    let versioned = start
        .strip_prefix("/v1.")
        .is_some_and(|minor| minor.len() == 2 && minor.bytes().all(|byte| byte.is_ascii_digit()));
    if !rest.contains('%') || !(start.is_empty() || versioned) {
        return None;
    }
    let before = path.get(..path.len() - rest.len())?;
    let mut endpoints = ENDPOINTS.into_iter();
    endpoints.find_map(|endpoint| Some((before, rest.strip_suffix(endpoint)?, endpoint)))
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
                for endpoint in ["json", "history"] {
                    let read = |name: &str| {
                        let name = name.replace("DIGEST", &digest);
                        let target = format!("{version}/images/{name}/{endpoint}");
                        Endpoint::parse("GET", &target).unwrap()
                    };
                    assert_eq!(read(encoded), read(plain), "{encoded} {endpoint}");
                }
            }
        }
    }

    #[test]
    fn nothing_else_is_decoded_and_what_is_decoded_is_judged() {
        let targets = [
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
        ];
        for target in targets {
            // Of an image's endpoints these two are read.
            for endpoint in ["json", "history"] {
                let target = target.replace("json", endpoint);
                let refusal = Endpoint::parse("GET", &target).unwrap_err();
                assert_eq!(refusal.reason, "BAD_TARGET", "{target}");
            }
        }
        for endpoint in ["get", "push", "tag", "attestations", "jsonx", "xhistory"] {
            let target = format!("/images/redis%3A8/{endpoint}");
            let refusal = Endpoint::parse("GET", &target).unwrap_err();
            assert_eq!(refusal.reason, "BAD_TARGET", "{target}");
        }
        for endpoint in ["json", "history"] {
            assert!(Endpoint::parse("POST", &format!("/images/redis%3A8/{endpoint}")).is_err());
        }
    }
}
