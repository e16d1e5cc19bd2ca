use std::collections::{BTreeMap, BTreeSet};

use aistack_policy::Policy;
use proptest::prelude::*;

use super::{LeftOut, Reason, Selection, Sums, lighter, preset, with, without};
use crate::catalog::tests::ENTRY;
use crate::catalog::{Catalog, Preset};
use crate::keys::SERVICES;

/// An entry with more lines at the top.
fn entry(name: &str, offset: usize, more: &str) -> String {
    ENTRY
        .replace("start_timeout", &format!("{more}\nstart_timeout"))
        .replace("THING", &name.to_uppercase())
        .replace(":thing", &format!(":{name}"))
        .replace("offset = 20", &format!("offset = {}", 40 + offset))
}

/// `app` needs `store`; `agent` shares the network of `tunnel`, which requires a key; `da` and `db`
/// are the group `duo`; `vec` is there with one vector database, which `app` then needs.
fn catalog() -> Catalog {
    let variant = "needs = [\"store\"]\n[[variant]]\nwhen = { key = \"VECTOR_DB\", is = \"vec\" }\nneeds = [\"vec\"]\n";
    let app = entry("app", 1, "").replace(
        "start_timeout = \"60s\"",
        &format!("start_timeout = \"60s\"\n{variant}"),
    );
    let agent = "needs = [\"store\"]\nnetwork_of = \"tunnel\"";
    let tunnel = "requires = { key = \"TAILSCALE_AUTH_KEY\", why = \"From the admin page.\" }";
    let vec = "when = { key = \"VECTOR_DB\", is = \"vec\" }\nvector_db = { port = 80, url = \"http://vec\" }";
    let sources = [
        ("app", app),
        ("agent", without_port(&entry("agent", 2, agent))),
        ("tunnel", entry("tunnel", 3, tunnel)),
        ("store", entry("store", 4, "presets = [\"minimal\"]")),
        (
            "da",
            entry("da", 5, "group = \"duo\"\npresets = [\"full\"]"),
        ),
        (
            "db",
            entry(
                "db",
                6,
                "group = \"duo\"\nneeds = [\"store\"]\npresets = [\"full\"]",
            ),
        ),
        ("vec", entry("vec", 7, vec)),
    ];
    let sources: Vec<(&str, &str)> = sources
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    Catalog::load(&sources).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

fn without_port(text: &str) -> String {
    let start = text.find("[[port]]").unwrap();
    let end = text.find("[health]").unwrap();
    let text = format!("{}{}", &text[..start], &text[end..]);
    text.replace(":${port:agent}", "")
}

fn select<'a>(catalog: &'a Catalog, values: &[(&str, &str)]) -> Result<Selection<'a>, Vec<String>> {
    let values: BTreeMap<String, String> = values
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    Selection::of(catalog, &|key| values.get(key).cloned())
        .map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

fn names<'a>(selection: &Selection<'a>) -> Vec<&'a str> {
    let entries = selection.entries().into_iter();
    entries.map(|entry| entry.name.as_str()).collect()
}

#[test]
fn what_is_needed_comes_with_what_is_chosen() {
    let catalog = catalog();
    let selection = select(&catalog, &[(SERVICES, "app")]).unwrap();
    assert_eq!(names(&selection), ["app", "store"]);
    assert_eq!(selection.members[0].reason, Reason::Chosen);
    let by = "app".to_owned();
    assert_eq!(selection.members[1].reason, Reason::Needed { by });
    assert!(selection.left_out.is_empty());
    assert_eq!(selection.sums().memory_bytes, 128 << 20);
    assert_eq!(selection.sums().cpu_millis, 200);
    assert_eq!(
        (selection.sums().pids, selection.sums().containers),
        (32, 2)
    );
}

#[test]
fn a_condition_decides_and_a_variant_needs() {
    let catalog = catalog();
    let values = [(SERVICES, "app"), ("VECTOR_DB", "vec")];
    let selection = select(&catalog, &values).unwrap();
    assert_eq!(names(&selection), ["app", "store", "vec"]);
    let key = "VECTOR_DB".to_owned();
    assert_eq!(selection.members[2].reason, Reason::Condition { key });
    let value = |key: &str| (key == "VECTOR_DB").then(|| "vec".to_owned());
    assert_eq!(selection.dependants("vec", &value), ["app"]);
    assert_eq!(selection.dependants("store", &value), ["app"]);
    assert!(selection.dependants("app", &value).is_empty());
    assert_eq!(catalog.vector_dbs(), ["vec", "none"]);
}

#[test]
fn what_lacks_a_required_value_is_left_out_with_what_needs_it() {
    let catalog = catalog();
    let values = [(SERVICES, "da agent"), ("TAILSCALE_AUTH_KEY", "")];
    let selection = select(&catalog, &values).unwrap();
    // `store` is gone too: only the agent needed it.
    assert_eq!(names(&selection), ["da"]);
    let said: Vec<String> = selection.left_out.iter().map(LeftOut::to_string).collect();
    let next = "to add it: aistack init --secret-file TAILSCALE_AUTH_KEY=FILE (From the admin page), then aistack deploy";
    assert_eq!(
        said,
        [
            format!("agent is left out: it needs tunnel, which is left out; {next}"),
            format!("tunnel is left out: TAILSCALE_AUTH_KEY is empty; {next}"),
        ]
    );
    let values = [(SERVICES, "da agent"), ("TAILSCALE_AUTH_KEY", "x")];
    let selection = select(&catalog, &values).unwrap();
    assert_eq!(names(&selection), ["agent", "da", "store", "tunnel"]);
    assert!(selection.left_out.is_empty());
}

#[test]
fn names_that_cannot_be_chosen() {
    let catalog = catalog();
    assert_eq!(
        select(&catalog, &[(SERVICES, "ap,zzzzzz,vec")]).unwrap_err(),
        [
            "there is no service \"ap\"; did you mean \"app\"?",
            "there is no service \"zzzzzz\"",
            "vec is not chosen by name; set VECTOR_DB to vec",
        ]
    );
    let said =
        |result: Result<String, Vec<super::SelectionError>>| result.unwrap_err()[0].to_string();
    let part = "da is a part of duo; name duo";
    assert_eq!(said(with(&catalog, "app", &["da"])), part);
    assert_eq!(said(without(&catalog, "duo", &["da"])), part);
}

#[test]
fn a_group_is_one_name() {
    let catalog = catalog();
    assert_eq!(with(&catalog, "app", &["duo"]).unwrap(), "app,duo");
    assert_eq!(with(&catalog, "db, app,da", &[]).unwrap(), "app,duo");
    assert_eq!(with(&catalog, "db", &[]).unwrap(), "db");
    assert_eq!(
        without(&catalog, "app,duo", &["duo", "store"]).unwrap(),
        "app"
    );
    assert_eq!(preset(&catalog, Preset::Full), "duo");
    assert_eq!(preset(&catalog, Preset::Minimal), "store");
}

/// Every name that can be added, of the embedded catalog and of the one here.
/// A tenant whose policy says nothing of limits gets what `init` writes by itself.
#[test]
fn the_standard_preset_is_within_the_limits_of_a_policy_that_sets_none() {
    let text = "version = 1\n[tenants]\nuids = [\"1001\"]\nimages = [\"docker.io/library/*\"]\n";
    let limits = Policy::parse(text).unwrap().grant(1001).unwrap().limits;
    let given = Sums {
        memory_bytes: limits.memory,
        cpu_millis: limits.cpu_millis,
        pids: limits.pids,
        containers: limits.containers,
    };
    let catalog = Catalog::embedded();
    let services = preset(&catalog, Preset::Standard);
    for vector_db in ["none", "pgvector", "qdrant", "chroma"] {
        let values = [(SERVICES, services.as_str()), ("VECTOR_DB", vector_db)];
        let sums = select(&catalog, &values).unwrap().sums();
        assert!(sums.is_within(given), "{vector_db}: {sums:?}");
    }
}

fn choosable(catalog: &Catalog) -> Vec<String> {
    let entries = catalog.entries().iter();
    let names: BTreeSet<String> = entries
        .filter(|entry| entry.when.is_none())
        .map(|entry| entry.group.clone().unwrap_or_else(|| entry.name.clone()))
        .collect();
    names.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Choosing exactly what a selection has chooses the same again, and each member's needs are in it.
    #[test]
    fn a_selection_is_closed_and_idempotent(picks in proptest::collection::vec(any::<prop::sample::Index>(), 0..6), own in any::<bool>(), vector in any::<prop::sample::Index>()) {
        let catalog = if own { catalog() } else { Catalog::embedded() };
        let all = choosable(&catalog);
        let chosen: Vec<&str> = picks.iter().map(|pick| all[pick.index(all.len())].as_str()).collect();
        let dbs = catalog.vector_dbs();
        let vector = dbs[vector.index(dbs.len())];
        let services = chosen.join(",");
        let values = |services: &str| {
            let services = services.to_owned();
            move |key: &str| match key {
                SERVICES => Some(services.clone()),
                "VECTOR_DB" => Some(vector.to_owned()),
                _ => None,
            }
        };
        let first = values(&services);
        let one = Selection::of(&catalog, &first).unwrap();
        for member in &one.members {
            for need in super::needs(member.entry, &first) {
                prop_assert!(one.has(need), "{} needs {need}", member.entry.name);
            }
        }
        let again: Vec<&str> = one.entries().iter().filter(|entry| entry.when.is_none()).map(|entry| entry.name.as_str()).collect();
        let two = Selection::of(&catalog, &values(&again.join(","))).unwrap();
        prop_assert_eq!(names(&one), names(&two));
        prop_assert!(two.left_out.is_empty());
    }

    #[test]
    fn adding_and_removing_gives_the_same_set(picks in proptest::collection::vec(any::<prop::sample::Index>(), 0..6), pick in any::<prop::sample::Index>(), own in any::<bool>()) {
        let catalog = if own { catalog() } else { Catalog::embedded() };
        let all = choosable(&catalog);
        let name = all[pick.index(all.len())].as_str();
        let chosen: Vec<&str> = picks.iter().map(|pick| all[pick.index(all.len())].as_str()).filter(|other| *other != name).collect();
        let start = with(&catalog, "", &chosen).unwrap();
        let more = with(&catalog, &start, &[name]).unwrap();
        prop_assert_ne!(&more, &start);
        prop_assert_eq!(with(&catalog, &more, &[name]).unwrap(), more.clone());
        prop_assert_eq!(without(&catalog, &more, &[name]).unwrap(), start);
    }

    /// What is proposed is within the limits, and nothing is proposed that is not one of the stack's.
    #[test]
    fn what_is_proposed_is_within_the_limits(memory in 0_u64..40, picks in proptest::collection::vec(any::<prop::sample::Index>(), 0..8), vector in any::<prop::sample::Index>()) {
        let catalog = Catalog::embedded();
        let all = choosable(&catalog);
        let chosen: Vec<&str> = picks.iter().map(|pick| all[pick.index(all.len())].as_str()).collect();
        let dbs = catalog.vector_dbs();
        let given = Sums { memory_bytes: memory << 30, cpu_millis: 64_000, pids: 32_768, containers: 100 };
        let value = |services: String, vector_db: String| move |key: &str| match key {
            SERVICES => Some(services.clone()),
            "VECTOR_DB" => Some(vector_db.clone()),
            _ => None,
        };
        let vector_db = dbs[vector.index(dbs.len())].to_owned();
        let before = value(chosen.join(","), vector_db.clone());
        let whole = Selection::of(&catalog, &before).unwrap();
        match lighter(&catalog, &before, given) {
            Some(proposed) => {
                let after = value(proposed.services, proposed.vector_db.unwrap_or(vector_db));
                let selection = Selection::of(&catalog, &after).unwrap();
                prop_assert!(selection.sums().is_within(given));
                prop_assert_eq!(proposed.dropped.is_empty(), whole.sums().is_within(given));
            }
            // Only the proxy is never proposed.
            None => prop_assert!(memory == 0 && whole.has("caddy"), "{:?}", names(&whole)),
        }
    }
}
