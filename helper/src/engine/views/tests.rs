//! Tables of what is seen and what is not.

use aistack_policy::Policy;

use super::*;

fn grant() -> Grant {
    let text = r#"
        version = 1
        [tenants]
        uids = ["1001-1010"]
        images = ["docker.io/library/*"]
    "#;
    Policy::parse(text).unwrap().grant(1001).unwrap()
}

#[test]
fn a_list_shows_own_containers_by_the_name_of_their_image() {
    let list = json!([
        {"Id": "a", "Image": "sha256:1", "Labels": {OWNER_LABEL: "1001", IMAGE: "docker.io/library/redis:8"}},
        {"Id": "b", "Labels": {OWNER_LABEL: "1002"}},
        {"Id": "c", "Labels": {OWNER_LABEL: "10010"}},
        {"Id": "d", "Labels": {OWNER_LABEL: 1001}},
        {"Id": "e", "Labels": {}},
        {"Id": "f"},
    ]);
    let shown = containers(list, &grant());
    assert_eq!(shown.as_array().unwrap().len(), 1);
    assert_eq!(shown[0]["Id"], "a");
    assert_eq!(shown[0]["Image"], "docker.io/library/redis:8");
    assert_eq!(containers(json!({"message": "x"}), &grant()), json!([]));
}

#[test]
fn an_inspected_container_has_no_paths_of_the_host() {
    let shown = container(
        json!({
            "Id": "a", "GraphDriver": {"Data": {}}, "LogPath": "/var/lib/docker/x", "ResolvConfPath": "/x",
            "HostnamePath": "/x", "HostsPath": "/x", "Config": {"Image": "sha256:1", "Labels": {IMAGE: "redis"}},
        }),
        None,
    );
    assert_eq!(shown["Config"]["Image"], "redis");
    for path in HOST_PATHS {
        assert!(shown.get(path).is_none(), "{path}");
    }
}

fn own(names: &[&str]) -> BTreeSet<String> {
    let normal = |name: &&str| ImageRef::parse(name).unwrap().to_string();
    names.iter().map(normal).collect()
}

#[test]
fn images_are_seen_by_the_names_that_the_policy_has() {
    let list = json!([
        {"Id": "1", "RepoTags": ["redis:8", "quay.io/other/redis:8"], "RepoDigests": null, "Containers": 7},
        {"Id": "2", "RepoTags": ["quay.io/other/x:1"], "RepoDigests": []},
        {"Id": "3", "RepoTags": ["<none>:<none>"]},
        {"Id": "4"},
    ]);
    let (grant, own) = (grant(), own(&["redis:8", "quay.io/other/x:1"]));
    let usable = Usable {
        grant: &grant,
        own: &own,
    };
    let shown = usable.images(list);
    assert_eq!(shown.as_array().unwrap().len(), 1);
    assert_eq!(shown[0]["RepoTags"], json!(["redis:8"]));
    // A number, since clients insist on one, that says nothing of the host's containers.
    assert_eq!(shown[0]["Containers"], -1);
}

#[test]
fn the_hosts_own_images_and_those_of_others_are_not_there() {
    let digest = format!("redis@sha256:{}", "0".repeat(64));
    let list = json!([
        // Built on this host, and what another tenant has pulled: the policy allows every such name.
        {"Id": "1", "RepoTags": ["backup-tool:latest"], "RepoDigests": []},
        {"Id": "2", "RepoTags": ["postgres:17"], "RepoDigests": [format!("postgres@sha256:{}", "1".repeat(64))]},
        // Its own, which somebody has by another tag as well.
        {"Id": "3", "RepoTags": ["redis:8", "redis:latest", "backup-of:redis"], "RepoDigests": [digest]},
        {"Id": "4", "RepoTags": ["local/caddy:2", "caddy:2"], "RepoDigests": []},
    ]);
    let mut grant = grant();
    let own = own(&["redis:8"]);
    let ids = |grant: &Grant| {
        let shown = Usable { grant, own: &own }.images(list.clone());
        let ids = shown.as_array().unwrap().iter();
        ids.map(|image| image["Id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&grant), ["3"]);
    let shown = Usable {
        grant: &grant,
        own: &own,
    }
    .images(list.clone());
    assert_eq!(shown[0]["RepoTags"], json!(["redis:8"]));
    assert_eq!(shown[0]["RepoDigests"], json!([digest]));
    for (name, named) in [
        ("redis:8", true),
        (digest.as_str(), true),
        ("redis:latest", false),
        ("backup-of:redis", false),
    ] {
        let name = ImageRef::parse(name).unwrap();
        assert_eq!(is_named(&shown[0], &name), named, "{name}");
    }
    // What the administrator has named is everybody's, within what `images` allows.
    let local = r#"
        version = 1
        [tenants]
        uids = ["1001"]
        images = ["docker.io/library/*"]
        local_images = ["docker.io/library/caddy", "docker.io/local/caddy"]
    "#;
    grant = Policy::parse(local).unwrap().grant(1001).unwrap();
    assert_eq!(ids(&grant), ["3", "4"]);
}

#[test]
fn events_are_about_own_containers() {
    let line = |kind: &str, owner: &str| {
        json!({"Type": kind, "Actor": {"ID": "x", "Attributes": {OWNER_LABEL: owner}}}).to_string()
    };
    assert!(event(line("container", "1001").as_bytes(), &grant()).is_some());
    assert!(event(line("container", "1002").as_bytes(), &grant()).is_none());
    assert!(event(line("network", "1001").as_bytes(), &grant()).is_none());
    assert!(event(b"{", &grant()).is_none());
}

#[test]
fn info_counts_own_containers_and_names_nobody() {
    let docker = json!({"ServerVersion": "20", "Name": "host", "ID": "X", "DockerRootDir": "/var/lib/docker",
        "Containers": 99, "Labels": ["secret"], "Warnings": ["bridge"], "Swarm": {}, "NCPU": 2});
    let shown = info(
        &docker,
        &json!([{"State": "running"}, {"State": "exited"}]),
        &grant(),
        &["WARNING: full".to_owned()],
    );
    assert_eq!(shown["Warnings"], json!(["WARNING: full"]));
    assert_eq!(shown["Containers"], 2);
    assert_eq!(shown["ContainersStopped"], 1);
    assert_eq!(shown["NCPU"], 2);
    for absent in ["ID", "DockerRootDir", "Labels", "Swarm"] {
        assert!(shown.get(absent).is_none(), "{absent}");
    }
    assert_ne!(shown["Name"], "host");
}

#[test]
fn a_container_that_the_gateway_stopped_says_why() {
    let stopped = || json!({"Id": "a", "State": {"Status": "exited", "Error": ""}});
    let shown = container(stopped(), Some("too much".to_owned()));
    assert_eq!(shown["State"]["Error"], "too much");
    assert_eq!(container(stopped(), None)["State"]["Error"], "");
}

#[test]
fn an_image_does_not_tell_who_else_has_pulled_it() {
    let (grant, own) = (grant(), own(&["redis:8"]));
    let usable = Usable {
        grant: &grant,
        own: &own,
    };
    let image = json!({"Id": "1", "RepoTags": ["redis:8"], "Identity": {
        "Pull": [{"Repository": "quay.io/other/redis"}], "Build": [{"Ref": "x"}]}});
    let shown = usable.image(image.clone()).unwrap();
    assert!(shown.get("Identity").is_none(), "{shown}");
    let listed = usable.images(json!([image]));
    assert!(listed[0].get("Identity").is_none(), "{listed}");
}
