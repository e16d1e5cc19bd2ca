//! Who may read the policy file: root and the gateway's group, and the gateway by that group alone.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not so")]

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The gateway's user in this test, and an ordinary one; nobody of this machine has these numbers.
const GATEWAY: u32 = 62777;
const STRANGER: u32 = 62778;

const POLICY: &str = include_str!("corpus/policy.toml");

struct TestHost {
    dir: tempfile::TempDir,
    gateway: Option<Child>,
}

impl Drop for TestHost {
    fn drop(&mut self) {
        if let Some(mut gateway) = self.gateway.take() {
            let _ = gateway.kill();
            let _ = gateway.wait();
        }
    }
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

impl TestHost {
    fn new() -> Self {
        assert!(rustix::process::geteuid().is_root(), "this needs root");
        let dir = tempfile::Builder::new()
            .prefix("aistack-dev-policy-")
            .tempdir_in("/run")
            .unwrap();
        chmod(dir.path(), 0o755);
        for place in ["run", "log", "lists"] {
            std::fs::create_dir(dir.path().join(place)).unwrap();
            chown(dir.path().join(place), Some(GATEWAY), Some(GATEWAY)).unwrap();
        }
        // Where everybody may start it from: the checkout may be closed to others.
        for (name, built) in [
            ("aistack-engine", env!("CARGO_BIN_EXE_aistack-engine")),
            ("aistack-helper", env!("CARGO_BIN_EXE_aistack-helper")),
        ] {
            std::fs::copy(built, dir.path().join(name)).unwrap();
            chmod(&dir.path().join(name), 0o755);
        }
        let host = Self { dir, gateway: None };
        host.write(POLICY);
        chown(host.path("policy.toml"), Some(0), Some(GATEWAY)).unwrap();
        chmod(&host.path("policy.toml"), 0o640);
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, text: &str) {
        std::fs::write(self.path("policy.toml"), text).unwrap();
    }

    /// One of the copied programs, without a privilege.
    fn program(&self, name: &str, uid: u32) -> Command {
        let id = uid.to_string();
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", &id, "--regid", &id, "--clear-groups"])
            .args(["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"])
            .arg(self.path(name));
        command
    }

    fn start_gateway(&mut self) {
        let log = std::fs::File::create(self.path("gateway.log")).unwrap();
        let gateway = self
            .program("aistack-engine", GATEWAY)
            .arg("serve")
            .arg("--policy")
            .arg(self.path("policy.toml"))
            .arg("--socket")
            .arg(self.path("run/engine.sock"))
            .arg("--docker-socket")
            .arg(self.path("no-docker.sock"))
            .arg("--audit-dir")
            .arg(self.path("log"))
            .arg("--state-dir")
            .arg(self.path("lists"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn();
        self.gateway = Some(gateway.unwrap());
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.path("gateway.log")).unwrap()
    }

    fn wait_until(&self, what: &str, condition: impl Fn() -> bool) {
        let until = Instant::now() + Duration::from_secs(30);
        while !condition() {
            assert!(
                Instant::now() < until,
                "{what} never came:\n{}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn reload(&self) {
        let gateway = self.gateway.as_ref().unwrap();
        let pid = rustix::process::Pid::from_child(gateway);
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    }

    fn logged(&self, event: &str) -> usize {
        let log = std::fs::read_to_string(self.path("log/engine.jsonl")).unwrap_or_default();
        log.lines().filter(|line| line.contains(event)).count()
    }
}

#[test]
#[ignore = "needs root"]
fn the_gateway_reads_and_reloads_a_policy_that_others_cannot_read() {
    let mut host = TestHost::new();
    host.start_gateway();
    let socket = host.path("run/engine.sock");
    host.wait_until("the socket", || UnixStream::connect(&socket).is_ok());
    assert!(
        !host.said().contains("every user of this host"),
        "{}",
        host.said()
    );

    host.write(&format!("{POLICY}\n# changed\n"));
    host.reload();
    host.wait_until("the reload", || host.logged("policy-reloaded") == 1);

    // Closed to its group as well: the policy in force stays, and the log says what to do.
    chmod(&host.path("policy.toml"), 0o600);
    host.reload();
    host.wait_until("the refusal", || host.logged("policy-refused") == 1);
    assert!(host.said().contains("chmod 0640"), "{}", host.said());

    chmod(&host.path("policy.toml"), 0o644);
    host.reload();
    host.wait_until("the second reload", || host.logged("policy-reloaded") == 2);
    assert!(
        host.said().contains("every user of this host"),
        "{}",
        host.said()
    );
}

#[test]
#[ignore = "needs root"]
fn a_user_learns_nothing_of_the_policy() {
    let host = TestHost::new();
    let policy = host.path("policy.toml");
    let policy = policy.to_str().unwrap();
    for arguments in [
        ["policy", "check", policy].as_slice(),
        &["policy", "explain", "--uid", "1001", "--policy", policy],
    ] {
        let output = host
            .program("aistack-helper", STRANGER)
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(said.contains("run it as root"), "{said}");
        assert!(!said.contains("1001"), "{said}");
    }
    // The gateway's own reload asks the same command.
    let output = host
        .program("aistack-helper", GATEWAY)
        .args(["policy", "check", policy])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}
