//! What a well-behaved caller gets.

use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use aistack_proto::v1;
use rustix::process::Signal;
use tonic::Code;

use super::test_host::{A, B, STRANGER, TestHost, chmod, details, policy};

#[tokio::test]
#[ignore = "needs root"]
async fn a_tenant_sees_its_own_grant_with_rules() {
    let tenants_host = TestHost::start();
    let answer = tenants_host
        .client(A)
        .await
        .who_am_i(v1::WhoAmIRequest {})
        .await;
    let me = answer.unwrap().into_inner();
    let grant = me.grant.unwrap();
    assert_eq!(grant.uid, A);
    assert_eq!(grant.base_dir, format!("/mnt/aistack-dev-core-{A}"));
    assert_eq!(grant.ports.unwrap().first, 20100);
    assert_eq!(grant.service_uids, [A + 1000]);
    assert_eq!(grant.volume.unwrap().size_bytes, 1 << 30);
    assert!(grant.rules["ports"].starts_with("tenants.ports (policy.toml:"));
    assert_eq!(me.helper_version, env!("CARGO_PKG_VERSION"));
    assert_eq!(me.policy_digest.len(), 64);
    // Nobody listens at its Docker socket.
    assert_eq!(me.network, None);
    let guard = me.guard.unwrap();
    assert_eq!(guard.state(), v1::NetworkGuardState::None);
    assert!(guard.open.contains(&"metadata-address".to_owned()));
    let other = tenants_host
        .client(B)
        .await
        .who_am_i(v1::WhoAmIRequest {})
        .await;
    assert_eq!(other.unwrap().into_inner().grant.unwrap().uid, B);
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_uid_without_a_grant_gets_one_typed_refusal_that_is_recorded() {
    let tenants_host = TestHost::start();
    for uid in [STRANGER, 0] {
        let mut client = tenants_host.client(uid).await;
        let status = client.who_am_i(v1::WhoAmIRequest {}).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
        let (reason, rule, hint) = details(&status);
        assert_eq!(
            (reason.as_str(), rule.as_str()),
            ("NO_GRANT", "tenants.uids")
        );
        assert!(hint.contains("administrator"));
    }
    let refused = tenants_host.records_of("refused");
    assert_eq!(refused.len(), 2);
    assert_eq!(refused[0]["uid"], STRANGER);
    assert_eq!(refused[0]["operation"], "whoami");
    assert_eq!(refused[1]["uid"], 0);
}

#[tokio::test]
#[ignore = "needs root"]
async fn what_cannot_be_done_says_why_and_is_recorded() {
    let tenants_host = TestHost::start();
    let mut client = tenants_host.client(A).await;
    let grow = client.grow_volume(v1::GrowVolumeRequest {}).await;
    let status = grow.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(details(&status).0, "MOUNT_WORKER_UNREACHABLE");
    let intents = tenants_host.records_of("intent");
    assert_eq!(intents.len(), 1);
    assert_eq!(intents[0]["operation"], "volume.grow");
    assert!(
        intents[0]["rule"]
            .as_str()
            .unwrap()
            .starts_with("tenants.volume (policy.toml:")
    );
    assert_eq!(intents[0]["decision"], "allowed");
    assert_eq!(intents[0]["uid"], A);
    let outcomes = tenants_host.records_of("outcome");
    assert_eq!(outcomes.len(), 1);
    assert_eq!(outcomes[0]["intent"], intents[0]["seq"]);
    assert!(
        outcomes[0]["error"]
            .as_str()
            .unwrap()
            .starts_with("MOUNT_WORKER_UNREACHABLE")
    );
}

/// The policy of these tests has `apparmor = "if-available"`.
#[tokio::test]
#[ignore = "needs root and a kernel without AppArmor"]
async fn without_apparmor_a_load_succeeds_without_profiles_and_the_log_says_so() {
    let tenants_host = TestHost::start();
    let mut client = tenants_host.client(A).await;
    let load = client.load_app_armor(v1::LoadAppArmorRequest {}).await;
    let answer = load.unwrap().into_inner();
    assert!(answer.profiles.is_empty() && !answer.changed);
    let who = client.who_am_i(v1::WhoAmIRequest {}).await;
    let state = who.unwrap().into_inner().apparmor.unwrap();
    assert!(!state.kernel_enabled && !state.profiles_loaded);
    assert!(state.summary.contains("does not enforce AppArmor"));
    let intents = tenants_host.records_of("intent");
    assert_eq!(intents[0]["operation"], "apparmor.load");
    let rule = intents[0]["rule"].as_str().unwrap();
    assert!(rule.starts_with("tenants.apparmor (policy.toml:"), "{rule}");
    let outcomes = tenants_host.records_of("outcome");
    assert_eq!(outcomes[0]["outcome"], "done");
    let note = outcomes[0]["note"].as_str().unwrap();
    assert!(note.contains("does not enforce AppArmor"), "{note}");
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_bad_name_is_refused_before_anything_happens() {
    let tenants_host = TestHost::start();
    let mut client = tenants_host.client(A).await;
    let directory = |service: &str| v1::ServiceDirectory {
        service: service.to_owned(),
        kind: v1::DirectoryKind::Data.into(),
        owner: v1::DirectoryOwner::Tenant.into(),
    };
    let request = |directories| v1::PrepareDirectoriesRequest { directories };
    let escape = client
        .prepare_directories(request(vec![directory("../../etc")]))
        .await
        .unwrap_err();
    assert_eq!(escape.code(), Code::InvalidArgument);
    assert_eq!(details(&escape).0, "BAD_SERVICE_NAME");
    let many = client
        .prepare_directories(request(vec![directory("n8n"); 129]))
        .await
        .unwrap_err();
    assert_eq!(details(&many).0, "TOO_MANY_DIRECTORIES");
    let nothing = v1::ChownRequest { directory: None };
    let unnamed = client.chown(nothing).await.unwrap_err();
    assert_eq!(details(&unnamed).0, "DIRECTORY_NOT_NAMED");
    assert_eq!(tenants_host.records_of("intent").len(), 0);
    assert_eq!(tenants_host.records_of("refused").len(), 3);
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_reload_takes_a_good_policy_and_keeps_it_over_a_bad_one() {
    let mut tenants_host = TestHost::start();
    let allowed = async |tenants_host: &TestHost, uid| {
        let mut client = tenants_host.client(uid).await;
        client.who_am_i(v1::WhoAmIRequest {}).await.is_ok()
    };
    let daemon_said = |tenants_host: &TestHost, what: &str| {
        tenants_host
            .records_of("daemon")
            .iter()
            .filter(|record| record["what"] == what)
            .count()
    };
    // One connection that outlives the reload: the policy is read for every call.
    let mut b = tenants_host.client(B).await;
    assert!(b.who_am_i(v1::WhoAmIRequest {}).await.is_ok());
    tenants_host.write_policy(&policy("61001-61001"));
    tenants_host.signal(Signal::HUP);
    tenants_host.wait_for("the reload", || {
        daemon_said(&tenants_host, "policy-reloaded") == 1
    });
    assert!(allowed(&tenants_host, A).await);
    let gone = b.who_am_i(v1::WhoAmIRequest {}).await.unwrap_err();
    assert_eq!(details(&gone).0, "NO_GRANT");
    tenants_host.write_policy("version = 1\nnonsense = true\n");
    tenants_host.signal(Signal::HUP);
    tenants_host.wait_for("the refusal", || {
        daemon_said(&tenants_host, "policy-refused") == 1
    });
    assert!(
        allowed(&tenants_host, A).await,
        "the last good policy stays"
    );
    assert!(tenants_host.said().contains("policy not reloaded"));
    assert_eq!(tenants_host.end(Signal::TERM), Some(0));
    assert_eq!(daemon_said(&tenants_host, "stop"), 1);
    let (_, verified) = tenants_host.audit(&["verify"]);
    let head = verified.trim().rsplit(' ').next().unwrap();
    assert!(
        tenants_host.said().contains(head),
        "the last head is in the daemon's own log"
    );
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_second_daemon_does_not_take_the_socket_and_a_stale_one_is_replaced() {
    let mut tenants_host = TestHost::start();
    let first = tenants_host.daemon.take();
    let again = std::process::Command::new(env!("CARGO_BIN_EXE_aistack-helper"))
        .arg("serve")
        .arg("--policy")
        .arg(tenants_host.path("policy.toml"))
        .arg("--socket")
        .arg(tenants_host.socket())
        .arg("--audit-dir")
        .arg(tenants_host.path("other-audit"))
        .arg("--state-dir")
        .arg(tenants_host.path("state"))
        .output()
        .unwrap();
    assert!(!again.status.success());
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(said.contains("another process already listens"), "{said}");
    tenants_host.daemon = first;
    tenants_host.end(Signal::KILL);
    assert!(tenants_host.socket().exists());
    tenants_host.start_daemon();
    assert!(
        tenants_host
            .client(A)
            .await
            .who_am_i(v1::WhoAmIRequest {})
            .await
            .is_ok()
    );
}

#[tokio::test]
#[ignore = "needs root"]
async fn the_daemon_keeps_few_privileges_and_its_files_are_its_own() {
    use std::os::unix::fs::MetadataExt;
    let tenants_host = TestHost::start();
    let status = std::fs::read_to_string(format!(
        "/proc/{}/status",
        tenants_host.pid().as_raw_nonzero()
    ))
    .unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    // CHOWN (0), DAC_READ_SEARCH (2), FOWNER (3) and MAC_ADMIN (33), capabilities(7).
    let kept = "000000020000000d";
    assert_eq!(field("CapEff:"), kept);
    assert_eq!(field("CapPrm:"), kept);
    assert_eq!(field("CapBnd:"), kept);
    assert_eq!(field("CapInh:"), "0000000000000000");
    assert_eq!(field("CapAmb:"), "0000000000000000");
    assert_eq!(field("NoNewPrivs:"), "1");
    assert_eq!(field("Umask:"), "0077");
    let log = std::fs::metadata(tenants_host.audit_dir().join("helper.jsonl")).unwrap();
    assert_eq!(log.mode() & 0o7777, 0o600);
    let socket = std::fs::metadata(tenants_host.socket()).unwrap();
    assert_eq!(socket.mode() & 0o7777, 0o666);
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_socket_that_systemd_passes_is_used_and_left_alone() {
    let mut tenants_host = TestHost::prepare();
    let listener = std::os::unix::net::UnixListener::bind(tenants_host.socket()).unwrap();
    chmod(&tenants_host.socket(), 0o666);
    // systemd's protocol (sd_listen_fds(3)): descriptor 3, and the PID that it is meant for.
    let flags = rustix::io::FdFlags::empty();
    rustix::io::fcntl_setfd(&listener, flags).unwrap();
    let script = format!(
        "exec 3<&{}; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"",
        listener.as_raw_fd()
    );
    tenants_host.spawn(|command| {
        let mut through_bash = std::process::Command::new("bash");
        through_bash.args(["-c", &script, "bash"]);
        through_bash
            .arg(command.get_program())
            .args(command.get_args());
        through_bash
    });
    drop(listener);
    tenants_host.wait_for("the daemon", || tenants_host.said().contains("answers"));
    assert!(
        tenants_host
            .client(A)
            .await
            .who_am_i(v1::WhoAmIRequest {})
            .await
            .is_ok()
    );
    assert_eq!(tenants_host.end(Signal::TERM), Some(0));
    assert!(tenants_host.socket().exists(), "the socket is systemd's");
}

/// The unit gives the daemon no network; the socket is of the host's, and the guard is there.
#[tokio::test]
#[ignore = "needs root, nft and network namespaces"]
async fn a_daemon_without_a_network_sees_the_guard_by_the_socket_that_systemd_passes() {
    use std::process::Command;
    let mut tenants_host = TestHost::prepare();
    let host = format!("aif-{}", std::process::id());
    let ip = |args: &[&str]| Command::new("ip").args(args).status();
    assert!(ip(&["netns", "add", &host]).unwrap().success());
    let inside = |program: &[&str]| {
        let args = [&["netns", "exec", &host], program].concat();
        assert!(ip(&args).unwrap().success(), "{program:?}");
    };
    inside(&["ip", "link", "set", "lo", "up"]);
    let udp = std::thread::scope(|scope| {
        let bind = || {
            let ns = std::fs::File::open(format!("/run/netns/{host}")).unwrap();
            let kind = rustix::thread::LinkNameSpaceType::Network;
            rustix::thread::move_into_link_name_space(ns.as_fd(), Some(kind)).unwrap();
            std::net::UdpSocket::bind("127.86.0.2:86").unwrap()
        };
        scope.spawn(bind).join().unwrap()
    });
    let listener = std::os::unix::net::UnixListener::bind(tenants_host.socket()).unwrap();
    chmod(&tenants_host.socket(), 0o666);
    for fd in [udp.as_fd(), listener.as_fd()] {
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty()).unwrap();
    }
    // The order of systemd's is that of its units' names.
    let script = format!(
        "exec 8<&{} 9<&{}; exec 3<&8 4<&9; LISTEN_FDS=2 LISTEN_PID=$$ exec \"$@\"",
        udp.as_raw_fd(),
        listener.as_raw_fd()
    );
    tenants_host.spawn(|command| {
        let mut through_bash = Command::new("unshare");
        through_bash.args(["--net", "bash", "-c", &script, "bash"]);
        through_bash
            .arg(command.get_program())
            .args(command.get_args());
        through_bash
    });
    drop(listener);
    tenants_host.wait_for("the daemon", || tenants_host.said().contains("answers"));
    let state = async || {
        let answer = tenants_host
            .client(A)
            .await
            .who_am_i(v1::WhoAmIRequest {})
            .await;
        answer.unwrap().into_inner().guard.unwrap().state()
    };
    assert_eq!(state().await, v1::NetworkGuardState::None);
    let (policy, kept) = (
        tenants_host.path("policy.toml"),
        tenants_host.path("guard.json"),
    );
    let helper = env!("CARGO_BIN_EXE_aistack-helper");
    let (policy, kept) = (policy.to_str().unwrap(), kept.to_str().unwrap());
    inside(&[
        helper, "guard", "apply", "--policy", policy, "--state", kept,
    ]);
    assert_eq!(state().await, v1::NetworkGuardState::InForce);
    inside(&["nft", "flush", "ruleset"]);
    assert_eq!(state().await, v1::NetworkGuardState::None);
    assert_eq!(tenants_host.end(Signal::TERM), Some(0));
    ip(&["netns", "del", &host]).unwrap();
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_call_takes_little_time() {
    let tenants_host = TestHost::start();
    let mut client = tenants_host.client(A).await;
    let mut median = async |changes: bool| {
        let mut times = Vec::new();
        for _ in 0..50 {
            let started = Instant::now();
            if changes {
                let _ = client.grow_volume(v1::GrowVolumeRequest {}).await;
            } else {
                client.who_am_i(v1::WhoAmIRequest {}).await.unwrap();
            }
            times.push(started.elapsed());
        }
        times.sort();
        times[25]
    };
    let (read, change) = (median(false).await, median(true).await);
    println!("median of 50 calls: WhoAmI {read:?}, a change with two durable records {change:?}");
    assert!(read < Duration::from_millis(200) && change < Duration::from_millis(500));
    assert_eq!(tenants_host.records_of("outcome").len(), 50);
}
