//! Tables of what is seen of images and what is not.

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
    // Clients insist on a list.
    assert_eq!(shown[0]["RepoDigests"], json!([]));
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

/// An index with an attestation in containerd's image store, as Docker Engine 29 answers it under API 1.56
/// (shortened): somebody has loaded it by another name, pulled it from another registry, and runs it.
fn index() -> Value {
    let digest = format!("sha256:{}", "1".repeat(64));
    let descriptor = json!({
        "mediaType": "application/vnd.oci.image.index.v1+json", "digest": digest, "size": 910,
        "annotations": {"io.containerd.image.name": "docker.io/other/secret:1"},
    });
    json!({
        "Id": digest,
        "RepoTags": ["redis:8"],
        "RepoDigests": [format!("redis@{digest}")],
        "ParentId": "sha256:2", "Containers": 3, "Created": 1, "Size": 9, "SharedSize": -1,
        "Descriptor": descriptor,
        "Manifests": [
            {"ID": "sha256:3", "Descriptor": descriptor, "Available": true, "Kind": "image",
             "Size": {"Content": 4, "Total": 5},
             "ImageData": {"Platform": {"architecture": "amd64", "os": "linux"},
                           "Size": {"Unpacked": 1}, "Containers": ["secret"], "Identity": "secret"}},
            {"ID": "sha256:4", "Descriptor": descriptor, "Available": false, "Kind": "attestation",
             "Size": {"Content": 1, "Total": 1}, "AttestationData": {"For": "sha256:3"}},
        ],
        "Identity": {"Pull": [{"Repository": "ghcr.io/other/secret"}]},
        "Metadata": {"LastTagTime": "2026-11-30T09:44:04Z"},
        "GraphDriver": {"Data": {"UpperDir": "/var/lib/docker/secret"}, "Name": "overlay2"},
        "Config": {"WorkingDir": "/data", "Volumes": {"/data": {}}},
        "Os": "linux", "Architecture": "amd64", "RootFS": {"Type": "layers", "Layers": []},
    })
}

#[test]
fn an_image_tells_of_nobody_else_whatever_the_api_version_adds() {
    let (grant, own) = (grant(), own(&["redis:8"]));
    let usable = Usable {
        grant: &grant,
        own: &own,
    };
    let inspected = usable.inspected(&index()).unwrap();
    let listed = usable.images(json!([index()]));
    for shown in [&inspected, &listed[0]] {
        let text = shown.to_string();
        assert!(!text.contains("secret") && !text.contains("2026"), "{text}");
        assert_eq!(shown["Descriptor"]["size"], 910);
        assert_eq!(shown["RepoTags"], json!(["redis:8"]));
    }
    // What is vetted before a create, and what clients read.
    assert_eq!(inspected["Config"]["Volumes"], json!({"/data": {}}));
    assert_eq!(inspected["Os"], "linux");
    assert_eq!(listed[0]["Containers"], -1);
    let manifests = listed[0]["Manifests"].as_array().unwrap();
    assert_eq!(manifests[0]["Size"]["Content"], 4);
    assert_eq!(manifests[0]["ImageData"]["Containers"], json!([]));
    assert_eq!(manifests[1]["AttestationData"]["For"], "sha256:3");
}

/// In containerd's store an image that was pulled by its digest has the digest among its tags, an
/// image for other machines only has its bare digest in a list, and a dangling one has nothing.
#[test]
fn names_are_read_as_either_store_writes_them() {
    let digest = format!("redis@sha256:{}", "0".repeat(64));
    let bare = format!("sha256:{}", "3".repeat(64));
    let list = json!([
        {"Id": "1", "RepoTags": [digest], "RepoDigests": [digest]},
        {"Id": "2", "RepoTags": ["redis:8"], "RepoDigests": [bare]},
        {"Id": "3", "RepoTags": [], "RepoDigests": []},
        {"Id": "4", "RepoTags": ["<none>:<none>"], "RepoDigests": ["<none>@<none>"]},
    ]);
    let (grant, own) = (grant(), own(&[digest.as_str(), "redis:8"]));
    let usable = Usable {
        grant: &grant,
        own: &own,
    };
    let shown = usable.images(list);
    let shown = shown.as_array().unwrap();
    assert_eq!(shown.len(), 2);
    assert!(is_named(&shown[0], &ImageRef::parse(&digest).unwrap()));
    assert_eq!(shown[1]["RepoDigests"], json!([]));
}

#[test]
fn a_history_names_what_the_caller_may_use() {
    let id = format!("sha256:{}", "a".repeat(64));
    let history = json!([
        {
            "Id": id, "Created": 7, "CreatedBy": "CMD redis", "Size": 1, "Comment": "",
            "Tags": ["redis:8", "backup-of:redis", "quay.io/other/redis:8", "not a name"],
        },
        // What it was built from on this host, and who has it by which name.
        {"Id": format!("sha256:{}", "b".repeat(64)), "Created": 6, "Tags": ["backup-tool:1"], "Secret": "x"},
        {"Id": "<missing>", "Created": 5, "CreatedBy": "ADD x", "Size": 2, "Comment": "c", "Tags": null},
    ]);
    let (grant, own) = (grant(), own(&["redis:8"]));
    let usable = Usable {
        grant: &grant,
        own: &own,
    };
    assert_eq!(
        usable.history(&history, &id),
        json!([
            {"Id": id, "Created": 7, "CreatedBy": "CMD redis", "Size": 1, "Comment": "", "Tags": ["redis:8"]},
            {"Id": "<missing>", "Created": 6, "Tags": null},
            {"Id": "<missing>", "Created": 5, "CreatedBy": "ADD x", "Size": 2, "Comment": "c", "Tags": null},
        ])
    );
    assert_eq!(usable.history(&json!({"Id": id}), &id), json!([]));
}

#[test]
fn images_of_a_time_are_listed() {
    let list = json!([{"Id": "1", "Created": 10}, {"Id": "2", "Created": 20}, {"Id": "3"}]);
    let ids = |before, since, until| {
        let created = Created {
            before,
            since,
            until,
        };
        let shown = created.of(list.clone());
        let ids = shown.as_array().unwrap().iter();
        ids.map(|image| image["Id"].as_str().unwrap().to_owned())
            .collect::<String>()
    };
    for (before, since, until, expected) in [
        (None, None, None, "123"),
        (Some(20), None, None, "13"),
        (None, Some(10), None, "2"),
        (None, None, Some(10), "3"),
        (Some(20), Some(5), Some(15), "1"),
    ] {
        assert_eq!(ids(before, since, until), expected);
    }
}
