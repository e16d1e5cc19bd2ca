//! The firewall rules of docs/admin.md are what nft and iptables take.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not so")]

use std::io::Write;
use std::process::{Command, Stdio};

const GUIDE: &str = include_str!("../../docs/admin.md");

/// The one block of the chapter on the network in this language.
fn block(language: &str) -> &'static str {
    let chapter = GUIDE.split("## The network of the containers").nth(1);
    let rest = chapter.unwrap().split(&format!("```{language}\n")).nth(1);
    rest.unwrap().split("```").next().unwrap()
}

/// Feeds the text to a program in a network namespace of its own; what it said when it failed.
fn refused(program: &[&str], text: &str) -> Option<String> {
    let mut child = Command::new("unshare")
        .arg("--net")
        .args(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
#[ignore = "needs root and nft"]
fn the_nftables_rules_of_the_guide_load_and_load_again() {
    let rules = block("nft");
    assert!(rules.contains("169.254.0.0/16") && rules.contains("hook input"));
    let twice = format!("{rules}\n{rules}");
    assert_eq!(refused(&["nft", "-f", "-"], &twice), None);
    let broken = rules.replace("reject", "rejekt");
    assert!(refused(&["nft", "-f", "-"], &broken).is_some());
}

#[test]
#[ignore = "needs root and iptables"]
fn the_iptables_rules_of_the_guide_are_taken() {
    let rules = block("sh");
    assert!(rules.contains("DOCKER-USER") && rules.contains("169.254.0.0/16"));
    let script = format!("set -e\niptables -N DOCKER-USER\n{rules}");
    assert_eq!(refused(&["sh", "-s"], &script), None);
    let broken = script.replace("--ctstate NEW", "--ctstate NOW");
    assert!(refused(&["sh", "-s"], &broken).is_some());
}
