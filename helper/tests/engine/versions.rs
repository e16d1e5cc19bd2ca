//! Engines of other API versions: a stand-in that judges versions as Docker does, and that is replaced by
//! others. The oldest version of Docker 29.0 to 29.2 is 1.44.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;

use super::test_host::{A, TestHost};

/// What the stand-in is at the moment.
#[derive(Debug, Clone, Copy)]
struct Engine {
    version: &'static str,
    /// Minor versions of API 1.
    oldest: u32,
    newest: u32,
    /// It says another newest version than it takes.
    lies: bool,
}

const fn engine(version: &'static str, oldest: u32, newest: u32) -> Engine {
    Engine {
        version,
        oldest,
        newest,
        lies: false,
    }
}

const OLD: Engine = engine("19.03.15", 12, 40);
const DEBIAN: Engine = engine("20.10.24", 12, 41);
const WITH_A_MINIMUM: Engine = engine("29.0.1", 44, 52);
const CURRENT: Engine = engine("29.9.3", 40, 56);
const LATER: Engine = engine("31.0.0", 44, 60);

struct Setting {
    host: TestHost,
    engine: Arc<Mutex<Engine>>,
    /// Request lines under a version.
    seen: Arc<Mutex<Vec<String>>>,
    /// Requests without end, which end with the engine.
    open: Arc<Mutex<Vec<UnixStream>>>,
    _dir: tempfile::TempDir,
}

fn setting(engine: Engine) -> Setting {
    let dir = tempfile::Builder::new()
        .prefix("aistack-dev-gateway-docker-")
        .tempdir_in("/run")
        .unwrap();
    let socket = dir.path().join("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let engine = Arc::new(Mutex::new(engine));
    let (open, seen) = (Arc::default(), Arc::default());
    let (state, streams, lines) = (Arc::clone(&engine), Arc::clone(&open), Arc::clone(&seen));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let state = *state.lock().unwrap();
            serve(stream.unwrap(), state, &streams, &lines);
        }
    });
    Setting {
        host: TestHost::start(&socket),
        engine,
        seen,
        open,
        _dir: dir,
    }
}

fn serve(
    mut stream: UnixStream,
    engine: Engine,
    open: &Mutex<Vec<UnixStream>>,
    seen: &Mutex<Vec<String>>,
) {
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
    let (status, body) = answer(engine, path);
    if path.starts_with("/v1.") {
        let line = text.lines().next().unwrap_or_default();
        seen.lock().unwrap().push(line.to_owned());
    }
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status}\r\nApi-Version: 1.{}\r\nServer: Docker/{} (linux)\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        engine.newest,
        engine.version,
        body.len()
    );
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(body.as_bytes());
}

fn answer(engine: Engine, path: &str) -> (&'static str, serde_json::Value) {
    let Engine {
        version,
        oldest,
        newest,
        lies,
    } = engine;
    let requested = path
        .strip_prefix("/v1.")
        .and_then(|rest| rest.split('/').next()?.parse::<u32>().ok());
    let refused = match requested {
        Some(requested) if requested > newest || lies => Some(format!(
            "client version 1.{requested} is too new. Maximum supported API version is 1.{newest}"
        )),
        Some(requested) if requested < oldest => Some(format!(
            "client version 1.{requested} is too old. Minimum supported API version is 1.{oldest}, please \
             upgrade your client to a newer version"
        )),
        _ => None,
    };
    if let Some(message) = refused {
        return ("400 Bad Request", json!({ "message": message }));
    }
    let bare = requested.map_or(path, |_| path.get(6..).unwrap_or_default());
    match bare {
        "/version" => (
            "200 OK",
            json!({"Version": version, "ApiVersion": format!("1.{newest}"),
                "MinAPIVersion": format!("1.{oldest}")}),
        ),
        "/info" => (
            "200 OK",
            json!({"ServerVersion": version, "SecurityOptions": []}),
        ),
        _ => ("200 OK", json!([])),
    }
}

impl Setting {
    fn send(&self, request: &str) -> String {
        let request = format!("{request} HTTP/1.1\r\nHost: d\r\n\r\n");
        self.host.raw(A, request.as_bytes())
    }

    /// Another engine is there. The gateway learns it from the end of its open request only when `loudly`.
    fn becomes(&self, engine: Engine, loudly: bool) {
        *self.engine.lock().unwrap() = engine;
        if loudly {
            self.open.lock().unwrap().clear();
        }
    }

    /// The versions that were requested since the last look, each request in turn.
    fn versions(&self) -> Vec<String> {
        let seen = std::mem::take(&mut *self.seen.lock().unwrap());
        let version = |line: &String| line.split('/').nth(1).unwrap_or_default().to_owned();
        seen.iter().map(version).collect()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.host.dir.path().join("daemon.log")).unwrap()
    }

    /// Waits until the log says this; sends something meanwhile, as tenants do.
    fn until_log_says(&self, words: &str) {
        let until = Instant::now() + Duration::from_mins(1);
        while !self.log().contains(words) {
            assert!(Instant::now() < until, "no {words:?} in\n{}", self.log());
            self.send("GET /containers/json");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

#[test]
#[ignore = "needs root"]
fn an_engine_that_shares_no_version_is_reported_to_tenants_and_admin() {
    let setting = setting(OLD);
    let words =
        "Docker Engine 19.03.15 speaks API 1.12 to 1.40, and this aistack speaks 1.41 to 1.56";
    setting.until_log_says(words);
    assert!(
        setting.log().contains("install Docker Engine 20.10"),
        "{}",
        setting.log()
    );
    let id = "a".repeat(64);
    for request in [
        "GET /_ping".to_owned(),
        "GET /version".to_owned(),
        "GET /info".to_owned(),
        "GET /containers/json".to_owned(),
        // Docker's 400 is not an answer about what was requested.
        format!("GET /containers/{id}/json"),
        format!("GET /exec/{id}/json"),
        "GET /images/aistack-dev-gateway:1/json".to_owned(),
        format!("POST /containers/{id}/start"),
    ] {
        let answer = setting.send(&request);
        assert!(answer.starts_with("HTTP/1.1 501 "), "{request}: {answer}");
        for words in [
            "speaks API 1.12 to 1.40",
            "speaks 1.41 to 1.56",
            "ask the administrator to install Docker Engine 20.10",
        ] {
            assert!(answer.contains(words), "{request}: {answer}");
        }
        assert!(
            !answer.contains("upgrade your client"),
            "{request}: {answer}"
        );
    }
    assert!(setting.versions().is_empty());
    // Said once, however often tenants ask.
    assert_eq!(setting.log().matches(words).count(), 1, "{}", setting.log());

    // Another engine takes its place: what is there now is said, once again.
    setting.becomes(CURRENT, true);
    setting.until_log_says("29.9.3");
    assert_eq!(setting.log().matches(words).count(), 1, "{}", setting.log());
    let answer = setting.send("GET /containers/json");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
#[ignore = "needs root"]
fn the_newest_version_that_both_know_is_spoken_and_offered() {
    for (engine, spoken) in [
        (DEBIAN, 41),
        (WITH_A_MINIMUM, 52),
        (CURRENT, 56),
        (LATER, 56),
    ] {
        let setting = setting(engine);
        // Callers send what they want; the engine gets one version.
        for prefix in ["", "/v1.24", "/v1.41", &format!("/v1.{spoken}")] {
            let answer = setting.send(&format!("GET {prefix}/containers/json"));
            assert!(answer.starts_with("HTTP/1.1 200 "), "{prefix}: {answer}");
            for header in [
                &format!("\r\nApi-Version: 1.{spoken}\r\n"),
                "\r\nOstype: linux\r\n",
                "\r\nDocker-Experimental: false\r\n",
                &format!("\r\nServer: Docker/{} (linux)\r\n", engine.version),
            ] {
                assert!(answer.contains(header), "{header}: {answer}");
            }
            assert_eq!(setting.versions(), [format!("v1.{spoken}")]);
        }
        let answer = setting.send("GET /version");
        assert!(
            answer.contains(&format!("\"ApiVersion\":\"1.{spoken}\"")),
            "{answer}"
        );
        assert!(answer.contains("\"MinAPIVersion\":\"1.24\""), "{answer}");
        setting.versions();
        for (requested, words) in [
            (
                spoken + 1,
                format!("client version 1.{} is too new. Maximum supported API version is 1.{spoken}\"", spoken + 1),
            ),
            (
                23,
                "client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your \
                 client to a newer version\""
                    .to_owned(),
            ),
        ] {
            let answer = setting.send(&format!("GET /v1.{requested}/containers/json"));
            assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
            assert!(answer.contains(&format!("{{\"message\":\"{words}}}")), "{answer}");
            assert!(answer.contains(&format!("Api-Version: 1.{spoken}")), "{answer}");
        }
        assert!(setting.versions().is_empty());
    }
}

/// Nothing tells the gateway of these but the answers themselves.
#[test]
#[ignore = "needs root"]
fn the_version_of_an_engine_that_was_replaced_in_between_is_read_again() {
    let setting = setting(DEBIAN);
    let list = |versions: &[&str]| {
        let answer = setting.send("GET /v1.24/containers/json");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert_eq!(setting.versions(), versions);
    };
    list(&["v1.41"]);
    // The old version is refused: it goes out again under the new one.
    setting.becomes(WITH_A_MINIMUM, false);
    list(&["v1.41", "v1.52"]);
    list(&["v1.52"]);
    // The old one is still taken, and the answer says that there is a newer one.
    setting.becomes(CURRENT, false);
    list(&["v1.52"]);
    list(&["v1.56"]);
    // And back.
    setting.becomes(DEBIAN, false);
    list(&["v1.56", "v1.41"]);
    list(&["v1.41"]);
    // A caller that still asks for more than there is now gets an error.
    setting.becomes(CURRENT, false);
    list(&["v1.41"]);
    list(&["v1.56"]);
    setting.becomes(DEBIAN, false);
    list(&["v1.56", "v1.41"]);
    let answer = setting.send("GET /v1.56/containers/json");
    assert!(
        answer.contains("Maximum supported API version is 1.41"),
        "{answer}"
    );
}

#[test]
#[ignore = "needs root"]
fn an_engine_that_refuses_its_own_version_is_not_queried_without_end() {
    let setting = setting(Engine {
        lies: true,
        ..CURRENT
    });
    let answer = setting.send("GET /v1.41/containers/json");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(
        answer.contains("keeps changing its API version"),
        "{answer}"
    );
    assert_eq!(setting.versions().len(), 3);
}
