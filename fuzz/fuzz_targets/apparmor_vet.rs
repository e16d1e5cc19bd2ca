//! Any bytes get an answer from the reader of AppArmor sources, and what is accepted is written in a
//! form that is read back as the same. With `AISTACK_APPARMOR_PARSERS=PROGRAM[:PROGRAM…]` each of
//! these apparmor_parsers must find exactly the one profile in what is rendered, and compile it.
#![no_main]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use aistack_policy::apparmor::{Abi, Kind, Names, vet};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|source: &[u8]| {
    let names = Names::new(1001, 2001, "/mnt/data-tenant-1001");
    for kind in Kind::ALL {
        look_at(source, kind, &names);
    }
});

fn look_at(source: &[u8], kind: Kind, names: &Names) {
    let vetted = match vet(source, kind, names) {
        Ok(vetted) => vetted,
        Err(refusal) => {
            let lines = source.split(|byte| *byte == b'\n').count();
            assert!((1..=lines).contains(&(refusal.line as usize)), "{refusal}");
            return;
        }
    };
    let again = vet(vetted.source().as_bytes(), kind, names).expect("what was written is read");
    assert_eq!(again, vetted);
    let text = vetted.render(Abi::V3);
    assert!(text.is_ascii() && text.matches('#').count() == 2);
    for parser in PARSERS.iter() {
        let found = run(parser, "-N", &text);
        assert_eq!(found, format!("{}\n", names.name(kind)), "{text}");
        run(parser, "-Q", &text);
    }
}

static PARSERS: LazyLock<Vec<PathBuf>> = LazyLock::new(|| {
    let list = std::env::var_os("AISTACK_APPARMOR_PARSERS").unwrap_or_default();
    std::env::split_paths(&list)
        .filter(|path| path.is_absolute())
        .collect()
});

fn run(parser: &PathBuf, mode: &str, text: &str) -> String {
    let mut child = Command::new(parser)
        .args(["-j0", "-K", mode])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the parser starts");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(text.as_bytes()).expect("the parser reads");
    drop(input);
    let output = child.wait_with_output().expect("the parser ends");
    let errors = String::from_utf8_lossy(&output.stderr);
    let failed = !output.status.success() || errors.contains("parser error");
    assert!(!failed, "{} {mode}: {errors}\n{text}", parser.display());
    String::from_utf8_lossy(&output.stdout).into_owned()
}
