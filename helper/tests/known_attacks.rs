//! docs/known-attacks.md promises tests: each name in it is one.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not so")]

use std::fs;
use std::path::Path;

const TABLES: &str = include_str!("../../docs/known-attacks.md");
const HOSTILE: &str = include_str!("corpus/hostile-create.tsv");
const PROBES: &str = include_str!("../../tests/demo/probes");

/// All Rust source below `directory`, in one text.
fn sources(directory: &Path, all: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|end| end == "rs") {
            all.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

fn is_there(name: &str, code: &str) -> bool {
    if let Some(function) = name.strip_prefix('`') {
        return if function.ends_with('-') {
            HOSTILE.lines().any(|line| line.starts_with(function))
        } else {
            code.contains(&format!("fn {function}("))
        };
    }
    let probe = name.trim_start_matches('"');
    let starts = ["probe", "absent"].map(|kind| format!("{kind} \"{probe}\" "));
    let mut lines = PROBES.lines().map(str::trim_start);
    lines.any(|line| starts.iter().any(|start| line.starts_with(start)))
}

#[test]
fn every_test_that_is_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut code = String::new();
    for directory in [
        "helper/src",
        "helper/tests",
        "policy/src",
        "policy/tests",
        "client/src",
    ] {
        sources(&root.join(directory), &mut code);
    }
    let rows = TABLES.lines().filter(|line| line.starts_with("| "));
    let mut named = 0;
    for row in rows {
        let last = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        if last == "test" {
            continue;
        }
        for name in last.split(", ") {
            let name = name.trim_end_matches(['`', '"']);
            assert!(is_there(name, &code), "there is no test {name}: {row}");
            named += 1;
        }
    }
    assert!(named > 100, "only {named} names were read");
}
