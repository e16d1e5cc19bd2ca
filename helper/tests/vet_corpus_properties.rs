//! For any body at all: it is refused, or what Docker would read in the rendered bytes keeps every
//! wall. The reader here is Go's way of decoding: keys fold, duplicates merge.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where something is not so"
)]

mod vet_corpus_isolation;

use std::collections::BTreeMap;

use aistack_helper::engine::vet::create::Canonical;
use aistack_policy::Grant;
use aistack_policy::engine::ApiVersion;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use vet_corpus_isolation::{check_isolation, go_reads, grant, vet};

const NEWEST: ApiVersion = ApiVersion::NEWEST_SPOKEN;

/// Any API version from this one on.
fn version(oldest: u32) -> impl Strategy<Value = ApiVersion> {
    (oldest..=NEWEST.minor).prop_map(ApiVersion::v1)
}

/// Fields with values that are allowed, nearly allowed and not.
fn fields(at: &'static [(&'static str, &'static [&'static str])]) -> impl Strategy<Value = String> {
    let one = select(at).prop_flat_map(|(key, values)| {
        (Just(key), select(values)).prop_map(|(key, value)| format!("\"{key}\":{value}"))
    });
    proptest::collection::vec(one, 0..5).prop_map(|fields| fields.join(","))
}

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
    ("ConsoleSize", &["null", "[24,80]", "[1]"]),
    ("Annotations", &["{}", "{\"a\":\"b\"}"]),
    ("Umask", &["null", "0", "18"]),
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

/// What Docker would be sent, requested once more, is the same request: the canonical form is part
/// of the language that is accepted.
fn check_again(grant: &Grant, canonical: &Canonical) {
    let mut body: BTreeMap<String, Value> =
        serde_json::from_slice(&canonical.render(NEWEST)).unwrap();
    body.insert("Image".to_owned(), json!("redis"));
    let labels = body.get_mut("Labels").unwrap().as_object_mut().unwrap();
    labels.retain(|name, _| !name.starts_with("io.aistack."));
    let again = vet(
        grant,
        serde_json::to_string(&body).unwrap().as_bytes(),
        NEWEST,
    );
    assert_eq!(again.as_ref(), Ok(canonical));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn an_accepted_body_keeps_every_wall(
        top in fields(TOP), host in fields(HOST), requested in version(24), spoken in version(41)
    ) {
        let comma = if top.is_empty() { "" } else { "," };
        let body = format!("{{\"Image\":\"redis\"{comma}{top},\"HostConfig\":{{{host}}}}}");
        let grant = grant();
        if let Ok(canonical) = vet(&grant, body.as_bytes(), requested) {
            check_isolation(&grant, &go_reads(&canonical.render(spoken)));
            check_again(&grant, &canonical);
        }
    }

    #[test]
    fn a_body_that_was_damaged_is_refused_or_keeps_all_isolation(
        at in any::<proptest::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
        requested in version(24), spoken in version(41)
    ) {
        let mut body = include_bytes!("corpus/create/cli-28-many-flags.json").to_vec();
        let at = at.index(body.len());
        if cut { body.remove(at); } else { body[at] = byte; }
        let grant = grant();
        if let Ok(canonical) = vet(&grant, &body, requested) {
            check_isolation(&grant, &go_reads(&canonical.render(spoken)));
        }
    }

    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(vet(&grant(), &bytes, NEWEST).is_err());
    }
}

/// Requests of real clients, under every version that they may ask for and for every engine.
#[test]
fn a_recorded_body_keeps_every_wall_under_every_version() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/create");
    let (grant, mut rendered) = (grant(), 0);
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        // Joins another container's network, which nobody looks up here.
        if path.to_string_lossy().contains("joined-network") {
            continue;
        }
        let body = std::fs::read(&path).unwrap();
        for requested in (24..=NEWEST.minor).map(ApiVersion::v1) {
            let canonical = vet(&grant, &body, requested)
                .unwrap_or_else(|refusal| panic!("{} {requested}: {refusal}", path.display()));
            for spoken in (41..=NEWEST.minor).map(ApiVersion::v1) {
                check_isolation(&grant, &go_reads(&canonical.render(spoken)));
                rendered += 1;
            }
        }
    }
    assert!(rendered > 15 * 33 * 15, "only {rendered}");
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
            vet(&grant, body.as_bytes(), NEWEST).is_ok()
        })
        .count();
    assert!((50..450).contains(&accepted), "{accepted} of 500 accepted");
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
