//! `aistack-helper doctor`: what it says of an engine, and how it ends.

use std::process::{Command, Output};

use serde_json::Value;

use super::recorded::{CURRENT, DEBIAN_12, Engine, REFUSED, Recorded};
use super::test_host::TestHost;

fn doctor(says: Option<Recorded>, options: &[&str]) -> Output {
    let host = TestHost::prepare();
    let socket = host.path("docker.sock");
    let _engine = says.map(|says| Engine::at(&socket, says));
    let output = Command::new(env!("CARGO_BIN_EXE_aistack-helper"))
        .arg("doctor")
        .arg("--docker-socket")
        .arg(&socket)
        .arg("--policy")
        .arg(host.path("policy.toml"))
        .args(options)
        .output();
    output.unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
#[ignore = "needs root"]
fn the_doctor_shows_each_fact_with_what_it_means() {
    for (says, name) in [
        (DEBIAN_12, "Docker Engine 20.10.24+dfsg1"),
        (CURRENT, "Docker Engine 29.99.0-aistack"),
    ] {
        let output = doctor(Some(says), &["--json"]);
        let answer = json(&output);
        assert_eq!(answer["engine"], name);
        let facts = answer["facts"].as_array().unwrap();
        assert!(facts.len() > 10, "{answer}");
        for fact in facts {
            for key in ["name", "value", "means"] {
                assert!(!fact[key].as_str().unwrap().is_empty(), "{fact}");
            }
        }
        let severities = answer["faults"].as_array().unwrap().iter();
        let refused = severities.filter(|finding| finding["severity"] == "refused");
        assert_eq!(refused.count(), 0, "{answer}");
        let output = doctor(Some(says), &[]);
        let text = String::from_utf8(output.stdout).unwrap();
        for words in [name, "firewall", "seccomp", "image store", "nri plugins"] {
            assert!(text.contains(words), "{text}");
        }
    }
}

#[test]
#[ignore = "needs root"]
fn the_doctor_fails_for_an_engine_that_is_refused_or_away() {
    for (says, words) in REFUSED {
        let output = doctor(Some(says), &["--json"]);
        assert_eq!(output.status.code(), Some(1), "{words}");
        let answer = json(&output);
        let finding = &answer["faults"][0];
        assert_eq!(
            (&answer["ok"], &finding["severity"]),
            (&false.into(), &"refused".into())
        );
        assert!(
            finding["found"].as_str().unwrap().contains(words),
            "{answer}"
        );
        let output = doctor(Some(says), &[]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(&format!("refused: {words}")), "{text}");
        assert!(text.contains("next: "), "{text}");
    }
    let output = doctor(None, &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let error = json(&output)["errors"][0].as_str().unwrap().to_owned();
    assert!(error.contains("cannot reach Docker"), "{error}");
}
