//! Runs the checks: requests as a service's users would send them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};

use super::checks::{CheckResult, Checker};
use super::tls::{Trust, sites};
use crate::catalog::Phase;
use crate::desired::{DesiredService, Stack};
use crate::engine::{Container, Engine};
use crate::error::CliError;
use crate::exit::Exit;
use crate::plan::Plan;
use crate::ui::{Progress, Word, seconds};

/// After a start of the proxy its sites' certificates may take this long, on a machine that is not
/// slow.
const CERTIFICATES: Duration = Duration::from_mins(1);
/// Services that are queried at once.
const AT_ONCE: usize = 4;

/// Checks the chosen services, several at once; the results are in catalog order.
pub async fn ask_all(
    engine: &Engine,
    stack: &Stack,
    chosen: &BTreeSet<String>,
    containers: &[Container],
    progress: &Progress,
) -> Vec<CheckResult> {
    let checker = Checker::new(engine, stack);
    let services = stack
        .services
        .iter()
        .filter(|service| chosen.contains(&service.name));
    let results: Vec<Vec<CheckResult>> = stream::iter(services)
        .map(|service| {
            let container = containers
                .iter()
                .find(|container| container.service == service.name);
            let checker = &checker;
            async move {
                let name = service.name.as_str();
                let began = Instant::now();
                let asking = |title: &str| progress.service(name, Word::Asking, title);
                let results = checker.ask(service, container, asking).await;
                let failed = results.iter().filter(|result| !result.ok).count();
                let (word, of) = match failed {
                    0 if results.iter().any(|result| result.warning.is_some()) => {
                        (Word::Answered, "no check".to_owned())
                    }
                    0 if results.len() == 1 => (Word::Answered, "1 check".to_owned()),
                    0 => (Word::Answered, format!("{} checks", results.len())),
                    failed => (
                        Word::Failed,
                        format!("{failed} of {} checks", results.len()),
                    ),
                };
                let took = seconds(began.elapsed());
                progress.service(name, word, &format!("{of}, {took}"));
                results
            }
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    results.into_iter().flatten().collect()
}

/// Checks what a deploy changed, and every site when it changed the proxy.
///
/// # Errors
/// What the gateway answered.
pub async fn ask_changed(
    engine: &Engine,
    stack: &Stack,
    plan: &Plan,
    progress: &Progress,
) -> Result<Vec<CheckResult>, CliError> {
    let containers = engine.list().await?;
    let mut planned: BTreeSet<String> =
        plan.steps.iter().map(|step| step.service.clone()).collect();
    let proxy = |service: &&DesiredService| service.phase == Phase::Ingress;
    let mut proxies = stack.services.iter().filter(proxy);
    if proxies.any(|proxy| planned.contains(&proxy.name)) {
        // What is new in the proxy came to every site.
        let sites = sites::of(stack);
        let trust = Trust::open(stack.own_root.as_deref());
        let limit = stack.time_scale.stretch(CERTIFICATES);
        if !sites::wait(&trust, &sites, limit).await {
            progress.note("not every site has the right certificate yet");
        }
        let made = |service: &String| containers.iter().any(|made| made.service == *service);
        planned.extend(sites.into_iter().map(|site| site.service).filter(made));
    }
    let results = ask_all(engine, stack, &planned, &containers, progress).await;
    progress.close();
    Ok(results)
}

/// The failure that failed checks lead to.
#[must_use]
pub fn failed(failed: &[&CheckResult]) -> CliError {
    let what = match failed.len() {
        1 => "1 check failed".to_owned(),
        count => format!("{count} checks failed"),
    };
    let failure = failed
        .iter()
        .fold(CliError::new(Exit::NotHealthy, what), |failure, result| {
            let problem = result.problem.as_deref().unwrap_or_default();
            failure.because(format!("{}: {}: {problem}", result.service, result.title))
        });
    let first = failed.first().map_or("SERVICE", |result| &result.service);
    failure.next(format!("aistack logs {first}"))
}
