//! The one way a `.env` is changed, whatever the value comes from: what existing data was made with
//! stays, what a URL cannot hold is refused, and the file of before is kept.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{Catalog, Rotation};
use crate::desired::Stack;
use crate::env_file::{EnvFile, Settings};
use crate::error::CliError;
use crate::exit::Exit;
use crate::run::{Context, Session, reserve, store};

/// A new value of a secret that existing data was made with.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bound {
    key: String,
    /// The service that has the data.
    service: String,
    change: Rotation,
}

/// Whether the `.env` may become `after`; what to tell about it.
///
/// # Errors
/// A secret that existing data cannot be read without, unless it is forced, and characters that a
/// service's URL cannot hold.
pub fn check(
    context: &Context,
    session: &Session,
    before: Option<&EnvFile>,
    after: &EnvFile,
) -> Result<Vec<String>, CliError> {
    let catalog = &session.catalog;
    let owners = catalog.entries().iter();
    let owners = owners.filter(|entry| entry.secrets.iter().any(|own| own.change.bound_to_data()));
    let owners = owners.map(|entry| entry.name.as_str());
    let occupied = store::services_with_data(session.base_dir(), owners)?;
    judge(catalog, &occupied, before, after, context.force)
}

fn judge(
    catalog: &Catalog,
    occupied: &BTreeSet<String>,
    before: Option<&EnvFile>,
    after: &EnvFile,
    force: bool,
) -> Result<Vec<String>, CliError> {
    let (before, after) = (before.map(values).unwrap_or_default(), values(after));
    let bound = bound(catalog, occupied, &before, &after);
    if let Some(lost) = bound
        .iter()
        .find(|bound| bound.change == Rotation::Never && !force)
    {
        let (service, key) = (&lost.service, &lost.key);
        let what = format!("the data of {service} depends on the old {key}; nothing was changed");
        return Err(CliError::new(Exit::Config, what)
            .because("with another value that data could no longer be read")
            .next(format!(
                "keep the old value; to restore the value that the data was created with, run `aistack config set {key} \
                 --secret-file FILE --force`"
            )));
    }
    let kept = bound
        .iter()
        .filter(|bound| bound.change == Rotation::InService);
    let shown = kept.map(|Bound { key, service, .. }| {
        format!(
            "{service} keeps the old {key} in its data: change it there as well, or it rejects the \
             new one"
        )
    });
    Ok(shown.collect())
}

/// Every value with its references replaced; as it stands where that cannot be done.
fn values(file: &EnvFile) -> BTreeMap<String, String> {
    let resolved = Settings::resolve(file, &BTreeMap::new(), |_| false).ok();
    let value = |key: &str| {
        let resolved = resolved.as_ref().and_then(|settings| settings.get(key));
        resolved.or_else(|| file.get(key)).map(str::to_owned)
    };
    file.keys()
        .filter_map(|key| Some((key.to_owned(), value(key)?)))
        .collect()
}

fn bound(
    catalog: &Catalog,
    occupied: &BTreeSet<String>,
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
) -> Vec<Bound> {
    let mut found = Vec::new();
    for entry in catalog.entries() {
        if !occupied.contains(&entry.name) {
            continue;
        }
        for secret in &entry.secrets {
            let old = before.get(&secret.key).filter(|value| !value.is_empty());
            if secret.change.bound_to_data() && old.is_some() && old != after.get(&secret.key) {
                found.push(Bound {
                    key: secret.key.clone(),
                    service: entry.name.clone(),
                    change: secret.change,
                });
            }
        }
    }
    found
}

/// Refuses a secret of the environment that data depends on and the `.env` does not have: the next
/// run without it would not know what the data was made with.
///
/// # Errors
/// Each such key, unless it is forced.
pub fn environment(context: &Context, session: &Session, stack: &Stack) -> Result<(), CliError> {
    // Without its volume the .env is not to be seen.
    if !session.volume_is_mounted() {
        return Ok(());
    }
    let own = stack.services.iter();
    let own: BTreeSet<&str> = own.map(|service| service.name.as_str()).collect();
    let entries = session.catalog.entries().iter();
    let secrets = entries
        .filter(|entry| own.contains(entry.name.as_str()))
        .flat_map(|entry| &entry.secrets);
    let bound: BTreeSet<&str> = secrets
        .filter(|secret| secret.change.bound_to_data())
        .map(|secret| secret.key.as_str())
        .collect();
    let mut refused = Vec::new();
    for key in &stack.overridden {
        if bound.contains(key.as_str()) {
            refused.push(key.as_str());
        }
    }
    let manifest = session.manifest()?;
    let is_written = |key: &&str| {
        manifest
            .as_ref()
            .is_some_and(|file| file.get(key).is_some())
    };
    let unwritten = refused.iter().find(|key| !is_written(key));
    if let Some(key) = unwritten {
        // Whatever is forced: data would be made with a value that is written nowhere.
        let what = format!("{key} is in your environment only, and data will depend on it");
        return Err(CliError::new(Exit::Config, what)
            .because("the .env has no value for it; the next run would generate another one")
            .next(format!(
                "write it with `aistack init --from-env`, or unset {key}"
            )));
    }
    if refused.is_empty() || context.force {
        return Ok(());
    }
    let keys = refused.join(", ");
    let what =
        format!("data depends on {keys}, and your environment has another value than the .env");
    Err(CliError::new(Exit::Config, what)
        .because("nothing was changed; the environment holds for one run, the data stays")
        .next(format!(
            "unset {}; or write it with `aistack init --from-env`; or `aistack deploy --force` for \
             this run",
            refused.join(" ")
        )))
}

/// Where room for the `.env` may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// What is free.
    Free,
    /// The reserve, too: for what frees space.
    Reserve,
}

/// Writes the `.env` under the lock when it may become that, and keeps the one of before.
///
/// # Errors
/// As [`check`], and what the kernel said; the file is as it was then.
pub fn write(
    context: &Context,
    session: &Session,
    after: &EnvFile,
    room: Room,
) -> Result<(), CliError> {
    let before = session.manifest()?;
    for warning in check(context, session, before.as_ref(), after)? {
        context.printer.warn(&warning);
    }
    let base_dir = session.base_dir();
    let written = store::write_manifest(base_dir, after);
    match written {
        Err(failure)
            if failure.full
                && room == Room::Reserve
                && reserve::release(base_dir).is_ok_and(|had| had) =>
        {
            store::write_manifest(base_dir, after)?;
        }
        written => written?,
    }
    reserve::make(base_dir);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(
        occupied: &[&str],
        before: Option<&str>,
        after: &str,
        force: bool,
    ) -> Result<Vec<String>, CliError> {
        let occupied = occupied.iter().map(|&name| name.to_owned()).collect();
        let before = before.map(|text| EnvFile::parse(text).unwrap());
        let after = EnvFile::parse(after).unwrap();
        let catalog = Catalog::embedded();
        judge(&catalog, &occupied, before.as_ref(), &after, force)
    }

    #[test]
    fn a_secret_of_existing_data_is_replaced_by_force_only() {
        let old = Some("N8N_ENCRYPTION_KEY=old\n");
        let new = "N8N_ENCRYPTION_KEY=new\n";
        let failure = outcome(&["n8n"], old, new, false).unwrap_err();
        assert_eq!(failure.exit, Exit::Config);
        assert!(failure.what.contains("N8N_ENCRYPTION_KEY"), "{failure}");
        assert!(failure.next.unwrap().contains("--force"));
        for gone in ["", "N8N_ENCRYPTION_KEY=\n"] {
            assert!(outcome(&["n8n"], old, gone, false).is_err(), "{gone}");
        }
        assert!(outcome(&["n8n"], old, new, true).unwrap().is_empty());
        // No data yet, no value yet, the same value in other quotes.
        assert!(outcome(&["redis"], old, new, false).is_ok());
        for before in [
            None,
            Some(""),
            Some("N8N_ENCRYPTION_KEY=\n"),
            Some("N8N_ENCRYPTION_KEY='new'\n"),
        ] {
            assert!(outcome(&["n8n"], before, new, false).is_ok(), "{before:?}");
        }
    }

    #[test]
    fn a_secret_that_is_a_reference_is_guarded_through_what_it_refers_to() {
        let file = |mine: &str| format!("MINE={mine}\nN8N_ENCRYPTION_KEY=${{MINE}}\n");
        assert!(outcome(&["n8n"], Some(&file("old")), &file("new"), false).is_err());
        let plain = "N8N_ENCRYPTION_KEY=old\n";
        assert!(outcome(&["n8n"], Some(&file("old")), plain, false).is_ok());
    }

    #[test]
    fn a_password_that_a_service_keeps_is_reported() {
        let shown = outcome(
            &["postgres"],
            Some("POSTGRES_PASSWORD=old\n"),
            "POSTGRES_PASSWORD=new\n",
            false,
        );
        assert!(shown.unwrap()[0].contains("postgres keeps the old POSTGRES_PASSWORD"));
    }
}
