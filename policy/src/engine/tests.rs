//! What works with which engine, from facts that the tests make up.

use super::*;

fn engine(oldest: &str, newest: &str) -> EngineFacts {
    EngineFacts {
        version: "x".to_owned(),
        newest: ApiVersion::parse(newest),
        oldest: ApiVersion::parse(oldest),
        ..EngineFacts::default()
    }
}

#[test]
fn the_newest_version_that_both_speak_is_negotiated() {
    for (oldest, newest, spoken) in [
        ("1.12", "1.41", Some(41)),
        ("1.24", "1.47", Some(47)),
        ("1.24", "1.51", Some(51)),
        // 29.0 to 29.2.
        ("1.44", "1.52", Some(52)),
        ("1.40", "1.56", Some(56)),
        ("1.40", "1.99", Some(56)),
        ("1.56", "1.60", Some(56)),
        ("1.41", "1.41", Some(41)),
        ("", "1.41", Some(41)),
        ("1.57", "1.60", None),
        ("1.12", "1.40", None),
        ("1.12", "1.9", None),
        ("1.40", "2.0", Some(56)),
        ("2.0", "2.1", None),
    ] {
        let found = ApiVersion::negotiated(
            ApiVersion::parse(oldest),
            ApiVersion::parse(newest).unwrap(),
        );
        assert_eq!(found, spoken.map(ApiVersion::v1), "{oldest} {newest}");
        let findings = judge(&engine(oldest, newest));
        assert_eq!(
            findings.is_empty(),
            spoken.is_some(),
            "{oldest} {newest}: {findings:?}"
        );
    }
    assert!(judge(&engine("", "")).is_empty());
}

#[test]
fn an_engine_that_shares_no_version_is_named_with_what_to_install() {
    let finding = |oldest, newest| judge(&engine(oldest, newest)).remove(0);
    let old = finding("1.12", "1.40");
    assert_eq!(
        old.found,
        "Docker Engine x speaks API 1.12 to 1.40, and this aistack speaks 1.41 to 1.56"
    );
    assert_eq!(old.next, NEWER_ENGINE);
    assert_eq!(finding("1.57", "1.60").next, NEWER_AISTACK);
    assert!(finding("", "1.24").found.contains("API 1.24 and earlier"));
}

#[test]
fn an_option_counts_by_its_whole_name() {
    let with = |option: &str| {
        let mut engine = engine("1.12", "1.41");
        engine.security_options = vec![option.to_owned()];
        judge(&engine).len()
    };
    for option in ["name=userns", "name=rootless"] {
        assert_eq!(with(option), 1, "{option}");
    }
    for option in [
        "name=seccomp,profile=userns",
        "name=no-new-privileges",
        "userns",
        "name=userns2",
    ] {
        assert_eq!(with(option), 0, "{option}");
    }
}

#[test]
fn missing_limits_are_named() {
    let mut engine = engine("1.12", "1.41");
    engine.limits.memory = false;
    engine.limits.pids = false;
    assert!(
        judge(&engine)[0]
            .found
            .contains("memory and process limits")
    );
    engine.cgroup_driver = "none".to_owned();
    assert!(judge(&engine)[0].found.contains("any limit"));
}
