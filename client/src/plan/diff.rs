//! The difference, one service at a time.

use super::{Action, Observed, ObservedService, Plan, State, Step};
use crate::desired::{DesiredService, Stack};

pub(super) fn diff(desired: &Stack, observed: &Observed) -> Plan {
    let wanted = |name: &str| desired.services.iter().any(|service| service.name == name);
    let removals = observed
        .services
        .keys()
        .filter(|name| !wanted(name))
        .map(|name| Step {
            service: name.clone(),
            action: Action::Remove,
        });
    let changes = desired.services.iter().map(|service| Step {
        service: service.name.clone(),
        action: action(service, observed.services.get(&service.name)),
    });
    Plan {
        steps: removals.chain(changes).collect(),
    }
}

fn action(desired: &DesiredService, observed: Option<&ObservedService>) -> Action {
    let Some(observed) = observed else {
        return Action::Create;
    };
    let mut because = match &observed.fingerprint {
        Some(fingerprint) => desired.fingerprint.differences(fingerprint),
        None => vec!["fingerprint".to_owned()],
    };
    if observed.container != desired.container {
        because.push("name".to_owned());
    }
    if !because.is_empty() {
        return Action::Replace { because };
    }
    match observed.state {
        State::Healthy => Action::Keep,
        State::Starting | State::Unhealthy => Action::Wait,
        State::Created | State::Stopped => Action::Start,
    }
}
