//! `aistack init`: the volume, the ports, every secret, and the one file that holds them.

use std::path::Path;

use serde_json::json;

use crate::desired::Stack;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::manifest::Manifest;
use crate::run::{Context, Session, prompt, setup, store};
use crate::selection::{self, SERVICES, VECTOR_DB};
use crate::ui::{Progress, Table};
use crate::verbs::args::InitArgs;

/// What a secret is shown as.
const HIDDEN: &str = "(secret)";

pub(super) async fn run(context: &Context, args: &InitArgs) -> Result<Exit, Failure> {
    let session = Session::open(context).await?;
    let mut overrides = overrides(context, &session, args)?;
    let (draft, _) = setup::draft_with(context, &session, &overrides)?;
    if args.print || context.globals.dry_run {
        let text = shown(&session, &draft);
        context.printer.data(&text)?;
        context.printer.document(json!({
            "text": text, "added": draft.added, "changed": draft.changed, "moved": draft.moved,
        }))?;
        for port in &draft.moved {
            context.printer.warn(&port.to_string());
        }
        return Ok(Exit::Done);
    }
    let progress = Progress::new(context.printer);
    setup::ground(context, &session, &progress).await?;
    let existing = session.manifest()?.is_some();
    if context.interactive() && (!existing || args.reconfigure) {
        interview(context, &session, &mut overrides).await?;
    }
    let ready = setup::settle(context, &session, &overrides, "aistack init", &progress).await?;
    if let Some(warning) = &ready.unconfined {
        context.printer.warn(warning);
    }
    report(context, &session, &ready.manifest, &ready.stack)
}

/// Values of the environment, then those of the flags: what is set here is written to the file.
fn overrides(
    context: &Context,
    session: &Session,
    args: &InitArgs,
) -> Result<Vec<(String, String)>, Failure> {
    let mut overrides: Vec<(String, String)> = context
        .environment
        .iter()
        .filter(|(key, _)| session.catalog.is_key(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    for (key, value) in &args.set {
        if session.catalog.is_secret(key) {
            return Err(Failure::new(
                Exit::Usage,
                format!("--set {key}: secrets do not belong in arguments, which others can read"),
            )
            .next(format!("aistack init --secret-file {key}=FILE")));
        }
        overrides.push((key.clone(), value.clone()));
    }
    for (key, path) in &args.secret_file {
        let value = std::fs::read_to_string(path)
            .map_err(|error| Failure::io("read", Path::new(path), &error))?;
        overrides.push((key.clone(), value.trim_end_matches(['\n', '\r']).to_owned()));
    }
    if let Some(services) = services(session, args)? {
        overrides.push((SERVICES.to_owned(), services));
    }
    let named = [(VECTOR_DB, &args.vector_db), ("DOMAIN_NAME", &args.domain)];
    for (key, value) in named {
        if let Some(value) = value {
            overrides.push((key.to_owned(), value.clone()));
        }
    }
    Ok(overrides)
}

/// The value of `SERVICES` that `--preset` and `--services` ask for.
fn services(session: &Session, args: &InitArgs) -> Result<Option<String>, Failure> {
    if args.preset.is_none() && args.services.is_empty() {
        return Ok(None);
    }
    let catalog = &session.catalog;
    let base = args.preset.map(|preset| selection::preset(catalog, preset));
    let named = args.services.join(",");
    let value = [base.unwrap_or_default(), named].join(",");
    let value = selection::with(catalog, &value, &[]).map_err(|errors| {
        errors
            .iter()
            .fold(
                Failure::new(Exit::NotFound, "no such services can be chosen"),
                |failure, error| failure.because(error.to_string()),
            )
            .next("aistack init --services with names of the catalog")
    })?;
    Ok(Some(value))
}

/// The manifest's text without its secrets.
fn shown(session: &Session, manifest: &Manifest) -> String {
    let mut file = manifest.file.clone();
    for key in manifest.file.keys() {
        let filled = manifest
            .file
            .get(key)
            .is_some_and(|value| !value.is_empty());
        if filled && session.catalog.is_secret(key) {
            file.set(key, HIDDEN, None);
        }
    }
    file.render()
}

/// Asks what only the user knows and shows what the rest will be.
async fn interview(
    context: &Context,
    session: &Session,
    overrides: &mut Vec<(String, String)>,
) -> Result<(), Failure> {
    let (draft, _) = setup::draft_with(context, session, overrides)?;
    let value = |key: &str| draft.file.get(key).unwrap_or_default().to_owned();
    let vector_db = value("VECTOR_DB");
    let known = session.catalog.vector_dbs();
    let usual = known.iter().position(|name| *name == vector_db);
    let options = known.iter().map(|&name| name.to_owned()).collect();
    let chosen = prompt::choose("Vector database", options, usual.unwrap_or_default()).await?;
    if let Some(name) = known.get(chosen) {
        overrides.push((VECTOR_DB.to_owned(), (*name).to_owned()));
    }
    let (draft, stack) = setup::draft_with(context, session, overrides)?;
    let printer = context.printer;
    printer.note(&summary(session, &draft, &stack).render(printer.err));
    if prompt::confirm("Write this to your .env?", true).await? {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Failed,
        "not confirmed; no .env was written",
    ))
}

fn summary(session: &Session, manifest: &Manifest, stack: &Stack) -> Table {
    let value = |key: &str| manifest.file.get(key).unwrap_or_default();
    let services: Vec<&str> = stack
        .services
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    let mut table = Table::plain();
    table.text(["  base directory", &session.grant.base_dir]);
    table.text(["  domain", value("DOMAIN_NAME")]);
    table.text(["  services", &services.join(", ")]);
    table.text(["  vector database", value("VECTOR_DB")]);
    for service in &stack.services {
        for endpoint in service
            .endpoints
            .iter()
            .filter(|endpoint| !endpoint.proxied)
        {
            table.text([&format!("  {}", service.name), &endpoint.port.to_string()]);
        }
    }
    table
}

fn report(
    context: &Context,
    session: &Session,
    manifest: &Manifest,
    stack: &Stack,
) -> Result<Exit, Failure> {
    let path = store::manifest_path(session.base_dir());
    let services: Vec<&str> = stack
        .services
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    context.printer.document(json!({
        "manifest": path,
        "added": manifest.added,
        "changed": manifest.changed,
        "moved": manifest.moved,
        "services": services,
        "next": "aistack deploy",
    }))?;
    if manifest.added.is_empty() && manifest.changed.is_empty() {
        context.printer.data(&format!(
            "{} is complete: nothing changed\n",
            path.display()
        ))?;
    } else if !manifest.changed.is_empty() {
        let changed = manifest.changed.join(", ");
        context.printer.data(&format!("changed: {changed}\n"))?;
    }
    context.printer.data("next: aistack deploy\n")?;
    Ok(Exit::Done)
}
