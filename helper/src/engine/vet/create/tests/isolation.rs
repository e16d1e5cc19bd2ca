//! Capabilities, AppArmor and networks, which depend on the grant and on the host.

use aistack_policy::AppArmorMode;
use serde_json::{Value, json};

use super::{API, Host, NETWORK, host, with};
use crate::engine::vet::create::CreateRequest;

const JOINED: &str = "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee";

#[test]
fn capabilities_are_the_policys_in_any_spelling() {
    for requested in [
        json!(["NET_BIND_SERVICE"]),
        json!(["CAP_NET_BIND_SERVICE", "net_bind_service"]),
        json!("cap_net_bind_service"),
    ] {
        let rendered = Host::default().rendered(&host(&json!({"CapAdd": requested})));
        assert_eq!(
            rendered["HostConfig"]["CapAdd"],
            json!(["NET_BIND_SERVICE"])
        );
        assert_eq!(rendered["HostConfig"]["CapDrop"], json!(["ALL"]));
    }
}

/// Enforced, profiles loaded, policy, user; the options or the refusal.
type Case<'a> = (
    bool,
    &'a [&'a str],
    AppArmorMode,
    &'a str,
    Result<Value, &'a str>,
);

#[test]
fn apparmor_is_the_tenants_profile_or_what_the_policy_allows_without() {
    const NNP: &str = "no-new-privileges:true";
    let all = [
        "ai-base-1001",
        "ai-platform-1001",
        "ai-platform-openclaw-2001",
    ];
    let platform = json!([NNP, "apparmor=ai-base-1001//&ai-platform-1001"]);
    let cases: [Case<'_>; 9] = [
        (
            true,
            &all,
            AppArmorMode::Required,
            "1001",
            Ok(platform.clone()),
        ),
        (
            true,
            &all,
            AppArmorMode::Required,
            "2001",
            Ok(json!([
                NNP,
                "apparmor=ai-base-1001//&ai-platform-openclaw-2001"
            ])),
        ),
        (
            true,
            &all[..2],
            AppArmorMode::Required,
            "2001",
            Err("APPARMOR_MISSING"),
        ),
        (
            true,
            &[],
            AppArmorMode::Required,
            "1001",
            Err("APPARMOR_MISSING"),
        ),
        // The tenant's own part alone could be loosened by the tenant.
        (
            true,
            &all[1..],
            AppArmorMode::Required,
            "1001",
            Err("APPARMOR_MISSING"),
        ),
        (
            false,
            &[],
            AppArmorMode::Required,
            "1001",
            Err("APPARMOR_MISSING"),
        ),
        (
            true,
            &[],
            AppArmorMode::IfAvailable,
            "1001",
            Ok(json!([NNP])),
        ),
        (
            false,
            &all,
            AppArmorMode::IfAvailable,
            "1001",
            Ok(json!([NNP])),
        ),
        (true, &all, AppArmorMode::IfAvailable, "1001", Ok(platform)),
    ];
    for (enabled, loaded, mode, user, expected) in cases {
        let mut host = Host::default();
        host.grant.apparmor = mode;
        host.apparmor.enabled = enabled;
        host.apparmor.loaded = loaded.iter().map(ToString::to_string).collect();
        let body = with("User", &json!(user));
        match expected {
            Ok(options) => assert_eq!(host.rendered(&body)["HostConfig"]["SecurityOpt"], options),
            Err(reason) => assert_eq!(host.reason(&body), reason),
        }
    }
}

#[test]
fn the_label_that_is_stamped_may_be_requested_by_its_own_part_or_whole() {
    let mut context = Host::default();
    context.apparmor.enabled = true;
    context.apparmor.loaded = vec!["ai-base-1001".to_owned(), "ai-platform-1001".to_owned()];
    for option in [
        "apparmor=ai-platform-1001",
        "apparmor=ai-base-1001//&ai-platform-1001",
    ] {
        let own = host(&json!({"SecurityOpt": [option]}));
        assert_eq!(
            context.vet(&own).unwrap(),
            context.vet(&json!({"Image": "redis"})).unwrap()
        );
    }
    for option in [
        "apparmor=ai-platform-openclaw-2001",
        "apparmor=ai-base-1001",
        "apparmor=ai-platform-1001//&ai-base-1001",
        "apparmor=ai-base-1001//&ai-platform-1001//&x",
        "apparmor=ai-base-1001//&ai-platform-1001 (enforce)",
        "apparmor=ai-platform-1002",
        "apparmor=",
        "apparmor",
    ] {
        let other = host(&json!({"SecurityOpt": [option]}));
        assert_eq!(context.reason(&other), "SECURITY_OPT_REFUSED", "{option}");
    }
}

#[test]
fn the_network_is_the_tenants_by_its_full_id() {
    let body = json!({
        "Image": "redis", "HostConfig": {"NetworkMode": "aistack-1001"},
        "NetworkingConfig": {"EndpointsConfig": {"aistack-1001": {"Aliases": ["redis", "cache"]}}},
    });
    let rendered = Host::default().rendered(&body);
    assert_eq!(rendered["HostConfig"]["NetworkMode"], NETWORK);
    let endpoints = json!({NETWORK: {"Aliases": ["redis", "cache"]}});
    assert_eq!(rendered["NetworkingConfig"]["EndpointsConfig"], endpoints);
}

#[test]
fn the_one_address_that_can_be_requested_is_that_of_the_tenants_proxy() {
    let text = include_str!("../../../../../tests/corpus/policy.toml");
    let text = format!("{text}\n[ingress]\nenabled = true\n");
    let grant = aistack_policy::Policy::parse(&text)
        .unwrap()
        .grant(1001)
        .unwrap();
    let door = Host {
        grant,
        ..Host::default()
    };
    let asks = |address: &str| {
        json!({
            "Image": "redis",
            "NetworkingConfig": {"EndpointsConfig": {"aistack-1001": {
                "IPAMConfig": {"IPv4Address": address, "IPv6Address": "", "LinkLocalIPs": null},
            }}},
        })
    };
    let rendered = door.rendered(&asks("10.128.0.62"));
    let endpoints = json!({NETWORK: {
        "Aliases": [], "IPAMConfig": {"IPv4Address": "10.128.0.62"},
    }});
    assert_eq!(rendered["NetworkingConfig"]["EndpointsConfig"], endpoints);
    let nothing = json!({NETWORK: {"Aliases": []}});
    assert_eq!(
        door.rendered(&asks(""))["NetworkingConfig"]["EndpointsConfig"],
        nothing
    );
    for other in [
        "10.128.0.61",
        "10.128.0.1",
        "10.128.0.63",
        "10.128.0.126",
        "010.128.0.62",
        "10.128.0.62 ",
        "10.128.0.62/26",
        "::ffff:10.128.0.62",
        "0.0.0.0",
        "x",
    ] {
        let refusal = door.vet(&asks(other)).unwrap_err();
        assert_eq!(refusal.rule.to_string(), "builtin.no-addresses", "{other}");
        assert!(refusal.message.contains("but 10.128.0.62"), "{refusal}");
    }
    // Where there is no front door, nobody needs it.
    assert_eq!(
        Host::default().reason(&asks("10.128.0.62")),
        "ENDPOINT_REFUSED"
    );
}

#[test]
fn a_network_that_does_not_exist_is_said_to_be_missing() {
    let context = Host {
        network: None,
        ..Host::default()
    };
    let refusal = context.vet(&json!({"Image": "redis"})).unwrap_err();
    assert_eq!(refusal.reason, "NETWORK_MISSING");
    assert!(refusal.hint.unwrap().contains("aistack init"));
    let rendered = context.rendered(&host(&json!({"NetworkMode": "none"})));
    assert_eq!(rendered["HostConfig"]["NetworkMode"], "none");
    assert_eq!(rendered["NetworkingConfig"]["EndpointsConfig"], json!({}));
}

#[test]
fn a_joined_network_is_that_of_the_container_that_was_looked_up() {
    let body = host(&json!({"NetworkMode": "container:tenant-1001-y"}));
    let request = CreateRequest::parse(body.to_string().as_bytes(), API).unwrap();
    assert_eq!(request.joins_network_of(), Some("tenant-1001-y"));
    assert_eq!(Host::default().reason(&body), "NETWORK_MODE_REFUSED");
    for other in [
        "container:",
        "container:a/b",
        "container:a b",
        "container:a?x=y",
        "host",
        "",
    ] {
        let body = host(&json!({"NetworkMode": other})).to_string();
        let request = CreateRequest::parse(body.as_bytes(), API).unwrap();
        assert_eq!(request.joins_network_of(), None, "{other}");
    }
    let mut context = Host {
        joined: Some(JOINED),
        ..Host::default()
    };
    let mode = &context.rendered(&body)["HostConfig"]["NetworkMode"];
    assert_eq!(*mode, format!("container:{JOINED}"));
    context.network = None;
    assert!(context.vet(&body).is_ok());
    let other = host(&json!({"NetworkMode": "aistack-1002"}));
    assert_eq!(context.reason(&other), "NETWORK_MODE_REFUSED");
}
