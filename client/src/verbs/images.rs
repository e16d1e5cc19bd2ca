//! `aistack images`: which image each service runs, and holding on to it by its digest.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::args::{ImagesArgs, ImagesVerb, LockImagesArgs, Pull, UnlockImagesArgs};
use crate::desired::{DesiredService, Locked, Stack};
use crate::engine::{Container, Image};
use crate::error::CliError;
use crate::exit::Exit;
use crate::run::lock::Lock;
use crate::run::{Context, Session, store};
use crate::stack::{images, preview, select};
use crate::ui::{Progress, Table, Tone, size};
use aistack_policy::image::ImageRef;

/// Digits of an id or a digest that are shown.
const SHORT: usize = 12;

pub(super) async fn run(context: &Context, args: &ImagesArgs) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    match &args.verb {
        ImagesVerb::List => list(context, &session).await,
        ImagesVerb::Lock(args) => lock(context, session, args).await,
        ImagesVerb::Unlock(args) => unlock(context, &session, args).await,
    }
}

async fn list(context: &Context, session: &Session) -> Result<Exit, CliError> {
    let stack = session.stack_on_disk(context)?;
    let containers = containers(session).await?;
    let mut table = Table::new(&["SERVICE", "IMAGE", "ID", "SIZE", "DIGEST", "LOCKED"]);
    let mut documents = Vec::new();
    for service in &stack.services {
        let image = session.engine.image(&service.image).await?;
        let runs = containers.get(&service.name);
        let runs = runs.map(|container| container.image_id.as_str());
        let id = image.as_ref().map(|image| image.id.as_str());
        let digest = image
            .as_ref()
            .and_then(|image| digest_of(&service.reference, image));
        let held = session.locks.get(&service.name);
        let (word, tone) = match (&service.locked, held) {
            (Some(_), _) => ("yes", Tone::Good),
            (None, Some(_)) => ("another reference", Tone::Notice),
            (None, None) => ("no", Tone::Faint),
        };
        let differs = runs.is_some() && runs != id;
        table.row([
            (service.name.clone(), None),
            (service.reference.clone(), None),
            match runs.or(id) {
                Some(id) if differs => (format!("{} (runs)", short(id)), Some(Tone::Notice)),
                Some(id) => (short(id), None),
                None => ("not here".to_owned(), Some(Tone::Notice)),
            },
            (
                image
                    .as_ref()
                    .map(|image| size(image.size))
                    .unwrap_or_default(),
                None,
            ),
            (
                digest.as_deref().map_or_else(|| "-".to_owned(), short),
                None,
            ),
            (word.to_owned(), Some(tone)),
        ]);
        documents.push(json!({
            "service": service.name, "reference": service.reference, "id": id, "running_id": runs,
            "digest": digest, "size": image.as_ref().map(|image| image.size), "lock": held,
            "lock_holds": service.locked.is_some(),
        }));
    }
    context.printer.document(json!({"images": documents}))?;
    context.printer.table(&table)?;
    preview::tell_moved(context.printer, &stack, &session.locks);
    Ok(Exit::Done)
}

/// What became of one service.
enum Outcome {
    Locked(Locked),
    Unchanged,
    Not(String),
}

async fn lock(
    context: &Context,
    mut session: Session,
    args: &LockImagesArgs,
) -> Result<Exit, CliError> {
    let _lock = hold(context, &session).await?;
    // Read again: another run may have written it before this one had the lock.
    session.locks = store::read_locks(session.base_dir())?;
    let stack = session.stack_on_disk(context)?;
    let chosen = select(&args.services, &stack.names())?;
    let services: Vec<&DesiredService> = stack
        .services
        .iter()
        .filter(|service| chosen.contains(&service.name))
        .collect();
    if args.update && !context.globals.dry_run {
        let references: BTreeSet<String> = services
            .iter()
            .map(|service| service.reference.clone())
            .collect();
        let progress = Progress::new(context.printer);
        let pulled = images::ensure(&session.engine, references, Pull::Always, &progress).await;
        progress.close();
        pulled?;
    }
    let containers = containers(&session).await?;
    let mut locks = session.locks.clone();
    let mut outcomes = Vec::new();
    for service in services {
        let outcome = decide(&session, service, &containers, args.update).await?;
        if let Outcome::Locked(locked) = &outcome {
            locks.set(&service.name, locked.clone());
        }
        outcomes.push((service, outcome));
    }
    if locks != session.locks && !context.globals.dry_run {
        store::write_locks(session.base_dir(), &locks)?;
    }
    report(context, &session, &stack, &outcomes)
}

/// What to lock a service to: what runs; with `--update`, and where nothing runs, what its
/// reference stands for on this host.
async fn decide(
    session: &Session,
    service: &DesiredService,
    containers: &BTreeMap<String, Container>,
    update: bool,
) -> Result<Outcome, CliError> {
    let held = session.locks.get(&service.name);
    if held.is_some() && !update {
        return Ok(Outcome::Unchanged);
    }
    let runs = containers
        .get(&service.name)
        .filter(|container| !update && container.image == service.reference);
    let image = match runs {
        Some(container) => session.engine.image(&container.image_id).await?,
        None => session.engine.image(&service.reference).await?,
    };
    let Some(image) = image else {
        // In containerd's image store the image of a tag that has moved on has no name left.
        let what = match runs {
            Some(_) => {
                "the image that it runs has no name on this host any more, because its tag has moved"
            }
            None => "its image is not on this host",
        };
        let why = format!("{what}: deploy it, or lock it with --update");
        return Ok(Outcome::Not(why));
    };
    let Some(digest) = digest_of(&service.reference, &image) else {
        return Ok(Outcome::Not(
            "its image has no registry digest: it was built or loaded on this host".to_owned(),
        ));
    };
    if held.is_some_and(|held| held.reference == service.reference && held.digest == digest) {
        return Ok(Outcome::Unchanged);
    }
    Ok(Outcome::Locked(Locked {
        reference: service.reference.clone(),
        digest,
        id: image.id,
        platform: image.platform,
        locked: Timestamp::from_second(Timestamp::now().as_second())
            .unwrap_or_default()
            .to_string(),
    }))
}

fn report(
    context: &Context,
    session: &Session,
    stack: &Stack,
    outcomes: &[(&DesiredService, Outcome)],
) -> Result<Exit, CliError> {
    let printer = context.printer;
    let dry = context.globals.dry_run;
    let mut table = Table::plain();
    let mut documents: Vec<Value> = Vec::new();
    let mut locked_now = 0;
    for (service, outcome) in outcomes {
        let name = service.name.as_str();
        match outcome {
            Outcome::Locked(locked) => {
                locked_now += 1;
                let word = if dry {
                    "would be locked to"
                } else {
                    "locked to"
                };
                let digest = short(&locked.digest);
                table.text([name, word, &digest, &locked.reference]);
                documents.push(json!({"service": name, "result": "locked", "lock": locked}));
            }
            Outcome::Unchanged => {
                documents.push(json!({
                    "service": name, "result": "kept", "lock": session.locks.get(name),
                }));
            }
            Outcome::Not(why) => {
                table.text([name, "not locked:", why]);
                documents.push(json!({"service": name, "result": "not locked", "because": why}));
            }
        }
    }
    printer.document(json!({
        "images": documents, "written": locked_now > 0 && !dry,
        "file": store::locks_path(session.base_dir()),
    }))?;
    printer.table(&table)?;
    if locked_now == 0 {
        printer.data("no lock changed\n")?;
    } else if !dry {
        let path = store::locks_path(session.base_dir());
        printer.data(&format!("wrote {}\n", path.display()))?;
    }
    let known = outcomes
        .iter()
        .filter(|(_, outcome)| matches!(outcome, Outcome::Unchanged));
    let moved = preview::moved(stack, &session.locks);
    for (service, _) in known {
        if let Some((_, held)) = moved.iter().find(|(other, _)| other.name == service.name) {
            printer.note(&format!(
                "{}: the stack says {}, the lock holds {}: aistack images lock --update {}",
                service.name, service.reference, held.reference, service.name
            ));
        }
    }
    Ok(Exit::Done)
}

async fn unlock(
    context: &Context,
    session: &Session,
    args: &UnlockImagesArgs,
) -> Result<Exit, CliError> {
    let _lock = hold(context, session).await?;
    let mut locks = store::read_locks(session.base_dir())?;
    let locked: BTreeSet<String> = locks.names().map(str::to_owned).collect();
    let known: BTreeSet<String> = match session.stack_on_disk(context) {
        Ok(stack) => locked.union(&stack.names()).cloned().collect(),
        Err(_) => locked.clone(),
    };
    let chosen = select(&args.services, &known)?;
    let gone: Vec<&String> = chosen.iter().filter(|name| locks.remove(name)).collect();
    if !context.globals.dry_run && !gone.is_empty() {
        store::write_locks(session.base_dir(), &locks)?;
    }
    let printer = context.printer;
    printer.document(
        json!({"unlocked": gone, "written": !gone.is_empty() && !context.globals.dry_run}),
    )?;
    let names: Vec<&str> = gone.iter().map(|name| name.as_str()).collect();
    let text = match (names.is_empty(), context.globals.dry_run) {
        (true, _) => "none of these is locked\n".to_owned(),
        (false, true) => format!("would unlock: {}\n", names.join(", ")),
        (false, false) => format!(
            "unlocked: {}; deploy follows their tags again\n",
            names.join(", ")
        ),
    };
    printer.data(&text)?;
    Ok(Exit::Done)
}

async fn hold(context: &Context, session: &Session) -> Result<Option<Lock>, CliError> {
    if context.globals.dry_run {
        return Ok(None);
    }
    let wait = context.globals.lock_wait();
    let lock = Lock::take(session.base_dir(), "aistack images", wait).await;
    lock.map(Some)
}

async fn containers(session: &Session) -> Result<BTreeMap<String, Container>, CliError> {
    let containers = session.engine.list().await?.into_iter();
    Ok(containers
        .map(|container| (container.service.clone(), container))
        .collect())
}

/// The digest under which the registry of `reference` has the image.
fn digest_of(reference: &str, image: &Image) -> Option<String> {
    let own = ImageRef::parse(reference).ok()?;
    image.digests.iter().find_map(|known| {
        let name = ImageRef::parse(known).ok()?;
        let (_, digest) = known.split_once('@')?;
        (name.repository == own.repository).then(|| digest.to_owned())
    })
}

/// The first digits of an id or a digest.
fn short(digest: &str) -> String {
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    hex.chars().take(SHORT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_references_own_registry() {
        let hex = |digit: &str| digit.repeat(64);
        let image = Image {
            id: format!("sha256:{}", hex("1")),
            digests: vec![
                format!("127.0.0.1:5000/redis@sha256:{}", hex("2")),
                format!("redis@sha256:{}", hex("3")),
            ],
            platform: "linux/amd64".to_owned(),
            size: 1,
            created: None,
        };
        let digest = |reference: &str| digest_of(reference, &image);
        let of_hub = format!("sha256:{}", hex("3"));
        assert_eq!(digest("docker.io/library/redis:8.10.1"), Some(of_hub));
        let of_local = format!("sha256:{}", hex("2"));
        assert_eq!(digest("127.0.0.1:5000/redis:1"), Some(of_local.clone()));
        assert_eq!(digest("ghcr.io/redis/redis:1"), None);
        assert_eq!(short(&of_local), "2".repeat(12));
    }
}
