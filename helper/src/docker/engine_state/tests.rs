//! Answers that were recorded from engines with the options in their names: Debian 12's 20.10, Debian
//! 13's 26.1, the current one (29.99, API 1.56), and Debian 12's Podman. Only names, paths and the list
//! of what runc can do were changed. Those named `made` were written after moby's source: 29.0 has
//! `MinAPIVersion` 1.44, and a rootless daemon without delegated control groups says so in
//! `SecurityOptions` and `CgroupDriver`.

use aistack_policy::engine::{EngineKind, Seccomp};

use super::*;

macro_rules! recorded {
    ($name:literal) => {
        include_str!(concat!("../../../tests/corpus/docker/", $name, ".json"))
    };
}

const PLAIN: &str = recorded!("20.10-info");
const VERSION: &str = recorded!("20.10-version");
const USERNS: &str = recorded!("20.10-userns-remap-info");
const LIVE_RESTORE: &str = recorded!("20.10-no-new-privileges-live-restore-info");
const ROOTLESS: &str = recorded!("made-rootless-without-cgroups-info");
const VERSION_29: &str = recorded!("made-29.0-version");
const CURRENT: &str = recorded!("29.99-version");
const CURRENT_INFO: &str = recorded!("29.99-info");
const NFTABLES: &str = recorded!("29.99-overlay2-nftables-info");
const MIN_API_INFO: &str = recorded!("29.99-min-api-1.44-live-restore-no-new-privileges-info");

fn read(version: &str, info: &str) -> EngineFacts {
    let json = |text: &str| serde_json::from_str(text).unwrap();
    EngineFacts::read(&json(version), &json(info)).unwrap()
}

fn findings(version: &str, info: &str) -> Vec<(Severity, String)> {
    let findings = judge(&read(version, info)).into_iter();
    findings
        .map(|finding| (finding.severity, finding.found))
        .collect()
}

#[test]
fn recorded_answers_are_judged_by_what_does_not_work() {
    for (version, info, expected) in [
        (VERSION, PLAIN, &[][..]),
        (recorded!("26.1-version"), recorded!("26.1-info"), &[]),
        (CURRENT, CURRENT_INFO, &[]),
        (CURRENT, NFTABLES, &[]),
        (
            CURRENT,
            MIN_API_INFO,
            &[(Severity::Limited, "live-restore")],
        ),
        (
            CURRENT,
            recorded!("29.99-userns-remap-info"),
            &[(Severity::Unsupported, "userns-remap")],
        ),
        (
            recorded!("20.10-rootless-version"),
            recorded!("20.10-rootless-info"),
            &[
                (Severity::Unsupported, "rootless"),
                (Severity::Failing, "any limit"),
            ],
        ),
        (
            recorded!("29.99-rootless-version"),
            recorded!("29.99-rootless-info"),
            &[
                (Severity::Unsupported, "rootless"),
                (Severity::Failing, "any limit"),
            ],
        ),
        (
            recorded!("podman-4.3-version"),
            recorded!("podman-4.3-info"),
            &[(Severity::Unsupported, "the socket is Podman's")],
        ),
        (VERSION, USERNS, &[(Severity::Unsupported, "userns-remap")]),
        // no-new-privileges as the default is what aistack asks for anyway.
        (
            VERSION,
            LIVE_RESTORE,
            &[(Severity::Limited, "live-restore")],
        ),
        (
            VERSION,
            ROOTLESS,
            &[
                (Severity::Unsupported, "rootless"),
                (Severity::Failing, "any limit"),
            ],
        ),
        // Its oldest is 1.44.
        (VERSION_29, PLAIN, &[]),
    ] {
        let found = findings(version, info);
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for ((severity, text), (expected, words)) in found.iter().zip(expected) {
            assert!(severity == expected && text.contains(words), "{found:?}");
        }
    }
}

#[test]
fn what_is_no_engines_answer_is_not_judged() {
    for text in [
        "[]",
        "{}",
        "null",
        "{\"ApiVersion\": 1.41}",
        "{\"ApiVersion\": \"x\"}",
    ] {
        let value: Value = serde_json::from_str(text).unwrap();
        assert!(EngineFacts::read(&value, &value).is_err(), "{text}");
    }
}

#[test]
fn each_fact_is_read_from_each_engine() {
    let debian = read(VERSION, PLAIN);
    assert_eq!(debian.name(), "Docker Engine 20.10.24+dfsg1");
    assert_eq!(
        (debian.cgroup_version.as_str(), &debian.seccomp),
        ("1", &Seccomp::Default)
    );
    assert!(!debian.containerd_image_store && debian.storage_driver == "overlay2");
    assert_eq!(
        (debian.firewall.as_str(), debian.userland_proxy),
        ("", None)
    );
    assert!(debian.cdi_dirs.is_empty() && !debian.nri);

    let current = read(CURRENT, CURRENT_INFO);
    assert_eq!(current.name(), "Docker Engine 29.99.0-aistack");
    assert!(current.containerd_image_store && current.storage_driver == "overlayfs");
    assert_eq!(
        (current.firewall.as_str(), current.userland_proxy),
        ("iptables", Some(true))
    );
    assert_eq!(current.cdi_dirs, ["/etc/cdi", "/var/run/cdi"]);
    assert_eq!(current.seccomp, Seccomp::Default);
    assert!(current.insecure_registries.is_empty() && current.default_runtime == "runc");
    assert_eq!(current.data_root, "/var/lib/docker");

    let nftables = read(CURRENT, NFTABLES);
    assert!(!nftables.containerd_image_store && nftables.storage_driver == "overlay2");
    assert_eq!(
        (nftables.firewall.as_str(), nftables.userland_proxy),
        ("nftables", None)
    );

    let podman = read(
        recorded!("podman-4.3-version"),
        recorded!("podman-4.3-info"),
    );
    assert_eq!(podman.kind, EngineKind::Podman);
    for facts in [debian, current, nftables] {
        assert_eq!(facts.kind, EngineKind::Docker);
        assert_eq!(refusal(&facts), None);
    }
}

#[test]
fn options_of_the_current_engine_are_read_too() {
    let changed = |place: &str, value: Value| {
        let mut info: Value = serde_json::from_str(CURRENT_INFO).unwrap();
        info[place] = value;
        EngineFacts::read(&serde_json::from_str(CURRENT).unwrap(), &info).unwrap()
    };
    let words = |facts: &EngineFacts| {
        judge(facts)
            .iter()
            .map(|f| f.found.clone())
            .collect::<String>()
    };
    let nri = changed(
        "NRI",
        serde_json::json!({"Info": [["plugin-path", "/opt/nri"]]}),
    );
    assert!(nri.nri && words(&nri).contains("NRI"));
    let pools = serde_json::json!([{"Base": "10.9.0.0/16", "Size": 24}]);
    let pools = changed("DefaultAddressPools", pools);
    assert_eq!(pools.address_pools, ["10.9.0.0/16 in parts of /24"]);
    let registries = serde_json::json!({
        "InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8", "10.0.0.0/8"],
        "IndexConfigs": {"docker.io": {"Secure": true}, "registry.lan:5000": {"Secure": false}},
    });
    let registries = changed("RegistryConfig", registries);
    assert_eq!(
        registries.insecure_registries,
        ["10.0.0.0/8", "registry.lan:5000"]
    );
    assert!(words(&registries).contains("registry.lan:5000"));
    for (options, expected) in [
        (serde_json::json!(null), Seccomp::Off),
        (
            serde_json::json!(["name=seccomp,profile=unconfined"]),
            Seccomp::Off,
        ),
        (
            serde_json::json!(["name=seccomp,profile=/etc/docker/s.json"]),
            Seccomp::File("/etc/docker/s.json".to_owned()),
        ),
    ] {
        let facts = changed("SecurityOptions", options);
        assert_eq!(facts.seccomp, expected);
        assert!(words(&facts).contains("seccomp"));
        assert_eq!(refusal(&facts), None);
    }
}

#[test]
fn an_engine_whose_version_says_nothing_is_judged_by_its_api_version() {
    for (api, oldest) in [
        ("1.41", "1.12"),
        ("1.45", "1.24"),
        ("1.40", "1.12"),
        ("1.56", "1.40"),
    ] {
        let judged = |version: &str| {
            let answer = serde_json::json!({
                "Version": version, "ApiVersion": api, "MinAPIVersion": oldest,
            });
            let info = serde_json::from_str(PLAIN).unwrap();
            let facts = EngineFacts::read(&answer, &info).unwrap();
            (judge(&facts).len(), refusal(&facts), facts.name())
        };
        let (findings, refused, name) = judged("20.10.24");
        assert_eq!(name, "Docker Engine 20.10.24");
        for (version, name) in [
            ("20.10.24+dfsg1", "Docker Engine 20.10.24+dfsg1".to_owned()),
            (
                "library-import",
                format!("Docker Engine of API {api} (it calls its version \"library-import\")"),
            ),
            (
                "dev",
                format!("Docker Engine of API {api} (it calls its version \"dev\")"),
            ),
            ("", format!("Docker Engine of API {api}")),
        ] {
            assert_eq!(
                judged(version),
                (findings, refused.clone(), name),
                "{version}"
            );
        }
    }
}

#[test]
fn what_is_shown_of_an_engine_says_what_it_means() {
    for (version, info) in [
        (VERSION, PLAIN),
        (CURRENT, CURRENT_INFO),
        (CURRENT, NFTABLES),
    ] {
        let facts = read(version, info).explained();
        let value = |name: &str| {
            let fact = facts.iter().find(|fact| fact.name == name);
            fact.unwrap_or_else(|| panic!("no {name}")).value.clone()
        };
        assert!(
            facts
                .iter()
                .all(|fact| !fact.value.is_empty() && !fact.means.is_empty())
        );
        assert_eq!(value("users"), "the host's");
        assert_eq!(value("seccomp"), "Docker's own");
        assert_eq!(value("control groups"), "version 1, driver cgroupfs");
    }
}
