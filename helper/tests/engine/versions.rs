//! An engine that does not speak our version, as Docker 29.0 to 29.2 do not: a stand-in that answers as
//! those do, and is then replaced by one that does.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;

use super::world::{A, World};

/// What the stand-in is at the moment: its version and the oldest API that it speaks.
type Engine = Arc<Mutex<(&'static str, u32)>>;

struct Setting {
    world: World,
    engine: Engine,
    /// Requests without end, which end with the engine.
    open: Arc<Mutex<Vec<UnixStream>>>,
    _dir: tempfile::TempDir,
}

fn setting() -> Option<Setting> {
    let dir = tempfile::Builder::new()
        .prefix("aistack-dev-gateway-docker-")
        .tempdir_in("/run")
        .unwrap();
    let socket = dir.path().join("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let engine: Engine = Arc::new(Mutex::new(("29.0.1", 44)));
    let open = Arc::new(Mutex::new(Vec::new()));
    let (state, streams) = (Arc::clone(&engine), Arc::clone(&open));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let state = *state.lock().unwrap();
            serve(stream.unwrap(), state, &streams);
        }
    });
    Some(Setting {
        world: World::start(&socket)?,
        engine,
        open,
        _dir: dir,
    })
}

fn serve(mut stream: UnixStream, (version, oldest): (&str, u32), open: &Mutex<Vec<UnixStream>>) {
    let mut bytes = vec![0; 64 << 10];
    let count = stream.read(&mut bytes).unwrap_or(0);
    let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
    let path = text.split(' ').nth(1).unwrap_or_default();
    if path.starts_with("/events") {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        let _ = stream.write_all(head.as_bytes());
        open.lock().unwrap().push(stream);
        return;
    }
    let (status, body) = match path {
        "/version" => (
            "200 OK",
            json!({"Version": version, "ApiVersion": "1.52", "MinAPIVersion": format!("1.{oldest}")}),
        ),
        "/info" => (
            "200 OK",
            json!({"ServerVersion": version, "SecurityOptions": []}),
        ),
        _ if oldest > 41 => (
            "400 Bad Request",
            json!({"message": format!("client version 1.41 is too old. Minimum supported API version is \
                1.{oldest}, please upgrade your client to a newer version")}),
        ),
        _ => ("200 OK", json!([])),
    };
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(body.as_bytes());
}

impl Setting {
    fn asks(&self, request: &str) -> String {
        let request = format!("{request} HTTP/1.1\r\nHost: d\r\n\r\n");
        self.world.raw(A, request.as_bytes())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.world.dir.path().join("daemon.log")).unwrap()
    }

    /// Waits until the log says this; asks something meanwhile, as tenants do.
    fn until_log_says(&self, words: &str) {
        let until = Instant::now() + Duration::from_mins(1);
        while !self.log().contains(words) {
            assert!(Instant::now() < until, "no {words:?} in\n{}", self.log());
            self.asks("GET /containers/json");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

#[test]
fn an_engine_that_does_not_speak_our_version_is_told_to_tenants_and_admin() {
    let Some(setting) = setting() else { return };
    let words = "Docker Engine 29.0.1 speaks API 1.44 to 1.52, and this aistack speaks 1.41";
    setting.until_log_says(words);
    assert!(
        setting.log().contains("install Docker Engine"),
        "{}",
        setting.log()
    );
    let id = "a".repeat(64);
    for request in [
        "GET /_ping".to_owned(),
        "GET /version".to_owned(),
        "GET /info".to_owned(),
        "GET /containers/json".to_owned(),
        // Docker's 400 is no answer about what was asked for.
        format!("GET /containers/{id}/json"),
        format!("GET /exec/{id}/json"),
        "GET /images/aistack-dev-gateway:1/json".to_owned(),
        format!("POST /containers/{id}/start"),
    ] {
        let answer = setting.asks(&request);
        assert!(answer.starts_with("HTTP/1.1 501 "), "{request}: {answer}");
        for words in [
            "speaks API 1.44 and later",
            "speaks 1.41",
            "ask the administrator to",
        ] {
            assert!(answer.contains(words), "{request}: {answer}");
        }
        assert!(
            !answer.contains("upgrade your client"),
            "{request}: {answer}"
        );
    }
    // Said once, however often tenants ask.
    assert_eq!(setting.log().matches(words).count(), 1, "{}", setting.log());

    // Another engine takes its place: what is there now is said, once again.
    *setting.engine.lock().unwrap() = ("29.3.0", 40);
    setting.open.lock().unwrap().clear();
    setting.until_log_says("29.3.0");
    assert_eq!(setting.log().matches(words).count(), 1, "{}", setting.log());
    let answer = setting.asks("GET /containers/json");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}
