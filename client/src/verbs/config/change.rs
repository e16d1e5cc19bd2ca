//! `aistack config set` and `unset`: checked before anything is written, written under the lock.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde_json::{Value, json};

use crate::desired::{DesiredService, Stack};
use crate::env_file::EnvFile;
use crate::error::CliError;
use crate::exit::Exit;
use crate::manifest::Manifest;
use crate::run::guard::{self, Room};
use crate::run::lock::Lock;
use crate::run::{Context, Session, setup, store};
use crate::stack::listeners;
use crate::ui::clean;

/// A secret larger than this is none, bytes.
const MAX_SECRET: u64 = 64 * 1024;
/// Where a secret comes from when it is not in a file.
const STDIN: &str = "-";

pub(super) async fn set(
    context: &Context,
    session: &Session,
    key: &str,
    value: &str,
    force: bool,
) -> Result<Exit, CliError> {
    let context = &context.forcing(force);
    let _lock = lock(context, session).await?;
    let before = present(session)?;
    if before.get(key).unwrap_or_default() != value {
        keep_ports_apart(session, key, value).await?;
    }
    let mut file = before.clone();
    file.set(key, value, None);
    apply(context, session, key, (&before, &file))
}

pub(super) async fn unset(
    context: &Context,
    session: &Session,
    key: &str,
) -> Result<Exit, CliError> {
    let _lock = lock(context, session).await?;
    let before = present(session)?;
    let mut file = before.clone();
    file.remove(key);
    // What comes back with its default keeps its place and its comment.
    let checked = without(context, session, key);
    let (completed, _) = setup::complete(&checked, session, &file, &[])?;
    if let Some(default) = completed.file.get(key) {
        file = before.clone();
        file.set(key, default, None);
    }
    apply(context, session, key, (&before, &file))
}

/// The file as it is, read under the lock.
fn present(session: &Session) -> Result<EnvFile, CliError> {
    Ok(session.manifest()?.unwrap_or_default())
}

/// Writes the file when the grant allows the stack in it, and says what the change touches.
fn apply(
    context: &Context,
    session: &Session,
    key: &str,
    (before, file): (&EnvFile, &EnvFile),
) -> Result<Exit, CliError> {
    let checked = without(context, session, key);
    let (manifest, stack) = setup::complete(&checked, session, file, &[])?;
    // A dry run must hear it, too; what is written is warned of there.
    let warnings = guard::check(context, session, Some(before), &manifest.file)?;
    if context.globals.dry_run {
        for warning in &warnings {
            context.printer.warn(warning);
        }
    }
    let old = session.stack(&checked, before).ok();
    finish(
        context,
        session,
        key,
        (before, &manifest),
        (old.as_ref(), &stack),
    )
}

/// Where the value comes from; secrets never from an argument, which no process list then shows.
pub(super) fn wanted(
    session: &Session,
    key: &str,
    value: Option<&str>,
    file: Option<&str>,
) -> Result<String, CliError> {
    match (value, file) {
        (Some(value), _) if session.catalog.is_secret(key) && !value.is_empty() => {
            Err(CliError::new(
                Exit::Usage,
                format!("{key} is a secret: do not pass it as an argument, which others can read"),
            )
            .next(format!(
                "aistack config set {key} --secret-file FILE, or - for standard input"
            )))
        }
        (Some(value), _) => Ok(value.to_owned()),
        (None, Some(path)) => read(path),
        (None, None) => Err(CliError::new(Exit::Usage, "no value given")),
    }
}

fn read(path: &str) -> Result<String, CliError> {
    let mut text = String::new();
    let read = if path == STDIN {
        std::io::stdin()
            .take(MAX_SECRET + 1)
            .read_to_string(&mut text)
    } else {
        std::fs::File::open(path)
            .and_then(|file| file.take(MAX_SECRET + 1).read_to_string(&mut text))
    };
    let name = if path == STDIN {
        "standard input"
    } else {
        path
    };
    match read {
        Ok(bytes) if bytes as u64 > MAX_SECRET => Err(CliError::new(
            Exit::Config,
            format!("{name} is larger than 64 KiB; nothing was changed"),
        )),
        Ok(_) => Ok(text.trim_end_matches(['\n', '\r']).to_owned()),
        Err(error) => Err(CliError::io("read", Path::new(name), &error)),
    }
}

async fn lock(context: &Context, session: &Session) -> Result<Option<Lock>, CliError> {
    if context.globals.dry_run {
        return Ok(None);
    }
    let wait = context.globals.lock_wait();
    let lock = Lock::take(session.base_dir(), "aistack config", wait).await;
    lock.map(Some)
}

/// The same run without this key in its environment: it is the file that is checked.
fn without(context: &Context, session: &Session, key: &str) -> Context {
    context.without(|other| other == key && session.catalog.is_key(key))
}

/// Refuses a port of the tenant's range that somebody listens on, the service's own container
/// aside: that one gives it up when it is recreated. Other ports are the policy's to refuse.
async fn keep_ports_apart(session: &Session, key: &str, value: &str) -> Result<(), CliError> {
    let entries = session.catalog.entries().iter();
    let service = entries
        .filter(|entry| entry.ports.iter().any(|port| port.key == key))
        .map(|entry| entry.network_of.as_ref().unwrap_or(&entry.name))
        .next();
    let range = session.grant.ports.unwrap_or_default();
    let range = range.first..range.first.saturating_add(range.count);
    let port = value
        .parse::<u16>()
        .ok()
        .filter(|port| range.contains(&u32::from(*port)));
    let (Some(service), Some(port)) = (service, port) else {
        return Ok(());
    };
    if store::port_is_free(port) {
        return Ok(());
    }
    let containers = session.engine.list().await?;
    let mut own = containers
        .iter()
        .filter(|container| container.service == *service);
    if own.any(|container| container.ports.contains(&port)) {
        return Ok(());
    }
    Err(CliError::new(
        Exit::Config,
        format!(
            "{key}: {port} is taken by {}; nothing was changed",
            listeners::holder(port)
        ),
    )
    .next("choose another port of your range; `aistack whoami` shows it"))
}

fn finish(
    context: &Context,
    session: &Session,
    key: &str,
    (before, manifest): (&EnvFile, &Manifest),
    (old, new): (Option<&Stack>, &Stack),
) -> Result<Exit, CliError> {
    let printer = context.printer;
    let changed = manifest.file != *before;
    let dry = context.globals.dry_run;
    if changed && !dry {
        guard::write(context, session, &manifest.file, Room::Free)?;
    }
    let touched = touched(old, new);
    let services: Vec<Value> = touched
        .iter()
        .map(|(service, what)| json!({"service": service, "because": what}))
        .collect();
    printer.document(json!({
        "key": key,
        "changed": changed,
        "written": changed && !dry,
        "added": added(manifest, before),
        "touches": services,
        "next": (!touched.is_empty()).then_some("aistack deploy"),
    }))?;
    if !changed {
        printer.data(&format!("{key} already has that value\n"))?;
        return Ok(Exit::Done);
    }
    let word = if dry { "would change" } else { "changed" };
    printer.data(&format!("{word} {key}\n"))?;
    for port in manifest.moved.iter().filter(|port| port.key == key) {
        printer.warn(&port.to_string());
    }
    if session.catalog.is_key(key) && context.environment.contains_key(key) {
        printer.warn(&format!(
            "{key} is also in your environment, which wins over the .env"
        ));
    }
    for (service, what) in &touched {
        printer.data(&format!("  {service:<14} {}\n", clean(&what.join(", "))))?;
    }
    if touched.is_empty() {
        printer.data("no service depends on it\n")?;
    } else if !dry {
        printer.data("next: aistack deploy, which applies it\n")?;
    }
    Ok(Exit::Done)
}

/// Keys that the file did not have.
fn added<'m>(manifest: &'m Manifest, before: &EnvFile) -> Vec<&'m str> {
    let keys = manifest.file.keys();
    keys.filter(|key| before.get(key).is_none()).collect()
}

/// Services that another stack would recreate, with the parts that differ.
fn touched(old: Option<&Stack>, new: &Stack) -> BTreeMap<String, Vec<String>> {
    let by_name = |stack: &'_ Stack| -> BTreeMap<String, DesiredService> {
        let services = stack.services.iter();
        services
            .map(|service| (service.name.clone(), service.clone()))
            .collect()
    };
    let Some(old) = old.map(by_name) else {
        return BTreeMap::new();
    };
    let new = by_name(new);
    let mut touched = BTreeMap::new();
    for (name, service) in &new {
        let parts = match old.get(name) {
            Some(before) => service.fingerprint.differences(&before.fingerprint),
            None => vec!["new".to_owned()],
        };
        if !parts.is_empty() {
            touched.insert(name.clone(), parts);
        }
    }
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        touched.insert(name.clone(), vec!["no longer part of the stack".to_owned()]);
    }
    touched
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::tests::render;

    #[test]
    fn a_change_touches_what_is_made_of_it_and_nothing_else() {
        let old = render(&[]).unwrap();
        assert!(touched(Some(&old), &old).is_empty());
        let new = render(&[("VECTOR_DB", "pgvector")]).unwrap();
        let touched = touched(Some(&old), &new);
        assert_eq!(touched["pgvector"], ["new"]);
        assert_eq!(touched["qdrant"], ["no longer part of the stack"]);
        assert!(!touched.contains_key("redis"), "{touched:?}");
    }
}
