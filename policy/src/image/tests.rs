//! References against Docker's own normalisation.

use proptest::prelude::*;

use super::*;

#[test]
fn references_are_normalised_as_docker_does() {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let pinned = format!("redis:8@{digest}");
    let pinned_is = format!("docker.io/library/redis@{digest}");
    for (text, expected) in [
        ("redis", "docker.io/library/redis:latest"),
        ("redis:8.10.1", "docker.io/library/redis:8.10.1"),
        ("n8nio/n8n", "docker.io/n8nio/n8n:latest"),
        ("docker.io/redis", "docker.io/library/redis:latest"),
        ("index.docker.io/redis", "docker.io/library/redis:latest"),
        ("docker.io/library/redis:8", "docker.io/library/redis:8"),
        ("ghcr.io/berriai/litellm:v1", "ghcr.io/berriai/litellm:v1"),
        ("localhost/x", "localhost/x:latest"),
        ("localhost:5000/x/y", "localhost:5000/x/y:latest"),
        ("127.0.0.1:1/x", "127.0.0.1:1/x:latest"),
        ("a/b/c", "docker.io/a/b/c:latest"),
        ("a__b--c.d_e", "docker.io/library/a__b--c.d_e:latest"),
        // A name with a dot and no slash is a name, not a registry.
        ("docker.io", "docker.io/library/docker.io:latest"),
        ("cafe:1", "docker.io/library/cafe:1"),
        (pinned.as_str(), pinned_is.as_str()),
    ] {
        assert_eq!(
            ImageRef::parse(text).unwrap().to_string(),
            expected,
            "{text}"
        );
    }
}

#[test]
fn everything_else_is_refused() {
    let id = "ab".repeat(32);
    let by_id = format!("sha256:{id}");
    let (long_name, long_tag) = ("a".repeat(256), format!("a:{}", "t".repeat(129)));
    let upper_digest = format!("a@sha256:{}", "AB".repeat(32));
    let short_digest = format!("a@sha256:{}", "ab".repeat(31));
    for text in [
        "",
        " ",
        "99b2",
        "cafe",
        &id,
        &by_id,
        "sha256:99b2",
        ":",
        "@",
        "a:",
        "a@",
        ":a",
        "/a",
        "a/",
        "a//b",
        "A",
        "a/B",
        "Foo/bar",
        "-a",
        "a-",
        ".a",
        "a.",
        "a..b",
        "a___b",
        "a._b",
        "a b",
        "a:b:c",
        "a:b/c:d:e",
        "a:-b",
        "a:b c",
        "a\0",
        "a\n",
        "é",
        "a:é",
        "../a",
        "./a",
        "a/../b",
        "ghcr.io/",
        "-x.io/a",
        "x-.io/a",
        "x..io/a",
        "x.io:/a",
        "x.io:port/a",
        "x.io:123456/a",
        "[::1]:5000/a",
        "http://x.io/a",
        "a?b",
        "a#b",
        "a%41",
        "a@b@c",
        &long_name,
        &long_tag,
        &upper_digest,
        &short_digest,
        "a@md5:d41d8cd98f00b204e9800998ecf8427e",
    ] {
        let refusal = Refusal::from(ImageRef::parse(text).unwrap_err());
        assert_eq!(refusal.reason, "BAD_IMAGE_REFERENCE", "{text:?}");
    }
}

#[test]
fn a_pattern_allows_its_repository_or_what_is_below_it() {
    for (text, pattern, allowed) in [
        ("redis", "docker.io/library/redis", true),
        ("redis:8", "docker.io/library/*", true),
        ("redis", "docker.io/*", true),
        ("redis", "docker.io/librar", false),
        ("redis", "docker.io/library", false),
        ("redis", "docker.io/library/", false),
        ("redis", "docker.io/library/redis/*", false),
        ("librarything/x", "docker.io/library/*", false),
        ("redis-x", "docker.io/library/redis", false),
        ("ghcr.io/a/b:1", "ghcr.io/a/b", true),
        ("ghcr.io/a/b:1", "docker.io/*", false),
    ] {
        let image = ImageRef::parse(text).unwrap();
        assert_eq!(image.matches(pattern), allowed, "{text} {pattern}");
        let parsed = crate::ImagePattern(pattern.to_owned());
        assert_eq!(
            parsed.matches(&image.repository),
            allowed,
            "{text} {pattern}"
        );
    }
}

/// A path of `images` and one of a reference have the same components, so that no image is named
/// that no pattern can allow.
#[test]
fn a_pattern_is_made_of_the_components_of_a_reference() {
    for component in [
        "a", "a.b", "a_b", "a__b", "a---b", "0", "a..b", "a___b", "a._b", "a_-b", "-a", "a-", ".a",
        "a.", "", "A", "é",
    ] {
        let image = ImageRef::parse(&format!("x.io/y/{component}"));
        let pattern = crate::value::image_pattern(&format!("x.io/y/{component}"));
        assert_eq!(image.is_ok(), pattern.is_ok(), "{component:?}");
    }
}

#[test]
fn what_a_caller_wrote_is_reported_shortly_and_on_one_line() {
    let error = ImageRef::parse(&"a\n ".repeat(40)).unwrap_err();
    let refusal = Refusal::from(error.clone());
    assert!(!refusal.message.contains('\n'), "{refusal}");
    assert!(refusal.message.chars().count() < 160, "{refusal}");
    assert!(refusal.message.ends_with(&error.to_string()), "{refusal}");
}

proptest! {
    #[test]
    fn a_normalised_reference_is_its_own_normal_form(
        text in "([a-z]{1,8}(\\.io|:5000)?/)?[a-z0-9._-]{1,12}(/[a-z0-9_-]{1,6})?(:[a-zA-Z0-9.]{1,8})?"
    ) {
        if let Ok(parsed) = ImageRef::parse(&text) {
            let again = ImageRef::parse(&parsed.to_string());
            prop_assert_eq!(again, Ok(parsed));
        }
    }

    #[test]
    fn any_text_is_answered(text in ".{0,64}") {
        let _ = ImageRef::parse(&text);
    }
}
