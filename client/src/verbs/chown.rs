//! `aistack chown`: everything in the directories of services belongs to whom it should.

use aistack_proto::v1::ServiceDirectory;
use serde_json::json;

use crate::args::ServicesArgs;
use crate::error::CliError;
use crate::exit::Exit;
use crate::run::lock::Lock;
use crate::run::{Context, Session, store};
use crate::stack::select;

pub(super) async fn run(context: &Context, args: &ServicesArgs) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    let stack = session.stack_on_disk(context)?;
    let chosen = select(&args.services, &stack.names())?;
    let wait = context.globals.lock_wait();
    let _lock = Lock::take(session.base_dir(), "aistack chown", wait).await?;
    let directories = stack.directories.iter();
    let mut total = 0;
    let mut shown = Vec::new();
    for directory in directories.filter(|directory| chosen.contains(&directory.service)) {
        let changed = give(context, &session, directory).await?;
        total += changed;
        let path = store::directory_path(session.base_dir(), directory);
        shown.push(json!({"path": path, "changed": changed}));
    }
    context.printer.document(json!({
        "directories": shown, "changed": total, "dry_run": context.globals.dry_run,
    }))?;
    if !context.globals.dry_run {
        context.printer.data(&format!("{total} changed\n"))?;
    }
    Ok(Exit::Done)
}

/// Gives one directory's files to its owner; returns how many had another.
async fn give(
    context: &Context,
    session: &Session,
    directory: &ServiceDirectory,
) -> Result<u64, CliError> {
    let path = store::directory_path(session.base_dir(), directory);
    let path = path.display();
    if context.globals.dry_run {
        context.printer.data(&format!("would check {path}\n"))?;
        return Ok(0);
    }
    let changed = session.helper.chown(directory.clone()).await?;
    if changed > 0 {
        context.printer.note(&format!("{path}: {changed} changed"));
    }
    Ok(changed)
}
