//! What engines answered to the question what they are (`corpus/docker`), and an engine that
//! answers that and nothing else.

#![allow(dead_code, reason = "each test binary takes what it needs")]

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Answers to `/version` and `/info`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recorded {
    pub(crate) version: &'static str,
    pub(crate) info: &'static str,
}

macro_rules! recorded {
    ($version:literal, $info:literal) => {
        Recorded {
            version: include_str!(concat!("../corpus/docker/", $version, "-version.json")),
            info: include_str!(concat!("../corpus/docker/", $info, "-info.json")),
        }
    };
}

pub(crate) const DEBIAN_12: Recorded = recorded!("20.10", "20.10");
pub(crate) const CURRENT: Recorded = recorded!("29.99", "29.99");

/// Engines on which nothing is made, each with words of the sentence that says why.
pub(crate) const REFUSED: [(Recorded, &str); 5] = [
    (
        recorded!("20.10", "20.10-userns-remap"),
        "Docker maps the users of containers to others (userns-remap)",
    ),
    (
        recorded!("29.99", "29.99-userns-remap"),
        "Docker maps the users of containers to others (userns-remap)",
    ),
    (
        recorded!("20.10-rootless", "20.10-rootless"),
        "Docker runs without root (rootless)",
    ),
    (
        recorded!("29.99-rootless", "29.99-rootless"),
        "Docker runs without root (rootless)",
    ),
    (
        recorded!("podman-4.3", "podman-4.3"),
        "the socket is Podman's, not a Docker Engine's (Podman 4.3.1)",
    ),
];

impl Recorded {
    /// The answer to a path without a version.
    pub(crate) fn answer(self, path: &str) -> Option<&'static str> {
        match path {
            "/version" => Some(self.version),
            "/info" => Some(self.info),
            _ => None,
        }
    }
}

/// An engine that says what it is, and answers everything else with an empty list.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    says: Arc<Mutex<Recorded>>,
    requests: Arc<Mutex<Vec<String>>>,
    /// Streams of events, which end with the engine.
    open: Arc<Mutex<Vec<UnixStream>>>,
}

impl Engine {
    pub(crate) fn at(socket: &Path, says: Recorded) -> Self {
        let engine = Self {
            says: Arc::new(Mutex::new(says)),
            requests: Arc::default(),
            open: Arc::default(),
        };
        let listener = UnixListener::bind(socket).unwrap();
        let serving = engine.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serving.serve(stream.unwrap());
            }
        });
        engine
    }

    /// Ends it, and starts another one in its place.
    pub(crate) fn becomes(&self, says: Recorded) {
        *self.says.lock().unwrap() = says;
        self.open.lock().unwrap().clear();
    }

    /// The request lines since the last look.
    pub(crate) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }

    fn serve(&self, mut stream: UnixStream) {
        let mut bytes = vec![0; 64 << 10];
        let count = stream.read(&mut bytes).unwrap_or(0);
        let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
        let line = text.lines().next().unwrap_or_default().to_owned();
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        self.requests.lock().unwrap().push(line);
        if path.starts_with("/events") {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                        Transfer-Encoding: chunked\r\n\r\n";
            let _ = stream.write_all(head.as_bytes());
            self.open.lock().unwrap().push(stream);
            return;
        }
        let says = *self.says.lock().unwrap();
        let body = says.answer(&path).unwrap_or("[]");
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        );
        let _ = stream.write_all(answer.as_bytes());
    }
}
