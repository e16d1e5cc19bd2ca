//! What holds for every source, accepted or not.

use super::random::{Pool, Random, mutate};
use super::sources::{self, names};
use aistack_policy::apparmor::{Abi, Kind, MAX_RULES, Vetted, vet};
use proptest::prelude::*;

/// Looks at a verdict; true when the source was accepted.
fn exercise(source: &[u8], kind: Kind) -> bool {
    match vet(source, kind, &names()) {
        Err(refusal) => {
            let lines = source.split(|byte| *byte == b'\n').count();
            assert!((1..=lines).contains(&(refusal.line as usize)), "{refusal}");
            false
        }
        Ok(vetted) => {
            look_at(source, kind, &vetted);
            true
        }
    }
}

fn look_at(source: &[u8], kind: Kind, vetted: &Vetted) {
    let canonical = vetted.source();
    // The one byte is the blank before the brace.
    assert!(canonical.len() <= source.len() + 1, "{canonical}");
    assert_eq!(
        vet(canonical.as_bytes(), kind, &names()).as_ref(),
        Ok(vetted)
    );
    for abi in [Abi::V3, Abi::V4] {
        let text = vetted.render(abi);
        let part = tenant_part(&text);
        part.lines().skip(1).for_each(check_line);
        // Includes and families stand for several rules, which may be too many for a source.
        if part.lines().count() <= MAX_RULES {
            let again = vet(part.as_bytes(), kind, &names()).unwrap();
            assert_eq!(again.render(abi), text);
        }
    }
}

/// The rendered profile without what the tenant did not write.
fn tenant_part(text: &str) -> String {
    let (before, rest) = text.split_once("  # mandatory baseline\n").unwrap();
    assert_eq!(rest.matches("# mandatory baseline").count(), 0);
    let (_, part) = before.split_once("\n\n").unwrap();
    format!("{part}}}\n")
}

/// One rendered rule or the closing brace, by its words alone.
fn check_line(line: &str) {
    let Some(rule) = line.trim_start().strip_suffix(',') else {
        assert_eq!(line, "}");
        return;
    };
    let words: Vec<&str> = rule.split(' ').collect();
    let (deny, words) = match words.split_first() {
        Some((&"deny", rest)) => (true, rest.to_vec()),
        _ => (false, words),
    };
    let words = match words.split_first() {
        Some((&"owner", rest)) => rest.to_vec(),
        _ => words,
    };
    match words.as_slice() {
        ["file"] => assert!(!deny),
        ["capability", name] => assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')),
        ["network", "inet" | "inet6", "stream" | "dgram"]
        | ["network", "netlink", "raw" | "dgram"]
        | ["network", "unix"]
        | ["network", "unix", "stream" | "dgram" | "seqpacket"] => {}
        [path, perms] => {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_./+:=~-*?[]^{},".contains(&b);
            assert!(path.starts_with('/') && path.bytes().all(allowed), "{line}");
            let rest = if deny {
                perms.replace('x', "")
            } else {
                perms.replace("ix", "")
            };
            assert!(rest.bytes().all(|b| b"rwaklm".contains(&b)), "{line}");
        }
        _ => unreachable!("{line}"),
    }
}

/// Words that sources are made of, in any order.
fn soup() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "profile ",
        "ai-platform-1001",
        " {\n",
        "}\n",
        "\n",
        "  ",
        "\t",
        "file",
        ",",
        ",\n",
        "/",
        "/a",
        "**",
        "*",
        "?",
        "[^/]",
        "{a,b}",
        " r",
        " rw",
        " ix",
        "deny ",
        "owner ",
        "capability ",
        "chown",
        "network ",
        "inet ",
        "stream",
        "#",
        " # ",
        "#include ",
        "<tunables/global>",
        "abi ",
        "<abi/4.0>",
        "<abstractions/base>",
        "flags=(",
        ")",
        "attach_disconnected",
        "..",
        "é",
        "\r",
        "\0",
    ]);
    prop::collection::vec(word, 0..60).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes_get_an_answer(source in prop::collection::vec(any::<u8>(), 0..400)) {
        exercise(&source, Kind::Platform);
    }

    #[test]
    fn any_words_get_an_answer(source in soup()) {
        exercise(source.as_bytes(), Kind::Platform);
        let source = format!("profile ai-platform-openclaw-2001 {{\n{source}\n}}\n");
        exercise(source.as_bytes(), Kind::Openclaw);
    }

    #[test]
    fn the_grammar_is_accepted(source in sources::accepted(Kind::Platform)) {
        let verdict = vet(source.as_bytes(), Kind::Platform, &names());
        prop_assert!(verdict.is_ok(), "{}\n{source}", verdict.unwrap_err());
        exercise(source.as_bytes(), Kind::Platform);
    }

    #[test]
    fn the_grammar_is_accepted_for_openclaw(source in sources::accepted(Kind::Openclaw)) {
        let verdict = vet(source.as_bytes(), Kind::Openclaw, &names());
        prop_assert!(verdict.is_ok(), "{}\n{source}", verdict.unwrap_err());
        exercise(source.as_bytes(), Kind::Openclaw);
    }
}

#[test]
fn the_corpus_keeps_what_rendering_promises() {
    let accepted = sources::benign()
        .iter()
        .filter(|entry| exercise(&entry.source, entry.kind))
        .count();
    assert_eq!(accepted, sources::benign().len());
}

#[test]
fn mutations_keep_what_rendering_promises() {
    let pool = Pool::new();
    let mut random = Random::new(1);
    let mut accepted = 0;
    for _ in 0..10_000 {
        let source = mutate(&mut random, &pool);
        accepted += usize::from(exercise(&source, Kind::Platform));
        accepted += usize::from(exercise(&source, Kind::Openclaw));
    }
    assert!(accepted > 500, "only {accepted} were accepted");
}
