//! `aistack destroy`: removes the containers and the network. Data stays unless `--purge` and the
//! tenant's name say otherwise.

use std::path::{Path, PathBuf};

use aistack_proto::v1::{DirectoryKind, DirectoryOwner, ServiceDirectory};
use futures_util::future::join_all;
use serde_json::json;

use crate::engine::Container;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::run::lock::Lock;
use crate::run::{Context, Session, prompt, store};
use crate::ui::{Progress, Word};
use crate::verbs::args::DestroyArgs;
use crate::verbs::lock_wait;

pub(super) async fn run(context: &Context, args: &DestroyArgs) -> Result<Exit, Failure> {
    let session = Session::open(context).await?;
    let containers = session.engine.list().await?;
    let network = session
        .who
        .network
        .as_ref()
        .is_some_and(|state| state.exists);
    let stack_here = session.manifest().ok().flatten().is_some();
    if containers.is_empty() && !network && !(args.purge && stack_here) {
        context
            .printer
            .document(json!({"removed": [], "left": []}))?;
        context
            .printer
            .data("nothing to do: there are no containers and no network\n")?;
        return Ok(Exit::Done);
    }
    announce(context, &session, &containers, args.purge);
    if context.globals.dry_run {
        return Ok(Exit::Done);
    }
    agree(context, &session, args).await?;
    let lock = lock(context, &session).await?;
    let progress = Progress::new(context.printer);
    let mut left = remove_containers(&session, &containers, &progress).await;
    progress.close();
    if network && let Err(error) = session.helper.remove_network().await {
        left.push(format!("network {}: {error}", network_name(&session)));
    }
    if args.purge && left.is_empty() {
        left.extend(purge(&session).await);
    }
    drop(lock);
    left.extend(still_there(&session).await?);
    tell(context, &session, &containers, &left, args.purge)
}

fn network_name(session: &Session) -> String {
    let network = session.grant.network.clone();
    network.unwrap_or_default().name
}

/// Without a volume there is nothing to lock, and nobody else who could work on it.
async fn lock(context: &Context, session: &Session) -> Result<Option<Lock>, Failure> {
    if !session.base_dir().join("config").is_dir() {
        return Ok(None);
    }
    let wait = lock_wait(&context.globals);
    Lock::take(session.base_dir(), "aistack destroy", wait)
        .await
        .map(Some)
}

fn announce(context: &Context, session: &Session, containers: &[Container], purge: bool) {
    let printer = context.printer;
    let names: Vec<&str> = containers
        .iter()
        .map(|container| container.name.as_str())
        .collect();
    printer.note(&format!(
        "goes: {} containers: {}",
        names.len(),
        names.join(", ")
    ));
    printer.note(&format!("goes: network {}", network_name(session)));
    let base = session.base_dir().display();
    if purge {
        printer.note(&format!(
            "goes: everything in {base}/data, {base}/logs, {base}/etc and the .env with every secret"
        ));
    } else {
        printer.note(&format!("stays: all data, logs and the .env in {base}"));
    }
}

async fn agree(context: &Context, session: &Session, args: &DestroyArgs) -> Result<(), Failure> {
    let name = &session.grant.name;
    if args.purge {
        let typed = match &args.confirm {
            Some(typed) => typed.clone(),
            None if context.interactive() => {
                prompt::line(&format!("Type {name} to remove all data")).await?
            }
            None => {
                return Err(
                    Failure::new(Exit::Usage, "--purge needs your tenant's name")
                        .next(format!("aistack destroy --purge --confirm {name}")),
                );
            }
        };
        if typed.trim() == name {
            return Ok(());
        }
        return Err(Failure::new(
            Exit::Usage,
            format!("that is not your tenant's name ({name}); nothing was removed"),
        ));
    }
    if context.globals.yes {
        return Ok(());
    }
    if !context.interactive() {
        return Err(
            Failure::new(Exit::Usage, "destroy asks before it removes anything")
                .because("there is no terminal to ask on")
                .next("aistack destroy --yes"),
        );
    }
    if prompt::confirm("Remove them?", false).await? {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Failed,
        "not confirmed; nothing was removed",
    ))
}

/// Stops and removes all at once; what could not be removed is returned.
async fn remove_containers(
    session: &Session,
    containers: &[Container],
    progress: &Progress,
) -> Vec<String> {
    let removals = containers.iter().map(|container| async move {
        progress.service(&container.service, Word::Stopping, "");
        let removed = match session.engine.stop(&container.id).await {
            Ok(()) => session.engine.remove(&container.id).await,
            Err(error) => Err(error),
        };
        match removed {
            Ok(()) => {
                progress.service(&container.service, Word::Removed, "");
                None
            }
            Err(error) => {
                let problem = error.to_string();
                progress.service(&container.service, Word::Failed, &problem);
                Some(format!("container {}: {problem}", container.name))
            }
        }
    });
    join_all(removals).await.into_iter().flatten().collect()
}

/// Empties the tenant's directories; returns what could not be removed. The directories of the
/// services stand in directories of root's and stay, empty.
async fn purge(session: &Session) -> Vec<String> {
    let mut left = Vec::new();
    for (tree, kind) in [
        ("data", DirectoryKind::Data),
        ("logs", DirectoryKind::Logs),
        ("etc", DirectoryKind::Etc),
    ] {
        for service in session.catalog.names() {
            let path = session.base_dir().join(tree).join(service);
            if let Err(problem) = empty(session, &path, service, kind).await {
                left.push(format!("{}: {problem}", path.display()));
            }
        }
    }
    for path in [
        store::manifest_path(session.base_dir()),
        session.base_dir().join("config/.lock"),
    ] {
        if let Err(error) = remove_any(&path) {
            left.push(format!("{}: {error}", path.display()));
        }
    }
    left
}

/// What a service UID made is given to the tenant first: only its owner may remove it.
async fn empty(
    session: &Session,
    path: &Path,
    service: &str,
    kind: DirectoryKind,
) -> Result<(), String> {
    match store::owner(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.to_string()),
        Ok(owner) if owner == session.grant.uid => {}
        Ok(_) => {
            let directory = ServiceDirectory {
                service: service.to_owned(),
                kind: kind.into(),
                owner: DirectoryOwner::Tenant.into(),
            };
            let given = session.helper.chown(directory).await;
            given.map_err(|error| error.to_string())?;
        }
    }
    for entry in entries(path).map_err(|error| error.to_string())? {
        remove_any(&entry).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn entries(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    std::fs::read_dir(path)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect()
}

/// Removes a file, a link (not what it leads to) or a whole directory; nothing there is fine.
fn remove_any(path: &Path) -> std::io::Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Looks again instead of believing the answers.
async fn still_there(session: &Session) -> Result<Vec<String>, Failure> {
    let containers = session.engine.list().await?;
    let who = session.helper.who_am_i().await?;
    let mut left: Vec<String> = containers
        .into_iter()
        .map(|container| format!("container {}", container.name))
        .collect();
    if who.network.is_some_and(|state| state.exists) {
        left.push(format!("network {}", network_name(session)));
    }
    Ok(left)
}

fn tell(
    context: &Context,
    session: &Session,
    containers: &[Container],
    left: &[String],
    purged: bool,
) -> Result<Exit, Failure> {
    if !left.is_empty() {
        let failure = Failure::new(Exit::Failed, "something is left");
        let failure = left
            .iter()
            .fold(failure, |failure, text| failure.because(text.as_str()));
        return Err(failure.next("run the command again; containers that you started yourself with `docker run` must go first"));
    }
    let names: Vec<&str> = containers
        .iter()
        .map(|container| container.name.as_str())
        .collect();
    context.printer.document(json!({
        "removed": names, "left": [], "purged": purged, "base_dir": session.grant.base_dir,
    }))?;
    let kept = if purged {
        "no data kept".to_owned()
    } else {
        format!("data kept in {}", session.grant.base_dir)
    };
    context
        .printer
        .data(&format!("0 containers, 0 networks, {kept}\n"))?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_removed_and_what_it_leads_to_stays() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        std::fs::create_dir(&target).unwrap();
        std::fs::write(target.join("file"), "kept").unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        remove_any(&link).unwrap();
        assert!(target.join("file").exists());
        remove_any(&target).unwrap();
        assert!(!target.exists());
        remove_any(&target).unwrap();
    }
}
