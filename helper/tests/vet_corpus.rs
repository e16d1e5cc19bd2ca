//! Recorded bodies of real clients pass; hostile ones are refused, or are harmless: what Docker
//! would get for them is what it gets for a plain body.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where something is not so"
)]

use std::path::Path;

use aistack_helper::engine::vet::create::{
    Canonical, CreateRequest, HostAppArmor, Usage, World, decide,
};
use aistack_helper::engine::vet::exec::{CanonicalExec, ExecStart};
use aistack_helper::engine::vet::working_dir::Layout;
use aistack_policy::{Grant, Policy, Refusal};

const HOSTILE: &str = include_str!("corpus/hostile-create.tsv");

const NETWORK_ID: &str = "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd";
const JOINED_ID: &str = "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee";
const IMAGE_ID: &str = "sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";

fn grant() -> Grant {
    let text = include_str!("corpus/policy.toml");
    Policy::parse(text).unwrap().grant(1001).unwrap()
}

fn vet(body: &[u8], joined: Option<&str>) -> Result<Canonical, Refusal> {
    let request = CreateRequest::parse(body)?;
    let world = World {
        grant: &grant(),
        name: "tenant-1001-x",
        image_id: IMAGE_ID,
        image_volumes: &[],
        image_working_dir: "",
        network_id: Some(NETWORK_ID),
        joined_container: joined,
        apparmor: &HostAppArmor::default(),
        in_use: Usage::default(),
    };
    decide(&world, request)
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
        let request = CreateRequest::parse(&body).unwrap_or_else(|error| panic!("{name}: {error}"));
        let joined = request.joins_network_of().map(|_| JOINED_ID);
        assert_eq!(joined.is_some(), name.ends_with("joined-network"), "{name}");
        if let Err(refusal) = vet(&body, joined) {
            panic!("{name}: {refusal}");
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
    let snapshots = Path::new(env!("CARGO_MANIFEST_DIR")).join("../client/src/desired/snapshots");
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
        let request = CreateRequest::parse(body.as_bytes()).unwrap();
        let joined_container = request.joins_network_of().map(|_| JOINED_ID);
        let world = World {
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
        let canonical = decide(&world, request);
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
        assert_eq!(
            vet(&new, Some(JOINED_ID)).unwrap().render(),
            vet(&old, Some(JOINED_ID)).unwrap().render(),
            "{flags}"
        );
    }
}

#[test]
fn hostile_bodies_are_refused_or_harmless() {
    let plain = vet(br#"{"Image":"redis"}"#, None).unwrap();
    let mut names = std::collections::BTreeSet::new();
    for line in HOSTILE.lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let columns: Vec<&str> = line.splitn(3, '\t').collect();
        let [name, expected, body] = columns[..] else {
            panic!("not three columns: {line}");
        };
        match vet(body.as_bytes(), None) {
            Ok(canonical) => {
                assert_eq!(expected, "SAME", "{name} passed: {canonical:?}");
                assert_eq!(canonical, plain, "{name}");
                assert_eq!(canonical.render(), plain.render(), "{name}");
            }
            Err(refusal) => {
                assert_eq!(refusal.reason, expected, "{name}: {refusal}");
                assert!(!refusal.rule.key.is_empty(), "{name}");
                assert!(refusal.message.len() < 400, "{name}: {refusal}");
                assert!(!refusal.message.ends_with('.'), "{name}: {refusal}");
                assert!(
                    !refusal.message.contains(char::is_control),
                    "{name}: {refusal}"
                );
            }
        }
        assert!(names.insert(name), "{name} is there twice");
    }
    assert!(names.len() > 600, "only {} hostile bodies", names.len());
}

#[test]
fn a_recorded_body_with_every_flag_is_refused() {
    let refusal = vet(include_bytes!("corpus/forbidden-cli-20.json"), None).unwrap_err();
    assert!(refusal.reason.ends_with("_REFUSED"), "{refusal}");
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
        assert_eq!(vet(body, None).unwrap_err().reason, "BAD_JSON");
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
        let exec = CanonicalExec::decide(&grant(), "1001:1001", &layout, &body);
        let rendered = exec
            .unwrap_or_else(|error| panic!("{name}: {error}"))
            .render();
        let rendered = String::from_utf8(rendered).unwrap();
        assert!(
            rendered.starts_with(r#"{"User":"1001:1001","Privileged":false,"#),
            "{rendered}"
        );
    }
    for (name, body) in recorded("exec_start") {
        let start = ExecStart::parse(&body).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(start.detach, name.ends_with("detached"), "{name}");
    }
}
