//! What containers write to Docker's disk: the reserve of that disk, and the bound of each layer. The
//! Docker behind the gateway is a small one that answers what the test needs.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::test_host::TestHost;

/// A tenant of the test policy that the other tests do not use.
const D: u32 = 62004;
const IMAGE: &str = "docker.io/library/aistack-dev-gateway:1";
/// The containers of the test host's Docker: the digit of their ids, and the ends of their names.
const ALL: [(char, &str); 5] = [
    ('a', "writes"),
    ('b', "reads"),
    ('1', "sizeless"),
    ('2', "deep"),
    ('3', "full"),
];

struct Setting {
    tenants_host: TestHost,
    sent: Arc<Mutex<Vec<String>>>,
    _dir: tempfile::TempDir,
}

fn setting(options: impl FnOnce(&Path) -> Vec<String>) -> Setting {
    let dir = tempfile::Builder::new()
        .prefix("aistack-dev-gateway-layers-")
        .tempdir_in("/run")
        .unwrap();
    let socket = dir.path().join("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let sent = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&sent);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            docker(stream.unwrap(), &log);
        }
    });
    Setting {
        tenants_host: TestHost::start_with(&socket, options),
        sent,
        _dir: dir,
    }
}

fn docker(mut stream: UnixStream, log: &Mutex<Vec<String>>) {
    let mut bytes = vec![0; 64 << 10];
    let count = stream.read(&mut bytes).unwrap_or(0);
    let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
    let line = text.lines().next().unwrap_or_default().to_owned();
    let (status, body) = answer(&line);
    log.lock().unwrap().push(line);
    let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n");
    let answer = if status == 204 {
        format!("{head}\r\n")
    } else {
        format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
    };
    let _ = stream.write_all(answer.as_bytes());
}

fn answer(line: &str) -> (u16, String) {
    let path = line.split(' ').nth(1).unwrap_or_default();
    if let Some(body) = super::recorded::DEBIAN_12.answer(path) {
        return (200, body.to_owned());
    }
    let path = path.strip_prefix("/v1.41").unwrap_or_default();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let id = |kind: char| kind.to_string().repeat(64);
    let place = path.strip_prefix("/containers/").unwrap_or_default();
    let (name, action) = place.split_once('/').unwrap_or((place, ""));
    let which = ALL
        .into_iter()
        .find(|(kind, suffix)| name == id(*kind) || name == format!("tenant-{D}-{suffix}"));
    match (which, action) {
        (Some((kind, suffix)), "json") => {
            let mut shown = container(kind, suffix);
            if query == "size=true" {
                shown["SizeRw"] = match suffix {
                    // What 20.10 shows where it could not walk through the layer.
                    "sizeless" => json!(-1),
                    "deep" => json!(1 << 20),
                    _ => json!(3_u64 << 30),
                };
            }
            (200, shown.to_string())
        }
        // A directory below others, whose path is longer than the kernel takes.
        (Some((_, "deep" | "full")), "changes") => {
            let message = "lstat /var/lib/docker/overlay2/x/merged/d/d/d: file name too long";
            (500, json!({"message": message}).to_string())
        }
        (Some(_), "changes") => (200, "null".to_owned()),
        (Some(_), "start" | "stop") => (204, String::new()),
        (Some(_), "exec") => (201, json!({"Id": id('e')}).to_string()),
        _ if path == "/containers/json" => {
            let listed = ALL.map(|(kind, suffix)| {
                let shown = container(kind, suffix);
                // One that ends and is restarted is hardly ever seen running.
                let state = if kind == 'a' { "restarting" } else { "running" };
                json!({"Id": shown["Id"], "State": state, "Labels": shown["Config"]["Labels"]})
            });
            (200, json!(listed).to_string())
        }
        _ if path == "/containers/create" => (201, json!({"Id": id('c')}).to_string()),
        _ if path.starts_with("/images/") && path.ends_with("/json") => {
            let image =
                json!({"Id": format!("sha256:{}", id('d')), "RepoTags": [IMAGE], "Config": {}});
            (200, image.to_string())
        }
        _ => (200, "[]".to_owned()),
    }
}

/// What Docker says of a container that the gateway made; only one of the two can write to its layer.
fn container(id: char, name: &str) -> Value {
    json!({
        "Id": id.to_string().repeat(64),
        "Name": format!("/tenant-{D}-{name}"),
        "State": {"Status": "running", "Error": ""},
        "Config": {"User": format!("{D}:{D}"), "Labels": {"io.aistack.owner": D.to_string(),
            "io.aistack.image": IMAGE}},
        "HostConfig": {"CapDrop": ["ALL"], "NetworkMode": "none", "PortBindings": {},
            "SecurityOpt": ["no-new-privileges:true"], "IpcMode": "private",
            "ReadonlyRootfs": name == "reads",
            "Memory": 67_108_864, "NanoCpus": 100_000_000, "PidsLimit": 64},
        "Mounts": [],
    })
}

impl Setting {
    fn sent(&self, part: &str) -> usize {
        let sent = self.sent.lock().unwrap();
        sent.iter().filter(|line| line.contains(part)).count()
    }

    /// Status and text of the answer.
    fn ask(&self, line: &str, body: &Value) -> (String, String) {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = format!(
            "{line} HTTP/1.1\r\nHost: d\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = self.tenants_host.raw(D, request.as_bytes());
        (answer.get(9..12).unwrap_or_default().to_owned(), answer)
    }

    fn create(&self, read_only: bool) -> (String, String) {
        let host =
            json!({"ReadonlyRootfs": read_only, "NetworkMode": "none", "Memory": 67_108_864});
        let body = json!({"Image": IMAGE, "HostConfig": host});
        self.ask(
            &format!("POST /containers/create?name=tenant-{D}-new"),
            &body,
        )
    }

    /// The statuses of everything that could write, and then of what cannot.
    fn statuses(&self) -> (Vec<String>, Vec<String>) {
        let on = |name: &str, action: &str, body: &Value| {
            let line = format!("POST /containers/tenant-{D}-{name}/{action}");
            self.ask(&line, body).0
        };
        let exec = json!({"Cmd": ["id"]});
        let writes = vec![
            self.create(false).0,
            on("writes", "exec", &exec),
            self.ask(
                &format!("POST /images/create?fromImage={IMAGE}"),
                &Value::Null,
            )
            .0,
        ];
        let reads = vec![
            self.create(true).0,
            on("reads", "start", &Value::Null),
            on("reads", "exec", &exec),
        ];
        (writes, reads)
    }
}

/// A small file system in the place of Docker's.
struct Disk(PathBuf);

impl Disk {
    fn mount(dir: &Path) -> Self {
        let place = dir.join("docker");
        std::fs::create_dir(&place).unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64m,nr_inodes=1000", "tmpfs"])
            .arg(&place)
            .status();
        assert!(status.unwrap().success());
        Self(place)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
#[ignore = "needs root"]
fn below_the_reserve_nothing_new_may_write() {
    let mut disk = None;
    let setting = setting(|dir| {
        let mounted = Disk::mount(dir);
        let place = mounted.0.display().to_string();
        disk = Some(mounted);
        vec!["--docker-dir".to_owned(), place]
    });
    let disk = disk.unwrap();
    let start = || {
        let line = format!("POST /containers/tenant-{D}-writes/start");
        setting.ask(&line, &Value::Null)
    };
    let (status, text) = setting.create(false);
    assert_eq!(status, "201", "{text}");
    let before = setting.statuses();
    assert_eq!(before.0, ["201", "201", "200"]);
    assert_eq!(before.1, ["201", "204", "201"]);

    // Bytes first, then inodes.
    let large = disk.0.join("large");
    for round in ["bytes", "inodes"] {
        if round == "bytes" {
            std::fs::write(&large, vec![1; 62 << 20]).unwrap();
        } else {
            for number in 0..960 {
                std::fs::write(disk.0.join(number.to_string()), "").unwrap();
            }
        }
        setting.sent.lock().unwrap().clear();
        let (writes, reads) = setting.statuses();
        assert_eq!(writes, ["507", "507", "507"], "{round}");
        assert_eq!(reads, ["201", "204", "201"], "{round}");
        let (status, text) = start();
        assert_eq!(status, "507", "{text}");
        assert!(
            text.contains("down to its reserve of") && text.contains("builtin.disk-reserve"),
            "{text}"
        );
        let (_, info) = setting.ask("GET /info", &Value::Null);
        assert!(info.contains("WARNING: Docker's disk is down"), "{info}");
        // Docker heard of what cannot write only.
        assert_eq!(setting.sent("/containers/create"), 1, "{round}");
        assert_eq!(setting.sent("/images/create"), 0, "{round}");
        assert_eq!(setting.sent("/start"), 1, "{round}");
        assert_eq!(setting.sent("/exec"), 1, "{round}");
        for entry in std::fs::read_dir(&disk.0).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }
    assert_eq!(setting.statuses(), before, "there is room again");
    assert!(setting.tenants_host.audit().contains("DISK_RESERVE"));
}

#[test]
#[ignore = "needs root"]
fn a_container_that_has_written_too_much_is_stopped_and_says_why() {
    let options = |dir: &Path| {
        let dir = dir.display().to_string();
        ["--docker-dir", &dir, "--layers-every", "1"]
            .map(ToString::to_string)
            .to_vec()
    };
    let setting = setting(options);
    let until = Instant::now() + Duration::from_mins(1);
    let id = |kind: char| kind.to_string().repeat(64);
    while setting.sent(&format!("/{}/stop?t=", id('a'))) == 0 {
        assert!(Instant::now() < until, "nobody stopped it");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(setting.sent(&format!("/{}/stop?t=", id('b'))), 0);
    assert_eq!(
        setting.sent(&format!("/{}/json?size=true", id('b'))),
        0,
        "what cannot write is not measured"
    );

    let why = "written 3072 MiB outside of its mounts, and writable_layer is 64 MiB";
    let (_, shown) = setting.ask(
        &format!("GET /containers/tenant-{D}-writes/json"),
        &Value::Null,
    );
    assert!(shown.contains(why), "{shown}");
    let start = format!("POST /containers/tenant-{D}-writes/start");
    let (status, text) = setting.ask(&start, &Value::Null);
    assert!(status == "403" && text.contains(why), "{text}");
    assert_eq!(setting.sent("/start"), 0);
    let audit = setting.tenants_host.audit();
    assert!(
        audit.contains(r#""operation":"container.overfull""#),
        "{audit}"
    );
    assert!(audit.contains("LAYER_FULL"), "{audit}");
}

#[test]
#[ignore = "needs root"]
fn a_container_that_docker_cannot_measure_is_stopped_in_the_third_round() {
    let options = |dir: &Path| {
        let dir = dir.display().to_string();
        ["--docker-dir", &dir, "--layers-every", "1"]
            .map(ToString::to_string)
            .to_vec()
    };
    let setting = setting(options);
    let until = Instant::now() + Duration::from_mins(1);
    for kind in ['1', '2', '3'] {
        let id = kind.to_string().repeat(64);
        while setting.sent(&format!("/{id}/stop?t=")) == 0 {
            assert!(Instant::now() < until, "nobody stopped {kind}");
            std::thread::sleep(Duration::from_millis(20));
        }
        let sent = setting.sent.lock().unwrap();
        let stop = sent
            .iter()
            .position(|line| line.contains(&format!("/{id}/stop")));
        let looks = sent.iter().take(stop.unwrap());
        let looks = looks.filter(|line| line.contains(&format!("/{id}/json?size=true")));
        // The bytes of the last are enough.
        assert_eq!(looks.count(), if kind == '3' { 1 } else { 3 }, "{kind}");
    }
    let why = "what it has written outside of its mounts could not be measured";
    for name in ["sizeless", "deep"] {
        let line = format!("GET /containers/tenant-{D}-{name}/json");
        let (_, shown) = setting.ask(&line, &Value::Null);
        assert!(shown.contains(why), "{shown}");
        let line = format!("POST /containers/tenant-{D}-{name}/start");
        let (status, text) = setting.ask(&line, &Value::Null);
        assert!(status == "403" && text.contains(why), "{text}");
        assert!(!text.contains("overlay2"), "{text}");
    }
    assert_eq!(setting.sent("/start"), 0);
    let audit = setting.tenants_host.audit();
    assert!(
        audit.contains("container.overfull") && audit.contains(why),
        "{audit}"
    );
}

/// This machine's own network is not guarded.
#[test]
#[ignore = "needs root"]
fn without_the_guard_that_the_policy_requires_nothing_is_created_or_started() {
    let setting = setting(|_| Vec::new());
    let start = || {
        let line = format!("POST /containers/tenant-{D}-reads/start");
        setting.ask(&line, &Value::Null)
    };
    assert_eq!(
        (setting.create(true).0, start().0),
        ("201".into(), "204".into())
    );
    setting.tenants_host.require_guard();
    let until = Instant::now() + Duration::from_mins(1);
    while setting.create(true).0 != "403" {
        assert!(Instant::now() < until, "the policy is not in force");
        std::thread::sleep(Duration::from_millis(50));
    }
    setting.sent.lock().unwrap().clear();
    for (status, text) in [setting.create(true), start()] {
        let explained = text.contains("network guard") && text.contains("tenants.guard");
        assert!(status == "403" && explained, "{text}");
    }
    assert_eq!(
        (setting.sent("/containers/create"), setting.sent("/start")),
        (0, 0)
    );
    assert!(setting.tenants_host.audit().contains("GUARD_REQUIRED"));
}
