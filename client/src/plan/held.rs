//! What a container holds by identity: it goes on holding it when something else has come in its
//! place under the same name. A fingerprint, which is made of names, cannot tell that.

use std::collections::{BTreeMap, BTreeSet};

use super::{Observed, State};
use crate::desired::{DesiredService, Stack};

/// What a plan calls the network.
pub const NETWORK: &str = "network";
/// What a plan calls the image.
pub const IMAGE: &str = "image";
/// What a plan calls the volume under a container's directories.
pub const MOUNTS: &str = "mounts";
/// What a plan calls the AppArmor profile.
const APPARMOR: &str = "apparmor";

/// What has those names on this host now. What is not known is not compared.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// Full id of the tenant's network, empty when there is none.
    pub network: Option<String>,
    /// Id of the image that a service's reference stands for, by reference.
    pub images: BTreeMap<String, String>,
    /// The AppArmor label that a container gets.
    pub labels: Option<Labels>,
    /// Device of the tenant's volume, `major:minor`.
    pub volume: Option<String>,
}

/// AppArmor labels of a tenant's containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// The tenant's own UID.
    pub uid: u32,
    /// Of what runs as that UID.
    pub own: String,
    /// Of what runs as a service UID.
    pub service: String,
}

/// What one container holds. What is not known is not compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Full id of the network that it was made for, where Docker tells it by its id.
    pub made_for: Option<String>,
    /// Full id of the container whose network it shares.
    pub joins: Option<String>,
    /// Full ids of the networks that it is on.
    pub networks: BTreeSet<String>,
    /// Its AppArmor label, empty for Docker's own choice.
    pub label: Option<String>,
    /// Devices of what it has mounted from the tenant's volume, `major:minor`.
    pub devices: BTreeSet<String>,
}

/// The services of a stack whose container holds another `part` than there is now.
#[must_use]
pub fn of_another<'a>(stack: &'a Stack, observed: &Observed, part: &str) -> Vec<&'a str> {
    let services = stack.services.iter();
    services
        .filter(|service| {
            let own = observed.services.get(&service.name);
            own.is_some_and(|own| {
                let (held, image, state) = (&own.held, &own.image_id, own.state);
                differences(service, &observed.host, held, image, state).contains(&part)
            })
        })
        .map(|service| service.name.as_str())
        .collect()
}

/// The parts of which a container holds another one than this host has now. `image_id` is the id of
/// its image.
pub(super) fn differences(
    desired: &DesiredService,
    host: &Host,
    held: &Held,
    image_id: &str,
    state: State,
) -> Vec<&'static str> {
    let network = host
        .network
        .as_ref()
        .filter(|_| desired.network_of.is_none());
    let image = host.images.get(&desired.image);
    let label = host.labels.as_ref().zip(held.label.as_ref());
    let differs = [
        (NETWORK, network.is_some_and(|now| !is_on(held, now, state))),
        (
            IMAGE,
            image.is_some_and(|now| !image_id.is_empty() && now != image_id),
        ),
        (
            APPARMOR,
            label.is_some_and(|(labels, own)| labels.of(desired) != own),
        ),
        (
            MOUNTS,
            host.volume
                .as_ref()
                .is_some_and(|now| held.devices.iter().any(|device| device != now)),
        ),
    ];
    let differs = differs.into_iter().filter(|(_, differs)| *differs);
    differs.map(|(part, _)| part).collect()
}

/// Whether a container is on the network, or will be when it is started.
fn is_on(held: &Held, network: &str, state: State) -> bool {
    if held.made_for.as_ref().is_some_and(|own| own != network) {
        return false;
    }
    let runs = matches!(state, State::Healthy | State::Starting | State::Unhealthy);
    // Before its first start, Docker tells no id.
    held.networks.contains(network) || (!runs && held.networks.is_empty())
}

impl Labels {
    fn of(&self, service: &DesiredService) -> &str {
        let user = service.body.user.as_deref().unwrap_or_default();
        let uid = user.split(':').next().and_then(|uid| uid.parse().ok());
        if uid == Some(self.uid) {
            &self.own
        } else {
            &self.service
        }
    }
}
