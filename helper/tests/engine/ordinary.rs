//! Ordinary requests on a tenant's own things, from the docker commands through the gateway to the real dockerd: what
//! they show, what they do not, and that a pause holds up nothing. And reads that cost the host much, with a Docker
//! behind the gateway that counts.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::dockerd::{docker_commands, fails, ok, prepare_for, root};
use super::recorded::{CURRENT, Engine};
use super::test_host::{A, TestHost, VERSION};

const ONE: u32 = 62007;
const OTHER: u32 = 62008;
const NAME: &str = "tenant-62007-o";
const FOREIGN: &str = "tenant-62008-p";
const IMAGE: &str = "docker.io/library/aistack-dev-gateway:ordinary";

/// A running container of `uid` that has said a line and written a file.
fn run(host: &TestHost, client: &str, uid: u32, name: &str) {
    let program = "echo started; echo x >/tmp/made; sleep 600";
    let run = [
        "run", "-d", "--name", name, "-m", "64m", IMAGE, "sh", "-c", program,
    ];
    ok(host, client, uid, &run);
    let until = Instant::now() + Duration::from_mins(1);
    while !ok(host, client, uid, &["logs", name]).contains("started") {
        assert!(Instant::now() < until, "{name} says nothing");
    }
}

#[test]
#[ignore = "needs root and a Docker Engine"]
fn a_tenant_looks_into_its_own_things_and_nobody_elses() {
    let tenants = [(ONE, "10.200.3.0/26"), (OTHER, "10.200.3.64/26")];
    let (host, _clean) = prepare_for(&tenants, IMAGE);
    for client in &docker_commands() {
        run(&host, client, ONE, NAME);
        run(&host, client, OTHER, FOREIGN);
        looks(&host, client);
        lists_images(&host, client);
        counts_its_own(&host, client);
        is_paused(&host, client);
        others_are_not_there(&host, client);
        root(&["rm", "-f", NAME, FOREIGN]);
    }
    let audit = host.audit();
    for operation in ["container.pause", "container.unpause"] {
        assert!(audit.contains(operation), "{operation}");
    }
}

fn looks(host: &TestHost, client: &str) {
    let said = |arguments: &[&str]| ok(host, client, ONE, arguments);
    let history = said(&["history", "--no-trunc", IMAGE]);
    assert!(
        history.contains("sha256:") && history.contains("Imported from"),
        "{history}"
    );
    let id = said(&["images", "-q", "--no-trunc", "aistack-dev-gateway:ordinary"]);
    assert!(said(&["history", "-q", "--no-trunc", id.trim()]).contains(id.trim()));
    let changes = said(&["diff", NAME]);
    assert!(changes.contains("A /tmp/made"), "{changes}");
    let aux = said(&["top", NAME, "aux"]);
    assert!(aux.contains("%CPU") && aux.contains("sleep 600"), "{aux}");
    let columns = said(&["top", NAME, "-o", "pid,ppid,args"]);
    assert!(
        columns.contains("PPID") && columns.contains("sleep 600"),
        "{columns}"
    );
    // Words of other processes would be taken for the id.
    fails(
        host,
        client,
        ONE,
        &["top", NAME, "-o", "args,pid"],
        "pid among them",
    );
    fails(
        host,
        client,
        ONE,
        &["top", NAME, "-p", "1"],
        "pid among them",
    );
    assert!(said(&["logs", "--details", "--since", "1h", NAME]).contains("started"));
    said(&["port", NAME]);
    let stats = said(&["stats", "--no-stream"]);
    assert!(stats.contains(NAME) && !stats.contains(FOREIGN), "{stats}");
}

fn lists_images(host: &TestHost, client: &str) {
    let format = "{{.Repository}}:{{.Tag}}";
    let listed = |filter: &str| {
        let images = ["images", "--format", format, "--filter", filter];
        ok(host, client, ONE, &images)
    };
    for (filter, there) in [
        (format!("since={IMAGE}"), false),
        (format!("before={IMAGE}"), false),
        ("until=0s".to_owned(), true),
        ("until=2001-01-01T00:00:00Z".to_owned(), false),
        // In the host's time zone.
        ("until=2001-01-01T00:00:00".to_owned(), false),
        ("until=2001-01-01".to_owned(), false),
        ("until=2100-01-01".to_owned(), true),
        ("dangling=false".to_owned(), true),
        ("dangling=true".to_owned(), false),
        ("label=no.such=label".to_owned(), false),
        ("reference=no/such/*".to_owned(), false),
        ("reference=aistack-dev-gateway:ord*".to_owned(), true),
    ] {
        let listed = listed(&filter);
        let own = listed
            .lines()
            .any(|line| line.ends_with("aistack-dev-gateway:ordinary"));
        assert_eq!(own, there, "{client} {filter}: {listed}");
    }
    // One that is on this host, but not the tenant's, is as one that is nowhere.
    root(&["tag", IMAGE, "docker.io/library/aistack-dev-host:other"]);
    for name in ["aistack-dev-host:other", "aistack-dev-host:nowhere"] {
        for key in ["since", "before"] {
            let filter = format!("{key}={name}");
            fails(
                host,
                client,
                ONE,
                &["images", "--filter", &filter],
                "No such image",
            );
        }
        fails(host, client, ONE, &["history", name], "No such image");
    }
    root(&["rmi", "docker.io/library/aistack-dev-host:other"]);
}

fn counts_its_own(host: &TestHost, client: &str) {
    let usage = ok(host, client, ONE, &["system", "df"]);
    let row = |name: &str| {
        let line = usage.lines().find(|line| line.starts_with(name));
        let words = line
            .unwrap_or_else(|| panic!("{client}: {usage}"))
            .split_whitespace();
        words
            .filter_map(|word| word.parse::<u64>().ok())
            .collect::<Vec<_>>()
    };
    // Those of other tests, which have tags of their own, may be there.
    let images = row("Images");
    assert!(images[0] >= 1 && images[1] == 1, "{client}: {usage}");
    assert_eq!(row("Containers")[..2], [1, 1], "{client}: {usage}");
    assert_eq!(row("Local Volumes")[..2], [0, 0], "{client}: {usage}");
    let all = ok(host, client, ONE, &["system", "df", "-v"]);
    assert!(
        all.contains(NAME) && all.contains("aistack-dev-gateway"),
        "{client}: {all}"
    );
    assert!(!all.contains(FOREIGN), "{client}: {all}");
}

/// Whatever ends a container ends one that is paused.
fn is_paused(host: &TestHost, client: &str) {
    let said = |arguments: &[&str]| ok(host, client, ONE, arguments);
    let state = || {
        said(&["inspect", "--format", "{{.State.Status}}", NAME])
            .trim()
            .to_owned()
    };
    said(&["pause", NAME]);
    assert_eq!(state(), "paused");
    let listed = said(&["ps", "--filter", "status=paused", "--format", "{{.Names}}"]);
    assert_eq!(listed.trim(), NAME);
    fails(host, client, ONE, &["exec", NAME, "true"], "paused");
    fails(host, client, ONE, &["pause", NAME], "already paused");
    said(&["unpause", NAME]);
    assert_eq!(state(), "running");
    fails(host, client, ONE, &["unpause", NAME], "not paused");
    for end in [&["stop", "-t", "1", NAME][..], &["kill", NAME]] {
        said(&["pause", NAME]);
        said(end);
        said(&["wait", NAME]);
        assert_eq!(state(), "exited", "{client} {end:?}");
        said(&["start", NAME]);
    }
    said(&["pause", NAME]);
    said(&["restart", "-t", "1", NAME]);
    assert_eq!(state(), "running");
    let events = said(&[
        "events",
        "--since",
        "1h",
        "--until",
        "0s",
        "--filter",
        "event=pause",
        "--filter",
        "event=unpause",
    ]);
    assert!(
        events.contains(NAME) && !events.contains(FOREIGN),
        "{events}"
    );
    said(&["pause", NAME]);
    said(&["rm", "-f", NAME]);
    run(host, client, ONE, NAME);
}

fn others_are_not_there(host: &TestHost, client: &str) {
    let id = root(&["inspect", "--format", "{{.Id}}", FOREIGN]);
    let id = id.trim();
    for target in [FOREIGN, id, &id[..12]] {
        for verb in [
            &["diff"][..],
            &["pause"],
            &["unpause"],
            &["top"],
            &["logs", "--details"],
            &["wait"],
            &["port"],
        ] {
            let arguments: Vec<&str> = verb.iter().copied().chain([target]).collect();
            fails(host, client, ONE, &arguments, "No such container");
        }
    }
    let running = root(&["inspect", "--format", "{{.State.Status}}", FOREIGN]);
    assert_eq!(running.trim(), "running");
}

/// The policy has 64 MiB for each layer; somebody has filled it while nothing ran.
#[test]
#[ignore = "needs root and a Docker Engine"]
fn a_paused_container_that_holds_too_much_is_stopped() {
    const FULL: u32 = 62009;
    const NAME: &str = "tenant-62009-full";
    const IMAGE: &str = "docker.io/library/aistack-dev-gateway:paused";
    let (host, _clean) = prepare_for(&[(FULL, "10.200.3.128/26")], IMAGE);
    let clients = docker_commands();
    let client = clients.last().unwrap();
    ok(
        &host,
        client,
        FULL,
        &[
            "run", "-d", "--name", NAME, "-m", "64m", IMAGE, "sleep", "600",
        ],
    );
    ok(&host, client, FULL, &["pause", NAME]);
    let large = host.dir.path().join("large");
    std::fs::File::create(&large)
        .and_then(|file| file.set_len(80 << 20))
        .unwrap();
    root(&["cp", large.to_str().unwrap(), &format!("{NAME}:/tmp/large")]);
    let until = Instant::now() + Duration::from_mins(2);
    loop {
        let format = "{{.State.Status}} {{.State.Error}}";
        let state = ok(&host, client, FULL, &["inspect", "--format", format, NAME]);
        if state.starts_with("exited") {
            assert!(state.contains("outside of its mounts"), "{state}");
            break;
        }
        assert!(Instant::now() < until, "{state}");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(host.audit().contains("container.overfull"));
    fails(
        &host,
        client,
        FULL,
        &["start", NAME],
        "outside of its mounts",
    );
}

/// A Docker that takes a while for each walk through what containers have written, and counts how many are
/// on their way at once.
fn slow_docker(
    walks: &Arc<AtomicUsize>,
    most: &Arc<AtomicUsize>,
) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::Builder::new()
        .prefix("aistack-dev-gateway-slow-")
        .tempdir_in("/run")
        .unwrap();
    let socket = dir.path().join("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let (walks, most) = (Arc::clone(walks), Arc::clone(most));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (walks, most) = (Arc::clone(&walks), Arc::clone(&most));
            std::thread::spawn(move || answer(&mut stream.unwrap(), &walks, &most));
        }
    });
    (dir, socket)
}

fn answer(stream: &mut UnixStream, walks: &AtomicUsize, most: &AtomicUsize) {
    let mut bytes = vec![0; 64 << 10];
    let count = stream.read(&mut bytes).unwrap_or(0);
    let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
    let path = text.split(' ').nth(1).unwrap_or_default();
    let costly = ["size=true", "/changes", "/top", "/history"];
    let walk = costly.iter().any(|part| path.contains(part));
    if walk {
        most.fetch_max(walks.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(100));
        walks.fetch_sub(1, Ordering::SeqCst);
    }
    let id = "a".repeat(64);
    let own = format!(
        r#"{{"Id":"{id}","Name":"/tenant-{A}-x","Config":{{"Labels":{{"io.aistack.owner":"{A}"}}}},"State":{{}}}}"#
    );
    let image = format!(r#"{{"Id":"sha256:{id}","RepoTags":["aistack-dev-gateway:x"]}}"#);
    let body = if path.ends_with("/version") {
        VERSION
    } else if path.ends_with("aistack-dev-gateway:x/json") {
        &image
    } else if path.contains("/json?size=true") && path.contains(&id) || path.ends_with("x/json") {
        &own
    } else {
        super::recorded::DEBIAN_12.answer(path).unwrap_or("[]\n")
    };
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
}

#[test]
#[ignore = "needs root"]
fn reads_that_cost_the_host_much_come_one_at_a_time() {
    let (walks, most) = (Arc::default(), Arc::default());
    let (_dir, socket) = slow_docker(&walks, &most);
    let host = TestHost::start(&socket);
    let name = format!("tenant-{A}-x");
    let targets = [
        "/containers/json?size=1".to_owned(),
        "/system/df".to_owned(),
        format!("/containers/{name}/changes"),
        format!("/containers/{name}/top"),
        format!("/containers/{name}/json?size=1"),
        "/images/aistack-dev-gateway:x/history".to_owned(),
    ];
    std::thread::scope(|scope| {
        for target in targets.iter().cycle().take(3 * targets.len()) {
            let host = &host;
            scope.spawn(move || {
                let request = format!("GET {target} HTTP/1.1\r\nHost: d\r\n\r\n");
                let answer = host.raw(A, request.as_bytes());
                assert!(answer.starts_with("HTTP/1.1 200 "), "{target}: {answer}");
            });
        }
    });
    assert_eq!(most.load(Ordering::SeqCst), 1, "at once");
}

/// Sizes of containers cost a walk through each; of volumes and build caches a tenant has none.
#[test]
#[ignore = "needs root"]
fn disk_usage_requests_only_what_is_wanted() {
    let dir = tempfile::Builder::new()
        .prefix("aistack-dev-gateway-df-")
        .tempdir_in("/run")
        .unwrap();
    let socket = dir.path().join("docker.sock");
    let engine = Engine::at(&socket, CURRENT);
    let host = TestHost::start(&socket);
    for (query, walks, images) in [
        ("/v1.42/system/df", 1, 1),
        ("/v1.41/system/df?type=volume", 1, 1),
        (
            "/system/df?type=container&type=image&type=volume&type=build-cache",
            1,
            1,
        ),
        ("/v1.52/system/df?type=container&verbose=1", 1, 0),
        ("/v1.42/system/df?type=image", 0, 1),
        ("/v1.52/system/df?type=image&type=volume", 0, 1),
        ("/v1.42/system/df?type=volume", 0, 0),
        (
            "/v1.52/system/df?type=build-cache&type=volume&verbose=1",
            0,
            0,
        ),
    ] {
        engine.requests();
        let answer = host.raw(
            A,
            format!("GET {query} HTTP/1.1\r\nHost: d\r\n\r\n").as_bytes(),
        );
        assert!(answer.starts_with("HTTP/1.1 200 "), "{query}: {answer}");
        let requests = engine.requests();
        let count = |part: &str| requests.iter().filter(|line| line.contains(part)).count();
        assert_eq!(count("size=true"), walks, "{query}: {requests:?}");
        assert_eq!(count("/images/json"), images, "{query}: {requests:?}");
        if walks + images == 0 {
            assert_eq!(count("/containers/json"), 0, "{query}: {requests:?}");
        }
    }
}
