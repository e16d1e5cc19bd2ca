//! `aistack plan`: what deploy would do, with the reason for every step.

use crate::args::PlanArgs;
use crate::error::CliError;
use crate::exit::Exit;
use crate::run::{Context, Session, setup};
use crate::stack::preview;

pub(super) async fn run(context: &Context, args: &PlanArgs) -> Result<Exit, CliError> {
    let context = &context.forcing(args.force);
    let session = Session::open(context).await?;
    let (manifest, stack) = setup::draft_with(context, &session, &[])?;
    let observed = preview::observe(&session.engine, &session.who, &stack).await?;
    let plan = preview::make(&stack, &observed, &args.services)?;
    preview::show(context.printer, &plan, &stack)?;
    preview::tell_engine(context.printer, &session.engine, &stack, &observed).await?;
    preview::tell_overridden(context.printer, &stack);
    setup::tell_unknown(context, &session, &manifest.file);
    preview::tell_left_out(context.printer, &stack);
    preview::tell_moved(context.printer, &stack, &session.locks);
    Ok(if args.exit_code && !plan.is_empty() {
        Exit::Pending
    } else {
        Exit::Done
    })
}
