//! `aistack init`: the volume, the ports, every secret, and the one file that holds them.

mod interview;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use crate::args::InitArgs;
use crate::desired::Stack;
use crate::error::CliError;
use crate::exit::Exit;
use crate::keys::{SERVICES, VECTOR_DB};
use crate::manifest::Manifest;
use crate::run::{Context, Session, setup, store};
use crate::selection;
use crate::ui::Progress;

/// What a secret is shown as.
const HIDDEN: &str = "(secret)";

pub(super) async fn run(context: &Context, args: &InitArgs) -> Result<Exit, CliError> {
    let mut session = Session::open(context).await?;
    let mut overrides = overrides(context, &session, args)?;
    // It is the file that is made and judged, not what holds for this run only.
    let environment = &context.environment;
    let context = &context
        .forcing(args.force)
        .without(|key| session.catalog.is_key(key));
    if args.print || context.globals.dry_run {
        let (draft, stack) = setup::draft_with(context, &session, &overrides)?;
        tell_unwritten(context, &session, environment, &draft);
        return print(context, &session, &draft, &stack);
    }
    // What may still be answered with a smaller stack is not refused before the question.
    if !context.interactive() {
        setup::draft_with(context, &session, &overrides)?;
    }
    let progress = Progress::new(context.printer);
    setup::prepare_volume(context, &mut session, &progress).await?;
    let existing = session.manifest()?.is_some();
    if context.interactive() && (!existing || args.reconfigure) {
        interview::ask(context, &session, &mut overrides).await?;
    }
    let ready = setup::prepare(context, &session, &overrides, "aistack init", &progress).await?;
    if let Some(warning) = &ready.unconfined {
        context.printer.warn(warning);
    }
    tell_unwritten(context, &session, environment, &ready.manifest);
    report(context, &session, &ready.manifest, &ready.stack)
}

/// Says which values of the environment the file has not, so that they hold for one run only.
fn tell_unwritten(
    context: &Context,
    session: &Session,
    environment: &BTreeMap<String, String>,
    manifest: &Manifest,
) {
    let differs = |(key, value): &(&String, &String)| {
        session.catalog.is_key(key) && manifest.file.get(key) != Some(value)
    };
    let keys: Vec<&str> = environment
        .iter()
        .filter(differs)
        .map(|(key, _)| key.as_str())
        .collect();
    if !keys.is_empty() {
        context.printer.warn(&format!(
            "in your environment and not in the .env: {}; `aistack init --from-env` writes that",
            keys.join(", ")
        ));
    }
}

/// Values of the environment, where they are wanted, then those of the flags: what is set here
/// is written to the file.
fn overrides(
    context: &Context,
    session: &Session,
    args: &InitArgs,
) -> Result<Vec<(String, String)>, CliError> {
    let mut overrides: Vec<(String, String)> = context
        .environment
        .iter()
        .filter(|(key, _)| args.from_env && session.catalog.is_key(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    for (key, value) in &args.set {
        if session.catalog.is_secret(key) {
            return Err(CliError::new(
                Exit::Usage,
                format!("--set {key}: do not pass secrets as arguments, which others can read"),
            )
            .next(format!("aistack init --secret-file {key}=FILE")));
        }
        overrides.push((key.clone(), value.clone()));
    }
    for (key, path) in &args.secret_file {
        let value = std::fs::read_to_string(path)
            .map_err(|error| CliError::io("read", Path::new(path), &error))?;
        overrides.push((key.clone(), value.trim_end_matches(['\n', '\r']).to_owned()));
    }
    let flags = [
        (SERVICES, services(session, args)?),
        (VECTOR_DB, args.vector_db.clone()),
        ("DOMAIN_NAME", args.domain.clone()),
    ];
    for (key, value) in flags {
        let Some(value) = value else { continue };
        if args.set.iter().any(|(set, _)| set == key) {
            let message = format!("--set {key} says the same as another flag; give one of them");
            return Err(CliError::new(Exit::Usage, message));
        }
        overrides.push((key.to_owned(), value));
    }
    Ok(overrides)
}

/// The value of `SERVICES` that `--preset` and `--services` ask for.
fn services(session: &Session, args: &InitArgs) -> Result<Option<String>, CliError> {
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
                CliError::new(Exit::NotFound, "no such services can be chosen"),
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

fn print(
    context: &Context,
    session: &Session,
    draft: &Manifest,
    stack: &Stack,
) -> Result<Exit, CliError> {
    let text = shown(session, draft);
    context.printer.data(&text)?;
    context.printer.document(json!({
        "text": text, "added": draft.added, "changed": draft.changed, "moved": draft.moved,
        "left_out": stack.left_out,
    }))?;
    for port in &draft.moved {
        context.printer.warn(&port.to_string());
    }
    for left in &stack.left_out {
        context.printer.note(&left.to_string());
    }
    Ok(Exit::Done)
}

fn report(
    context: &Context,
    session: &Session,
    manifest: &Manifest,
    stack: &Stack,
) -> Result<Exit, CliError> {
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
        "left_out": stack.left_out,
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
    for left in &stack.left_out {
        context.printer.note(&left.to_string());
    }
    context.printer.data("next: aistack deploy\n")?;
    Ok(Exit::Done)
}
