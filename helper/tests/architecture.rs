//! docs/architecture.md sends readers to files: each of them exists, and whoever asks finds the right one.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not so")]

use std::fs;
use std::path::Path;

const PAGE: &str = include_str!("../../docs/architecture.md");

/// The words in backticks outside of fenced text.
fn code(page: &str) -> impl Iterator<Item = &str> {
    let prose = page.split("```").step_by(2);
    prose.flat_map(|part| part.split('`').skip(1).step_by(2))
}

/// Paths of this tree, but for those with a place for a name.
fn paths(page: &str) -> Vec<&str> {
    let is_path = |word: &&str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
        word.contains('/') && !word.starts_with('/') && word.bytes().all(plain)
    };
    code(page)
        .filter(is_path)
        .filter(|path| !path.contains("NAME"))
        .collect()
}

#[test]
fn every_path_of_the_architecture_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let paths = paths(PAGE);
    let missing: Vec<_> = paths
        .iter()
        .filter(|path| !root.join(path).exists())
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(paths.len() > 80, "only {} paths were read", paths.len());
}

/// Words of a question, the file that answers it, and what that file has for an answer.
const QUESTIONS: [(&[&str], &str, &str); 14] = [
    (&["UID", "tenant"], "policy/src/policy.rs", "fn grant"),
    (
        &["bind source"],
        "helper/src/engine/vet/create/mounts.rs",
        "BIND_SOURCE_REFUSED",
    ),
    (
        &["user", "container"],
        "helper/src/engine/vet/create/user.rs",
        "USER_REFUSED",
    ),
    (
        &["ports", "published"],
        "helper/src/engine/vet/create/ports.rs",
        "HOST_PORT_REFUSED",
    ),
    (
        &["image", "pulled"],
        "helper/src/engine/pulled.rs",
        "struct Pulled",
    ),
    (
        &["memory", "CPU"],
        "helper/src/engine/vet/create/limits.rs",
        "LIMITS_REFUSED",
    ),
    (&["Docker Engine"], "policy/src/engine/mod.rs", "fn judge"),
    (
        &["disk", "formatted"],
        "helper/src/mount/decide.rs",
        "is never formatted",
    ),
    (&["AppArmor source"], "policy/src/apparmor/mod.rs", "pub fn"),
    (&["packets"], "policy/src/guard/mod.rs", "render"),
    (
        &["writes the Caddyfile"],
        "client/src/stack/configs.rs",
        "write",
    ),
    (
        &["container recreated"],
        "client/src/plan/diff.rs",
        "fn action",
    ),
    (&["exit code"], "client/src/exit.rs", "enum Exit"),
    (
        &["intent", "audit log"],
        "helper/src/front/perform.rs",
        "audit.intent",
    ),
];

#[test]
fn a_reader_finds_the_file_that_answers_a_question() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for (words, file, answer) in QUESTIONS {
        let names = |line: &&str| line.contains(&format!("`{file}`"));
        let mut lines = PAGE.lines().filter(names);
        let found = lines.any(|line| words.iter().all(|word| line.contains(word)));
        assert!(found, "no line with {words:?} names {file}");
        let text = fs::read_to_string(root.join(file)).unwrap();
        assert!(text.contains(answer), "{file} has no {answer:?}");
    }
}

#[test]
fn a_path_is_distinguished_from_other_code() {
    let page = "`a/b.rs` and `POST /x/y`, `/run/x.sock`, `a/NAME/c`, `Word`\n```\n`c/d`\n```\n`c/`";
    assert_eq!(paths(page), ["a/b.rs", "c/"]);
}
