//! Which directories a process may start in, by what is mounted and whether the rest can be changed.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn layout<'a>(mounts: &[&'a str], read_only: bool, own: &'a str) -> Layout<'a> {
    Layout {
        mounts: mounts.to_vec(),
        read_only,
        own,
    }
}

fn passes(layout: &Layout<'_>, requested: &str) -> bool {
    match layout.check(requested) {
        Ok(()) => true,
        Err(refusal) => {
            assert_eq!(refusal.reason, "WORKING_DIR_REFUSED", "{refusal}");
            assert!(refusal.hint.is_some(), "{refusal}");
            false
        }
    }
}

#[test]
fn nothing_starts_below_what_the_tenant_writes() {
    let mounts = ["/data", "/run", "/srv/app/logs"];
    for read_only in [false, true] {
        let layout = layout(&mounts, read_only, "");
        for path in [
            "/data/x",
            "/data/x/y",
            "/srv/app/logs/x",
            "/run/x",
            // By links that images have.
            "/var/run/x",
            "/var/lock",
            "/run/shm/x",
        ] {
            assert!(!passes(&layout, path), "{path} {read_only}");
        }
    }
}

#[test]
fn a_place_that_something_is_mounted_on_is_a_directory() {
    let mounts = ["/data", "/home/node/.n8n", "/app/src", "/srv/a/b/c"];
    let writable = layout(&mounts, false, "");
    for path in ["/data", "/home/node/.n8n", "/app/src"] {
        assert!(passes(&writable, path), "{path}");
    }
    // Whoever can write /srv/a could rename /srv/a/b, mount and all.
    assert!(!passes(&writable, "/srv/a/b/c"));
    assert!(passes(&layout(&mounts, true, ""), "/srv/a/b/c"));
    // A bind at /run is what /var/run leads to.
    assert!(passes(&layout(&["/run"], false, ""), "/var/run"));
}

#[test]
fn in_a_writable_root_every_parent_is_roots() {
    let writable = layout(&["/data"], false, "");
    for path in [
        "",
        "/",
        "/app",
        "/tmp",
        "/work",
        "/usr/src/app",
        "/opt/app",
        "/srv/www",
        "/home/node",
        "/var/lib/x",
        "/usr/local/bin",
        "/bin",
        "/run/x",
        "/var/run/x",
    ] {
        assert!(passes(&writable, path), "{path}");
    }
    for path in [
        "/tmp/x",
        "/var/tmp/x",
        "/usr/tmp/x",
        "/run/lock/x",
        "/var/lock/x",
        "/run/postgresql/x",
        "/home/node/x",
        "/app/x",
        "/opt/app/x",
    ] {
        assert!(!passes(&writable, path), "{path}");
        let read_only = layout(&["/data"], true, "");
        assert!(passes(&read_only, path), "{path}");
    }
}

#[test]
fn the_images_own_directory_is_judged_by_the_mounts_too() {
    for (mounts, own, legal) in [
        (vec![], "/app/backend", true),
        (vec![], "/app/backend/", true),
        (vec!["/app/backend/data"], "/app/backend", true),
        (vec!["/app/backend"], "/app/backend", true),
        (vec!["/app"], "/app/backend", false),
        (vec!["/app"], "/app/backend/", false),
        (vec![], "/proc/self/fd/7", false),
        (vec![], "app", false),
        (vec![], "/a/../proc", false),
        (vec![], "", true),
        (vec![], "/", true),
    ] {
        for read_only in [false, true] {
            let layout = layout(&mounts, read_only, own);
            assert_eq!(passes(&layout, ""), legal, "{own:?} {mounts:?}");
        }
    }
    // To ask for what it is anyway changes nothing; what is below it is another matter.
    let own = layout(&[], false, "/app/backend");
    assert!(passes(&own, "/app/backend") && !passes(&own, "/app/backend/x"));
}

#[test]
fn a_layout_is_read_of_every_place_that_docker_shows_a_mount_in() {
    let container = json!({
        "Config": {"WorkingDir": "/w"},
        "HostConfig": {
            "ReadonlyRootfs": true, "Tmpfs": {"/t": "size=1m"},
            "Mounts": [{"Type": "tmpfs", "Target": "/m"}],
        },
        "Mounts": [{"Type": "bind", "Destination": "/b"}],
    });
    let layout = Layout::of_container(&container);
    assert!(layout.read_only);
    assert_eq!((layout.own, layout.mounts.len()), ("/w", 3));
    for inside in ["/t/x", "/m/x", "/b/x"] {
        assert!(!passes(&layout, inside), "{inside}");
    }
    let nothing = json!({});
    assert!(!Layout::of_container(&nothing).read_only);
}

#[test]
fn parents_end_at_the_root() {
    let all = |path| parents(path).collect::<Vec<_>>();
    assert_eq!(all("/a/b/c"), ["/a/b", "/a", "/"]);
    assert_eq!(all("/a"), ["/"]);
}

proptest! {
    /// Whatever else holds: below a mount is never right.
    #[test]
    fn below_a_mount_is_never_right(
        mount in "(/[a-c]{1,2}){1,3}", below in "(/[a-c]{1,2}){1,3}", read_only: bool, own: bool,
    ) {
        let path = format!("{mount}{below}");
        let own = if own { path.as_str() } else { "" };
        let mounts = [mount.as_str()];
        prop_assert!(layout(&mounts, read_only, own).check(&path).is_err());
    }
}
