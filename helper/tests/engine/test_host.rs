//! A gateway of its own in a directory of its own, and ways to be a tenant.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Tenants of the test policy; nobody of this machine has these numbers.
pub(crate) const A: u32 = 62001;
pub(crate) const B: u32 = 62002;
/// What Docker 20.10 says to `/version`: what the stand-ins of these tests are.
pub(crate) const VERSION: &str =
    r#"{"Version":"20.10.24","ApiVersion":"1.41","MinAPIVersion":"1.12"}"#;
/// No tenant.
pub(crate) const STRANGER: u32 = 62999;

pub(crate) struct TestHost {
    pub(crate) dir: tempfile::TempDir,
    daemon: Child,
}

impl TestHost {
    /// A running gateway before `docker`. It takes a policy of root's only.
    pub(crate) fn start(docker: &Path) -> Self {
        // A Docker that only answers tests is not queried for its directory.
        let dir = |dir: &Path| vec!["--docker-dir".to_owned(), dir.display().to_string()];
        Self::start_with(docker, dir)
    }

    /// The same with further options; they come last, so that they win. The function is given the
    /// test host's directory.
    pub(crate) fn start_with(docker: &Path, options: impl FnOnce(&Path) -> Vec<String>) -> Self {
        assert!(rustix::process::geteuid().is_root(), "this needs root");
        let dir = tempfile::Builder::new()
            .prefix("aistack-dev-gateway-")
            .tempdir_in("/run")
            .unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let policy = dir.path().join("policy.toml");
        std::fs::write(&policy, POLICY).unwrap();
        std::fs::set_permissions(&policy, std::fs::Permissions::from_mode(0o644)).unwrap();
        let log = std::fs::File::create(dir.path().join("daemon.log")).unwrap();
        let daemon = Command::new(env!("CARGO_BIN_EXE_aistack-engine"))
            .arg("serve")
            .arg("--policy")
            .arg(&policy)
            .arg("--socket")
            .arg(dir.path().join("engine.sock"))
            .arg("--docker-socket")
            .arg(docker)
            .arg("--audit-dir")
            .arg(dir.path().join("audit"))
            .arg("--state-dir")
            .arg(dir.path().join("state"))
            .args(options(dir.path()))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let host = Self { dir, daemon };
        let until = Instant::now() + Duration::from_secs(20);
        while UnixStream::connect(host.socket()).is_err() {
            let said = std::fs::read_to_string(host.dir.path().join("daemon.log")).unwrap();
            assert!(
                Instant::now() < until,
                "no socket; the gateway said:\n{said}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        host
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("engine.sock")
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.daemon);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Whether the gateway has ended well within this time.
    pub(crate) fn ends_within(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        while Instant::now() < until {
            if let Some(status) = self.daemon.try_wait().unwrap() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// Takes every tenant of the tests out of the policy.
    pub(crate) fn dismiss_all(&self) {
        let policy = POLICY.replace("62001-62030", "62901-62930");
        std::fs::write(self.dir.path().join("policy.toml"), policy).unwrap();
        self.signal(rustix::process::Signal::HUP);
    }

    /// Lets no container start without the network guard.
    pub(crate) fn require_guard(&self) {
        let policy = format!("{POLICY}guard = \"required\"\n");
        std::fs::write(self.dir.path().join("policy.toml"), policy).unwrap();
        self.signal(rustix::process::Signal::HUP);
    }

    pub(crate) fn pid(&self) -> u32 {
        self.daemon.id()
    }

    /// The gateway's resident memory, KiB.
    pub(crate) fn memory(&self) -> u64 {
        super::as_user::memory(self.pid())
    }

    /// What the gateway wrote to standard error.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("daemon.log")).unwrap()
    }

    pub(crate) fn audit(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("audit/engine.jsonl")).unwrap()
    }

    /// Sends these bytes as `uid` and returns everything that comes back.
    pub(crate) fn raw(&self, uid: u32, bytes: &[u8]) -> String {
        let mut child = self.connector(uid);
        let mut stdin = child.stdin.take().unwrap();
        let _ = stdin.write_all(bytes);
        let mut answer = Vec::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_end(&mut answer)
            .unwrap();
        drop(stdin);
        child.wait().unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub(crate) fn connector(&self, uid: u32) -> Child {
        const CONNECT: &str = "import os,socket,sys,threading\n\
            s=socket.socket(socket.AF_UNIX);s.connect(sys.argv[1]);s.settimeout(20)\n\
            def up():\n\
            \x20try:\n\
            \x20 while True:\n\
            \x20  d=os.read(0,65536)\n\
            \x20  if not d: break\n\
            \x20  s.sendall(d)\n\
            \x20except OSError: pass\n\
            threading.Thread(target=up,daemon=True).start()\n\
            try:\n\
            \x20while True:\n\
            \x20 d=s.recv(65536)\n\
            \x20 if not d: break\n\
            \x20 os.write(1,d)\n\
            except OSError: pass\n\
            os._exit(0)";
        Command::new("python3")
            .args(["-c", CONNECT])
            .arg(self.socket())
            .uid(uid)
            .gid(uid)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// The docker command as `uid`, through the gateway.
    pub(crate) fn docker(&self, binary: &str, uid: u32) -> Command {
        let mut command = Command::new(binary);
        command
            .env_clear()
            .env("DOCKER_HOST", format!("unix://{}", self.socket().display()))
            .env("DOCKER_CONFIG", "/nonexistent")
            .env("HOME", "/nonexistent")
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .current_dir("/")
            .uid(uid)
            .gid(uid);
        command
    }
}

impl Drop for TestHost {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

const POLICY: &str = r#"
version = 1
[tenants]
uids = ["62001-62030"]
base_dir = "/mnt/aistack-dev-gateway-{uid}"
domain = "tenant-{uid}.example.test"
network = { name = "aistack-dev-gateway-{uid}", pool = "10.200.0.0/16", prefix = 26 }
ports = { first = 25100, per_tenant = 10 }
service_uids = { offset = 200, count = 1 }
volume = { kind = "loop", size = "1G", fs = "ext4", format = "if-blank" }
apparmor = "if-available"
images = ["docker.io/library/aistack-dev-gateway", "docker.io/library/aistack-dev-host", "127.0.0.1:25250/*", "127.0.0.1:25251/*"]
local_images = ["docker.io/library/aistack-dev-gateway"]
limits = { memory = "2G", cpus = 2, pids = 1024, containers = 6 }
writable_layer = "64M"
"#;

/// Both streams as text.
pub(crate) fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
