//! What a caller sees of Docker's answers: only its own things, and nothing of the host's paths.
//! Pure.

mod as_of;

use std::collections::BTreeSet;

use aistack_policy::Grant;
use aistack_policy::engine::ApiVersion;
use serde_json::{Map, Value, json};

use super::vet::image::ImageRef;
use super::vet::target::Offered;
use crate::docker::OWNER_LABEL;

pub(super) use as_of::AsOf;

/// The label with the image's name, since Docker is told its id.
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
    Value::Array(own)
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

/// The images that one tenant may see and use: of those that the policy's `images` allow, what it has
/// pulled or runs, and what `local_images` has for it. The others are the host's own, or another
/// tenant's to know of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usable<'a> {
    pub(super) grant: &'a Grant,
    /// What the tenant has pulled or runs, as normalised references.
    pub(super) own: &'a BTreeSet<String>,
}

impl Usable<'_> {
    fn has(&self, image: &ImageRef) -> bool {
        let local = || {
            let mut patterns = self.grant.local_images.iter();
            patterns.any(|pattern| pattern.matches(&image.repository))
        };
        is_allowed(image, self.grant) && (self.own.contains(&image.to_string()) || local())
    }

    /// The images of a list that the tenant may use, with those of their names only.
    pub(super) fn images(&self, list: Value) -> Value {
        let Value::Array(items) = list else {
            return Value::Array(Vec::new());
        };
        let images = items.into_iter().filter_map(|item| self.image(item));
        Value::Array(images.collect())
    }

    /// One image with those of its names that the tenant may use; `None` when there is none. A digest
    /// is a name of an image that the tenant may use by a tag of the same repository.
    pub(super) fn image(&self, mut image: Value) -> Option<Value> {
        let fields = image.as_object_mut()?;
        fields.remove("GraphDriver");
        // Says from where others have pulled it and who built it.
        fields.remove("Identity");
        // Counts the host's containers. Where Docker has not counted it says -1.
        if let Some(containers) = fields.get_mut("Containers") {
            *containers = json!(-1);
        }
        let mut repositories = BTreeSet::new();
        let mut named = false;
        for key in ["RepoTags", "RepoDigests"] {
            let Some(Value::Array(names)) = fields.get_mut(key) else {
                continue;
            };
            names.retain(|name| {
                let Some(Ok(name)) = name.as_str().map(ImageRef::parse) else {
                    return false;
                };
                let by_tag = key == "RepoDigests" && repositories.contains(&name.repository);
                let usable = by_tag || self.has(&name);
                if usable {
                    repositories.insert(name.repository);
                }
                usable
            });
            named |= !names.is_empty();
        }
        named.then_some(image)
    }
}

/// True when `image`, as [`Usable::image`] has left it, has this name.
pub(super) fn is_named(image: &Value, name: &ImageRef) -> bool {
    let names = ["RepoTags", "RepoDigests"]
        .into_iter()
        .filter_map(|key| image.get(key)?.as_array());
    let mut names = names.flatten().filter_map(Value::as_str);
    names.any(|other| ImageRef::parse(other).is_ok_and(|other| other == *name))
}

/// True when the policy has this image for the tenant: it may be pulled.
pub(super) fn is_allowed(image: &ImageRef, grant: &Grant) -> bool {
    let mut patterns = grant.images.iter();
    patterns.any(|pattern| pattern.matches(&image.repository))
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
