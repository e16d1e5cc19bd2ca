//! `aistack remove`: services go, their data stays unless `--purge` says otherwise.

mod data;

use std::collections::BTreeSet;

use serde_json::json;

use crate::args::{DeployArgs, RemoveArgs};
use crate::catalog::Entry;
use crate::desired::Stack;
use crate::engine::Container;
use crate::error::CliError;
use crate::exit::Exit;
use crate::keys::{SERVICES, VECTOR_DB};
use crate::manifest::Manifest;
use crate::run::guard::{self, Room};
use crate::run::lock::Lock;
use crate::run::setup::Ready;
use crate::run::{Context, Session, choice};
use crate::selection::{self, Selection};
use crate::stack::apply::apply;
use crate::stack::{look, refresh, report, select, stop};
use crate::ui::{Progress, prompt};

pub(super) async fn run(context: &Context, args: &RemoveArgs) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    if session.manifest()?.is_none() {
        return Err(
            CliError::new(Exit::NotFound, "there is no stack here yet").next("aistack init")
        );
    }
    let containers = session.engine.list().await?;
    let removal = removal(context, &session, args, &containers)?;
    let (names, entries) = (&removal.names, &removal.entries);
    without(context, &session, &removal)?;
    if context.globals.dry_run {
        context
            .printer
            .document(json!({"would_remove": names, "purge": args.purge}))?;
        let what = format!("would remove: {}\n", names.join(", "));
        context.printer.data(&what)?;
        return Ok(Exit::Done);
    }
    agree(context, args, &removal).await?;
    let progress = Progress::new(context.printer);
    let lock = Lock::take(
        session.base_dir(),
        "aistack remove",
        context.globals.lock_wait(),
    )
    .await?;
    // Again under the lock: another run may have changed the choice meanwhile.
    let now = self::removal(context, &session, args, &containers)?;
    if now.names != *names {
        let what = "another run changed your stack in the meantime; nothing was removed";
        return Err(CliError::new(Exit::Failed, what).next("run the same command again"));
    }
    let (manifest, stack) = without(context, &session, &now)?;
    let ready = Ready {
        stack,
        manifest,
        lock,
        unconfined: None,
    };
    let containers = look::wait_until_stable(&session.engine, &progress).await?;
    let in_turn = names.iter().map(String::as_str);
    stop::remove_in_turn(&session.engine, &progress, in_turn, &containers).await?;
    // Before data goes, so that a run that is ended leaves a choice that can be completed. On a volume
    // without room for that, after what frees some.
    let store = || guard::write(context, &session, &ready.manifest.file, Room::Reserve);
    let stored = store();
    let left = if args.purge {
        data::purge(&session, &removal, &ready.stack).await
    } else {
        for entry in entries {
            data::report_remaining(context, &session, entry);
        }
        Vec::new()
    };
    if stored.is_err() {
        store()?;
    }
    let entries: Vec<&Entry> = entries.iter().collect();
    let mut services = refresh::touched(&session.catalog, &ready.stack, &containers, &entries);
    if !session.invalid.is_empty() && !services.is_empty() {
        // What they list would be without the services whose files have errors.
        context.printer.note(&format!(
            "not updated while a service file has errors: {}",
            services.join(", ")
        ));
        services.clear();
    }
    let done = if services.is_empty() {
        progress.close();
        context
            .printer
            .document(json!({"removed": names, "purged": args.purge, "left": left}))?;
        context
            .printer
            .data(&format!("removed: {}\n", names.join(", ")))?;
        Exit::Done
    } else {
        progress.note(&format!("removed: {}", names.join(", ")));
        let deploy = DeployArgs {
            services,
            // What is left was well before; only what lists the removed is recreated.
            skip_validate: true,
            ..DeployArgs::default()
        };
        let tools = session.tools(context, &progress);
        let applied = apply(&tools, &ready.stack, ready.unconfined.as_deref(), &deploy).await?;
        report::applied(context.printer, &ready.stack, &applied, &progress)?
    };
    if left.is_empty() {
        return Ok(done);
    }
    let failure = CliError::new(Exit::Failed, "not everything was removed");
    Err(left
        .into_iter()
        .fold(failure, CliError::because)
        .next("fix the cause, then run the same command again"))
}

/// The manifest that a removal leaves, and the stack that it describes.
fn without(
    context: &Context,
    session: &Session,
    removal: &Removal,
) -> Result<(Manifest, Stack), CliError> {
    let mut file = session.manifest()?.unwrap_or_default();
    for (key, value) in &removal.overrides {
        file.set(key, value, None);
    }
    guard::check(context, session, session.manifest()?.as_ref(), &file)?;
    let stack = session.sound_stack(context, &file)?;
    guard::environment(context, session, &stack)?;
    let changed = removal.overrides.iter().map(|(key, _)| key.clone());
    let manifest = Manifest {
        file,
        added: Vec::new(),
        changed: changed.collect(),
        moved: Vec::new(),
    };
    Ok((manifest, stack))
}

/// What a removal takes.
struct Removal {
    /// Services, those first that need the others.
    names: Vec<String>,
    /// Their entries; a service whose own file has errors has none.
    entries: Vec<Entry>,
    /// True when `--force` takes more than what was named.
    forced: bool,
    /// What the manifest will say.
    overrides: Vec<(String, String)>,
}

fn removal(
    context: &Context,
    session: &Session,
    args: &RemoveArgs,
    containers: &[Container],
) -> Result<Removal, CliError> {
    let as_written = choice::values(context, session)?;
    let values = |key: &str| {
        let value = as_written(key)?;
        Some(match key {
            SERVICES => session.without_invalid(&value),
            _ => value,
        })
    };
    let selection =
        Selection::of(&session.catalog, &values).map_err(|errors| choice::refused(&errors))?;
    let named = members(session, &selection, args, containers)?;
    // What uses a vector database goes on without one.
    let is_vector_db = |name: &str| {
        let entry = session.catalog.get(name);
        entry.is_some_and(|entry| entry.vector_db.is_some())
    };
    let none = named
        .iter()
        .any(|name| is_vector_db(name))
        .then(|| (VECTOR_DB.to_owned(), "none".to_owned()));
    let overrides: Vec<(String, String)> = none.into_iter().collect();
    let after = choice::over(&values, &overrides);
    let mut needing = BTreeSet::new();
    for name in &named {
        needing.extend(selection.dependants(name, &after));
    }
    needing.retain(|name| !named.contains(*name));
    if !needing.is_empty() && !args.force {
        let list = needing.iter().copied().collect::<Vec<_>>().join(", ");
        return Err(
            CliError::new(Exit::Config, format!("still needed by {list}"))
                .because("nothing was changed")
                .next(format!(
                    "remove those too: aistack remove --force {}",
                    args.services.join(" ")
                )),
        );
    }
    let forced = !needing.is_empty();
    let mut all = named.clone();
    all.extend(needing.iter().map(|name| (*name).to_owned()));
    let entries: Vec<Entry> = session
        .catalog
        .entries()
        .iter()
        .filter(|entry| all.contains(&entry.name))
        .cloned()
        .collect();
    let in_stack: Vec<&Entry> = entries
        .iter()
        .filter(|entry| selection.has(&entry.name))
        .collect();
    let mut written = self::overrides(session, &values, &in_stack)?;
    // A service whose file has errors goes only by its own name.
    if let (Some((_, services)), Some(before)) = (written.last_mut(), as_written(SERVICES)) {
        let invalid = selection::named(&before).into_iter().filter(|name| {
            let invalid = session.invalid.iter().any(|invalid| invalid.name == *name);
            invalid && !all.contains(*name)
        });
        let kept: Vec<&str> = selection::named(services)
            .into_iter()
            .chain(invalid)
            .collect();
        *services = kept.join(",");
    }
    Ok(Removal {
        names: reversed(&all, &entries, &values),
        entries,
        forced,
        overrides: written,
    })
}

/// Services in the order in which they are stopped: what needs another one before that.
fn reversed(
    all: &BTreeSet<String>,
    entries: &[Entry],
    values: &selection::Value<'_>,
) -> Vec<String> {
    let mut left: Vec<&String> = all.iter().collect();
    let mut order = Vec::new();
    while !left.is_empty() {
        let needed = |name: &str| {
            entries
                .iter()
                .filter(|entry| left.contains(&&entry.name) && entry.name != name)
                .any(|entry| selection::needs(entry, values).contains(&name))
        };
        // Needs make no circle, so that one is always free; the first stands in if they did.
        let at = left.iter().position(|name| !needed(name)).unwrap_or(0);
        order.push(left.remove(at).clone());
    }
    order
}

/// What the names mean: services of the stack, or all parts of a group; what has left the stack and
/// still has a container, or data to purge; and what cannot be chosen because its file has errors.
fn members(
    session: &Session,
    selection: &Selection<'_>,
    args: &RemoveArgs,
    containers: &[Container],
) -> Result<BTreeSet<String>, CliError> {
    let mut found = BTreeSet::new();
    for name in &args.services {
        let means = |entry: &&Entry| entry.name == *name || entry.group.as_ref() == Some(name);
        let entries = session.catalog.entries().iter().filter(means);
        let parts: Vec<String> = entries.map(|entry| entry.name.clone()).collect();
        let still = |part: &String| {
            let runs = containers.iter().any(|one| one.service == *part);
            runs || args.purge || selection.has(part)
        };
        if session.invalid.iter().any(|invalid| invalid.name == *name) {
            found.insert(name.clone());
        } else if parts.iter().any(still) {
            found.extend(parts.into_iter().filter(still));
        } else if parts.is_empty() {
            let entries = selection.entries();
            let known = entries.iter().map(|entry| entry.name.clone()).collect();
            select(std::slice::from_ref(name), &known)?;
        } else {
            let what = format!("{name} is not part of your stack");
            return Err(CliError::new(Exit::NotFound, what).next(format!(
                "aistack remove --purge {name} removes what data it left"
            )));
        }
    }
    Ok(found)
}

fn overrides(
    session: &Session,
    values: &selection::Value<'_>,
    removal: &[&Entry],
) -> Result<Vec<(String, String)>, CliError> {
    let mut overrides = Vec::new();
    let mut less = BTreeSet::new();
    for entry in removal {
        if entry.vector_db.is_some() {
            overrides.push((VECTOR_DB.to_owned(), "none".to_owned()));
        } else {
            less.insert(entry.group.as_deref().unwrap_or(&entry.name));
        }
    }
    let services = values(SERVICES)
        .unwrap_or_else(|| selection::preset(&session.catalog, crate::catalog::Preset::Minimal));
    let less: Vec<&str> = less.into_iter().collect();
    let services = selection::without(&session.catalog, &services, &less)
        .map_err(|errors| choice::refused(&errors))?;
    overrides.push((SERVICES.to_owned(), services));
    Ok(overrides)
}

async fn agree(context: &Context, args: &RemoveArgs, removal: &Removal) -> Result<(), CliError> {
    let names = &removal.names;
    let list = names.join(",");
    let as_given = args.services.join(",");
    if args.purge && !context.printer.json {
        data::announce(context, removal);
    }
    if args.purge {
        let typed = match &args.confirm {
            Some(typed) => typed.clone(),
            None if context.interactive() => {
                prompt::line(&format!("Type {list} to remove all their data")).await?
            }
            None => {
                return Err(CliError::new(Exit::Usage, "--purge needs the services' names")
                    .because("input required, but stdin is not a terminal, or --json, --yes or --no-input is set")
                    .next(format!(
                        "aistack remove --purge --confirm {list} {}",
                        args.services.join(" ")
                    )));
            }
        };
        let typed = typed.trim();
        return if typed == list || (!removal.forced && typed == as_given) {
            Ok(())
        } else {
            let what = format!("that is not {list}; nothing was removed");
            Err(CliError::new(Exit::Usage, what))
        };
    }
    if context.globals.yes || !context.interactive() {
        return Ok(());
    }
    if prompt::confirm(
        &format!("Remove {}? Their data stays.", names.join(", ")),
        true,
    )
    .await?
    {
        return Ok(());
    }
    Err(CliError::new(
        Exit::Failed,
        "not confirmed; nothing was removed",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    #[test]
    fn what_needs_another_service_is_stopped_before_it() {
        let catalog = Catalog::embedded();
        let all: BTreeSet<String> = ["litellm", "n8n", "open-webui", "postgres", "redis"]
            .map(str::to_owned)
            .into();
        let entries: Vec<Entry> = catalog
            .entries()
            .iter()
            .filter(|entry| all.contains(&entry.name))
            .cloned()
            .collect();
        let nothing = |_: &str| None;
        let order = reversed(&all, &entries, &nothing);
        assert_eq!(order.len(), all.len());
        let place = |name: &str| order.iter().position(|other| other == name).unwrap();
        for entry in &entries {
            for need in entry.needs.iter().filter(|need| all.contains(*need)) {
                assert!(place(&entry.name) < place(need), "{order:?}");
            }
        }
    }
}
