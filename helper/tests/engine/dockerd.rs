//! The stock docker command through the gateway to the real dockerd, as two tenants.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::test_host::{A, B, TestHost, said};

pub(crate) const DOCKER: &str = "/run/docker.sock";
const IMAGE: &str = "docker.io/library/aistack-dev-gateway:1";

/// Docker as root, beside the gateway: makes and removes what the test needs.
pub(crate) fn root(arguments: &[&str]) -> String {
    let output = Command::new("docker")
        .args(["-H", "unix:///run/docker.sock"])
        .args(arguments)
        .output()
        .unwrap();
    said(&output)
}

/// What a test has made beside the gateway; tests that run at once have tenants and a tag of their own.
pub(crate) struct Clean {
    uids: Vec<u32>,
    image: String,
}

impl Clean {
    fn all(&self) {
        for uid in &self.uids {
            let filter = format!("label=io.aistack.owner={uid}");
            let ids = root(&["ps", "-aq", "--filter", &filter]);
            for id in ids.split_whitespace() {
                root(&["rm", "-f", id]);
            }
            root(&["network", "rm", &format!("aistack-dev-gateway-{uid}")]);
        }
        root(&["rmi", &self.image]);
    }
}

impl Drop for Clean {
    fn drop(&mut self) {
        self.all();
    }
}

/// The docker commands of this machine, and the newest where `tests/tools/clients` has built it.
pub(crate) fn docker_commands() -> Vec<String> {
    let built =
        std::env::var("AISTACK_TEST_CLIENTS").map(|clients| format!("{clients}/bin/docker"));
    ["/usr/local/bin/docker", "/usr/bin/docker"]
        .map(str::to_owned)
        .into_iter()
        .chain(built)
        .filter(|path| Path::new(path).exists())
        .collect()
}

/// Two tenants and the docker commands.
fn prepare() -> (TestHost, Clean, Vec<String>) {
    let clients = docker_commands();
    assert!(!clients.is_empty(), "there is no docker command");
    let (host, clean) = prepare_for(&[(A, "10.200.1.0/26"), (B, "10.200.1.64/26")], IMAGE);
    (host, clean, clients)
}

/// A gateway before the real dockerd, an image of nothing but busybox, and a network for each tenant.
pub(crate) fn prepare_for(tenants: &[(u32, &str)], image: &str) -> (TestHost, Clean) {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .expect("the package busybox-static");
    let often = |_: &Path| vec!["--layers-every".to_owned(), "1".to_owned()];
    let host = TestHost::start_with(Path::new(DOCKER), often);
    let clean = Clean {
        uids: tenants.iter().map(|(uid, _)| *uid).collect(),
        image: image.to_owned(),
    };
    clean.all();
    let tree = host.dir.path().join("image");
    std::fs::create_dir_all(tree.join("bin")).unwrap();
    std::fs::copy(busybox, tree.join("bin/busybox")).unwrap();
    let writable = tree.join("tmp");
    std::fs::create_dir(&writable).unwrap();
    std::fs::set_permissions(&writable, std::fs::Permissions::from_mode(0o1777)).unwrap();
    for name in ["sh", "sleep", "cat", "echo", "id", "wc", "true", "head"] {
        std::os::unix::fs::symlink("busybox", tree.join("bin").join(name)).unwrap();
    }
    let archive = host.dir.path().join("image.tar");
    let tar = Command::new("tar")
        .arg("-C")
        .arg(&tree)
        .arg("-cf")
        .arg(&archive)
        .arg(".")
        .status()
        .unwrap();
    assert!(tar.success());
    let imported = root(&["import", archive.to_str().unwrap(), image]);
    assert!(imported.contains("sha256:"), "{imported}");
    for (uid, subnet) in tenants {
        let label = format!("io.aistack.owner={uid}");
        let name = format!("aistack-dev-gateway-{uid}");
        root(&[
            "network", "create", "--subnet", subnet, "--label", &label, &name,
        ]);
    }
    (host, clean)
}

#[test]
#[ignore = "needs root and a Docker Engine"]
fn two_tenants_use_the_docker_command_and_do_not_meet() {
    let (host, _clean, clients) = prepare();
    for client in &clients {
        works(&host, client);
        shows_sizes(&host, client);
        is_apart(&host, client);
        large_input_is_streamed(&host, client);
        what_writes_too_much_is_stopped(&host, client);
        root(&["rm", "-f", "tenant-62001-a", "tenant-62002-b"]);
    }
    let audit = host.audit();
    for operation in [
        "container.create",
        "container.start",
        "exec.create",
        "exec.start",
        "container.stop",
    ] {
        assert!(audit.contains(operation), "{operation}");
    }
}

pub(crate) fn ok(host: &TestHost, client: &str, uid: u32, arguments: &[&str]) -> String {
    let output = host
        .docker(client, uid)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{client} {arguments:?}: {}",
        said(&output)
    );
    said(&output)
}

pub(crate) fn fails(host: &TestHost, client: &str, uid: u32, arguments: &[&str], expected: &str) {
    let output = host
        .docker(client, uid)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = said(&output);
    assert!(
        !output.status.success() && text.contains(expected),
        "{client} {arguments:?}: {text}"
    );
}

fn works(host: &TestHost, client: &str) {
    let run = |arguments: &[&str]| ok(host, client, A, arguments);
    run(&[
        "run",
        "-d",
        "--name",
        "tenant-62001-a",
        "-m",
        "64m",
        IMAGE,
        "sh",
        "-c",
        "echo started; sleep 600",
    ]);
    run(&["ps"]);
    assert!(
        run(&["ps", "-a", "--format", "{{.Names}} {{.Image}}"]).contains("aistack-dev-gateway:1")
    );
    assert!(
        run(&[
            "inspect",
            "--format",
            "{{.State.Running}}",
            "tenant-62001-a"
        ])
        .contains("true")
    );
    assert!(run(&["logs", "tenant-62001-a"]).contains("started"));
    assert!(run(&["exec", "tenant-62001-a", "id"]).contains("uid=62001 gid=62001"));
    assert!(run(&["exec", "-w", "/bin", "tenant-62001-a", "id"]).contains("uid=62001"));
    let below = ["exec", "-w", "/tmp/x", "tenant-62001-a", "id"];
    fails(host, client, A, &below, "working-directory");
    assert!(run(&["stats", "--no-stream", "tenant-62001-a"]).contains("tenant-62001-a"));
    assert!(run(&["top", "tenant-62001-a"]).contains("sleep"));
    run(&["rename", "tenant-62001-a", "tenant-62001-c"]);
    run(&["rename", "tenant-62001-c", "tenant-62001-a"]);
    run(&["stop", "-t", "0", "tenant-62001-a"]);
    run(&["start", "tenant-62001-a"]);
    run(&["restart", "-t", "0", "tenant-62001-a"]);
    run(&["kill", "-s", "KILL", "tenant-62001-a"]);
    run(&["wait", "tenant-62001-a"]);
    run(&["start", "tenant-62001-a"]);
    assert!(run(&["version"]).contains("minimum version 1.24"));
    run(&["info"]);
    assert!(run(&["images"]).contains("aistack-dev-gateway"));
    assert!(run(&["network", "ls"]).contains("aistack-dev-gateway-62001"));
    // docker compose removes what its label filter gives it.
    for (filter, there) in [
        ("name=gateway-62001", true),
        ("name=no-such-network", false),
        ("label=com.docker.compose.project=x", false),
    ] {
        let listed = run(&["network", "ls", "--filter", filter]);
        assert_eq!(listed.contains("62001"), there, "{filter}: {listed}");
    }
    run(&["volume", "ls"]);
    let events = run(&["events", "--since", "1h", "--until", "0s"]);
    assert!(
        events.contains("tenant-62001-a") && !events.contains("tenant-62002"),
        "{events}"
    );
    assert!(
        run(&[
            "run",
            "--rm",
            "--name",
            "tenant-62001-r",
            "-m",
            "64m",
            IMAGE,
            "echo",
            "once"
        ])
        .contains("once")
    );
    let mut exec = host.docker(client, A);
    exec.args(["exec", "-i", "tenant-62001-a", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut exec = exec.spawn().unwrap();
    exec.stdin
        .take()
        .unwrap()
        .write_all(b"half closed")
        .unwrap();
    let mut text = String::new();
    exec.stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "half closed");
    assert!(exec.wait().unwrap().success());
}

fn shows_sizes(host: &TestHost, client: &str) {
    let listed = ok(host, client, A, &["ps", "-s"]);
    assert!(listed.contains("virtual"), "{listed}");
    let format = "{{.SizeRw}} {{.SizeRootFs}}";
    let inspect = ["inspect", "-s", "--format", format, "tenant-62001-a"];
    let sizes = ok(host, client, A, &inspect);
    let sizes: Vec<u64> = sizes
        .split_whitespace()
        .map(|size| size.parse().unwrap())
        .collect();
    assert!(sizes.len() == 2 && sizes[1] > sizes[0], "{sizes:?}");
}

fn is_apart(host: &TestHost, client: &str) {
    ok(
        host,
        client,
        B,
        &[
            "run",
            "-d",
            "--name",
            "tenant-62002-b",
            "-m",
            "64m",
            IMAGE,
            "sleep",
            "600",
        ],
    );
    let id = root(&["inspect", "--format", "{{.Id}}", "tenant-62001-a"]);
    let id = id.trim();
    assert!(!ok(host, client, B, &["ps", "-a"]).contains("62001"));
    assert!(!ok(host, client, B, &["network", "ls"]).contains("62001"));
    for target in ["tenant-62001-a", id, &id[..12]] {
        for verb in [
            &["logs"][..],
            &["stop"],
            &["rm"],
            &["kill"],
            &["start"],
            &["restart"],
            &["top"],
            &["attach"],
        ] {
            let arguments: Vec<&str> = verb.iter().copied().chain([target]).collect();
            fails(host, client, B, &arguments, "No such container");
        }
        fails(
            host,
            client,
            B,
            &["exec", target, "id"],
            "No such container",
        );
        fails(host, client, B, &["inspect", target], "such object");
    }
    let answer = |reference: &str| {
        let answer = host.raw(
            B,
            format!("GET /containers/{reference}/json HTTP/1.1\r\nHost: d\r\n\r\n").as_bytes(),
        );
        answer.replace(reference, "x")
    };
    assert_eq!(
        answer("tenant-62001-a"),
        answer("tenant-62001-z"),
        "foreign and missing are the same"
    );
    let name = "tenant-62002-probe";
    for (flags, expected) in [
        (&["--privileged"][..], "Privileged"),
        (&["--pid", "host"], "PidMode"),
        (&["--network", "host"], "NetworkMode"),
        (
            &["--network", "container:tenant-62001-a"],
            "No such container",
        ),
        (&["-v", "/:/host"], "Binds"),
        (&["--user", "0:0"], "User"),
        (&["--cap-add", "SYS_ADMIN"], "CapAdd"),
    ] {
        let mut arguments = vec!["run", "--rm", "--name", name];
        arguments.extend(flags);
        arguments.push(IMAGE);
        fails(host, client, B, &arguments, expected);
    }
    fails(
        host,
        client,
        B,
        &["pull", "quay.io/evil/image:1"],
        "tenants.images",
    );
    fails(host, client, B, &["volume", "create", "v"], "endpoint");
    fails(
        host,
        client,
        B,
        &["cp", "tenant-62002-b:/bin/sh", "/tmp/"],
        "endpoint",
    );
    assert!(
        root(&[
            "inspect",
            "--format",
            "{{.State.Running}}",
            "tenant-62001-a"
        ])
        .contains("true")
    );
}

/// The policy has 64 MiB for each layer: bytes, or files of 16 KiB.
fn what_writes_too_much_is_stopped(host: &TestHost, client: &str) {
    const NAME: &str = "tenant-62002-w";
    const BYTES: &str = "head -c 80m /dev/zero >/tmp/large; sleep 600";
    const FILES: &str = "i=0; while [ $i -lt 5000 ]; do : >/tmp/$i; i=$((i+1)); done; sleep 600";
    // More memory than is written: with cgroup v1, pages that a slow disk has not taken yet count as used, and
    // the kernel would end the container before the gateway does.
    for (program, words) in [
        (BYTES, "MiB outside of its mounts"),
        (FILES, "more than 4096 files"),
    ] {
        let run = [
            "run", "-d", "--name", NAME, "-m", "128m", IMAGE, "sh", "-c", program,
        ];
        ok(host, client, B, &run);
        let until = Instant::now() + Duration::from_mins(2);
        let state = [
            "inspect",
            "--format",
            "{{.State.Status}} {{.State.Error}} (code {{.State.ExitCode}}, out of memory: {{.State.OOMKilled}})",
            NAME,
        ];
        loop {
            let shown = ok(host, client, B, &state);
            if shown.starts_with("exited") && shown.contains(words) {
                break;
            }
            assert!(Instant::now() < until, "{program}: {shown}");
            // The gateway of another test, which has these tenants in its policy too, was first to stop it. The reason
            // is known before the stop, so that it is not this one's.
            if shown.starts_with("exited") {
                ok(host, client, B, &["rm", NAME]);
                ok(host, client, B, &run);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        fails(host, client, B, &["start", NAME], words);
        ok(host, client, B, &["rm", NAME]);
    }
}

fn large_input_is_streamed(host: &TestHost, client: &str) {
    const SIZE: usize = 200 << 20;
    let before = host.memory();
    let mut exec = host.docker(client, A);
    exec.args(["exec", "-i", "tenant-62001-a", "wc", "-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut exec = exec.spawn().unwrap();
    let mut stdin = exec.stdin.take().unwrap();
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..SIZE >> 20 {
        stdin.write_all(&chunk).unwrap();
    }
    let after = host.memory();
    drop(stdin);
    let mut text = String::new();
    exec.stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert!(exec.wait().unwrap().success());
    assert_eq!(text.trim(), SIZE.to_string());
    eprintln!(
        "{client}: 200 MiB through exec; the gateway had {before} KiB before and {after} KiB after"
    );
    assert!(
        after < before + 16 * 1024,
        "{before} KiB became {after} KiB"
    );
}
