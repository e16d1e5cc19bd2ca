//! apparmor_parser itself compiles every text that is rendered, and finds exactly the one profile in it.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::random::{Pool, Random, mutate};
use super::sources::{self, names};
use aistack_policy::apparmor::{Abi, Kind, Names, render_base, template, vet};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

/// One apparmor_parser and the newest features that it can compile for.
struct Parser {
    program: PathBuf,
    abis: Vec<Abi>,
    features: PathBuf,
}

impl Parser {
    fn all() -> Vec<Self> {
        programs().into_iter().map(Self::new).collect()
    }

    fn new(program: PathBuf) -> Self {
        // What tests/apparmor/get-parser unpacked stands beside the program.
        let own = program.with_file_name("root/etc/apparmor.d/abi");
        let folder = if own.is_dir() {
            own
        } else {
            PathBuf::from("/etc/apparmor.d/abi")
        };
        let newest = folder.join("4.0");
        let (abis, features) = if newest.is_file() {
            (vec![Abi::V3, Abi::V4], newest)
        } else {
            (vec![Abi::V3], folder.join("3.0"))
        };
        assert!(features.is_file(), "{} has no abi files", program.display());
        Self {
            program,
            abis,
            features,
        }
    }

    /// What it prints to a text; the panic shows the text that it does not compile.
    fn run(&self, mode: &str, text: &str) -> String {
        // The features stand in for those of a kernel with AppArmor, which this one need not have.
        let mut child = Command::new(&self.program)
            .args(["-j0", "-K", mode, "--kernel-features"])
            .arg(&self.features)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
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
        let errors = String::from_utf8_lossy(&output.stderr);
        let who = self.program.display();
        assert!(
            output.status.success() && !errors.contains("parser error"),
            "{who} {mode}: {errors}\n{text}"
        );
        String::from_utf8(output.stdout).unwrap()
    }

    fn check(&self, name: &str, text: &str) {
        assert_eq!(self.run("-N", text), format!("{name}\n"), "{text}");
        self.run("-Q", text);
    }

    /// Checks an accepted source in each abi that the parser knows.
    fn check_source(&self, source: &[u8], kind: Kind) {
        let vetted = vet(source, kind, &names()).unwrap();
        for abi in &self.abis {
            self.check(names().name(kind), &vetted.render(*abi));
        }
    }
}

#[test]
#[ignore = "needs apparmor_parser"]
fn it_refuses_what_is_wrong() {
    for parser in Parser::all() {
        let broken = "profile x {\n  /a qq,\n}\n";
        let refused = std::panic::catch_unwind(|| parser.check("x", broken)).is_err();
        assert!(refused, "{} compiles anything", parser.program.display());
    }
}

#[test]
#[ignore = "needs apparmor_parser"]
fn templates_and_the_base_compile() {
    let tenants = [
        names(),
        Names::new(1, 2, "/srv/ai/1"),
        Names::new(4_294_967_294, 70_000, "/mnt/data-tenant-4294967294"),
        Names::new(1001, 2001, "/srv/acme"),
    ];
    for parser in Parser::all() {
        for names in &tenants {
            for abi in &parser.abis {
                parser.check(names.base(), &render_base(names, *abi));
                for kind in Kind::ALL {
                    let source = template(kind, names);
                    let vetted = vet(source.as_bytes(), kind, names).unwrap();
                    parser.check(names.name(kind), &vetted.render(*abi));
                }
            }
        }
    }
}

#[test]
#[ignore = "needs apparmor_parser"]
fn the_benign_corpus_compiles() {
    for parser in Parser::all() {
        for entry in sources::benign() {
            parser.check_source(&entry.source, entry.kind);
        }
    }
}

#[test]
#[ignore = "needs apparmor_parser"]
fn what_the_grammar_makes_compiles() {
    for parser in Parser::all() {
        let mut runner = TestRunner::deterministic();
        for kind in Kind::ALL {
            let sources = sources::accepted(kind);
            for _ in 0..150 {
                let source = sources.new_tree(&mut runner).unwrap().current();
                parser.check_source(source.as_bytes(), kind);
            }
        }
    }
}

/// Mutations of the corpus: whenever one is accepted, the parser agrees. `AISTACK_APPARMOR_MUTATIONS`
/// and `AISTACK_APPARMOR_SEED` make a longer or another run.
#[test]
#[ignore = "needs apparmor_parser"]
fn accepted_mutations_compile() {
    let number = |name: &str, default: u64| match std::env::var(name) {
        Ok(text) => text.parse().unwrap(),
        Err(_) => default,
    };
    let mutations = number("AISTACK_APPARMOR_MUTATIONS", 4_000);
    let mut random = Random::new(number("AISTACK_APPARMOR_SEED", 1));
    let pool = Pool::new();
    let parsers = Parser::all();
    let mut seen = BTreeSet::new();
    for _ in 0..mutations {
        let source = mutate(&mut random, &pool);
        for kind in Kind::ALL {
            let Ok(vetted) = vet(&source, kind, &names()) else {
                continue;
            };
            if seen.insert(vetted.source()) {
                for parser in &parsers {
                    parser.check_source(&source, kind);
                }
            }
        }
    }
    let texts = seen.len();
    println!(
        "{mutations} mutations, {texts} accepted texts, {} parsers",
        parsers.len()
    );
    assert!(texts > 100, "only {texts} different texts were accepted");
}

/// Real parsers: those of `AISTACK_APPARMOR_PARSERS`, separated by colons, or this system's and the
/// one that tests/apparmor/get-parser got.
fn programs() -> Vec<PathBuf> {
    let found: Vec<PathBuf> = match std::env::var_os("AISTACK_APPARMOR_PARSERS") {
        Some(list) => std::env::split_paths(&list).collect(),
        None => [
            "/usr/sbin/apparmor_parser",
            "/var/cache/aistack-tests/apparmor/trixie/apparmor_parser",
        ]
        .map(PathBuf::from)
        .into_iter()
        .filter(|parser| parser.exists())
        .collect(),
    };
    assert!(
        !found.is_empty(),
        "no apparmor_parser here; tests/apparmor/get-parser gets one"
    );
    found
}
