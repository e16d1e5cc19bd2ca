//! Clients that tenants use beside the docker command, unchanged, through the gateway to the real dockerd:
//! docker compose and docker-py. `tests/tools/clients` gets them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use super::dockerd::{Clean, prepare_for};
use super::test_host::{TestHost, said};

/// The tenant of docker compose, and that of docker-py.
const COMPOSE: u32 = 62003;
const DOCKER_PY: u32 = 62004;

/// A test host with one tenant, and the folder of the clients.
fn prepare(tenant: (u32, &str), image: &str) -> (TestHost, Clean, PathBuf) {
    let clients = std::env::var_os("AISTACK_TEST_CLIENTS");
    let clients = clients.expect("AISTACK_TEST_CLIENTS says where tests/tools/clients put them");
    let (host, clean) = prepare_for(&[tenant], image);
    (host, clean, PathBuf::from(clients))
}

struct Project<'w> {
    host: &'w TestHost,
    program: PathBuf,
    directory: PathBuf,
}

impl Project<'_> {
    /// Writes the file that the tenant has: one service with a name of its own, one that is scaled.
    fn write(&self, says: &str) {
        let text = format!(
            r#"
services:
  web:
    image: aistack-dev-gateway:compose
    container_name: tenant-{COMPOSE}-web
    command: ["sh", "-c", "trap 'exit 0' TERM; echo web-{says}; while true; do sleep 1; done"]
    mem_limit: 64m
    cpus: 0.25
    ports: ["127.0.0.1:25120:80"]
    tmpfs: ["/tmp"]
  worker:
    image: aistack-dev-gateway:compose
    command: ["sh", "-c", "trap 'exit 0' TERM; echo worker-{says}; while true; do sleep 1; done"]
    mem_limit: 64m
    cpus: 0.25
    depends_on: [web]
networks:
  default: {{ name: aistack-dev-gateway-{COMPOSE}, external: true }}
"#
        );
        std::fs::create_dir_all(&self.directory).unwrap();
        let file = self.directory.join("compose.yaml");
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    }

    fn output(&self, project: &str, arguments: &[&str]) -> Output {
        self.host
            .docker(self.program.to_str().unwrap(), COMPOSE)
            .current_dir(&self.directory)
            .args(["--progress", "plain", "-p", project])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.output(&format!("tenant-{COMPOSE}-x"), arguments);
        assert!(
            output.status.success(),
            "compose {arguments:?}: {}",
            said(&output)
        );
        said(&output)
    }

    /// Names of the containers that there are, running or not, and the ids of those.
    fn containers(&self) -> Vec<(String, String)> {
        let format = "{{.Name}} {{.ID}}";
        let listed = self.ok(&["ps", "-a", "--no-trunc", "--format", format]);
        let mut containers: Vec<_> = listed
            .lines()
            .map(|line| line.split_once(' ').unwrap())
            .map(|(name, id)| (name.to_owned(), id.to_owned()))
            .collect();
        containers.sort();
        containers
    }

    fn names(&self) -> Vec<String> {
        self.containers()
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    }
}

#[test]
#[ignore = "needs root, a Docker Engine and the clients of tests/tools/clients"]
fn compose_keeps_a_project_from_up_to_down() {
    let image = "docker.io/library/aistack-dev-gateway:compose";
    let tenant = (COMPOSE, "10.200.1.128/26");
    let (host, _clean, clients) = prepare(tenant, image);
    let project = Project {
        host: &host,
        program: clients.join("bin/docker-compose"),
        directory: host.dir.path().join("project"),
    };
    let web = format!("tenant-{COMPOSE}-web");
    let worker = |number| format!("tenant-{COMPOSE}-x-worker-{number}");

    project.write("first");
    project.ok(&["up", "-d"]);
    let first = project.containers();
    assert_eq!(project.names(), [web.clone(), worker(1)]);
    project.ok(&["up", "-d"]);
    assert_eq!(project.containers(), first, "nothing has changed");

    // A changed service is made beside the old one, under a name of compose's own.
    project.write("second");
    project.ok(&["up", "-d"]);
    let second = project.containers();
    assert_eq!(project.names(), [web.clone(), worker(1)]);
    assert!(
        first.iter().all(|container| !second.contains(container)),
        "{first:?} {second:?}"
    );
    let logs = project.ok(&["logs"]);
    assert!(
        logs.contains("web-second") && logs.contains("worker-second") && !logs.contains("first"),
        "{logs}"
    );
    project.ok(&["up", "-d", "--force-recreate", "web"]);
    assert_eq!(project.names(), [web.clone(), worker(1)]);
    assert_ne!(project.containers(), second);

    project.ok(&["scale", "worker=3"]);
    assert_eq!(
        project.names(),
        [web.clone(), worker(1), worker(2), worker(3)]
    );
    project.ok(&["up", "-d", "--scale", "worker=1"]);
    assert_eq!(project.names(), [web.clone(), worker(1)]);

    let ran = project.ok(&["run", "--rm", "-T", "worker", "echo", "ran"]);
    assert!(ran.contains("ran"), "{ran}");
    assert_eq!(project.names(), [web.clone(), worker(1)]);
    let id = project.ok(&["exec", "-T", "web", "id"]);
    assert!(id.contains(&format!("uid={COMPOSE}")), "{id}");
    assert!(project.ok(&["top"]).contains("sleep"));
    let stats = project.ok(&["stats", "--no-stream"]);
    assert!(
        stats.contains(&web) && stats.contains(&worker(1)),
        "{stats}"
    );
    assert!(project.ok(&["port", "web", "80"]).contains("25120"));
    assert!(project.ok(&["images"]).contains("aistack-dev-gateway"));

    looks_into_the_project(&project);

    project.ok(&["pause"]);
    let paused = project.ok(&["ps", "-a", "--format", "{{.State}}"]);
    assert_eq!(paused.lines().collect::<Vec<_>>(), ["paused", "paused"]);
    project.ok(&["unpause", "worker"]);
    let running = project.ok(&["ps", "--status", "running", "--format", "{{.Name}}"]);
    assert_eq!(running.trim(), worker(1));
    // What is paused is stopped, too.
    project.ok(&["stop", "-t", "5"]);
    assert_eq!(project.ok(&["ps", "-q"]).trim(), "");
    project.ok(&["start"]);
    project.ok(&["restart", "-t", "5"]);
    project.ok(&["kill"]);
    project.ok(&["start"]);
    project.ok(&["down"]);
    assert!(project.names().is_empty());

    // What compose cannot have here is said with the way out.
    let refused = project.output("other", &["up", "-d"]);
    let text = said(&refused);
    assert!(!refused.status.success(), "{text}");
    assert!(text.contains(&format!("-p tenant-{COMPOSE}-")), "{text}");
    project.output("other", &["down"]);
    let refused = project.output(&format!("tenant-{COMPOSE}-x"), &["cp", "web:/bin/sh", "-"]);
    assert!(!refused.status.success());
}

fn looks_into_the_project(project: &Project<'_>) {
    let logs = project.ok(&[
        "logs",
        "--since",
        "1h",
        "--timestamps",
        "--tail",
        "5",
        "worker",
    ]);
    assert!(logs.contains("worker-second"), "{logs}");
    let config = project.ok(&["config"]);
    assert!(config.contains("mem_limit"), "{config}");
    assert!(project.ok(&["config", "--services"]).contains("worker"));
    let projects = project.ok(&["ls", "-a"]);
    let name = format!("tenant-{COMPOSE}-x");
    assert!(projects.contains(&name), "{projects}");
    // It takes the end of the stream for an error, whoever ends it.
    let events = said(&project.output(&name, &["events", "--since", "1h", "--until", "0s"]));
    assert!(events.contains("container start"), "{events}");
    project.ok(&["volumes"]);
}

#[test]
#[ignore = "needs root, a Docker Engine and the clients of tests/tools/clients"]
fn docker_py_makes_enters_and_removes_containers() {
    let image = "docker.io/library/aistack-dev-gateway:py";
    let tenant = (DOCKER_PY, "10.200.1.192/26");
    let (host, _clean, clients) = prepare(tenant, image);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engine/docker_py.py");
    let output = host
        .docker("python3", DOCKER_PY)
        .env("PYTHONPATH", &clients)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        // The tenant reads neither the sources nor what is made of them.
        .arg("-c")
        .arg(std::fs::read_to_string(script).unwrap())
        .arg(DOCKER_PY.to_string())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).ends_with("all done\n"), "{}", said(&output));
}
