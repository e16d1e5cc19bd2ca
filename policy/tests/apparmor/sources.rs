//! The corpus of profile sources, and sources made up from the grammar.

use std::path::Path;

use aistack_policy::apparmor::{Kind, Names};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

/// The tenant that the corpus is written for.
pub(crate) fn names() -> Names {
    Names::new(1001, 2001, "/mnt/data-tenant-1001")
}

/// One line of `hostile/index.tsv` or `benign/index.tsv` with its file.
pub(crate) struct Entry {
    pub(crate) file: String,
    pub(crate) kind: Kind,
    /// What follows the kind: code and line of a hostile source.
    pub(crate) expected: Vec<String>,
    pub(crate) source: Vec<u8>,
}

pub(crate) fn hostile() -> Vec<Entry> {
    corpus("hostile")
}

pub(crate) fn benign() -> Vec<Entry> {
    corpus("benign")
}

fn corpus(folder: &str) -> Vec<Entry> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/apparmor")
        .join(folder);
    let index = std::fs::read_to_string(folder.join("index.tsv")).unwrap();
    let entries: Vec<Entry> = index
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| entry(&folder, line))
        .collect();
    let listed = std::fs::read_dir(&folder).unwrap().count() - 1;
    assert_eq!(listed, entries.len(), "every file stands in the index");
    entries
}

fn entry(folder: &Path, line: &str) -> Entry {
    let mut fields = line.split('\t').map(str::to_owned);
    let file = fields.next().unwrap();
    let kind = match fields.next().unwrap().as_str() {
        "platform" => Kind::Platform,
        "openclaw" => Kind::Openclaw,
        other => unreachable!("{file}: {other} is not a kind"),
    };
    let source = std::fs::read(folder.join(&file)).unwrap();
    let expected = fields.collect();
    Entry {
        file,
        kind,
        expected,
        source,
    }
}

/// Sources that the grammar makes, all of them to be accepted.
pub(crate) fn accepted(kind: Kind) -> impl Strategy<Value = String> {
    let preamble = prop::collection::vec(
        select(vec![
            "abi <abi/3.0>,",
            "#include <tunables/global>",
            "# note",
            "",
        ]),
        0..3,
    );
    let flags = select(vec![
        "",
        " flags=()",
        " flags=(attach_disconnected, mediate_deleted)",
    ]);
    let rules = prop::collection::vec(rule(kind), 0..40);
    (preamble, flags, rules).prop_map(move |(preamble, flags, rules)| {
        let mut lines: Vec<String> = preamble.into_iter().map(str::to_owned).collect();
        lines.push(format!("profile {}{flags} {{", names().name(kind)));
        lines.extend(rules);
        lines.push("}\n".to_owned());
        lines.join("\n")
    })
}

fn rule(kind: Kind) -> impl Strategy<Value = String> {
    let plain = select(vec![
        "include <abstractions/base>",
        "network,",
        "network inet,",
        "deny network netlink,",
        "network unix seqpacket, # why",
        "deny capability sys_admin,",
        "",
    ])
    .prop_map(str::to_owned);
    let wide = select(vec!["file,", "capability chown,", "capability kill ,"]);
    let wide = wide.prop_map(move |rule| match kind {
        Kind::Platform => rule.to_owned(),
        Kind::Openclaw => "deny capability chown,".to_owned(),
    });
    prop_oneof![1 => plain, 1 => wide, 6 => allow(kind), 2 => deny()]
}

fn allow(kind: Kind) -> BoxedStrategy<String> {
    let owner = select(vec!["", "owner ", "\tfile ", "owner file "]);
    let read = path().prop_map(|path| (path, "rk".to_owned()));
    let write = (path(), perms(&["r", "w", "k", "l"]));
    let run = (path(), perms(&["r", "m", "ix"]));
    let file = match kind {
        Kind::Platform => {
            let any = (path(), perms(&["r", "a", "k", "l", "m", "ix"]));
            prop_oneof![read, write, run, any].boxed()
        }
        Kind::Openclaw => prop_oneof![
            read,
            write.prop_map(|(path, perms)| (format!("/app/data{path}"), perms)),
            run.prop_map(|(path, perms)| (format!("/opt{path}"), perms)),
        ]
        .boxed(),
    };
    (owner, file, any::<bool>())
        .prop_map(|(owner, (path, perms), swapped)| {
            if swapped {
                format!("{owner}{perms}  {path} ,")
            } else {
                format!("{owner}{path} {perms},")
            }
        })
        .boxed()
}

fn deny() -> impl Strategy<Value = String> {
    (path(), perms(&["r", "w", "k", "l", "m", "x"]))
        .prop_map(|(path, perms)| format!("  deny {path} {perms},"))
}

fn perms(of: &'static [&'static str]) -> impl Strategy<Value = String> {
    subsequence(of, 1..=of.len())
        .prop_shuffle()
        .prop_map(|letters| letters.concat())
}

/// Patterns inside the limits: few components, at most two with a `*`.
fn path() -> impl Strategy<Value = String> {
    let plain = || {
        select(vec![
            "a", "usr", "lib64", "x.so", "..b", "C++", "a=b", "~x", "d-1", "a:b",
        ])
    };
    let glob = select(vec![
        "*",
        "*.so",
        "a*",
        "[a-z]*",
        "[^a-c/]x*",
        "?",
        "x??",
        "[0-9]",
        "[^/]",
        "[a_./]b",
    ]);
    let group = select(vec![
        "{a,b}",
        "{,usr/}bin",
        "x{a/b,c}",
        "{a,}",
        "{,a,bc}z",
        "{lib,lib32,}",
        "{.,a}b",
    ]);
    let tail = select(vec![
        "", "/", "/**", "{,/**}", "/{,**}", "{a,/b}", "/{*,b}", "/x*y", "/.x",
    ]);
    let one = (plain(), group, glob, tail)
        .prop_map(|(plain, group, glob, tail)| format!("/{group}/{glob}/{plain}{tail}"));
    let two = (plain(), plain()).prop_map(|(a, b)| format!("/{a}/{b}"));
    prop_oneof![3 => one, 1 => two, 1 => Just("/".to_owned()), 1 => Just("/**".to_owned())]
}
