//! The stack's containers and images: are they there, do they run, and as the manifest describes them.

use std::collections::BTreeSet;
use std::path::Path;

use aistack_proto::v1::WhoAmIResponse;
use futures_util::{StreamExt, stream};

use super::confinement;
use super::daemons::from_error;
use super::{Finding, Limit};
use crate::desired::Stack;
use crate::engine::{Container, Engine, EngineError, Inspection};
use crate::error::CliError;
use crate::plan::{Observed, State, held};
use crate::stack::leftovers::{self, Leftover};
use crate::stack::{deployed_on, look};

/// Questions to the gateway at once.
const AT_ONCE: usize = 4;

/// Images of the stack, each on this host or to be pulled.
pub(super) async fn images(engine: &Engine, stack: Option<&Stack>, limit: Limit) -> Vec<Finding> {
    let Some(stack) = stack else {
        return Vec::new();
    };
    let images: BTreeSet<&str> = stack
        .services
        .iter()
        .map(|service| service.image.as_str())
        .collect();
    let count = images.len();
    let mut findings: Vec<Finding> = stream::iter(images)
        .map(|image| async move {
            let reply = limit.answer(engine.has_image(image)).await;
            image_finding(image, reply.unwrap_or(Err(EngineError::TimedOut)))
        })
        .buffered(AT_ONCE)
        .filter_map(std::future::ready)
        .collect()
        .await;
    if findings.is_empty() {
        findings.push(Finding::ok("images", format!("{count} images are here")));
    }
    findings
}

fn image_finding(image: &str, here: Result<bool, EngineError>) -> Option<Finding> {
    match here {
        Ok(true) => None,
        Ok(false) => Some(
            Finding::warning("images", format!("{image} is not on this host"))
                .means("deploy pulls it"),
        ),
        Err(error) => {
            let mut finding = from_error("images", &CliError::from(error));
            finding.found = format!("{image}: {}", finding.found);
            Some(finding)
        }
    }
}

/// Containers: one for each service, healthy, under the right AppArmor label.
pub(super) async fn examine(
    engine: &Engine,
    stack: Option<&Stack>,
    containers: &[Container],
    who: Option<&WhoAmIResponse>,
    limit: Limit,
) -> Vec<Finding> {
    let hidden = match stack {
        Some(stack) if containers.is_empty() => {
            let base_dir = Path::new(&stack.base_dir);
            let reply = limit.answer(deployed_on::hidden(engine, base_dir, 0));
            reply.await.ok().flatten()
        }
        _ => None,
    };
    let mut findings = states(stack, containers, hidden);
    if let Some(stack) = stack {
        let reply = limit.answer(leftovers::find(engine, stack));
        match reply.await.unwrap_or(Err(EngineError::TimedOut)) {
            Ok(left) if left.is_empty() => {}
            Ok(left) => findings.push(left_running(&left)),
            Err(error) => findings.push(from_error("containers", &CliError::from(error))),
        }
    }
    let inspected: Vec<(&Container, Result<Inspection, EngineError>)> = stream::iter(containers)
        .map(|container| async move {
            let reply = limit.answer(engine.inspect(&container.id)).await;
            (container, reply.unwrap_or(Err(EngineError::TimedOut)))
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    let mut labels = Vec::new();
    for (container, inspected) in inspected {
        match inspected {
            Ok(inspection) => {
                labels.push((container, inspection));
            }
            // Removed since it was listed.
            Err(EngineError::NotFound { .. }) => {}
            Err(error) => findings.push(from_error("containers", &CliError::from(error))),
        }
    }
    if let Some(who) = who {
        findings.extend(confinement::labels(who, &labels));
        if let Some(stack) = stack {
            findings.extend(held(engine, who, stack, &labels, limit).await);
        }
    }
    findings
}

/// What holds another network, volume or image than there is now.
async fn held(
    engine: &Engine,
    who: &WhoAmIResponse,
    stack: &Stack,
    inspected: &[(&Container, Inspection)],
    limit: Limit,
) -> Vec<Finding> {
    let reply = limit.answer(look::host(engine, who, stack)).await;
    let host = match reply.unwrap_or(Err(EngineError::TimedOut)) {
        Ok(host) => host,
        Err(error) => return vec![from_error("containers", &CliError::from(error))],
    };
    let containers = inspected.iter().map(|(container, inspection)| {
        let mut container = (*container).clone();
        look::holds(&mut container, inspection, Path::new(&stack.base_dir));
        container
    });
    let containers: Vec<Container> = containers.collect();
    apart(stack, &Container::observed(&containers, host))
}

fn left_running(left: &[Leftover]) -> Finding {
    Finding::problem("containers", leftovers::describe(left))
        .means(leftovers::MEANS)
        .next(leftovers::next(left))
}

fn apart(stack: &Stack, observed: &Observed) -> Vec<Finding> {
    let network: fn(String) -> Finding = |names| {
        Finding::problem("network", format!("not on your network: {names}"))
            .means("nothing can reach them, even if they are healthy")
    };
    let mounts: fn(String) -> Finding = |names| {
        Finding::problem("volume", format!("not on your volume: {names}"))
            .means("they use the volume that was mounted when they started")
    };
    let image: fn(String) -> Finding = |names| {
        Finding::warning("images", format!("of an earlier image: {names}"))
            .means("their tag points to a newer image on this host")
    };
    let parts = [
        (held::NETWORK, network),
        (held::MOUNTS, mounts),
        (held::IMAGE, image),
    ];
    let reported = parts.into_iter().filter_map(|(part, tell)| {
        let names = held::of_another(stack, observed, part);
        (!names.is_empty()).then(|| tell(names.join(", ")).next("aistack deploy"))
    });
    reported.collect()
}

/// What the list says of the containers.
fn states(stack: Option<&Stack>, containers: &[Container], hidden: Option<String>) -> Vec<Finding> {
    let missing = stack.into_iter().flat_map(|stack| &stack.services);
    let missing: Vec<&str> = missing
        .filter(|service| !containers.iter().any(|own| own.service == service.name))
        .map(|service| service.name.as_str())
        .collect();
    if containers.is_empty() {
        let none = Finding::warning("containers", "there are none").next("aistack deploy");
        return vec![match hidden {
            Some(why) => none.means(why),
            None => none,
        }];
    }
    let (stopped, live): (Vec<&Container>, Vec<&Container>) = containers
        .iter()
        .partition(|own| matches!(own.plan_state, State::Created | State::Stopped));
    let mut findings: Vec<Finding> = live.into_iter().filter_map(state).collect();
    findings.extend(not_running(&stopped));
    if !missing.is_empty() {
        let found = format!("without a container: {}", missing.join(", "));
        findings.push(Finding::warning("containers", found).next("aistack deploy"));
    }
    if findings.is_empty() {
        let found = format!("{} services, all healthy", containers.len());
        findings.push(Finding::ok("containers", found));
    }
    findings
}

fn state(container: &Container) -> Option<Finding> {
    let service = &container.service;
    let status = &container.status;
    match container.plan_state {
        State::Healthy | State::Created | State::Stopped => None,
        State::Starting => Some(
            Finding::warning("containers", format!("{service} is starting: {status}"))
                .next("aistack status"),
        ),
        State::Unhealthy => Some(
            Finding::problem("containers", format!("{service} is unhealthy: {status}"))
                .means("its probe fails")
                .next(format!("aistack logs -n 50 {service}")),
        ),
    }
}

/// One line for all of them: after a restart of the host, or an unmount, that is the whole stack.
fn not_running(stopped: &[&Container]) -> Option<Finding> {
    let [first, others @ ..] = stopped else {
        return None;
    };
    let service = &first.service;
    if others.is_empty() {
        let found = format!("{service} does not run: {}", first.status);
        return Some(Finding::problem("containers", found).next(format!(
            "aistack logs -n 50 {service}; aistack deploy {service}"
        )));
    }
    let names: Vec<&str> = stopped.iter().map(|own| own.service.as_str()).collect();
    Some(
        Finding::problem("containers", format!("do not run: {}", names.join(", ")))
            .means(format!("{service}: {}", first.status))
            .next("aistack deploy; `aistack logs -n 50 SERVICE` shows why one ended"),
    )
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    fn container(service: &str, state: State) -> Container {
        Container {
            id: service.to_owned(),
            name: format!("tenant-1001-{service}"),
            service: service.to_owned(),
            image: String::new(),
            image_id: String::new(),
            state: String::new(),
            plan_state: state,
            status: "Exited (1) 2 minutes ago".to_owned(),
            ports: Vec::new(),
            fingerprint: None,
            changing: None,
            held: crate::plan::Held::default(),
        }
    }

    #[test]
    fn containers_that_do_not_run_are_named_with_the_next_command() {
        let all = [
            container("redis", State::Healthy),
            container("n8n", State::Stopped),
            container("caddy", State::Unhealthy),
        ];
        let findings = states(None, &all, None);
        let found: Vec<_> = findings.iter().map(|found| found.level).collect();
        assert_eq!(found, [Level::Error, Level::Error]);
        assert!(findings[0].found.contains("caddy is unhealthy"));
        assert!(findings[1].found.contains("n8n does not run"));
        assert!(findings[1].next.as_ref().unwrap().contains("deploy n8n"));
        let two = [all[1].clone(), container("litellm", State::Created)];
        let findings = states(None, &two, None);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].found, "do not run: n8n, litellm");
        let fine = states(None, &all[..1], None);
        assert_eq!(fine[0].level, Level::Ok);
        assert_eq!(states(None, &[], None)[0].level, Level::Warning);
    }

    #[test]
    fn what_is_healthy_on_a_network_that_is_gone_is_a_problem() {
        let stack = crate::desired::tests::render(&[]).unwrap();
        let redis = crate::engine::tests::container("redis");
        let reported = |network: &str| {
            let host = crate::plan::Host {
                network: Some(network.to_owned()),
                ..crate::plan::Host::default()
            };
            let mut redis = redis.clone();
            redis.held.networks.insert("one".to_owned());
            apart(&stack, &Container::observed(&[redis], host))
        };
        assert_eq!(reported("one"), []);
        let found = reported("another");
        assert_eq!(found[0].level, Level::Error);
        assert!(found[0].found.ends_with("redis"), "{found:?}");
        assert_eq!(found[0].next.as_deref(), Some("aistack deploy"));
    }

    #[test]
    fn an_image_is_here_to_be_pulled_or_refused() {
        assert_eq!(image_finding("x", Ok(true)), None);
        assert_eq!(image_finding("x", Ok(false)).unwrap().level, Level::Warning);
        let refused = EngineError::Denied {
            message: "not yours".to_owned(),
            rule: Some("tenants.images".to_owned()),
        };
        let finding = image_finding("x", Err(refused)).unwrap();
        assert_eq!(finding.level, Level::Error);
        assert!(finding.means[0].contains("tenants.images"));
    }
}
