//! `aistack lock`: who changes the stack at the moment.

use serde_json::json;

use crate::args::{LockArgs, LockVerb};
use crate::error::CliError;
use crate::exit::Exit;
use crate::run::lock::{self, LockState};
use crate::run::{Context, Session};

pub(super) async fn run(context: &Context, args: &LockArgs) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    let state = lock::state(session.base_dir())?;
    match &args.verb {
        LockVerb::Status => status(context, &state),
        LockVerb::Release { force } => release(context, &session, &state, *force),
    }
}

fn status(context: &Context, state: &LockState) -> Result<Exit, CliError> {
    let printer = context.printer;
    match state {
        LockState::Free => {
            printer.document(json!({"locked": false}))?;
            printer.data("not locked: no run changes the stack\n")?;
        }
        LockState::Held { holder } => {
            let age = holder.as_ref().map(lock::Holder::age);
            printer.document(json!({
                "locked": true, "holder": holder, "seconds": age.map(|age| age.as_secs()),
                "alive": holder.as_ref().map(lock::Holder::alive),
            }))?;
            let who = holder
                .as_ref()
                .map_or_else(|| "an unknown run".to_owned(), ToString::to_string);
            printer.data(&format!("locked by {who}\n"))?;
            return Ok(Exit::Locked);
        }
    }
    Ok(Exit::Done)
}

/// The kernel frees the lock with the process that holds it, so there is only that to end.
fn release(
    context: &Context,
    session: &Session,
    state: &LockState,
    force: bool,
) -> Result<Exit, CliError> {
    let LockState::Held { holder } = state else {
        return status(context, state);
    };
    let Some(holder) = holder else {
        return Err(
            CliError::new(Exit::Locked, "the run that holds the lock is unknown")
                .because("a lock ends with the process that holds it")
                .next("fuser -v BASE_DIR/config/.lock shows it"),
        );
    };
    if !force {
        return Err(CliError::new(
            Exit::Locked,
            format!("PID {} still holds the lock and lives", holder.pid),
        )
        .because("a lock ends with its process: releasing it ends that run")
        .next("wait for it, or: aistack lock release --force"));
    }
    if context.globals.dry_run {
        context
            .printer
            .document(json!({"would_release": true, "pid": holder.pid}))?;
        context
            .printer
            .data(&format!("would end PID {}\n", holder.pid))?;
        return Ok(Exit::Done);
    }
    lock::end(session.base_dir(), holder)?;
    context
        .printer
        .document(json!({"released": true, "pid": holder.pid}))?;
    context.printer.data(&format!(
        "ended PID {}; `aistack deploy` continues from there\n",
        holder.pid
    ))?;
    Ok(Exit::Done)
}
