//! The modules of the client form layers: the groups of `src/lib.rs`, lowest first. What ships goes
//! by them: a file uses its own module, its own group and the groups above it in that list, and the
//! modules of one group do not use each other in a circle. Code below `#[cfg(test)]` may use any.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed, in its helper functions too"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, Item};

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// One use of a module by a file of another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    /// The file that uses, below `src`.
    from: String,
    /// The file that is used, below `src`.
    to: String,
}

impl Edge {
    /// The two modules of the crate root.
    fn modules(&self) -> (&str, &str) {
        (module_of(&self.from), module_of(&self.to))
    }
}

impl fmt::Display for Edge {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} uses {}", self.from, self.to)
    }
}

/// `catalog/own.rs` and `catalog.rs` belong to `catalog`.
fn module_of(file: &str) -> &str {
    let first = file.split('/').next().unwrap_or_default();
    first.strip_suffix(".rs").unwrap_or(first)
}

/// The layer of each module: the group of `mod` lines that it stands in.
fn layers(lib: &str) -> BTreeMap<String, usize> {
    let mut layers = BTreeMap::new();
    let mut layer = 0;
    for line in lib.lines() {
        let line = line.trim_start_matches("pub ");
        let module = line.strip_prefix("mod ");
        match module.and_then(|module| module.strip_suffix(';')) {
            Some(module) => drop(layers.insert(module.to_owned(), layer)),
            None => layer += 1,
        }
    }
    layers
}

/// What is wrong with these edges under these layers, a line each.
fn violations(layers: &BTreeMap<String, usize>, edges: &BTreeSet<Edge>) -> Vec<String> {
    let mut violations = Vec::new();
    let mut beside: BTreeMap<&str, Vec<&Edge>> = BTreeMap::new();
    for edge in edges {
        let (from, to) = edge.modules();
        match (layers.get(from), layers.get(to)) {
            (Some(own), Some(used)) if used > own => violations.push(format!("upwards: {edge}")),
            (Some(own), Some(used)) if used == own => beside.entry(from).or_default().push(edge),
            (Some(_), Some(_)) => {}
            _ => violations.push(format!("in no layer: {edge}")),
        }
    }
    for start in beside.keys() {
        violations.extend(circle(start, &beside));
    }
    violations
}

/// A circle through `start`, where there is one.
fn circle(start: &str, beside: &BTreeMap<&str, Vec<&Edge>>) -> Option<String> {
    let mut ways: Vec<Vec<&Edge>> = vec![Vec::new()];
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop() {
        let at = way.last().map_or(start, |edge| edge.modules().1);
        if at == start && !way.is_empty() {
            let way: Vec<String> = way.iter().map(ToString::to_string).collect();
            return Some(format!("circle: {}", way.join(", ")));
        }
        if seen.insert(at) {
            for edge in beside.get(at).into_iter().flatten() {
                let mut way = way.clone();
                way.push(edge);
                ways.push(way);
            }
        }
    }
    None
}

/// Every use of one module by a file of another.
fn edges() -> BTreeSet<Edge> {
    let mut edges = BTreeSet::new();
    for file in files(&src()) {
        let own = module_path(&file);
        let text = std::fs::read_to_string(src().join(&file)).unwrap();
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        for path in paths_of_items(parsed.items, &own) {
            let used = file_of(&path);
            let inside = own.first() == path.first();
            if let (false, false, Some(used)) = (own.is_empty(), inside, used) {
                let from = file.clone();
                edges.insert(Edge { from, to: used });
            }
        }
    }
    edges
}

/// Every source file below `dir` but those of tests, relative to `src`.
fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let below = path.strip_prefix(src()).unwrap().to_str().unwrap();
        let name = path.file_stem().unwrap();
        if name == "tests" {
            // What `#[cfg(test)] mod tests;` declares.
        } else if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|kind| kind == "rs") && below != "main.rs" {
            found.push(below.to_owned());
        }
    }
    found
}

/// `catalog/check/mod.rs` is `catalog::check`.
fn module_path(file: &str) -> Vec<String> {
    let stem = file.strip_suffix(".rs").unwrap();
    let mut path: Vec<String> = stem.split('/').map(str::to_owned).collect();
    if path
        .last()
        .is_some_and(|last| last == "mod" || last == "lib")
    {
        path.pop();
    }
    path
}

/// The file of the innermost module in a path; `None` for an item of the crate root.
fn file_of(path: &[String]) -> Option<String> {
    (1..=path.len()).rev().find_map(|length| {
        let stem = path[..length].join("/");
        let candidates = [format!("{stem}.rs"), format!("{stem}/mod.rs")];
        candidates
            .into_iter()
            .find(|file| src().join(file).is_file())
    })
}

/// The paths from the crate root that items name by `crate::` and `super::`, those for tests left out.
fn paths_of_items(items: Vec<Item>, own: &[String]) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for item in items {
        if is_for_tests(attributes(&item)) {
            continue;
        }
        match item {
            Item::Mod(module) => {
                let mut inner = own.to_owned();
                inner.push(module.ident.to_string());
                let items = module.content.map(|(_, items)| items);
                paths.extend(paths_of_items(items.unwrap_or_default(), &inner));
            }
            item => paths.extend(paths_of_tokens(item.into_token_stream(), own)),
        }
    }
    paths
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Ident>()
                .is_ok_and(|word| word == "test")
    })
}

/// Tokens and not syntax, so that what stands in the arguments of a macro is seen, too.
fn paths_of_tokens(tokens: TokenStream, own: &[String]) -> Vec<Vec<String>> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut paths = Vec::new();
    for at in 0..tokens.len() {
        match &tokens[at] {
            TokenTree::Group(group) => paths.extend(paths_of_tokens(group.stream(), own)),
            TokenTree::Ident(word) if at < 2 || !are_colons(&tokens[at - 2..at]) => {
                let begin = match word.to_string().as_str() {
                    "crate" => Vec::new(),
                    "super" => own[..own.len().saturating_sub(1)].to_owned(),
                    _ => continue,
                };
                if leads_on(&tokens[at + 1..]) {
                    paths.extend(rest_of_path(&tokens[at + 1..], begin));
                }
            }
            _ => {}
        }
    }
    paths
}

/// What `::a::b` and `::{a, b::c}` lead to from `begin`.
fn rest_of_path(mut tokens: &[TokenTree], begin: Vec<String>) -> Vec<Vec<String>> {
    let mut path = begin;
    while leads_on(tokens) {
        match &tokens[2] {
            TokenTree::Ident(word) if word == "super" => drop(path.pop()),
            TokenTree::Ident(word) => path.push(word.to_string()),
            TokenTree::Group(group) => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                let commas = |token: &TokenTree| matches!(token, TokenTree::Punct(sign) if sign.as_char() == ',');
                let branches = inner.split(commas);
                return branches
                    .flat_map(|branch| branch_of(branch, &path))
                    .collect();
            }
            _ => break,
        }
        tokens = &tokens[3..];
    }
    vec![path]
}

fn branch_of(branch: &[TokenTree], begin: &[String]) -> Vec<Vec<String>> {
    let Some(TokenTree::Ident(word)) = branch.first() else {
        return Vec::new();
    };
    let mut path = begin.to_owned();
    if word != "self" {
        path.push(word.to_string());
    }
    rest_of_path(&branch[1..], path)
}

/// Whether these tokens are `::` and something behind it.
fn leads_on(tokens: &[TokenTree]) -> bool {
    tokens.len() > 2 && are_colons(&tokens[..2])
}

fn are_colons(tokens: &[TokenTree]) -> bool {
    let colon =
        |token: &TokenTree| matches!(token, TokenTree::Punct(sign) if sign.as_char() == ':');
    tokens.iter().all(colon)
}

#[test]
fn every_arrow_leads_down_and_none_in_a_circle() {
    let lib = std::fs::read_to_string(src().join("lib.rs")).unwrap();
    let (layers, edges) = (layers(&lib), edges());
    assert!(
        layers.len() > 10 && edges.len() > 100,
        "{layers:?} {edges:?}"
    );
    let violations = violations(&layers, &edges);
    assert!(
        violations.is_empty(),
        "{}:\n{}",
        violations.len(),
        violations.join("\n")
    );
}

/// Besides its modules the root has constants only, which use no module.
#[test]
fn the_crate_root_is_below_every_module() {
    let lib = std::fs::read_to_string(src().join("lib.rs")).unwrap();
    let items = syn::parse_file(&lib).unwrap().items;
    let plain = |item: &Item| matches!(item, Item::Const(_) | Item::Mod(_));
    assert!(items.iter().all(plain));
    assert_eq!(paths_of_items(items, &[]), Vec::<Vec<String>>::new());
}

/// The judge, on a graph that has each violation.
#[test]
fn an_arrow_upwards_and_a_circle_are_found_with_both_files() {
    let layers = layers("mod low;\n\npub mod a;\nmod b;\n\nmod high;\n");
    assert_eq!(layers["low"] < layers["a"], layers["b"] < layers["high"]);
    let judged = |edges: &[(&str, &str)]| {
        let edges = edges.iter().map(|(from, to)| Edge {
            from: (*from).to_owned(),
            to: (*to).to_owned(),
        });
        violations(&layers, &edges.collect()).join("; ")
    };
    assert_eq!(judged(&[("high/x.rs", "low.rs"), ("a.rs", "b.rs")]), "");
    assert_eq!(
        judged(&[("low/x.rs", "high/y.rs")]),
        "upwards: low/x.rs uses high/y.rs"
    );
    let both = judged(&[("a/x.rs", "b.rs"), ("b.rs", "a/y.rs")]);
    assert!(
        both.contains("circle: a/x.rs uses b.rs, b.rs uses a/y.rs"),
        "{both}"
    );
    assert!(judged(&[("a.rs", "gone.rs")]).contains("in no layer"));
}

/// The reader, on each way to write a path.
#[test]
fn every_way_to_name_a_module_is_read() {
    let text = "
        use crate::{a::b::{self, C}, d as e};
        use super::super::f::G;
        fn one() -> crate::h::I { format!(\"{}\", crate::j::k()); ::outside::crate_name() }
        #[cfg(test)] use crate::never::X;
        #[cfg(test)] mod tests { use crate::never::Y; }
        mod inner { use super::l; }
    ";
    let items = syn::parse_file(text).unwrap().items;
    let own = ["x".to_owned(), "y".to_owned()];
    let found: Vec<String> = paths_of_items(items, &own)
        .into_iter()
        .map(|path| path.join("::"))
        .collect();
    assert_eq!(
        found,
        ["a::b", "a::b::C", "d", "f::G", "h::I", "j::k", "x::y::l"]
    );
}
