//! For any body at all: it is refused, or what Docker would read in the rendered bytes keeps every
//! wall. The reader here is Go's way of decoding: keys fold, duplicates merge.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where something is not so"
)]

use std::collections::BTreeMap;
use std::fmt;

use aistack_helper::engine::vet::create::{
    Canonical, CreateRequest, HostAppArmor, Usage, World, decide,
};
use aistack_policy::{Grant, Policy, Refusal};
use proptest::prelude::*;
use proptest::sample::select;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, json};

const NETWORK_ID: &str = "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd";
const IMAGE_ID: &str = "sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";

fn grant() -> Grant {
    let text = include_str!("corpus/policy.toml");
    Policy::parse(text).unwrap().grant(1001).unwrap()
}

fn vet(grant: &Grant, body: &[u8]) -> Result<Canonical, Refusal> {
    let request = CreateRequest::parse(body)?;
    let world = World {
        grant,
        name: "tenant-1001-x",
        image_id: IMAGE_ID,
        image_volumes: &["/vol".to_owned()],
        network_id: Some(NETWORK_ID),
        joined_container: None,
        apparmor: &HostAppArmor::default(),
        in_use: Usage::default(),
    };
    decide(&world, request)
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

fn go_reads(bytes: &[u8]) -> Value {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    go(None, &Raw::deserialize(&mut reader).unwrap())
}

/// Every wall, as Docker would see it.
fn check_walls(grant: &Grant, body: &Value) {
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
    check_files(grant, host);
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

fn check_files(grant: &Grant, host: &Value) {
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

/// Fields with values that are allowed, nearly allowed and not.
fn fields(at: &'static [(&'static str, &'static [&'static str])]) -> impl Strategy<Value = String> {
    let one = select(at).prop_flat_map(|(key, values)| {
        (Just(key), select(values)).prop_map(|(key, value)| format!("\"{key}\":{value}"))
    });
    proptest::collection::vec(one, 0..5).prop_map(|fields| fields.join(","))
}

const B: &str = "/mnt/data-tenant-1001";

const HOST: &[(&str, &[&str])] = &[
    (
        "Binds",
        &[
            "null",
            "[\"/mnt/data-tenant-1001/data/a:/a\"]",
            "[\"/mnt/data-tenant-1001/etc/a:/b:ro\",\"/mnt/data-tenant-1001/logs/a:/c\"]",
            "[\"/:/h\"]",
            "[\"/mnt/data-tenant-1001/data/a:/vol\"]",
        ],
    ),
    (
        "Mounts",
        &[
            "[]",
            "[{\"Type\":\"bind\",\"Source\":\"/mnt/data-tenant-1001/data/b\",\"Target\":\"/d\"}]",
            "[{\"Type\":\"tmpfs\",\"Target\":\"/t\"}]",
            "[{\"Type\":\"volume\",\"Target\":\"/d\"}]",
        ],
    ),
    (
        "Tmpfs",
        &[
            "{\"/tmp\":\"\"}",
            "{\"/tmp\":\"size=1m,exec\",\"/run\":\"ro\"}",
            "{\"/tmp\":\"suid\"}",
            "{\"/vol\":\"\"}",
        ],
    ),
    ("Privileged", &["false", "null", "true"]),
    ("PidMode", &["\"\"", "\"host\""]),
    ("IpcMode", &["\"none\"", "\"private\"", "\"host\""]),
    (
        "NetworkMode",
        &["\"none\"", "\"default\"", "\"aistack-1001\"", "\"host\""],
    ),
    (
        "CapAdd",
        &[
            "[]",
            "\"NET_BIND_SERVICE\"",
            "[\"CAP_NET_BIND_SERVICE\"]",
            "[\"SYS_ADMIN\"]",
        ],
    ),
    ("CapDrop", &["[\"ALL\"]", "null", "\"x\""]),
    (
        "SecurityOpt",
        &["[\"no-new-privileges\"]", "[]", "[\"seccomp=unconfined\"]"],
    ),
    (
        "PortBindings",
        &[
            "{\"80/tcp\":[{\"HostPort\":\"5100\"}]}",
            "{\"80\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"5199\"}],\"9/udp\":null}",
            "{\"80/tcp\":[{\"HostPort\":\"80\"}]}",
        ],
    ),
    (
        "Memory",
        &["0", "6291456", "17179869184", "17179869185", "-1"],
    ),
    ("MemorySwap", &["0", "6291456", "-1"]),
    ("MemoryReservation", &["0", "1", "536870912"]),
    ("NanoCpus", &["0", "10000000", "4000000000", "4000000001"]),
    ("CpuQuota", &["0", "50000", "1"]),
    ("PidsLimit", &["-1", "0", "1", "4096", "4097", "null"]),
    ("ShmSize", &["0", "4096", "536870912", "536870913"]),
    (
        "LogConfig",
        &[
            "{}",
            "{\"Type\":\"local\",\"Config\":{\"max-size\":\"1g\",\"max-file\":\"2\"}}",
            "{\"Type\":\"syslog\"}",
        ],
    ),
    ("MaskedPaths", &["null", "[]", "[\"/x\"]"]),
    ("privileged", &["true", "false"]),
    ("Bind\\u017f", &["[\"/:/h\"]", "null"]),
    ("\u{212a}ernelMemory", &["0"]),
];

const TOP: &[(&str, &[&str])] = &[
    (
        "User",
        &[
            "\"\"",
            "\"1001\"",
            "\"2001:2001\"",
            "\"0\"",
            "\"1002\"",
            "null",
        ],
    ),
    (
        "Env",
        &["null", "[\"A=b\"]", "[\"HostConfig\",\"\\u0041=\\\"}\"]"],
    ),
    (
        "Cmd",
        &[
            "null",
            "\"x\"",
            "[\"a\",\"\\\"},\\\"HostConfig\\\":{\\\"Privileged\\\":true\"]",
            "[]",
        ],
    ),
    (
        "Labels",
        &[
            "{}",
            "{\"a\":\"\\\"\",\"HostConfig\":\"x\"}",
            "{\"io.aistack.owner\":\"1\"}",
            "{\"privileged\":\"true\"}",
        ],
    ),
    ("Hostname", &["\"x\"", "\"\"", "\"a b\""]),
    ("Volumes", &["{}", "{\"/vol\":{}}", "{\"/other\":{}}"]),
    (
        "ExposedPorts",
        &["{\"1/tcp\":{}}", "{\"1\":{},\"1/tcp\":{}}"],
    ),
    ("Tty", &["true", "null"]),
    (
        "NetworkingConfig",
        &[
            "null",
            "{\"EndpointsConfig\":{\"aistack-1001\":{\"Aliases\":[\"a\"]}}}",
            "{\"EndpointsConfig\":{\"default\":{}}}",
            "{\"EndpointsConfig\":{\"aistack-1002\":{}}}",
        ],
    ),
    ("Privileged", &["true", "null"]),
    ("hostconfig", &["{\"Privileged\":true}", "null"]),
    (
        "Healthcheck",
        &["null", "{\"Test\":[\"CMD\",\"x\"],\"Timeout\":null}"],
    ),
];

/// What Docker would be sent, asked for once more, is the same request: the canonical form is part
/// of the language that is accepted.
fn check_again(grant: &Grant, canonical: &Canonical) {
    let mut body: BTreeMap<String, Value> = serde_json::from_slice(&canonical.render()).unwrap();
    body.insert("Image".to_owned(), json!("redis"));
    let labels = body.get_mut("Labels").unwrap().as_object_mut().unwrap();
    labels.retain(|name, _| !name.starts_with("io.aistack."));
    let again = vet(grant, serde_json::to_string(&body).unwrap().as_bytes());
    assert_eq!(again.as_ref(), Ok(canonical));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn an_accepted_body_keeps_every_wall(top in fields(TOP), host in fields(HOST)) {
        let comma = if top.is_empty() { "" } else { "," };
        let body = format!("{{\"Image\":\"redis\"{comma}{top},\"HostConfig\":{{{host}}}}}");
        let grant = grant();
        if let Ok(canonical) = vet(&grant, body.as_bytes()) {
            check_walls(&grant, &go_reads(&canonical.render()));
            check_again(&grant, &canonical);
        }
    }

    #[test]
    fn a_body_that_was_damaged_is_refused_or_keeps_every_wall(
        at in any::<proptest::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()
    ) {
        let mut body = include_bytes!("corpus/create/cli-28-many-flags.json").to_vec();
        let at = at.index(body.len());
        if cut { body.remove(at); } else { body[at] = byte; }
        let grant = grant();
        if let Ok(canonical) = vet(&grant, &body) {
            check_walls(&grant, &go_reads(&canonical.render()));
        }
    }

    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(vet(&grant(), &bytes).is_err());
    }
}

/// The generator is worth something only if it is accepted often, and refused often.
#[test]
fn the_generator_reaches_both_answers() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let grant = grant();
    let accepted = (0..500)
        .filter(|_| {
            let host = fields(HOST).new_tree(&mut runner).unwrap().current();
            let body = format!("{{\"Image\":\"redis\",\"HostConfig\":{{{host}}}}}");
            vet(&grant, body.as_bytes()).is_ok()
        })
        .count();
    assert!((50..450).contains(&accepted), "{accepted} of 500 accepted");
    assert_eq!(grant.base_dir, B);
}

/// The reader of this test does read as Go was measured to.
#[test]
fn the_reader_folds_and_merges() {
    let read = go_reads(
        "{\"HostConfig\":{\"Privileged\":false,\"Binds\":[\"a\"]},\"ho\u{17f}tconfig\":{\"pRIVILEGED\":true}}"
            .as_bytes(),
    );
    assert_eq!(
        read,
        json!({"hostconfig": {"privileged": true, "binds": ["a"]}})
    );
    let kept = go_reads(br#"{"A":true,"A":null}"#);
    assert_eq!(kept, json!({"a": true}));
}
