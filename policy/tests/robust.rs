//! Whatever the text, an answer comes, and soon.

#![expect(clippy::unwrap_used, reason = "a test helper fails by panicking")]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use aistack_policy::{MAX_TEXT_BYTES, Policy};
use proptest::prelude::*;

const EXAMPLE: &str = include_str!("../../packaging/policy.example.toml");

/// Looks at everything that an answer holds.
fn exercise(text: &str, uids: &[u32]) {
    match Policy::parse(text) {
        Ok(policy) => {
            let lines = text.split('\n').count();
            assert!(
                policy
                    .warnings()
                    .iter()
                    .all(|w| (1..=lines).contains(&w.line))
            );
            for range in policy.tenants() {
                for uid in [*range.start(), *range.end()] {
                    assert!(policy.grant(uid).is_some(), "{uid} is listed");
                }
            }
            for uid in uids {
                let listed = policy.tenants().iter().any(|range| range.contains(uid));
                assert_eq!(policy.grant(*uid).is_some(), listed, "{uid}");
            }
        }
        Err(errors) => {
            assert!(!errors.0.is_empty());
            for error in errors.0 {
                let line = text.split('\n').nth(error.line - 1).unwrap();
                let columns = line.chars().count() + 1;
                assert!((1..=columns).contains(&error.column), "{error}");
                assert!(!error.message.is_empty() && !error.message.contains('\n'));
                assert!(
                    !error.key.is_empty() && !error.key.contains('\n'),
                    "{error}"
                );
            }
        }
    }
}

/// Words that policies are made of, in any order.
fn soup() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "version = 1\n",
        "[tenants]\n",
        "[[tenant]]\n",
        "uids",
        "uid",
        "ports",
        "network",
        "volume",
        "limits",
        "base_dir",
        "domain",
        "service_uids",
        " = ",
        "[",
        "]",
        "{",
        "}",
        ",",
        ".",
        "\n",
        "\"1001-1999\"",
        "\"1001\"",
        "1001",
        "4294967294",
        "-1",
        "0x7f",
        "1.5",
        "nan",
        "true",
        "\"/mnt/{uid}\"",
        "\"{uid}\"",
        "first",
        "per_tenant",
        "count",
        "offset",
        "name",
        "pool",
        "\"10.0.0.0/8\"",
        "prefix",
        "\"20G\"",
        "id",
        "\"ü\"",
        "#",
        "'",
        "\"\"\"",
        "\u{feff}",
        "\r\n",
        "1979-05-27T07:32:00Z",
    ]);
    prop::collection::vec(word, 0..60).prop_map(|words| words.concat())
}

/// The example with a few characters cut, doubled or replaced.
fn damaged() -> impl Strategy<Value = String> {
    let edit = (
        0_usize..3000,
        0_usize..40,
        prop_oneof![Just(String::new()), "\\PC{0,3}", "[0-9]{1,12}"],
    );
    prop::collection::vec(edit, 1..4).prop_map(|edits| {
        let mut text: Vec<char> = EXAMPLE.chars().collect();
        for (at, length, insert) in edits {
            let from = at.min(text.len());
            let to = (from + length).min(text.len());
            text.splice(from..to, insert.chars());
        }
        text.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_gets_an_answer(text in "\\PC{0,300}|[\\x00-\\x7f]{0,300}", uids in any::<[u32; 4]>()) {
        exercise(&text, &uids);
    }

    #[test]
    fn any_words_get_an_answer(text in soup(), uids in any::<[u32; 4]>()) {
        exercise(&text, &uids);
    }

    #[test]
    fn a_damaged_file_gets_an_answer(text in damaged(), uids in any::<[u32; 4]>()) {
        exercise(&text, &uids);
    }

    #[test]
    fn huge_numbers_neither_wrap_nor_take_long(
        low in 0_u64..=5_000_000_000, more in 0_u64..=5_000_000_000, gap in 0_u64..1000,
        numbers in any::<[u32; 6]>(), uid in any::<u32>(),
    ) {
        let [first, per, offset, count, a, b] = numbers;
        let text = format!(
            "version = 1\n[tenants]\nuids = [\"{low}-{}\", \"{}-{}\"]\n\
             ports = {{ first = {}, per_tenant = {} }}\nservice_uids = {{ offset = {offset}, count = {} }}\n\
             network = {{ pool = \"10.0.0.0/8\", prefix = {} }}\n[[tenant]]\nuid = {a}\n\
             ports = {{ first = {}, count = {} }}\n",
            low + more, low + more + gap, low + more + gap + u64::from(b),
            1024 + first % 65_000, 1 + per % 64_512, 1 + count % 16, 8 + a % 23,
            1024 + a % 64_512, 1 + b % 64_512,
        );
        let started = Instant::now();
        exercise(&text, &[uid, a, b]);
        prop_assert!(started.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn the_largest_files_take_a_moment_not_a_minute() {
    let one_line = format!("version = 1\nx = [{}]", "\"ü\", ".repeat(150_000));
    let unknown = (0..80_000).fold("version = 1\n".to_owned(), |text, n| {
        text + &format!("k{n} = 1\n")
    });
    let unknown_inline: Vec<String> = (0..80_000).map(|n| format!("k{n} = 1")).collect();
    let unknown_inline = format!("version = 1\ntenants = {{ {} }}", unknown_inline.join(", "));
    let ranges: Vec<String> = (0..1000)
        .map(|n| format!("\"{}\"", 100_000 + 3 * n))
        .collect();
    let mut crowd = format!(
        "version = 1\n[tenants]\nuids = [{}]\nports = {{ first = 1024, per_tenant = 1 }}\n\
         service_uids = {{ offset = 1000000, count = 16 }}\n",
        ranges.join(", ")
    );
    for n in 0..4096_u32 {
        let (port, high, low) = (10_000 + n, n / 64, (n % 64) * 4);
        writeln!(
            crowd,
            "[[tenant]]\nuid = {}\nbase_dir = '/srv/{n}'\nports = {{ first = {port}, count = 1 }}\n\
             network.subnet = '10.191.{high}.{low}/30'",
            200_000 + 2 * n
        )
        .unwrap();
    }
    for (text, accepted) in [
        (one_line, false),
        (unknown, false),
        (unknown_inline, false),
        (crowd, true),
    ] {
        assert!(text.len() <= MAX_TEXT_BYTES, "{}", text.len());
        let started = Instant::now();
        let answer = Policy::parse(&text);
        let took = started.elapsed();
        assert_eq!(
            answer.is_ok(),
            accepted,
            "{:?}",
            answer
                .err()
                .map(|e| e.0.into_iter().take(3).collect::<Vec<_>>())
        );
        println!("{} bytes took {took:?}", text.len());
        assert!(took < Duration::from_secs(20), "{took:?}");
    }
}

#[test]
fn the_fuzzers_seeds_are_files_of_both_kinds() {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/seeds/policy_parse");
    let (mut accepted, mut refused) = (Vec::new(), Vec::new());
    for seed in std::fs::read_dir(seeds).unwrap() {
        let path = seed.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        exercise(&text, &[1001, 2000, 65_536]);
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if Policy::parse(&text).is_ok() {
            accepted.push(name);
        } else {
            refused.push(name);
        }
    }
    accepted.sort();
    assert_eq!(accepted, ["edges", "example", "minimal", "named"]);
    assert_eq!(refused, ["wrong"]);
}
