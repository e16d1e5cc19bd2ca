//! Answers as the API version has them that the caller asks for. Docker gets the request under another one, the
//! newest; what older clients read, and newer versions have no more, is restored in. Pure, and the same
//! whatever version Docker got.
//!
//! Source: github.com/moby/moby/api, `docs/CHANGELOG.md`, and what the engine itself does for older
//! versions (moby, `daemon/server/router`).

use aistack_policy::Grant;
use aistack_policy::engine::ApiVersion;
use http::Response;
use hyper::body::Incoming;
use serde_json::{Map, Value, json};

/// Digits of a short id.
const SHORT_ID: usize = 12;

/// Bytes of a terminal, or of one who asks under an old version.
const RAW_STREAM: &str = "application/vnd.docker.raw-stream";
/// Output and errors in one stream, each part with its head.
const MULTIPLEXED_STREAM: &str = "application/vnd.docker.multiplexed-stream";

/// The API version that a caller asks for.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct AsOf(pub(in crate::engine) ApiVersion);

impl AsOf {
    fn is_before(self, minor: u32) -> bool {
        self.0 < ApiVersion::v1(minor)
    }

    /// One container in full.
    pub(in crate::engine) fn container(self, mut container: Value) -> Value {
        if self.is_before(52) {
            // The tenant is never on the default bridge, whose addresses these are.
            fill(
                &mut container,
                &json!({
                    "Config": {"OnBuild": null},
                    "NetworkSettings": {
                        "Bridge": "", "HairpinMode": false,
                        "LinkLocalIPv6Address": "", "LinkLocalIPv6PrefixLen": 0,
                        "SecondaryIPAddresses": null, "SecondaryIPv6Addresses": null,
                        "EndpointID": "", "Gateway": "", "GlobalIPv6Address": "",
                        "GlobalIPv6PrefixLen": 0, "IPAddress": "", "IPPrefixLen": 0,
                        "IPv6Gateway": "", "MacAddress": "",
                    },
                }),
            );
        }
        if self.is_before(45) {
            add_short_id(&mut container);
        }
        self.drop_newer(&mut container, &[("ImageManifestDescriptor", 48)]);
        container
    }

    /// A list of containers.
    pub(in crate::engine) fn containers(self, mut list: Value) -> Value {
        for container in list.as_array_mut().into_iter().flatten() {
            self.drop_newer(
                container,
                &[("ImageManifestDescriptor", 48), ("Health", 52)],
            );
        }
        list
    }

    /// One image in full.
    pub(in crate::engine) fn image(self, mut image: Value) -> Value {
        if self.is_before(44) {
            add_virtual_size(&mut image);
            fill(&mut image, &json!({"Created": "0001-01-01T00:00:00Z"}));
        }
        if self.is_before(45) {
            fill(
                &mut image,
                &json!({"Container": "", "ContainerConfig": null}),
            );
        }
        if self.is_before(50) {
            fill(
                &mut image,
                &json!({"Config": {
                    "Hostname": "", "Domainname": "", "AttachStdin": false, "AttachStdout": false,
                    "AttachStderr": false, "Tty": false, "OpenStdin": false, "StdinOnce": false,
                    "Image": "",
                }}),
            );
        }
        if self.is_before(52) {
            fill(
                &mut image,
                &json!({
                    "Parent": "", "Comment": "", "DockerVersion": "", "Author": "",
                    "Config": {
                        "Cmd": null, "Entrypoint": null, "Env": null, "Labels": null,
                        "OnBuild": null, "User": "", "Volumes": null, "WorkingDir": "",
                    },
                }),
            );
        }
        self.drop_newer(&mut image, &[("Descriptor", 48), ("Manifests", 48)]);
        image
    }

    /// A list of images.
    pub(in crate::engine) fn images(self, mut list: Value) -> Value {
        for image in list.as_array_mut().into_iter().flatten() {
            if self.is_before(44) {
                add_virtual_size(image);
            }
            self.drop_newer(image, &[("Descriptor", 48), ("Manifests", 47)]);
        }
        list
    }

    /// One line of the event stream, when it is about a container of the tenant.
    pub(in crate::engine) fn event(self, line: &[u8], grant: &Grant) -> Option<Vec<u8>> {
        let mut event = super::event(line, grant)?;
        if self.is_before(52) {
            let at = |pointer: &str| event.pointer(pointer).cloned();
            let legacy = [
                ("status", at("/Action")),
                ("id", at("/Actor/ID")),
                ("from", at("/Actor/Attributes/image")),
            ];
            let legacy = legacy
                .into_iter()
                .filter_map(|(key, value)| Some((key.to_owned(), value?)));
            fill(&mut event, &Value::Object(legacy.collect()));
        }
        let mut line = event.to_string().into_bytes();
        line.push(b'\n');
        Some(line)
    }

    /// Whether `docker system df` has sums beside its lists.
    pub(in crate::engine) fn has_disk_sums(self) -> bool {
        !self.is_before(52)
    }

    /// The content type of the event stream.
    pub(in crate::engine) fn events_type(self) -> &'static str {
        if self.is_before(52) {
            "application/json"
        } else {
            "application/jsonl"
        }
    }

    /// The content type of a stream of output, by that of Docker's.
    pub(in crate::engine) fn stream_type(self, answer: &Response<Incoming>) -> &'static str {
        let theirs = answer.headers().get(http::header::CONTENT_TYPE);
        self.stream_type_of(theirs.and_then(|value| value.to_str().ok()))
    }

    fn stream_type_of(self, theirs: Option<&str>) -> &'static str {
        if !self.is_before(42) && theirs == Some(MULTIPLEXED_STREAM) {
            return MULTIPLEXED_STREAM;
        }
        RAW_STREAM
    }

    /// Takes out what only versions from the named one on have.
    fn drop_newer(self, value: &mut Value, fields: &[(&str, u32)]) {
        let Some(held) = value.as_object_mut() else {
            return;
        };
        for (field, since) in fields {
            if self.is_before(*since) {
                held.remove(*field);
            }
        }
    }
}

/// Puts in what is missing, also in objects that are there; what is there stays.
fn fill(value: &mut Value, missing: &Value) {
    let (Some(held), Some(missing)) = (value.as_object_mut(), missing.as_object()) else {
        return;
    };
    for (key, more) in missing {
        match held.get_mut(key) {
            Some(Value::Null) | None => {
                held.insert(key.clone(), more.clone());
            }
            Some(inner) => fill(inner, more),
        }
    }
}

/// Clients look for it to tell whether a container is on a network by itself.
fn add_short_id(container: &mut Value) {
    let id = container.get("Id").and_then(Value::as_str);
    let Some(short) = id.and_then(|id| id.get(..SHORT_ID)).map(str::to_owned) else {
        return;
    };
    let networks = container.pointer_mut("/NetworkSettings/Networks");
    let networks = networks.and_then(Value::as_object_mut);
    for (name, endpoint) in networks.into_iter().flat_map(Map::iter_mut) {
        // These have no names.
        if matches!(name.as_str(), "none" | "host" | "bridge") {
            continue;
        }
        let Some(endpoint) = endpoint.as_object_mut() else {
            continue;
        };
        let aliases = endpoint.entry("Aliases").or_insert(Value::Null);
        if aliases.is_null() {
            *aliases = json!([]);
        }
        if let Some(aliases) = aliases.as_array_mut()
            && !aliases.iter().any(|alias| alias == short.as_str())
        {
            aliases.push(json!(short));
        }
    }
}

/// It always was the same as the size.
fn add_virtual_size(image: &mut Value) {
    let size = image.get("Size").cloned().unwrap_or(json!(0));
    fill(image, &json!({ "VirtualSize": size }));
}

#[cfg(test)]
mod tests;
