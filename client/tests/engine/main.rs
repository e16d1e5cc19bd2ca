//! Deploying one service on a real Docker Engine: health from events, reports, the way back.
//! Talks to the engine itself, as root; the gateway between them is tested by the journey.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, in its helper functions too"
)]

mod changes;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use aistack::args::{Globals, ProgressMode};
use aistack::catalog::Phase;
use aistack::desired::{
    DesiredService, Fingerprint, LABEL_SERVICE, Provision, StartLimits, TimeScale,
};
use aistack::engine::{Container, Engine, Health, Joined};
use aistack::exit::Exit;
use aistack::plan::Action;
use aistack::stack::configs::Previous;
use aistack::stack::deployer::Deployer;
use aistack::stack::gate::Gate;
use aistack::stack::graph::Worker;
use aistack::ui::{Printer, Progress};
use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, RestartPolicy, RestartPolicyNameEnum,
};

const SOCKET: &str = "/run/docker.sock";
const IMAGE: &str = "aistack-test-client:1";

fn docker(arguments: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command
        .args(["-H", "unix:///run/docker.sock"])
        .args(arguments);
    command
}

/// The engine with the test's image on it.
fn engine() -> Engine {
    static READY: OnceLock<()> = OnceLock::new();
    READY.get_or_init(|| {
        let succeeds = |arguments: &[&str]| {
            let mut command = docker(arguments);
            let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
            quiet.status().is_ok_and(|status| status.success())
        };
        assert!(
            succeeds(&["version"]),
            "no Docker Engine answers on {SOCKET}"
        );
        // Each test is a process of its own.
        if !succeeds(&["image", "inspect", IMAGE]) {
            import_image();
        }
    });
    Engine::at(Path::new(SOCKET)).unwrap()
}

/// An image of this host's own shell and what it is linked with: no registry is queried.
fn import_image() {
    let script = format!(
        "set -e; files=$(for b in sh sleep cat; do command -v $b; done); \
         libs=$(ldd $files | grep -o '/[^ ]*\\.so[^ ]*' | sort -u); \
         tar -C / -ch $(echo $files $libs | sed 's#^/##; s# /# #g') \
         | docker -H unix://{SOCKET} import - {IMAGE} >/dev/null"
    );
    let made = Command::new("sh").args(["-c", &script]).status().unwrap();
    assert!(made.success());
}

/// Removes its container, however the test ends.
struct Cleanup(String);

impl Drop for Cleanup {
    fn drop(&mut self) {
        let mut remove = docker(&["rm", "-f", &self.0]);
        drop(remove.stdout(Stdio::null()).stderr(Stdio::null()).status());
    }
}

/// A service that runs `script`; its probe is `probe`.
fn service(name: &str, script: &str, probe: &str) -> DesiredService {
    let second = 1_000_000_000;
    let words = |words: &[&str]| Some(words.iter().map(|&word| word.to_owned()).collect());
    DesiredService {
        name: name.to_owned(),
        phase: Phase::Services,
        container: format!("aistack-test-client-{}-{name}", std::process::id()),
        image: IMAGE.to_owned(),
        reference: IMAGE.to_owned(),
        locked: None,
        needs: Vec::new(),
        after: Vec::new(),
        network_of: None,
        body: ContainerCreateBody {
            image: Some(IMAGE.to_owned()),
            cmd: words(&["/usr/bin/sh", "-c", script]),
            labels: Some(HashMap::from([(LABEL_SERVICE.to_owned(), name.to_owned())])),
            healthcheck: Some(HealthConfig {
                test: words(&["CMD", "/usr/bin/sh", "-c", probe]),
                interval: Some(second),
                timeout: Some(10 * second),
                retries: Some(2),
                ..HealthConfig::default()
            }),
            stop_timeout: Some(1),
            ..ContainerCreateBody::default()
        },
        fingerprint: Fingerprint::default(),
        start_limits: StartLimits {
            timeout: Duration::from_secs(30),
            exits: 1,
            scale: TimeScale::default(),
        },
        provisions: Vec::new(),
        endpoints: Vec::new(),
        checks: Vec::new(),
        renewal: None,
    }
}

async fn deployer(engine: &Engine, service: &DesiredService, action: Action) -> Deployer {
    let printer = Printer::new(&Globals {
        progress: ProgressMode::Quiet,
        ..Globals::default()
    });
    let name = service.name.clone();
    let containers = engine.list().await.unwrap();
    let own = containers
        .into_iter()
        .find(|container: &Container| container.name == service.container);
    Deployer {
        engine: engine.clone(),
        gate: Gate::open(engine),
        services: BTreeMap::from([(name.clone(), service.clone())]),
        actions: BTreeMap::from([(name.clone(), action)]),
        containers: own.into_iter().map(|own| (name.clone(), own)).collect(),
        previous_configs: Previous::new(),
        progress: Progress::new(printer),
    }
}

const FOREVER: &str = "echo ready; exec /usr/bin/sleep 1000";

#[tokio::test]
#[ignore = "needs root and a Docker Engine"]
async fn a_service_is_done_when_it_is_healthy_and_its_output_is_read() {
    let engine = engine();
    let service = service("well", FOREVER, "echo fine");
    let _cleanup = Cleanup(service.container.clone());
    let deployer = deployer(&engine, &service, Action::Create).await;
    deployer.work("well").await.unwrap();
    let inspection = engine.inspect(&service.container).await.unwrap();
    assert_eq!(inspection.health, Health::Healthy);
    assert_eq!(engine.last_log_lines(&inspection.id, 5).await, ["ready"]);

    let command = ["/usr/bin/cat"].map(str::to_owned);
    let said = engine.exec(&inspection.id, &command, "over\nstdin\n").await;
    let said = said.unwrap();
    assert_eq!((said.code, said.text.as_str()), (0, "over\nstdin\n"));
    let command = ["/usr/bin/sh", "-c", "exit 7"].map(str::to_owned);
    let said = engine.exec(&inspection.id, &command, "").await.unwrap();
    assert_eq!(said.code, 7);
}

/// More than all buffers on the way hold: a command that echoes must not wait for itself.
#[tokio::test]
#[ignore = "needs root and a Docker Engine"]
async fn a_command_that_echoes_a_lot_gives_every_byte_back() {
    const BYTES: usize = 32 * 1024 * 1024;
    let engine = engine();
    let service = service("echoes", FOREVER, "exit 0");
    let _cleanup = Cleanup(service.container.clone());
    let deployer = deployer(&engine, &service, Action::Create).await;
    deployer.work("echoes").await.unwrap();
    let sent: Vec<u8> = (0..=250).cycle().take(BYTES).collect();
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let streams = (std::io::Cursor::new(sent.clone()), &mut out, &mut errors);
    let (_sizes, changes) = tokio::sync::mpsc::channel(1);
    let command = ["/usr/bin/sh", "-c", "cat; echo done >&2; exit 3"].map(str::to_owned);
    let joined = Joined { terminal: None };
    let all = engine.attach_to(&service.container, &command, joined, changes, streams);
    let code = tokio::time::timeout(Duration::from_mins(2), all).await;
    assert_eq!(code.unwrap().unwrap(), 3);
    assert!(out == sent, "{} of {BYTES} bytes, or others", out.len());
    assert_eq!(errors, b"done\n");
}

#[tokio::test]
#[ignore = "needs root and a Docker Engine"]
async fn what_runs_is_listed_by_name_and_what_was_stopped_is_not() {
    let engine = engine();
    let service = service("listed", FOREVER, "exit 0");
    let _cleanup = Cleanup(service.container.clone());
    let deployer = deployer(&engine, &service, Action::Create).await;
    deployer.work("listed").await.unwrap();
    let own = async || {
        let running = engine.running().await.unwrap();
        running
            .into_iter()
            .find(|(_, name)| *name == service.container)
    };
    let (id, _) = own().await.unwrap();
    let inspection = engine.inspect(&id).await.unwrap();
    // Docker names the label of its processes, and none where the kernel has no AppArmor.
    let enabled = std::fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    let confined = enabled.is_ok_and(|enabled| enabled.trim() == "Y");
    assert_eq!(inspection.apparmor.is_empty(), !confined);
    engine.stop(&id).await.unwrap();
    assert_eq!(own().await, None);
}

#[tokio::test]
#[ignore = "needs root and a Docker Engine"]
async fn a_service_that_exits_is_reported_at_once_with_its_code_and_log() {
    let engine = engine();
    let script = "echo starting; sleep 1; echo 'open /data/x: Permission denied'; exit 3";
    let mut service = service("exits", script, "exit 0");
    service.body.healthcheck = service.body.healthcheck.map(|health| HealthConfig {
        interval: Some(20_000_000_000),
        ..health
    });
    let _cleanup = Cleanup(service.container.clone());
    let deployer = deployer(&engine, &service, Action::Create).await;
    let began = Instant::now();
    let report = deployer.work("exits").await.unwrap_err();
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "not reported in time"
    );
    assert_eq!((report.exit, report.exit_code), (Exit::NotHealthy, Some(3)));
    assert_eq!(report.log.len(), 2);
    assert!(report.cause.unwrap().contains("different user"));
}

#[tokio::test]
#[ignore = "needs root and a Docker Engine"]
async fn a_service_that_may_exit_again_is_waited_for() {
    let engine = engine();
    // Its file system outlives a restart: it gives up twice.
    let script = "echo x >>/tries; n=0; while read -r _; do n=$((n + 1)); done </tries; \
                  [ $n -ge 3 ] || exit 9; echo up >/up; exec /usr/bin/sleep 1000";
    let restarting = |name: &str, exits| {
        let mut service = service(name, script, "[ -e /up ]");
        service.start_limits.exits = exits;
        service.body.host_config = Some(HostConfig {
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::UNLESS_STOPPED),
                maximum_retry_count: None,
            }),
            ..HostConfig::default()
        });
        service
    };
    for (name, exits, comes_up) in [("patient", 3, true), ("impatient", 2, false)] {
        let service = restarting(name, exits);
        let _cleanup = Cleanup(service.container.clone());
        let deployer = deployer(&engine, &service, Action::Create).await;
        let outcome = deployer.work(&service.name).await;
        assert_eq!(outcome.is_ok(), comes_up, "{name}: {outcome:?}");
        if let Err(report) = outcome {
            // Docker may have started it once more before it was looked at.
            let again = report.problem.starts_with("exits again and again");
            assert_eq!(report.exit_code, (!again).then_some(9), "{report:?}");
        }
    }
}

#[tokio::test]
#[ignore = "needs root and a Docker Engine"]
async fn more_cpus_than_the_host_has_are_all_of_them() {
    let engine = engine();
    let mut service = service("greedy", FOREVER, "exit 0");
    service.body.host_config = Some(HostConfig {
        nano_cpus: Some(100_000_000_000_000),
        ..HostConfig::default()
    });
    let _cleanup = Cleanup(service.container.clone());
    let deployer = deployer(&engine, &service, Action::Create).await;
    deployer.work("greedy").await.unwrap();
    let given = docker(&[
        "inspect",
        "-f",
        "{{.HostConfig.NanoCpus}}",
        &service.container,
    ]);
    let all = docker(&["info", "-f", "{{.NCPU}}000000000"]);
    let [given, all] = [given, all].map(|mut command| command.output().unwrap().stdout);
    assert_eq!(given, all);
}
