//! The difference, one service at a time.

use std::collections::BTreeMap;

use super::{Action, Host, Observed, ObservedService, Plan, State, Step, held};
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
    let actions: BTreeMap<&str, Action> = desired
        .services
        .iter()
        .map(|service| {
            let seen = observed.services.get(&service.name);
            (service.name.as_str(), action(service, seen, &observed.host))
        })
        .collect();
    let changes = desired.services.iter().map(|service| Step {
        service: service.name.clone(),
        action: joined(service, &actions, observed),
    });
    let images = &observed.host.images;
    let without_image = desired.services.iter();
    let without_image = without_image.filter(|service| !images.contains_key(&service.image));
    Plan {
        steps: removals.chain(changes).collect(),
        without_image: without_image.map(|service| service.name.clone()).collect(),
        without_network: observed.host.network.as_ref().is_some_and(String::is_empty),
    }
}

/// The action of a service, in view of the service whose network it shares: a network namespace
/// ends with the container that made it, so whoever shares it must be recreated with it.
fn joined(
    service: &DesiredService,
    actions: &BTreeMap<&str, Action>,
    observed: &Observed,
) -> Action {
    let own = actions.get(service.name.as_str());
    let own = own.cloned().unwrap_or(Action::Create);
    let Some(owner) = &service.network_of else {
        return own;
    };
    let other = joins_another(service, owner, observed);
    let stays = match actions.get(owner.as_str()) {
        _ if other => false,
        None | Some(Action::Keep) => true,
        // One that is starting is left alone; an unhealthy one is stopped and started.
        Some(Action::Wait) => observed
            .services
            .get(owner)
            .is_some_and(|owner| owner.state == State::Starting),
        Some(_) => false,
    };
    let network = format!("network of {owner}");
    // One that does not work may be in a namespace that is gone, and with an owner that was made
    // again meanwhile it cannot even start: its container names the old one.
    let works = match own {
        Action::Start => false,
        Action::Wait => observed
            .services
            .get(&service.name)
            .is_some_and(|own| own.state == State::Starting),
        _ => true,
    };
    match own {
        own if stays && works => own,
        Action::Create => Action::Create,
        Action::Replace { mut because } => {
            because.push(network);
            Action::Replace { because }
        }
        _ => Action::Replace {
            because: vec![network],
        },
    }
}

/// Whether its container is in the network of another container than its owner has now.
fn joins_another(service: &DesiredService, owner: &str, observed: &Observed) -> bool {
    let own = observed.services.get(&service.name);
    let joins = own.and_then(|own| own.held.joins.as_ref());
    let owner = observed.services.get(owner);
    joins
        .zip(owner)
        .is_some_and(|(joins, owner)| *joins != owner.id)
}

/// Whether its container was made by the tag, and runs the image that the tag has been locked to since.
/// The lock may be older than the engine's image store: there an image's id was the digest of its
/// configuration, and in containerd's it is the digest that the registry has.
fn runs_locked(desired: &DesiredService, observed: &ObservedService, host: &Host) -> bool {
    let Some(locked) = &desired.locked else {
        return false;
    };
    let here = host.images.get(&desired.image).map(String::as_str);
    let known = [Some(locked.id.as_str()), Some(&locked.digest), here];
    let runs = observed.image_id.as_str();
    !runs.is_empty() && known.contains(&Some(runs))
}

fn action(desired: &DesiredService, observed: Option<&ObservedService>, host: &Host) -> Action {
    let Some(observed) = observed else {
        return Action::Create;
    };
    let mut because = match &observed.fingerprint {
        Some(fingerprint) => desired.fingerprint.differences(fingerprint),
        None => vec!["fingerprint".to_owned()],
    };
    if runs_locked(desired, observed, host) {
        because.retain(|part| part != "image");
    }
    if observed.container != desired.container {
        because.push("name".to_owned());
    }
    let (held, image, state) = (&observed.held, &observed.image_id, observed.state);
    for part in held::differences(desired, host, held, image, state) {
        if !because.iter().any(|known| known == part) {
            because.push(part.to_owned());
        }
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
