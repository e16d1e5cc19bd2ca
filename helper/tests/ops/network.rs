//! The tenant's network against this machine's Docker.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::Command;
use std::time::{Duration, Instant};

use aistack_helper::ops::{self, Ops};
use aistack_policy::Grant;

use crate::test_host::{A, TestHost, runtime};

/// An image, and a container of it, that does nothing but live.
const SLEEPER: &str = "aistack-dev-ops-sleeper";

/// Removes every network and interface of these tests, before and after.
struct Clean<'a>(&'a Grant);

impl Drop for Clean<'_> {
    fn drop(&mut self) {
        for name in [
            self.0.network.name.clone(),
            format!("{}-other", self.0.network.name),
        ] {
            let listed = docker(
                &["network", "ls", "-q", "--no-trunc", "--filter"],
                &format!("name=^{name}$"),
            );
            for id in listed.lines() {
                docker(&["network", "rm"], id);
            }
        }
        docker(&["rm", "--force"], SLEEPER);
        docker(&["rmi", "--force"], SLEEPER);
        let link = ["link", "del", &self.0.network.bridge];
        drop(Command::new("ip").args(link).output());
    }
}

/// Every line that docker printed; nothing when it failed.
fn docker(arguments: &[&str], last: &str) -> String {
    let output = Command::new("docker")
        .args(["-H", "unix:///run/docker.sock"])
        .args(arguments)
        .arg(last)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn host() -> Option<(TestHost, Ops, Grant)> {
    let host = TestHost::start()?;
    if !std::path::Path::new("/run/docker.sock").exists() {
        eprintln!("SKIPPED: no Docker at /run/docker.sock");
        return None;
    }
    let (ops, grant) = (host.ops(), host.grant());
    Some((host, ops, grant))
}

/// Waits until no other run of this test on this machine uses the same name; held while it lives.
fn alone() -> UnixListener {
    let name = SocketAddr::from_abstract_name("aistack-dev-ops-network").unwrap();
    let until = Instant::now() + Duration::from_mins(2);
    loop {
        match UnixListener::bind_addr(&name) {
            Ok(held) => return held,
            Err(error) => assert!(Instant::now() < until, "another run has it still: {error}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn create(ops: &Ops, grant: &Grant) -> Result<(bool, String), ops::Error> {
    let answer = runtime().block_on(ops.create_network(grant))?;
    assert_eq!(answer.subnet, grant.network.subnet.to_string());
    Ok((answer.changed, answer.id))
}

fn reason(answer: Result<(bool, String), ops::Error>) -> &'static str {
    answer.unwrap_err().reason()
}

fn remove(ops: &Ops, grant: &Grant) -> Result<bool, ops::Error> {
    runtime()
        .block_on(ops.remove_network(grant))
        .map(|answer| answer.changed)
}

/// One test, since all of it is about one name, one bridge and one subnet.
#[test]
fn the_tenants_network_is_made_once_and_nobody_elses_is_adopted() {
    let Some((host, ops, grant)) = host() else {
        return;
    };
    let _alone = alone();
    drop(Clean(&grant));
    let _clean = Clean(&grant);
    let network = &grant.network;
    let (name, subnet) = (network.name.as_str(), network.subnet.to_string());
    assert!(!remove(&ops, &grant).unwrap());

    let (changed, id) = create(&ops, &grant).unwrap();
    assert!(changed && id.len() == 64);
    assert_eq!(create(&ops, &grant).unwrap(), (false, id.clone()));
    let state = runtime().block_on(ops.network_state(&grant)).unwrap();
    assert!(state.exists && state.id == id);
    let format = "{{.Driver}} {{.Internal}} {{.Attachable}} {{json .Labels}} \
        {{index .Options \"com.docker.network.bridge.name\"}} {{(index .IPAM.Config 0).Subnet}}";
    let shown = docker(&["network", "inspect", "--format", format], name);
    let label = format!("{{\"io.aistack.owner\":\"{A}\"}}");
    assert_eq!(
        shown.trim(),
        format!("bridge false false {label} {} {subnet}", network.bridge)
    );
    a_network_in_use_stays(&ops, &grant);
    assert!(remove(&ops, &grant).unwrap());
    assert!(!remove(&ops, &grant).unwrap());
    let gone = runtime().block_on(ops.network_state(&grant)).unwrap();
    assert!(!gone.exists);

    // Somebody else's network of that name.
    docker(&["network", "create", "--subnet", "10.212.0.0/24"], name);
    assert_eq!(reason(create(&ops, &grant)), "NETWORK_NAME_TAKEN");
    assert!(!remove(&ops, &grant).unwrap());
    let not_ours = runtime().block_on(ops.network_state(&grant)).unwrap();
    assert!(!not_ours.exists);
    assert!(!docker(&["network", "inspect", "--format", "{{.Id}}"], name).is_empty());
    docker(&["network", "rm"], name);

    // The tenant's own, of another shape.
    let owner = format!("io.aistack.owner={A}");
    docker(
        &[
            "network",
            "create",
            "--label",
            &owner,
            "--subnet",
            "10.212.0.0/24",
        ],
        name,
    );
    assert_eq!(reason(create(&ops, &grant)), "NETWORK_DIFFERS");
    assert!(remove(&ops, &grant).unwrap());

    // The subnet is taken by another Docker network.
    let other = format!("{name}-other");
    docker(&["network", "create", "--subnet", &subnet], &other);
    assert_eq!(reason(create(&ops, &grant)), "SUBNET_IN_USE");
    docker(&["network", "rm"], &other);

    // An interface of the bridge's name.
    let ip = |arguments: &[&str]| {
        let done = Command::new("ip").args(arguments).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    };
    ip(&["link", "add", &network.bridge, "type", "bridge"]);
    assert_eq!(reason(create(&ops, &grant)), "BRIDGE_IN_USE");
    // A route of the host that the subnet would hide.
    ip(&["link", "set", &network.bridge, "up"]);
    ip(&["link", "set", &network.bridge, "name", "aistack-dev-op"]);
    ip(&[
        "addr",
        "add",
        &format!("{}/16", network.gateway),
        "dev",
        "aistack-dev-op",
    ]);
    let hidden = reason(create(&ops, &grant));
    ip(&["link", "del", "aistack-dev-op"]);
    assert_eq!(hidden, "SUBNET_IN_USE");

    two_helpers_make_one_network(&host, &grant);
}

fn a_network_in_use_stays(ops: &Ops, grant: &Grant) {
    let pack = "tar -C / -ch /bin/sleep $(ldd /bin/sleep | grep -o '/[^ ]*')";
    let import = "docker -H unix:///run/docker.sock import -";
    let script = format!("{pack} 2>/dev/null | {import} {SLEEPER}");
    let made = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let network = grant.network.name.as_str();
    let run = [
        "run",
        "-d",
        "--network",
        network,
        "--name",
        SLEEPER,
        SLEEPER,
    ];
    docker(&[&run[..], &["/bin/sleep"]].concat(), "600");
    let shown = docker(&["inspect", "--format", "{{.State.Running}}"], SLEEPER);
    assert_eq!(shown.trim(), "true");
    assert_eq!(remove(ops, grant).unwrap_err().reason(), "NETWORK_IN_USE");
    docker(&["rm", "--force"], SLEEPER);
}

/// Two daemons, so that the turn inside of one does not help.
fn two_helpers_make_one_network(host: &TestHost, grant: &Grant) {
    for _ in 0..5 {
        let made: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| create(&host.ops(), grant)))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        let filter = format!("name=^{}$", grant.network.name);
        let listed = docker(&["network", "ls", "-q", "--filter"], &filter);
        assert_eq!(listed.lines().count(), 1, "{listed}");
        assert!(made.iter().any(Result::is_ok), "{made:?}");
        assert!(create(&host.ops(), grant).is_ok());
        assert!(remove(&host.ops(), grant).unwrap());
    }
}

#[test]
fn without_docker_it_is_said() {
    let Some(host) = TestHost::start() else {
        return;
    };
    let docker = aistack_helper::docker::Docker::new(&host.run().join("no.sock"));
    let ops = Ops::new(docker, host.socket(), host.run()).unwrap();
    assert_eq!(reason(create(&ops, &host.grant())), "DOCKER_UNREACHABLE");
    // A network that nobody could look for is not one that is gone: plans would recreate everything.
    assert_eq!(runtime().block_on(ops.network_state(&host.grant())), None);
}
