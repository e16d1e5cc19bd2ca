//! What lasts: containers that were made earlier, and streams that are open. The Docker behind the
//! gateway is a small one that answers what the test needs and writes down what it was sent.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use super::test_host::{TestHost, VERSION};

/// A tenant of the test policy that the other tests do not use.
pub(crate) const C: u32 = 62003;
const NETWORK: &str = "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd";

pub(crate) struct Setting {
    pub(crate) host: TestHost,
    sent: Arc<Mutex<Vec<String>>>,
    _dir: tempfile::TempDir,
}

pub(crate) fn setting() -> Setting {
    let dir = tempfile::Builder::new()
        .prefix("aistack-dev-gateway-lasting-")
        .tempdir_in("/run")
        .unwrap();
    let socket = dir.path().join("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let sent = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&sent);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let log = Arc::clone(&log);
            std::thread::spawn(move || docker(stream.unwrap(), &log));
        }
    });
    Setting {
        host: TestHost::start(&socket),
        sent,
        _dir: dir,
    }
}

/// One connection: everything that comes on it is one entry of the log.
fn docker(mut stream: UnixStream, log: &Mutex<Vec<String>>) {
    let mut bytes = vec![0; 64 << 10];
    let count = stream.read(&mut bytes).unwrap_or(0);
    let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
    let place = {
        let mut log = log.lock().unwrap();
        log.push(text.clone());
        log.len() - 1
    };
    let answer = answer(text.lines().next().unwrap_or_default());
    let _ = stream.write_all(answer.as_bytes());
    if answer.contains("Content-Length") || answer.contains(" 204 ") {
        return;
    }
    // A stream: it stays open for as long as the gateway keeps it.
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        let more = String::from_utf8_lossy(&bytes[..count]).into_owned();
        log.lock().unwrap()[place].push_str(&more);
    }
}

fn answer(line: &str) -> String {
    let whole = |body: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    let path = line.split(' ').nth(1).unwrap_or_default();
    if let Some(body) = super::recorded::DEBIAN_12.answer(path) {
        return whole(body);
    }
    let id = |kind: char| kind.to_string().repeat(64);
    if path == "/version" {
        return whole(VERSION);
    }
    match path.strip_prefix("/v1.41").unwrap_or_default() {
        "/containers/tenant-62003-web/json" => whole(&container('a', "web", &json!([]))),
        "/containers/tenant-62003-tty/json" => whole(&container('b', "tty", &json!([]))),
        // A walk through all layers that does not end.
        rest if rest.starts_with("/containers/json?") && rest.contains("size=true") => {
            String::new()
        }
        "/containers/tenant-62003-big/json" => {
            let mut big: serde_json::Value =
                serde_json::from_str(&container('f', "big", &json!([]))).unwrap();
            big["Config"]["Env"] = json!(["x".repeat(4 << 20)]);
            whole(&big.to_string())
        }
        "/containers/tenant-62003-old/json" => {
            let old = container('c', "old", &json!(["CAP_SYS_ADMIN"]));
            let mut old: serde_json::Value = serde_json::from_str(&old).unwrap();
            old["State"] = json!({"Running": true, "Paused": true});
            whole(&old.to_string())
        }
        rest if rest == format!("/containers/{}/json", id('a')) => {
            whole(&container('a', "web", &json!([])))
        }
        // One that the administrator has just made with `docker exec --privileged -u 0`.
        rest if rest.starts_with("/exec/") && rest.ends_with("/json") => whole(
            &json!({"ContainerID": id('a'), "ProcessConfig": {"user": "0", "privileged": true}})
                .to_string(),
        ),
        rest if rest.starts_with("/networks?") => whole(
            &json!([{"Id": NETWORK, "Name": "aistack-dev-gateway-62003",
                "Labels": {"io.aistack.owner": "62003"}}])
            .to_string(),
        ),
        rest if rest.starts_with(&format!("/containers/{}/attach", id('b'))) => {
            "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
                .to_owned()
        }
        rest if rest == format!("/containers/{}/changes", id('b')) => {
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
                .to_owned()
        }
        "/containers/tenant-62003-paused/json" => whole(&free('8', "paused", true)),
        "/containers/tenant-62003-slow/json" => whole(&free('9', "slow", false)),
        // A walk through one layer that does not end.
        rest if rest == format!("/containers/{}/json?size=true", id('9')) => String::new(),
        rest if rest.starts_with("/containers/") && rest.ends_with("/json?size=true") => {
            whole(&json!({"SizeRw": 0}).to_string())
        }
        // A success that is not a stream, and that has no end.
        rest if rest.contains("/attach") => "HTTP/1.1 200 OK\r\n\r\n".to_owned(),
        rest if rest.starts_with("/events") => {
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
                .to_owned()
        }
        rest if ["/start", "pause"].iter().any(|end| rest.ends_with(end)) || rest.contains("/stop") || rest.contains("/kill?") => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        _ => whole("[]"),
    }
}

/// What Docker says of a container that the gateway made.
fn container(id: char, name: &str, capabilities: &serde_json::Value) -> String {
    json!({
        "Id": id.to_string().repeat(64),
        "Name": format!("/tenant-62003-{name}"),
        "Config": {"User": "62003:62003", "Labels": {"io.aistack.owner": "62003",
            "io.aistack.image": "docker.io/library/aistack-dev-gateway:1"}},
        "HostConfig": {"CapAdd": capabilities, "CapDrop": ["ALL"], "NetworkMode": NETWORK,
            "SecurityOpt": ["no-new-privileges:true"], "IpcMode": "private", "PortBindings": {},
            "Memory": 67_108_864, "NanoCpus": 1_000_000_000, "PidsLimit": 64},
        "Mounts": [{"Type": "bind", "Source": "/mnt/aistack-dev-gateway-62003/data/web"}],
    })
    .to_string()
}

/// The same without a directory of the host's that it needs.
fn free(id: char, name: &str, paused: bool) -> String {
    let shown = container(id, name, &json!([]));
    let mut shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    shown["Mounts"] = json!([]);
    shown["State"] = json!({"Running": paused, "Paused": paused});
    shown.to_string()
}

impl Setting {
    pub(crate) fn sent(&self) -> Vec<String> {
        std::mem::take(&mut *self.sent.lock().unwrap())
    }

    fn start(&self, name: &str) -> String {
        self.post(name, "start")
    }

    pub(crate) fn post(&self, name: &str, action: &str) -> String {
        let request =
            format!("POST /containers/tenant-62003-{name}/{action} HTTP/1.1\r\nHost: d\r\n\r\n");
        self.host.raw(C, request.as_bytes())
    }

    /// A connection on which this was said and this was answered so far.
    fn open(&self, request: &str, expected: &str) -> Child {
        let mut child = self.host.connector(C);
        child
            .stdin
            .as_mut()
            .unwrap()
            .write_all(request.as_bytes())
            .unwrap();
        let mut bytes = [0; 4096];
        let mut answer = String::new();
        while !expected.is_empty() && !answer.contains("\r\n\r\n") {
            let count = child.stdout.as_mut().unwrap().read(&mut bytes).unwrap();
            assert!(count > 0, "{request}: {answer}");
            answer.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        assert!(answer.contains(expected), "{request}: {answer}");
        child
    }
}

/// The tenant's volume: a file system of its own, root's, with one directory of a service.
struct Volume(PathBuf);

impl Volume {
    fn mount() -> Self {
        let base = PathBuf::from("/mnt/aistack-dev-gateway-62003");
        std::fs::create_dir_all(&base).unwrap();
        let status = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                "mode=0711,size=1m,nosuid,nodev",
                "tmpfs",
            ])
            .arg(&base)
            .status();
        assert!(status.unwrap().success());
        let volume = Self(base);
        std::fs::create_dir_all(volume.service()).unwrap();
        std::os::unix::fs::chown(volume.service(), Some(C), Some(C)).unwrap();
        volume
    }

    fn service(&self) -> PathBuf {
        self.0.join("data/web")
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
#[ignore = "needs root"]
fn a_start_is_verified_anew_before_docker_hears_of_it() {
    let setting = setting();
    let volume = Volume::mount();
    let starts = |sent: Vec<String>| sent.iter().filter(|text| text.contains("/start ")).count();

    let answer = setting.start("web");
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    assert_eq!(starts(setting.sent()), 1);

    let answer = setting.start("old");
    assert!(
        answer.starts_with("HTTP/1.1 403 ") && answer.contains("capabilities"),
        "{answer}"
    );
    assert_eq!(starts(setting.sent()), 0);

    std::fs::remove_dir(volume.service()).unwrap();
    std::os::unix::fs::symlink(Path::new("/etc"), volume.service()).unwrap();
    let answer = setting.start("web");
    assert!(
        answer.starts_with("HTTP/1.1 403 ") && answer.contains("builtin.bind-sources"),
        "{answer}"
    );
    assert_eq!(starts(setting.sent()), 0);
    let audit = setting.host.audit();
    assert!(audit.contains("CONTAINER_OUTDATED") && audit.contains("BIND_REFUSED"));
}

/// One that was paused under a laxer policy does not run on under a stricter one; pausing it is always allowed.
#[test]
#[ignore = "needs root"]
fn an_unpause_is_verified_as_a_start() {
    let setting = setting();
    let sent_times = |action: &str| {
        let end = format!("/{action} ");
        setting
            .sent()
            .iter()
            .filter(|text| text.contains(&end))
            .count()
    };
    let answer = setting.post("old", "pause");
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    assert_eq!(sent_times("pause"), 1);
    let answer = setting.post("old", "unpause");
    assert!(
        answer.starts_with("HTTP/1.1 403 ") && answer.contains("capabilities"),
        "{answer}"
    );
    assert_eq!(sent_times("unpause"), 0);
    let audit = setting.host.audit();
    assert!(audit.contains("container.pause") && audit.contains("container.unpause"));
}

/// Docker lets a paused container run on, so that it takes the signal.
#[test]
#[ignore = "needs root"]
fn a_signal_does_not_resume_what_may_not_run() {
    let setting = setting();
    let sent_lines = || -> Vec<String> {
        let sent = setting.sent();
        let lines = sent.iter().filter_map(|text| text.lines().next());
        let changes = lines.filter(|line| line.contains("/kill") || line.contains("/stop"));
        changes.map(str::to_owned).collect()
    };
    for signal in ["CONT", "WINCH", "HUP", "TERM", "STOP", "USR1"] {
        let answer = setting.post("old", &format!("kill?signal={signal}"));
        assert!(
            answer.starts_with("HTTP/1.1 403 ") && answer.contains("capabilities"),
            "{signal}: {answer}"
        );
        assert_eq!(sent_lines(), Vec::<String>::new(), "{signal}");
        let answer = setting.post("paused", &format!("kill?signal={signal}"));
        assert!(answer.starts_with("HTTP/1.1 204 "), "{signal}: {answer}");
        assert_eq!(sent_lines().len(), 1, "{signal}");
    }
    // What ends it is always allowed, and does not wait for it.
    for (name, action, expected) in [
        ("old", "kill", "/kill?signal=SIGKILL "),
        ("old", "stop?t=600", "/stop?t=0 "),
        ("old", "stop", "/stop?t=0 "),
        ("paused", "stop?t=600", "/stop?t=600 "),
        ("web", "stop?t=600", "/stop?t=600 "),
        ("web", "kill?signal=HUP", "/kill?signal=SIGHUP "),
    ] {
        let answer = setting.post(name, action);
        assert!(
            answer.starts_with("HTTP/1.1 204 "),
            "{name} {action}: {answer}"
        );
        let lines = sent_lines();
        assert!(
            matches!(lines.as_slice(), [line] if line.contains(expected)),
            "{name} {action}: {lines:?}"
        );
    }
}

fn attach(name: &str) -> String {
    format!(
        "POST /containers/tenant-62003-{name}/attach?stream=1&stdin=1 HTTP/1.1\r\nHost: d\r\n\
         Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
    )
}

#[test]
#[ignore = "needs root"]
fn only_a_switch_of_dockers_makes_a_tunnel() {
    const HIDDEN: &str = "GET /v1.41/secrets HTTP/1.1\r\nHost: d\r\n\r\n";
    let setting = setting();
    let request = format!("{}{HIDDEN}", attach("web"));
    let answer = setting.host.raw(C, request.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert_eq!(answer.matches("Api-Version").count(), 1, "{answer}");
    for text in setting.sent() {
        assert!(!text.contains("secrets"), "{text}");
    }
}

#[test]
#[ignore = "needs root"]
fn an_exec_that_the_administrator_made_is_not_the_tenants_to_start() {
    let setting = setting();
    let request = format!(
        "POST /exec/{}/start HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\
         Content-Length: 2\r\n\r\n{{}}",
        "e".repeat(64)
    );
    let answer = setting.host.raw(C, request.as_bytes());
    assert!(
        answer.starts_with("HTTP/1.1 403 ") && answer.contains("privileged"),
        "{answer}"
    );
    assert!(setting.sent().iter().all(|text| !text.contains("/start")));
}

#[test]
#[ignore = "needs root"]
fn whom_the_policy_drops_loses_the_open_streams() {
    let setting = setting();
    let tunnel = setting.open(&attach("tty"), " 101 ");
    let events = setting.open("GET /events HTTP/1.1\r\nHost: d\r\n\r\n", " 200 ");
    setting.host.dismiss_all();
    for child in [tunnel, events] {
        ended(child);
    }
}

#[test]
#[ignore = "needs root"]
fn a_stop_ends_streams_and_waits_for_no_idler() {
    let mut setting = setting();
    let tunnel = setting.open(&attach("tty"), " 101 ");
    let events = setting.open("GET /events HTTP/1.1\r\nHost: d\r\n\r\n", " 200 ");
    let idle = setting.open("GET /info HTTP/1.1\r\nHo", "");
    // The half request is on its way for a moment.
    std::thread::sleep(Duration::from_millis(500));
    setting.host.signal(Signal::TERM);
    assert!(setting.host.ends_within(Duration::from_secs(8)));
    for child in [tunnel, events, idle] {
        ended(child);
    }
}

/// The connection was closed from the other side; the connector gives up by itself after 20 s.
fn ended(mut child: Child) {
    let before = std::time::Instant::now();
    assert!(child.wait().unwrap().success());
    assert!(before.elapsed() < Duration::from_secs(15), "it stayed open");
}
