//! What must hold of any body that Docker would get, as Go would read it: keys fold, duplicates
//! merge. Shared with the fuzz target.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where something is not so"
)]

use std::fmt;
use std::sync::LazyLock;

use aistack_helper::engine::vet::create::{
    Canonical, CreateContext, CreateRequest, HostAppArmor, Usage, decide,
};
use aistack_policy::engine::ApiVersion;
use aistack_policy::{Grant, Policy, Refusal};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, json};

const NETWORK_ID: &str = "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd";
const IMAGE_ID: &str = "sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";

/// The grant of UID 1001 of the corpus's policy, which is read once.
pub(crate) fn grant() -> Grant {
    static GRANT: LazyLock<Grant> = LazyLock::new(|| {
        let policy = Policy::parse(include_str!("../corpus/policy.toml"));
        policy.unwrap().grant(1001).unwrap()
    });
    GRANT.clone()
}

/// Vets a body under an API version for an image with a VOLUME.
pub(crate) fn vet(grant: &Grant, body: &[u8], api: ApiVersion) -> Result<Canonical, Refusal> {
    let request = CreateRequest::parse(body, api)?;
    let context = CreateContext {
        grant,
        name: "tenant-1001-x",
        image_id: IMAGE_ID,
        image_volumes: &["/vol".to_owned()],
        image_working_dir: "",
        network_id: Some(NETWORK_ID),
        joined_container: None,
        apparmor: &HostAppArmor::default(),
        in_use: Usage::default(),
    };
    decide(&context, request)
}

/// JSON with every key that was written, in order.
#[derive(Debug, Clone)]
enum Raw {
    Leaf(Value),
    List(Vec<Raw>),
    Object(Vec<(String, Raw)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Raw;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("JSON")
            }
            fn visit_unit<E>(self) -> Result<Raw, E> {
                Ok(Raw::Leaf(Value::Null))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
                Ok(Raw::Leaf(value.into()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
                Ok(Raw::Leaf(value.into()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
                Ok(Raw::Leaf(value.into()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
                Ok(Raw::Leaf(value.into()))
            }
            fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
                Ok(Raw::Leaf(value.into()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Raw, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = list.next_element()? {
                    values.push(value);
                }
                Ok(Raw::List(values))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Raw, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = object.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Raw::Object(pairs))
            }
        }
        reader.deserialize_any(Reader)
    }
}

fn folded(key: &str) -> String {
    key.replace('\u{17f}', "s")
        .replace('\u{212a}', "k")
        .to_lowercase()
}

/// What Go holds after decoding `raw` over `before`; keys of structs fold, which here is all keys.
fn go(before: Option<Value>, raw: &Raw) -> Value {
    match raw {
        Raw::Leaf(Value::Null) => before.unwrap_or(Value::Null),
        Raw::Leaf(value) => value.clone(),
        Raw::List(values) => values.iter().map(|value| go(None, value)).collect(),
        Raw::Object(pairs) => {
            let mut object = match before {
                Some(Value::Object(object)) => object,
                _ => serde_json::Map::new(),
            };
            for (key, value) in pairs {
                let key = folded(key);
                let before = object.remove(&key);
                object.insert(key, go(before, value));
            }
            Value::Object(object)
        }
    }
}

/// What Go reads in `bytes`.
pub(crate) fn go_reads(bytes: &[u8]) -> Value {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    go(None, &Raw::deserialize(&mut reader).unwrap())
}

/// Every wall, as Docker would see it.
pub(crate) fn check_isolation(grant: &Grant, body: &Value) {
    let host = &body["hostconfig"];
    for (key, expected) in [
        ("privileged", json!(false)),
        ("capdrop", json!(["ALL"])),
        ("securityopt", json!(["no-new-privileges:true"])),
        ("pidmode", json!("")),
        ("utsmode", json!("")),
        ("usernsmode", json!("")),
        ("cgroupnsmode", json!("private")),
        ("cgroupparent", json!("")),
        ("runtime", json!("")),
        ("binds", json!([])),
        ("volumesfrom", json!([])),
        ("volumedriver", json!("")),
        ("devices", json!([])),
        ("devicerequests", json!([])),
        ("devicecgrouprules", json!([])),
        ("groupadd", json!([])),
        ("sysctls", json!({})),
        ("links", json!([])),
        ("publishallports", json!(false)),
        ("oomkilldisable", json!(false)),
        ("oomscoreadj", json!(0)),
    ] {
        assert_eq!(host[key], expected, "{key}");
    }
    for absent in [
        "maskedpaths",
        "readonlypaths",
        "storageopt",
        "annotations",
        "umask",
        "isolation",
    ] {
        assert!(host.get(absent).is_none(), "{absent}");
    }
    for absent in [
        "volumes",
        "domainname",
        "macaddress",
        "onbuild",
        "shell",
        "privileged",
    ] {
        assert!(body.get(absent).is_none(), "{absent}");
    }
    let user = body["user"].as_str().unwrap();
    assert!(matches!(user, "1001:1001" | "2001:2001"), "{user}");
    assert_eq!(body["image"], IMAGE_ID);
    assert_eq!(body["labels"]["io.aistack.owner"], "1001");
    check_network(host, &body["networkingconfig"]["endpointsconfig"]);
    check_ports(grant, &host["portbindings"]);
    check_files(grant, host, body["workingdir"].as_str().unwrap());
    check_resources(grant, host);
}

fn check_network(host: &Value, endpoints: &Value) {
    let endpoints = endpoints.as_object().unwrap();
    match host["networkmode"].as_str().unwrap() {
        NETWORK_ID => assert_eq!(endpoints.keys().collect::<Vec<_>>(), [NETWORK_ID]),
        "none" => assert!(endpoints.is_empty()),
        other => panic!("on the network {other}"),
    }
    for endpoint in endpoints.values() {
        assert_eq!(
            endpoint.as_object().unwrap().keys().collect::<Vec<_>>(),
            ["aliases"]
        );
    }
    assert!(matches!(host["ipcmode"].as_str(), Some("private" | "none")));
}

fn check_ports(grant: &Grant, bindings: &Value) {
    for hosts in bindings.as_object().unwrap().values() {
        for host in hosts.as_array().unwrap() {
            assert_eq!(host["hostip"], "127.0.0.1");
            let port = host["hostport"].as_str().unwrap();
            let number: u16 = port.parse().unwrap();
            assert!(grant.ports.contains(number) && number.to_string() == port);
        }
    }
}

fn check_files(grant: &Grant, host: &Value, working_dir: &str) {
    let mut targets: Vec<&str> = Vec::new();
    for mount in host["mounts"].as_array().unwrap() {
        assert_eq!(mount["type"], "bind");
        assert_eq!(mount["bindoptions"], json!({"propagation": "rprivate"}));
        let source = mount["source"].as_str().unwrap();
        let rest = source
            .strip_prefix(&format!("{}/", grant.base_dir))
            .unwrap();
        let parts: Vec<&str> = rest.split('/').collect();
        assert_eq!(parts.len(), 2, "{source}");
        assert!(!parts[1].is_empty() && !parts[1].contains('.'), "{source}");
        match parts[0] {
            "data" | "logs" => {}
            "etc" | "ssl" => assert_eq!(mount["readonly"], true, "{source}"),
            other => panic!("mounts {other}"),
        }
        targets.push(mount["target"].as_str().unwrap());
    }
    let tmpfs = host["tmpfs"].as_object().unwrap();
    for (target, options) in tmpfs {
        let options: Vec<&str> = options.as_str().unwrap().split(',').collect();
        assert!(
            options.contains(&"nosuid") && options.contains(&"nodev"),
            "{options:?}"
        );
        let size = options
            .iter()
            .find_map(|option| option.strip_prefix("size="));
        assert!((4096..=1 << 30).contains(&size.unwrap().parse::<u64>().unwrap()));
        targets.push(target);
    }
    assert!(
        targets.contains(&"/vol"),
        "the image's volume is not covered"
    );
    for target in targets {
        assert!(
            !working_dir.starts_with(&format!("{target}/")),
            "starts in {working_dir}, below {target}"
        );
        assert!(
            target.starts_with('/') && target != "/" && !target.contains("//"),
            "{target}"
        );
        assert!(
            target.split('/').all(|part| part != ".." && part != "."),
            "{target}"
        );
        for kernel in ["/proc", "/sys", "/dev", "/etc/passwd"] {
            assert!(
                target != kernel && !target.starts_with(&format!("{kernel}/")),
                "{target}"
            );
        }
    }
}

fn check_resources(grant: &Grant, host: &Value) {
    let number = |key: &str| host[key].as_u64().unwrap();
    assert!((6 << 20..=grant.limits.memory).contains(&number("memory")));
    assert_eq!(number("memoryswap"), number("memory"));
    assert!(number("memoryreservation") <= number("memory"));
    assert!(number("shmsize") <= number("memory"));
    assert!((1..=grant.limits.pids).contains(&number("pidslimit")));
    let cpus = number("nanocpus");
    assert!((10_000_000..=grant.limits.cpu_millis * 1_000_000).contains(&cpus));
    for capability in host["capadd"].as_array().unwrap() {
        assert!(grant.capabilities.contains(capability.as_str().unwrap()));
    }
    assert_eq!(host["logconfig"]["type"], "json-file");
    let log = |key: &str| -> u64 {
        host["logconfig"]["config"][key]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    };
    assert!((1..=10 << 20).contains(&log("max-size")) && (1..=3).contains(&log("max-file")));
}
