//! Engines on which nothing is made: those that map users, rootless ones, Podman's socket, and what
//! does not say what it is.

use super::recorded::{CURRENT, DEBIAN_12, Engine, REFUSED, Recorded};
use super::test_host::{A, TestHost};

struct Setting {
    host: TestHost,
    engine: Engine,
    _dir: tempfile::TempDir,
}

fn setting(says: Recorded) -> Setting {
    let dir = tempfile::Builder::new()
        .prefix("aistack-dev-gateway-supported-")
        .tempdir_in("/run")
        .unwrap();
    let socket = dir.path().join("docker.sock");
    let engine = Engine::at(&socket, says);
    Setting {
        host: TestHost::start(&socket),
        engine,
        _dir: dir,
    }
}

impl Setting {
    fn post(&self, path: &str, body: &str) -> String {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.host.raw(A, request.as_bytes())
    }

    /// Every call that makes something or lets something run.
    fn make_everything(&self) -> Vec<String> {
        let id = "a".repeat(64);
        let create = format!("/containers/create?name=tenant-{A}-x");
        vec![
            self.post(&create, "{\"Image\":\"aistack-dev-gateway:1\"}"),
            self.post(&format!("/containers/{id}/start"), ""),
            self.post(&format!("/containers/{id}/restart"), ""),
            self.post(&format!("/containers/{id}/exec"), "{\"Cmd\":[\"id\"]}"),
            self.post(&format!("/exec/{id}/start"), "{}"),
            self.post("/images/create?fromImage=aistack-dev-gateway&tag=1", ""),
        ]
    }

    fn made(&self) -> Vec<String> {
        let requested = self.engine.requests().into_iter();
        requested.filter(|line| !line.starts_with("GET ")).collect()
    }
}

#[test]
#[ignore = "needs root"]
fn nothing_is_made_on_an_engine_that_is_refused() {
    for (says, words) in REFUSED {
        let setting = setting(says);
        for answer in setting.make_everything() {
            assert!(answer.starts_with("HTTP/1.1 403 "), "{words}: {answer}");
            for words in [
                words,
                "nothing is created on it",
                "[builtin.supported-engine]",
                "ask the administrator to",
            ] {
                assert!(answer.contains(words), "{words}: {answer}");
            }
        }
        assert_eq!(setting.made(), [] as [&str; 0], "{words}");
        let audit = setting.host.audit();
        let refused = audit.matches("ENGINE_REFUSED").count();
        assert_eq!(refused, 6, "{words}: {audit}");
        assert!(audit.contains(words), "{audit}");
        // What is there can be seen.
        let listed = setting
            .host
            .raw(A, b"GET /containers/json HTTP/1.1\r\nHost: d\r\n\r\n");
        assert!(listed.starts_with("HTTP/1.1 200 "), "{listed}");
    }
}

#[test]
#[ignore = "needs root"]
fn an_engine_that_was_replaced_is_queried_again_before_anything_is_made() {
    let setting = setting(DEBIAN_12);
    let refused = |answer: &String| answer.contains("[builtin.supported-engine]");
    let round = || {
        setting
            .make_everything()
            .iter()
            .filter(|a| refused(a))
            .count()
    };
    assert_eq!(round(), 0);
    setting.engine.requests();
    for (says, words) in REFUSED {
        setting.engine.becomes(says);
        assert_eq!(round(), 6, "{words}");
        assert_eq!(setting.made(), [] as [&str; 0], "{words}");
        setting.engine.becomes(CURRENT);
        assert_eq!(round(), 0, "after: {words}");
        setting.engine.requests();
    }
}

#[test]
#[ignore = "needs root"]
fn an_engine_is_queried_once_in_its_life() {
    let setting = setting(CURRENT);
    setting.make_everything();
    setting.engine.requests();
    for _ in 0..3 {
        setting.make_everything();
    }
    let requested = setting.engine.requests();
    assert!(
        requested
            .iter()
            .all(|line| !line.starts_with("GET /version")),
        "{requested:?}"
    );
}

#[test]
#[ignore = "needs root"]
fn nothing_is_made_on_an_engine_that_does_not_say_what_it_is() {
    let version = DEBIAN_12.version;
    for info in ["{}", "[]", "{\"SecurityOptions\":\"none\"}", "no JSON"] {
        let setting = setting(Recorded { version, info });
        for answer in setting.make_everything() {
            assert!(answer.starts_with("HTTP/1.1 502 "), "{info}: {answer}");
        }
        assert_eq!(setting.made(), [] as [&str; 0], "{info}");
    }
}
