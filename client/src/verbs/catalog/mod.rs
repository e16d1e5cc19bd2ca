//! `aistack catalog`: the services that there are, and everything about one.

use serde_json::json;

use crate::args::CatalogArgs;
use crate::catalog::{Entry, schema};
use crate::error::CliError;
use crate::exit::Exit;
use crate::run::{Context, Session, choice};
use crate::selection::Selection;
use crate::stack::select;
use crate::ui::{Table, size};

mod markdown;

pub(super) async fn run(context: &Context, args: &CatalogArgs) -> Result<Exit, CliError> {
    if args.schema {
        context.printer.raw(&schema::text())?;
        return Ok(Exit::Done);
    }
    if args.markdown {
        context.printer.raw(&markdown::all())?;
        return Ok(Exit::Done);
    }
    let session = Session::open(context).await?;
    let values = choice::values(context, &session)?;
    let has_manifest = session.manifest()?.is_some();
    let selection = Selection::of(&session.catalog, &values).ok();
    let installed = |entry: &Entry| {
        has_manifest
            && selection
                .as_ref()
                .is_some_and(|stack| stack.has(&entry.name))
    };
    if let Some(name) = &args.service {
        let entries = named(&session, name)?;
        return one(context, &entries, &installed);
    }
    let entries: Vec<&Entry> = session
        .catalog
        .entries()
        .iter()
        .filter(|entry| !args.installed || installed(entry))
        .collect();
    context.printer.document(json!({
        "services": entries.iter().map(|entry| document(entry, installed(entry))).collect::<Vec<_>>(),
    }))?;
    let mut table = Table::new(&[
        "SERVICE",
        "WHAT",
        "VERSION",
        "MEMORY",
        "CHOSEN BY",
        "INSTALLED",
        "LICENCE",
    ]);
    for entry in entries {
        let mark = if installed(entry) { "yes" } else { "" };
        table.text([
            &entry.name,
            &entry.title,
            version(entry),
            &size(entry.limits.memory.0),
            &chosen_by(entry),
            mark,
            &entry.docs.licence,
        ]);
    }
    context.printer.table(&table)?;
    context
        .printer
        .note("`aistack catalog SERVICE` shows more; `aistack add SERVICE` adds one");
    Ok(Exit::Done)
}

/// A service, or the parts of a group.
fn named<'a>(session: &'a Session, name: &str) -> Result<Vec<&'a Entry>, CliError> {
    let entries = session.catalog.entries();
    let found: Vec<&Entry> = entries
        .iter()
        .filter(|entry| entry.name == name || entry.group.as_deref() == Some(name))
        .collect();
    if found.is_empty() {
        let known = entries.iter().map(|entry| entry.name.clone()).collect();
        select(&[name.to_owned()], &known)?;
    }
    Ok(found)
}

fn one(
    context: &Context,
    entries: &[&Entry],
    installed: &dyn Fn(&Entry) -> bool,
) -> Result<Exit, CliError> {
    let documents: Vec<_> = entries
        .iter()
        .map(|entry| document(entry, installed(entry)))
        .collect();
    context.printer.document(json!({"services": documents}))?;
    for entry in entries {
        context.printer.data(&describe(entry, installed(entry)))?;
    }
    Ok(Exit::Done)
}

fn document(entry: &Entry, installed: bool) -> serde_json::Value {
    json!({
        "service": entry.name, "title": entry.title, "image": entry.image,
        "version": version(entry), "group": entry.group, "needs": entry.needs,
        "requires": entry.requires.as_ref().map(|requires| &requires.key),
        "chosen_by": chosen_by(entry), "installed": installed, "own": entry.own,
        "memory_bytes": entry.limits.memory.0, "cpu_millis": entry.limits.cpus.millis,
        "pids": entry.limits.pids, "licence": entry.docs.licence,
        "homepage": entry.docs.homepage, "about": entry.docs.about, "login": entry.docs.login,
        "wiring": entry.docs.wiring, "restore": entry.docs.restore,
        "hazards": entry.upgrade.hazards,
    })
}

fn describe(entry: &Entry, installed: bool) -> String {
    let mut table = Table::plain();
    let heading = format!("{} ({})", entry.title, entry.name);
    let keys: Vec<&str> = entry
        .ports
        .iter()
        .map(|port| port.key.as_str())
        .chain(entry.secrets.iter().map(|secret| secret.key.as_str()))
        .chain(entry.settings.iter().map(|setting| setting.key.as_str()))
        .collect();
    let limits = format!(
        "{} of memory, {}.{:02} CPUs, {} processes",
        size(entry.limits.memory.0),
        entry.limits.cpus.millis / 1000,
        entry.limits.cpus.millis % 1000 / 10,
        entry.limits.pids
    );
    for (name, text) in [
        ("about", entry.docs.about.as_str()),
        ("sign in", &entry.docs.login),
        ("connected", &entry.docs.wiring),
        ("data", &entry.docs.restore),
        ("image", &entry.image),
        ("may use", &limits),
        ("needs", &entry.needs.join(", ")),
        ("you give", &you_give(entry)),
        ("chosen by", &chosen_by(entry)),
        ("installed", if installed { "yes" } else { "no" }),
        ("keys", &keys.join(", ")),
        ("upgrades", &entry.upgrade.hazards.join(" ")),
        ("tested", &entry.docs.tested),
        ("licence", &entry.docs.licence),
        ("upstream", &entry.docs.homepage),
    ] {
        if !text.is_empty() {
            table.text([&format!("  {name}"), text]);
        }
    }
    format!("{heading}\n{}", table.render(crate::ui::Paint::new(false)))
}

fn version(entry: &Entry) -> &str {
    let (name, digest) = match entry.image.split_once("@sha256:") {
        Some((name, digest)) => (name, digest.get(..12).unwrap_or_default()),
        None => (entry.image.as_str(), ""),
    };
    match name.rsplit_once(':') {
        Some((_, tag)) if !tag.contains('/') => tag,
        _ => digest,
    }
}

/// What only the user can give: the key, and what it is.
fn you_give(entry: &Entry) -> String {
    entry
        .requires
        .as_ref()
        .map_or_else(String::new, |given| format!("{}: {}", given.key, given.why))
}

/// The presets that have it, or the key that decides.
fn chosen_by(entry: &Entry) -> String {
    if let Some(when) = &entry.when {
        return format!("{}={}", when.key, when.is.as_deref().unwrap_or("…"));
    }
    let presets: Vec<&str> = entry.presets.iter().map(|preset| preset.name()).collect();
    if presets.is_empty() {
        "add".to_owned()
    } else {
        presets.join(", ")
    }
}
