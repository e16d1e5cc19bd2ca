//! `aistack validate`: asks each service what its users would ask.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream};
use serde_json::json;

use crate::desired::Stack;
use crate::engine::Container;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::run::checks::{Asker, CheckResult};
use crate::run::{Context, Session};
use crate::ui::Tone;
use crate::verbs::args::ServicesArgs;
use crate::verbs::{select, service_names};

/// Services that are asked at once.
const AT_ONCE: usize = 4;

pub(super) async fn run(context: &Context, args: &ServicesArgs) -> Result<Exit, Failure> {
    let session = Session::open(context).await?;
    let stack = session.stack_on_disk(context)?;
    let chosen = select(&args.services, &service_names(&stack))?;
    let containers = session.engine.list().await?;
    let results = ask_all(&session, &stack, &chosen, &containers).await;
    show(context, &results)?;
    let failed: Vec<&CheckResult> = results.iter().filter(|result| !result.ok).collect();
    if failed.is_empty() {
        Ok(Exit::Done)
    } else if context.printer.json {
        // The document tells it already.
        Ok(Exit::NotHealthy)
    } else {
        Err(failure(&failed))
    }
}

/// Asks the chosen services, in catalog order.
pub(super) async fn ask_all(
    session: &Session,
    stack: &Stack,
    chosen: &BTreeSet<String>,
    containers: &[Container],
) -> Vec<CheckResult> {
    let asker = Asker::new(&session.engine, stack);
    let services = stack
        .services
        .iter()
        .filter(|service| chosen.contains(&service.name));
    let results: Vec<Vec<CheckResult>> = stream::iter(services)
        .map(|service| {
            let container = containers
                .iter()
                .find(|container| container.service == service.name);
            let id = container.map(|container| container.id.as_str());
            asker.ask(service, id)
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    results.into_iter().flatten().collect()
}

fn show(context: &Context, results: &[CheckResult]) -> Result<(), Failure> {
    let printer = context.printer;
    printer.document(json!({
        "ok": results.iter().all(|result| result.ok),
        "checks": results,
    }))?;
    for result in results {
        let (word, tone) = if result.ok {
            ("ok  ", Tone::Good)
        } else {
            ("FAIL", Tone::Bad)
        };
        let problem = result.problem.as_ref().map(|why| format!(": {why}"));
        printer.data(&format!(
            "{} {:<14} {}{}\n",
            printer.out.paint(tone, word),
            result.service,
            result.title,
            problem.unwrap_or_default()
        ))?;
    }
    Ok(())
}

/// The failure that failed checks lead to.
pub(super) fn failure(failed: &[&CheckResult]) -> Failure {
    let what = format!("{} checks failed", failed.len());
    let failure = failed
        .iter()
        .fold(Failure::new(Exit::NotHealthy, what), |failure, result| {
            let problem = result.problem.as_deref().unwrap_or_default();
            failure.because(format!("{}: {}: {problem}", result.service, result.title))
        });
    let first = failed.first().map_or("SERVICE", |result| &result.service);
    failure.next(format!("aistack logs {first}"))
}
