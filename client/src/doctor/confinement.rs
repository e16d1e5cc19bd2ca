//! AppArmor: what the policy wants, what the kernel has, and the label of each container.

use aistack_proto::v1::WhoAmIResponse;

use super::Finding;
use crate::apparmor::Standing;
use crate::engine::{Container, Inspection};

/// What the policy wants and what the kernel has.
pub(super) fn standing(who: &WhoAmIResponse) -> Finding {
    let standing = Standing::of(who);
    let Some(warning) = standing.warning() else {
        return Finding::ok("apparmor", standing.sentence());
    };
    let mut finding = if standing.required {
        Finding::problem("apparmor", warning)
    } else {
        Finding::warning("apparmor", warning)
    };
    finding.next = standing.next().map(str::to_owned);
    finding
}

/// Whether each container that runs has one of the tenant's labels.
pub(super) fn labels(
    who: &WhoAmIResponse,
    containers: &[(&Container, Inspection)],
) -> Vec<Finding> {
    if !Standing::of(who).loaded {
        return Vec::new();
    }
    let grant = who.grant.clone().unwrap_or_default();
    let own = [&grant.platform_profile, &grant.openclaw_profile];
    // A stack `base//&profile` confines to both.
    let confined = |label: &str| {
        label
            .split("//&")
            .any(|part| own.iter().any(|own| *own == part))
    };
    let without: Vec<Finding> = containers
        .iter()
        .filter(|(_, inspection)| inspection.running && !confined(&inspection.apparmor))
        .map(|(container, inspection)| {
            let label = if inspection.apparmor.is_empty() {
                "Docker's own profile"
            } else {
                &inspection.apparmor
            };
            let found = format!("{} runs under {label}", container.service);
            Finding::warning("apparmor", found)
                .means("it was made before your profiles were loaded")
                .next(format!("aistack deploy --recreate {}", container.service))
        })
        .collect();
    let running = containers.iter().filter(|(_, state)| state.running).count();
    if without.is_empty() && running > 0 {
        let found = format!("{running} containers run under your profiles");
        return vec![Finding::ok("apparmor", found)];
    }
    without
}
