//! What passes is what a create makes; each change of it, or of the policy, is refused by its rule.

use aistack_policy::{Policy, WritableLayer};
use serde_json::json;

use super::*;

const NETWORK: &str = "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd";

fn grant() -> Grant {
    let text = include_str!("../../../../tests/corpus/policy.toml");
    Policy::parse(text).unwrap().grant(1001).unwrap()
}

/// As Docker 20.10 shows what the gateway has made.
fn container() -> Value {
    json!({
        "Config": {
            "User": "1001:1001",
            "Labels": {"io.aistack.image": "docker.io/library/redis:8", "io.aistack.owner": "1001"},
        },
        "HostConfig": {
            "Privileged": false, "CapAdd": ["CAP_NET_BIND_SERVICE"], "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges:true", "apparmor=ai-base-1001//&ai-platform-1001"],
            "Binds": [], "VolumesFrom": [], "VolumeDriver": "", "Devices": null, "GroupAdd": [],
            "PidMode": "", "IpcMode": "private", "UTSMode": "", "UsernsMode": "",
            "CgroupParent": "", "Sysctls": {}, "PublishAllPorts": false, "Links": null,
            "NetworkMode": NETWORK, "Runtime": "runc",
            "PortBindings": {"6379/tcp": [{"HostIp": "127.0.0.1", "HostPort": "5100"}]},
            "Memory": 536_870_912, "NanoCpus": 1_000_000_000, "PidsLimit": 256,
        },
        "Mounts": [{"Type": "bind", "Destination": "/data"}],
    })
}

fn changed(pointer: &str, value: &Value) -> Value {
    let mut container = container();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    container.pointer_mut(parent).unwrap()[key] = value.clone();
    container
}

fn rule_of(grant: &Grant, network: Option<&str>, container: &Value) -> Option<String> {
    let refusal = check(grant, network, container).err()?;
    assert_eq!(refusal.reason, "CONTAINER_OUTDATED", "{refusal}");
    Some(refusal.rule.key)
}

#[test]
fn what_a_create_makes_may_be_started() {
    let cases = [
        container(),
        changed("/HostConfig/NetworkMode", &json!("none")),
        changed(
            "/HostConfig/NetworkMode",
            &json!(format!("container:{NETWORK}")),
        ),
        changed("/HostConfig/IpcMode", &json!("none")),
        changed("/HostConfig/CapAdd", &json!(null)),
        changed("/HostConfig/PortBindings", &json!({"53/udp": null})),
        changed("/Config/WorkingDir", &json!("/data")),
        changed(
            "/HostConfig/SecurityOpt",
            &json!(["no-new-privileges:true"]),
        ),
    ];
    for container in cases {
        assert_eq!(
            rule_of(&grant(), Some(NETWORK), &container),
            None,
            "{container}"
        );
    }
}

/// The image may not have shown it before the create.
#[test]
fn a_container_that_got_a_volume_is_not_started() {
    for kind in ["volume", "image", ""] {
        let mounts = json!([{"Type": kind, "Destination": "/hidden"}]);
        let container = changed("/Mounts", &mounts);
        let rule = rule_of(&grant(), Some(NETWORK), &container);
        assert_eq!(rule.as_deref(), Some("builtin.no-volumes"), "{kind}");
    }
}

#[test]
fn what_the_policy_does_not_allow_is_not_started() {
    let other = "e".repeat(64);
    let cases = [
        ("/Config/Labels", json!({}), "tenants.images"),
        (
            "/Config/Labels",
            json!({"io.aistack.image": "quay.io/a/b:1"}),
            "tenants.images",
        ),
        (
            "/HostConfig/Privileged",
            json!(true),
            "builtin.unset-fields",
        ),
        ("/HostConfig/Binds", json!(["/:/h"]), "builtin.unset-fields"),
        ("/HostConfig/PidMode", json!("host"), "builtin.unset-fields"),
        ("/HostConfig/Devices", json!([{}]), "builtin.unset-fields"),
        (
            "/HostConfig/CapAdd",
            json!(["CAP_SYS_ADMIN"]),
            "tenants.capabilities",
        ),
        ("/HostConfig/CapAdd", json!([1]), "tenants.capabilities"),
        ("/HostConfig/CapDrop", json!([]), "tenants.capabilities"),
        (
            "/HostConfig/SecurityOpt",
            json!([]),
            "builtin.no-security-options",
        ),
        (
            "/HostConfig/SecurityOpt",
            json!(["no-new-privileges:true", "apparmor=unconfined"]),
            "builtin.no-security-options",
        ),
        // The tenant's own part alone, and the label of another kind of container.
        (
            "/HostConfig/SecurityOpt",
            json!(["no-new-privileges:true", "apparmor=ai-platform-1001"]),
            "builtin.no-security-options",
        ),
        (
            "/HostConfig/SecurityOpt",
            json!([
                "no-new-privileges:true",
                "apparmor=ai-base-1001//&ai-platform-openclaw-2001"
            ]),
            "builtin.no-security-options",
        ),
        (
            "/HostConfig/IpcMode",
            json!("host"),
            "builtin.no-host-namespaces",
        ),
        ("/HostConfig/NetworkMode", json!("host"), "tenants.network"),
        (
            "/HostConfig/NetworkMode",
            json!("container:web"),
            "tenants.network",
        ),
        ("/HostConfig/NetworkMode", json!(other), "tenants.network"),
        (
            "/HostConfig/PortBindings",
            json!({"1/tcp": [{"HostIp": "127.0.0.1", "HostPort": "5200"}]}),
            "tenants.ports",
        ),
        (
            "/HostConfig/PortBindings",
            json!({"1/tcp": [{"HostIp": "", "HostPort": "5100"}]}),
            "tenants.ports",
        ),
        ("/HostConfig/Memory", json!(0), "tenants.limits"),
        ("/HostConfig/Memory", json!(1_u64 << 40), "tenants.limits"),
        ("/HostConfig/NanoCpus", json!(0), "tenants.limits"),
        ("/HostConfig/PidsLimit", json!(-1), "tenants.limits"),
        ("/HostConfig/PidsLimit", json!(null), "tenants.limits"),
        (
            "/Config/WorkingDir",
            json!("/data/x"),
            "builtin.working-directory",
        ),
    ];
    for (pointer, value, rule) in cases {
        let found = rule_of(&grant(), Some(NETWORK), &changed(pointer, &value));
        assert_eq!(found.as_deref(), Some(rule), "{pointer} {value}");
    }
    for user in ["", "0:0", "1002:1002", "1001", "root"] {
        let refusal = check(
            &grant(),
            Some(NETWORK),
            &changed("/Config/User", &json!(user)),
        );
        assert_eq!(refusal.unwrap_err().reason, "USER_REFUSED", "{user}");
    }
    assert!(check(&grant(), Some(NETWORK), &json!({})).is_err());
}

#[test]
fn a_stricter_policy_holds_for_what_exists() {
    let mut images = grant();
    images.images.clear();
    let mut capabilities = grant();
    capabilities.capabilities.clear();
    let mut ports = grant();
    ports.ports.first = 7000;
    let mut memory = grant();
    memory.limits.memory = 1 << 20;
    let mut layer = grant();
    layer.writable_layer = WritableLayer::Never;
    for (grant, rule) in [
        (images, "tenants.images"),
        (capabilities, "tenants.capabilities"),
        (ports, "tenants.ports"),
        (memory, "tenants.limits"),
        (layer.clone(), "tenants.writable_layer"),
    ] {
        let found = rule_of(&grant, Some(NETWORK), &container());
        assert_eq!(found.as_deref(), Some(rule));
    }
    assert_eq!(
        rule_of(&grant(), None, &container()).as_deref(),
        Some("tenants.network")
    );
    let read_only = changed("/HostConfig/ReadonlyRootfs", &json!(true));
    assert_eq!(rule_of(&layer, Some(NETWORK), &read_only), None);
    let mut required = grant();
    required.apparmor = AppArmorMode::Required;
    let without = changed(
        "/HostConfig/SecurityOpt",
        &json!(["no-new-privileges:true"]),
    );
    assert_eq!(rule_of(&required, Some(NETWORK), &container()), None);
    assert!(rule_of(&required, Some(NETWORK), &without).is_some());
}
