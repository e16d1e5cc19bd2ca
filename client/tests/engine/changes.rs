//! Changes that fail are taken back, and what another run left or somebody else made is met.

use aistack::stack::lifecycle::LifecycleWorker;

use super::*;

#[tokio::test]
#[ignore = "needs root and a Docker Engine"]
async fn a_change_that_does_not_become_healthy_is_taken_back() {
    let engine = engine();
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
#[ignore = "needs root and a Docker Engine"]
async fn what_a_provider_cannot_make_stops_the_service_and_hides_its_input() {
    let engine = engine();
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

/// A service whose container a killed run has requested is not to be seen when the next run looks,
/// and has its name when that run makes it.
#[tokio::test]
#[ignore = "needs root and a Docker Engine"]
async fn what_a_killed_run_left_half_made_is_out_of_the_way() {
    let engine = engine();
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
#[ignore = "needs root and a Docker Engine"]
async fn a_container_of_another_kind_that_has_the_name_stays() {
    let engine = engine();
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
#[ignore = "needs root and a Docker Engine"]
async fn a_stop_is_waited_for_as_long_as_the_container_has_for_it() {
    let engine = engine();
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
#[ignore = "needs root and a Docker Engine"]
async fn what_was_changed_elsewhere_is_taken_back_with_the_change() {
    let engine = engine();
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

    // What does not come back is reported.
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
#[ignore = "needs root and a Docker Engine"]
async fn a_container_that_was_cut_off_holds_no_network_and_was_made_for_the_old_one() {
    let engine = engine();
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

/// Docker starts nothing that is paused.
#[tokio::test]
#[ignore = "needs root and a Docker Engine"]
async fn what_somebody_has_paused_is_started_by_start_and_by_deploy() {
    let engine = engine();
    let service = service("paused", FOREVER, "exit 0");
    let _cleanup = Cleanup(service.container.clone());
    let created = deployer(&engine, &service, Action::Create).await;
    created.work("paused").await.unwrap();
    let id = engine.inspect(&service.container).await.unwrap().id;
    let pause = || {
        let paused = docker(&["pause", &id]).stdout(Stdio::null()).status();
        assert!(paused.unwrap().success());
    };
    let runs = async || {
        engine
            .running()
            .await
            .unwrap()
            .iter()
            .any(|(other, _)| *other == id)
    };

    pause();
    let there = deployer(&engine, &service, Action::Start).await;
    let worker = LifecycleWorker {
        stop: false,
        start: Some(Gate::open(&engine)),
        engine: engine.clone(),
        services: there.services.clone(),
        containers: there.containers.clone(),
        progress: there.progress.clone(),
    };
    worker.work("paused").await.unwrap();
    assert!(runs().await);

    pause();
    let again = deployer(&engine, &service, Action::Start).await;
    again.work("paused").await.unwrap();
    assert!(runs().await);
    pause();
    engine.stop(&id).await.unwrap();
    assert!(!engine.inspect(&id).await.unwrap().running);
}
