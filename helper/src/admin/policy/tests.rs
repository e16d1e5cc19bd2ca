use std::io::Write;

use clap::Parser;
use serde_json::Value;
use tempfile::NamedTempFile;

use super::*;

const GOOD: &str = include_str!("../../../../packaging/policy.example.toml");

/// The command as the binary embeds it.
#[derive(Debug, Parser)]
struct Command {
    #[command(subcommand)]
    policy: PolicyCommand,
}

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// Exit status and output, with the file's name cut down to `P`.
fn outcome(text: &str, arguments: &[&str]) -> (u8, String) {
    let file = file(text);
    let path = file.path().to_str().unwrap();
    let arguments = arguments.iter().map(|a| if *a == "P" { path } else { *a });
    let command = Command::try_parse_from(std::iter::once("policy").chain(arguments)).unwrap();
    let mut out = Vec::new();
    let status = run(&command.policy, &mut out).unwrap();
    (status, String::from_utf8(out).unwrap().replace(path, "P"))
}

#[test]
fn check_accepts_the_example() {
    let (status, out) = outcome(GOOD, &["check", "P"]);
    assert_eq!(
        (status, out.as_str()),
        (
            0,
            "P: accepted, 251 tenants (1001-1250, 3000), 0 warnings\n"
        )
    );
}

#[test]
fn check_shows_every_error_and_fails() {
    let text = "version = 2\n[tenants]\nuids = [\"10\"]\nnonsense = 1\n";
    let (status, out) = outcome(text, &["check", "P"]);
    let starts: Vec<&str> = out.lines().map(|l| l.split(": ").next().unwrap()).collect();
    assert_eq!((status, starts), (1, vec!["P:1:11", "P:3:9", "P:4:1", "P"]));
    assert!(out.ends_with("P: refused, 3 errors\n"), "{out}");
    let (status, out) = outcome(text, &["check", "P", "--json"]);
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((status, &answer["accepted"]), (1, &json!(false)));
    assert_eq!(answer["errors"].as_array().unwrap().len(), 3);
    assert_eq!(answer["errors"][1]["column"], 9);
}

#[test]
fn check_shows_warnings_and_succeeds() {
    let text = "version = 1\n[tenants]\nuids = [\"1001\"]\nimages = [\"docker.io/*\"]\n";
    let (status, out) = outcome(text, &["check", "P"]);
    assert_eq!(status, 0);
    let warning = "P:4: warning: tenants.images: docker.io/* allows every image of the registry\n";
    assert!(out.starts_with(warning), "{out}");
    let (_, out) = outcome(text, &["check", "P", "--json"]);
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(answer["warnings"][0]["line"], 4);
    assert_eq!(answer["tenants"], json!(["1001"]));
}

#[test]
fn check_tells_what_cannot_be_read() {
    let mut out = Vec::new();
    let command = PolicyCommand::Check(CheckArgs {
        file: "/nonexistent/policy.toml".into(),
        json: false,
    });
    assert_eq!(run(&command, &mut out).unwrap(), 1);
    let out = String::from_utf8(out).unwrap();
    assert!(
        out.starts_with("/nonexistent/policy.toml: cannot be read: No such"),
        "{out}"
    );

    let endless = PolicyCommand::Check(CheckArgs {
        file: "/dev/zero".into(),
        json: true,
    });
    let mut out = Vec::new();
    assert_eq!(run(&endless, &mut out).unwrap(), 1);
    let answer: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(answer["unreadable"], "larger than 1048576 bytes");
}

#[test]
fn explain_shows_each_part_with_its_rule() {
    let (status, out) = outcome(GOOD, &["explain", "--uid", "1001", "--policy", "P"]);
    assert_eq!(status, 0);
    insta::assert_snapshot!(out);
}

#[test]
fn explain_answers_programs() {
    let arguments = ["explain", "--uid", "1002", "--policy", "P", "--json"];
    let (status, out) = outcome(GOOD, &arguments);
    assert_eq!(status, 0);
    let answer: Value = serde_json::from_str(&out).unwrap();
    insta::assert_json_snapshot!(answer);
}

#[test]
fn explain_knows_who_is_no_tenant() {
    let (status, out) = outcome(GOOD, &["explain", "--uid", "999", "--policy", "P"]);
    assert_eq!(
        (status, out.as_str()),
        (1, "UID 999 is not a tenant: P names 1001-1250, 3000\n")
    );
    let (status, out) = outcome(
        GOOD,
        &["explain", "--uid", "999", "--policy", "P", "--json"],
    );
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((status, &answer["tenant"]), (1, &json!(false)));
    let (_, out) = outcome(
        "version = 1",
        &["explain", "--uid", "1001", "--policy", "P"],
    );
    assert_eq!(out, "UID 1001 is not a tenant: P names nobody\n");
}

#[test]
fn explain_of_an_invalid_file_shows_the_errors() {
    let (status, out) = outcome("version = ", &["explain", "--uid", "1001", "--policy", "P"]);
    assert_eq!(status, 1);
    assert!(out.starts_with("P:1:1"), "{out}");
    assert!(out.contains(": syntax: "), "{out}");
}
