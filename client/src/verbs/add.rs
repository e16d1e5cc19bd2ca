//! `aistack add`: more services, of the catalog or of the tenant's own.

use std::path::Path;

use serde_json::json;

use crate::args::{AddArgs, DeployArgs};
use crate::catalog::own::{self, InvalidEntry, OwnFile};
use crate::catalog::{Catalog, Entry};
use crate::desired::Stack;
use crate::engine::Container;
use crate::error::CliError;
use crate::exit::Exit;
use crate::keys::{SERVICES, VECTOR_DB};
use crate::run::{Context, Session, choice, service_files, setup};
use crate::selection::{self, Reason, Selection, Sums, gib};
use crate::stack::apply::apply;
use crate::stack::{preview, refresh, report};
use crate::ui::{Progress, prompt};

pub(super) async fn run(context: &Context, args: &AddArgs) -> Result<Exit, CliError> {
    let mut session = Session::open(context).await?;
    let file = match &args.file {
        Some(path) => Some(read(&session, path)?),
        None => None,
    };
    let mut names = args.offered.clone();
    if let Some(file) = &file {
        (session.catalog, session.invalid) = with_file(&session, file)?;
        names.push(file.name.clone());
    }
    let before = choice::values(context, &session)?;
    let overrides = overrides(context, &session, &names)?;
    // Everything that speaks against it is reported before any question and any change.
    let (_, stack) = setup::draft_with(context, &session, &overrides)?;
    let added = tell(context, &session, &names, &before, &overrides)?;
    if context.globals.dry_run {
        return would(context, &session, &stack, &names, &added, &overrides).await;
    }
    for name in &names {
        replace_vector_db(context, &session, &before, name).await?;
    }
    let progress = Progress::new(context.printer);
    setup::prepare_volume(context, &mut session, &progress).await?;
    // Again under the lock: another run may have added something meanwhile.
    let overrides = || {
        if let Some(file) = &file {
            service_files::write(session.base_dir(), file, session.grant.uid)?;
        }
        self::overrides(context, &session, &names)
    };
    let ready = setup::prepare_with(context, &session, overrides, "aistack add", &progress).await?;
    if args.no_deploy {
        progress.close();
        context
            .printer
            .document(json!({"added": added, "left_out": ready.stack.left_out}))?;
        context
            .printer
            .data("written; `aistack deploy` applies it\n")?;
        return Ok(Exit::Done);
    }
    let containers = session.engine.list().await?;
    let deploy = DeployArgs {
        services: to_deploy(&session, &ready.stack, &containers, &names, &added),
        ..DeployArgs::default()
    };
    let tools = session.tools(context, &progress);
    let applied = apply(&tools, &ready.stack, ready.unconfined.as_deref(), &deploy).await?;
    let done = report::applied(context.printer, &ready.stack, &applied, &progress)?;
    for entry in added.iter().filter_map(|name| session.catalog.get(name)) {
        logins(context, entry);
    }
    Ok(done)
}

/// What is new, or what was named where nothing is, with what lists it; nothing stands for the
/// whole stack, which another vector database concerns: the old one goes.
fn to_deploy(
    session: &Session,
    stack: &Stack,
    containers: &[Container],
    names: &[String],
    added: &[String],
) -> Vec<String> {
    let entry = |name: &String| session.catalog.get(name);
    if added
        .iter()
        .filter_map(entry)
        .any(|entry| entry.vector_db.is_some())
    {
        return Vec::new();
    }
    let means = |service: &str| {
        let group = session.catalog.get(service);
        let group = group.and_then(|entry| entry.group.as_deref());
        added.iter().any(|name| name == service)
            || names
                .iter()
                .any(|name| name == service || Some(name.as_str()) == group)
    };
    let services = stack.services.iter().map(|service| service.name.as_str());
    let chosen: Vec<&Entry> = services
        .filter(|name| means(name))
        .filter_map(|name| session.catalog.get(name))
        .collect();
    let mut names: Vec<String> = chosen.iter().map(|entry| entry.name.clone()).collect();
    for name in refresh::touched(&session.catalog, stack, containers, &chosen) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The answer to `--dry-run`: what would be written, and what the deploy would do.
async fn would(
    context: &Context,
    session: &Session,
    stack: &Stack,
    names: &[String],
    added: &[String],
    overrides: &[(String, String)],
) -> Result<Exit, CliError> {
    let containers = session.engine.list().await?;
    let deploy = to_deploy(session, stack, &containers, names, added);
    let observed = preview::observe(&session.engine, &session.who, stack).await?;
    let plan = preview::make(stack, &observed, &deploy)?;
    if context.printer.json {
        let mut document = preview::document(&plan, stack);
        document["would_add"] = json!(added);
        document["overrides"] = choice::shown(session, overrides);
        context.printer.document(document)?;
    } else {
        preview::show(context.printer, &plan, stack)?;
        preview::tell_overridden(context.printer, stack);
    }
    Ok(Exit::Done)
}

fn read(session: &Session, path: &Path) -> Result<OwnFile, CliError> {
    let file = service_files::read(path).map_err(|error| {
        CliError::new(Exit::Config, format!("cannot read {}", path.display()))
            .because(error.to_string())
            .next("a service file is a regular file named SERVICE.toml of at most 64 KiB; docs/own-services.md")
    })?;
    if !session.base_dir().join("config").is_dir() {
        return Err(
            CliError::new(Exit::NotFound, "there is no stack here yet").next("aistack init")
        );
    }
    Ok(file)
}

/// The catalog with the new file in it, and the files that it is without; or what is wrong with the
/// new one.
fn with_file(session: &Session, file: &OwnFile) -> Result<(Catalog, Vec<InvalidEntry>), CliError> {
    let (mut files, mut invalid) = service_files::all(session.base_dir(), session.grant.uid);
    files.retain(|other| other.name != file.name);
    invalid.retain(|other| other.name != file.name);
    files.push(file.clone());
    let (catalog, more) = own::with_files(&files);
    if let Some(mistaken) = more.iter().find(|other| other.name == file.name) {
        return Err(CliError::service_files([mistaken]));
    }
    invalid.extend(more);
    Ok((catalog, invalid))
}

/// What the manifest has to say for these names.
fn overrides(
    context: &Context,
    session: &Session,
    names: &[String],
) -> Result<Vec<(String, String)>, CliError> {
    if session.manifest()?.is_none() {
        return Err(
            CliError::new(Exit::NotFound, "there is no stack here yet").next("aistack init")
        );
    }
    let values = choice::values(context, session)?;
    let mut overrides = Vec::new();
    let mut more: Vec<&str> = Vec::new();
    for name in names {
        if let Some(instead) = stands_for(name) {
            return Err(
                CliError::new(Exit::NotFound, format!("there is no service `{name}`"))
                    .because(instead.1)
                    .next(format!("aistack add {}", instead.0)),
            );
        }
        match session.catalog.get(name) {
            Some(entry) if entry.vector_db.is_some() => {
                if let Some((_, other)) = overrides.first() {
                    return Err(CliError::new(
                        Exit::Usage,
                        format!("a stack has one vector database, not both {other} and {name}"),
                    ));
                }
                overrides.push((VECTOR_DB.to_owned(), name.clone()));
            }
            _ => more.push(name),
        }
    }
    if !more.is_empty() {
        let services = values(SERVICES).unwrap_or_else(|| {
            selection::preset(&session.catalog, crate::catalog::Preset::Minimal)
        });
        let services = selection::with(&session.catalog, &services, &more)
            .map_err(|errors| choice::refused(&errors))?;
        overrides.push((SERVICES.to_owned(), services));
    }
    Ok(overrides)
}

/// Names of the mission's roles that another service fills.
fn stands_for(name: &str) -> Option<(&'static str, &'static str)> {
    match name {
        "minio" | "s3" => Some((
            "seaweedfs",
            "MinIO is archived and its last image has a known vulnerability; seaweedfs replaces it with the same S3 API and the keys MINIO_S3_PORT, S3_ACCESS_KEY, S3_SECRET_KEY",
        )),
        "tailscale" => Some((
            "openclaw",
            "tailscale comes with openclaw, which it connects",
        )),
        _ => None,
    }
}

/// Prompts before one vector database takes the place of another.
async fn replace_vector_db(
    context: &Context,
    session: &Session,
    values: &selection::Value<'_>,
    name: &str,
) -> Result<(), CliError> {
    let entry = session.catalog.get(name);
    if entry.is_none_or(|entry| entry.vector_db.is_none()) {
        return Ok(());
    }
    let present = values(VECTOR_DB).unwrap_or_default();
    if present.is_empty() || present == "none" || present == name || context.globals.yes {
        return Ok(());
    }
    let question = format!("{name} replaces {present}, whose data is kept. Continue?");
    if !context.interactive() {
        return Err(CliError::new(Exit::Usage, question)
            .because("input required, but stdin is not a terminal, or --json or --no-input is set")
            .next(format!("aistack add --yes {name}")));
    }
    if prompt::confirm(&question, true).await? {
        return Ok(());
    }
    Err(CliError::new(
        Exit::Failed,
        "not confirmed; nothing was changed",
    ))
}

/// Says what comes along and why; the names of all that is new.
fn tell(
    context: &Context,
    session: &Session,
    names: &[String],
    before: &selection::Value<'_>,
    overrides: &[(String, String)],
) -> Result<Vec<String>, CliError> {
    let after = choice::over(before, overrides);
    let refused = |errors: Vec<_>| choice::refused(&errors);
    let old = Selection::of(&session.catalog, before).map_err(refused)?;
    let new = Selection::of(&session.catalog, &after).map_err(refused)?;
    let mut added = Vec::new();
    for member in new
        .members
        .iter()
        .filter(|member| !old.has(&member.entry.name))
    {
        if let Reason::Needed { by } = &member.reason
            && !names.contains(&member.entry.name)
        {
            context.printer.note(&format!(
                "{by} needs {}, which is added as well",
                member.entry.name
            ));
        }
        added.push(member.entry.name.clone());
    }
    for name in names {
        if old.has(name) {
            let text = format!("{name} is part of your stack already");
            context.printer.note(&text);
        }
    }
    if !added.is_empty() {
        let given = Sums::given(&session.grant.limits.unwrap_or_default());
        context.printer.note(&format!(
            "new: {}; the stack may then use {} of memory (now {}) of the {} that the policy allows",
            added.join(", "),
            gib(new.sums().memory_bytes),
            gib(old.sums().memory_bytes),
            gib(given.memory_bytes),
        ));
    }
    Ok(added)
}

fn logins(context: &Context, entry: &Entry) {
    if !entry.docs.login.is_empty() {
        context
            .printer
            .note(&format!("{}: {}", entry.name, entry.docs.login));
    }
}
