//! A host with a front door: where visitors come to the proxy, and what every URL says then.

use aistack_proto::v1::FrontDoor;

use super::*;
use crate::desired::Via;

fn behind(https_port: u32, domains: &[&str]) -> Stack {
    let grant = Grant {
        front_door: Some(FrontDoor {
            proxy: "10.128.0.62".to_owned(),
            http_port: 80,
            https_port,
        }),
        domains: domains.iter().map(|domain| (*domain).to_owned()).collect(),
        ..grant()
    };
    stack(&settings(&[]), &Catalog::embedded(), &grant).unwrap()
}

fn caddyfile(stack: &Stack) -> &str {
    let mut files = stack.files.iter();
    &files.find(|file| file.name == "Caddyfile").unwrap().content
}

#[test]
fn visitors_come_to_the_address_of_the_proxy_on_ports_that_take_a_proxy_header() {
    let stack = behind(443, &["shop.example"]);
    insta::assert_snapshot!(caddyfile(&stack));
    for service in &stack.services {
        let networking = service.body.networking_config.as_ref().unwrap();
        let endpoints = networking.endpoints_config.as_ref().unwrap();
        let address = endpoints
            .values()
            .next()
            .and_then(|endpoint| endpoint.ipam_config.as_ref())
            .and_then(|ipam| ipam.ipv4_address.as_deref());
        let expected = (service.name == "caddy").then_some("10.128.0.62");
        assert_eq!(address, expected, "{}", service.name);
    }
    let plain = render(&[]).unwrap();
    assert!(!caddyfile(&plain).contains("9443"));
    assert!(!caddyfile(&plain).contains("proxy_protocol"));
}

#[test]
fn urls_have_the_front_doors_port_and_checks_ask_the_published_one() {
    let url = |stack: &Stack| {
        let n8n = stack.services.iter().find(|service| service.name == "n8n");
        let environment = n8n.unwrap().body.env.clone().unwrap();
        let line = environment
            .into_iter()
            .find(|line| line.starts_with("N8N_EDITOR_BASE_URL="));
        line.unwrap()
    };
    let stack = behind(443, &[]);
    assert_eq!(
        url(&stack),
        "N8N_EDITOR_BASE_URL=https://n8n.tenant-1001.example.com"
    );
    assert_eq!(
        url(&behind(8443, &[])),
        "N8N_EDITOR_BASE_URL=https://n8n.tenant-1001.example.com:8443"
    );
    let n8n = stack.services.iter().find(|service| service.name == "n8n");
    let n8n = n8n.unwrap();
    let site = n8n.endpoints.iter().find(|endpoint| endpoint.proxied);
    let site = site.unwrap();
    assert_eq!((site.port, site.published), (443, 5116));
    assert!(n8n.checks.iter().any(|check| matches!(
        check,
        Check::Http {
            via: Via::Site { port: 5116, .. },
            ..
        }
    )));
}

#[test]
fn switching_the_front_door_on_changes_the_proxy_and_what_names_its_address() {
    let (before, after) = (render(&[]).unwrap(), behind(443, &[]));
    let changed: Vec<String> = before
        .services
        .iter()
        .zip(&after.services)
        .filter_map(|(before, after)| {
            let parts = before.fingerprint.differences(&after.fingerprint);
            (!parts.is_empty()).then(|| format!("{}: {}", after.name, parts.join(" ")))
        })
        .collect();
    assert_eq!(
        changed,
        [
            "n8n: environment.N8N_EDITOR_BASE_URL environment.N8N_WEBHOOK_URL",
            "prometheus: command",
            "caddy: config.Caddyfile network",
        ]
    );
}
