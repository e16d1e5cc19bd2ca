//! `aistack volume`: the tenant's volume, in this host's file tree and out of it.

use aistack_proto::v1::VolumeKind;
use serde_json::json;

use crate::args::{UnmountArgs, VolumeArgs, VolumeVerb};
use crate::error::CliError;
use crate::exit::Exit;
use crate::fs::mounts;
use crate::run::lock::Lock;
use crate::run::{Context, Session};
use crate::stack::stop::{ContainerRef, take_down};
use crate::ui::{Progress, Table, size};

pub(super) async fn run(context: &Context, args: &VolumeArgs) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    match &args.verb {
        VolumeVerb::Status => status(context, &session),
        VolumeVerb::Mount => mount(context, &session).await,
        VolumeVerb::Grow => grow(context, &session).await,
        VolumeVerb::Unmount(args) => unmount(context, &session, args).await,
    }
}

fn is_mounted(session: &Session) -> bool {
    session.who.volume.is_some_and(|volume| volume.mounted)
}

fn status(context: &Context, session: &Session) -> Result<Exit, CliError> {
    let state = session.who.volume.unwrap_or_default();
    let allowed = session.grant.volume.clone().unwrap_or_default();
    let mount = mounts::at(session.base_dir()).filter(|_| state.mounted);
    let kind = match allowed.kind() {
        VolumeKind::Unspecified => "unknown",
        VolumeKind::Ebs => "ebs",
        VolumeKind::Loop => "loop",
        VolumeKind::Disk => "disk",
    };
    context.printer.document(json!({
        "base_dir": session.grant.base_dir, "mounted": state.mounted, "mount": mount,
        "kind": kind, "id": allowed.id, "total_bytes": state.total_bytes,
        "available_bytes": state.available_bytes,
    }))?;
    let mut table = Table::plain();
    let base = session.grant.base_dir.as_str();
    if state.mounted {
        table.text(["mounted", base]);
        if let Some(mount) = mount {
            table.text(["device", &mount.source]);
            table.text(["file system", &mount.fs]);
            table.text(["options", &mount.options]);
        }
        let used = state.total_bytes.saturating_sub(state.available_bytes);
        let percent = used.saturating_mul(100) / state.total_bytes.max(1);
        let (free, total) = (size(state.available_bytes), size(state.total_bytes));
        table.text([
            "space",
            &format!("{free} of {total} free ({percent} % used)"),
        ]);
    } else {
        table.text(["not mounted", base]);
    }
    let id = if allowed.id.is_empty() {
        String::new()
    } else {
        format!(" {}", allowed.id)
    };
    table.text(["by policy", &format!("{kind}{id}, {}", allowed.fs)]);
    context.printer.table(&table)?;
    if !state.mounted {
        context.printer.note("next: aistack volume mount");
    }
    Ok(Exit::Done)
}

async fn mount(context: &Context, session: &Session) -> Result<Exit, CliError> {
    if context.globals.dry_run {
        return would(context, !is_mounted(session), "mount your volume");
    }
    let answer = session.helper.mount_volume().await?;
    context.printer.document(json!({
        "changed": answer.changed, "formatted": answer.formatted, "grown": answer.grown,
        "fs": answer.fs, "total_bytes": answer.total_bytes, "device": answer.device,
        "uuid": answer.uuid, "warnings": answer.warnings,
    }))?;
    let what = match (answer.changed, answer.formatted) {
        (false, _) => "already mounted",
        (true, false) => "mounted",
        (true, true) => "mounted, new file system",
    };
    let grown = if answer.grown { ", grown" } else { "" };
    context.printer.data(&format!(
        "{what}{grown}: {} ({}, {}, {})\n",
        session.grant.base_dir,
        size(answer.total_bytes),
        answer.fs,
        answer.device
    ))?;
    for warning in &answer.warnings {
        context.printer.warn(warning);
    }
    Ok(Exit::Done)
}

async fn grow(context: &Context, session: &Session) -> Result<Exit, CliError> {
    if context.globals.dry_run {
        return would(
            context,
            true,
            "grow the file system to the size of its device",
        );
    }
    let before = session.who.volume.unwrap_or_default().total_bytes;
    let answer = session.helper.grow_volume().await?;
    context.printer.document(json!({
        "changed": answer.changed, "total_bytes": answer.total_bytes, "before_bytes": before,
    }))?;
    let now = size(answer.total_bytes);
    if answer.changed {
        let text = format!("grown from {} to {now}\n", size(before));
        context.printer.data(&text)?;
    } else {
        context.printer.data(&format!("nothing to grow: {now}\n"))?;
        context.printer.note(
            "enlarge the volume first: ask the administrator to enlarge it, or its size in the policy",
        );
    }
    Ok(Exit::Done)
}

async fn unmount(
    context: &Context,
    session: &Session,
    args: &UnmountArgs,
) -> Result<Exit, CliError> {
    let running = session.engine.running().await?;
    if !running.is_empty() && !args.stop {
        let names: Vec<&str> = running.iter().map(|(_, name)| name.as_str()).collect();
        return Err(CliError::new(
            Exit::Failed,
            format!(
                "{} containers use your volume; it stays mounted",
                running.len()
            ),
        )
        .because(names.join(", "))
        .next("aistack volume unmount --stop, or `docker stop` them yourself"));
    }
    if context.globals.dry_run {
        let stop = format!("stop {} containers and unmount your volume", running.len());
        return would(context, is_mounted(session), &stop);
    }
    // Nobody else may be in the middle of a deploy. The lock lies in the volume and would keep it
    // busy, so it is given back before.
    if session.base_dir().join("config").is_dir() {
        let wait = context.globals.lock_wait();
        drop(Lock::take(session.base_dir(), "aistack volume unmount", wait).await?);
    }
    stop(context, session, &running).await?;
    let answer = session.helper.unmount_volume().await?;
    let stopped: Vec<&String> = running.iter().map(|(_, name)| name).collect();
    context.printer.document(json!({
        "changed": answer.changed, "safe_to_detach": answer.safe_to_detach, "stopped": stopped,
    }))?;
    context
        .printer
        .data(unmounted(answer.changed, answer.safe_to_detach))?;
    if !running.is_empty() {
        context
            .printer
            .note("`aistack deploy` mounts it again and starts them");
    }
    Ok(Exit::Done)
}

/// What an unmount is reported as. Only the helper knows whether the device is free.
fn unmounted(changed: bool, safe_to_detach: bool) -> &'static str {
    match (changed, safe_to_detach) {
        (true, true) => "unmounted; safe to detach; its data is kept\n",
        (false, true) => "was not mounted; safe to detach\n",
        (true, false) => "unmounted; do NOT detach it yet: this host still uses its device\n",
        (false, false) => "was not mounted; do NOT detach it: this host may still use its device\n",
    }
}

/// Stops containers; they are kept, and stay stopped until somebody starts them.
async fn stop(
    context: &Context,
    session: &Session,
    running: &[(String, String)],
) -> Result<(), CliError> {
    let progress = Progress::new(context.printer);
    let stack = session.stack_on_disk(context);
    let services = stack.map(|stack| stack.services).unwrap_or_default();
    let targets = running.iter().cloned();
    let targets: Vec<ContainerRef> = targets
        .map(|(id, name)| ContainerRef { id, name })
        .collect();
    let left = take_down(&session.engine, &progress, &services, &targets, false).await;
    progress.close();
    if left.is_empty() {
        return Ok(());
    }
    let what = format!(
        "{} containers did not stop; your volume stays mounted",
        left.len()
    );
    let failure = CliError::new(Exit::Failed, what);
    Err(left.into_iter().fold(failure, CliError::because))
}

/// The answer to `--dry-run`.
fn would(context: &Context, changes: bool, what: &str) -> Result<Exit, CliError> {
    let what = if changes { what } else { "nothing to do" };
    context
        .printer
        .document(json!({"would": what, "changes": changes}))?;
    context.printer.data(&format!("{what}\n"))?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn safe_to_detach_is_said_only_when_the_helper_says_so() {
        for changed in [true, false] {
            assert!(unmounted(changed, true).contains("safe to detach"));
            let unsafe_yet = unmounted(changed, false);
            assert!(!unsafe_yet.contains("safe to detach"), "{unsafe_yet}");
            assert!(unsafe_yet.contains("do NOT detach"), "{unsafe_yet}");
        }
    }
}
