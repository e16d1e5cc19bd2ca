//! Makes a stack what it should be: the steps that a deploy takes once everything it stands on is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::checks::CheckResult;
use super::configs::{self, Previous};
use super::deployer::Deployer;
use super::gate::Gate;
use super::graph::{self, Node, Outcome};
use super::{ask, deployed_on, images, leftovers, look, preview, report, stop};
use crate::args::DeployArgs;
use crate::catalog::Phase;
use crate::desired::{ConfigFile, DesiredService, Locks, Stack};
use crate::engine::{Container, Engine};
use crate::error::CliError;
use crate::exit::Exit;
use crate::helper::Helper;
use crate::plan::{Action, Observed, Plan, State, Step};
use crate::ui::{Printer, Progress, Word, prompt};

/// What a stack is applied with.
pub struct Tools<'a> {
    /// Connection to the helper.
    pub helper: &'a Helper,
    /// Connection to the gateway.
    pub engine: &'a Engine,
    /// Images that are locked.
    pub locks: &'a Locks,
    /// Where output goes.
    pub printer: Printer,
    /// Whether a question is possible.
    pub interactive: bool,
    /// Shows how it gets on.
    pub progress: &'a Progress,
}

/// What was done.
#[derive(Debug)]
pub struct Applied {
    /// The steps; none when every service was as desired.
    pub plan: Plan,
    /// What the services answered.
    pub checks: Vec<CheckResult>,
}

/// Applies a stack, under the tenant's lock. `unconfined` is a sentence when containers do not run
/// under the tenant's AppArmor profiles.
///
/// # Errors
/// What keeps a service from being as desired, and checks that fail.
pub async fn apply(
    with: &Tools<'_>,
    stack: &Stack,
    unconfined: Option<&str>,
    args: &DeployArgs,
) -> Result<Applied, CliError> {
    let Tools {
        engine,
        printer,
        progress,
        ..
    } = *with;
    look::wait_until_stable(engine, progress).await?;
    // Looked at again: this run may have made the network or had the profiles loaded.
    let who = with.helper.who_am_i().await?;
    let (containers, host) = look::around(engine, &who, stack).await?;
    let observed = Container::observed(&containers, host);
    let plan = planned(stack, &observed, args)?;
    preview::tell_overridden(printer, stack);
    preview::tell_left_out(printer, stack);
    preview::tell_moved(printer, stack, with.locks);
    // Before anything is changed: two servers on one directory destroy its data.
    leftovers::refuse(engine, stack).await?;
    let checks = Vec::new();
    if plan.is_empty() {
        deployed_on::note(engine, stack.base_dir.as_ref()).await;
        // A file that somebody changed manually is written again; no container is made of it.
        configs::write_all(stack.base_dir.as_ref(), &files(stack, &plan))?;
        return Ok(Applied { plan, checks });
    }
    let count = observed.services.len();
    if let Some(why) = deployed_on::hidden(engine, stack.base_dir.as_ref(), count).await {
        progress.note(&why);
    }
    agree(with, &plan, stack).await?;
    if let Some(warning) = unconfined {
        printer.warn(warning);
    }
    progress.note(&preview::sum(&plan));
    images::ensure(engine, needed_images(&plan, stack), args.pull, progress).await?;
    let previous = configs::write_all(stack.base_dir.as_ref(), &files(stack, &plan))?;
    stop::remove_in_turn(engine, progress, to_remove(&plan), &containers).await?;
    let outcomes = execute(engine, stack, &plan, containers, previous, progress).await;
    report::deployed(&outcomes, &running(engine).await)?;
    deployed_on::note(engine, stack.base_dir.as_ref()).await;
    let checks = if args.skip_validate {
        checks
    } else {
        progress.note("checking the services");
        ask::ask_changed(engine, stack, &plan, progress).await?
    };
    let failed: Vec<&CheckResult> = checks.iter().filter(|result| !result.ok).collect();
    if !failed.is_empty() {
        return Err(ask::failed(&failed));
    }
    for result in &checks {
        if let Some(warning) = &result.warning {
            printer.warn(&format!("{}: {warning}", result.service));
        }
    }
    Ok(Applied { plan, checks })
}

/// The plan of a deploy with these arguments.
///
/// # Errors
/// As [`preview::make`].
pub fn planned(stack: &Stack, observed: &Observed, args: &DeployArgs) -> Result<Plan, CliError> {
    let mut plan = preview::make(stack, observed, &args.services)?;
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

/// Prompts before something that runs is replaced or removed.
async fn agree(with: &Tools<'_>, plan: &Plan, stack: &Stack) -> Result<(), CliError> {
    let touches = plan
        .steps
        .iter()
        .any(|step| matches!(step.action, Action::Replace { .. } | Action::Remove));
    if !touches || !with.interactive {
        return Ok(());
    }
    preview::show(with.printer, plan, stack)?;
    if prompt::confirm("Continue?", true).await? {
        return Ok(());
    }
    Err(CliError::new(
        Exit::Failed,
        "not confirmed; nothing was changed",
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

fn to_remove(plan: &Plan) -> impl Iterator<Item = &str> {
    let steps = plan.steps.iter();
    let removed = steps.filter(|step| step.action == Action::Remove);
    removed.map(|step| step.service.as_str())
}

async fn execute(
    engine: &Engine,
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
        engine: engine.clone(),
        gate: Gate::open(engine).telling(progress),
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
async fn running(engine: &Engine) -> Vec<String> {
    let containers = engine.list().await.unwrap_or_default();
    containers
        .into_iter()
        .filter(|container| matches!(container.plan_state, State::Healthy | State::Starting))
        .map(|container| container.service)
        .collect()
}
