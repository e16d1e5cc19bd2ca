//! `aistack remove`: services go, their data stays unless `--purge` says otherwise.

use std::collections::BTreeSet;

use serde_json::json;

use crate::catalog::{Database, Entry, own};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::run::{Context, Session, choice, prompt, setup};
use crate::selection::{self, SERVICES, Selection, VECTOR_DB};
use crate::ui::Progress;
use crate::verbs::args::{DeployArgs, RemoveArgs};
use crate::verbs::{deploy, destroy};

pub(super) async fn run(context: &Context, args: &RemoveArgs) -> Result<Exit, Failure> {
    let session = Session::open(context).await?;
    if session.manifest()?.is_none() {
        return Err(Failure::new(Exit::NotFound, "there is no stack here yet").next("aistack init"));
    }
    let values = choice::values(context, &session)?;
    let selection =
        Selection::of(&session.catalog, &values).map_err(|errors| choice::refused(&errors))?;
    let named = members(&session, &selection, &args.services)?;
    let mut going = named.clone();
    let mut needing = BTreeSet::new();
    for name in &named {
        needing.extend(selection.dependants(name, &values));
    }
    needing.retain(|name| !named.contains(*name));
    if !needing.is_empty() && !args.force {
        let list = needing.iter().copied().collect::<Vec<_>>().join(", ");
        return Err(
            Failure::new(Exit::Refused, format!("still needed by {list}"))
                .because("nothing was changed")
                .next(format!(
                    "remove those too: aistack remove --force {}",
                    args.services.join(" ")
                )),
        );
    }
    going.extend(needing.iter().map(|name| (*name).to_owned()));
    let entries: Vec<Entry> = selection
        .entries()
        .into_iter()
        .filter(|entry| going.contains(&entry.name))
        .cloned()
        .collect();
    let overrides = overrides(&session, &values, &entries)?;
    setup::draft_with(context, &session, &overrides)?;
    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    if context.globals.dry_run {
        context
            .printer
            .document(json!({"would_remove": names, "purge": args.purge}))?;
        context
            .printer
            .data(&format!("would remove: {}\n", names.join(", ")))?;
        return Ok(Exit::Done);
    }
    agree(context, args, &names).await?;
    let progress = Progress::new(context.printer);
    drop(setup::settle(context, &session, &overrides, "aistack remove", &progress).await?);
    progress.close();
    let deploy = DeployArgs {
        skip_validate: true,
        ..DeployArgs::default()
    };
    let done = deploy::run(context, &deploy).await?;
    let left = if args.purge {
        purge(&session, &entries).await
    } else {
        for entry in &entries {
            kept(context, &session, entry);
        }
        Vec::new()
    };
    if left.is_empty() {
        return Ok(done);
    }
    let failure = Failure::new(Exit::Failed, "something is left");
    Err(left
        .into_iter()
        .fold(failure, Failure::because)
        .next("run the command again after `aistack add`, or remove it by hand"))
}

/// Members of the stack that the names mean: services, or all parts of a group.
fn members(
    session: &Session,
    selection: &Selection<'_>,
    named: &[String],
) -> Result<BTreeSet<String>, Failure> {
    let mut found = BTreeSet::new();
    for name in named {
        let means = |entry: &&Entry| entry.name == *name || entry.group.as_ref() == Some(name);
        let parts: Vec<String> = selection
            .entries()
            .into_iter()
            .filter(means)
            .map(|entry| entry.name.clone())
            .collect();
        if parts.is_empty() {
            let known = selection
                .entries()
                .iter()
                .map(|entry| entry.name.clone())
                .collect();
            if session.catalog.get(name).is_some() {
                return Err(Failure::new(
                    Exit::NotFound,
                    format!("{name} is not part of your stack"),
                ));
            }
            super::select(std::slice::from_ref(name), &known)?;
        }
        found.extend(parts);
    }
    Ok(found)
}

fn overrides(
    session: &Session,
    values: &selection::Value<'_>,
    going: &[Entry],
) -> Result<Vec<(String, String)>, Failure> {
    let mut overrides = Vec::new();
    let mut less = BTreeSet::new();
    for entry in going {
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

async fn agree(context: &Context, args: &RemoveArgs, names: &[&str]) -> Result<(), Failure> {
    let list = names.join(",");
    if args.purge {
        let typed = match &args.confirm {
            Some(typed) => typed.clone(),
            None if context.interactive() => {
                prompt::line(&format!("Type {list} to remove all their data")).await?
            }
            None => {
                return Err(Failure::new(Exit::Usage, "--purge needs the services' names")
                    .because("it cannot ask here: there is no terminal, or --json, --yes or --no-input is set")
                    .next(format!(
                        "aistack remove --purge --confirm {list} {}",
                        args.services.join(" ")
                    )));
            }
        };
        return if typed.trim() == list || typed.trim() == args.services.join(",") {
            Ok(())
        } else {
            let what = format!("that is not {list}; nothing was removed");
            Err(Failure::new(Exit::Usage, what))
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
    Err(Failure::new(
        Exit::Failed,
        "not confirmed; nothing was removed",
    ))
}

fn kept(context: &Context, session: &Session, entry: &Entry) {
    if entry.mounts.data.is_some() {
        context.printer.note(&format!(
            "{}: its data stays in {}/data/{}",
            entry.name,
            session.base_dir().display(),
            entry.name
        ));
    }
    for database in databases(entry) {
        context.printer.note(&format!(
            "{}: its database {} in {} stays",
            entry.name, database.name, database.provider
        ));
    }
    if entry.own {
        context.printer.note(&format!(
            "{}: its service file stays: {}",
            entry.name,
            own::path_of(session.base_dir(), &entry.name).display()
        ));
    }
}

/// Removes data, logs, configuration, databases and service files; returns what could not be removed.
async fn purge(session: &Session, entries: &[Entry]) -> Vec<String> {
    let mut left = Vec::new();
    for entry in entries {
        left.extend(destroy::purge::service(session, &entry.name).await);
        for database in databases(entry) {
            if let Err(problem) = drop_database(session, database).await {
                left.push(format!(
                    "database {} in {}: {problem}",
                    database.name, database.provider
                ));
            }
        }
        if entry.own {
            let path = own::path_of(session.base_dir(), &entry.name);
            if let Err(error) = std::fs::remove_file(&path) {
                left.push(format!("{}: {error}", path.display()));
            }
        }
    }
    left
}

/// Its own databases and those of every variant.
fn databases(entry: &Entry) -> impl Iterator<Item = &Database> {
    let variants = entry.variants.iter().flat_map(|variant| &variant.databases);
    entry.databases.iter().chain(variants)
}

/// Drops a database and its role; where its provider does not run, it goes with the provider's data.
async fn drop_database(session: &Session, database: &Database) -> Result<(), String> {
    let containers = session
        .engine
        .list()
        .await
        .map_err(|error| error.to_string())?;
    let Some(provider) = containers
        .iter()
        .find(|container| container.service == database.provider && container.state == "running")
    else {
        return Ok(());
    };
    let name = &database.name;
    let sql = format!(
        "DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE);\nDROP ROLE IF EXISTS \"{name}\";\n"
    );
    let output = session
        .engine
        .exec(&provider.id, &crate::desired::psql(), &sql)
        .await
        .map_err(|error| error.to_string())?;
    match output.code {
        0 => Ok(()),
        _ => Err(output.failure(&sql)),
    }
}
