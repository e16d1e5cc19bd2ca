//! What a real dockerd makes of rendered bodies: it must hold what was decided, and nothing else.
//! Containers are made and looked at, never started.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where something is not so"
)]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use aistack_helper::engine::vet::create::{
    CreateContext, CreateRequest, HostAppArmor, Usage, decide,
};
use aistack_policy::engine::ApiVersion;
use aistack_policy::{Grant, Policy};
use serde_json::{Value, json};

const SOCKET: &str = "/run/docker.sock";

/// One request to dockerd, with its own newest version where `path` has none; the answer's status and
/// JSON.
fn call(method: &str, path: &str, body: &[u8], kind: &str) -> (u16, Value) {
    let mut socket = UnixStream::connect(SOCKET).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\
         Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).unwrap();
    socket.write_all(body).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let status = answer.get(9..12).unwrap().parse().unwrap();
    let start = answer.find('{').map_or("null", |start| &answer[start..]);
    let value = serde_json::Deserializer::from_str(start).into_iter().next();
    (status, value.unwrap().unwrap_or(Value::Null))
}

fn api(method: &str, path: &str, body: &[u8]) -> (u16, Value) {
    call(method, path, body, "application/json")
}

/// Removes what the test made, also when it fails.
struct Made(Vec<String>);

impl Drop for Made {
    fn drop(&mut self) {
        for path in self.0.iter().rev() {
            api("DELETE", path, b"");
        }
    }
}

/// An archive with one empty file: 512 bytes of header, two empty blocks.
fn archive() -> Vec<u8> {
    let mut block = vec![0_u8; 512 * 3];
    let mut put =
        |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, "empty");
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, "00000000000\0");
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = block[..512].iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// dockerd shows false, and an empty list, object or text as null, or leaves it out.
fn same(decided: &Value, shown: &Value) -> bool {
    let empty = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(values) => values.is_empty(),
        Value::Object(values) => values.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    };
    match (decided, shown) {
        (Value::Object(one), Value::Object(other)) => {
            let mut keys = one.keys().chain(other.keys());
            keys.all(|key| same(&decided[key], &shown[key]))
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        _ => decided == shown || (empty(decided) && empty(shown)),
    }
}

/// A body that uses most of what is allowed.
fn body(grant: &Grant) -> Value {
    let base = &grant.base_dir;
    json!({
        "Image": "redis:8", "Env": ["A=b"], "Cmd": ["x", "y"], "Hostname": "redis",
        "Labels": {"a": "b"}, "StopSignal": "SIGINT", "StopTimeout": 60, "WorkingDir": "/data",
        "Healthcheck": {"Test": ["CMD", "x"], "Interval": 5_000_000_000_u64,
                        "StartInterval": 2_000_000_000_u64},
        "HostConfig": {
            "Binds": [format!("{base}/data/redis:/data")],
            "Mounts": [{"Type": "bind", "Source": format!("{base}/etc/redis"),
                        "Target": "/etc/redis", "ReadOnly": true},
                       {"Type": "tmpfs", "Target": "/run/x", "TmpfsOptions": {"SizeBytes": 8192}}],
            "Tmpfs": {"/tmp": "mode=1777"}, "CapAdd": ["CAP_NET_BIND_SERVICE"],
            "PortBindings": {"6379/tcp": [{"HostIp": "", "HostPort": "5101"}]},
            "Memory": 64 << 20, "NanoCpus": 250_000_000, "PidsLimit": 50, "ReadonlyRootfs": true,
            "Ulimits": [{"Name": "nofile", "Soft": 1024, "Hard": 2048}], "Init": true,
            "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
            "LogConfig": {"Type": "local", "Config": {"max-size": "1m"}},
        },
        "NetworkingConfig": {"EndpointsConfig": {
            grant.network.name.as_str(): {"Aliases": ["cache"]},
        }},
    })
}

/// An image with a VOLUME, and a network; their ids.
fn image_and_network(tag: &str, made: &mut Made) -> (String, String) {
    let path = format!("/images/create?fromSrc=-&repo={tag}&changes=VOLUME%20/vol");
    let (status, answer) = call("POST", &path, &archive(), "application/x-tar");
    assert_eq!(status, 200, "{answer}");
    made.0.push(format!("/images/{tag}"));
    let (_, image) = api("GET", &format!("/images/{tag}/json"), b"");
    let network = json!({"Name": tag, "Driver": "bridge", "CheckDuplicate": true});
    let (status, answer) = api("POST", "/networks/create", network.to_string().as_bytes());
    assert_eq!(status, 201, "{answer}");
    let network = answer["Id"].as_str().unwrap().to_owned();
    made.0.push(format!("/networks/{network}"));
    (image["Id"].as_str().unwrap().to_owned(), network)
}

/// From API 1.44 on a read-only bind is one with all that is mounted below it; an engine that has that
/// writes down that an older version's is not.
fn without_older_meaning(mounts: &Value) -> Value {
    let mut mounts = mounts.clone();
    for mount in mounts.as_array_mut().into_iter().flatten() {
        if let Some(options) = mount["BindOptions"].as_object_mut() {
            options.remove("ReadOnlyNonRecursive");
        }
    }
    mounts
}

/// What is shown of the container is what was sent.
fn compare(sent: &Value, held: &Value) {
    for (key, decided) in sent["HostConfig"].as_object().unwrap() {
        let shown = &held["HostConfig"][key];
        // Docker fills in its own runtime, drops swap limits where the kernel has none, and writes
        // a capability with its prefix.
        let own = match key.as_str() {
            "Runtime" => true,
            "MemorySwap" => *shown == json!(-1),
            "CapAdd" => *shown == json!(["CAP_NET_BIND_SERVICE"]),
            "Mounts" => same(decided, &without_older_meaning(shown)),
            _ => false,
        };
        assert!(
            own || same(decided, shown),
            "{key}: {decided} became {shown}"
        );
    }
    for key in [
        "User",
        "Env",
        "Cmd",
        "Image",
        "WorkingDir",
        "Labels",
        "StopSignal",
        "Hostname",
    ] {
        assert_eq!(sent[key], held["Config"][key], "{key}");
    }
    assert_eq!(held["Config"]["User"], "1001:1001");
    assert_eq!(held["Config"]["Labels"]["io.aistack.owner"], "1001");
    let masked = held["HostConfig"]["MaskedPaths"].as_array().unwrap();
    assert!(!masked.is_empty());
    let mounts = held["Mounts"].as_array().unwrap();
    assert_eq!(mounts.len(), 2, "an anonymous volume was made: {mounts:?}");
    assert!(
        mounts.iter().all(|mount| mount["Type"] == "bind"),
        "{mounts:?}"
    );
    let networks = held["NetworkSettings"]["Networks"].as_object().unwrap();
    assert_eq!(networks.len(), 1, "{networks:?}");
}

#[test]
#[ignore = "needs root and a Docker Engine"]
fn dockerd_holds_what_was_decided() {
    let tag = format!("aistack-dev-vet-{}", std::process::id());
    let directory = tempfile::tempdir().unwrap();
    for name in ["data/redis", "etc/redis"] {
        std::fs::create_dir_all(directory.path().join(name)).unwrap();
    }
    let policy = Policy::parse(include_str!("corpus/policy.toml")).unwrap();
    let mut grant = policy.grant(1001).unwrap();
    grant.base_dir = directory.path().to_str().unwrap().to_owned();

    let mut made = Made(Vec::new());
    let (image_id, network_id) = image_and_network(&tag, &mut made);
    let request = CreateRequest::parse(
        body(&grant).to_string().as_bytes(),
        ApiVersion::NEWEST_SPOKEN,
    )
    .unwrap();
    let context = CreateContext {
        grant: &grant,
        name: "tenant-1001-x",
        image_id: &image_id,
        image_volumes: &["/vol".to_owned()],
        image_working_dir: "",
        network_id: Some(&network_id),
        joined_container: None,
        apparmor: &HostAppArmor::default(),
        in_use: Usage::default(),
    };
    let canonical = decide(&context, request).unwrap();
    let versions = spoken();
    let mut held_by = Vec::new();
    for version in &versions {
        let rendered = canonical.render(*version);
        let name = format!("{tag}-{version}");
        let path = format!("/v{version}/containers/create?name={name}");
        let (status, answer) = api("POST", &path, &rendered);
        assert_eq!(status, 201, "{version}: {answer}");
        made.0.push(format!("/containers/{name}?force=true&v=true"));
        let (_, mut held) = api("GET", &format!("/containers/{name}/json"), b"");
        if *version < ApiVersion::v1(44) {
            forget_recursion(&mut held);
        }
        compare(&serde_json::from_slice(&rendered).unwrap(), &held);
        held_by.push(isolation_of(held));
    }
    for (version, held) in versions.iter().zip(&held_by) {
        assert_eq!(held, &held_by[0], "{version} and {}", versions[0]);
    }
    println!("{} versions", versions.len());
}

/// The versions that aistack would speak with this engine or one like it.
fn spoken() -> Vec<ApiVersion> {
    let (_, version) = api("GET", "/version", b"");
    let of = |key: &str| ApiVersion::parse(version[key].as_str().unwrap_or_default());
    let newest = ApiVersion::negotiated(of("MinAPIVersion"), of("ApiVersion").unwrap());
    let oldest = of("MinAPIVersion").map_or(41, |oldest| oldest.minor.max(41));
    let spoken: Vec<ApiVersion> = (oldest..=newest.unwrap().minor)
        .map(ApiVersion::v1)
        .collect();
    assert!(!spoken.is_empty());
    spoken
}

/// Before 1.44 a read-only bind left the mounts below it as they were, and a newer engine says so; below
/// these nothing is mounted.
fn forget_recursion(held: &mut Value) {
    let mounts = held["HostConfig"]["Mounts"].as_array_mut();
    for mount in mounts.into_iter().flatten() {
        if let Some(options) = mount["BindOptions"].as_object_mut() {
            options.remove("ReadOnlyNonRecursive");
        }
    }
}

/// What holds a container, as the engine shows it: all that was set at its creation but its own names.
fn isolation_of(mut held: Value) -> Value {
    let mounts = held["Mounts"].as_array_mut().unwrap();
    mounts.sort_by_key(|mount| mount["Destination"].to_string());
    let mut config = held["Config"].take();
    if let Some(health) = config["Healthcheck"].as_object_mut() {
        health.remove("StartInterval");
    }
    let networks = held["NetworkSettings"]["Networks"].as_object().unwrap();
    let networks: Vec<&String> = networks.keys().collect();
    json!({
        "HostConfig": held["HostConfig"], "Config": config, "Mounts": held["Mounts"],
        "Networks": networks, "AppArmorProfile": held["AppArmorProfile"],
    })
}
