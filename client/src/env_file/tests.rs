use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{EnvFile, Settings, Source};

fn file(text: &str) -> EnvFile {
    EnvFile::parse(text).unwrap()
}

fn resolve(text: &str) -> Result<BTreeMap<String, String>, Vec<String>> {
    resolve_under(text, &[])
}

fn resolve_under(
    text: &str,
    environment: &[(&str, &str)],
) -> Result<BTreeMap<String, String>, Vec<String>> {
    let environment = environment
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    Settings::resolve(&file(text), &environment, |key| key != "FOREIGN")
        .map(|settings| {
            settings
                .iter()
                .map(|(key, setting)| (key.to_owned(), setting.value.clone()))
                .collect()
        })
        .map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

#[test]
fn the_three_notations() {
    for (text, expected) in [
        ("A=", ""),
        ("A=plain", "plain"),
        ("  A = spaced out  ", "spaced out"),
        ("A=a#b", "a#b"),
        ("A=a b # comment", "a b"),
        ("A=# only a comment", ""),
        ("A=$HOME and $", "$HOME and $"),
        (
            "A='${B} \"literal\" \\n #'  # comment",
            "${B} \"literal\" \\n #",
        ),
        (
            r#"A="two\nlines \"quoted\" \\ \${B} # no comment" # comment"#,
            "two\nlines \"quoted\" \\ ${B} # no comment",
        ),
        ("A=windows\r", "windows"),
        ("A='windows'\r", "windows"),
    ] {
        assert_eq!(resolve(text).unwrap()["A"], expected, "{text}");
    }
}

#[test]
fn references_in_all_forms() {
    for (value, expected) in [
        ("${SET}", "set"),
        ("<${SET}-${SET}>", "<set-set>"),
        ("\"${SET} in quotes\"", "set in quotes"),
        ("${EMPTY}", ""),
        ("${EMPTY:-default}", "default"),
        ("${EMPTY-default}", ""),
        ("${NOT:-default}", "default"),
        ("${NOT-default}", "default"),
        ("${NOT:-}", ""),
        ("${NOT:-${SET}/${NOT-deep}}", "set/deep"),
        ("\"${NOT:-a \\\"b\\\"}\"", "a \"b\""),
        ("${SET:?needed}", "set"),
        ("${SET:+other}", "other"),
        ("${EMPTY:+other}", ""),
        ("${EMPTY+other}", "other"),
        ("${NOT:+other}", ""),
        ("${LATER}", "from below"),
    ] {
        let text = format!("SET=set\nEMPTY=\nA={value}\nLATER=from below\n");
        assert_eq!(resolve(&text).unwrap()["A"], expected, "{value}");
    }
}

#[test]
fn errors_name_line_and_column_and_never_the_value() {
    for (text, expected) in [
        ("A=1\nB", ".env:2:1: expected KEY=VALUE or a # comment"),
        (
            "export A=1",
            ".env:1:1: a line is KEY=VALUE without `export`",
        ),
        (
            "  1A=s3cret",
            ".env:1:3: a key is made of letters, digits and _, and starts with no digit",
        ),
        ("A='s3cret", ".env:1:3: the single quote is never closed"),
        ("A=\"s3cret", ".env:1:3: the double quote is never closed"),
        (
            "A=\"s3cret\" s3cret",
            ".env:1:11: unexpected text after the closing quote",
        ),
        (
            "A=\"s3cret\\t\"",
            ".env:1:10: in double quotes a backslash may only precede \\, \", $ or n",
        ),
        ("A=é${B", ".env:1:4: `${B` is never closed by a brace"),
        (
            "A=${}",
            ".env:1:3: `${` is not followed by the name of a key",
        ),
        (
            "A=${B:}",
            ".env:1:3: a reference is ${KEY}, ${KEY:-default}, ${KEY:?message} or ${KEY:+alternative}",
        ),
        (
            "A=${B!}",
            ".env:1:3: a reference is ${KEY}, ${KEY:-default}, ${KEY:?message} or ${KEY:+alternative}",
        ),
        (
            "A=1\n\nA=2",
            ".env:3:1: A is set here and in line 1; keep one of them",
        ),
    ] {
        let errors = EnvFile::parse(text).unwrap_err();
        let said: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(said, [expected], "{text}");
        assert!(!said.concat().contains("s3cret"));
    }
}

#[test]
fn unresolved_references_are_errors() {
    let text = "A=x${NOT}\nB=${C}\nC=${B}\nD=${NOT:?run init first}\nE=s3cret\n";
    assert_eq!(
        resolve(text).unwrap_err(),
        [
            ".env:1:4: NOT is not set; set it, or write ${NOT:-default}",
            ".env:3:3: B refers to itself: B -> C -> B",
            ".env:4:3: NOT is not set: run init first",
        ]
    );
}

#[test]
fn every_error_is_reported_at_once() {
    assert_eq!(EnvFile::parse("?\nA=1\nA=2\nB='\n").unwrap_err().len(), 3);
}

#[test]
fn bombs_are_refused() {
    use std::fmt::Write as _;

    let mut doubling = String::from("A0=0123456789\n");
    let mut chain = String::from("A0=x\n");
    for n in 1..200 {
        writeln!(doubling, "A{n}=${{A{0}}}${{A{0}}}", n - 1).unwrap();
    }
    for n in (1..2000).rev() {
        writeln!(chain, "A{n}=${{A{}}}", n - 1).unwrap();
    }
    assert!(resolve(&doubling).unwrap_err()[0].contains("too long"));
    assert!(resolve(&chain).unwrap_err()[0].contains("too long"));
    let nested = format!("A={}{}", "${B:-".repeat(100), "}".repeat(100));
    assert!(
        EnvFile::parse(&nested).unwrap_err()[0]
            .message
            .contains("nested")
    );
}

#[test]
fn the_environment_wins_for_the_stacks_own_keys() {
    let environment = [("PORT", "2"), ("FOREIGN", "evil"), ("NEW", "$x${y}")];
    let text = "PORT=1\nFOREIGN=mine\nURL=http://h:${PORT}\n";
    let values = resolve_under(text, &environment).unwrap();
    assert_eq!(values["PORT"], "2");
    assert_eq!(values["URL"], "http://h:2");
    assert_eq!(values["FOREIGN"], "mine");
    assert_eq!(values["NEW"], "$x${y}");

    let environment = BTreeMap::from([("PORT".to_owned(), "2".to_owned())]);
    let settings = Settings::resolve(&file("A=x\nPORT=1"), &environment, |_| true).unwrap();
    let sources: Vec<_> = settings.iter().map(|(key, s)| (key, s.source)).collect();
    assert_eq!(
        sources,
        [
            ("A", Source::File { line: 1 }),
            ("PORT", Source::Environment)
        ]
    );
    assert!(!format!("{settings:?}").contains('2'));
}

#[test]
fn an_override_breaks_a_circle() {
    let values = resolve_under("A=${B}\nB=${A}\n", &[("A", "1")]).unwrap();
    assert_eq!(values["B"], "1");
}

#[test]
fn setting_keeps_everything_else() {
    let before = "# mine\nA=1 # why\n\nUNKNOWN='x y'\nB=\"2\"\r\n";
    let mut changed = file(before);
    assert!(changed.set("A", "it's", None));
    assert!(changed.set("B", "2", None));
    assert!(changed.set("C", "3", Some("New.\nTwo lines.")));
    assert!(!changed.set("no key", "x", None));
    assert!(!changed.set("", "x", None));
    assert_eq!(
        changed.render(),
        "# mine\nA=\"it's\" # why\n\nUNKNOWN='x y'\nB=\"2\"\r\n\n# New.\n# Two lines.\nC=3\n"
    );
    assert!(!format!("{changed:?}").contains("it's"));
}

#[test]
fn a_comment_directly_behind_a_value_stays_a_comment() {
    for before in ["A=# why", "A= # why", "A='x'# why", "A=\"x\"# why"] {
        let mut changed = file(before);
        assert!(changed.set("A", "new", None));
        let text = changed.render();
        assert_eq!(file(&text).get("A"), Some("new"), "{text}");
        assert!(text.ends_with(" # why\n"), "{text}");
    }
}

#[test]
fn an_empty_file_stays_empty() {
    assert_eq!(file("").render(), "");
    assert_eq!(file("\n").render(), "\n");
    assert_eq!(file("A=1").render(), "A=1\n");
}

/// What the fuzzer starts from holds without the fuzzer, too.
#[test]
fn the_seeds_of_the_fuzzer_hold() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/seeds/env_file");
    let mut seeds = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        check_round_trip(&text).unwrap();
        seeds += 1;
    }
    assert!(seeds >= 3);
}

proptest! {
    #[test]
    fn parsing_never_panics_and_rendering_keeps_the_text(text in "(?s).{0,200}") {
        check_round_trip(&text)?;
    }

    #[test]
    fn parsing_never_panics_near_the_grammar(
        text in "([AB_ =#'\"${}:?+\\\\\n\r-]|\\$\\{|A=){0,60}"
    ) {
        check_round_trip(&text)?;
    }

    #[test]
    fn what_is_set_is_what_is_read(
        values in proptest::collection::btree_map("[A-Z_]{1,8}", "(?s).{0,40}", 0..8)
    ) {
        let mut built = file("# head\n");
        for (key, value) in &values {
            prop_assert!(built.set(key, value, None));
        }
        let read = file(&built.render());
        prop_assert!(read == built);
        for (key, value) in &values {
            prop_assert_eq!(read.get(key), Some(value.as_str()));
        }
        let settings = Settings::resolve(&read, &BTreeMap::new(), |_| true).unwrap();
        for (key, value) in &values {
            prop_assert_eq!(settings.get(key), Some(value.as_str()));
        }
    }
}

fn check_round_trip(text: &str) -> Result<(), TestCaseError> {
    if let Ok(parsed) = EnvFile::parse(text) {
        // The mark in front is not part of the text.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let rendered = parsed.render();
        let ended = if text.is_empty() || text.ends_with('\n') {
            text.to_owned()
        } else {
            format!("{text}\n")
        };
        prop_assert_eq!(&rendered, &ended);
        prop_assert!(EnvFile::parse(&rendered).unwrap() == parsed);
        drop(Settings::resolve(&parsed, &BTreeMap::new(), |_| true));
        let keys: Vec<String> = parsed.keys().map(str::to_owned).collect();
        for key in &keys {
            let mut changed = parsed.clone();
            prop_assert!(changed.set(key, "new", None));
            let read = EnvFile::parse(&changed.render()).unwrap();
            prop_assert_eq!(read.get(key), Some("new"));
        }
    }
    Ok(())
}

#[test]
fn a_byte_order_mark_is_skipped() {
    let marked = EnvFile::parse_bytes(b"\xef\xbb\xbfA=1\n").unwrap();
    assert_eq!(marked.get("A"), Some("1"));
    assert_eq!(marked.render(), "A=1\n");
    assert_eq!(EnvFile::parse_bytes(b"\xef\xbb\xbf").unwrap().render(), "");
}

#[test]
fn bytes_that_are_no_utf_8_are_reported_with_their_line() {
    let errors = EnvFile::parse_bytes(b"A=1\n# \xc3\xa4\nB=\xc3\xa4\xe4\n").unwrap_err();
    let messages: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        messages,
        [".env:3:4: bytes that are not UTF-8; save the file as UTF-8"]
    );
}

#[test]
fn dollars_without_a_brace_stay_as_they_are() {
    for (text, expected) in [
        ("A=a$$b", "a$$b"),
        ("A=$NAME", "$NAME"),
        ("A=\"$NAME $$ $1\"", "$NAME $$ $1"),
        ("A='$NAME $$'", "$NAME $$"),
        ("N=x\nA=$${N}", "$x"),
    ] {
        assert_eq!(resolve(text).unwrap()["A"], expected, "{text}");
    }
}

#[test]
fn only_keys_that_nobody_knows_or_refers_to_are_unknown() {
    let file = file("N8N_PROT=1\nMINE=x\nHERS=y\nN8N_PORT=${NONE:-${HERS}}\nA=${MINE}\n");
    let known = |key: &str| key == "N8N_PORT" || key == "A";
    assert_eq!(file.unknown(known).collect::<Vec<_>>(), ["N8N_PROT"]);
}

#[test]
fn keys_that_the_environment_overrides_are_those_with_another_value() {
    let file = file("A=1\nB=2\nC=${A}\n");
    let environment = [("A", "1"), ("B", "3"), ("D", "4"), ("FOREIGN", "5")];
    let environment = environment
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let settings = Settings::resolve(&file, &environment, |key| key != "FOREIGN").unwrap();
    assert_eq!(settings.overridden(&file), ["B", "D"]);
    // Through what a key refers to as well.
    let environment = [("A".to_owned(), "other".to_owned())].into();
    let settings = Settings::resolve(&file, &environment, |_| true).unwrap();
    assert_eq!(settings.overridden(&file), ["A", "C"]);
}
