//! Field by field: what is accepted becomes what, and what depends on more than the body.
//! Refusals that a body alone earns are in `tests/corpus/hostile-create.tsv`.

mod fields;
mod isolation;
mod mounts;
mod resources;

use aistack_policy::Policy;
use serde_json::{Value, json};

use super::*;

const API: ApiVersion = ApiVersion::NEWEST_SPOKEN;
const NETWORK: &str = "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd";

fn grant() -> Grant {
    let text = include_str!("../../../../../tests/corpus/policy.toml");
    Policy::parse(text).unwrap().grant(1001).unwrap()
}

/// Everything that a decision depends on beside the body; a test changes what it is about.
struct Host {
    grant: Grant,
    volumes: Vec<String>,
    working_dir: &'static str,
    network: Option<&'static str>,
    joined: Option<&'static str>,
    apparmor: HostAppArmor,
    in_use: Usage,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            grant: grant(),
            volumes: Vec::new(),
            working_dir: "",
            network: Some(NETWORK),
            joined: None,
            apparmor: HostAppArmor::default(),
            in_use: Usage::default(),
        }
    }
}

impl Host {
    fn vet(&self, body: &Value) -> Result<Canonical, Refusal> {
        let context = CreateContext {
            grant: &self.grant,
            name: "tenant-1001-x",
            image_id: "sha256:cc",
            image_volumes: &self.volumes,
            image_working_dir: self.working_dir,
            network_id: self.network,
            joined_container: self.joined,
            apparmor: &self.apparmor,
            in_use: self.in_use,
        };
        decide(
            &context,
            CreateRequest::parse(body.to_string().as_bytes(), API)?,
        )
    }

    fn rendered(&self, body: &Value) -> Value {
        let canonical = self
            .vet(body)
            .unwrap_or_else(|refusal| panic!("{body}: {refusal}"));
        serde_json::from_slice(&canonical.render(API)).unwrap()
    }

    fn reason(&self, body: &Value) -> &'static str {
        match self.vet(body) {
            Ok(canonical) => panic!("{body} passed: {canonical:?}"),
            Err(refusal) => refusal.reason,
        }
    }
}

/// A body with these fields of HostConfig.
fn host(fields: &Value) -> Value {
    json!({"Image": "redis", "HostConfig": fields})
}

fn with(key: &str, value: &Value) -> Value {
    json!({"Image": "redis", key: value})
}

#[test]
fn a_plain_body_gets_every_wall() {
    let canonical = Host::default().vet(&json!({"Image": "redis"})).unwrap();
    let text = String::from_utf8(canonical.render(API)).unwrap();
    insta::assert_snapshot!(text);
}

#[test]
fn the_user_is_always_numbers_of_the_grant() {
    for (requested, user) in [
        ("", "1001:1001"),
        ("1001", "1001:1001"),
        ("1001:1001", "1001:1001"),
        ("2001", "2001:2001"),
        ("2001:2001", "2001:2001"),
    ] {
        let body = with("User", &json!(requested));
        assert_eq!(Host::default().rendered(&body)["User"], user);
    }
}

#[test]
fn root_is_refused_even_where_a_grant_would_give_it() {
    let mut host = Host::default();
    (host.grant.uid, host.grant.gid) = (0, 0);
    for user in ["", "0", "0:0"] {
        let refusal = host.vet(&with("User", &json!(user))).unwrap_err();
        assert_eq!(
            (refusal.reason, refusal.rule.key.as_str()),
            ("USER_REFUSED", "builtin.no-root")
        );
    }
}

#[test]
fn a_refusal_names_the_rule_of_the_policy() {
    for (body, key) in [
        (with("User", &json!("1002")), "tenants.uids"),
        (with("Image", &json!("quay.io/a/b")), "tenants.images"),
        (
            host(&json!({"CapAdd": ["SYS_ADMIN"]})),
            "tenants.capabilities",
        ),
        (host(&json!({"NetworkMode": "host"})), "tenants.network"),
        (host(&json!({"Binds": ["/:/x"]})), "tenants.base_dir"),
        (
            host(&json!({"PortBindings": {"1/tcp": [{"HostPort": "9"}]}})),
            "tenants.ports",
        ),
        (host(&json!({"PidsLimit": 1_000_000})), "tenants.limits"),
    ] {
        let refusal = Host::default().vet(&body).unwrap_err();
        assert_eq!(refusal.rule.key, key, "{refusal}");
        assert!(refusal.rule.line.is_some(), "{refusal}");
    }
}

#[test]
fn ports_are_published_on_loopback_only() {
    let rendered = Host::default().rendered(&json!({
        "Image": "redis", "ExposedPorts": {"9/udp": {}, "7": null},
        "HostConfig": {"PortBindings": {
            "80": [{"HostIp": "", "HostPort": "5100"}, {"HostIp": "127.0.0.1", "HostPort": "5199"}],
            "53/udp": [{"HostPort": "5100"}], "99/tcp": [], "98/tcp": null,
        }},
    }));
    let loopback = |port: &str| json!({"HostIp": "127.0.0.1", "HostPort": port});
    assert_eq!(
        rendered["HostConfig"]["PortBindings"],
        json!({"80/tcp": [loopback("5100"), loopback("5199")], "53/udp": [loopback("5100")]})
    );
    let exposed: Vec<&String> = rendered["ExposedPorts"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    assert_eq!(
        exposed,
        ["53/udp", "7/tcp", "80/tcp", "9/udp", "98/tcp", "99/tcp"]
    );
}

#[test]
fn a_command_may_be_a_list_a_word_nothing_or_empty() {
    for (requested, rendered) in [
        (json!(["a", ""]), json!(["a", ""])),
        (json!("a b"), json!(["a b"])),
        (json!([]), json!([])),
        (Value::Null, Value::Null),
    ] {
        for key in ["Cmd", "Entrypoint"] {
            let body = with(key, &requested);
            assert_eq!(Host::default().rendered(&body)[key], rendered);
        }
    }
}

#[test]
fn the_owner_is_the_last_label_and_the_image_has_its_name() {
    let body = with(
        "Labels",
        &json!({"zz": "1", "com.docker.compose.project": "p"}),
    );
    let bytes = Host::default().vet(&body).unwrap().render(API);
    let text = String::from_utf8(bytes).unwrap();
    let end = "\"zz\":\"1\",\"io.aistack.image\":\"docker.io/library/redis:latest\",\
               \"io.aistack.owner\":\"1001\"}}";
    assert!(text.ends_with(end), "{text}");
}

#[test]
fn health_restarts_and_stops_are_recorded() {
    let rendered = Host::default().rendered(&json!({
        "Image": "redis", "StopSignal": "INT", "StopTimeout": 600,
        "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 500_000_000, "Timeout": 1_000_000,
                        "StartPeriod": 86_400_000_000_000_u64, "Retries": 3},
        "HostConfig": {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 5},
                       "AutoRemove": true, "Init": false, "ReadonlyRootfs": true},
    }));
    assert_eq!(rendered["StopSignal"], "SIGINT");
    assert_eq!(rendered["StopTimeout"], 600);
    assert_eq!(
        rendered["Healthcheck"]["StartPeriod"],
        86_400_000_000_000_u64
    );
    let restart = json!({"Name": "on-failure", "MaximumRetryCount": 5});
    assert_eq!(rendered["HostConfig"]["RestartPolicy"], restart);
    assert_eq!(rendered["HostConfig"]["AutoRemove"], true);
    assert_eq!(rendered["HostConfig"]["Init"], false);
    assert_eq!(rendered["HostConfig"]["ReadonlyRootfs"], true);
}

#[test]
fn what_the_host_must_carry_has_bounds() {
    let long = "x".repeat(140 << 10);
    let many = |count: usize| (0..count).map(|i| format!("A{i}=b")).collect::<Vec<_>>();
    for (key, value, reason) in [
        ("Env", json!(many(513)), "ENV_REFUSED"),
        ("Env", json!([format!("A={long}")]), "ENV_REFUSED"),
        ("Cmd", json!([long]), "COMMAND_REFUSED"),
        ("Cmd", json!(vec!["a"; 1025]), "COMMAND_REFUSED"),
        ("Labels", json!({"a": long}), "LABELS_REFUSED"),
        (
            "Healthcheck",
            json!({"Test": ["CMD-SHELL", long]}),
            "COMMAND_REFUSED",
        ),
    ] {
        assert_eq!(Host::default().reason(&with(key, &value)), reason);
    }
    assert!(Host::default().vet(&with("Env", &json!(many(512)))).is_ok());
}

#[test]
fn secrets_are_neither_audited_nor_shown() {
    let secret = "hunter2";
    let body = json!({
        "Image": "redis", "Env": [format!("PASSWORD={secret}")],
        "Cmd": ["redis-server", "--requirepass", secret], "Labels": {"a": secret},
        "Healthcheck": {"Test": ["CMD", "redis-cli", "-a", secret]},
    });
    let request = CreateRequest::parse(body.to_string().as_bytes(), API).unwrap();
    assert!(!format!("{request:?}").contains(secret));
    let canonical = Host::default().vet(&body).unwrap();
    let audit = canonical.audit();
    assert!(!audit.to_string().contains(secret), "{audit}");
    assert!(!format!("{canonical:?}").contains(secret));
    assert_eq!(audit["env"], json!(["PASSWORD"]));
    assert_eq!(audit["program"], "redis-server");
    for bad in [
        json!(["=hunter2"]),
        json!(["A=hunter2\0"]),
        json!([{"hunter2": 1}]),
    ] {
        let refusal = Host::default().vet(&with("Env", &bad)).unwrap_err();
        assert!(!refusal.to_string().contains(secret), "{refusal}");
    }
}

#[test]
fn names_are_the_tenants_and_never_ids() {
    let grant = grant();
    for name in ["tenant-1001-x", "tenant-1001-redis_2.old", "tenant-1001--"] {
        assert_eq!(container_name(&grant, name).unwrap(), name);
    }
    let long = format!("tenant-1001-{}", "x".repeat(117));
    for name in [
        "",
        "x",
        "tenant-1001-",
        "tenant-1001",
        "tenant-1002-x",
        "tenant-10011-x",
        "/tenant-1001-x",
        "Tenant-1001-x",
        " tenant-1001-x",
        "tenant-1001-x ",
        "tenant-1001-x/y",
        "tenant-1001-x\0",
        "tenant-1001-é",
        "tenant-1001-x\n",
        "abcdef012345",
        &long,
    ] {
        let refusal = container_name(&grant, name).unwrap_err();
        assert_eq!(refusal.reason, "CONTAINER_NAME_REFUSED", "{name:?}");
    }
    assert!(container_name(&grant, &long[..128]).is_ok());
}

/// docker compose makes `<12 hex>_<name>` before it removes the old container and renames the new one.
#[test]
fn the_successor_that_compose_makes_is_the_tenants_whose_name_it_has() {
    let grant = grant();
    let long = format!("0123456789ab_tenant-1001-{}", "x".repeat(116));
    for name in [
        "0123456789ab_tenant-1001-web",
        "abcdefabcdef_tenant-1001-x-web-1",
        &long,
    ] {
        assert_eq!(container_name(&grant, name).unwrap(), name);
    }
    let longer = format!("{long}x");
    for name in [
        "0123456789ab_tenant-1002-web",
        "0123456789ab_tenant-1001-",
        "0123456789ab_web",
        "0123456789ab_",
        "0123456789abtenant-1001-web",
        "0123456789a_tenant-1001-web",
        "0123456789abc_tenant-1001-web",
        "0123456789AB_tenant-1001-web",
        "0123456789ag_tenant-1001-web",
        "0123456789é_tenant-1001-web",
        "0123456789ab_0123456789ab_tenant-1001-web",
        "0123456789ab_tenant-1001-a/b",
        "_tenant-1001-web",
        &longer,
    ] {
        let refusal = container_name(&grant, name).unwrap_err();
        assert_eq!(refusal.reason, "CONTAINER_NAME_REFUSED", "{name:?}");
    }
}

#[test]
fn a_refused_name_tells_what_compose_needs() {
    let refusal = container_name(&grant(), "project-web-1").unwrap_err();
    let hint = refusal.hint.unwrap();
    assert!(
        hint.contains("-p tenant-1001-") && hint.contains("container_name"),
        "{hint}"
    );
}
