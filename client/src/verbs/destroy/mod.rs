//! `aistack destroy`: removes the containers and the network. Data stays unless `--purge` and the
//! tenant's name say otherwise.

mod emptying;
pub(super) mod purge;

use serde_json::json;

use crate::args::DestroyArgs;
use crate::engine::Container;
use crate::error::CliError;
use crate::exit::Exit;
use crate::run::lock::Lock;
use crate::run::{Context, Session};
use crate::stack::stop::{ContainerRef, take_down};
use crate::stack::{deployed_on, look};
use crate::ui::{Progress, prompt};

pub(super) async fn run(context: &Context, args: &DestroyArgs) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    let containers = session.engine.list().await?;
    let network = network_exists(&session);
    // Until its volume is unmounted, there may be something to purge.
    let volume = args.purge && session.who.volume.is_some_and(|volume| volume.mounted);
    if containers.is_empty() && !network && !volume {
        return nothing_to_do(context, args.purge);
    }
    if args.purge && !volume {
        let what = "your volume is not mounted, so its data cannot be removed";
        return Err(CliError::new(Exit::Failed, what)
            .because("nothing was removed")
            .next("aistack volume mount, then run it again; or destroy without --purge"));
    }
    if context.globals.dry_run {
        return announce(context, &session, &containers, args.purge);
    }
    if !context.printer.json {
        announce(context, &session, &containers, args.purge)?;
    }
    agree(context, &session, args).await?;
    let lock = lock(context, &session).await?;
    let progress = Progress::new(context.printer);
    // Again: a run that was waited for may have made others.
    let containers = look::wait_until_stable(&session.engine, &progress).await?;
    // Without a manifest that can be read they go all at once.
    let stack = session.stack_on_disk(context);
    let services = stack.map(|stack| stack.services).unwrap_or_default();
    let targets: Vec<ContainerRef> = containers.iter().map(ContainerRef::of).collect();
    let mut left = take_down(&session.engine, &progress, &services, &targets, true).await;
    progress.close();
    deployed_on::forget(session.base_dir());
    if let Err(error) = session.helper.remove_network().await {
        left.push(format!("network {}: {error}", network_name(&session)));
    }
    if args.purge && session.confinement().kernel && left.is_empty() {
        left.extend(purge::profiles(&session).await);
    }
    if volume && left.is_empty() {
        left.extend(purge::contents(&session).await);
    }
    // The lock lies in the volume and would keep it busy.
    drop(lock);
    if volume && left.is_empty() {
        left.extend(purge::unmount(&session).await);
    }
    left.extend(still_there(&session).await?);
    tell(context, &session, &containers, &left, args.purge)
}

fn nothing_to_do(context: &Context, purge: bool) -> Result<Exit, CliError> {
    let printer = context.printer;
    printer.document(json!({"removed": [], "left": []}))?;
    printer.data("nothing to do: there are no containers and no network\n")?;
    if purge {
        printer.note("your volume is not mounted: its data was not checked");
    }
    Ok(Exit::Done)
}

/// One of which nothing is known is removed, too: to remove what is not there does nothing.
fn network_exists(session: &Session) -> bool {
    let network = session.who.network.as_ref();
    network.is_none_or(|state| state.exists)
}

fn network_name(session: &Session) -> String {
    let network = session.grant.network.clone();
    network.unwrap_or_default().name
}

/// Without a volume there is nothing to lock, and nobody else who could work on it.
async fn lock(context: &Context, session: &Session) -> Result<Option<Lock>, CliError> {
    if !session.base_dir().join("config").is_dir() {
        return Ok(None);
    }
    let wait = context.globals.lock_wait();
    Lock::take(session.base_dir(), "aistack destroy", wait)
        .await
        .map(Some)
}

/// What goes and what stays: the answer to `--dry-run`, and what the question is about.
fn announce(
    context: &Context,
    session: &Session,
    containers: &[Container],
    purge: bool,
) -> Result<Exit, CliError> {
    let printer = context.printer;
    let names: Vec<&str> = containers
        .iter()
        .map(|container| container.name.as_str())
        .collect();
    let network = network_exists(session).then(|| network_name(session));
    let base = session.base_dir().display();
    printer.document(json!({
        "would_remove": names, "network": network, "purge": purge,
        "base_dir": session.grant.base_dir,
    }))?;
    let mut lines = Vec::new();
    if !names.is_empty() {
        lines.push(format!(
            "remove: {} containers: {}",
            names.len(),
            names.join(", ")
        ));
    }
    lines.extend(network.map(|network| format!("remove: network {network}")));
    if purge {
        lines.push(format!(
            "remove: everything in {base}/data, {base}/logs, {base}/etc, {base}/apparmor and the .env with every secret"
        ));
        lines
            .push("keep: the volume itself, unmounted; it belongs to the administrator".to_owned());
    } else {
        lines.push(format!("keep: all data, logs and the .env in {base}"));
    }
    let text = lines.join("\n");
    if context.globals.dry_run {
        printer.data(&format!("{text}\n"))?;
    } else {
        printer.note(&text);
    }
    Ok(Exit::Done)
}

async fn agree(context: &Context, session: &Session, args: &DestroyArgs) -> Result<(), CliError> {
    let name = &session.grant.name;
    if args.purge {
        let typed = match &args.confirm {
            Some(typed) => typed.clone(),
            None if context.interactive() => {
                prompt::line(&format!("Type {name} to remove all data")).await?
            }
            None => {
                return Err(
                    CliError::new(Exit::Usage, "--purge needs your tenant's name")
                        .because("input required, but stdin is not a terminal, or --json, --yes or --no-input is set")
                        .next(format!("aistack destroy --purge --confirm {name}")),
                );
            }
        };
        if typed.trim() == name {
            return Ok(());
        }
        return Err(CliError::new(
            Exit::Usage,
            format!("that is not your tenant's name ({name}); nothing was removed"),
        ));
    }
    if context.globals.yes {
        return Ok(());
    }
    if !context.interactive() {
        return Err(
            CliError::new(Exit::Usage, "destroy asks before it removes anything")
                .because(
                    "input required, but stdin is not a terminal, or --json or --no-input is set",
                )
                .next("aistack destroy --yes"),
        );
    }
    if prompt::confirm("Remove them?", false).await? {
        return Ok(());
    }
    Err(CliError::new(
        Exit::Failed,
        "not confirmed; nothing was removed",
    ))
}

/// Looks again instead of believing the answers.
async fn still_there(session: &Session) -> Result<Vec<String>, CliError> {
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
) -> Result<Exit, CliError> {
    if !left.is_empty() {
        let failure = CliError::new(Exit::Failed, "not everything was removed");
        let failure = left
            .iter()
            .fold(failure, |failure, text| failure.because(text.as_str()));
        return Err(failure.next(
            "run the command again; remove containers that you started with `docker run` first",
        ));
    }
    let names: Vec<&str> = containers
        .iter()
        .map(|container| container.name.as_str())
        .collect();
    context.printer.document(json!({
        "removed": names, "left": [], "purged": purged, "base_dir": session.grant.base_dir,
    }))?;
    let kept = if purged {
        "no data kept; your volume is unmounted and stays with the administrator".to_owned()
    } else {
        format!("data kept in {}", session.grant.base_dir)
    };
    context
        .printer
        .data(&format!("0 containers, 0 networks, {kept}\n"))?;
    Ok(Exit::Done)
}
