//! docs/architecture.md sends readers to files: each of them exists.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not so")]

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

#[test]
fn a_path_is_distinguished_from_other_code() {
    let page = "`a/b.rs` and `POST /x/y`, `/run/x.sock`, `a/NAME/c`, `Word`\n```\n`c/d`\n```\n`c/`";
    assert_eq!(paths(page), ["a/b.rs", "c/"]);
}
