//! How it ended: what was done, and what was not.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::apply::Applied;
use super::graph::Outcome;
use super::preview;
use crate::desired::Stack;
use crate::error::{CliError, ServiceReport};
use crate::exit::Exit;
use crate::plan::Plan;
use crate::ui::{Printer, Progress, Table, Tone, seconds, url};

/// Tells what a deploy has done, as the data of the command.
///
/// # Errors
/// When standard output cannot be written.
pub fn applied(
    printer: Printer,
    stack: &Stack,
    applied: &Applied,
    progress: &Progress,
) -> Result<Exit, CliError> {
    let Applied { plan, checks } = applied;
    let mut document = preview::document(plan, stack);
    if plan.is_empty() {
        printer.document(document)?;
        printer.data("nothing to do: every service runs as desired\n")?;
        return Ok(Exit::Done);
    }
    if let Value::Object(members) = &mut document {
        let urls: Vec<Value> = urls(stack, plan)
            .into_iter()
            .map(|(service, url)| json!({"service": service, "url": url}))
            .collect();
        members.insert("urls".to_owned(), json!(urls));
        members.insert("checks".to_owned(), json!(checks));
        let took = progress.elapsed().as_secs_f64();
        members.insert("seconds".to_owned(), json!(took));
    }
    printer.document(document)?;
    printer.table(&url_table(stack, plan))?;
    note(printer, applied, progress);
    Ok(Exit::Done)
}

/// Notes that a deploy is done, where it is a step of another command with data of its own.
pub fn note(printer: Printer, applied: &Applied, progress: &Progress) {
    if !applied.plan.is_empty() {
        progress.note(&format!(
            "{} in {}",
            printer.err.paint(Tone::Good, "deployed"),
            seconds(progress.elapsed())
        ));
    }
}

/// What the outcomes of a deploy come to; `running` names what runs now.
///
/// # Errors
/// Each service that is not healthy, with its report, and each that was not tried because of that.
pub fn deployed(outcomes: &BTreeMap<String, Outcome>, running: &[String]) -> Result<(), CliError> {
    let reports = reports(outcomes);
    let names = |wanted: fn(&Outcome) -> bool| {
        let chosen = outcomes.iter().filter(|(_, outcome)| wanted(outcome));
        chosen.map(|(name, _)| name.as_str()).collect::<Vec<_>>()
    };
    let skipped = names(|outcome| matches!(outcome, Outcome::Skipped { .. }));
    if reports.is_empty() && skipped.is_empty() {
        return Ok(());
    }
    let failed = names(|outcome| matches!(outcome, Outcome::Failed(_)));
    let exit = reports
        .iter()
        .map(|report| report.exit)
        .find(|exit| *exit != Exit::NotHealthy)
        .unwrap_or(Exit::NotHealthy);
    let mut failure = CliError::new(exit, format!("not healthy: {}", failed.join(", ")));
    if !skipped.is_empty() {
        failure = failure.because(format!("skipped because of that: {}", skipped.join(", ")));
    }
    if !running.is_empty() {
        failure = failure.because(format!("left running: {}", running.join(", ")));
    }
    // The log of a service that was restored is not that of the container that failed.
    let failing = reports.iter().find(|report| !report.restored);
    let look = failing.map(|report| format!("aistack logs {}; ", report.service));
    failure = failure.next(format!(
        "{}fix the cause, then run `aistack deploy` again",
        look.unwrap_or_default()
    ));
    failure.reports = reports;
    Err(failure)
}

/// What the outcomes of `start`, `stop` and `restart` come to; `done` is the key of those services
/// in the document.
///
/// # Errors
/// Each service that is not as it should be.
pub fn moved(
    printer: Printer,
    done: &str,
    outcomes: &BTreeMap<String, Outcome>,
) -> Result<Exit, CliError> {
    let reports = reports(outcomes);
    let failed: Vec<String> = outcomes
        .iter()
        .filter_map(|(name, outcome)| match outcome {
            Outcome::Done => None,
            Outcome::Failed(_) => Some(name.clone()),
            Outcome::Skipped { because } => Some(format!("{name} (because of {because})")),
        })
        .collect();
    if failed.is_empty() {
        let mut document = serde_json::Map::new();
        let names: Vec<&String> = outcomes.keys().collect();
        document.insert(done.to_owned(), json!(names));
        printer.document(document)?;
        return Ok(Exit::Done);
    }
    let first = reports
        .first()
        .map_or("SERVICE", |report| report.service.as_str());
    let mut failure = CliError::new(
        Exit::NotHealthy,
        format!("not healthy: {}", failed.join(", ")),
    )
    .next(format!("aistack logs {first}"));
    failure.reports = reports;
    Err(failure)
}

/// Everything about each service that failed.
fn reports(outcomes: &BTreeMap<String, Outcome>) -> Vec<ServiceReport> {
    let outcomes = outcomes.values();
    outcomes
        .filter_map(|outcome| match outcome {
            Outcome::Failed(report) => Some((**report).clone()),
            _ => None,
        })
        .collect()
}

/// Every address of every planned service.
fn urls(stack: &Stack, plan: &Plan) -> Vec<(String, String)> {
    let planned = |name: &str| plan.steps.iter().any(|step| step.service == name);
    stack
        .services
        .iter()
        .filter(|service| planned(&service.name))
        .flat_map(|service| {
            service.endpoints.iter().map(|endpoint| {
                let address = url(&endpoint.scheme, &endpoint.host, endpoint.port);
                (service.name.clone(), address)
            })
        })
        .collect()
}

fn url_table(stack: &Stack, plan: &Plan) -> Table {
    let mut table = Table::new(&["SERVICE", "URL"]);
    for (service, address) in urls(stack, plan) {
        table.text([&service, &address]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(service: &str, exit: Exit) -> Outcome {
        Outcome::Failed(Box::new(ServiceReport {
            service: service.to_owned(),
            container: String::new(),
            problem: "exited with code 1".to_owned(),
            exit_code: Some(1),
            probe: None,
            log: Vec::new(),
            cause: None,
            restored: false,
            now: None,
            exit,
        }))
    }

    #[test]
    fn the_failure_names_what_failed_what_was_not_tried_and_what_runs() {
        let outcomes = BTreeMap::from([
            ("postgres".to_owned(), report("postgres", Exit::NotHealthy)),
            (
                "n8n".to_owned(),
                Outcome::Skipped {
                    because: "postgres".to_owned(),
                },
            ),
            ("redis".to_owned(), Outcome::Done),
        ]);
        let failure = deployed(&outcomes, &["redis".to_owned()]).unwrap_err();
        assert_eq!(failure.exit, Exit::NotHealthy);
        assert_eq!(failure.what, "not healthy: postgres");
        assert!(failure.causes[0].text.ends_with("n8n"));
        assert!(failure.causes[1].text.ends_with("redis"));
        assert!(failure.next.unwrap().starts_with("aistack logs postgres"));
    }

    #[test]
    fn a_refusal_by_the_gateway_is_reported_by_its_own_code() {
        let outcomes = BTreeMap::from([("n8n".to_owned(), report("n8n", Exit::Policy))]);
        assert_eq!(deployed(&outcomes, &[]).unwrap_err().exit, Exit::Policy);
        let fine = BTreeMap::from([("n8n".to_owned(), Outcome::Done)]);
        assert!(deployed(&fine, &[]).is_ok());
    }
}
