//! The tenant's Docker network: one fixed shape, never somebody else's network.

use std::collections::BTreeMap;
use std::time::Duration;

use aistack_policy::Grant;
use aistack_policy::engine::ApiVersion;
use aistack_proto::v1::{CreateNetworkResponse, NetworkState, RemoveNetworkResponse};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::OwnedMutexGuard;

use super::host_network;
use super::{Error, Ops};
use crate::docker::{Body, Docker, DockerError, OWNER_LABEL, is_full_id, percent_encoded};

/// The driver's option for the name of the bridge interface.
const BRIDGE_OPTION: &str = "com.docker.network.bridge.name";

/// How long a change may take, its turn included: Docker on a slow or busy host takes half a minute for a
/// network.
const CHANGE: Duration = Duration::from_mins(2);
/// How long a look may take.
const LOOK: Duration = Duration::from_secs(30);

/// A network as Docker lists it; what is not compared is not read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Network {
    name: String,
    id: String,
    driver: String,
    internal: bool,
    labels: Option<BTreeMap<String, String>>,
    options: Option<BTreeMap<String, String>>,
    #[serde(rename = "IPAM")]
    ipam: Ipam,
    containers: Option<serde_json::Map<String, serde_json::Value>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Ipam {
    config: Option<Vec<Pool>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Pool {
    subnet: String,
    gateway: String,
}

impl Ops {
    /// Creates the tenant's Docker network.
    ///
    /// # Errors
    /// When the name, bridge or subnet is somebody else's, or Docker fails.
    pub async fn create_network(&self, grant: &Grant) -> Result<CreateNetworkResponse, Error> {
        within(CHANGE, create_alone(self, grant)).await
    }

    /// Removes the tenant's Docker network.
    ///
    /// # Errors
    /// When containers are attached, or Docker fails.
    pub async fn remove_network(&self, grant: &Grant) -> Result<RemoveNetworkResponse, Error> {
        within(CHANGE, remove_alone(self, grant)).await
    }

    /// Whether the tenant's network exists; `None` where Docker does not answer.
    pub async fn network_state(&self, grant: &Grant) -> Option<NetworkState> {
        match within(LOOK, find(&self.docker, grant)).await {
            Ok(Some(network)) => Some(NetworkState {
                exists: true,
                id: network.id,
            }),
            Err(Error::Docker(_)) => None,
            Ok(None) | Err(_) => Some(NetworkState::default()),
        }
    }
}

async fn create_alone(ops: &Ops, grant: &Grant) -> Result<CreateNetworkResponse, Error> {
    // Docker lets two networks have one name when they are created at the same moment. A name is one
    // tenant's, so others do not wait; subnets are apart by the policy, and Docker itself allots them
    // one after the other and refuses what overlaps.
    let _alone = turn(ops, grant).await?;
    ops.docker.require_supported::<Error>().await?;
    if let Some(network) = find(&ops.docker, grant).await? {
        same_shape(grant, &network)?;
        return Ok(response(grant, network.id, false));
    }
    require_free(grant)?;
    let body = Body::Versioned(&|api| shape(grant, api).to_string().into_bytes());
    match ops.docker.act(Method::POST, "/networks/create", body).await {
        Ok(()) => {}
        Err(error) => return after_error(ops, grant, error).await,
    }
    // What exists is what counts, not what the answer says.
    let network = find(&ops.docker, grant).await?.ok_or(Error::Interrupted)?;
    same_shape(grant, &network)?;
    Ok(response(grant, network.id, true))
}

/// Docker did not create it: perhaps since somebody else, or an earlier call, was faster.
async fn after_error(
    ops: &Ops,
    grant: &Grant,
    error: DockerError,
) -> Result<CreateNetworkResponse, Error> {
    if let Some(network) = find(&ops.docker, grant).await? {
        same_shape(grant, &network)?;
        return Ok(response(grant, network.id, false));
    }
    Err(explain(grant, error))
}

async fn remove_alone(ops: &Ops, grant: &Grant) -> Result<RemoveNetworkResponse, Error> {
    let _alone = turn(ops, grant).await?;
    let network = match find(&ops.docker, grant).await {
        // What is not the tenant's does not exist for the tenant.
        Ok(None) | Err(Error::NetworkNameTaken { .. }) => {
            return Ok(RemoveNetworkResponse { changed: false });
        }
        Ok(Some(network)) => network,
        Err(error) => return Err(error),
    };
    let attached = attached(&ops.docker, &network.id).await?;
    if attached > 0 {
        return Err(in_use(grant, attached));
    }
    let path = format!("/networks/{}", network.id);
    match ops.docker.act(Method::DELETE, &path, Body::NONE).await {
        Ok(()) => Ok(RemoveNetworkResponse { changed: true }),
        Err(error) if error.is_not_found() => Ok(RemoveNetworkResponse { changed: false }),
        Err(error) if says(&error, "active endpoints") => Err(in_use(grant, 1)),
        Err(error) => Err(error.into()),
    }
}

/// Nobody waits here for a call to Docker of another tenant.
async fn turn(ops: &Ops, grant: &Grant) -> Result<OwnedMutexGuard<()>, Error> {
    let turn = ops.network_turns.turn_of(grant.uid, CHANGE).await;
    turn.ok_or_else(|| DockerError::TooSlow(CHANGE).into())
}

/// A Docker that hangs must not hold up the tenant's turn without end.
async fn within<T>(
    limit: Duration,
    act: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(limit, act).await {
        Ok(result) => result,
        Err(_) => Err(DockerError::TooSlow(limit).into()),
    }
}

/// The tenant's network, `None` where nothing has its name.
///
/// # Errors
/// When something has the name that is not the tenant's.
async fn find(docker: &Docker, grant: &Grant) -> Result<Option<Network>, Error> {
    // Docker's filter finds parts of names; the exact name is compared here.
    let filters = json!({"name": [grant.network.name]}).to_string();
    let path = format!("/networks?filters={}", percent_encoded(&filters));
    let listed: Vec<Network> = docker.json(Method::GET, &path, Body::NONE).await?;
    let mut named = listed
        .into_iter()
        .filter(|network| network.name == grant.network.name);
    let Some(network) = named.next() else {
        return Ok(None);
    };
    let owner = grant.uid.to_string();
    let labels = network.labels.as_ref();
    let ours = labels.and_then(|labels| labels.get(OWNER_LABEL)) == Some(&owner);
    if ours && named.next().is_none() && is_full_id(&network.id) {
        return Ok(Some(network));
    }
    Err(Error::NetworkNameTaken {
        name: grant.network.name.clone(),
    })
}

async fn attached(docker: &Docker, id: &str) -> Result<usize, Error> {
    let path = format!("/networks/{id}");
    match docker.json::<Network>(Method::GET, &path, Body::NONE).await {
        Ok(network) => Ok(network.containers.map_or(0, |containers| containers.len())),
        Err(error) if error.is_not_found() => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// The one body that is ever sent.
fn shape(grant: &Grant, api: ApiVersion) -> serde_json::Value {
    let network = &grant.network;
    let mut body = json!({
        "Name": network.name,
        "Driver": "bridge",
        "Internal": false,
        "Attachable": false,
        "Ingress": false,
        "EnableIPv6": false,
        "IPAM": {
            "Driver": "default",
            "Config": [{
                "Subnet": network.subnet.to_string(),
                "Gateway": network.gateway.to_string(),
            }],
        },
        "Options": {
            BRIDGE_OPTION: network.bridge,
            "com.docker.network.bridge.enable_icc": "true",
        },
        "Labels": {OWNER_LABEL: grant.uid.to_string()},
    });
    // From 1.44 on the engine always checks.
    if api < ApiVersion::v1(44) {
        body["CheckDuplicate"] = true.into();
    }
    body
}

/// Refuses the tenant's own network when the policy has changed under it.
fn same_shape(grant: &Grant, network: &Network) -> Result<(), Error> {
    let wanted = Pool {
        subnet: grant.network.subnet.to_string(),
        gateway: grant.network.gateway.to_string(),
    };
    let pools = network.ipam.config.as_deref().unwrap_or_default();
    let bridge = network
        .options
        .as_ref()
        .and_then(|options| options.get(BRIDGE_OPTION));
    let same = pools == [wanted]
        && bridge == Some(&grant.network.bridge)
        && network.driver == "bridge"
        && !network.internal;
    if same {
        return Ok(());
    }
    let subnets: Vec<&str> = pools.iter().map(|pool| pool.subnet.as_str()).collect();
    let bridge = bridge.map_or("none", String::as_str);
    Err(Error::NetworkDiffers {
        name: grant.network.name.clone(),
        actual: format!("subnet {} on bridge {bridge}", subnets.join(", ")),
        expected: format!(
            "subnet {} on bridge {}",
            grant.network.subnet, grant.network.bridge
        ),
    })
}

/// Docker would adopt an interface of the bridge's name, and does not look at the host's routes.
fn require_free(grant: &Grant) -> Result<(), Error> {
    let network = &grant.network;
    if host_network::has_interface(&network.bridge)? {
        return Err(bridge_in_use(grant));
    }
    match host_network::overlapping_route(network.subnet)? {
        Some(route) => Err(subnet_in_use(
            grant,
            &route.to_string(),
            "a route of this host",
        )),
        None => Ok(()),
    }
}

/// What Docker's refusal means; the texts are those of 20.10 and later.
fn explain(grant: &Grant, error: DockerError) -> Error {
    if says(&error, "overlaps") {
        return subnet_in_use(grant, "a subnet", "another Docker network");
    }
    if says(&error, "same bridge name") {
        return bridge_in_use(grant);
    }
    let conflict =
        matches!(&error, DockerError::Response { status, .. } if *status == StatusCode::CONFLICT);
    if conflict {
        return Error::NetworkNameTaken {
            name: grant.network.name.clone(),
        };
    }
    error.into()
}

fn says(error: &DockerError, words: &str) -> bool {
    matches!(error, DockerError::Response { message, .. } if message.contains(words))
}

fn bridge_in_use(grant: &Grant) -> Error {
    Error::BridgeInUse {
        bridge: grant.network.bridge.clone(),
    }
}

fn subnet_in_use(grant: &Grant, other: &str, user: &'static str) -> Error {
    Error::SubnetInUse {
        subnet: grant.network.subnet.to_string(),
        other: other.to_owned(),
        user,
    }
}

fn in_use(grant: &Grant, containers: usize) -> Error {
    Error::NetworkInUse {
        name: grant.network.name.clone(),
        containers,
    }
}

fn response(grant: &Grant, id: String, changed: bool) -> CreateNetworkResponse {
    CreateNetworkResponse {
        changed,
        id,
        name: grant.network.name.clone(),
        subnet: grant.network.subnet.to_string(),
    }
}
