//! Whether a real engine sees a real volume: one in a mount namespace of its own, begun before the
//! volume was mounted, as a snap or a unit with private mounts has it.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aistack_helper::docker::Docker;
use aistack_helper::ops::{self, Ops};
use aistack_proto::v1::{CheckEngineResponse, EngineSeverity, VolumeSight};
use rustix::process::{Pid, Signal, kill_process};

use crate::test_host::{TestHost, as_the_helper, runtime};

/// An engine of this test's own, which makes no network.
struct Dockerd {
    dir: tempfile::TempDir,
    daemon: Option<Child>,
}

impl Dockerd {
    fn start(host: &TestHost) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("aistack-dev-ops-dockerd-")
            .tempdir()
            .unwrap();
        let mut engine = Self { dir, daemon: None };
        engine.begin(host);
        engine
    }

    fn begin(&mut self, host: &TestHost) {
        let dir = self.dir.path().display();
        let script = format!(
            "{}exec dockerd --config-file {dir}/none.json --data-root {dir}/data --exec-root {dir}/exec \
             --pidfile {dir}/pid -H unix://{dir}/docker.sock --storage-driver vfs --bridge none \
             --iptables=false --ip-forward=false",
            host.letting_go_of_others()
        );
        std::fs::write(self.dir.path().join("none.json"), "{}").unwrap();
        let log = std::fs::File::create(self.dir.path().join("log")).unwrap();
        let daemon = Command::new("unshare")
            // With `--bridge none` it removes `docker0`, which is the host's engine's where the network is shared.
            .args(["--mount", "--net", "--propagation", "private", "sh", "-c"])
            .arg(&script)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.daemon = Some(daemon);
        let until = Instant::now() + Duration::from_mins(2);
        while runtime()
            .block_on(Docker::new(&self.socket()).facts())
            .is_err()
        {
            let said = std::fs::read_to_string(self.dir.path().join("log")).unwrap();
            assert!(Instant::now() < until, "dockerd does not answer:\n{said}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn end(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = kill_process(Pid::from_child(&daemon), Signal::TERM);
            let _ = daemon.wait();
        }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("docker.sock")
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        self.end();
    }
}

#[test]
#[ignore = "needs root and a Docker Engine"]
fn an_engine_that_does_not_see_the_volume_is_found_by_asking_it() {
    let host = TestHost::start();
    let mut engine = Dockerd::start(&host);
    let docker = Docker::new(&engine.socket());
    let ops = Ops::new(docker, host.socket(), &host.run().join("state")).unwrap();
    let grant = host.grant();
    let check = || -> CheckEngineResponse {
        as_the_helper(|| runtime().block_on(ops.check_engine(&grant)).unwrap())
    };
    let misses_something = |answer: &CheckEngineResponse| {
        let mut findings = answer.findings.iter();
        let base = grant.base_dir.as_str();
        findings.any(|finding| {
            finding.severity() == EngineSeverity::Failing && finding.found.contains(base)
        })
    };
    assert_eq!(check().volume(), VolumeSight::Unspecified);
    host.mount();
    assert_eq!(check().volume(), VolumeSight::Unspecified);
    let prepare = || {
        runtime()
            .block_on(ops::prepare_directories(&grant, &[]))
            .unwrap()
    };
    as_the_helper(prepare);

    let answer = check();
    assert_eq!(answer.volume(), VolumeSight::Unseen, "{answer:?}");
    assert!(misses_something(&answer), "{answer:?}");
    assert!(answer.engine.starts_with("Docker Engine "), "{answer:?}");

    engine.end();
    engine.begin(&host);
    let answer = check();
    assert_eq!(answer.volume(), VolumeSight::Seen, "{answer:?}");
    assert!(!misses_something(&answer), "{answer:?}");

    let listed = Command::new("docker")
        .arg("-H")
        .arg(format!("unix://{}", engine.socket().display()))
        .args(["ps", "--all", "--quiet"])
        .output()
        .unwrap();
    assert!(
        listed.status.success() && listed.stdout.is_empty(),
        "{listed:?}"
    );
}
