//! What a deploy would do to a stack, for people and programs.

use std::collections::{BTreeMap, BTreeSet};

use aistack_proto::v1::WhoAmIResponse;
use serde_json::{Value, json};

use super::{deployed_on, leftovers, look, select};
use crate::desired::{DesiredService, Locked, Locks, Stack};
use crate::engine::{Container, Engine};
use crate::error::CliError;
use crate::plan::{Action, Observed, Plan, diff};
use crate::ui::{Printer, Tone};

/// What another Docker Engine than before means for the stack.
///
/// # Errors
/// What the gateway answered.
pub async fn tell_engine(
    printer: Printer,
    engine: &Engine,
    stack: &Stack,
    observed: &Observed,
) -> Result<(), CliError> {
    let count = observed.services.len();
    if let Some(why) = deployed_on::hidden(engine, stack.base_dir.as_ref(), count).await {
        printer.note(&why);
    }
    let left = leftovers::find(engine, stack).await?;
    if !left.is_empty() {
        printer.warn(&leftovers::sentence(&left));
    }
    Ok(())
}

/// What a plan compares the stack with, without a lock on it.
///
/// # Errors
/// What the gateway answered.
pub async fn observe(
    engine: &Engine,
    who: &WhoAmIResponse,
    stack: &Stack,
) -> Result<Observed, CliError> {
    let (containers, host) = look::around(engine, who, stack).await?;
    Ok(Container::observed(&containers, host))
}

/// The plan for the named services and what they need, for everything when none is named.
///
/// # Errors
/// [`crate::exit::Exit::NotFound`] for a name that the stack does not have.
pub fn make(stack: &Stack, observed: &Observed, named: &[String]) -> Result<Plan, CliError> {
    let mut plan = diff(stack, observed);
    if !named.is_empty() {
        let chosen = select(named, &stack.names())?;
        let wanted = with_needs(stack, &chosen);
        plan.steps.retain(|step| wanted.contains(&step.service));
    }
    Ok(plan)
}

/// Services with everything that they need, directly or not, and with what shares their network.
fn with_needs(stack: &Stack, chosen: &BTreeSet<String>) -> BTreeSet<String> {
    let by_name: BTreeMap<&str, &DesiredService> = stack
        .services
        .iter()
        .map(|service| (service.name.as_str(), service))
        .collect();
    let mut wanted = BTreeSet::new();
    let mut queue: Vec<String> = chosen.iter().cloned().collect();
    while let Some(name) = queue.pop() {
        let joined = stack.services.iter().filter(|other| {
            other.network_of.as_ref() == Some(&name) && !wanted.contains(&other.name)
        });
        queue.extend(joined.map(|other| other.name.clone()));
        if let Some(service) = by_name.get(name.as_str()) {
            let providers = service.provisions.iter().map(|made| &made.provider);
            queue.extend(
                service
                    .needs
                    .iter()
                    .chain(providers)
                    .filter(|need| !wanted.contains(*need))
                    .cloned(),
            );
        }
        wanted.insert(name);
    }
    wanted
}

/// Prints a plan.
///
/// # Errors
/// When standard output cannot be written.
pub fn show(printer: Printer, plan: &Plan, stack: &Stack) -> Result<(), CliError> {
    printer.document(document(plan, stack))?;
    if plan.is_empty() {
        printer.data("nothing to do\n")?;
        return Ok(());
    }
    if plan.without_network {
        let sign = printer.out.paint(Tone::Good, "+");
        let text = format!("{sign} {:<14} create\n", "(network)");
        printer.data(&text)?;
    }
    for step in &plan.steps {
        let image = stack
            .services
            .iter()
            .find(|service| service.name == step.service)
            .map_or("", |service| service.image.as_str());
        if let Some((sign, tone, what)) = line(&step.action, image, plan.pulls(step)) {
            let sign = printer.out.paint(tone, sign);
            let text = format!("{sign} {:<14} {what}\n", step.service);
            printer.data(&text)?;
        }
    }
    printer.data(&format!("\n{}\n", sum(plan)))?;
    Ok(())
}

/// Which values are those of the shell's environment.
pub fn tell_overridden(printer: Printer, stack: &Stack) {
    if !stack.overridden.is_empty() {
        printer.warn(&format!(
            "taken from your environment and not from the .env, for this run only: {}; the next run \
             without them uses the .env",
            stack.overridden.join(", ")
        ));
    }
}

/// A line for each service that was requested and lacks a value.
pub fn tell_left_out(printer: Printer, stack: &Stack) {
    for left in &stack.left_out {
        printer.note(&left.to_string());
    }
}

/// `pulls`: its image is not on this host.
fn line(action: &Action, image: &str, pulls: bool) -> Option<(&'static str, Tone, String)> {
    match action {
        Action::Keep => None,
        Action::Wait => Some(("=", Tone::Faint, "wait until it is healthy".to_owned())),
        Action::Start => Some(("+", Tone::Good, "start".to_owned())),
        Action::Create if pulls => {
            let what = format!("pull {image}, then create from it");
            Some(("+", Tone::Good, what))
        }
        Action::Create => Some(("+", Tone::Good, format!("create from {image}"))),
        Action::Replace { because } => {
            let why = because.join(", ");
            let pull = if pulls {
                format!("; pull {image} first")
            } else {
                String::new()
            };
            Some(("~", Tone::Notice, format!("replace: {why} changed{pull}")))
        }
        Action::Remove => Some(("-", Tone::Bad, "remove (its data stays)".to_owned())),
    }
}

fn word(action: &Action) -> &'static str {
    match action {
        Action::Keep => "keep",
        Action::Wait => "wait",
        Action::Start => "start",
        Action::Create => "create",
        Action::Replace { .. } => "replace",
        Action::Remove => "remove",
    }
}

/// A plan in one sentence.
#[must_use]
pub fn sum(plan: &Plan) -> String {
    let words = ["create", "start", "replace", "remove", "wait", "keep"];
    let counts = words.iter().filter_map(|&wanted| {
        let steps = plan.steps.iter();
        let count = steps.filter(|step| word(&step.action) == wanted).count();
        (count > 0).then(|| format!("{count} to {wanted}"))
    });
    counts.collect::<Vec<_>>().join(", ")
}

/// Says of each service whose reference is another than the locked one that its lock does not hold.
pub fn tell_moved(printer: Printer, stack: &Stack, locks: &Locks) {
    for (service, locked) in moved(stack, locks) {
        printer.note(&format!(
            "{}: the stack says {}, the lock holds {}: aistack images lock --update {}",
            service.name, service.reference, locked.reference, service.name
        ));
    }
}

/// Services that a lock holds at another image than the stack says.
#[must_use]
pub fn moved<'a>(stack: &'a Stack, locks: &'a Locks) -> Vec<(&'a DesiredService, &'a Locked)> {
    let services = stack.services.iter();
    services
        .filter(|service| service.locked.is_none())
        .filter_map(|service| Some((service, locks.get(&service.name)?)))
        .collect()
}

/// The steps for `--json`.
#[must_use]
pub fn document(plan: &Plan, stack: &Stack) -> Value {
    let steps: Vec<Value> = plan
        .steps
        .iter()
        .map(|step| {
            let because = match &step.action {
                Action::Replace { because } => because.clone(),
                _ => Vec::new(),
            };
            json!({"service": step.service, "action": word(&step.action), "because": because,
                   "pull": plan.pulls(step)})
        })
        .collect();
    json!({"changes": !plan.is_empty(), "steps": steps, "create_network": plan.without_network,
           "left_out": stack.left_out,
           "from_environment": stack.overridden})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Step;
    use crate::selection::LeftOut;

    #[test]
    fn a_plan_is_summed_up_in_the_order_of_its_weight() {
        let step = |service: &str, action| Step {
            service: service.to_owned(),
            action,
        };
        let plan = Plan {
            steps: vec![
                step("a", Action::Keep),
                step("b", Action::Remove),
                step("c", Action::Create),
                step("d", Action::Create),
            ],
            without_image: BTreeSet::from(["a", "c"].map(str::to_owned)),
            without_network: true,
        };
        assert_eq!(sum(&plan), "2 to create, 1 to remove, 1 to keep");
        let stack = Stack {
            left_out: vec![LeftOut {
                service: "openclaw".to_owned(),
                because: "TAILSCALE_AUTH_KEY is empty".to_owned(),
                next: "aistack init".to_owned(),
            }],
            overridden: vec!["OPENAI_API_KEY".to_owned()],
            ..crate::desired::tests::render(&[]).unwrap()
        };
        let document = document(&plan, &stack);
        assert_eq!(document["steps"][1]["action"], "remove");
        // What is kept needs no image.
        let pulled = [false, false, true, false];
        for (step, pulled) in pulled.iter().enumerate() {
            assert_eq!(document["steps"][step]["pull"], *pulled, "{step}");
        }
        assert_eq!(document["create_network"], true);
        let shown = line(&Action::Create, "redis:8", true).unwrap().2;
        assert_eq!(shown, "pull redis:8, then create from it");
        let because = vec!["ports".to_owned()];
        let shown = line(&Action::Replace { because }, "redis:8", true)
            .unwrap()
            .2;
        assert_eq!(shown, "replace: ports changed; pull redis:8 first");
        assert_eq!(document["left_out"][0]["service"], "openclaw");
        assert_eq!(document["from_environment"], json!(["OPENAI_API_KEY"]));
    }
}
