//! The command as a script sees it: exit codes, streams, help texts. Needs no daemon.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, in its helper functions too"
)]

use std::fmt::Write as _;
use std::io::Read;
use std::process::{Command, Output, Stdio};

fn aistack(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aistack"));
    command
        .args(arguments)
        .env_clear()
        .env("AISTACK_HELPER_SOCKET", "/nonexistent/helper.sock")
        .env("AISTACK_ENGINE_SOCKET", "/nonexistent/engine.sock")
        .stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    aistack(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn without_a_helper_every_verb_says_so_with_its_code() {
    for verb in [
        "init", "whoami", "plan", "deploy", "status", "restart", "validate", "destroy",
    ] {
        let output = run(&[verb]);
        assert_eq!(output.status.code(), Some(9), "{verb}");
        assert!(output.stdout.is_empty(), "{verb}: data on a failure");
        let said = text(&output.stderr);
        assert!(said.contains("/nonexistent/helper.sock"), "{verb}: {said}");
        assert!(said.contains("next: "), "{verb}: {said}");
    }
    assert_eq!(run(&["logs"]).status.code(), Some(9));
}

#[test]
fn a_failure_is_one_document_with_a_schema() {
    let output = run(&["status", "--json"]);
    assert_eq!(output.status.code(), Some(9));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["schema"], 1);
    assert_eq!(document["error"]["exit"], 9);
}

#[test]
fn wrong_usage_is_two() {
    for arguments in [
        &["nosuch"][..],
        &["deploy", "--nosuch"],
        &["init", "--set", "lower=1"],
        &["--timeout", "soon", "deploy"],
    ] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
    let down = text(&run(&["down"]).stderr);
    assert!(down.contains("aistack destroy"), "{down}");
}

#[test]
fn alone_it_tells_the_state_and_the_next_command() {
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(0));
    let said = text(&output.stdout);
    assert!(said.contains("does not answer"), "{said}");
    assert!(said.contains("aistack deploy"), "{said}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = aistack(&["completion", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The script is larger than a pipe, so the writer meets the closed end.
    drop(child.stdout.take());
    let mut said = String::new();
    let stderr = child.stderr.as_mut().unwrap();
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(said, "");
}

#[test]
fn colour_is_off_in_a_pipe_and_on_when_asked_for() {
    let escape = "\u{1b}[";
    assert!(!text(&run(&["help", "exit-codes"]).stdout).contains(escape));
    let forced = run(&["help", "exit-codes", "--color", "always"]);
    assert!(text(&forced.stdout).contains(escape));
    let mut quiet = aistack(&["help", "exit-codes"]);
    let quiet = quiet.env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1");
    assert!(!text(&quiet.output().unwrap().stdout).contains(escape));
}

#[test]
fn versions_are_told_also_when_the_helper_is_away() {
    let output = run(&["version"]);
    assert_eq!(output.status.code(), Some(0));
    let version = env!("CARGO_PKG_VERSION");
    assert!(text(&output.stdout).starts_with(&format!("aistack {version}\n")));
}

#[test]
fn help_texts() {
    let mut manual = String::new();
    for topic in [
        "exit-codes",
        "init",
        "whoami",
        "plan",
        "deploy",
        "status",
        "logs",
        "restart",
        "validate",
        "destroy",
        "completion",
        "man",
        "version",
    ] {
        let output = run(&["help", topic]);
        assert_eq!(output.status.code(), Some(0), "{topic}");
        let help = text(&output.stdout);
        let own = help
            .split("Flags of all commands:")
            .next()
            .unwrap_or_default();
        writeln!(manual, "=== aistack help {topic}\n{}\n", own.trim_end()).unwrap();
    }
    let all = text(&run(&["help"]).stdout);
    write!(manual, "=== aistack help\n{all}").unwrap();
    insta::assert_snapshot!(manual);
}
