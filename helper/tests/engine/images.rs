//! Which images a tenant may see and use. The Docker behind the gateway is a small one, which has every
//! image that is requested, and whose pulls end as their tag says.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::test_host::{A, B, TestHost};

/// Allowed by the policy's `images`, and by no `local_images`.
const HOSTS: &str = "docker.io/library/aistack-dev-host";

/// What the id of a container consists of that has more from its image than that shows.
const MISLED: &str = "e";

struct Setting {
    host: TestHost,
    /// Request lines that Docker got.
    sent: Arc<Mutex<Vec<String>>>,
    _dir: tempfile::TempDir,
}

fn setting() -> Setting {
    let dir = tempfile::Builder::new()
        .prefix("aistack-dev-gateway-images-")
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
        host: TestHost::start(&socket),
        sent,
        _dir: dir,
    }
}

fn docker(mut stream: UnixStream, log: &Mutex<Vec<String>>) {
    let mut bytes = vec![0; 64 << 10];
    let count = stream.read(&mut bytes).unwrap_or(0);
    let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
    let path = text.split(' ').nth(1).unwrap_or_default();
    let says = super::recorded::DEBIAN_12.answer(path);
    let path = path.strip_prefix("/v1.41").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    log.lock().unwrap().push(line.to_owned());
    let body = says.map_or_else(|| answer(path), str::to_owned);
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n";
    // Docker's progress comes in chunks; here in two, cut in the middle of a line.
    let answer = if path.starts_with("/images/create") {
        let (one, two) = body.split_at(body.len() / 2);
        let chunk = |part: &str| format!("{:x}\r\n{part}\r\n", part.len());
        format!(
            "{head}Transfer-Encoding: chunked\r\n\r\n{}{}0\r\n\r\n",
            chunk(one),
            chunk(two)
        )
    } else {
        format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
    };
    let _ = stream.write_all(answer.as_bytes());
}

fn image(name: &str) -> Value {
    json!({"Id": format!("sha256:{}", "d".repeat(64)), "RepoTags": [name], "Config": {}})
}

fn answer(path: &str) -> String {
    const LINE: &str = "{\"status\":\"Pulling from library/aistack-dev-host\"}\r\n";
    if path.starts_with("/images/create") {
        let end = if path.contains("tag=bad") {
            "{\"errorDetail\":{\"message\":\"no space\"},\"error\":\"no space\"}\r\n"
        } else {
            "{\"status\":\"Status: Image is up to date\"}\r\n"
        };
        return format!("{LINE}{end}");
    }
    let whole = if path.starts_with("/images/json") {
        json!(["1", "2", "bad", "runs"].map(|tag| image(&format!("aistack-dev-host:{tag}"))))
    } else if let Some(name) = path.strip_prefix("/images/") {
        image(name.trim_end_matches("/json"))
    } else if path.starts_with("/containers/create") && path.contains("-misled") {
        json!({"Id": MISLED.repeat(64)})
    } else if path.starts_with("/containers/create") {
        json!({"Id": "c".repeat(64)})
    } else if path.starts_with(&format!("/containers/{}", MISLED.repeat(64))) {
        json!({"Mounts": [{"Type": "volume", "Destination": "/hidden"}]})
    } else if path.starts_with("/containers/json") && path.contains(&B.to_string()) {
        let labels =
            json!({"io.aistack.owner": B.to_string(), "io.aistack.image": format!("{HOSTS}:runs")});
        json!([{"Id": "b".repeat(64), "Labels": labels}])
    } else if path.starts_with("/containers/") && path.ends_with("/json") {
        json!({})
    } else {
        json!([])
    };
    whole.to_string()
}

impl Setting {
    fn ask(&self, uid: u32, line: &str, body: &Value) -> String {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let length = body.len();
        let request =
            format!("{line} HTTP/1.1\r\nHost: d\r\nContent-Length: {length}\r\n\r\n{body}");
        self.host.raw(uid, request.as_bytes())
    }

    fn pull(&self, uid: u32, tag: &str) -> String {
        let line = format!("POST /images/create?fromImage=aistack-dev-host&tag={tag}");
        self.ask(uid, &line, &Value::Null)
    }

    /// What the tenant gets that asks for an image, and that makes a container of it.
    fn statuses(&self, uid: u32, tag: &str) -> [String; 2] {
        let inspect = format!("GET /images/aistack-dev-host:{tag}/json");
        let create = format!("POST /containers/create?name=tenant-{uid}-x");
        let body = json!({"Image": format!("aistack-dev-host:{tag}"),
            "HostConfig": {"NetworkMode": "none", "Memory": 67_108_864, "NanoCpus": 100_000_000}});
        [
            self.ask(uid, &inspect, &Value::Null),
            self.ask(uid, &create, &body),
        ]
        .map(|answer| answer.get(9..12).unwrap_or_default().to_owned())
    }

    /// The tags that the tenant's list shows.
    fn list(&self, uid: u32) -> Vec<&'static str> {
        let list = self.ask(uid, "GET /images/json", &Value::Null);
        let mut tags = vec!["1", "2", "bad", "runs"];
        tags.retain(|tag| list.contains(&format!("aistack-dev-host:{tag}\"")));
        tags
    }
}

#[test]
#[ignore = "needs root"]
fn an_image_is_there_for_who_has_pulled_it_or_runs_it() {
    let setting = setting();
    let absent = ["404", "404"].map(str::to_owned);
    let there = ["200", "201"].map(str::to_owned);
    for uid in [A, B] {
        assert_eq!(setting.statuses(uid, "1"), absent);
    }
    assert!(setting.list(A).is_empty());

    let said = setting.pull(A, "1");
    assert!(said.contains("up to date"), "{said}");
    assert_eq!(setting.statuses(A, "1"), there);
    assert_eq!(setting.list(A), ["1"]);
    // Another tag of the same repository is another image; and it is nobody else's to know.
    assert_eq!(setting.statuses(A, "2"), absent);
    assert_eq!(setting.statuses(B, "1"), absent);
    assert_eq!(setting.list(B), ["runs"]);
    assert_eq!(setting.statuses(B, "runs"), there);
    assert_eq!(setting.statuses(A, "runs"), absent);

    // Who pulls what is there already gets it, too.
    setting.pull(B, "1");
    assert_eq!(setting.list(B), ["1", "runs"]);
}

#[test]
#[ignore = "needs root"]
fn a_pull_that_fails_after_its_head_gives_nothing() {
    let setting = setting();
    let said = setting.pull(A, "bad");
    assert!(
        said.starts_with("HTTP/1.1 200 ") && said.contains("no space"),
        "{said}"
    );
    assert_eq!(setting.statuses(A, "bad"), ["404", "404"]);
    assert!(setting.list(A).is_empty());
}

#[test]
#[ignore = "needs root"]
fn a_container_that_got_what_its_image_did_not_show_is_removed() {
    let setting = setting();
    setting.pull(A, "1");
    let create = |name: &str| {
        let line = format!("POST /containers/create?name=tenant-{A}-{name}");
        let body = json!({"Image": "aistack-dev-host:1",
            "HostConfig": {"NetworkMode": "none", "Memory": 67_108_864, "NanoCpus": 100_000_000}});
        setting.ask(A, &line, &body)
    };
    assert!(create("honest").starts_with("HTTP/1.1 201 "));
    let removals = || {
        let sent = setting.sent.lock().unwrap();
        let own = sent.iter().filter(|line| line.starts_with("DELETE"));
        own.cloned().collect::<Vec<_>>()
    };
    assert!(removals().is_empty());
    let said = create("misled");
    assert!(
        said.starts_with("HTTP/1.1 403 ") && said.contains("/hidden"),
        "{said}"
    );
    let id = MISLED.repeat(64);
    let path = format!("/containers/{id}?force=true&v=true");
    let removed = removals();
    assert!(
        removed.len() == 1 && removed[0].contains(&path),
        "{removed:?}"
    );
    let audit = setting.host.audit();
    assert!(
        audit.contains("container.misled") && audit.contains("IMAGE_MISLEADS"),
        "{audit}"
    );
}
