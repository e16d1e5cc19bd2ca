//! Answers that were recorded from dockerd 20.10 with the options in their names. Those named `made`
//! were written after moby's source: 29.0 has `MinAPIVersion` 1.44, and a rootless daemon without
//! delegated control groups says so in `SecurityOptions` and `CgroupDriver`.

use super::*;

const PLAIN: &str = include_str!("../../../tests/corpus/docker/20.10-info.json");
const VERSION: &str = include_str!("../../../tests/corpus/docker/20.10-version.json");
const USERNS: &str = include_str!("../../../tests/corpus/docker/20.10-userns-remap-info.json");
const LIVE_RESTORE: &str =
    include_str!("../../../tests/corpus/docker/20.10-no-new-privileges-live-restore-info.json");
const ROOTLESS: &str =
    include_str!("../../../tests/corpus/docker/made-rootless-without-cgroups-info.json");
const VERSION_29: &str = include_str!("../../../tests/corpus/docker/made-29.0-version.json");

fn faults(version: &str, info: &str) -> Vec<(Severity, String)> {
    let read = |text: &str| serde_json::from_str(text).unwrap();
    let facts = facts(&read(version), &read(info)).unwrap();
    let faults = judge(&facts).into_iter();
    faults.map(|fault| (fault.severity, fault.found)).collect()
}

#[test]
fn recorded_answers_are_judged_by_what_does_not_work() {
    for (version, info, expected) in [
        (VERSION, PLAIN, &[][..]),
        (VERSION, USERNS, &[(Severity::Broken, "userns-remap")]),
        // no-new-privileges as the default is what aistack asks for anyway.
        (
            VERSION,
            LIVE_RESTORE,
            &[(Severity::Limited, "live-restore")],
        ),
        (
            VERSION,
            ROOTLESS,
            &[
                (Severity::Broken, "rootless"),
                (Severity::Broken, "any limit"),
            ],
        ),
        // Its oldest is 1.44.
        (VERSION_29, PLAIN, &[]),
    ] {
        let found = faults(version, info);
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for ((severity, text), (expected, words)) in found.iter().zip(expected) {
            assert!(severity == expected && text.contains(words), "{found:?}");
        }
    }
}

#[test]
fn what_is_no_engines_answer_is_not_judged() {
    for text in [
        "[]",
        "{}",
        "null",
        "{\"ApiVersion\": 1.41}",
        "{\"ApiVersion\": \"x\"}",
    ] {
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(facts(&value, &value), None, "{text}");
    }
}
