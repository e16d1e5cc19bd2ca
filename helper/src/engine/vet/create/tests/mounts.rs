//! Binds, tmpfs and the volumes of images.

use serde_json::{Value, json};

use super::{API, Host, host, with};

const BASE: &str = "/mnt/data-tenant-1001";

fn volumes(paths: &[&str]) -> Host {
    Host {
        volumes: paths.iter().map(ToString::to_string).collect(),
        ..Host::default()
    }
}

fn bind(name: &str, target: &str, read_only: bool) -> Value {
    json!({
        "Type": "bind", "Source": format!("{BASE}/{name}"), "Target": target,
        "ReadOnly": read_only, "BindOptions": {"Propagation": "rprivate"},
    })
}

#[test]
fn binds_of_both_forms_are_mounts() {
    for (text, name, read_only) in [
        ("data/redis:/x", "data/redis", false),
        ("data/redis:/x:rw", "data/redis", false),
        ("logs/redis:/x:ro", "logs/redis", true),
        ("data/redis:/x:rprivate", "data/redis", false),
        ("data/redis:/x:ro,private", "data/redis", true),
        ("etc/redis:/x:ro", "etc/redis", true),
        ("ssl/certs:/x:ro", "ssl/certs", true),
    ] {
        let old = host(&json!({"Binds": [format!("{BASE}/{text}")]}));
        let new = host(
            &json!({"Mounts": [{"Type": "bind", "Source": format!("{BASE}/{name}"),
                                          "Target": "/x", "ReadOnly": read_only}]}),
        );
        let (old, new) = (
            Host::default().vet(&old).unwrap(),
            Host::default().vet(&new).unwrap(),
        );
        assert_eq!(old, new, "{text}");
        let components: Vec<&str> = name.split('/').collect();
        assert_eq!(old.binds()[0].components, components);
        let rendered: Value = serde_json::from_slice(&old.render(API)).unwrap();
        assert_eq!(
            rendered["HostConfig"]["Mounts"],
            json!([bind(name, "/x", read_only)])
        );
        assert_eq!(rendered["HostConfig"]["Binds"], json!([]));
    }
}

#[test]
fn tmpfs_is_bounded_and_the_users_own() {
    const FIRST: &str = "rw,nosuid,nodev,noexec,size=67108864,uid=1001,gid=1001";
    for (options, expected) in [
        ("", FIRST.to_owned()),
        ("rw,nosuid,nodev,noexec", FIRST.to_owned()),
        (
            "size=16M,mode=1777",
            "rw,nosuid,nodev,noexec,size=16777216,uid=1001,gid=1001,mode=1777".into(),
        ),
        (
            "size=1g,exec,ro",
            "ro,nosuid,nodev,exec,size=1073741824,uid=1001,gid=1001".into(),
        ),
        (
            "uid=2001,gid=2001,mode=700",
            "rw,nosuid,nodev,noexec,size=67108864,uid=2001,gid=2001,mode=0700".into(),
        ),
        (
            "size=4096",
            "rw,nosuid,nodev,noexec,size=4096,uid=1001,gid=1001".into(),
        ),
    ] {
        let rendered = Host::default().rendered(&host(&json!({"Tmpfs": {"/x": options}})));
        assert_eq!(rendered["HostConfig"]["Tmpfs"]["/x"], expected, "{options}");
    }
}

#[test]
fn a_mount_of_type_tmpfs_is_the_same_as_tmpfs() {
    let mount = json!({"Type": "tmpfs", "Target": "/x", "ReadOnly": true,
                       "TmpfsOptions": {"SizeBytes": 8192, "Mode": 0o1777}});
    let new = Host::default()
        .vet(&host(&json!({"Mounts": [mount]})))
        .unwrap();
    let old = host(&json!({"Tmpfs": {"/x": "ro,size=8k,mode=1777"}}));
    assert_eq!(new, Host::default().vet(&old).unwrap());
}

#[test]
fn no_volume_of_an_image_becomes_a_volume() {
    let context = volumes(&["/data", "/cache/"]);
    let rendered = context.rendered(&host(
        &json!({"Binds": [format!("{BASE}/data/redis:/data")]}),
    ));
    let cover = "rw,nosuid,nodev,exec,size=67108864,uid=1001,gid=1001,mode=0700";
    assert_eq!(rendered["HostConfig"]["Tmpfs"], json!({"/cache": cover}));
    let body = host(&json!({"Tmpfs": {"/data": "size=1m", "/cache": ""}}));
    let tmpfs = context.rendered(&body)["HostConfig"]["Tmpfs"].clone();
    assert_eq!(tmpfs.as_object().unwrap().len(), 2);
    assert!(tmpfs["/data"].as_str().unwrap().contains("size=1048576"));
}

#[test]
fn a_bind_may_stand_inside_an_images_volume_but_not_around_it() {
    let context = volumes(&["/var/lib/x"]);
    let inner = host(&json!({"Binds": [format!("{BASE}/data/x:/var/lib/x/y")]}));
    let tmpfs = &context.rendered(&inner)["HostConfig"]["Tmpfs"];
    assert!(tmpfs["/var/lib/x"].is_string());
    let outer = host(&json!({"Binds": [format!("{BASE}/data/x:/var/lib")]}));
    assert_eq!(context.reason(&outer), "IMAGE_VOLUME_REFUSED");
}

#[test]
fn images_with_volumes_at_bad_paths_are_refused() {
    for path in [
        "/proc",
        "/proc/x/",
        "/sys",
        "/dev/shm",
        "/etc/passwd",
        "/etc",
        "/",
        "",
        "x",
        "/a/../proc",
    ] {
        let context = volumes(&[path]);
        assert_eq!(
            context.reason(&json!({"Image": "redis"})),
            "IMAGE_VOLUME_REFUSED",
            "{path}"
        );
    }
    let many: Vec<String> = (0..40).map(|i| format!("/v{i}")).collect();
    let context = Host {
        volumes: many,
        ..Host::default()
    };
    assert_eq!(context.reason(&json!({"Image": "redis"})), "MOUNTS_REFUSED");
}

#[test]
fn volumes_may_repeat_what_is_mounted() {
    let mut body = with("Volumes", &json!({"/data": {}, "/vol": null}));
    assert_eq!(volumes(&["/vol"]).reason(&body), "VOLUMES_REFUSED");
    body["HostConfig"] = json!({"Binds": [format!("{BASE}/data/redis:/data")]});
    assert!(volumes(&["/vol"]).vet(&body).is_ok());
    assert_eq!(volumes(&[]).reason(&body), "VOLUMES_REFUSED");
}

#[test]
fn paths_that_only_look_alike_may_be_mounted_on() {
    for target in [
        "/process",
        "/system",
        "/device",
        "/etc/redis",
        "/etc/passwd.d",
        "/x..y",
        "/x/.y",
    ] {
        let body = host(&json!({"Tmpfs": {target: ""}}));
        assert!(Host::default().vet(&body).is_ok(), "{target}");
    }
    let beside = json!({"Tmpfs": {"/run": "", "/running": "", "/run.d": ""}});
    assert!(Host::default().vet(&host(&beside)).is_ok());
}

#[test]
fn a_container_starts_where_nobody_can_put_a_link() {
    let body = |path: &str, read_only: bool| {
        json!({"Image": "redis", "WorkingDir": path, "HostConfig": {
            "ReadonlyRootfs": read_only, "Tmpfs": {"/tmp": ""},
            "Binds": [format!("{BASE}/data/x:/data"), format!("{BASE}/etc/x:/etc/x:ro")],
        }})
    };
    for read_only in [false, true] {
        for path in ["", "/", "/data", "/etc/x", "/tmp", "/app", "/usr/src/app"] {
            let rendered = Host::default().rendered(&body(path, read_only));
            assert_eq!(rendered["WorkingDir"], path);
        }
        // What is read-only in the container is still written from the host.
        for path in ["/data/x", "/etc/x/y", "/tmp/x"] {
            let reason = Host::default().reason(&body(path, read_only));
            assert_eq!(reason, "WORKING_DIR_REFUSED", "{path}");
        }
    }
    assert_eq!(
        Host::default().reason(&body("/var/tmp/x", false)),
        "WORKING_DIR_REFUSED"
    );
    assert!(Host::default().vet(&body("/var/tmp/x", true)).is_ok());
    // The same for the image's own, which no request names.
    let image = Host {
        working_dir: "/data/app",
        ..Host::default()
    };
    assert_eq!(image.reason(&body("", true)), "WORKING_DIR_REFUSED");
    assert!(image.vet(&body("/", true)).is_ok());
}

#[test]
fn an_images_volume_is_covered_under_the_name_of_its_link_too() {
    let context = volumes(&["/var/run/x"]);
    let around = host(&json!({"Binds": [format!("{BASE}/data/x:/run")]}));
    assert_eq!(context.reason(&around), "IMAGE_VOLUME_REFUSED");
    let same = host(&json!({"Binds": [format!("{BASE}/data/x:/run/x")]}));
    assert_eq!(
        context.rendered(&same)["HostConfig"]["Tmpfs"],
        json!({}),
        "one place, mounted once"
    );
}
