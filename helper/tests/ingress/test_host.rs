//! HAProxy as the unit starts it, and the proxies of tenants: plain listeners that say what they got.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use aistack_policy::ingress::{PROXY_HTTP_PORT, PROXY_HTTPS_PORT};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// In front of every connection, as version 2 of the PROXY protocol has it (haproxy's proxy-protocol.txt).
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Without memory that is written and then run, as MemoryDenyWriteExecute= of the unit has it: PR_SET_MDWE with
/// PR_MDWE_REFUSE_EXEC_GAIN, of Linux 6.3 and later; elsewhere without.
const AS_THE_UNIT: &str = "import ctypes, os, sys
ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])";

pub(crate) const HTTPS: &str = "127.0.0.1:443";
pub(crate) const HTTP: &str = "127.0.0.1:80";

pub(crate) struct TestHost {
    pub(crate) dir: tempfile::TempDir,
    namespace: String,
    haproxy: Option<Child>,
}

impl TestHost {
    /// A policy of tenants from UID 63001 on, the addresses of their proxies, and HAProxy with both.
    pub(crate) fn start(tenants: u32) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("aistack-dev-ingress-")
            .tempdir_in("/run")
            .unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let namespace = format!(
            "aistack-{}",
            dir.path().display().to_string().rsplit('-').next().unwrap()
        );
        run("ip", &["netns", "add", &namespace]);
        let mut host = Self {
            dir,
            namespace,
            haproxy: None,
        };
        host.join_namespaces();
        run("ip", &["link", "set", "lo", "up"]);
        for address in ["10.128.0.62/32", "10.128.0.126/32"] {
            run("ip", &["address", "add", address, "dev", "lo"]);
        }
        for name in ["front", "front/haproxy"] {
            std::fs::create_dir(host.dir.path().join(name)).unwrap();
        }
        host.policy(tenants, "");
        host.start_haproxy();
        host
    }

    fn start_haproxy(&mut self) {
        assert!(self.helper(&["render", "--write"]).status.success());
        let log = std::fs::File::create(self.dir.path().join("haproxy.log")).unwrap();
        let haproxy = std::env::var_os("AISTACK_TEST_HAPROXY");
        let child = Command::new("python3")
            .args(["-c", AS_THE_UNIT])
            .arg(haproxy.unwrap_or_else(|| "/usr/sbin/haproxy".into()))
            .arg("-W")
            .arg("-f")
            .arg(self.dir.path().join("front/haproxy.cfg"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("python3 and Debian's haproxy are installed; tests/prerequisites does it");
        self.haproxy = Some(child);
        // It gives the admin socket its name after it has opened the ports.
        let socket = self.front().join("haproxy/admin.sock");
        self.until("HAProxy answers", || {
            TcpStream::connect(HTTPS).is_ok() && socket.exists()
        });
    }

    /// This thread, and what it starts, is in the namespace from here on.
    pub(crate) fn join_namespaces(&self) {
        let file = std::fs::File::open(format!("/run/netns/{}", self.namespace)).unwrap();
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    }

    pub(crate) fn policy(&self, tenants: u32, more: &str) {
        let text = format!(
            "version = 1\n[ingress]\nenabled = true\naddresses = [\"0.0.0.0\", \"::\"]\n\
             [tenants]\nuids = [\"63001-{}\"]\nports = {{ per_tenant = 1 }}\n\
             domain = \"t-{{uid}}.example.test\"\nservice_uids = {{ offset = 100000 }}\n{more}",
            63_000 + tenants
        );
        let path = self.dir.path().join("policy.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    }

    /// `aistack-helper ingress …` of this test host.
    pub(crate) fn helper(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_aistack-helper"))
            .arg("ingress")
            .args(arguments)
            .arg("--policy")
            .arg(self.dir.path().join("policy.toml"))
            .arg("--dir")
            .arg(self.front())
            .output()
            .unwrap()
    }

    pub(crate) fn says(&self, arguments: &[&str]) -> String {
        let output = self.helper(arguments);
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    }

    pub(crate) fn front(&self) -> PathBuf {
        self.dir.path().join("front")
    }

    pub(crate) fn haproxy(&self) -> u32 {
        self.haproxy.as_ref().unwrap().id()
    }

    /// The process that serves. The master makes it after it has opened the sockets.
    pub(crate) fn worker(&self) -> u32 {
        let children = format!("/proc/{0}/task/{0}/children", self.haproxy());
        let mut worker = None;
        self.until("the master has made its worker", || {
            let children = std::fs::read_to_string(&children).unwrap();
            worker = children.split_whitespace().last().map(str::to_owned);
            worker.is_some()
        });
        worker.unwrap().parse().unwrap()
    }

    pub(crate) fn until(&self, what: &str, mut so: impl FnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(30);
        while !so() {
            let log =
                std::fs::read_to_string(self.dir.path().join("haproxy.log")).unwrap_or_default();
            assert!(Instant::now() < end, "not so: {what}\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for TestHost {
    fn drop(&mut self) {
        if let Some(haproxy) = &mut self.haproxy {
            // The master ends its workers with it.
            let pid = rustix::process::Pid::from_child(haproxy);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let _ = haproxy.wait();
        }
        let _ = Command::new("ip")
            .args(["netns", "delete", &self.namespace])
            .status();
    }
}

fn run(program: &str, arguments: &[&str]) {
    assert!(
        Command::new(program)
            .args(arguments)
            .status()
            .unwrap()
            .success(),
        "{program} {arguments:?}"
    );
}

/// What a tenant's proxy got: who the visitor is, and the first bytes.
pub(crate) struct Visit {
    pub(crate) visitor: SocketAddr,
    pub(crate) stream: TcpStream,
}

/// The proxy of the `nth` tenant; what it is visited by is given to `serve`, each in a thread.
pub(crate) fn proxy(host: &TestHost, nth: u8, port: u16, serve: fn(u8, Visit)) {
    host.join_namespaces();
    let address = format!("10.128.0.{}:{port}", 62 + 64 * nth);
    let listener = TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                if let Some(visitor) = proxy_header(&mut stream) {
                    serve(nth, Visit { visitor, stream });
                }
            });
        }
    });
}

fn proxy_header(stream: &mut TcpStream) -> Option<SocketAddr> {
    let mut head = [0; 16];
    stream.read_exact(&mut head).ok()?;
    assert_eq!(head[..12], SIGNATURE);
    assert_eq!(head[12], 0x21, "version 2, PROXY");
    let length = usize::from(u16::from_be_bytes([head[14], head[15]]));
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).ok()?;
    match head[13] {
        0x11 => {
            let ip: [u8; 4] = rest[..4].try_into().unwrap();
            Some(SocketAddr::from((
                ip,
                u16::from_be_bytes([rest[8], rest[9]]),
            )))
        }
        0x21 => {
            let ip: [u8; 16] = rest[..16].try_into().unwrap();
            Some(SocketAddr::from((
                ip,
                u16::from_be_bytes([rest[32], rest[33]]),
            )))
        }
        other => panic!("family {other:#x}"),
    }
}

/// Answers a hello with who was reached, whom it takes the visitor for, and how long the hello was; then
/// everything that comes is sent back.
pub(crate) fn echo(nth: u8, mut visit: Visit) {
    let mut head = [0; 5];
    if visit.stream.read_exact(&mut head).is_err() {
        return;
    }
    let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
    let mut hello = vec![0; length];
    visit.stream.read_exact(&mut hello).unwrap();
    let _ = writeln!(visit.stream, "tenant {nth} {} {length}", visit.visitor.ip());
    let mut bytes = vec![0; 65_536];
    while let Ok(count @ 1..) = visit.stream.read(&mut bytes) {
        if visit.stream.write_all(&bytes[..count]).is_err() {
            return;
        }
    }
}

/// Answers requests, one after the other, with who was reached.
pub(crate) fn http(nth: u8, visit: Visit) {
    let mut writer = visit.stream.try_clone().unwrap();
    let mut reader = BufReader::new(visit.stream);
    loop {
        let mut upgrade = false;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            upgrade |= line.to_ascii_lowercase().starts_with("upgrade:");
            if line == "\r\n" {
                break;
            }
        }
        if upgrade {
            // For the key of RFC 6455's example, which the test sends: HAProxy checks it.
            let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
            writer.write_all(head.as_bytes()).unwrap();
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                let _ = writer.write_all(&bytes[..count]);
            }
            return;
        }
        let body = format!("tenant {nth} {}\n", visit.visitor.ip());
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        if writer.write_all((head + &body).as_bytes()).is_err() {
            return;
        }
    }
}

/// Both proxies of two tenants.
pub(crate) fn two_tenants(host: &TestHost) {
    for nth in 0..2 {
        proxy(host, nth, PROXY_HTTPS_PORT, echo);
        proxy(host, nth, PROXY_HTTP_PORT, http);
    }
}

/// A visitor's connection that gives up after a while.
pub(crate) fn visit(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
}

/// Sends these bytes and reads a line; empty where the connection was closed.
pub(crate) fn line_after(address: &str, bytes: &[u8]) -> String {
    let mut stream = visit(address);
    let _ = stream.write_all(bytes);
    line_of(&stream)
}

pub(crate) fn line_of(stream: &TcpStream) -> String {
    let mut line = String::new();
    let _ = BufReader::new(stream).read_line(&mut line);
    line
}

/// One answer with the length of its body.
pub(crate) fn answer_of(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        text.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&text).into_owned();
    let length = head
        .to_ascii_lowercase()
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ").map(str::to_owned))
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    head + &String::from_utf8_lossy(&body)
}

/// Asks for a websocket, with the key of RFC 6455's example.
pub(crate) fn websocket_request(host: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}
