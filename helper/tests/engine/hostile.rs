//! Attacks through the real socket. The Docker behind it is a recorder: an attack is stopped when
//! it is refused and the recorder has seen nothing.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::sync::{Arc, Mutex};

use super::test_host::{A, STRANGER, TestHost};

struct Setting {
    host: TestHost,
    seen: Arc<Mutex<Vec<String>>>,
    _dir: tempfile::TempDir,
}

/// Answers every request with an empty list, and writes down its first line.
fn setting() -> Setting {
    let dir = tempfile::Builder::new()
        .prefix("aistack-dev-gateway-docker-")
        .tempdir_in("/run")
        .unwrap();
    let socket = dir.path().join("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let writing = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut bytes = vec![0; 64 << 10];
            let count = stream.read(&mut bytes).unwrap_or(0);
            let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
            let line = text.lines().next().unwrap_or_default().to_owned();
            let path = line.split(' ').nth(1).unwrap_or_default();
            let body = super::recorded::DEBIAN_12.answer(path).unwrap_or("[]\n");
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            writing.lock().unwrap().push(line);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    Setting {
        host: TestHost::start(&socket),
        seen,
        _dir: dir,
    }
}

impl Setting {
    /// First lines of the requests that Docker got, without what the gateway itself asks when it begins.
    fn seen(&self) -> Vec<String> {
        const OWN: [&str; 3] = [
            "GET /version ",
            "GET /info ",
            "GET /events?filters=%7B%22type%22%3A%5B%22daemon",
        ];
        let mut seen = std::mem::take(&mut *self.seen.lock().unwrap());
        seen.retain(|line| !OWN.iter().any(|own| line.starts_with(own)));
        seen
    }
}

#[test]
#[ignore = "needs root"]
fn a_plain_list_reaches_docker_once_rebuilt_and_for_the_caller_only() {
    let setting = setting();
    for prefix in ["", "/v1.24", "/v1.41"] {
        let answer = setting.host.raw(
            A,
            format!("GET {prefix}/containers/json?all=true HTTP/1.1\r\nHost: d\r\n\r\n").as_bytes(),
        );
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let seen = setting.seen();
        let expected = format!(
            "GET /v1.41/containers/json?all=true&filters=%7B%22label%22%3A%5B%22io.aistack.owner%3D{A}%22%5D%7D HTTP/1.1"
        );
        assert_eq!(seen, [expected]);
    }
}

#[test]
#[ignore = "needs root"]
fn requests_that_can_be_read_in_two_ways_never_reach_docker() {
    let setting = setting();
    for request in [
        "GET /info HTTP/1.1\nHost: d\n\n",
        "GET /info HTTP/1.0\r\nHost: d\r\n\r\n",
        "GET http://docker/info HTTP/1.1\r\nHost: d\r\n\r\n",
        "GET /info HTTP/1.1\r\nHost: d\r\nHost: e\r\n\r\n",
        "GET /info HTTP/1.1\r\n\r\n",
        "GET /info HTTP/1.1\r\nHost: d\r\nX: a\r\n b\r\n\r\n",
        "GET /info HTTP/1.1\r\nHost: d\r\nX: a\0\r\n\r\n",
        "POST /containers/create?name=tenant-62001-x HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        "POST /containers/create?name=tenant-62001-x HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        "POST /containers/create?name=tenant-62001-x HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: gzip\r\n\r\n{}",
        "POST /containers/create?name=tenant-62001-x HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\n{}\r\n0\r\n\r\n",
        "POST /containers/create?name=tenant-62001-x HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nHost: e\r\n\r\n",
        "POST /containers/create?name=tenant-62001-x HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n{}",
        "POST /containers/x/start HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "GET /v1.57/info HTTP/1.1\r\nHost: d\r\n\r\n",
        "GET /images/..%2F..%2Finfo/json HTTP/1.1\r\nHost: d\r\n\r\n",
        "GET /info HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
        "GET /info HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        "GET /%69nfo HTTP/1.1\r\nHost: d\r\n\r\n",
        "GET //info HTTP/1.1\r\nHost: d\r\n\r\n",
        "POST /containers/x/start HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\n\r\n{}",
        "POST /images/create?fromImage=aistack-dev-gateway HTTP/1.1\r\nHost: d\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 14\r\n\r\nfromImage=evil",
    ] {
        let answer = setting.host.raw(A, request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400 "), "{request:?}: {answer}");
        assert_eq!(
            answer.matches("Api-Version").count(),
            1,
            "{request:?}: {answer}"
        );
        assert!(setting.seen().is_empty(), "{request:?}");
    }
}

#[test]
#[ignore = "needs root"]
fn what_is_not_offered_never_reaches_docker_and_is_recorded() {
    let setting = setting();
    for request in [
        "POST /build",
        "POST /session",
        "POST /grpc",
        "GET /debug/pprof/heap",
        "POST /volumes/create",
        "POST /networks/create",
        "POST /networks/x/connect",
        "DELETE /networks/x",
        "POST /swarm/init",
        "GET /plugins",
        "GET /v01.41/info",
        "PUT /containers/x/archive",
        "GET /containers/x/export",
        "POST /containers/prune",
        "POST /containers/x/update",
        "DELETE /images/x",
        "POST /auth",
        "POST /commit",
        "POST /images/load",
        "POST /containers/create?name=evil",
        "POST /images/create?fromImage=127.0.0.1:1/evil",
    ] {
        let answer = setting.host.raw(
            A,
            format!("{request} HTTP/1.1\r\nHost: d\r\n\r\n").as_bytes(),
        );
        assert!(
            answer.starts_with("HTTP/1.1 403 ") && answer.contains("{\"message\":"),
            "{request}: {answer}"
        );
        assert!(setting.seen().is_empty(), "{request}");
    }
    let audit = setting.host.audit();
    assert!(
        audit.contains("ENDPOINT_REFUSED") && audit.contains("builtin.endpoints"),
        "{audit}"
    );
}

#[test]
#[ignore = "needs root"]
fn who_is_no_tenant_gets_nothing() {
    let setting = setting();
    for uid in [STRANGER, 0] {
        let answer = setting.host.raw(
            uid,
            b"GET /containers/json HTTP/1.1\r\nHost: d\r\nX-Uid: 62001\r\n\r\n",
        );
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    }
    assert!(setting.seen().is_empty());
}

#[test]
#[ignore = "needs root"]
fn a_hostile_create_body_never_reaches_docker() {
    let setting = setting();
    for body in [
        r#"{"Image":"aistack-dev-gateway","Privileged":true}"#,
        r#"{"Image":"aistack-dev-gateway","hostconfig":{"Privileged":true}}"#,
        r#"{"Image":"aistack-dev-gateway","HostConfig":{},"HOSTCONFIG":{"Privileged":true}}"#,
        r#"{"Image":"aistack-dev-gateway"}{"HostConfig":{"Privileged":true}}"#,
    ] {
        let request = format!(
            "POST /containers/create?name=tenant-62001-x HTTP/1.1\r\nHost: d\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = setting.host.raw(A, request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 40"), "{body}: {answer}");
        assert!(setting.seen().is_empty(), "{body}");
    }
}

#[test]
#[ignore = "needs root"]
fn a_second_request_behind_the_first_is_never_read() {
    let setting = setting();
    let answer = setting.host.raw(
        A,
        b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\nGET /containers/json HTTP/1.1\r\nHost: d\r\n\r\n",
    );
    assert_eq!(answer.matches("Api-Version").count(), 1, "{answer}");
    assert_eq!(setting.seen(), ["GET /v1.41/_ping HTTP/1.1"]);
}

#[test]
#[ignore = "needs root"]
fn the_start_of_an_id_is_looked_for_among_own_containers_only() {
    let setting = setting();
    for reference in ["a", "abcdef012345", "tenant-62002-web", "postgres"] {
        let request = format!("DELETE /containers/{reference} HTTP/1.1\r\nHost: d\r\n\r\n");
        let answer = setting.host.raw(A, request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        let own = format!(
            "GET /v1.41/containers/json?all=true&filters=%7B%22label%22%3A%5B%22io.aistack.owner%3D{A}%22%5D%7D HTTP/1.1"
        );
        assert_eq!(setting.seen(), [own], "{reference}");
    }
}

#[test]
#[ignore = "needs root"]
fn events_of_other_types_are_not_turned_into_those_of_containers() {
    let setting = setting();
    for (requested, sent) in [
        ("network", "%22type%22%3A%5B%22network%22%5D"),
        ("container", "%22type%22%3A%5B%22container%22%5D"),
    ] {
        let request = format!(
            "GET /events?filters=%7B%22type%22%3A%5B%22{requested}%22%5D%7D HTTP/1.1\r\nHost: d\r\n\r\n"
        );
        let answer = setting.host.raw(A, request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let seen = setting.seen();
        assert!(
            seen.len() == 1 && seen[0].contains(sent) && seen[0].contains("io.aistack.owner"),
            "{seen:?}"
        );
    }
}

/// The statuses of 400 requests with this head, one after the other, as a tenant.
fn statuses_of_many(host: &TestHost, line: &str) -> Vec<String> {
    const MANY: &str = "import socket,sys\n\
        for _ in range(400):\n\
        \x20s=socket.socket(socket.AF_UNIX);s.connect(sys.argv[1])\n\
        \x20s.sendall((sys.argv[2]+' HTTP/1.1\\r\\nHost: d\\r\\n\\r\\n').encode())\n\
        \x20print(s.recv(4096)[9:12].decode())\n";
    let output = std::process::Command::new("python3")
        .args(["-c", MANY])
        .arg(host.socket())
        .arg(line)
        .uid(A)
        .gid(A)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines().map(str::to_owned).collect()
}

#[test]
#[ignore = "needs root"]
fn refusals_count_against_the_rate() {
    let setting = setting();
    let said = statuses_of_many(&setting.host, "POST /build");
    let count = |status: &str| said.iter().filter(|line| *line == status).count();
    assert!(count("403") >= 200 && count("429") > 0, "{said:?}");
    assert_eq!(count("403") + count("429"), 400, "{said:?}");
    assert!(setting.seen().is_empty());
}

#[test]
#[ignore = "needs root"]
fn top_counts_as_a_change() {
    let setting = setting();
    let top = statuses_of_many(&setting.host, "GET /containers/tenant-62001-x/top");
    let refused = |said: &[String]| said.iter().filter(|line| *line == "429").count();
    assert!(refused(&top) > 0, "{top:?}");
    // A read has a rate of its own, which is not used up.
    let inspect = statuses_of_many(&setting.host, "GET /containers/tenant-62001-x/json");
    assert_eq!(refused(&inspect), 0, "{inspect:?}");
}

#[test]
#[ignore = "needs root"]
fn a_caller_that_still_sends_its_body_sees_the_refusal() {
    let setting = setting();
    let body = "x".repeat(200 << 10);
    let head = format!(
        "POST /volumes/create HTTP/1.1\r\nHost: d\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    for _ in 0..20 {
        let answer = setting.host.raw(A, format!("{head}{body}").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer:?}");
    }
    assert!(setting.seen().is_empty());
}

#[test]
#[ignore = "needs root"]
fn a_privileged_create_is_listed_after_any_number_of_other_refusals() {
    let setting = setting();
    let host = &setting.host;
    for _ in 0..6 {
        host.raw(STRANGER, b"GET /info HTTP/1.1\r\nHost: d\r\n\r\n");
    }
    for _ in 0..25 {
        host.raw(A, b"GET /swarm HTTP/1.1\r\nHost: d\r\n\r\n");
    }
    let body = r#"{"Image":"redis","HostConfig":{"Privileged":true}}"#;
    let create = format!(
        "POST /containers/create?name=tenant-{A}-x HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    for _ in 0..3 {
        let answer = host.raw(A, create.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    }
    let audit = host.audit();
    let listed = |text: &str| {
        audit
            .lines()
            .filter(|line| line.contains("\"refused\"") && line.contains(text))
            .count()
    };
    assert_eq!(listed("PRIVILEGED_REFUSED"), 3, "{audit}");
    assert_eq!(listed("/swarm"), 20, "ordinary refusals have their quota");
    assert_eq!(listed("NO_GRANT"), 5, "and strangers another");
}
