//! `aistack add`: more services, of the catalog or of the tenant's own.

use std::path::Path;

use serde_json::json;

use crate::catalog::own::{self, OwnFile};
use crate::catalog::{Catalog, Entry};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::run::{Context, Session, atomic, choice, prompt, setup};
use crate::selection::{self, Reason, SERVICES, Selection, VECTOR_DB};
use crate::ui::Progress;
use crate::verbs::args::{AddArgs, DeployArgs};
use crate::verbs::deploy;

pub(super) async fn run(context: &Context, args: &AddArgs) -> Result<Exit, Failure> {
    let mut session = Session::open(context).await?;
    let file = match &args.file {
        Some(path) => Some(read(&session, path)?),
        None => None,
    };
    let mut names = args.offered.clone();
    if let Some(file) = &file {
        session.catalog = with_file(&session, file)?;
        names.push(file.name.clone());
    }
    let overrides = overrides(context, &session, &names).await?;
    let before = choice::values(context, &session)?;
    // Everything that speaks against it is told before anything is written.
    setup::draft_with(context, &session, &overrides)?;
    let told = tell(context, &session, &names, &before, &overrides)?;
    if context.globals.dry_run {
        context.printer.document(json!({
            "would_add": told, "overrides": choice::shown(&session, &overrides),
        }))?;
        context
            .printer
            .data(&format!("would add: {}\n", told.join(", ")))?;
        return Ok(Exit::Done);
    }
    if let Some(file) = &file {
        write(&session, file)?;
    }
    let progress = Progress::new(context.printer);
    setup::ground(context, &session, &progress).await?;
    let settled = setup::settle(context, &session, &overrides, "aistack add", &progress).await;
    // Deploy takes the lock for itself.
    drop(settled?);
    progress.close();
    if args.no_deploy {
        context.printer.document(json!({"added": told}))?;
        context
            .printer
            .data("written; `aistack deploy` makes it so\n")?;
        return Ok(Exit::Done);
    }
    let done = deploy::run(context, &DeployArgs::default()).await?;
    for entry in told.iter().filter_map(|name| session.catalog.get(name)) {
        logins(context, entry);
    }
    Ok(done)
}

fn read(session: &Session, path: &Path) -> Result<OwnFile, Failure> {
    let file = own::read(path).map_err(|error| {
        Failure::new(Exit::Refused, format!("cannot read {}", path.display()))
            .because(error.to_string())
            .next("a service file is a regular file named SERVICE.toml of at most 64 KiB; docs/own-services.md")
    })?;
    if !session.base_dir().join("config").is_dir() {
        return Err(Failure::new(Exit::NotFound, "there is no stack here yet").next("aistack init"));
    }
    Ok(file)
}

/// The catalog with the new file in it, or what is wrong with that.
fn with_file(session: &Session, file: &OwnFile) -> Result<Catalog, Failure> {
    let (mut files, _) = own::all(session.base_dir());
    files.retain(|other| other.name != file.name);
    files.push(file.clone());
    let (catalog, mistakes) = own::with_files(&files);
    let own: Vec<_> = mistakes
        .into_iter()
        .filter(|mistake| mistake.file == format!("{}.toml", file.name))
        .collect();
    if own.is_empty() {
        return Ok(catalog);
    }
    let mut failure = Failure::service_files(&own);
    for mistake in &own {
        if let Some(line) = file.text.lines().nth(mistake.line - 1) {
            failure = failure.because(format!("{:>5} | {}", mistake.line, crate::ui::clean(line)));
            failure = failure.because(format!("      | {:>1$}", "^", mistake.column));
        }
    }
    Err(failure)
}

fn write(session: &Session, file: &OwnFile) -> Result<(), Failure> {
    let directory = own::directory(session.base_dir());
    std::fs::create_dir_all(&directory).map_err(|error| Failure::io("make", &directory, &error))?;
    let path = own::path_of(session.base_dir(), &file.name);
    atomic::write(&path, file.text.as_bytes(), 0o600)
        .map_err(|error| Failure::io("write", &path, &error))
}

/// What the manifest has to say for these names.
async fn overrides(
    context: &Context,
    session: &Session,
    names: &[String],
) -> Result<Vec<(String, String)>, Failure> {
    if session.manifest()?.is_none() {
        return Err(Failure::new(Exit::NotFound, "there is no stack here yet").next("aistack init"));
    }
    let values = choice::values(context, session)?;
    let mut overrides = Vec::new();
    let mut more: Vec<&str> = Vec::new();
    for name in names {
        if let Some(instead) = stands_for(name) {
            return Err(
                Failure::new(Exit::NotFound, format!("there is no service `{name}`"))
                    .because(instead.1)
                    .next(format!("aistack add {}", instead.0)),
            );
        }
        match session.catalog.get(name) {
            Some(entry) if entry.vector_db.is_some() => {
                replace_vector_db(context, &values, name).await?;
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
            "MinIO is archived and its last image has a published hole; seaweedfs fills its role with the same S3 API and the keys MINIO_S3_PORT, S3_ACCESS_KEY, S3_SECRET_KEY",
        )),
        "tailscale" => Some((
            "openclaw",
            "tailscale comes with openclaw, which it connects",
        )),
        _ => None,
    }
}

/// Asks before one vector database takes the place of another.
async fn replace_vector_db(
    context: &Context,
    values: &selection::Value<'_>,
    name: &str,
) -> Result<(), Failure> {
    let present = values(VECTOR_DB).unwrap_or_default();
    if present.is_empty() || present == "none" || present == name || context.globals.yes {
        return Ok(());
    }
    let question = format!("{name} takes the place of {present}, whose data is kept. Go on?");
    if !context.interactive() {
        return Err(Failure::new(Exit::Usage, question)
            .because("it cannot ask here: there is no terminal, or --json or --no-input is set")
            .next(format!("aistack add --yes {name}")));
    }
    if prompt::confirm(&question, true).await? {
        return Ok(());
    }
    Err(Failure::new(
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
) -> Result<Vec<String>, Failure> {
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
                "{by} needs {}, which is added too",
                member.entry.name
            ));
        }
        added.push(member.entry.name.clone());
    }
    for left in &new.left_out {
        context.printer.warn(&left.to_string());
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
