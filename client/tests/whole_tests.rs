//! A test runs to its end, or it is not run and counted: no test of the workspace returns early, and none says by
//! itself that it skipped. What a test needs of the host stands before it, as `#[ignore = "needs root"]`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed, in its helper functions too"
)]

use std::path::{Path, PathBuf};

use syn::visit_mut::VisitMut;
use syn::{Attribute, Expr, ItemFn, LitStr, Meta};

/// What is wrong with the tests of one file, a line each.
struct Violations<'a> {
    file: &'a str,
    found: Vec<String>,
    /// The tests that were read.
    tests: usize,
}

/// Whether a function body leaves before its end. A closure or an inner function may.
struct Returns(bool);

impl VisitMut for Returns {
    fn visit_expr_mut(&mut self, expression: &mut Expr) {
        match expression {
            Expr::Return(_) => self.0 = true,
            Expr::Closure(_) | Expr::Async(_) => {}
            _ => syn::visit_mut::visit_expr_mut(self, expression),
        }
    }

    fn visit_item_mut(&mut self, _: &mut syn::Item) {}
}

/// `#[test]` and `#[tokio::test]`.
fn is_test(attribute: &Attribute) -> bool {
    let last = attribute.path().segments.last();
    last.is_some_and(|last| last.ident == "test")
}

/// The reason of `#[ignore = "reason"]`, empty without one.
fn ignored(function: &ItemFn) -> Option<String> {
    let mut attributes = function.attrs.iter();
    let ignore = attributes.find(|attribute| attribute.path().is_ident("ignore"))?;
    let Meta::NameValue(value) = &ignore.meta else {
        return Some(String::new());
    };
    let value = &value.value;
    let reason: LitStr = syn::parse_quote!(#value);
    Some(reason.value())
}

impl VisitMut for Violations<'_> {
    fn visit_item_fn_mut(&mut self, function: &mut ItemFn) {
        syn::visit_mut::visit_item_fn_mut(self, function);
        if !function.attrs.iter().any(is_test) {
            return;
        }
        self.tests += 1;
        let (file, name) = (self.file, &function.sig.ident);
        if ignored(function).is_some_and(|reason| reason.is_empty()) {
            self.found
                .push(format!("{file}: {name} is ignored for no reason"));
        }
        let mut returns = Returns(false);
        returns.visit_block_mut(&mut function.block);
        if returns.0 {
            self.found.push(format!("{file}: {name} returns early"));
        }
    }
}

/// The violations of this text, and how many tests it has.
fn violations(file: &str, text: &str) -> (Vec<String>, usize) {
    let mut tree = syn::parse_file(text).unwrap_or_else(|error| panic!("{file}: {error}"));
    let mut violations = Violations {
        file,
        found: Vec::new(),
        tests: 0,
    };
    violations.visit_file_mut(&mut tree);
    // In two parts, so that this file does not hold it.
    if text.contains(concat!("SKIP", "PED")) {
        let says = format!("{file} says by itself that it skips");
        violations.found.push(says);
    }
    (violations.found, violations.tests)
}

fn rust_files(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
}

#[test]
fn no_test_returns_early_or_skips_by_itself() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    for directory in ["client", "helper", "policy", "proto", "packaging"] {
        rust_files(&root.join(directory), &mut files);
    }
    let (mut found, mut tests) = (Vec::new(), 0);
    for path in files {
        let name = path.strip_prefix(root).unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let (more, count) = violations(name, &text);
        found.extend(more);
        tests += count;
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(tests > 900, "only {tests} tests were read");
}

#[test]
fn each_way_of_not_running_is_found() {
    let early = "#[test] fn a() { let Some(x) = y() else { return }; }";
    let inner = "mod tests { #[tokio::test] async fn a() { for x in y { if z { return; } } } }";
    for text in [early, inner] {
        assert_eq!(violations("f.rs", text).0, ["f.rs: a returns early"]);
    }
    let (found, _) = violations("f.rs", "#[test] #[ignore] fn a() {}");
    assert_eq!(found, ["f.rs: a is ignored for no reason"]);
    let (found, _) = violations("f.rs", &format!("// {}", concat!("SKIP", "PED")));
    assert_eq!(found, ["f.rs says by itself that it skips"]);
    let fine = "#[test] #[ignore = \"needs root\"] fn a() { let b = || { return 1 }; }
        fn no_test() { return; }";
    assert_eq!(violations("f.rs", fine), (Vec::new(), 1));
}
