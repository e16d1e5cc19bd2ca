//! Which network a container is on: the tenant's own, none, or that of a container of the tenant.

use std::net::Ipv4Addr;

use aistack_policy::{Refusal, Rule};

use super::super::json::shown;
use super::CreateContext;
use super::body::{HostConfig, Networking};

/// Names of a container on the network, at most.
const MAX_ALIASES: usize = 16;

/// The longest label of a host name, bytes (RFC 1035).
const MAX_LABEL: usize = 63;

/// The one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Network {
    /// The tenant's own, by Docker's full id, with further names there, and with the address that the front
    /// door sends visitors to where the container is the tenant's proxy.
    Own {
        id: String,
        aliases: Vec<String>,
        address: Option<Ipv4Addr>,
    },
    /// No network.
    Nothing,
    /// That of another container of the tenant, by its full id.
    Joined(String),
}

impl Network {
    pub(super) fn decide(
        context: &CreateContext<'_>,
        host: &HostConfig,
        networking: &Networking,
    ) -> Result<Self, Refusal> {
        let mode = host.network_mode.as_str();
        let foreign = |name: &&String| *name != mode && !names_own(context, name);
        if let Some(name) = networking.beside.iter().find(foreign) {
            return Err(endpoint_refused(context, "", name));
        }
        if is_own(context, mode) {
            return own(context, mode, networking);
        }
        if let Some(name) = networking.endpoints.keys().next() {
            return Err(endpoint_refused(context, ".EndpointsConfig", name));
        }
        match (mode, context.joined_container) {
            ("none", _) => Ok(Self::Nothing),
            (mode, Some(id)) if mode.starts_with("container:") => Ok(Self::Joined(id.to_owned())),
            _ => {
                let message = format!(
                    "HostConfig.NetworkMode is \"{}\"; allowed are the network {}, none, or \
                     container:NAME of this tenant",
                    shown(mode),
                    context.grant.network.name
                );
                let rule = context.grant.rules.network.clone();
                Err(Refusal::new("NETWORK_MODE_REFUSED", message, rule))
            }
        }
    }
}

/// An absent mode means the tenant's network: Docker's default bridge is everybody's.
fn is_own(context: &CreateContext<'_>, mode: &str) -> bool {
    matches!(mode, "" | "default") || names_own(context, mode)
}

fn names_own(context: &CreateContext<'_>, name: &str) -> bool {
    name == context.grant.network.name || Some(name) == context.network_id
}

fn own(
    context: &CreateContext<'_>,
    mode: &str,
    networking: &Networking,
) -> Result<Network, Refusal> {
    let known = |name: &str| names_own(context, name) || name == "default" && is_default(mode);
    let mut endpoints = networking.endpoints.iter();
    let (aliases, address) = match (endpoints.next(), endpoints.next()) {
        (None, _) => (Vec::new(), None),
        (Some((name, endpoint)), None) if known(name) => {
            check_aliases(&endpoint.aliases)?;
            let address = address(context, &endpoint.ipam.ipv4)?;
            (endpoint.aliases.clone(), address)
        }
        (Some((first, _)), other) => {
            let foreign = other.map(|(name, _)| name).filter(|name| !known(name));
            let name = foreign.unwrap_or(first);
            return Err(endpoint_refused(context, ".EndpointsConfig", name));
        }
    };
    let id = context.network_id.ok_or_else(|| {
        let message = format!("the network {} does not exist", context.grant.network.name);
        Refusal::new(
            "NETWORK_MISSING",
            message,
            context.grant.rules.network.clone(),
        )
        .with_hint("run aistack init, which creates it")
    })?;
    Ok(Network::Own {
        id: id.to_owned(),
        aliases,
        address,
    })
}

/// No address, or that of the tenant's proxy, which Docker gives to one container at a time.
fn address(context: &CreateContext<'_>, requested: &str) -> Result<Option<Ipv4Addr>, Refusal> {
    if requested.is_empty() {
        return Ok(None);
    }
    let proxy = context.grant.front_door.map(|door| door.proxy);
    if proxy.is_some_and(|proxy| proxy.to_string() == requested) {
        return Ok(proxy);
    }
    let own = match proxy {
        Some(proxy) => format!("Docker chooses all but {proxy}, the address of the tenant's proxy"),
        None => "Docker chooses them, and the policy has no front door".to_owned(),
    };
    let message = format!(
        "NetworkingConfig.EndpointsConfig: IPAMConfig.IPv4Address is \"{}\": of the addresses on the \
         tenant's network, {own}",
        shown(requested)
    );
    Err(Refusal::new(
        "ENDPOINT_REFUSED",
        message,
        Rule::builtin("no-addresses"),
    ))
}

fn is_default(mode: &str) -> bool {
    matches!(mode, "" | "default")
}

fn endpoint_refused(context: &CreateContext<'_>, place: &str, name: &str) -> Refusal {
    let message = format!(
        "NetworkingConfig{place} has the network \"{}\"; only {} is \
         allowed",
        shown(name),
        context.grant.network.name
    );
    Refusal::new(
        "NETWORK_REFUSED",
        message,
        context.grant.rules.network.clone(),
    )
}

fn check_aliases(aliases: &[String]) -> Result<(), Refusal> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let legal = |alias: &String| {
        (1..=MAX_LABEL).contains(&alias.len())
            && alias.bytes().all(plain)
            && alias.starts_with(|first: char| first.is_ascii_alphanumeric())
    };
    if aliases.len() <= MAX_ALIASES && aliases.iter().all(legal) {
        return Ok(());
    }
    let message = format!(
        "NetworkingConfig.EndpointsConfig: Aliases are at most {MAX_ALIASES} plain names of up to \
         {MAX_LABEL} characters"
    );
    Err(Refusal::new(
        "ALIASES_REFUSED",
        message,
        Rule::builtin("aliases"),
    ))
}

/// True for one label of a host name: letters, digits and inner dashes.
pub(super) fn is_host_label(text: &str) -> bool {
    (1..=MAX_LABEL).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}
