//! What each version's clients read is there, whatever version Docker got.

use aistack_policy::Policy;

use super::*;
use crate::docker::OWNER_LABEL;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn every_version() -> impl Iterator<Item = (u32, AsOf)> {
    (24..=ApiVersion::NEWEST_SPOKEN.minor).map(|minor| (minor, AsOf(ApiVersion::v1(minor))))
}

#[test]
fn a_container_has_what_its_callers_version_has() {
    let network = "aistack-1001";
    let docker = json!({
        "Id": ID, "ImageManifestDescriptor": {"digest": "x"}, "Config": {"Image": "redis"},
        "NetworkSettings": {"SandboxID": "s", "Networks": {
            network: {"Aliases": ["redis"], "DNSNames": ["redis", "0123456789ab"], "IPAddress": "10.0.0.2"},
        }},
    });
    for (minor, as_of) in every_version() {
        let shown = as_of.container(docker.clone());
        let settings = shown["NetworkSettings"].as_object().unwrap();
        for key in [
            "Bridge",
            "EndpointID",
            "Gateway",
            "IPAddress",
            "MacAddress",
            "IPPrefixLen",
        ] {
            assert_eq!(settings.contains_key(key), minor < 52, "{minor} {key}");
        }
        // Addresses are on the tenant's own network, never on the default bridge.
        if minor < 52 {
            assert_eq!(settings["IPAddress"], "");
        }
        let endpoint = &settings["Networks"][network];
        assert_eq!(endpoint["IPAddress"], "10.0.0.2");
        let aliases = if minor < 45 {
            json!(["redis", "0123456789ab"])
        } else {
            json!(["redis"])
        };
        assert_eq!(endpoint["Aliases"], aliases, "{minor}");
        assert_eq!(shown.get("ImageManifestDescriptor").is_some(), minor >= 48);
        // Of an engine that has it already, nothing comes twice.
        assert_eq!(as_of.container(shown.clone()), shown, "{minor}");
    }
}

#[test]
fn a_container_without_names_or_networks_is_shown_as_well() {
    for (_, as_of) in every_version() {
        for settings in [json!(null), json!({}), json!({"Networks": null})] {
            as_of.container(json!({"Id": ID, "NetworkSettings": settings}));
        }
        let none = json!({"Id": ID, "NetworkSettings": {"Networks": {"none": {"Aliases": null}}}});
        let shown = as_of.container(none);
        assert_eq!(
            shown.pointer("/NetworkSettings/Networks/none/Aliases"),
            Some(&Value::Null)
        );
        for odd in [json!(null), json!([]), json!({"Id": 7}), json!({"Id": "é"})] {
            as_of.container(odd.clone());
            as_of.image(odd.clone());
            as_of.images(json!([odd]));
        }
    }
    let old = AsOf(ApiVersion::v1(41));
    let unnamed = json!({"Id": ID, "NetworkSettings": {"Networks": {"own": {"Aliases": null}}}});
    let shown = old.container(unnamed);
    assert_eq!(
        shown["NetworkSettings"]["Networks"]["own"]["Aliases"],
        json!(["0123456789ab"])
    );
}

#[test]
fn a_list_of_containers_has_what_its_callers_version_has() {
    let docker = json!([{"Id": ID, "Health": {}, "ImageManifestDescriptor": {}}]);
    for (minor, as_of) in every_version() {
        let shown = as_of.containers(docker.clone());
        assert_eq!(shown[0].get("Health").is_some(), minor >= 52);
        assert_eq!(
            shown[0].get("ImageManifestDescriptor").is_some(),
            minor >= 48
        );
    }
}

#[test]
fn an_image_has_what_its_callers_version_has() {
    // As an engine of today shows it: what is empty is left out.
    let docker = json!({"Id": ID, "Size": 7, "Config": {"Cmd": ["x"]}, "Descriptor": {}});
    for (minor, as_of) in every_version() {
        let shown = as_of.image(docker.clone());
        assert_eq!(
            shown.get("VirtualSize"),
            (minor < 44).then_some(&json!(7)),
            "{minor}"
        );
        assert_eq!(shown.get("Container").is_some(), minor < 45);
        assert_eq!(shown.get("Descriptor").is_some(), minor >= 48);
        assert_eq!(shown["Config"].get("Hostname").is_some(), minor < 50);
        for key in [
            "Env",
            "Labels",
            "User",
            "WorkingDir",
            "Volumes",
            "Entrypoint",
        ] {
            assert_eq!(
                shown["Config"].get(key).is_some(),
                minor < 52,
                "{minor} {key}"
            );
        }
        for key in ["Parent", "Comment", "DockerVersion", "Author"] {
            assert_eq!(shown.get(key).is_some(), minor < 52, "{minor} {key}");
        }
        assert_eq!(shown["Config"]["Cmd"], json!(["x"]));
        let listed = as_of.images(json!([{"Id": ID, "Size": 7}]));
        assert_eq!(listed[0].get("VirtualSize").is_some(), minor < 44);
    }
}

#[test]
fn an_event_has_what_its_callers_version_has() {
    let policy = "version = 1\n[tenants]\nuids = [\"1001\"]\nimages = [\"docker.io/library/*\"]\n";
    let grant = Policy::parse(policy).unwrap().grant(1001).unwrap();
    let line = json!({"Type": "container", "Action": "start", "Actor": {"ID": ID,
        "Attributes": {OWNER_LABEL: "1001", "image": "redis"}}});
    for (minor, as_of) in every_version() {
        let shown = as_of.event(line.to_string().as_bytes(), &grant).unwrap();
        let shown: Value = serde_json::from_slice(&shown).unwrap();
        let legacy = [("status", "start"), ("id", ID), ("from", "redis")];
        for (key, value) in legacy {
            assert_eq!(
                shown.get(key),
                (minor < 52).then_some(&json!(value)),
                "{minor}"
            );
        }
        let kind = as_of.events_type();
        assert_eq!(kind == "application/jsonl", minor >= 52);
        let other = line.to_string().replace("1001", "1002");
        assert!(as_of.event(other.as_bytes(), &grant).is_none());
    }
}

#[test]
fn a_stream_is_named_by_what_it_is() {
    for (minor, as_of) in every_version() {
        let several = as_of.stream_type_of(Some(MULTIPLEXED_STREAM));
        assert_eq!(several == MULTIPLEXED_STREAM, minor >= 42, "{minor}");
        for other in [Some(RAW_STREAM), Some("text/html"), None] {
            assert_eq!(as_of.stream_type_of(other), RAW_STREAM);
        }
    }
}
