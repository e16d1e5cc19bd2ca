//! Whether a container that was made earlier still is what the policy in force allows: the policy
//! may have become stricter since. Checked before each start. Pure, over Docker's inspect answer.

use aistack_policy::apparmor::Names;
use aistack_policy::{AppArmorMode, Grant, Refusal, Rule};
use serde_json::Value;

use super::create::body::set_by_others;
use super::create::ports::HOST_IP;
use super::create::process::IMAGE_LABEL;
use super::create::security::kind_of;
use super::create::user::{User, decimal};
use super::image::ImageRef;
use super::json::shown;
use super::layer::{check_root, is_read_only};
use super::working_dir::Layout;
use crate::docker::is_full_id;

/// What stands before the label in SecurityOpt.
const APPARMOR: &str = "apparmor=";

/// Decides whether `container` (Docker's inspect answer) may be started under `grant`. Bind sources
/// are looked at elsewhere, on the file system. `network_id` is the full id of the tenant's network.
///
/// # Errors
/// The first thing that the policy does not allow any more, with its rule.
pub fn check(grant: &Grant, network_id: Option<&str>, container: &Value) -> Result<(), Refusal> {
    let empty = Value::Null;
    let host = container.get("HostConfig").unwrap_or(&empty);
    check_image(grant, container)?;
    let user = User::of_container(grant, text(container, "/Config/User"))?;
    check_unset(host)?;
    check_capabilities(grant, host)?;
    check_security(grant, user, host)?;
    check_network(grant, network_id, host)?;
    check_ports(grant, host)?;
    check_limits(grant, host)?;
    let outdated = |refusal: Refusal| refused(&refusal.message, &refusal.rule);
    check_root(grant, is_read_only(container)).map_err(outdated)?;
    check_from_image(container).map_err(outdated)
}

/// Decides whether what a container has of its image's own configuration is allowed. The image was
/// looked at before the create; containerd's image store shows of an index another manifest than the
/// one it makes containers from, or none, when an annotation calls that one an attestation.
///
/// # Errors
/// `IMAGE_VOLUME_REFUSED` for a volume, `WORKING_DIR_REFUSED`.
pub fn check_from_image(container: &Value) -> Result<(), Refusal> {
    let mounts = container.get("Mounts").and_then(Value::as_array);
    let other = |mount: &&Value| !matches!(text(mount, "/Type"), "bind" | "tmpfs");
    if let Some(mount) = mounts.into_iter().flatten().find(other) {
        let place = shown(text(mount, "/Destination"));
        let message = format!("it has a volume at \"{place}\", which is unlimited host disk");
        return Err(Refusal::new(
            "IMAGE_VOLUME_REFUSED",
            message,
            Rule::builtin("no-volumes"),
        ));
    }
    // The container's own directory, which its execs and health checks start in as well.
    Layout::of_container(container).check("")
}

/// The AppArmor label that an inspected container was made with, `None` without one.
#[must_use]
pub fn label_of(container: &Value) -> Option<&str> {
    let host = container.get("HostConfig")?;
    words(host, "SecurityOpt").find_map(|option| option.strip_prefix(APPARMOR))
}

fn check_image(grant: &Grant, container: &Value) -> Result<(), Refusal> {
    let label = container
        .pointer("/Config/Labels")
        .and_then(|labels| labels.get(IMAGE_LABEL))
        .and_then(Value::as_str)
        .unwrap_or_default();
    let allowed = ImageRef::parse(label).is_ok_and(|image| {
        let mut patterns = grant.images.iter();
        patterns.any(|pattern| pattern.matches(&image.repository))
    });
    if allowed {
        return Ok(());
    }
    let message = format!("it uses the image \"{}\"", shown(label));
    Err(refused(&message, &grant.rules.images))
}

fn check_unset(host: &Value) -> Result<(), Refusal> {
    match set_by_others(host) {
        None => Ok(()),
        Some(field) => {
            let message = format!("HostConfig.{field} is set");
            Err(refused(&message, &Rule::builtin("unset-fields")))
        }
    }
}

/// Docker 20.10 shows capabilities with `CAP_`, others as they were given.
fn check_capabilities(grant: &Grant, host: &Value) -> Result<(), Refusal> {
    let held = |name: &str| {
        let plain = name.strip_prefix("CAP_").unwrap_or(name);
        grant.capabilities.contains(plain)
    };
    let rule = &grant.rules.capabilities;
    if let Some(name) = words(host, "CapAdd").find(|name| !held(name)) {
        let message = format!("it has the capability \"{}\"", shown(name));
        return Err(refused(&message, rule));
    }
    if words(host, "CapDrop").any(|name| name == "ALL") {
        return Ok(());
    }
    Err(refused("it keeps Docker's default capabilities", rule))
}

fn check_security(grant: &Grant, user: User, host: &Value) -> Result<(), Refusal> {
    let label = Names::of(grant).label(kind_of(grant, user));
    let (mut confined, mut no_new_privileges) = (false, false);
    for option in words(host, "SecurityOpt") {
        if option == "no-new-privileges:true" {
            no_new_privileges = true;
        } else if option.strip_prefix(APPARMOR) == Some(label.as_str()) {
            confined = true;
        } else {
            let message = format!("HostConfig.SecurityOpt has \"{}\"", shown(option));
            return Err(refused(&message, &Rule::builtin("no-security-options")));
        }
    }
    if !no_new_privileges {
        let rule = Rule::builtin("no-security-options");
        return Err(refused("it may gain new privileges", &rule));
    }
    if !confined && grant.apparmor == AppArmorMode::Required {
        let message = format!("it lacks the AppArmor label {label}");
        return Err(refused(&message, &grant.rules.apparmor));
    }
    if matches!(text(host, "/IpcMode"), "private" | "none") {
        return Ok(());
    }
    let rule = Rule::builtin("no-host-namespaces");
    Err(refused("it shares memory with others", &rule))
}

/// A joined container was looked up as the tenant's own at the create, and is named by its full id.
fn check_network(grant: &Grant, network_id: Option<&str>, host: &Value) -> Result<(), Refusal> {
    let mode = text(host, "/NetworkMode");
    let joined = mode.strip_prefix("container:").is_some_and(is_full_id);
    if mode == "none" || joined || Some(mode) == network_id {
        return Ok(());
    }
    let message = format!("it is on another network than {}", grant.network.name);
    Err(refused(&message, &grant.rules.network))
}

fn check_ports(grant: &Grant, host: &Value) -> Result<(), Refusal> {
    let bindings = host.get("PortBindings").and_then(Value::as_object);
    let bindings = bindings.into_iter().flat_map(|ports| ports.values());
    for binding in bindings.flat_map(|list| list.as_array().into_iter().flatten()) {
        let (ip, port) = (text(binding, "/HostIp"), text(binding, "/HostPort"));
        let own = decimal(port)
            .and_then(|port| u16::try_from(port).ok())
            .is_some_and(|port| grant.ports.contains(port));
        if ip != HOST_IP || !own {
            let message = format!("it publishes port \"{}\" on \"{}\"", shown(port), shown(ip));
            return Err(refused(&message, &grant.rules.ports));
        }
    }
    Ok(())
}

/// Docker takes 0 for "no limit".
fn check_limits(grant: &Grant, host: &Value) -> Result<(), Refusal> {
    let limits = &grant.limits;
    let nanos = limits.cpu_millis.saturating_mul(1_000_000);
    for (field, most) in [
        ("Memory", limits.memory),
        ("NanoCpus", nanos),
        ("PidsLimit", limits.pids),
    ] {
        let value = host.get(field).and_then(Value::as_u64).unwrap_or(0);
        if !(1..=most).contains(&value) {
            let message = format!("HostConfig.{field} is {value}, and the limit is {most}");
            return Err(refused(&message, &grant.rules.limits));
        }
    }
    Ok(())
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The texts of a list; what is not text reads as an empty one, which nothing allows.
fn words<'v>(host: &'v Value, field: &str) -> impl Iterator<Item = &'v str> {
    let list = host.get(field).and_then(Value::as_array);
    let items = list.into_iter().flatten();
    items.map(|item| item.as_str().unwrap_or_default())
}

fn refused(what: &str, rule: &Rule) -> Refusal {
    let message = format!("the container was created under another policy: {what}");
    Refusal::new("CONTAINER_OUTDATED", message, rule.clone())
        .with_hint("recreate the container, e.g. with aistack deploy")
}

#[cfg(test)]
mod tests;
