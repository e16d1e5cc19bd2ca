//! A daemon of its own in a directory of its own, and ways to be somebody else.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aistack_proto::v1::helper_client::HelperClient;
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal};
use serde_json::Value;
use tokio::net::UnixStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use tonic_types::StatusExt;

pub(crate) use super::as_user::{become_user, connect_as};

/// Tenants of the test policy; nobody of this machine has these numbers.
pub(crate) const A: u32 = 61001;
pub(crate) const B: u32 = 61002;
/// No tenant.
pub(crate) const STRANGER: u32 = 61999;

pub(crate) struct TestHost {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) daemon: Option<Child>,
    audit_dir: PathBuf,
}

impl TestHost {
    /// A running daemon; `None`, said out loud, without root.
    pub(crate) fn start() -> Option<Self> {
        let mut host = Self::prepare()?;
        host.start_daemon();
        Some(host)
    }

    pub(crate) fn prepare() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            // Not by eprintln: the test runner would keep it to itself.
            let skipped = b"SKIPPED: the daemon takes root's policy only, and this is not root\n";
            std::io::stderr().write_all(skipped).unwrap();
            return None;
        }
        let dir = tempfile::Builder::new()
            .prefix("aistack-dev-core-")
            .tempdir_in("/run")
            .unwrap();
        chmod(dir.path(), 0o755);
        let audit_dir = dir.path().join("audit");
        let host = Self {
            dir,
            daemon: None,
            audit_dir,
        };
        host.write_policy(&policy("61001-61010"));
        Some(host)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("helper.sock")
    }

    pub(crate) fn audit_dir(&self) -> &Path {
        &self.audit_dir
    }

    pub(crate) fn write_policy(&self, text: &str) {
        let path = self.path("policy.toml");
        std::fs::write(&path, text).unwrap();
        chmod(&path, 0o644);
    }

    pub(crate) fn start_daemon(&mut self) {
        self.spawn(|command| command);
        self.wait_for("the socket", || StdStream::connect(self.socket()).is_ok());
    }

    /// Starts the daemon's command line, as `wrap` changes it.
    pub(crate) fn spawn(&mut self, wrap: impl FnOnce(Command) -> Command) {
        let log = std::fs::File::create(self.path("daemon.log")).unwrap();
        let path = |name: &str| self.path(name).into_os_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_aistack-helper"));
        command
            .arg("serve")
            .args(["--policy".into(), path("policy.toml")])
            .args(["--socket".into(), path("helper.sock")])
            .args(["--state-dir".into(), path("state")])
            .args(["--audit-dir".into(), path("audit")])
            .args(["--docker-socket".into(), path("docker.sock")])
            .args(["--mount-socket".into(), path("mount.sock")]);
        let mut command = wrap(command);
        command.stdin(Stdio::null()).stderr(log);
        self.daemon = Some(command.spawn().unwrap());
    }

    pub(crate) fn wait_for(&self, what: &str, condition: impl Fn() -> bool) {
        let until = Instant::now() + Duration::from_secs(20);
        while !condition() {
            assert!(
                Instant::now() < until,
                "{what} never came; the daemon said:\n{}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What the daemon wrote to standard error.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.path("daemon.log")).unwrap_or_default()
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(self.daemon.as_ref().unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).unwrap();
    }

    /// Sends a signal and waits for the end; returns the exit code, if there is one.
    pub(crate) fn end(&mut self, signal: Signal) -> Option<i32> {
        self.signal(signal);
        self.daemon.take().unwrap().wait().unwrap().code()
    }

    /// The records of the log so far.
    pub(crate) fn records(&self) -> Vec<Value> {
        let file = std::fs::File::open(self.audit_dir.join("helper.jsonl")).unwrap();
        BufReader::new(file)
            .lines()
            .filter_map(|line| serde_json::from_str(&line.unwrap()).ok())
            .collect()
    }

    pub(crate) fn records_of(&self, event: &str) -> Vec<Value> {
        let mut records = self.records();
        records.retain(|record| record["event"] == event);
        records
    }

    /// Runs `aistack-helper audit …`.
    pub(crate) fn audit(&self, arguments: &[&str]) -> (bool, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_aistack-helper"))
            .arg("audit")
            .args(arguments)
            .arg("--audit-dir")
            .arg(&self.audit_dir)
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    }

    pub(crate) async fn client(&self, uid: u32) -> HelperClient<Channel> {
        client_of(connect_as(uid, &self.socket()).unwrap()).await
    }
}

impl Drop for TestHost {
    fn drop(&mut self) {
        if let Some(mut child) = self.daemon.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub(crate) fn policy(uids: &str) -> String {
    format!(
        r#"version = 1
[tenants]
uids         = ["{uids}"]
base_dir     = "/mnt/aistack-dev-core-{{uid}}"
domain       = "tenant-{{uid}}.example.test"
network      = {{ name = "aistack-dev-core-{{uid}}", pool = "10.192.0.0/12", prefix = 26 }}
ports        = {{ first = 20100, per_tenant = 100 }}
service_uids = {{ offset = 1000, count = 1 }}
volume       = {{ kind = "loop", fs = "ext4", format = "if-blank", size = "1G" }}
apparmor     = "if-available"
capabilities = []
images       = ["docker.io/library/*"]
limits       = {{ memory = "1G", cpus = 1, pids = 100, containers = 4 }}
"#
    )
}

pub(crate) fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) async fn client_of(stream: StdStream) -> HelperClient<Channel> {
    HelperClient::new(channel_of(stream).await)
}

pub(crate) async fn channel_of(stream: StdStream) -> Channel {
    try_channel_of(stream).await.unwrap()
}

pub(crate) async fn try_channel_of(stream: StdStream) -> Result<Channel, tonic::transport::Error> {
    stream.set_nonblocking(true).unwrap();
    let mut stream = Some(UnixStream::from_std(stream).unwrap());
    let connector = tower::service_fn(move |_| {
        let stream = stream.take().ok_or(std::io::ErrorKind::NotConnected);
        async move { Ok::<_, std::io::Error>(TokioIo::new(stream?)) }
    });
    Endpoint::from_static("http://helper")
        .connect_with_connector(connector)
        .await
}

/// `reason`, `rule` and `hint` of an error.
pub(crate) fn details(status: &Status) -> (String, String, String) {
    let info = status.get_details_error_info().expect("ErrorInfo");
    assert_eq!(info.domain, aistack_proto::ERROR_DOMAIN);
    let field = |name: &str| info.metadata.get(name).cloned().unwrap_or_default();
    (info.reason.clone(), field("rule"), field("hint"))
}
