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
