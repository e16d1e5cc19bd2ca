//! `aistack deploy`: makes the stack, or changes what differs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::desired::{ConfigFile, DesiredService, Phase, Stack};
use crate::engine::Container;
use crate::exit::Exit;
use crate::failure::{Failure, ServiceReport};
use crate::patience::DOCKER_RESTARTS;
use crate::plan::{Action, Observed, Plan, State, Step};
use crate::run::checks::CheckResult;
use crate::run::configs::{self, Previous};
use crate::run::deployer::Deployer;
use crate::run::gate::Gate;
use crate::run::graph::{self, Node, Outcome};
use crate::run::setup::Ready;
use crate::run::{Context, Session, deployed_on, images, leftovers, look, prompt, setup};
use crate::ui::{Progress, Table, Tone, Word, seconds, url};
use crate::verbs::args::DeployArgs;
use crate::verbs::{images as pinned, plan, select, service_names, validate};

pub(super) async fn run(context: &Context, args: &DeployArgs) -> Result<Exit, Failure> {
    let context = &context.forcing(args.force);
    let mut session = Session::open(context).await?;
    session.engine = session.engine.waiting_for_docker(DOCKER_RESTARTS);
    if context.globals.dry_run {
        let (manifest, stack) = setup::draft_with(context, &session, &[])?;
        let observed = plan::observe(&session, &stack).await?;
        let plan = planned(&stack, &observed, args)?;
        plan::show(context, &plan, &stack)?;
        plan::tell_engine(context, &session, &stack, &observed).await?;
        plan::tell_overridden(context, &stack);
        setup::tell_unknown(context, &session, &manifest.file);
        plan::tell_left_out(context, &stack);
        pinned::tell_moved(context, &stack, &session.locks);
        return Ok(Exit::Done);
    }
    if !args.services.is_empty() && session.volume_is_mounted() {
        // A mistyped name is told before anything is made.
        let stack = setup::draft(context, &session)?;
        select(&args.services, &service_names(&stack))?;
    }
    let progress = Progress::new(context.printer);
    let ready = setup::for_deploy(context, &mut session, &progress).await?;
    make(context, &session, &ready, args, &progress).await
}

/// Makes what is settled, under the lock that `ready` holds.
pub(super) async fn make(
    context: &Context,
    session: &Session,
    ready: &Ready,
    args: &DeployArgs,
    progress: &Progress,
) -> Result<Exit, Failure> {
    look::settled(&session.engine, progress).await?;
    // Asked again: this run may have made the network or had the profiles loaded.
    let who = session.helper.who_am_i().await?;
    let (containers, host) = look::around(session, &who, &ready.stack).await?;
    let observed = Container::observed(&containers, host);
    let plan = planned(&ready.stack, &observed, args)?;
    plan::tell_overridden(context, &ready.stack);
    plan::tell_left_out(context, &ready.stack);
    pinned::tell_moved(context, &ready.stack, &session.locks);
    // Before anything is changed: two servers on one directory destroy its data.
    leftovers::refuse(&session.engine, &ready.stack).await?;
    if plan.is_empty() {
        deployed_on::note(&session.engine, session.base_dir()).await;
        // A file that somebody changed by hand is put right; no container is made of it.
        configs::write_all(session.base_dir(), &files(&ready.stack, &plan))?;
        return nothing_to_do(context, &plan, &ready.stack);
    }
    let count = observed.services.len();
    if let Some(why) = deployed_on::hidden(&session.engine, session.base_dir(), count).await {
        progress.note(&why);
    }
    agree(context, &plan, &ready.stack).await?;
    if let Some(warning) = &ready.unconfined {
        context.printer.warn(warning);
    }
    progress.note(&plan::sum(&plan));
    images::ensure(
        &session.engine,
        needed_images(&plan, &ready.stack),
        args.pull,
        progress,
    )
    .await?;
    let previous = configs::write_all(session.base_dir(), &files(&ready.stack, &plan))?;
    remove(session, &plan, &containers, progress).await?;
    let outcomes = execute(session, &ready.stack, &plan, containers, previous, progress).await;
    judge(&outcomes, &running(session).await)?;
    deployed_on::note(&session.engine, session.base_dir()).await;
    let checked = if args.skip_validate {
        Vec::new()
    } else {
        progress.note("asking the services");
        validate::ask_changed(session, &ready.stack, &plan, progress).await?
    };
    finish(context, &ready.stack, &plan, &checked, progress)
}

fn planned(stack: &Stack, observed: &Observed, args: &DeployArgs) -> Result<Plan, Failure> {
    let mut plan = plan::make(stack, observed, &args.services)?;
    if args.recreate {
        let because = vec!["--recreate".to_owned()];
        for step in &mut plan.steps {
            if matches!(step.action, Action::Keep | Action::Wait | Action::Start) {
                step.action = Action::Replace {
                    because: because.clone(),
                };
            }
        }
    }
    Ok(plan)
}

fn nothing_to_do(context: &Context, plan: &Plan, stack: &Stack) -> Result<Exit, Failure> {
    context.printer.document(plan::document(plan, stack))?;
    context
        .printer
        .data("nothing to do: every service runs as desired\n")?;
    Ok(Exit::Done)
}

/// Asks before something that runs is replaced or removed.
async fn agree(context: &Context, plan: &Plan, stack: &Stack) -> Result<(), Failure> {
    let touches = plan
        .steps
        .iter()
        .any(|step| matches!(step.action, Action::Replace { .. } | Action::Remove));
    if !touches || !context.interactive() {
        return Ok(());
    }
    plan::show(context, plan, stack)?;
    if prompt::confirm("Go on?", true).await? {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Failed,
        "not confirmed; no service was changed",
    ))
}

fn needed_images(plan: &Plan, stack: &Stack) -> BTreeSet<String> {
    let changes: BTreeSet<&str> = plan
        .steps
        .iter()
        .filter(|step| step.makes_a_container())
        .map(|step| step.service.as_str())
        .collect();
    stack
        .services
        .iter()
        .filter(|service| changes.contains(service.name.as_str()))
        .map(|service| service.image.clone())
        .collect()
}

/// Files of the planned services. Those of others stay as their containers were made with.
fn files(stack: &Stack, plan: &Plan) -> Vec<ConfigFile> {
    let planned = |file: &&ConfigFile| plan.steps.iter().any(|step| step.service == file.service);
    stack.files.iter().filter(planned).cloned().collect()
}

async fn remove(
    session: &Session,
    plan: &Plan,
    containers: &[Container],
    progress: &Progress,
) -> Result<(), Failure> {
    for step in plan
        .steps
        .iter()
        .filter(|step| step.action == Action::Remove)
    {
        let own = containers
            .iter()
            .filter(|container| container.service == step.service);
        for container in own {
            progress.service(&step.service, Word::Stopping, "");
            session.engine.stop(&container.id).await?;
            session.engine.remove(&container.id).await?;
        }
        progress.service(&step.service, Word::Removed, "");
    }
    Ok(())
}

async fn execute(
    session: &Session,
    stack: &Stack,
    plan: &Plan,
    containers: Vec<Container>,
    previous_configs: Previous,
    progress: &Progress,
) -> BTreeMap<String, Outcome> {
    let (kept, changed): (Vec<&Step>, Vec<&Step>) = plan
        .steps
        .iter()
        .filter(|step| step.action != Action::Remove)
        .partition(|step| step.action == Action::Keep);
    for step in kept {
        progress.unchanged(&step.service);
    }
    let actions: BTreeMap<String, Action> = changed
        .into_iter()
        .map(|step| (step.service.clone(), step.action.clone()))
        .collect();
    let nodes = nodes(stack, &actions);
    let services = stack.services.iter();
    let deployer = Deployer {
        engine: session.engine.clone(),
        gate: Gate::open(&session.engine).telling(progress),
        services: services
            .map(|service| (service.name.clone(), service.clone()))
            .collect(),
        containers: containers
            .into_iter()
            .map(|container| (container.service.clone(), container))
            .collect(),
        actions,
        previous_configs,
        progress: progress.clone(),
    };
    let outcomes = graph::execute(nodes, Arc::new(deployer)).await;
    for (service, outcome) in &outcomes {
        if let Outcome::Skipped { because } = outcome {
            progress.service(service, Word::Skipped, &format!("because of {because}"));
        }
    }
    progress.close();
    outcomes
}

/// One node a service that changes. What an edge leads to besides is as desired already. The
/// proxy comes after everything else, so that no site is open before what is behind it; what is
/// not healthy keeps no other site closed.
fn nodes(stack: &Stack, actions: &BTreeMap<String, Action>) -> Vec<Node> {
    let planned = |service: &&DesiredService| actions.contains_key(&service.name);
    let changing = |names: &[String]| -> BTreeSet<String> {
        let names = names.iter().filter(|name| actions.contains_key(*name));
        names.cloned().collect()
    };
    let before_ingress: Vec<String> = stack
        .services
        .iter()
        .filter(planned)
        .filter(|service| service.phase != Phase::Ingress)
        .map(|service| service.name.clone())
        .collect();
    stack
        .services
        .iter()
        .filter(planned)
        .map(|service| {
            let mut after = changing(&service.after);
            if service.phase == Phase::Ingress {
                after.extend(before_ingress.iter().cloned());
            }
            Node {
                name: service.name.clone(),
                needs: changing(&service.needs).into_iter().collect(),
                after: after.into_iter().collect(),
            }
        })
        .collect()
}

/// Services that run now, for a report. What cannot be listed is left out.
async fn running(session: &Session) -> Vec<String> {
    let containers = session.engine.list().await.unwrap_or_default();
    containers
        .into_iter()
        .filter(|container| matches!(container.plan_state, State::Healthy | State::Starting))
        .map(|container| container.service)
        .collect()
}

/// Turns failed services into the failure of the command.
fn judge(outcomes: &BTreeMap<String, Outcome>, running: &[String]) -> Result<(), Failure> {
    let reports: Vec<ServiceReport> = outcomes
        .values()
        .filter_map(|outcome| match outcome {
            Outcome::Failed(report) => Some((**report).clone()),
            _ => None,
        })
        .collect();
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
    let mut failure = Failure::new(exit, format!("not healthy: {}", failed.join(", ")));
    if !skipped.is_empty() {
        failure = failure.because(format!("not tried because of that: {}", skipped.join(", ")));
    }
    if !running.is_empty() {
        failure = failure.because(format!("left running: {}", running.join(", ")));
    }
    // The log of a service that was put back is not that of the container that failed.
    let failing = reports.iter().find(|report| !report.restored);
    let look = failing.map(|report| format!("aistack logs {}; ", report.service));
    failure = failure.next(format!(
        "{}mend the cause, then run `aistack deploy` again",
        look.unwrap_or_default()
    ));
    failure.reports = reports;
    Err(failure)
}

fn finish(
    context: &Context,
    stack: &Stack,
    plan: &Plan,
    checked: &[CheckResult],
    progress: &Progress,
) -> Result<Exit, Failure> {
    let printer = context.printer;
    let mut document = plan::document(plan, stack);
    if let Value::Object(members) = &mut document {
        let took = progress.elapsed();
        let urls: Vec<Value> = urls(stack, plan)
            .into_iter()
            .map(|(service, url)| json!({"service": service, "url": url}))
            .collect();
        members.insert("urls".to_owned(), json!(urls));
        members.insert("checks".to_owned(), json!(checked));
        members.insert("seconds".to_owned(), json!(took.as_secs_f64()));
    }
    let failed: Vec<&CheckResult> = checked.iter().filter(|result| !result.ok).collect();
    if !failed.is_empty() {
        return Err(validate::failure(&failed));
    }
    for result in checked {
        if let Some(warning) = &result.warning {
            printer.warn(&format!("{}: {warning}", result.service));
        }
    }
    printer.document(document)?;
    printer.table(&url_table(stack, plan))?;
    progress.note(&format!(
        "{} in {}",
        printer.err.paint(Tone::Good, "deployed"),
        seconds(progress.elapsed())
    ));
    Ok(Exit::Done)
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
        let failure = judge(&outcomes, &["redis".to_owned()]).unwrap_err();
        assert_eq!(failure.exit, Exit::NotHealthy);
        assert_eq!(failure.what, "not healthy: postgres");
        assert!(failure.causes[0].text.ends_with("n8n"));
        assert!(failure.causes[1].text.ends_with("redis"));
        assert!(failure.next.unwrap().starts_with("aistack logs postgres"));
    }

    #[test]
    fn a_refusal_by_the_gateway_is_told_by_its_own_code() {
        let outcomes = BTreeMap::from([("n8n".to_owned(), report("n8n", Exit::Policy))]);
        assert_eq!(judge(&outcomes, &[]).unwrap_err().exit, Exit::Policy);
        let fine = BTreeMap::from([("n8n".to_owned(), Outcome::Done)]);
        assert!(judge(&fine, &[]).is_ok());
    }
}
