//! `aistack plan`: what deploy would do, with the reason for every step.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::desired::{DesiredService, Stack};
use crate::engine::Container;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::plan::{Action, Observed, Plan, diff};
use crate::run::{Context, Session, deployed_on, leftovers, look, setup};
use crate::ui::Tone;
use crate::verbs::args::PlanArgs;
use crate::verbs::{images, select, service_names};

pub(super) async fn run(context: &Context, args: &PlanArgs) -> Result<Exit, Failure> {
    let context = &context.forcing(args.force);
    let session = Session::open(context).await?;
    let (manifest, stack) = setup::draft_with(context, &session, &[])?;
    let observed = observe(&session, &stack).await?;
    let plan = make(&stack, &observed, &args.services)?;
    show(context, &plan, &stack)?;
    tell_engine(context, &session, &stack, &observed).await?;
    tell_overridden(context, &stack);
    setup::tell_unknown(context, &session, &manifest.file);
    tell_left_out(context, &stack);
    images::tell_moved(context, &stack, &session.locks);
    Ok(if args.exit_code && !plan.is_empty() {
        Exit::Pending
    } else {
        Exit::Done
    })
}

/// What another Docker Engine than before means for the stack.
pub(super) async fn tell_engine(
    context: &Context,
    session: &Session,
    stack: &Stack,
    observed: &Observed,
) -> Result<(), Failure> {
    let count = observed.services.len();
    if let Some(why) = deployed_on::hidden(&session.engine, session.base_dir(), count).await {
        context.printer.note(&why);
    }
    let left = leftovers::find(&session.engine, stack).await?;
    if !left.is_empty() {
        context.printer.warn(&leftovers::sentence(&left));
    }
    Ok(())
}

/// What a plan compares the stack with, without a lock on it.
pub(super) async fn observe(session: &Session, stack: &Stack) -> Result<Observed, Failure> {
    let (containers, host) = look::around(session, &session.who, stack).await?;
    Ok(Container::observed(&containers, host))
}

/// The plan for the named services and what they need, for everything when none is named.
pub(super) fn make(stack: &Stack, observed: &Observed, named: &[String]) -> Result<Plan, Failure> {
    let mut plan = diff(stack, observed);
    if !named.is_empty() {
        let chosen = select(named, &service_names(stack))?;
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
pub(super) fn show(context: &Context, plan: &Plan, stack: &Stack) -> Result<(), Failure> {
    context.printer.document(document(plan, stack))?;
    if plan.is_empty() {
        context.printer.data("nothing to do\n")?;
        return Ok(());
    }
    if plan.without_network {
        let sign = context.printer.out.paint(Tone::Good, "+");
        let text = format!("{sign} {:<14} create\n", "(network)");
        context.printer.data(&text)?;
    }
    for step in &plan.steps {
        let image = stack
            .services
            .iter()
            .find(|service| service.name == step.service)
            .map_or("", |service| service.image.as_str());
        if let Some((sign, tone, what)) = line(&step.action, image, plan.pulls(step)) {
            let sign = context.printer.out.paint(tone, sign);
            let text = format!("{sign} {:<14} {what}\n", step.service);
            context.printer.data(&text)?;
        }
    }
    context.printer.data(&format!("\n{}\n", sum(plan)))?;
    Ok(())
}

/// Which values are those of the shell's environment.
pub(super) fn tell_overridden(context: &Context, stack: &Stack) {
    if !stack.overridden.is_empty() {
        context.printer.warn(&format!(
            "taken from your environment and not from the .env, for this run only: {}; the next run \
             without it takes the .env's again",
            stack.overridden.join(", ")
        ));
    }
}

/// A line for each service that was asked for and lacks a value.
pub(super) fn tell_left_out(context: &Context, stack: &Stack) {
    for left in &stack.left_out {
        context.printer.note(&left.to_string());
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
pub(super) fn sum(plan: &Plan) -> String {
    let words = ["create", "start", "replace", "remove", "wait", "keep"];
    let counts = words.iter().filter_map(|&wanted| {
        let steps = plan.steps.iter();
        let count = steps.filter(|step| word(&step.action) == wanted).count();
        (count > 0).then(|| format!("{count} to {wanted}"))
    });
    counts.collect::<Vec<_>>().join(", ")
}

/// The steps for `--json`.
pub(super) fn document(plan: &Plan, stack: &Stack) -> Value {
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
        let told = line(&Action::Create, "redis:8", true).unwrap().2;
        assert_eq!(told, "pull redis:8, then create from it");
        let because = vec!["ports".to_owned()];
        let told = line(&Action::Replace { because }, "redis:8", true)
            .unwrap()
            .2;
        assert_eq!(told, "replace: ports changed; pull redis:8 first");
        assert_eq!(document["left_out"][0]["service"], "openclaw");
        assert_eq!(document["from_environment"], json!(["OPENAI_API_KEY"]));
    }
}
