//! What a caller sees of Docker's answers: only its own things, and nothing of the host's paths.
//! Pure.

mod as_of;
mod disk_usage;
mod images;

use aistack_policy::Grant;
use aistack_policy::engine::ApiVersion;
use serde_json::{Map, Value, json};

use super::vet::target::Offered;
use crate::docker::OWNER_LABEL;

pub(super) use as_of::AsOf;
pub(super) use disk_usage::DiskUsage;
pub(super) use images::{Created, Usable, is_allowed, is_named};

/// The label with the image's name, since Docker gets its id.
pub(super) const IMAGE: &str = "io.aistack.image";

/// Parts of a container that describe the host's own files.
const HOST_PATHS: [&str; 5] = [
    "GraphDriver",
    "LogPath",
    "ResolvConfPath",
    "HostnamePath",
    "HostsPath",
];

/// True when these labels say that it is the tenant's.
pub(super) fn is_owned(labels: &Value, grant: &Grant) -> bool {
    labels.get(OWNER_LABEL).and_then(Value::as_str) == Some(grant.uid.to_string().as_str())
}

/// One container in full. `stopped` says why the gateway stopped it, and is shown where Docker shows
/// why a container did not start.
pub(super) fn container(mut container: Value, stopped: Option<String>) -> Value {
    let state = container.get_mut("State").and_then(Value::as_object_mut);
    if let (Some(why), Some(state)) = (stopped, state) {
        state.insert("Error".to_owned(), Value::String(why));
    }
    if let Some(fields) = container.as_object_mut() {
        for path in HOST_PATHS {
            fields.remove(path);
        }
        bare_descriptor(fields);
    }
    if let Some(config) = container.get_mut("Config") {
        name_image(config);
    }
    container
}

/// The containers of a list that are the tenant's.
pub(super) fn containers(list: Value, grant: &Grant) -> Value {
    let mut own = own_items(list, grant);
    own.iter_mut().for_each(name_image);
    own.iter_mut()
        .filter_map(Value::as_object_mut)
        .for_each(bare_descriptor);
    Value::Array(own)
}

/// Of the manifest that a container is made from (API 1.48), the annotations may hold the name that
/// somebody else has loaded the image by.
fn bare_descriptor(fields: &mut Map<String, Value>) {
    if let Some(descriptor) = fields.get_mut("ImageManifestDescriptor") {
        *descriptor = images::descriptor(descriptor);
    }
}

/// Puts the image's name in the place of its id.
fn name_image(holder: &mut Value) {
    let name = holder
        .pointer("/Labels")
        .and_then(|labels| labels.get(IMAGE))
        .and_then(Value::as_str)
        .map(str::to_owned);
    if let (Some(name), Some(fields)) = (name, holder.as_object_mut()) {
        fields.insert("Image".to_owned(), Value::String(name));
    }
}

/// The networks of a list that are the tenant's.
pub(super) fn networks(list: Value, grant: &Grant) -> Vec<Value> {
    own_items(list, grant)
}

fn own_items(list: Value, grant: &Grant) -> Vec<Value> {
    let Value::Array(items) = list else {
        return Vec::new();
    };
    let own = |item: &Value| {
        item.get("Labels")
            .is_some_and(|labels| is_owned(labels, grant))
    };
    items.into_iter().filter(own).collect()
}

/// One line of the event stream, when it is about a container of the tenant.
fn event(line: &[u8], grant: &Grant) -> Option<Value> {
    let event: Value = serde_json::from_slice(line).ok()?;
    let is_container = event.get("Type").and_then(Value::as_str) == Some("container");
    let owned = event
        .pointer("/Actor/Attributes")
        .is_some_and(|attributes| is_owned(attributes, grant));
    if !is_container || !owned {
        return None;
    }
    Some(event)
}

/// Docker's version, with the API version that is offered here.
pub(super) fn version(docker: &Value, offered: ApiVersion) -> Value {
    let mut shown = picked(
        docker,
        &[
            "Version",
            "GitCommit",
            "GoVersion",
            "Os",
            "Arch",
            "KernelVersion",
            "BuildTime",
        ],
    );
    shown.insert(
        "Platform".to_owned(),
        json!({"Name": "aistack engine gateway"}),
    );
    shown.insert("ApiVersion".to_owned(), json!(offered.to_string()));
    shown.insert(
        "MinAPIVersion".to_owned(),
        json!(Offered::OLDEST.to_string()),
    );
    // What is not a Docker Engine calls itself something else, and tenants see that.
    let program = docker.pointer("/Components/0/Name").and_then(Value::as_str);
    if let Some(name) = program.filter(|name| *name != "Engine") {
        let version = docker.pointer("/Components/0/Version");
        let component = json!({"Name": name, "Version": version});
        shown.insert("Components".to_owned(), json!([component]));
    }
    Value::Object(shown)
}

/// What `docker info` may know of the host, and the tenant's own containers counted. The warnings are
/// the gateway's own: Docker's are the administrator's.
pub(super) fn info(
    docker: &Value,
    containers: &Value,
    grant: &Grant,
    warnings: &[String],
) -> Value {
    let mut shown = picked(
        docker,
        &[
            "ServerVersion",
            "OperatingSystem",
            "OSType",
            "Architecture",
            "KernelVersion",
            "NCPU",
            "MemTotal",
            "Driver",
            "CgroupDriver",
            "CgroupVersion",
            "SecurityOptions",
            "DefaultRuntime",
            // What the engine cannot hold a container to: the docker command and doctor say it.
            "MemoryLimit",
            "SwapLimit",
            "CpuCfsPeriod",
            "CpuCfsQuota",
            "CPUShares",
            "CPUSet",
            "PidsLimit",
            "OomKillDisable",
            "IPv4Forwarding",
            "BridgeNfIptables",
            "BridgeNfIp6tables",
            "LiveRestoreEnabled",
        ],
    );
    let states: Vec<&str> = containers
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|container| container.get("State")?.as_str())
        .collect();
    let count = |state: &str| states.iter().filter(|other| **other == state).count();
    let (running, paused) = (count("running"), count("paused"));
    for (key, value) in [
        ("Name", json!(grant.name)),
        ("Warnings", json!(warnings)),
        ("Containers", json!(states.len())),
        ("ContainersRunning", json!(running)),
        ("ContainersPaused", json!(paused)),
        ("ContainersStopped", json!(states.len() - running - paused)),
        (
            "Plugins",
            json!({"Volume": [], "Network": ["bridge"], "Log": ["json-file"]}),
        ),
    ] {
        shown.insert(key.to_owned(), value);
    }
    Value::Object(shown)
}

fn picked(from: &Value, keys: &[&str]) -> Map<String, Value> {
    let pick = |key: &&str| Some(((*key).to_owned(), from.get(*key)?.clone()));
    keys.iter().filter_map(pick).collect()
}

#[cfg(test)]
mod tests;
