//! Deploying one service on a real Docker Engine: health from events, reports, the way back.
//! Talks to the engine itself, as root; the gateway between them is tested by the journey.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed, in its helper functions too; a skipped one says so"
)]

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

/// The engine with the test's image on it, `None` (said out loud) where there is none.
fn engine() -> Option<Engine> {
    static READY: OnceLock<bool> = OnceLock::new();
    let ready = READY.get_or_init(|| {
        let answers = docker(&["version"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        let answers = answers.is_ok_and(|status| status.success());
        let has_image = || {
            docker(&["image", "inspect", IMAGE])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
        };
        if answers {
            // Each test is a process of its own.
            if !has_image().is_ok_and(|status| status.success()) {
                import_image();
            }
        } else {
            println!("SKIPPED: no Docker Engine answers on {SOCKET}");
        }
        answers
    });
    ready.then(|| Engine::at(Path::new(SOCKET)).unwrap())
}

/// An image of this host's own shell and what it is linked with: no registry is asked.
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
async fn a_service_is_done_when_it_is_healthy_and_its_output_is_read() {
    let Some(engine) = engine() else { return };
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
async fn a_command_that_echoes_a_lot_gives_every_byte_back() {
    const BYTES: usize = 32 * 1024 * 1024;
    let Some(engine) = engine() else { return };
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
async fn what_runs_is_listed_by_name_and_what_was_stopped_is_not() {
    let Some(engine) = engine() else { return };
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
async fn a_service_that_exits_is_told_at_once_with_its_code_and_log() {
    let Some(engine) = engine() else { return };
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
        "not told in time"
    );
    assert_eq!((report.exit, report.exit_code), (Exit::NotHealthy, Some(3)));
    assert_eq!(report.log.len(), 2);
    assert!(report.cause.unwrap().contains("another user"));
}

#[tokio::test]
async fn a_service_that_may_exit_again_is_waited_for() {
    let Some(engine) = engine() else { return };
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
async fn more_cpus_than_the_host_has_are_all_of_them() {
    let Some(engine) = engine() else { return };
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

#[tokio::test]
async fn a_change_that_does_not_become_healthy_is_taken_back() {
    let Some(engine) = engine() else { return };
    let good = service("change", FOREVER, "exit 0");
    let _cleanup = Cleanup(good.container.clone());
    let first = deployer(&engine, &good, Action::Create).await;
    first.work("change").await.unwrap();

    let bad = service("change", FOREVER, "echo 'no answer'; exit 1");
    let replace = Action::Replace {
        because: vec!["health".to_owned()],
    };
    let second = deployer(&engine, &bad, replace).await;
    let report = second.work("change").await.unwrap_err();
    assert!(report.problem.contains("unhealthy"), "{}", report.problem);
    assert_eq!(report.probe.as_deref().map(str::trim), Some("no answer"));
    assert!(report.restored, "what ran before does not run again");
    let now = engine.inspect(&good.container).await.unwrap();
    assert_eq!(now.health, Health::Healthy);
    let probe = now.config.healthcheck.unwrap().test.unwrap();
    assert_eq!(probe.last().map(String::as_str), Some("exit 0"));
}

#[tokio::test]
async fn what_a_provider_cannot_make_stops_the_service_and_hides_its_input() {
    let Some(engine) = engine() else { return };
    let provider = service("provider", FOREVER, "exit 0");
    let _provider = Cleanup(provider.container.clone());
    let created = deployer(&engine, &provider, Action::Create).await;
    created.work("provider").await.unwrap();

    let mut needy = service("needy", FOREVER, "exit 0");
    let _needy = Cleanup(needy.container.clone());
    let script = "cat; exit 5";
    needy.provisions = vec![Provision {
        provider: "provider".to_owned(),
        title: "database x".to_owned(),
        command: ["/usr/bin/sh", "-c", script].map(str::to_owned).into(),
        stdin: "password 0123456789abcdef0123\n".to_owned(),
        remember: String::new(),
    }];
    let mut create = deployer(&engine, &needy, Action::Create).await;
    create.services.insert("provider".to_owned(), provider);
    let report = create.work("needy").await.unwrap_err();
    assert_eq!(
        report.problem,
        "cannot prepare database x in provider: exit code 5"
    );
}

/// A service whose container a killed run has asked for is not to be seen when the next run looks,
/// and has its name when that run makes it.
#[tokio::test]
async fn what_a_killed_run_left_half_made_is_out_of_the_way() {
    let Some(engine) = engine() else { return };
    let service = service("half", FOREVER, "exit 0");
    let _cleanup = Cleanup(service.container.clone());
    let deployer = deployer(&engine, &service, Action::Create).await;
    let mut old = service.body.clone();
    old.stop_timeout = Some(77);
    let left = engine.create(&service.container, old).await.unwrap();
    deployer.work("half").await.unwrap();
    let now = engine.inspect(&service.container).await.unwrap();
    assert_ne!(now.id, left);
    assert_eq!(now.stop_grace(), Some(Duration::from_secs(1)));
}

#[tokio::test]
async fn a_container_of_another_kind_that_has_the_name_stays() {
    let Some(engine) = engine() else { return };
    let service = service("taken", FOREVER, "exit 0");
    let _cleanup = Cleanup(service.container.clone());
    let deployer = deployer(&engine, &service, Action::Create).await;
    let mut own = service.body.clone();
    own.labels = None;
    let there = engine.create(&service.container, own).await.unwrap();
    let report = deployer.work("taken").await.unwrap_err();
    assert!(report.problem.contains("already in use"), "{report:?}");
    let now = engine.inspect(&service.container).await.unwrap();
    assert_eq!(now.id, there);
}

/// However short an answer may take: a stop takes as long as the container says.
#[tokio::test]
async fn a_stop_is_waited_for_as_long_as_the_container_has_for_it() {
    let Some(engine) = engine() else { return };
    let mut service = service(
        "stubborn",
        "trap '' TERM; while :; do /usr/bin/sleep 1; done",
        "exit 0",
    );
    service.body.stop_timeout = Some(12);
    let _cleanup = Cleanup(service.container.clone());
    let deployer = deployer(&engine, &service, Action::Create).await;
    deployer.work("stubborn").await.unwrap();
    let hasty = engine.clone().answering_within(Duration::from_secs(8));
    let began = Instant::now();
    hasty.stop(&service.container).await.unwrap();
    let took = began.elapsed();
    assert!(
        took >= Duration::from_secs(9),
        "stopped in {took:?}: it does not test this"
    );
    let now = engine.inspect(&service.container).await.unwrap();
    assert!(!now.running);
}

/// A provider whose password is in a file: what is fed to its shell sets it, and asks for it.
#[tokio::test]
async fn what_was_changed_elsewhere_is_taken_back_with_the_change() {
    let Some(engine) = engine() else { return };
    let provider = service("keeper", FOREVER, "exit 0");
    let _provider = Cleanup(provider.container.clone());
    let made = deployer(&engine, &provider, Action::Create).await;
    made.work("keeper").await.unwrap();
    let password = async || {
        let command = ["/usr/bin/cat", "/password"].map(str::to_owned);
        let said = engine.exec(&provider.container, &command, "").await;
        said.unwrap().text.trim().to_owned()
    };
    let provision = |password: &str| Provision {
        provider: "keeper".to_owned(),
        title: "password".to_owned(),
        command: vec!["/usr/bin/sh".to_owned()],
        stdin: format!("echo {password} >/password\n"),
        remember: "if [ -e /password ]; then read -r p </password; \
                   echo \"echo $p >/password\"; fi\n"
            .to_owned(),
    };
    let mut good = service("user", FOREVER, "exit 0");
    let _user = Cleanup(good.container.clone());
    good.provisions = vec![provision("old")];
    let mut create = deployer(&engine, &good, Action::Create).await;
    create
        .services
        .insert("keeper".to_owned(), provider.clone());
    create.work("user").await.unwrap();
    assert_eq!(password().await, "old");

    let mut bad = service("user", FOREVER, "echo 'no answer'; exit 1");
    bad.provisions = vec![provision("new")];
    let replace = || Action::Replace {
        because: vec!["environment.PASSWORD".to_owned()],
    };
    let mut change = deployer(&engine, &bad, replace()).await;
    change
        .services
        .insert("keeper".to_owned(), provider.clone());
    let report = change.work("user").await.unwrap_err();
    assert!(report.restored, "{report:?}");
    assert_eq!(password().await, "old");
    assert_eq!(
        report.now.as_deref(),
        Some("rolled back to what ran before")
    );

    // What does not come back is told.
    bad.provisions = vec![Provision {
        remember: "echo exit 9\n".to_owned(),
        ..provision("new")
    }];
    let mut change = deployer(&engine, &bad, replace()).await;
    change
        .services
        .insert("keeper".to_owned(), provider.clone());
    let report = change.work("user").await.unwrap_err();
    assert!(!report.restored, "{report:?}");
    let now = report.now.unwrap();
    assert!(
        now.contains("was not restored") && now.contains("exit code 9"),
        "{now}"
    );
}

/// Removes its network, however the test ends.
struct Network(String);

impl Drop for Network {
    fn drop(&mut self) {
        let mut remove = docker(&["network", "rm", &self.0]);
        drop(remove.stdout(Stdio::null()).stderr(Stdio::null()).status());
    }
}

#[tokio::test]
async fn a_container_that_was_cut_off_holds_no_network_and_was_made_for_the_old_one() {
    let Some(engine) = engine() else { return };
    let network = Network(format!("aistack-test-client-{}", std::process::id()));
    let said = |arguments: &[&str]| {
        let output = docker(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let id = said(&["network", "create", &network.0]);
    let mut service = service("cut", FOREVER, "exit 0");
    service.body.host_config = Some(HostConfig {
        network_mode: Some(id.clone()),
        ..HostConfig::default()
    });
    let _cleanup = Cleanup(service.container.clone());
    let held = async || {
        let listed = engine.list().await.unwrap().into_iter();
        let mut own = listed.filter(|own| own.name == service.container);
        own.next().unwrap().held
    };
    let made = deployer(&engine, &service, Action::Create).await;
    made.work("cut").await.unwrap();
    let before = held().await;
    assert_eq!(before.made_for.as_ref(), Some(&id));
    assert!(before.networks.contains(&id), "{before:?}");
    said(&["network", "disconnect", &id, &service.container]);
    let after = held().await;
    assert_eq!(after.made_for.as_ref(), Some(&id));
    assert!(after.networks.is_empty(), "{after:?}");
}
