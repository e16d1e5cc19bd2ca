//! What a removal keeps, and what `--purge` takes: data, databases and service files.

use super::Removal;
use crate::catalog::{Database, Entry};
use crate::desired::Stack;
use crate::run::{Context, Session, service_files};
use crate::verbs::destroy;

/// What a purge takes with it.
pub(super) fn announce(context: &Context, removal: &Removal) {
    for entry in &removal.entries {
        let mut what = vec!["its data, logs and configuration".to_owned()];
        what.extend(databases(entry).map(|database| {
            let Database { name, provider, .. } = database;
            format!("its database and role {name} in {provider}")
        }));
        if entry.own {
            what.push("its service file".to_owned());
        }
        let text = format!("{}: goes: {}", entry.name, what.join("; "));
        context.printer.note(&text);
    }
}

/// What a removal keeps.
pub(super) fn report_remaining(context: &Context, session: &Session, entry: &Entry) {
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
            service_files::path_of(session.base_dir(), &entry.name).display()
        ));
    }
}

/// Removes data, logs, configuration, databases and service files; returns what could not be removed.
/// A service's own file goes last and only when nothing else of it is left.
pub(super) async fn purge(session: &Session, removal: &Removal, stack: &Stack) -> Vec<String> {
    let mut left = Vec::new();
    for name in &removal.names {
        let before = left.len();
        left.extend(destroy::purge::service(session, name).await);
        let entry = removal.entries.iter().find(|entry| entry.name == *name);
        for database in entry.into_iter().flat_map(databases) {
            // Its provider's data goes as a whole, or another service has the same database.
            let shared = stack
                .services
                .iter()
                .filter_map(|service| session.catalog.get(&service.name))
                .flat_map(databases)
                .any(|other| other.provider == database.provider && other.name == database.name);
            if shared || removal.names.contains(&database.provider) {
                continue;
            }
            if let Err(problem) = drop_database(session, database, stack).await {
                left.push(format!(
                    "database {} in {}: {problem}",
                    database.name, database.provider
                ));
            }
        }
        let path = service_files::path_of(session.base_dir(), name);
        let own = entry.is_none_or(|entry| entry.own) && path.symlink_metadata().is_ok();
        if own
            && left.len() == before
            && let Err(error) = std::fs::remove_file(&path)
        {
            left.push(format!("{}: {error}", path.display()));
        }
    }
    left
}

/// Its own databases and those of every variant.
fn databases(entry: &Entry) -> impl Iterator<Item = &Database> {
    let variants = entry.variants.iter().flat_map(|variant| &variant.databases);
    entry.databases.iter().chain(variants)
}

/// Drops a database and its role. Where its provider is not part of the stack, there is nobody to ask.
async fn drop_database(
    session: &Session,
    database: &Database,
    stack: &Stack,
) -> Result<(), String> {
    let provider = &database.provider;
    if !stack
        .services
        .iter()
        .any(|service| service.name == *provider)
    {
        return Ok(());
    }
    let containers = session
        .engine
        .list()
        .await
        .map_err(|error| error.to_string())?;
    let Some(provider) = containers
        .iter()
        .find(|container| container.service == database.provider && container.state == "running")
    else {
        return Err(format!(
            "{} does not run: aistack start {}",
            database.provider, database.provider
        ));
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
        _ => Err(output.why(&sql)),
    }
}
