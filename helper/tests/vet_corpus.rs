//! Recorded bodies of real clients pass; hostile ones are refused, or are harmless: what Docker
//! would get for them is what it gets for a plain body.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where something is not so"
)]

use std::path::Path;
use std::sync::LazyLock;

use aistack_helper::engine::vet::create::{
    Canonical, CreateContext, CreateRequest, HostAppArmor, Usage, decide,
};
use aistack_helper::engine::vet::exec::{CanonicalExec, ExecStart};
use aistack_helper::engine::vet::working_dir::Layout;
use aistack_policy::engine::ApiVersion;
use aistack_policy::{Grant, Policy, Refusal};

const HOSTILE: &str = include_str!("corpus/hostile-create.tsv");

const NETWORK_ID: &str = "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd";
const JOINED_ID: &str = "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee";
const IMAGE_ID: &str = "sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";

static GRANT: LazyLock<Grant> = LazyLock::new(|| {
    let text = include_str!("corpus/policy.toml");
    Policy::parse(text).unwrap().grant(1001).unwrap()
});

/// The versions that a caller may ask for.
fn client_versions() -> impl Iterator<Item = ApiVersion> {
    (24..=ApiVersion::NEWEST_SPOKEN.minor).map(ApiVersion::v1)
}

/// The versions that may be spoken with an engine.
fn spoken() -> impl Iterator<Item = ApiVersion> {
    client_versions().filter(|version| *version >= ApiVersion::OLDEST_SPOKEN)
}

fn vet(body: &[u8], joined: Option<&str>, api: ApiVersion) -> Result<Canonical, Refusal> {
    let request = CreateRequest::parse(body, api)?;
    let context = CreateContext {
        grant: &GRANT,
        name: "tenant-1001-x",
        image_id: IMAGE_ID,
        image_volumes: &[],
        image_working_dir: "",
        network_id: Some(NETWORK_ID),
        joined_container: joined,
        apparmor: &HostAppArmor::default(),
        in_use: Usage::default(),
    };
    decide(&context, request)
}

fn recorded(directory: &str) -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut bodies: Vec<_> = std::fs::read_dir(root.join(directory))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(path).unwrap())
        })
        .collect();
    bodies.sort();
    bodies
}

#[test]
fn bodies_of_real_clients_pass() {
    let bodies = recorded("create");
    assert!(bodies.len() >= 16, "only {} bodies", bodies.len());
    for (name, body) in bodies {
        let mut rendered = Vec::new();
        for api in client_versions() {
            let request = CreateRequest::parse(&body, api);
            let request = request.unwrap_or_else(|error| panic!("{name} {api}: {error}"));
            let joined = request.joins_network_of().map(|_| JOINED_ID);
            assert_eq!(joined.is_some(), name.ends_with("joined-network"), "{name}");
            match vet(&body, joined, api) {
                Ok(canonical) => rendered.push(canonical.render(ApiVersion::OLDEST_SPOKEN)),
                Err(refusal) => panic!("{name} {api}: {refusal}"),
            }
        }
        // What they ask for means the same under each version.
        assert!(rendered.iter().all(|body| *body == rendered[0]), "{name}");
    }
}

/// A client that says nothing of its version, or a very old one, is held by the same walls as the newest.
#[test]
fn every_engine_is_told_the_same_walls() {
    for (name, body) in recorded("create") {
        let joined = name.ends_with("joined-network").then_some(JOINED_ID);
        let canonical = vet(&body, joined, ApiVersion::NEWEST_SPOKEN).unwrap();
        let oldest = canonical.render(ApiVersion::OLDEST_SPOKEN);
        for api in spoken() {
            let rendered = canonical.render(api);
            assert_eq!(
                without_newer(&rendered),
                without_newer(&oldest),
                "{name} {api}"
            );
        }
    }
}

/// A rendered body without what only newer engines have.
fn without_newer(rendered: &[u8]) -> serde_json::Value {
    let mut body: serde_json::Value = serde_json::from_slice(rendered).unwrap();
    for (owner, field) in [
        ("Healthcheck", "StartInterval"),
        ("HostConfig", "ConsoleSize"),
    ] {
        if let Some(owner) = body[owner].as_object_mut() {
            owner.remove(field);
        }
    }
    body
}

#[test]
fn a_start_interval_reaches_engines_that_have_it_and_is_refused_before() {
    let body =
        br#"{"Image":"redis","Healthcheck":{"Test":["CMD","x"],"StartInterval":2000000000}}"#;
    let interval = |canonical: &Canonical, api| {
        let body: serde_json::Value = serde_json::from_slice(&canonical.render(api)).unwrap();
        body["Healthcheck"]["StartInterval"].clone()
    };
    for api in client_versions() {
        match vet(body, None, api) {
            Ok(canonical) => {
                assert!(api >= ApiVersion::v1(44), "{api}");
                for engine in spoken().filter(|engine| *engine >= api) {
                    assert_eq!(interval(&canonical, engine), 2_000_000_000, "{engine}");
                }
                // Another engine, a moment later.
                assert!(interval(&canonical, ApiVersion::v1(43)).is_null());
            }
            Err(refusal) => {
                assert!(api < ApiVersion::v1(44), "{api}");
                assert_eq!(refusal.reason, "FIELD_OF_OTHER_VERSION");
                assert!(refusal.message.contains("since API 1.44"), "{refusal}");
            }
        }
    }
    // Clients write its zero under any version.
    let zero = br#"{"Image":"redis","Healthcheck":{"Test":["CMD","x"],"StartInterval":0}}"#;
    assert!(client_versions().all(|api| vet(zero, None, api).is_ok()));
}

#[test]
fn the_size_of_a_terminal_is_for_engines_that_use_it() {
    let body = br#"{"Image":"redis","Tty":true,"HostConfig":{"ConsoleSize":[24,80]}}"#;
    for api in client_versions() {
        let canonical = vet(body, None, api).unwrap();
        for engine in spoken() {
            let body: serde_json::Value =
                serde_json::from_slice(&canonical.render(engine)).unwrap();
            let there = !body["HostConfig"]["ConsoleSize"].is_null();
            let both = api.min(engine) >= ApiVersion::v1(42);
            assert_eq!(there, both, "{api} {engine}");
        }
    }
}

/// In no stack beside the others: other choices of the vector database, and what is in no preset.
const NOT_TOGETHER: [&str; 5] = ["qdrant", "weaviate", "chroma", "milvus", "ollama"];

/// What the client asks for each service of its catalog is within what the gateway gives, and so is
/// the full preset together.
#[test]
fn every_service_of_the_catalog_passes() {
    let policy = include_str!("../../packaging/policy.example.toml");
    let grant = Policy::parse(policy).unwrap().grant(1001).unwrap();
    let apparmor = HostAppArmor {
        enabled: true,
        loaded: vec![
            format!("ai-base-{}", grant.uid),
            grant.platform_profile.clone(),
            grant.openclaw_profile.clone(),
        ],
    };
    let snapshots =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../client/src/desired/tests/snapshots");
    let (mut passed, mut in_use) = (0, Usage::default());
    for entry in std::fs::read_dir(snapshots).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let content = text.splitn(3, "---\n").nth(2).unwrap();
        let Ok(service) = serde_json::from_str::<serde_json::Value>(content) else {
            continue;
        };
        // Other snapshots are of configuration that happens to be JSON.
        if !service["body"].is_object() {
            continue;
        }
        let body = service["body"].to_string();
        let request = CreateRequest::parse(body.as_bytes(), ApiVersion::NEWEST_SPOKEN).unwrap();
        let joined_container = request.joins_network_of().map(|_| JOINED_ID);
        let context = CreateContext {
            grant: &grant,
            name: "tenant-1001-x",
            image_id: IMAGE_ID,
            image_volumes: &[],
            image_working_dir: "",
            network_id: Some(NETWORK_ID),
            joined_container,
            apparmor: &apparmor,
            in_use,
        };
        let canonical = decide(&context, request);
        let usage = canonical
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
            .usage();
        passed += 1;
        let file = path.file_name().unwrap().to_string_lossy();
        let alone = NOT_TOGETHER
            .iter()
            .any(|name| file.ends_with(&format!("__{name}.snap")));
        // A service with an @ is there once more, with another vector database.
        if alone || file.contains('@') {
            continue;
        }
        in_use.memory += usage.memory;
        in_use.cpu_millis += usage.cpu_millis;
        in_use.pids += usage.pids;
        in_use.containers += usage.containers;
    }
    assert!(passed >= 30, "only {passed} services");
    assert!(
        in_use.containers >= 20,
        "only {} together",
        in_use.containers
    );
}

/// The two docker commands ask for the same things, so Docker gets the same bytes.
#[test]
fn two_generations_of_the_docker_command_are_one_request() {
    for (name, new) in recorded("create") {
        let Some(flags) = name.strip_prefix("cli-28-") else {
            continue;
        };
        let path = format!("tests/corpus/create/cli-20-{flags}.json");
        let old = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
        for api in spoken() {
            assert_eq!(
                vet(&new, Some(JOINED_ID), api).unwrap().render(api),
                vet(&old, Some(JOINED_ID), api).unwrap().render(api),
                "{flags}"
            );
        }
    }
}

/// `OLD<44<NEW` is OLD before API 1.44 and NEW from then on.
fn reason_under(expected: &str, api: ApiVersion) -> &str {
    let parts: Vec<&str> = expected.split('<').collect();
    match parts[..] {
        [_, since, new] if api >= ApiVersion::v1(since.parse().unwrap()) => new,
        [old, ..] => old,
        [] => expected,
    }
}

fn check_hostile(name: &str, expected: &str, body: &str, api: ApiVersion) {
    match vet(body.as_bytes(), None, api) {
        Ok(canonical) => {
            assert_eq!(expected, "SAME", "{name} {api} passed: {canonical:?}");
            let plain = vet(br#"{"Image":"redis"}"#, None, api).unwrap();
            assert_eq!(canonical, plain, "{name} {api}");
            for engine in spoken().filter(|engine| *engine >= api) {
                assert_eq!(
                    canonical.render(engine),
                    plain.render(engine),
                    "{name} {engine}"
                );
            }
        }
        Err(refusal) => {
            assert_eq!(refusal.reason, expected, "{name} {api}: {refusal}");
            assert!(!refusal.rule.key.is_empty(), "{name}");
            assert!(refusal.message.len() < 400, "{name}: {refusal}");
            assert!(!refusal.message.ends_with('.'), "{name}: {refusal}");
            assert!(
                !refusal.message.contains(char::is_control),
                "{name}: {refusal}"
            );
        }
    }
}

#[test]
fn hostile_bodies_are_refused_or_harmless() {
    let mut names = std::collections::BTreeSet::new();
    for line in HOSTILE.lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let columns: Vec<&str> = line.splitn(3, '\t').collect();
        let [name, expected, body] = columns[..] else {
            panic!("not three columns: {line}");
        };
        for api in client_versions() {
            check_hostile(name, reason_under(expected, api), body, api);
        }
        assert!(names.insert(name), "{name} is there twice");
    }
    assert!(names.len() > 600, "only {} hostile bodies", names.len());
}

#[test]
fn a_recorded_body_with_every_flag_is_refused() {
    let body = include_bytes!("corpus/forbidden-cli-20.json");
    for api in client_versions() {
        let refusal = vet(body, None, api).unwrap_err();
        assert!(refusal.reason.ends_with("_REFUSED"), "{refusal}");
    }
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let large = format!(
        "{{\"Image\":\"redis\",\"Cmd\":[\"{}\"]}}",
        "x".repeat(300 << 10)
    );
    let bodies: [&[u8]; 6] = [
        b"",
        b"\xef\xbb\xbf{\"Image\":\"redis\"}",
        b"\xff\xfe{\0}\0",
        b"{\"Image\":\"redis\",\"Hostname\":\"\xff\"}",
        b"{\"Image\":\"redis\"}\0",
        large.as_bytes(),
    ];
    for body in bodies {
        for api in client_versions() {
            assert_eq!(vet(body, None, api).unwrap_err().reason, "BAD_JSON");
        }
    }
}

#[test]
fn execs_of_real_clients_pass() {
    let bodies = recorded("exec");
    assert!(bodies.len() >= 5);
    let layout = Layout {
        mounts: vec!["/data"],
        read_only: false,
        own: "",
    };
    for (name, body) in bodies {
        for api in client_versions() {
            let exec = CanonicalExec::decide(&GRANT, "1001:1001", &layout, &body, api);
            let exec = exec.unwrap_or_else(|error| panic!("{name} {api}: {error}"));
            for engine in spoken().filter(|engine| *engine >= api) {
                let rendered = String::from_utf8(exec.render(engine)).unwrap();
                assert!(
                    rendered.starts_with(r#"{"User":"1001:1001","Privileged":false,"#),
                    "{rendered}"
                );
            }
        }
    }
    for (name, body) in recorded("exec_start") {
        for api in client_versions() {
            let start = ExecStart::parse(&body, api);
            let start = start.unwrap_or_else(|error| panic!("{name} {api}: {error}"));
            assert_eq!(start.detach, name.ends_with("detached"), "{name}");
        }
    }
}
