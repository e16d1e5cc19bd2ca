//! `aistack start` and `aistack stop`: containers as they are, in the order of their needs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;

use crate::args::ServicesArgs;
use crate::desired::{DesiredService, Stack};
use crate::engine::Container;
use crate::error::CliError;
use crate::exit::Exit;
use crate::run::lock::Lock;
use crate::run::{Context, Session};
use crate::stack::gate::Gate;
use crate::stack::graph::{self, Node};
use crate::stack::lifecycle::LifecycleWorker;
use crate::stack::stop::{ContainerRef, take_down, users_first};
use crate::stack::{leftovers, look, pairs, report, select};
use crate::ui::Progress;

/// What the two verbs work on.
struct Chosen {
    session: Session,
    /// Every service of the stack that has a container.
    services: BTreeMap<String, DesiredService>,
    containers: BTreeMap<String, Container>,
    names: BTreeSet<String>,
    _lock: Option<Lock>,
}

impl Chosen {
    fn those(&self) -> impl Iterator<Item = &DesiredService> {
        let services = self.services.values();
        services.filter(|service| self.names.contains(&service.name))
    }
}

pub(super) async fn start(context: &Context, args: &ServicesArgs) -> Result<Exit, CliError> {
    let mut chosen = choose(context, args, "aistack start").await?;
    // What it needs is started with it.
    let mut queue: Vec<String> = chosen.names.iter().cloned().collect();
    while let Some(name) = queue.pop() {
        let needs = chosen
            .services
            .get(&name)
            .map(|service| service.needs.clone());
        for need in needs.unwrap_or_default() {
            if chosen.containers.contains_key(&need) && chosen.names.insert(need.clone()) {
                queue.push(need);
            }
        }
    }
    if context.globals.dry_run {
        return would(context, "start", &chosen.names);
    }
    leftovers::refuse_of(
        &chosen.session.engine,
        chosen.session.base_dir(),
        chosen.those(),
    )
    .await?;
    let progress = Progress::new(context.printer);
    let nodes = nodes(&chosen);
    let worker = Arc::new(LifecycleWorker {
        stop: false,
        start: Some(Gate::open(&chosen.session.engine).telling(&progress)),
        engine: chosen.session.engine.clone(),
        services: chosen.services.clone(),
        containers: chosen.containers.clone(),
        progress: progress.clone(),
    });
    let outcomes = graph::execute(nodes, worker).await;
    progress.close();
    report::moved(context.printer, "started", &outcomes)
}

pub(super) async fn stop(context: &Context, args: &ServicesArgs) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    let chosen = match session.stack_on_disk(context) {
        Ok(stack) => choose_of(context, args, session, stack, "aistack stop").await?,
        // Without a stack there are still the containers.
        Err(failure) if matches!(failure.exit, Exit::NotFound | Exit::Config | Exit::Policy) => {
            return stop_what_is_there(context, args, &session, &failure).await;
        }
        Err(failure) => return Err(failure),
    };
    let runs = |name: &String| {
        let container = chosen.containers.get(name);
        container.is_some_and(|container| container.state == "running")
    };
    let still: Vec<&str> = chosen
        .services
        .values()
        .filter(|service| !chosen.names.contains(&service.name) && runs(&service.name))
        .filter(|service| service.needs.iter().any(|need| chosen.names.contains(need)))
        .map(|service| service.name.as_str())
        .collect();
    if !still.is_empty() {
        context.printer.warn(&format!(
            "still running, but needs what is being stopped: {}",
            still.join(", ")
        ));
    }
    if context.globals.dry_run {
        return would(context, "stop", &chosen.names);
    }
    let progress = Progress::new(context.printer);
    let nodes = users_first(chosen.those());
    let worker = Arc::new(LifecycleWorker {
        stop: true,
        start: None,
        engine: chosen.session.engine.clone(),
        services: chosen.services.clone(),
        containers: chosen.containers.clone(),
        progress: progress.clone(),
    });
    let outcomes = graph::execute(nodes, worker).await;
    progress.close();
    report::moved(context.printer, "stopped", &outcomes)
}

/// Stops containers of which no `.env` says what they need: all at once.
async fn stop_what_is_there(
    context: &Context,
    args: &ServicesArgs,
    session: &Session,
    failure: &CliError,
) -> Result<Exit, CliError> {
    let containers = session.engine.list().await?;
    if containers.is_empty() {
        return Err(failure.clone());
    }
    let known = containers.iter().map(|container| container.service.clone());
    let names = select(&args.services, &known.collect())?;
    context.printer.warn(&format!(
        "{}: dependencies unknown, stopping everything at once",
        failure.what
    ));
    if context.globals.dry_run {
        return would(context, "stop", &names);
    }
    // The lock is on the volume, which may be the reason that there is no .env.
    let wait = context.globals.lock_wait();
    let _lock = match Lock::take(session.base_dir(), "aistack stop", wait).await {
        Err(failure) if failure.exit == Exit::Locked => return Err(failure),
        lock => lock.ok(),
    };
    let targets: Vec<ContainerRef> = containers
        .iter()
        .filter(|container| names.contains(&container.service))
        .map(ContainerRef::of)
        .collect();
    let progress = Progress::new(context.printer);
    let left = take_down(&session.engine, &progress, &[], &targets, false).await;
    progress.close();
    if left.is_empty() {
        context.printer.document(json!({"stopped": names}))?;
        return Ok(Exit::Done);
    }
    let failure = CliError::new(Exit::Failed, "not everything was stopped");
    let failure = left.into_iter().fold(failure, CliError::because);
    Err(failure.next("aistack status; then run the same command again"))
}

async fn choose(context: &Context, args: &ServicesArgs, command: &str) -> Result<Chosen, CliError> {
    let session = Session::open(context).await?;
    let stack = session.stack_on_disk(context)?;
    choose_of(context, args, session, stack, command).await
}

async fn choose_of(
    context: &Context,
    args: &ServicesArgs,
    session: Session,
    stack: Stack,
    command: &str,
) -> Result<Chosen, CliError> {
    let lock = if context.globals.dry_run {
        None
    } else {
        let wait = context.globals.lock_wait();
        Some(Lock::take(session.base_dir(), command, wait).await?)
    };
    let progress = Progress::new(context.printer);
    let containers: BTreeMap<String, Container> =
        look::wait_until_stable(&session.engine, &progress)
            .await?
            .into_iter()
            .map(|container| (container.service.clone(), container))
            .collect();
    if containers.is_empty() {
        return Err(CliError::new(Exit::NotFound, "nothing is deployed").next("aistack deploy"));
    }
    let services: BTreeMap<String, DesiredService> = stack
        .services
        .into_iter()
        .filter(|service| containers.contains_key(&service.name))
        .map(|service| (service.name.clone(), service))
        .collect();
    let known = services.keys().cloned().collect();
    let mut names = select(&args.services, &known)?;
    pairs::complete(&mut names, services.values());
    Ok(Chosen {
        session,
        services,
        containers,
        names,
        _lock: lock,
    })
}

fn would(context: &Context, verb: &str, names: &BTreeSet<String>) -> Result<Exit, CliError> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut document = serde_json::Map::new();
    document.insert(format!("would_{verb}"), json!(names));
    context.printer.document(document)?;
    context
        .printer
        .data(&format!("would {verb}: {}\n", names.join(", ")))?;
    Ok(Exit::Done)
}

/// The chosen services with their edges.
fn nodes(chosen: &Chosen) -> Vec<Node> {
    let own = |names: &[String]| -> Vec<String> {
        let names = names.iter().filter(|name| chosen.names.contains(*name));
        names.cloned().collect()
    };
    let node = |service: &DesiredService| Node {
        name: service.name.clone(),
        needs: own(&service.needs),
        after: own(&service.after),
    };
    chosen.those().map(node).collect()
}
