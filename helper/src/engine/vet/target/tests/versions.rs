//! What depends on the API version: of the caller, and of the engine.

use super::*;

#[test]
fn a_parameter_is_known_from_its_version_on() {
    let own = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    };
    let platform = |os: &str, architecture: &str| {
        let text = format!("{{\"architecture\":\"{architecture}\",\"os\":\"{os}\"}}");
        format!("/images/redis/json?platform={}", percent_encoded(&text))
    };
    for (method, target, since) in [
        ("POST", "/containers/web/stop?signal=INT".to_owned(), 42),
        ("POST", "/containers/web/restart?signal=INT".to_owned(), 42),
        ("GET", platform("linux", own), 49),
        (
            "GET",
            platform("linux", own).replace("/json?", "/history?"),
            48,
        ),
    ] {
        for minor in 24..=56 {
            let read = Endpoint::parse(method, &format!("/v1.{minor}{target}"));
            assert_eq!(read.is_ok(), minor >= since, "{minor} {target}");
            if let Err(refusal) = read {
                assert_eq!(refusal.reason, "BAD_QUERY");
                assert!(
                    refusal.message.contains(&format!("since API 1.{since}")),
                    "{refusal}"
                );
            }
        }
        // Without a version, what is spoken with the engine counts.
        for minor in 41..=56 {
            let offered = Offered::with(Some(ApiVersion::v1(minor)));
            let read = Line::parse(method, &target, offered);
            assert_eq!(read.is_ok(), minor >= since, "{minor} {target}");
        }
        assert!(Line::parse(method, &target, Offered::with(None)).is_err());
    }
    for (os, architecture) in [("linux", "riscv64"), ("windows", own), ("", "")] {
        assert_eq!(refused("GET", &platform(os, architecture)), "BAD_QUERY");
    }
}

#[test]
fn a_version_that_the_engine_does_not_speak_is_not_offered() {
    for newest in 41..=56 {
        let offered = Offered::with(Some(ApiVersion::v1(newest)));
        for minor in 24..=57 {
            let line = Line::parse("GET", &format!("/v1.{minor}/info"), offered);
            match line {
                Ok(line) => assert_eq!(line.version, Some(ApiVersion::v1(minor))),
                Err(refusal) => assert_eq!(refusal.reason, "BAD_VERSION"),
            }
            let line = Line::parse("GET", &format!("/v1.{minor}/info"), offered);
            assert_eq!(line.is_ok(), minor <= newest, "{newest} {minor}");
        }
        assert_eq!(Line::parse("GET", "/info", offered).unwrap().version, None);
    }
}

#[test]
fn what_newer_lists_and_logs_have_is_refused_by_name() {
    for target in [
        "/containers/json?filters=%7B%22annotation%22%3A%5B%22a%22%5D%7D",
        "/containers/web/logs?format=json&stdout=1",
        "/images/json?filters=%7B%22annotation%22%3A%5B%22a%22%5D%7D",
    ] {
        for version in every_version() {
            assert_eq!(refused("GET", &format!("{version}{target}")), "BAD_QUERY");
        }
    }
}
