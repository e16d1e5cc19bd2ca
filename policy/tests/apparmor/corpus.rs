//! Every source of the corpus gets the verdict that its index names.

use std::collections::BTreeSet;

use super::sources::{self, names};
use aistack_policy::apparmor::{Abi, Code, vet};

#[test]
fn hostile_sources_are_refused_for_the_right_reason() {
    let mut wrong = Vec::new();
    for entry in sources::hostile() {
        let expected = entry.expected.join(" ");
        let verdict = match vet(&entry.source, entry.kind, &names()) {
            Ok(_) => "accepted".to_owned(),
            Err(refusal) => format!("{} {}", refusal.code, refusal.line),
        };
        if verdict != expected {
            wrong.push(format!("{}: {verdict}, not {expected}", entry.file));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn benign_sources_are_accepted() {
    let mut wrong = Vec::new();
    for entry in sources::benign() {
        if let Err(refusal) = vet(&entry.source, entry.kind, &names()) {
            wrong.push(format!("{}: {refusal}", entry.file));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_code_is_met_and_has_its_own_word() {
    let met: BTreeSet<String> = sources::hostile()
        .into_iter()
        .map(|entry| entry.expected[0].clone())
        .collect();
    let all: BTreeSet<String> = Code::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(met, all);
    assert_eq!(all.len(), Code::ALL.len());
}

/// Nothing of a hostile source is repeated, whatever it is.
#[test]
fn a_refusal_holds_nothing_of_the_source() {
    let sentences: BTreeSet<&str> = sources::hostile()
        .iter()
        .map(|entry| {
            vet(&entry.source, entry.kind, &names())
                .unwrap_err()
                .sentence
        })
        .collect();
    for sentence in sentences {
        assert!(
            sentence.is_ascii() && !sentence.contains('\n'),
            "{sentence}"
        );
        assert!(
            !sentence.ends_with('.') && !sentence.contains("1001"),
            "{sentence}"
        );
    }
}

#[test]
fn comments_and_dropped_lines_are_in_no_profile() {
    for entry in sources::benign() {
        let text = vet(&entry.source, entry.kind, &names())
            .unwrap()
            .render(Abi::V4);
        let hashes: Vec<&str> = text.lines().filter(|line| line.contains('#')).collect();
        assert_eq!(hashes.len(), 2, "{}: {hashes:?}", entry.file);
        for word in ["include", "tunables", "@{", "$", "\"", "\\"] {
            assert!(!text.contains(word), "{}: {word}", entry.file);
        }
    }
}
