use aistack_proto::v1::Grant;

use super::{grant, render, settings};
use crate::catalog::Catalog;
use crate::desired::stack;
use crate::env_file::Settings;

/// Key, rule and message of what is refused.
pub(super) fn refused(grant: &Grant, environment: &[(&str, &str)]) -> Vec<String> {
    stack(&settings(environment), &Catalog::embedded(), grant)
        .unwrap_err()
        .into_iter()
        .map(|error| format!("[{}] {error}", error.rule.as_deref().unwrap_or("-")))
        .collect()
}

#[test]
fn what_the_policy_does_not_give_is_refused_with_its_rule() {
    for (key, value, expected) in [
        (
            "BASE_DIR",
            "/mnt/data2",
            "[tenants.base_dir (policy.toml:9)] BASE_DIR: \"/mnt/data2\" is not what the policy gives; that is \"/mnt/data-tenant-1001\"",
        ),
        (
            "STACK_USER_UID",
            "1002",
            "[tenants.uid (policy.toml:9)] STACK_USER_UID: \"1002\" is not what the policy gives; that is \"1001\"",
        ),
        (
            "STACK_USER_GID",
            "0",
            "[tenants.uid (policy.toml:9)] STACK_USER_GID: \"0\" is not what the policy gives; that is \"1001\"",
        ),
        (
            "OPENCLAW_UID",
            "0",
            "[tenants.service_uids (policy.toml:9)] OPENCLAW_UID: \"0\" is not what the policy gives; that is \"2001\"",
        ),
        (
            "DOCKER_NETWORK",
            "ai-platform-1002",
            "[tenants.network (policy.toml:9)] DOCKER_NETWORK: \"ai-platform-1002\" is not what the policy gives; that is \"ai-platform-1001\"",
        ),
        (
            "DOMAIN_NAME",
            "x.example",
            "[tenants.domain (policy.toml:9)] DOMAIN_NAME: \"x.example\" is not what the policy gives; that is \"tenant-1001.example.com\"",
        ),
        (
            "LOCALHOST",
            "0.0.0.0",
            "[tenants.ports (policy.toml:9)] LOCALHOST: ports are published on 127.0.0.1 only, not on \"0.0.0.0\"",
        ),
        (
            "N8N_PORT",
            "5200",
            "[tenants.ports (policy.toml:9)] N8N_PORT: 5200 is not in the ports that the policy gives, 5100 to 5199",
        ),
        ("N8N_PORT", "0", "[-] N8N_PORT: is not a port number"),
        (
            "N8N_PORT",
            "5100",
            "[-] PROMETHEUS_PORT: 5100 is also N8N_PORT; each service needs its own",
        ),
        (
            "REDIS_IMAGE",
            "quay.io/evil/image:1",
            "[tenants.images (policy.toml:9)] REDIS_IMAGE: the policy's images do not have quay.io/evil/image:1; they are docker.io/*, ghcr.io/*, cr.weaviate.io/*",
        ),
        (
            "REDIS_IMAGE",
            "Not An Image",
            "[-] REDIS_IMAGE: \"Not An Image\" is not an image reference: it is not written registry/path:tag in lower case",
        ),
        (
            "POSTGRES_PASSWORD",
            "",
            "[-] POSTGRES_PASSWORD: is empty; restore the value that the data was made with, or run `aistack init`",
        ),
    ] {
        assert_eq!(
            refused(&grant(), &[(key, value)]),
            [expected],
            "{key}={value}"
        );
    }
    assert!(render(&[("BASE_DIR", "/mnt/data-tenant-1001/")]).is_ok());
}

#[test]
fn everything_is_refused_at_once() {
    let environment = [
        ("BASE_DIR", "/x"),
        ("N8N_PORT", "1"),
        ("REDIS_IMAGE", "quay.io/a/b:1"),
    ];
    assert_eq!(refused(&grant(), &environment).len(), 3);
    let nothing = stack(&Settings::default(), &Catalog::embedded(), &grant()).unwrap_err();
    assert!(nothing.iter().any(|error| error.key == "BASE_DIR"));
    assert!(nothing.iter().any(|error| error.key == "REDIS_PASSWORD"));
}

#[test]
fn a_capability_is_requested_only_where_the_policy_has_it() {
    let mut none = grant();
    none.capabilities.clear();
    let said = refused(&none, &[]);
    assert_eq!(said.len(), 1);
    assert!(
        said[0].starts_with("[tenants.capabilities (policy.toml:9)] CADDY_IMAGE: "),
        "{said:?}"
    );
    let own = settings(&[("CADDY_IMAGE", "docker.io/library/caddy-without:1")]);
    let stack = stack(&own, &Catalog::embedded(), &none).unwrap();
    let caddy = stack.services.last().unwrap();
    assert_eq!(caddy.name, "caddy");
    assert!(caddy.body.host_config.as_ref().unwrap().cap_add.is_none());
}
