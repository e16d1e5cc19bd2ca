//! `aistack validate`: asks each service what its users would ask.

use serde_json::json;

use crate::args::ServicesArgs;
use crate::error::CliError;
use crate::exit::Exit;
use crate::run::{Context, Session};
use crate::stack::checks::CheckResult;
use crate::stack::front_door::{self, Reach};
use crate::stack::{ask, select};
use crate::ui::{Progress, Tone};

/// The time of a check is shown when it took longer, seconds.
const SLOW: f64 = 1.0;

pub(super) async fn run(context: &Context, args: &ServicesArgs) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    let stack = session.stack_on_disk(context)?;
    let chosen = select(&args.services, &stack.names())?;
    let containers = session.engine.list().await?;
    let progress = Progress::new(context.printer);
    let mut results = ask::ask_all(&session.engine, &stack, &chosen, &containers, &progress).await;
    let reached = front_door::look(&stack).await;
    let reached = reached
        .iter()
        .filter(|reach| chosen.contains(&reach.service));
    results.extend(reached.map(Reach::to_check));
    progress.clear();
    show(context, &results)?;
    let failed: Vec<&CheckResult> = results.iter().filter(|result| !result.ok).collect();
    if failed.is_empty() {
        Ok(Exit::Done)
    } else if context.printer.json {
        // The document tells it already.
        Ok(Exit::NotHealthy)
    } else {
        Err(ask::failed(&failed))
    }
}

fn show(context: &Context, results: &[CheckResult]) -> Result<(), CliError> {
    let printer = context.printer;
    printer.document(json!({
        "ok": results.iter().all(|result| result.ok),
        "checks": results,
    }))?;
    for result in results {
        let (word, tone) = match (result.ok, &result.warning) {
            (true, None) => ("ok  ", Tone::Good),
            (true, Some(_)) => ("WARN", Tone::Notice),
            (false, _) => ("FAIL", Tone::Bad),
        };
        let problem = result.problem.as_ref().or(result.warning.as_ref());
        let problem = problem.map(|why| format!(": {why}"));
        let slow = printer.verbose || result.seconds >= SLOW;
        let took = slow.then(|| format!(" ({:.1} s)", result.seconds));
        printer.data(&format!(
            "{} {:<14} {}{}{}\n",
            printer.out.paint(tone, word),
            result.service,
            result.title,
            took.unwrap_or_default(),
            problem.unwrap_or_default()
        ))?;
        if let (Some(served), true) = (&result.certificate, printer.verbose) {
            printer.data(&format!("{:<19} certificate {}\n", "", served.describe()))?;
        }
    }
    Ok(())
}
