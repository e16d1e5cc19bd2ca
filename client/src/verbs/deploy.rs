//! `aistack deploy`: makes the stack, or changes what differs.

use crate::args::DeployArgs;
use crate::error::CliError;
use crate::exit::Exit;
use crate::patience::DOCKER_RESTARTS;
use crate::run::{Context, Session, setup};
use crate::stack::apply::{apply, planned};
use crate::stack::{preview, report};
use crate::ui::Progress;

pub(super) async fn run(context: &Context, args: &DeployArgs) -> Result<Exit, CliError> {
    let context = &context.forcing(args.force);
    let mut session = Session::open(context).await?;
    session.engine = session.engine.waiting_for_docker(DOCKER_RESTARTS);
    let printer = context.printer;
    if context.globals.dry_run {
        let (manifest, stack) = setup::draft_with(context, &session, &[])?;
        let observed = preview::observe(&session.engine, &session.who, &stack).await?;
        preview::show(printer, &planned(&stack, &observed, args)?, &stack)?;
        preview::tell_engine(printer, &session.engine, &stack, &observed).await?;
        preview::tell_overridden(printer, &stack);
        setup::tell_unknown(context, &session, &manifest.file);
        preview::tell_left_out(printer, &stack);
        preview::tell_moved(printer, &stack, &session.locks);
        return Ok(Exit::Done);
    }
    let progress = Progress::new(printer);
    let ready = setup::for_deploy(context, &mut session, &args.services, &progress).await?;
    let tools = session.tools(context, &progress);
    let applied = apply(&tools, &ready.stack, ready.unconfined.as_deref(), args).await?;
    report::applied(printer, &ready.stack, &applied, &progress)
}
