//! `aistack restart`: stops and starts services, and waits until they are healthy.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;

use crate::args::{DeployArgs, RestartArgs};
use crate::desired::DesiredService;
use crate::error::CliError;
use crate::exit::Exit;
use crate::patience::DOCKER_RESTARTS;
use crate::plan::Action;
use crate::run::lock::Lock;
use crate::run::{Context, Session, setup};
use crate::stack::apply::apply;
use crate::stack::gate::Gate;
use crate::stack::graph::{self, Node, Outcome};
use crate::stack::lifecycle::LifecycleWorker;
use crate::stack::{deployed_on, leftovers, look, pairs, preview, report, select};
use crate::ui::Progress;

pub(super) async fn run(context: &Context, args: &RestartArgs) -> Result<Exit, CliError> {
    let applied = if args.apply && !context.globals.dry_run {
        apply_changed(context, &args.services).await?
    } else {
        BTreeSet::new()
    };
    let mut session = Session::open(context).await?;
    session.engine = session.engine.waiting_for_docker(DOCKER_RESTARTS);
    let stack = session.stack_on_disk(context)?;
    // Before the look at the containers: the run that is waited for may make others.
    let _lock = if context.globals.dry_run {
        None
    } else {
        let wait = context.globals.lock_wait();
        Some(Lock::take(session.base_dir(), "aistack restart", wait).await?)
    };
    let progress = Progress::new(context.printer);
    let containers = look::wait_until_stable(&session.engine, &progress).await?;
    if containers.is_empty() {
        let failure = CliError::new(Exit::NotFound, "nothing is deployed").next("aistack deploy");
        let hidden = deployed_on::hidden(&session.engine, session.base_dir(), 0).await;
        return Err(match hidden {
            Some(why) => failure.because(why),
            None => failure,
        });
    }
    if !context.globals.dry_run {
        leftovers::refuse(&session.engine, &stack).await?;
    }
    let mut known = stack.names();
    known.retain(|name| {
        containers
            .iter()
            .any(|container| container.service == *name)
    });
    let mut chosen = select(&args.services, &known)?;
    pairs::complete(&mut chosen, stack.services.iter());
    chosen.retain(|name| known.contains(name) && !applied.contains(name));
    if chosen.is_empty() {
        let done: BTreeMap<String, Outcome> = BTreeMap::new();
        return report::moved(context.printer, "restarted", &with(done, applied));
    }
    let observed = preview::observe(&session.engine, &session.who, &stack).await?;
    for step in preview::make(&stack, &observed, &[])?.steps {
        if let (true, Action::Replace { because }) = (chosen.contains(&step.service), &step.action)
        {
            context.printer.warn(&format!(
                "{}: {} changed since it was created; apply that with `aistack restart --apply {}`",
                step.service,
                because.join(", "),
                step.service
            ));
        }
    }
    if context.globals.dry_run {
        let names: Vec<&str> = chosen.iter().map(String::as_str).collect();
        context.printer.document(json!({"would_restart": names}))?;
        context
            .printer
            .data(&format!("would restart: {}\n", names.join(", ")))?;
        return Ok(Exit::Done);
    }
    let services: BTreeMap<String, DesiredService> = stack
        .services
        .into_iter()
        .filter(|service| chosen.contains(&service.name))
        .map(|service| (service.name.clone(), service))
        .collect();
    let nodes = services
        .values()
        .map(|service| node(service, &services))
        .collect();
    // What shares another's network goes down before that and comes up after it.
    for service in services
        .values()
        .filter(|service| service.network_of.is_some())
    {
        let own = containers
            .iter()
            .find(|container| container.service == service.name);
        if let Some(container) = own {
            session.engine.stop(&container.id).await?;
        }
    }
    let restarter = LifecycleWorker {
        stop: true,
        start: Some(Gate::open(&session.engine).telling(&progress)),
        engine: session.engine.clone(),
        containers: containers
            .into_iter()
            .map(|container| (container.service.clone(), container))
            .collect(),
        services,
        progress: progress.clone(),
    };
    let outcomes = graph::execute(nodes, Arc::new(restarter)).await;
    progress.close();
    report::moved(context.printer, "restarted", &with(outcomes, applied))
}

/// Those that were recreated are restarted, too.
fn with(
    mut outcomes: BTreeMap<String, Outcome>,
    applied: BTreeSet<String>,
) -> BTreeMap<String, Outcome> {
    outcomes.extend(applied.into_iter().map(|name| (name, Outcome::Done)));
    outcomes
}

/// Deploys those of the named services whose configuration changed since they were made; their names.
async fn apply_changed(context: &Context, named: &[String]) -> Result<BTreeSet<String>, CliError> {
    let session = Session::open(context).await?;
    let stack = session.stack_on_disk(context)?;
    let observed = preview::observe(&session.engine, &session.who, &stack).await?;
    let chosen = select(named, &stack.names())?;
    let changed: Vec<String> = preview::make(&stack, &observed, &[])?
        .steps
        .into_iter()
        .filter(|step| {
            matches!(step.action, Action::Replace { .. }) && chosen.contains(&step.service)
        })
        .map(|step| step.service)
        .collect();
    if !changed.is_empty() {
        deploy(context, session, &changed).await?;
    }
    Ok(changed.into_iter().collect())
}

/// Deploys these as a step of this command, which has data of its own.
async fn deploy(
    context: &Context,
    mut session: Session,
    services: &[String],
) -> Result<(), CliError> {
    let context = &context.forcing(false);
    let args = DeployArgs {
        services: services.to_vec(),
        skip_validate: true,
        ..DeployArgs::default()
    };
    let progress = Progress::new(context.printer);
    let ready = setup::for_deploy(context, &mut session, services, &progress).await?;
    let tools = session.tools(context, &progress);
    let applied = apply(&tools, &ready.stack, ready.unconfined.as_deref(), &args).await?;
    report::note(context.printer, &applied, &progress);
    Ok(())
}

fn node(service: &DesiredService, chosen: &BTreeMap<String, DesiredService>) -> Node {
    let chosen = |names: &[String]| {
        let names = names.iter().filter(|name| chosen.contains_key(*name));
        names.cloned().collect()
    };
    Node {
        name: service.name.clone(),
        needs: chosen(&service.needs),
        after: chosen(&service.after),
    }
}
