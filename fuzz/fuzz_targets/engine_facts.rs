//! Whatever an engine says of itself is refused as no engine's answer, or read, judged and explained. The
//! answers are two lines: that to `/version` and that to `/info`.
#![no_main]

use aistack_policy::engine::{EngineFacts, Severity, judge, refusal};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|text: &str| {
    let (version, info) = text.split_once('\n').unwrap_or((text, text));
    let read = |text| serde_json::from_str::<Value>(text).unwrap_or_default();
    let (version, info) = (read(version), read(info));
    let Ok(facts) = EngineFacts::read(&version, &info) else {
        return;
    };
    let name = facts.name();
    assert!(name.starts_with("Docker Engine") || name.starts_with("Podman"), "{name}");
    let findings = judge(&facts);
    let refused = findings.iter().any(|finding| finding.severity == Severity::Unsupported);
    assert_eq!(refusal(&facts).is_some(), refused);
    for finding in &findings {
        assert!(!finding.sentence().is_empty() && !finding.next.is_empty());
    }
    assert!(!facts.explained().is_empty());
    // What the gateway shows of it is no worse an answer.
    assert!(EngineFacts::read_shown(&version, &info).is_ok());
});
